//! The installer is killed inside a stage; `install resume` ends what it began.

use std::path::Path;

use cutover_tests::world::{World, wait_until};

use crate::common::{Scene, noting};

/// Starts an install and kills it when its stage `hang` has begun.
pub(crate) fn kill_in_stage(scene: &Scene<'_>, arguments: &[&str]) {
    let mut install = scene.node.begin(arguments.iter().copied());
    let begun = scene.node.root.join("shared/pid");
    wait_until("the stage has begun", || begun.exists());
    install.kill();
}

pub(crate) fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("stat"));
    stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
}

/// Hangs the first time.
pub(crate) fn hanging(place: &str) -> String {
    noting("hang", place).replace(
        "echo hang >> {root}/shared/log",
        "echo hang >> {root}/shared/log; test -e {root}/shared/pid || \
         { echo $$ > {root}/shared/new && mv {root}/shared/new {root}/shared/pid && sleep 600; }",
    )
}

#[test]
fn before_the_switch_it_is_undone() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'") + &hanging("before = 'switch'");
    let scene = Scene::new(&world, &release, "");
    kill_in_stage(&scene, &["1.1.0"]);
    let pid = std::fs::read_to_string(scene.node.root.join("shared/pid")).unwrap();
    assert!(!is_gone(&pid), "the stage outlives its installer");
    assert_eq!(scene.node.status()["unfinished"]["stage"], "hang");
    let run = scene.node.install(["resume"]).ok();
    assert!(run.stdout.contains("1.0.0 is current, as before"), "{run}");
    assert!(is_gone(&pid), "what it left running acts beside its undoing");
    assert_eq!(scene.log(), ["first", "hang", "-hang", "-first"]);
    scene.is_as_before();
}

#[test]
fn after_the_switch_the_rest_is_done() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'")
        + &hanging("after = 'switch'")
        + &noting("last", "before = 'settle'")
        + "[[check]]\nstage = 'last'\nhttp = { path = '/', contains = '1.1.0' }\n";
    let scene = Scene::new(&world, &release, "");
    kill_in_stage(&scene, &["1.1.0"]);
    // Any command ends it first.
    let run = scene.node.install(["prune"]).ok();
    assert!(run.stderr.contains("the node is on 1.1.0"), "{run}");
    assert_eq!(scene.log(), ["first", "hang", "hang", "last"]);
    scene.is_on_the_new();
}

#[test]
fn after_the_switch_what_cannot_be_done_is_gone_back_from() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'")
        + &hanging("after = 'switch'")
        + "[[check]]\nstage = 'settle'\nwhen = 'before'\ncommand = 'false'\n";
    let scene = Scene::new(&world, &release, "");
    kill_in_stage(&scene, &["1.1.0"]);
    let run = scene.node.install(["resume"]).ok();
    assert!(run.stdout.contains("1.0.0 is current, as before"), "{run}");
    assert_eq!(scene.log(), ["first", "hang", "hang", "-hang", "-first"]);
    scene.is_as_before();
}
