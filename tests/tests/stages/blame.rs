//! Whose fault it is that an install fails: only a release that failed itself is remembered as bad.

use std::net::{SocketAddr, TcpListener};

use cutover_tests::world::{NodeDir, Run, World, free_address, wait_until};

use crate::common::{Scene, noting};

/// A channel still leads to this release.
#[track_caller]
fn is_not_bad(node: &NodeDir<'_>, version: &str) {
    let list = node.install(["list", "--json"]).ok();
    assert!(!list.stdout.contains("\"bad\""), "{list}");
    let plan = node.install(["plan", "stable"]).ok();
    assert!(plan.stdout.contains(&format!("install of tiny {version}")), "{plan}");
}

#[test]
fn a_user_who_does_not_exist() {
    let world = World::new();
    let scene = Scene::new(&world, "", "[service]\nuser = 'nobody-of-that-name'\n");
    scene.node.install(["1.1.0"]).refused(2, &["nobody-of-that-name"]);
    scene.node.change("user = 'nobody-of-that-name'", "");
    is_not_bad(&scene.node, "1.1.0");
}

/// As many files as no system lets a process have.
#[test]
fn limits_that_cannot_be_had() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    node.add("[service]\nlimits = { nofile = 1000000000000 }\n");
    let _gate = node.start_gate();
    let words = ["1.0.0 cannot be started: node.toml's limits: nofile", "nothing was switched"];
    node.install(["1.0.0"]).refused(2, &words);
    assert_eq!(node.current(), None);
    is_not_bad(&node, "1.0.0");
}

/// Somebody takes the port between the moment in which it was found free and the one in which the
/// service listens on it.
#[test]
fn a_port_that_was_taken_meanwhile() {
    const APP: &str = "import os, socket, sys, time\n\
        shared = os.path.join(os.getcwd(), '../../shared')\n\
        with open(os.path.join(shared, 'new'), 'w') as file:\n    file.write(sys.argv[1])\n\
        os.rename(os.path.join(shared, 'new'), os.path.join(shared, 'address'))\n\
        while not os.path.exists(os.path.join(shared, 'taken')):\n    time.sleep(0.02)\n\
        host, port = sys.argv[1].split(':')\n\
        socket.create_server((host, int(port)))\n";
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    scene.tree.write("app.py", APP);
    scene.tree.tag("1.2.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let shared = scene.node.root.join("shared");
    let install = scene.node.begin(["1.2.0"]);
    wait_until("the service has an address", || shared.join("address").exists());
    let address = std::fs::read_to_string(shared.join("address")).unwrap();
    let _thief = TcpListener::bind(address.parse::<SocketAddr>().unwrap()).unwrap();
    std::fs::write(shared.join("taken"), "").unwrap();
    let words = ["was taken by another process meanwhile", "nothing was switched"];
    install.ended().refused(6, &words);
    scene.is_as_before();
    is_not_bad(&scene.node, "1.2.0");
}

/// The node's own command fails when the new release is served: it goes back, and blames nobody else.
#[test]
fn the_nodes_own_commands() {
    let world = World::new();
    let own = "[stage.announce]\nafter = 'open'\nrun = 'false'\n";
    let scene = Scene::new(&world, "", own);
    let words = ["switched back", "1.1.0 is not remembered as bad: the node is to blame"];
    scene.node.install(["1.1.0", "--swap", "hold"]).refused(5, &words);
    scene.is_as_before();
    is_not_bad(&scene.node, "1.1.0");
    scene.node.change("run = 'false'", "run = '/nowhere/announce'");
    scene.node.install(["1.1.0", "--swap", "hold"]).refused(5, &["announce"]);
    scene.node.change("run = '/nowhere/announce'", "run = ['/nowhere/announce']");
    let words = ["cannot run `/nowhere/announce`", "switched back"];
    scene.node.install(["1.1.0", "--swap", "hold"]).refused(2, &words);
    scene.is_as_before();
    is_not_bad(&scene.node, "1.1.0");
}

#[test]
fn checks_of_the_node() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let plain = scene.node.settings();
    scene.node.add("[[check]]\nstage = 'open'\ncommand = 'false'\n");
    scene.node.install(["1.1.0", "--swap", "hold"]).refused(5, &["switched back"]);
    is_not_bad(&scene.node, "1.1.0");
    // What the release itself answered is its own doing.
    let asks = "[[check]]\nstage = 'open'\nhttp = { path = '/', contains = 'something else' }\n";
    scene.node.set(&format!("{plain}\n{asks}"));
    let words = ["switched back", "1.1.0 is remembered as bad on this node"];
    scene.node.install(["1.1.0", "--swap", "hold"]).refused(5, &words);
}

#[test]
fn too_few_open_files() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(None);
    let mut limited = std::process::Command::new("bash");
    limited.args(["-c", "ulimit -n 4; exec \"$@\"", "bash"]);
    limited.arg(node.command().get_program()).arg("1.0.0").env("CUTOVER_ROOT", &node.root);
    let run = Run::of(&mut limited);
    run.refused(2, &["Too many open files", "raise the limit of open files"]);
    is_not_bad(&node, "1.0.0");
}

#[test]
fn what_ran_once_is_told_of_on_the_way_back() {
    let world = World::new();
    let release = noting("migrate", "after = 'unpack'") + "once = true\n";
    let scene = Scene::new(&world, &release, "");
    let _ = scene.node.install(["1.1.0"]).ok();
    let run = scene.node.install(["rollback"]).ok();
    assert!(run.stderr.contains("`migrate` of 1.1.0 was done by"), "{run}");
    assert!(run.stderr.contains("going back does not undo it"), "{run}");
}
