//! A node that leaves its pool for a pause and comes back, whatever happens after. The pool is two
//! commands that write down what they were told.

use cutover_tests::world::{Run, World};

use crate::common::Scene;
use crate::crashes::{hanging, is_gone, kill_in_stage};

pub(crate) const POOL: &str = r#"
    [pool]
    driver = "command"
    depool = ["sh", "-c", 'echo out >> "$0/shared/pool"; test ! -e "$0/shared/refuse"', "{root}"]
    repool = ["sh", "-c", 'echo in >> "$0/shared/pool"', "{root}"]
"#;

/// What the pool was told, repetitions left out.
pub(crate) fn told(scene: &Scene<'_>) -> Vec<String> {
    let text = std::fs::read_to_string(scene.node.root.join("shared/pool")).unwrap_or_default();
    let mut told: Vec<String> = text.lines().map(str::to_owned).collect();
    told.dedup();
    told
}

pub(crate) fn is_out(scene: &Scene<'_>) -> bool {
    scene.node.root.join("state/pool.json").exists()
}

#[test]
fn it_leaves_for_a_pause_only() {
    let world = World::new();
    let scene = Scene::new(&world, "", POOL);
    let _ = scene.node.install(["1.1.0", "--swap", "blue-green"]).ok();
    assert!(told(&scene).is_empty());
    let run = scene.node.install(["rollback", "--swap", "hold"]).ok();
    assert_eq!(told(&scene), ["out", "in"], "{run}");
    assert!(run.stderr.contains("depool") && run.stderr.contains("repool"), "{run}");
    assert!(!is_out(&scene));
    scene.is_as_before();
}

#[test]
fn a_pool_that_refuses_ends_it_before_anything_is_switched() {
    let world = World::new();
    let scene = Scene::new(&world, "", POOL);
    std::fs::write(scene.node.root.join("shared/refuse"), "").unwrap();
    let run = scene.node.install(["1.1.0", "--swap", "hold"]);
    assert_eq!(run.status, 5, "{run}");
    assert!(run.stderr.contains("nothing was switched: the node is on 1.0.0"), "{run}");
    assert_eq!(told(&scene), ["out", "in"]);
    assert!(!is_out(&scene));
    scene.is_as_before();
}

#[test]
fn a_failure_after_that_brings_it_back() {
    let world = World::new();
    let release = "[[check]]\nstage = 'open'\ncommand = 'false'\n";
    let scene = Scene::new(&world, release, POOL);
    scene.node.install(["1.1.0", "--swap", "backoff"]).refused(5, &["switched back"]);
    assert_eq!(told(&scene), ["out", "in"]);
    assert!(!is_out(&scene));
    scene.is_as_before();
}

/// A command may start what is to run on, as a stage may.
#[test]
fn what_a_finished_command_started_runs_on() {
    let world = World::new();
    let pool = POOL.replace(
        "'echo out >>",
        "'setsid sleep 600 > /dev/null 2>&1 & echo $! > \"$0/shared/daemon\"; echo out >>",
    );
    let scene = Scene::new(&world, &hanging("before = 'switch'"), &pool);
    kill_in_stage(&scene, &["1.1.0", "--swap", "hold"]);
    let pid = |name: &str| std::fs::read_to_string(scene.node.root.join("shared").join(name));
    let (daemon, hung) = (pid("daemon").unwrap(), pid("pid").unwrap());
    let _ = scene.node.install(["resume"]).ok();
    assert!(is_gone(&hung));
    assert!(!is_gone(&daemon), "it runs on purpose");
    let _ = Run::of(std::process::Command::new("kill").arg(daemon.trim())).ok();
    assert_eq!(told(&scene), ["out", "in"]);
    scene.is_as_before();
}

/// Else it would take the node out when it has been put back.
#[test]
fn a_command_does_not_outlive_what_comes_after_its_installer() {
    let world = World::new();
    let pool = POOL.replace(
        "'echo out >>",
        "'test -e \"$0/shared/pid\" || { echo $$ > \"$0/shared/new\"; \
         mv \"$0/shared/new\" \"$0/shared/pid\"; sleep 600; }; echo out >>",
    );
    let scene = Scene::new(&world, "", &pool);
    kill_in_stage(&scene, &["1.1.0", "--swap", "hold"]);
    let pid = std::fs::read_to_string(scene.node.root.join("shared/pid")).unwrap();
    assert!(!is_gone(&pid), "it goes on by itself");
    let _ = scene.node.install(["resume"]).ok();
    assert!(is_gone(&pid));
    assert_eq!(told(&scene), ["in"]);
    assert!(!is_out(&scene));
    scene.is_as_before();
}

#[test]
fn a_crash_in_between_is_repaired() {
    let world = World::new();
    for (place, back) in [("after = 'stop'", true), ("after = 'open'", false)] {
        let world = if back { &world } else { &World::new() };
        let scene = Scene::new(world, &hanging(place), POOL);
        kill_in_stage(&scene, &["1.1.0", "--swap", "hold"]);
        assert!(is_out(&scene));
        let _ = scene.node.install(["resume"]).ok();
        assert_eq!(told(&scene), ["out", "in"], "{place}");
        assert!(!is_out(&scene));
        if back { scene.is_as_before() } else { scene.is_on_the_new() }
    }
}
