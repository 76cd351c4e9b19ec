//! Whose fault it is that an install fails: only a release that failed itself is remembered as bad.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;

use cutover_tests::world::{NodeDir, Run, Running, World, free_address, source, wait_until};

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

/// What a service does first in these tests: it says which address it is given, and waits until it may
/// go on.
const WAITS: &str = "import os, sys, time\n\
    shared = os.path.join(os.getcwd(), '../../shared', os.environ['TINY_VERSION'])\n\
    number = 1\n\
    while os.path.exists(f'{shared}-address-{number}'):\n    number += 1\n\
    with open(f'{shared}-new', 'w') as file:\n    file.write(sys.argv[1])\n\
    os.rename(f'{shared}-new', f'{shared}-address-{number}')\n\
    while not os.path.exists(f'{shared}-go-{number}'):\n    time.sleep(0.02)\n";

/// Installs `version`; `meet` comes before its service on each address that it is given.
fn install_before(
    scene: &Scene<'_>,
    version: &str,
    without: Without,
    mut meet: impl FnMut(usize, SocketAddr),
) -> Run {
    let listens = "    server = serve(sys.argv[1])\n";
    let tiny = std::fs::read_to_string(source("apps/tiny/app.py")).unwrap();
    assert!(tiny.contains(listens));
    let goes_on = format!("    try:\n    {listens}    except OSError:\n        time.sleep(600)\n");
    let app = match without {
        Without::Ends => tiny,
        Without::GoesOn => tiny.replace(listens, &goes_on),
    };
    scene.tree.write("app.py", &format!("{WAITS}{app}"));
    scene.tree.tag(version);
    let _ = scene.world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let shared = scene.node.root.join("shared");
    let mut install = scene.node.begin([version]);
    for number in 1.. {
        let said = shared.join(format!("{version}-address-{number}"));
        wait_until("the service, or the end", || said.exists() || install.has_ended());
        let Ok(address) = std::fs::read_to_string(said) else { break };
        meet(number, address.parse().unwrap());
        std::fs::write(shared.join(format!("{version}-go-{number}")), "").unwrap();
    }
    install.ended()
}

/// What a service does whose port somebody else has.
#[derive(Clone, Copy)]
enum Without {
    Ends,
    GoesOn,
}

/// Another user's process, which takes ports.
struct Rival(Running);

impl Rival {
    fn start() -> Self {
        const TAKES: &str = "import socket, sys\nports = []\nfor line in sys.stdin:\n    \
            host, port = line.split(':')\n    \
            ports.append(socket.create_server((host, int(port))))\n    \
            print('taken', flush=True)\n";
        let mut python = std::process::Command::new("python3");
        python.args(["-c", TAKES]).uid(65534).gid(65534).current_dir("/");
        Self(Running(python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()))
    }

    fn take(&mut self, address: SocketAddr) {
        let (stdin, stdout) = (self.0.0.stdin.as_mut().unwrap(), self.0.0.stdout.as_mut().unwrap());
        writeln!(stdin, "{address}").unwrap();
        stdout.read_exact(&mut [0; 6]).unwrap();
    }
}

/// Somebody takes the port between the moment in which it was found free and the one in which the
/// service listens on it: it is started again on another one.
#[test]
fn a_port_that_was_taken_meanwhile() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    scene.tree.replace("release.toml", "within = \"10s\"", "within = \"100s\"");
    let mut thief = None;
    let run = install_before(&scene, "1.2.0", Without::Ends, |number, address| {
        if number == 1 {
            thief = Some(TcpListener::bind(address).unwrap());
        }
    });
    assert!(run.ok().stdout.contains("tiny 1.2.0 runs (was 1.0.0)"));
    let mut rival = Rival::start();
    let run = install_before(&scene, "1.3.0", Without::GoesOn, |number, address| {
        if number == 1 {
            rival.take(address);
        }
    });
    assert!(run.ok().stdout.contains("tiny 1.3.0 runs (was 1.2.0)"));
    assert_eq!(scene.served(), "1.3.0");
}

/// Somebody takes each of them: that is not the release's fault.
#[test]
fn ports_that_are_always_taken() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    scene.tree.replace("release.toml", "within = \"10s\"", "within = \"100s\"");
    let mut thieves = Vec::new();
    let run = install_before(&scene, "1.2.0", Without::Ends, |_, address| {
        thieves.push(TcpListener::bind(address).unwrap());
    });
    run.refused(6, &["was taken by another process meanwhile", "nothing was switched"]);
    assert_eq!(thieves.len(), 4);
    scene.is_as_before();
    is_not_bad(&scene.node, "1.2.0");
    let mut rival = Rival::start();
    let mut starts = 0;
    let run = install_before(&scene, "1.3.0", Without::GoesOn, |_, address| {
        starts += 1;
        rival.take(address);
    });
    let words = ["a process of user 65534 listens on 127.0.0.1:", "`user` in [service]"];
    run.refused(6, &words);
    assert_eq!(starts, 4);
    scene.is_as_before();
    is_not_bad(&scene.node, "1.3.0");
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
