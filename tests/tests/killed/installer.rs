//! First installs, upgrades in each way to change over, rollbacks: with and without a gate.

use cutover_tests::world::{World, free_address};

use cutover_tests::trial::Trial;

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn files_only() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    Trial::new(&node).everywhere(&["1.0.0"], "1.0.0", 0).report("first install, files");
    Trial::new(&node).everywhere(&["1.1.0"], "1.1.0", 1).report("upgrade, files");
    let back = ["rollback", "--to", "1.0.0"];
    Trial::new(&node).everywhere(&back, "1.0.0", 2).report("rollback, files");
}

/// Files are rendered on the way there, and anew on the way back.
#[test]
fn rendered_configuration() {
    let world = World::new();
    let tree = world.tree("tiny");
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).expect("it is there");
    let rendered =
        "[config]\n\"etc/a.ini\" = { template = \"a.j2\" }\n[inputs.word]\ndefault = \"a\"\n";
    tree.write("release.toml", &format!("{toml}\n{rendered}"));
    for version in ["1.0.0", "1.1.0"] {
        tree.write("a.j2", &format!("{version} {{{{ word }}}}\n"));
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    let node = world.node(None);
    Trial::new(&node).everywhere(&["1.0.0"], "1.0.0", 10).report("first install, rendered");
    Trial::new(&node).everywhere(&["1.1.0"], "1.1.0", 11).report("upgrade, rendered");
    let back = ["rollback", "--to", "1.0.0"];
    Trial::new(&node).everywhere(&back, "1.0.0", 12).report("rollback, rendered");
    let text = std::fs::read_to_string(node.root.join("current/etc/a.ini"));
    assert_eq!(text.expect("it is rendered"), "1.0.0 a\n");
}

#[test]
fn first_install_behind_a_gate() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let node = world.node(Some(free_address()));
    Trial::new(&node).everywhere(&["1.0.0"], "1.0.0", 3).report("first install, gate");
}

/// An upgrade and then the way back, changing over by `swap`.
fn there_and_back(swap: &str, salt: usize) {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let there = ["1.1.0", "--swap", swap];
    Trial::new(&node).everywhere(&there, "1.1.0", salt).report(&format!("upgrade, {swap}"));
    let back = ["rollback", "--to", "1.0.0", "--swap", swap];
    Trial::new(&node).everywhere(&back, "1.0.0", salt + 1).report(&format!("rollback, {swap}"));
}

#[test]
fn blue_green() {
    there_and_back("blue-green", 4);
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn hold() {
    there_and_back("hold", 6);
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn backoff() {
    there_and_back("backoff", 8);
}
