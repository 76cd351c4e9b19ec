//! A release that was withdrawn is not gone back to, and not forgotten.

use std::fs;
use std::process::Command;

use cutover_tests::world::{Run, World, free_address};

#[test]
fn a_rollback_to_a_withdrawn_release_takes_a_word() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = world.pack(["withdraw", "1.0.0", "--reason", "eats the mail"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let words = ["tiny 1.0.0 was withdrawn from ", "eats the mail", "--accept-withdrawn"];
    node.install(["rollback"]).refused(3, &words);
    node.install(["rollback", "--dry-run"]).refused(3, &words);
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
    let _ = node.install(["rollback", "--accept-withdrawn"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}

#[test]
fn a_requirement_passes_over_bad_and_withdrawn_releases_alike() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    tree.replace("release.toml", "env = { ", "env = { TINY_UNHEALTHY = \"1\", ");
    tree.tag("1.2.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    node.install(["1.2.0"]).refused(5, &["did not become healthy"]);
    let _ = world.pack(["withdraw", "1.1.0", "--reason", "eats the mail"]).ok();
    assert_eq!(node.install(["plan", "^1", "--json"]).ok().json()["to"], "1.0.0");
    node.install(["plan", "stable"]).refused(5, &["`install 1.2.0` takes it all the same"]);
    // By its number it cannot be had either now.
    let _ = world.pack(["withdraw", "1.2.0", "--reason", "does not start"]).ok();
    node.install(["plan", "stable"]).refused(3, &["1.2.0 was withdrawn from"]);
    assert_eq!(node.install(["plan", "^1", "--json"]).ok().json()["to"], "1.0.0");
}

/// The folder of trusted metadata is made anew, and the repository is one without the mark.
#[test]
fn what_was_withdrawn_once_stays_so_when_the_metadata_is_gone() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let copied =
        Command::new("cp").arg("-a").args([world.repository(), world.path("before")]).status();
    assert!(copied.unwrap().success());
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = world.pack(["withdraw", "1.1.0", "--reason", "eats the mail"]).ok();
    let words = ["tiny 1.1.0 was withdrawn from ", "eats the mail"];
    node.install(["1.1.0"]).refused(3, &words);

    fs::remove_dir_all(world.repository()).unwrap();
    fs::rename(world.path("before"), world.repository()).unwrap();
    let again = world.unmade_node(world.path("again"), None);
    let _ = Run::of(&mut again.init()).ok();
    fs::remove_dir_all(node.root.join("state/trust")).unwrap();
    fs::rename(again.root.join("state/trust"), node.root.join("state/trust")).unwrap();
    node.install(["1.1.0"]).refused(3, &words);
    node.install(["plan", "1.1.0"]).refused(3, &words);
    node.install(["stable"]).refused(3, &words);
    let _ = node.install(["^1"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    // Nobody is sent there either, nor to what runs or failed.
    let run = node.install(["1.1.1"]);
    let _ = run.clone().refused(4, &["tiny has no release 1.1.1"]);
    assert!(!run.stderr.contains("nearest"), "{run}");
}

#[test]
fn a_mark_that_cannot_be_read_stops_its_release_and_nothing_else() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let marks = node.root.join("state/withdrawn");
    fs::create_dir_all(&marks).unwrap();
    fs::write(marks.join("1.2.0.json"), "").unwrap();
    let warning = "1.2.0.json";
    let status = node.install(["status"]).ok();
    assert!(status.stderr.contains(warning), "{status}");
    let back = node.install(["rollback"]).ok();
    assert!(back.stderr.contains(warning), "{back}");
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    fs::rename(marks.join("1.2.0.json"), marks.join("1.1.0.json")).unwrap();
    node.install(["1.1.0"]).refused(3, &["1.1.0 was withdrawn", "cannot be read"]);
    fs::remove_file(marks.join("1.1.0.json")).unwrap();
    let _ = node.install(["1.1.0"]).ok();
}

/// What is on the node needs no repository and nothing that is remembered of one.
#[test]
fn a_rollback_does_not_need_trusted_metadata() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    fs::remove_dir_all(node.root.join("state/trust")).unwrap();
    let status = node.install(["status"]).ok();
    assert!(status.stderr.contains("state/trust"), "{status}");
    let back = node.install(["rollback"]).ok();
    assert!(back.stderr.contains("state/trust"), "{back}");
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}
