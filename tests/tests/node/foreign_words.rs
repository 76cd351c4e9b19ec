//! Words of others reach a terminal as words.

use std::process::Command;

use cutover_tests::world::{Run, World, free_address, wait_until};

const CLEAR: &str = "\u{1b}[2J";

#[test]
fn what_a_service_prints_does_nothing_to_a_terminal() {
    let world = World::new();
    let tree = world.tree("tiny");
    // An escape sequence, and the order of a line turned around.
    let says =
        "command = ['sh', '-c', 'printf \"\\033[2J\\342\\200\\256mine\\n\"; exec \"$@\"', 'sh', ";
    tree.replace("release.toml", "command = [", says);
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(Some(free_address()));
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let logs = || node.install(["logs"]).ok().stdout;
    wait_until("it is in the log", || logs().contains("mine"));
    // To another program byte by byte, on a terminal as escapes.
    assert!(logs().contains(CLEAR), "{:?}", logs());
    let mut script = Command::new("script");
    let install = node.command();
    let line = format!("{} logs --root {}", install.get_program().display(), node.root.display());
    script.args(["--quiet", "--command", &line, "/dev/null"]);
    let shown = Run::of(&mut script).ok().stdout;
    assert!(shown.contains("\\u{1b}[2J\\u{202e}mine"), "{shown:?}");
    assert!(!shown.contains(CLEAR) && !shown.contains('\u{202e}'), "{shown:?}");
}

#[test]
fn nor_do_its_last_words_in_an_error() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let stage = "\n[stage.shout]\nbefore = 'start'\nrun = ['sh', '-c', 'printf \"\\\\033[2Jgone\\\\n\"; exit 1']\n";
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}{stage}"));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(None);
    let run = node.install(["1.1.0"]).refused(5, &["\\u{1b}[2Jgone"]);
    assert!(!run.stderr.contains(CLEAR), "{run}");
}
