//! A gate that comes up, or goes away, while an install is under way: what serves in the end is what
//! the install says.

use std::path::PathBuf;

use cutover_tests::world::{Running, World, wait_until};

use crate::common::{Scene, noting};
use crate::pooling::{POOL, is_out, told};

/// A command that lasts until the test lets it go on.
const WAITS: &str =
    "'touch {root}/shared/waits; while ! test -e {root}/shared/go; do sleep 0.02; done'";

/// A stage that does.
fn waiting(place: &str) -> String {
    format!("[stage.wait]\n{place}\nrun = {WAITS}\n")
}

/// Begins an install of 1.1.0; when it is at its stage `wait`, `meanwhile` happens; then it goes on.
#[track_caller]
fn install_while(scene: &mut Scene<'_>, swap: &str, meanwhile: impl FnOnce(&mut Scene<'_>)) {
    let shared = |name: &str| -> PathBuf { scene.node.root.join("shared").join(name) };
    let (waits, go) = (shared("waits"), shared("go"));
    let install = scene.node.begin(["1.1.0", "--swap", swap]);
    wait_until("the install waits", || waits.exists());
    meanwhile(scene);
    std::fs::write(go, "").unwrap();
    let run = install.ended().ok();
    // It `is current` where no gate was planned for, and is served all the same.
    let words = ["tiny 1.1.0 runs (was 1.0.0)", "tiny 1.1.0 is current (was 1.0.0)"];
    assert!(words.iter().any(|words| run.stdout.contains(words)), "{run}");
    scene.is_on_the_new();
}

fn comes_up(scene: &mut Scene<'_>) {
    scene.gate = scene.node.start_gate();
    wait_until("the old release serves", || {
        scene.node.status()["gate"]["running"]["healthy"] == true
    });
    assert_eq!(scene.served(), "1.0.0");
}

fn is_down(scene: &mut Scene<'_>) {
    assert_eq!(scene.gate.end(), Some(0));
}

#[test]
fn it_comes_up_while_the_release_is_brought() {
    let world = World::new();
    let release = waiting("after = 'unpack'")
        + &noting("first", "before = 'unpack'")
        + &noting("last", "after = 'open'")
        + "[[check]]\nstage = 'health'\nhttp = { path = '/', contains = '1.1.0' }\n";
    let mut scene = Scene::new(&world, &release, "");
    is_down(&mut scene);
    install_while(&mut scene, "blue-green", comes_up);
    assert_eq!(scene.log(), ["first", "last"], "each stage is gone through once");
}

#[test]
fn it_comes_up_when_the_change_over_has_begun() {
    let world = World::new();
    let release = noting("first", "after = 'seal'")
        + &waiting("before = 'switch'")
        + &noting("last", "after = 'start'");
    let mut scene = Scene::new(&world, &release, "");
    is_down(&mut scene);
    install_while(&mut scene, "hold", comes_up);
    assert_eq!(scene.log(), ["first", "last"]);
}

/// It was looked for, and then it comes up, before the name changes: nothing stands between the two but
/// this check. It may read the old name, and its service may not be healthy yet.
#[test]
fn it_comes_up_in_the_very_moment_of_the_switch() {
    let world = World::new();
    let check = format!(
        "[[check]]\nstage = 'switch'\nwhen = 'before'\ncommand = {WAITS}\ntimeout = '100s'\n"
    );
    let mut scene = Scene::new(&world, &check, "");
    let is_starting = |scene: &mut Scene<'_>| scene.gate = scene.node.start_gate();
    for swap in ["blue-green", "hold", "backoff"] {
        for at in [comes_up, is_starting] {
            is_down(&mut scene);
            install_while(&mut scene, swap, at);
            for mark in ["waits", "go"] {
                std::fs::remove_file(scene.node.root.join("shared").join(mark)).unwrap();
            }
            let _ = scene.node.install(["1.0.0"]).ok();
            scene.is_as_before();
        }
    }
}

#[test]
fn it_is_another_one_by_then() {
    let world = World::new();
    let mut scene = Scene::new(&world, &waiting("after = 'unpack'"), "");
    install_while(&mut scene, "hold", |scene| {
        let successor = Running::start(scene.node.command().args(["gate", "--replace"]));
        let pid = successor.0.id();
        wait_until("another gate", || scene.node.status()["gate"]["pid"] == pid);
        scene.gate = successor;
    });
}

