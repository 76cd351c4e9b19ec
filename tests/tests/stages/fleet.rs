//! Two nodes and one migration, agreed on in a real etcd.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_tests::parts::etcd::Cluster;
use cutover_tests::world::{NodeDir, Run, Running, Tree, World, wait_until};

/// A repository with a 1.0.0 whose `migrate` is `run`, and two nodes that share an etcd.
struct Fleet {
    world: World,
    _tree: Tree,
    _cluster: Cluster,
}

impl Fleet {
    fn new(run: &str) -> Self {
        let world = World::new();
        let tree = world.tree("tiny");
        let plain = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
        let log = world.path("log").display().to_string();
        let stage = format!(
            "[stage.migrate]\nafter = 'unpack'\nonce = true\nrun = '{}'\nundo = 'echo back >> {log}'\n",
            run.replace("LOG", &log)
        );
        tree.write("release.toml", &format!("{plain}\n{stage}"));
        tree.tag("1.0.0");
        let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
        std::fs::create_dir(world.path("etcd")).unwrap();
        let cluster = Cluster::start(&world.path("etcd"), 1);
        for node in ["one", "two"] {
            let mut command = world.command("install");
            command.arg("init").arg("--root").arg(world.path(node));
            command.arg("--repo").arg(world.repository()).arg("--trust").arg(world.root_json());
            let _ = Run::of(&mut command).ok();
            NodeDir::at(&world, world.path(node)).add(&cluster.settings());
        }
        Self { world, _tree: tree, _cluster: cluster }
    }

    fn node(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    fn install(&self, node: &str, what: &str) -> Command {
        let mut command = self.world.command("install");
        command.arg(what).env("CUTOVER_ROOT", self.node(node));
        command
    }

    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.world.path("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn current(&self, node: &str) -> PathBuf {
        std::fs::read_link(self.node(node).join("current")).unwrap()
    }
}

#[test]
fn one_runs_it_and_the_other_waits() {
    let fleet = Fleet::new("sleep 2; echo done >> LOG");
    let mut first = Running::start(fleet.install("one", "1.0.0").stderr(Stdio::null()));
    let second = Run::of(&mut fleet.install("two", "1.0.0")).ok();
    assert_eq!(first.0.wait().unwrap().code(), Some(0));
    assert_eq!(fleet.log(), ["done"], "{second}");
    for node in ["one", "two"] {
        assert_eq!(fleet.current(node), Path::new("releases/1.0.0"));
    }
}

#[test]
fn another_takes_over_from_one_that_died() {
    let fleet = Fleet::new("echo begun >> LOG; test $(wc -l < LOG) -ge 2 || sleep 600");
    let mut first = Running::start(fleet.install("one", "1.0.0").stderr(Stdio::null()));
    wait_until("the stage has begun", || fleet.log() == ["begun"]);
    first.signal("KILL");
    let _ = first.0.wait();
    let _ = Run::of(&mut fleet.install("two", "1.0.0")).ok();
    assert_eq!(fleet.log(), ["begun", "begun"]);
    // What the fleet holds for done is not undone by the one that did not do it.
    let run = Run::of(&mut fleet.install("one", "resume")).ok();
    assert!(run.stderr.contains("did it for the fleet"), "{run}");
    let run = Run::of(&mut fleet.install("one", "1.0.0")).ok();
    assert!(run.stderr.contains("migrate   was done by"), "{run}");
    assert_eq!(fleet.log(), ["begun", "begun"]);
}
