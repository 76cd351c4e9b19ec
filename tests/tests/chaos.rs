//! The gate, the service, the installer and the repository's server are killed in turn while clients
//! ask and releases change: what each may cost, and that the node is in order afterwards.

use std::process::{Child, Command, Stdio};
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

/// An install that goes on meanwhile.
fn begin(node: &NodeDir<'_>, arguments: &[&str]) -> Child {
    let mut command = node.command();
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("install starts")
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
        let mut install = begin(&node, &["1.1.0", "--swap", swap]);
        starting(&node);
        kill(&gate.0.id().to_string());
        wait_until("the gate is dead", || gate.has_ended());
        let status = install.wait().unwrap();
        assert!(!status.success(), "{swap}: {status}");
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
        let mut install = begin(&node, &["1.1.0", "--swap", "blue-green"]);
        starting(&node);
        install.kill().and_then(|()| install.wait()).expect("it is our child");
        settle(&node, &before, "1.1.0", "blue-green")
    });
    assert_eq!(current.as_deref(), Some("1.0.0"));
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    // Requests wait for as long as it takes to come to an end.
    let (_, tally) = under_traffic(&node, || {
        let mut install = begin(&node, &["1.1.0", "--swap", "hold"]);
        starting(&node);
        install.kill().and_then(|()| install.wait()).expect("it is our child");
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
        let mut install = begin(&node, &["1.1.0", "--swap", "blue-green"]);
        starting(&node);
        let pid = node.status()["gate"]["running"]["pid"].to_string();
        kill(&pid);
        install.wait().expect("it is our child")
    });
    assert!(status.success(), "{status}");
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
    let noise: Vec<u8> = (0..64_u64 << 20).map(|at| (at * at % 65_521 % 256) as u8).collect();
    std::fs::write(tree.folder.join("noise"), noise).unwrap();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--level", "1"]).ok();
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let (server, url) = world.serve(&[]);
    let settings = std::fs::read_to_string(node.root.join("node.toml")).unwrap();
    let folder = world.repository().display().to_string();
    std::fs::write(node.root.join("node.toml"), settings.replace(&folder, &url)).unwrap();
    let _gate = node.start_gate();
    served(&node, "before");
    let before = Before::of(&node);
    let (status, tally) = under_traffic(&node, || {
        let mut install = begin(&node, &["1.1.0"]);
        let part = || {
            let parts = std::fs::read_dir(node.root.join("state/downloads")).unwrap();
            parts.flatten().any(|part| part.metadata().is_ok_and(|part| part.len() > 0))
        };
        wait_until("the fetch has begun, or is over", || {
            part() || node.current().as_deref() == Some("1.1.0")
        });
        kill(&server.0.id().to_string());
        install.wait().expect("it is our child")
    });
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
    // All of it may have been under way already.
    assert!([Some(0), Some(8)].contains(&status.code()), "{status}");
    settle(&node, &before, "1.1.0", "the repository was killed");
    let settings = std::fs::read_to_string(node.root.join("node.toml")).unwrap();
    std::fs::write(node.root.join("node.toml"), settings.replace(&url, &folder)).unwrap();
    let _ = node.install(["1.1.0"]).ok();
    served(&node, "after");
}