#[test]
fn it_goes_away_while_the_release_is_brought() {
    let world = World::new();
    let mut scene = Scene::new(&world, &waiting("after = 'unpack'"), "");
    let install = scene.node.begin(["1.1.0"]);
    let shared = scene.node.root.join("shared");
    wait_until("the install waits", || shared.join("waits").exists());
    is_down(&mut scene);
    std::fs::write(shared.join("go"), "").unwrap();
    let run = install.ended().ok();
    assert!(run.stderr.contains("the gate is not running"), "{run}");
    assert!(run.stdout.contains("tiny 1.1.0 is current"), "{run}");
    scene.gate = scene.node.start_gate();
    scene.is_on_the_new();
}

/// Without a gate there is no pause, and for an install without a pause no node leaves its pool.
#[test]
fn it_goes_away_when_the_node_has_left_its_pool() {
    let world = World::new();
    let release = waiting("before = 'hold'") + &noting("first", "before = 'unpack'");
    let mut scene = Scene::new(&world, &release, POOL);
    let install = scene.node.begin(["1.1.0", "--swap", "hold"]);
    let shared = scene.node.root.join("shared");
    wait_until("the install waits", || shared.join("waits").exists());
    assert!(is_out(&scene));
    scene.gate.kill();
    std::fs::write(shared.join("go"), "").unwrap();
    let journal = scene.node.root.join("state/journal");
    wait_until("the way back", || {
        let journal = std::fs::read_to_string(&journal).unwrap_or_default();
        journal.lines().any(|line| line == "\"back\"")
    });
    // A node comes back into its pool when its gate is ready.
    scene.gate = scene.node.start_gate();
    let why = "the gate went away, or runs something else than before, after `depool` had begun";
    install.ended().refused(1, &[why, "nothing was switched: the node is on 1.0.0"]);
    assert_eq!(told(&scene), ["out", "in"]);
    assert!(!is_out(&scene));
    assert_eq!(scene.log(), ["first", "-first"]);
    scene.is_as_before();
}

#[test]
fn it_comes_back_when_the_node_has_left_its_pool() {
    let world = World::new();
    let mut scene = Scene::new(&world, &waiting("before = 'hold'"), POOL);
    install_while(&mut scene, "hold", |scene| {
        scene.gate.kill();
        comes_up(scene);
    });
    assert_eq!(told(&scene), ["out", "in"]);
    assert!(!is_out(&scene));
}

/// It undoes what it did when it came up with the old release, and a change-over with it failed.
#[test]
fn it_comes_up_and_the_new_release_is_no_good() {
    let world = World::new();
    let release = noting("first", "before = 'unpack'")
        + &waiting("after = 'unpack'")
        + "[[check]]\nstage = 'open'\ncommand = 'false'\n";
    let mut scene = Scene::new(&world, &release, "");
    is_down(&mut scene);
    let install = scene.node.begin(["1.1.0", "--swap", "hold"]);
    let shared = scene.node.root.join("shared");
    wait_until("the install waits", || shared.join("waits").exists());
    comes_up(&mut scene);
    std::fs::write(shared.join("go"), "").unwrap();
    install.ended().refused(5, &["switched back: the node is on 1.0.0 as before"]);
    assert_eq!(scene.log(), ["first", "-first"]);
    scene.is_as_before();
}

#[test]
fn status_warns_where_another_release_runs_than_is_current() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let quiet = scene.node.install(["status"]).ok();
    assert!(!quiet.stderr.contains("is current, but"), "{quiet}");
    let _ = scene.node.install(["1.1.0"]).ok();
    // As a restored backup leaves it.
    let current = scene.node.root.join("current");
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink("releases/1.0.0", &current).unwrap();
    let run = scene.node.install(["status"]).ok();
    let words = "1.0.0 is current, but the gate runs 1.1.0: `install 1.0.0` has it served";
    assert!(run.stderr.contains(words), "{run}");
    let _ = scene.node.install(["1.0.0"]).ok();
    scene.is_as_before();
}
