//! The builder of a Python environment: it lives on when its installer is killed, its disk fills up
//! or is lost. With pip and with uv, and with a distribution whose own build takes its time.
//!
//! With `CUTOVER_STRIDE=1` everything happens to both; otherwise it is shared out among them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_tests::aftermath::{Before, services, settle, whole};
use cutover_tests::image::{Cut, Image, Kind};
use cutover_tests::trial::stride;
use cutover_tests::wheel::{VENDOR, add_source, folder_of_uv};
use cutover_tests::world::{NodeDir, Run, Running, World, wait_until};

/// A world whose 1.1.0 has a distribution that is built on the node.
struct Scene {
    world: World,
    /// While this is there, the next build takes it for itself and does not end before it is gone.
    slow: PathBuf,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let tree = world.release_tiny(&["1.0.0"]);
        let slow = world.path("slow");
        add_source(&tree, &slow);
        let toml = std::fs::read_to_string(tree.folder.join("release.toml")).expect("it is there");
        tree.write("release.toml", &format!("{toml}\n{VENDOR}"));
        // Builders run in the prefix, and take nothing of theirs from it.
        tree.write("json.py", "raise SystemExit('this is not the json you want')\n");
        tree.tag("1.1.0");
        let _ = world.pack(["release", "--source", "tree"]).ok();
        Self { world, slow }
    }

    /// A node there that is on 1.0.0.
    fn node(&self, root: &Path) -> NodeDir<'_> {
        let node = self.world.unmade_node(root.to_owned(), None);
        let _ = Run::of(&mut node.init()).ok();
        let _ = node.install(["1.0.0"]).ok();
        node
    }

    fn taken(&self) -> PathBuf {
        self.slow.with_extension("taken")
    }

    /// Starts `command`, which builds, and returns once the build is under way; with the processes
    /// that are at it.
    fn building(&self, command: &mut Command) -> (Running, Vec<String>) {
        std::fs::write(&self.slow, "").expect("a scratch file");
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut install = Running::start(command);
        let who = || std::fs::read_to_string(self.taken()).unwrap_or_default();
        wait_until("it builds", || !who().is_empty() || install.has_ended());
        let pids: Vec<String> = who().split_whitespace().map(str::to_owned).collect();
        if pids.is_empty() {
            panic!("it never came to the build: {}", install.ended());
        }
        (install, pids)
    }

    /// Lets a build that is still under way go on.
    fn goes_on(&self) {
        let _ = std::fs::remove_file(self.taken());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.goes_on();
    }
}

fn lives(pid: &String) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builder {
    Pip,
    Uv,
}

#[derive(Clone, Copy, Debug)]
enum Doing {
    Install,
    Rehearse,
}

impl Builder {
    /// `install` for 1.1.0, on a node with this builder alone.
    fn command(self, node: &NodeDir<'_>, doing: Doing) -> Command {
        let system = "/usr/bin:/bin";
        let mut command = node.command();
        std::fs::create_dir_all(temporaries(node)).expect("a scratch folder");
        command.env("TMPDIR", temporaries(node));
        match self {
            Self::Pip => command.env("PATH", system),
            Self::Uv => command.env("PATH", format!("{}:{system}", folder_of_uv().display())),
        };
        if let Doing::Rehearse = doing {
            command.arg("rehearse");
        }
        command.arg("1.1.0");
        command
    }
}

/// The system's folder of temporary files, as an install sees it.
fn temporaries(node: &NodeDir<'_>) -> PathBuf {
    node.root.with_extension("tmp")
}

/// Nothing is left of what builders write for the time of a build.
#[track_caller]
fn tidy(node: &NodeDir<'_>, at: &str) {
    let mut elsewhere = std::fs::read_dir(temporaries(node)).expect("it was made");
    assert!(elsewhere.next().is_none(), "{at}: builders write only below the node's root");
    assert!(!node.root.join("state/scratch").exists(), "{at}");
}

/// All of `cases`, or the `first` of them.
fn some<T, const N: usize>(cases: [T; N], first: usize) -> impl Iterator<Item = T> {
    cases.into_iter().take(if stride() == 1 { N } else { first })
}

/// The environment works, and is what was put on record.
#[track_caller]
fn works(node: &NodeDir<'_>, at: &str) {
    let python = node.root.join("current/env/bin/python");
    let demo = Run::of(Command::new(python).args(["-c", "import demo; demo.main()"]));
    assert_eq!(demo.stdout, "demo\n", "{at}: {demo}");
    whole(node, at);
    tidy(node, at);
}

