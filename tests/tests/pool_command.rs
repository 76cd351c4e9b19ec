//! A pool behind two commands.

use std::path::Path;

use cutover_formats::exit::{Exit, Explain as _};
use cutover_install::node::Node;
use cutover_install::pool::{self, Pool};
use cutover_tests::world::{World, free_address};

fn open(folder: &Path, depool: &str, repool: &str) -> Box<dyn Pool> {
    std::fs::create_dir_all(folder.join("state")).expect("the folder is writable");
    let text = format!(
        "product = 'tiny'\nrepository = '/nowhere'\n[pool]\ndriver = 'command'\ntimeout = '2s'\n\
         depool = ['sh', '-c', '{depool}', '{{product}}']\nrepool = ['sh', '-c', '{repool}']\n"
    );
    std::fs::write(folder.join("node.toml"), text).expect("the folder is writable");
    pool::open(&Node::open(folder).expect("a node")).expect("a pool").expect("it is named")
}

#[test]
fn out_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let pool = open(folder.path(), "echo out $0 >> {root}/log", "echo in >> {root}/log");
    let log = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    pool.repool().unwrap();
    assert_eq!(log(), "", "it was never out");
    pool.depool().unwrap();
    pool.depool().unwrap();
    pool.repool().unwrap();
    pool.repool().unwrap();
    assert_eq!(log(), "out tiny\nout tiny\nin\n");
}

#[test]
fn failures_say_what_was_run_how_it_ended_and_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let pool = open(folder.path(), "echo no such backend >&2; exit 7", "sleep 60");
    let error = pool.depool().unwrap_err();
    assert_eq!(error.exit(), Exit::CheckFailed);
    assert!(error.to_string().ends_with("failed (exit status: 7)"), "{error}");
    assert_eq!(error.hints(), ["| no such backend"]);
    let error = pool.repool().unwrap_err();
    assert!(error.to_string().ends_with("did not end within 2s"), "{error}");
    let memory = folder.path().join("state/pool.json");
    assert!(memory.exists(), "it is still to be put back");
}

#[test]
fn a_gate_that_a_record_keeps_closed_is_put_back_as_one_in_maintenance_is() {
    let world = World::new();
    let _ = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    node.add("\n[pool]\ndriver = \"command\"\ndepool = [\"true\"]\nrepool = [\"true\"]\n");
    let mut gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    std::fs::write(node.root.join("state/maintenance.json"), "").expect("written");
    assert_eq!(gate.end(), Some(0));
    let _gate = node.start_gate();
    let run = node.install(["1.1.0", "--swap", "hold"]).ok();
    assert!(run.stderr.contains("maintenance.json cannot be read"), "{run}");
    assert!(!node.root.join("state/pool.json").exists(), "it is back");
    assert_eq!(node.status()["gate"]["reason"], "maintenance");
}
