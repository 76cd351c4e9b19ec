//! An installer of one's own, `examples/own-installer`, with a stage in code.

use std::path::PathBuf;
use std::process::Command;

use cutover_tests::world::{NodeDir, Run, World, program};

use crate::common::{Scene, failing};

fn own() -> PathBuf {
    let own = program("install").with_file_name("examples").join("own-installer");
    assert!(own.exists(), "{} is missing: `cargo build --examples` first", own.display());
    own
}

fn run(node: &NodeDir<'_>, arguments: &[&str]) -> Run {
    Run::of(Command::new(own()).arg(&node.root).args(arguments))
}

fn logbook(node: &NodeDir<'_>) -> String {
    std::fs::read_to_string(node.root.join("shared/logbook")).unwrap_or_default()
}

#[test]
fn its_stage_runs_and_goes_back_with_the_others() {
    let world = World::new();
    let release = failing("late", "after = 'switch'");
    let scene = Scene::new(&world, &release, "");
    run(&scene.node, &["install", "1.1.0"]).refused(5, &["late", "switched back"]);
    assert_eq!(logbook(&scene.node), "going to 1.1.0\nnot going to 1.1.0\n");
    scene.is_as_before();
    let run = run(&scene.node, &["install", "1.0.0"]).ok();
    assert_eq!(run.stdout, "1.0.0 runs\n");
}

#[test]
fn only_it_can_end_what_it_began() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    // What a crash in its stage leaves: the same install by it, up to there.
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "-P"]);
    strace.arg(scene.node.root.join("shared/logbook"));
    strace.args(["-e", "inject=openat:signal=KILL:when=1"]).arg(own()).arg(&scene.node.root);
    let status =
        strace.args(["install", "1.1.0"]).stderr(std::process::Stdio::null()).status().unwrap();
    assert_eq!(status.code(), None, "killed");
    scene.node.install(["resume"]).refused(2, &["no stage `logbook`", "the installer that began"]);
    let _ = run(&scene.node, &["resume"]).ok();
    // The second try of the killed call was let through.
    assert!(logbook(&scene.node).ends_with("not going to 1.1.0\n"));
    scene.is_as_before();
}

#[test]
fn it_rehearses_with_a_service_of_its_own_process() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let run = run(&scene.node, &["rehearse", "1.1.0"]).ok();
    assert_eq!(run.stdout, "1.1.0 would run\n");
    assert_eq!(logbook(&scene.node), "");
    scene.is_as_before();
}
