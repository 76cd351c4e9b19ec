//! A command in the place of each built-in stage that may be replaced: the rest goes on as it would.

use cutover_tests::world::World;

use crate::common::Scene;

/// A release whose configuration is rendered, with a recipe for an environment.
const RENDERED: &str = "[config]\n'etc/tiny.ini' = { template = 'etc/tiny.ini.j2' }\n";

fn noting(stage: &str) -> String {
    format!("[stage.{stage}]\nrun = 'echo {stage} >> {{root}}/shared/log'\n")
}

/// Goes to the other release with a command in the place of `stage`.
#[track_caller]
fn change_over(scene: &Scene<'_>, plain: &str, stage: &str, swap: &str) {
    let (to, rest) = match scene.node.current().as_deref() {
        Some("1.0.0") => ("1.1.0", "1.0.0"),
        _ => ("1.0.0", "1.1.0"),
    };
    scene.node.set(&format!("{plain}\n{}", noting(stage)));
    let run = scene.node.install([to, "--swap", swap]).ok();
    assert_eq!(scene.log().last().map(String::as_str), Some(stage), "{swap}: {run}");
    assert_eq!(scene.node.current().as_deref(), Some(to), "{stage}, {swap}");
    assert_eq!(scene.served(), to, "{stage}, {swap}: not {rest}: {run}");
    let gate = &scene.node.status()["gate"];
    for place in ["newcomer", "retiring", "lease"] {
        assert!(gate[place].is_null(), "{stage}, {swap}: {gate}");
    }
    std::fs::remove_file(scene.node.root.join("shared/log")).unwrap();
}

#[test]
fn each_stage_of_a_change_over() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let _ = scene.node.install(["1.1.0"]).ok();
    let plain = scene.node.settings();
    for stage in ["requires", "depool", "hold", "stop", "start", "health", "open", "repool"] {
        change_over(&scene, &plain, stage, "hold");
    }
    change_over(&scene, &plain, "backoff", "backoff");
    for stage in ["start", "health", "drain"] {
        change_over(&scene, &plain, stage, "blue-green");
    }
}

#[test]
fn each_stage_that_brings_a_release() {
    let world = World::new();
    let tree = world.tree("tiny");
    std::fs::create_dir(tree.folder.join("etc")).unwrap();
    tree.write("etc/tiny.ini.j2", "version = {{ version }}\n");
    let plain = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{plain}\n{RENDERED}"));
    let stages = [("1.0.0", "requires"), ("1.1.0", "build"), ("1.2.0", "configure")];
    for (version, _) in stages {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    let node = world.node(None);
    let settings = node.settings();
    for (version, stage) in stages {
        node.set(&format!("{settings}\n{}", noting(stage)));
        let _ = node.install([version]).ok();
        let log = std::fs::read_to_string(node.root.join("shared/log")).unwrap();
        assert!(log.ends_with(&format!("{stage}\n")), "{log}");
        let rendered = node.root.join("current/etc/tiny.ini");
        match stage {
            "configure" => assert!(!rendered.exists(), "the command does it, or nobody"),
            _ => {
                let text = std::fs::read_to_string(&rendered).unwrap();
                assert_eq!(text, format!("version = {version}\n"));
            }
        }
    }
    node.set(&format!("{settings}\n{}", noting("requires")));
    let _ = node.install(["rehearse", "1.0.0"]).ok();
}

/// The gate's own question is not the one that counts then, whenever it asks it: also a gate that
/// starts with such a service goes on with it.
#[test]
fn a_health_stage_of_the_nodes_own_has_the_word() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let tree = &scene.tree;
    let plain = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    let unhealthy = plain.replace("env = {", "env = { TINY_UNHEALTHY = \"1\",");
    assert_ne!(plain, unhealthy);
    for (version, within) in [("1.2.0", "1s"), ("1.3.0", "30s")] {
        let within = format!("within = \"{within}\"");
        tree.write("release.toml", &unhealthy.replace("within = \"10s\"", &within));
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    scene.node.install(["1.2.0"]).refused(5, &["1.2.0 did not become healthy"]);
    scene.is_as_before();
    scene.node.add("[stage.health]\nrun = 'true'\n");
    let _ = scene.node.install(["1.3.0"]).ok();
    assert_eq!(scene.served(), "1.3.0");
    let pid = |scene: &Scene<'_>| scene.node.status()["gate"]["running"]["pid"].clone();
    let (before, mut gate) = (pid(&scene), scene.gate);
    gate.kill();
    let scene = Scene { gate: scene.node.start_gate(), ..scene };
    cutover_tests::world::wait_until("it serves again", || {
        scene.node.status()["gate"]["state"] == "open"
    });
    assert_eq!((scene.served().as_str(), pid(&scene)), ("1.3.0", before));
}
