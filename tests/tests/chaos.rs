//! The gate, the service, the installer and the repository's server are killed in turn while clients
//! ask and releases change: what each may cost, and that the node is in order afterwards.

use std::process::Command;
use std::time::Duration;

use cutover_tests::aftermath::{Before, served, services, settle};
use cutover_tests::traffic::{Tally, Traffic};
use cutover_tests::world::{NodeDir, Run, World, free_address, wait_until};

/// Asks all the time while `act` goes on.
fn under_traffic<T>(node: &NodeDir<'_>, act: impl FnOnce() -> T) -> (T, Tally) {
    let address = node.gate.expect("the node has a gate");
    let traffic = Traffic::gets(address, "/", 4, Duration::from_millis(5));
    traffic.beside(Duration::ZERO, act)
}

fn kill(pid: &str) {
    let _ = Run::of(Command::new("kill").args(["-s", "KILL", pid])).ok();
}

/// A node that serves 1.0.0, and whose 1.1.0 takes two seconds to start.
fn node(world: &World) -> NodeDir<'_> {
    let tree = world.release_tiny(&["1.0.0"]);
    tree.replace("release.toml", "TINY_VERSION =", "TINY_START = \"2\", TINY_VERSION =");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    node
}

/// Waits until an install has come so far that the newcomer is being started.
fn starting(node: &NodeDir<'_>) {
    wait_until("the newcomer starts", || node.status()["gate"]["newcomer"] == "1.1.0");
}

#[test]
fn the_gate_is_killed_in_a_swap() {
    let world = World::new();
    let node = node(&world);
    for swap in ["blue-green", "hold"] {
        let before = Before::of(&node);
        let mut gate = node.start_gate();
        served(&node, "before");
        let mut install = node.begin(["1.1.0", "--swap", swap]);
        starting(&node);
        gate.kill();
        let status = install.wait();
        assert_ne!(status, Some(0), "{swap}");
        let mut gate = node.start_gate();
        settle(&node, &before, "1.1.0", swap);
        let (_, tally) = under_traffic(&node, || std::thread::sleep(Duration::from_millis(500)));
        assert_eq!((tally.failed, tally.refused), (0, 0), "{swap}: {tally:?}");
        assert_eq!(gate.end(), Some(0));
        assert_eq!(services(&node), Vec::<String>::new(), "{swap}: still running");
    }
}

#[test]
fn the_installer_is_killed_in_a_swap() {
    let world = World::new();
    let node = node(&world);
    let _gate = node.start_gate();
    served(&node, "before");
    let before = Before::of(&node);
    // Nobody notices: the newcomer was not in use yet.
    let (current, tally) = under_traffic(&node, || {
        let mut install = node.begin(["1.1.0", "--swap", "blue-green"]);
        starting(&node);
        install.kill();
        settle(&node, &before, "1.1.0", "blue-green")
    });
    assert_eq!(current.as_deref(), Some("1.0.0"));
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    // Requests wait for as long as it takes to come to an end.
    let (_, tally) = under_traffic(&node, || {
        let mut install = node.begin(["1.1.0", "--swap", "hold"]);
        starting(&node);
        install.kill();
        settle(&node, &before, "1.1.0", "hold")
    });
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
}

#[test]
fn the_service_is_killed_in_a_swap() {
    let world = World::new();
    let node = node(&world);
    let _gate = node.start_gate();
    served(&node, "before");
    // The old one, while the newcomer starts: what was with it fails, what comes waits or is told to
    // come back, and the swap goes on.
    let (status, tally) = under_traffic(&node, || {
        let mut install = node.begin(["1.1.0", "--swap", "blue-green"]);
        starting(&node);
        let pid = node.status()["gate"]["running"]["pid"].to_string();
        kill(&pid);
        install.wait()
    });
    assert_eq!(status, Some(0));
    served(&node, "after");
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
    // At most what the four clients had asked in that moment.
    assert!(tally.failed <= 4, "{tally:?}");
}

#[test]
fn the_repository_is_killed_in_a_fetch() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    // More than fits into the buffers between the two.
    let noise: Vec<u8> = (0..24_u64 << 20).map(|at| (at * at % 65_521 % 256) as u8).collect();
    std::fs::write(tree.folder.join("noise"), noise).unwrap();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let (mut server, url) = world.serve(&[]);
    node.takes_from(&url);
    let _gate = node.start_gate();
    served(&node, "before");
    let before = Before::of(&node);
    let (status, tally) = under_traffic(&node, || {
        let mut install = node.begin(["1.1.0"]);
        let noise = node.root.join("releases/1.1.0/noise");
        wait_until("the fetch has begun, or is over", || {
            noise.exists() || node.current().as_deref() == Some("1.1.0")
        });
        server.kill();
        install.wait()
    });
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    // All of it may have been under way already.
    assert!([Some(0), Some(8)].contains(&status), "{status:?}");
    settle(&node, &before, "1.1.0", "the repository was killed");
    node.change(&url, &world.repository().display().to_string());
    let _ = node.install(["1.1.0"]).ok();
    served(&node, "after");
}