#[test]
fn a_builder_does_not_outlive_what_comes_after_its_installer() {
    let scene = Scene::new();
    let cases = [
        (Builder::Pip, Doing::Install),
        (Builder::Uv, Doing::Rehearse),
        (Builder::Uv, Doing::Install),
        (Builder::Pip, Doing::Rehearse),
    ];
    for (builder, doing) in some(cases, 2) {
        let at = format!("{builder:?}-{doing:?}");
        let node = scene.node(&scene.world.path(&format!("{at}, a node")));
        let (mut killed, pids) = scene.building(&mut builder.command(&node, doing));
        killed.signal("KILL");
        wait_until("its end", || killed.has_ended());
        assert!(pids.len() == 2 && pids.iter().all(lives), "{at}: {pids:?} went with it");
        if let Doing::Install = doing {
            // By itself, whatever comes afterwards.
            let _ = node.install(["resume"]).ok();
            tidy(&node, &at);
        }

        let _ = Run::of(&mut builder.command(&node, Doing::Install)).ok();
        // What may be left wakes up, and would go on building.
        scene.goes_on();
        let left: Vec<&String> = pids.iter().filter(|pid| lives(pid)).collect();
        assert!(left.is_empty(), "{at}: {left:?} live on");
        assert_eq!(services(&node), Vec::<String>::new(), "{at}");
        works(&node, &at);
    }
}

/// A disk with a node on 1.0.0.
struct OnDisk<'a> {
    scene: &'a Scene,
    image: Image,
    node: NodeDir<'a>,
    before: Before,
}

impl<'a> OnDisk<'a> {
    fn new(scene: &'a Scene, name: &str, kind: Kind, megabytes: u64) -> Self {
        let folder = scene.world.path(name);
        std::fs::create_dir(&folder).expect("a scratch folder");
        let image = Image::new(&folder, kind, megabytes);
        let node = scene.node(&image.path().join("node"));
        image.sync();
        let before = Before::of(&node);
        Self { scene, image, node, before }
    }

    /// Starts an install of 1.1.0, and has something happen to the disk while it builds.
    fn meanwhile(&self, builder: Builder, act: impl FnOnce(&Image)) -> Run {
        let (install, _) = self.scene.building(&mut builder.command(&self.node, Doing::Install));
        act(&self.image);
        self.scene.goes_on();
        install.ended()
    }

    /// Nothing is switched and nothing left, and once there is room it is built.
    #[track_caller]
    fn recovers(&self, builder: Builder) {
        let (node, at) = (&self.node, &format!("{builder:?}"));
        settle(node, &self.before, "1.1.0", at);
        assert_eq!(node.current().as_deref(), Some("1.0.0"), "{at}");
        assert!(!node.root.join("releases/1.1.0").exists(), "{at}: half of it is left");
        let _ = Run::of(&mut builder.command(node, Doing::Install)).ok();
        works(node, at);
    }
}

#[track_caller]
fn told_to_make_room(run: Run, node: &NodeDir<'_>) {
    let prefix = node.root.join("releases/1.1.0");
    let disk = format!("build: no space left on the disk of {}: `", prefix.display());
    let next = "free some space (`install prune` removes old releases)";
    let left = "nothing was switched: the node is on 1.0.0 as before";
    let _ = run.refused(7, &[&disk, next, left]);
    assert!(!prefix.exists(), "half of it is left");
}

#[test]
fn the_disk_fills_up_in_a_build() {
    let scene = Scene::new();
    for builder in some([Builder::Uv, Builder::Pip], 1) {
        let disk = OnDisk::new(&scene, &format!("{builder:?}"), Kind::Ext4, 64);
        let run = disk.meanwhile(builder, |image| image.fill(0));
        told_to_make_room(run, &disk.node);
        disk.image.empty();
        disk.recovers(builder);
    }
    // Room for the release, as its descriptor says, and not for pip itself.
    let disk = OnDisk::new(&scene, "narrow", Kind::Ext4, 64);
    disk.image.fill(4 << 20);
    let run = Run::of(&mut Builder::Pip.command(&disk.node, Doing::Install));
    told_to_make_room(run, &disk.node);
    disk.image.empty();
    disk.recovers(Builder::Pip);
}

/// Everything on the disk fails from some moment of the build on.
#[test]
fn the_disk_is_lost_in_a_build() {
    let scene = Scene::new();
    for builder in some([Builder::Uv, Builder::Pip], 1) {
        let disk = OnDisk::new(&scene, &format!("{builder:?}"), Kind::Xfs, 300);
        let run = disk.meanwhile(builder, |image| image.cut(Cut::NothingFlushed));
        let _ = run.refused(1, &["build: ", "Input/output error", "run `install resume`"]);
        disk.image.again();
        disk.recovers(builder);
    }
}
