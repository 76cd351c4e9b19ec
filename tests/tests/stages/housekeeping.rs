//! What cannot be tidied up or put on record keeps nobody from working: it is told and tried again.

use std::path::{Path, PathBuf};

use cutover_tests::world::{Run, World};

use crate::common::{Scene, noting};
use crate::crashes::{hanging, is_gone, kill_in_stage};

/// A folder that nobody can remove, because something is mounted there.
struct Held(PathBuf);

impl Held {
    fn at(path: &Path) -> Self {
        let _ = Run::of(std::process::Command::new("mount").arg("--bind").arg(path).arg(path)).ok();
        Self(path.to_owned())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn what_cannot_be_removed() {
    let world = World::new();
    let versions = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];
    let _tree = world.release_tiny(&versions);
    let node = world.node(None);
    node.change("keep = 3", "keep = 1");
    let _ = node.install(["1.0.0"]).ok();
    let folder = node.root.join("releases/1.0.0/held");
    std::fs::create_dir(&folder).unwrap();
    let held = Held::at(&folder);
    let mut told = 0;
    for version in &versions[1..] {
        let run = node.install([*version]).ok();
        let words = format!("cannot remove {}", folder.display());
        told += usize::from(run.stderr.contains(&words));
        assert_eq!(node.current().as_deref(), Some(*version));
    }
    assert!(told > 1, "each time anew: {told}");
    let log = node.install(["log", "--last"]).ok();
    assert!(log.stdout.contains("warning: cannot remove"), "{log}");
    let _ = node.install(["rollback"]).ok();
    let _ = node.install(["resume"]).ok();
    // What is asked for cannot be done.
    node.install(["prune"]).refused(1, &["cannot remove", "is tried again"]);
    let run = node.install(["prune", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).expect("one object");
    assert!(answer["error"].to_string().contains("cannot remove"), "{run}");
    let _ = node.install(["verify"]).ok();
    drop(held);
    let _ = node.install(["prune"]).ok();
    assert!(!node.root.join("releases/1.0.0").exists());
}

#[test]
fn folders_that_are_missing() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    for folder in ["state/receipts", "config", "run", "shared"] {
        std::fs::remove_dir_all(node.root.join(folder)).unwrap();
    }
    let _ = node.install(["status"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let _ = node.install(["rollback"]).ok();
    std::fs::remove_dir_all(node.root.join("run")).unwrap();
    let _ = node.install(["prune"]).ok();
    let _ = node.install(["rehearse", "1.1.0"]).ok();
}

#[test]
fn what_cannot_be_put_on_record_is_put_there_later() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let root = scene.node.root.clone();
    // A folder where the new file would be written.
    let in_the_way = root.join("state/.standings.json.new");
    std::fs::create_dir_all(in_the_way.join("x")).unwrap();
    let run = scene.node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("is not on record yet"), "{run}");
    assert_eq!(scene.served(), "1.1.0");
    assert_eq!(scene.node.status()["previous"], serde_json::Value::Null);
    // Neither does it stop what comes next.
    let run = scene.node.install(["resume"]).ok();
    assert!(run.stderr.contains("is not on record yet"), "{run}");
    std::fs::remove_dir_all(&in_the_way).unwrap();
    let _ = scene.node.install(["resume"]).ok();
    assert_eq!(scene.node.status()["previous"], "1.0.0");
    scene.is_on_the_new();
    let _ = scene.node.install(["rollback"]).ok();
    scene.is_as_before();
}

/// What is remembered of releases is of use, and no reason to stand still.
#[test]
fn a_damaged_memory_of_releases_stops_nothing() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let _ = scene.node.install(["1.1.0"]).ok();
    let memory = scene.node.root.join("state/standings.json");
    let words = "which releases ran well or failed on this node is not known any more";
    let damage = || std::fs::write(&memory, "{\"previous\": \"1.0").unwrap();
    damage();
    for arguments in [&["status"][..], &["list"], &["plan", "stable"], &["rehearse", "1.0.0"]] {
        let run = scene.node.install(arguments.iter().copied()).ok();
        assert!(run.stderr.contains(words), "{run}");
    }
    scene.node.install(["prune"]).refused(1, &["cannot understand", "nothing was removed"]);
    scene.node.install(["rollback"]).refused(4, &[words, "no release ran before"]);
    let run = scene.node.install(["rollback", "--to", "1.0.0"]).ok();
    assert!(run.stderr.contains("it is begun anew; no old release is removed"), "{run}");
    scene.is_as_before();
    damage();
    let run = scene.node.install(["stable"]).ok();
    assert!(run.stderr.contains(words), "{run}");
    scene.is_on_the_new();
    assert_eq!(scene.node.status()["previous"], "1.0.0");
    let _ = scene.node.install(["prune"]).ok();
    let _ = scene.node.install(["rollback"]).ok();
    scene.is_as_before();
}

/// A stage may start what is to run on. Only what the stage left that was cut off is ended.
#[test]
fn what_a_finished_stage_started_runs_on() {
    let world = World::new();
    let daemon = "[stage.daemon]\nafter = 'unpack'\n\
        run = 'setsid sleep 600 > /dev/null 2>&1 & echo $! > {root}/shared/daemon'\n";
    let release = daemon.to_owned() + &hanging("before = 'switch'");
    let scene = Scene::new(&world, &release, "");
    kill_in_stage(&scene, &["1.1.0"]);
    let pid = |name: &str| std::fs::read_to_string(scene.node.root.join("shared").join(name));
    let (daemon, hung) = (pid("daemon").unwrap(), pid("pid").unwrap());
    let _ = scene.node.install(["resume"]).ok();
    assert!(is_gone(&hung), "it would act beside its own undoing");
    assert!(!is_gone(&daemon), "it runs on purpose");
    let _ = Run::of(std::process::Command::new("kill").arg(daemon.trim())).ok();
    scene.is_as_before();
}

#[test]
fn a_journal_of_a_newer_program_is_left_alone() {
    let world = World::new();
    let release = noting("first", "after = 'unpack'") + &hanging("before = 'switch'");
    let scene = Scene::new(&world, &release, "");
    kill_in_stage(&scene, &["1.1.0"]);
    let journal = scene.node.root.join("state/journal");
    let ours = std::fs::read_to_string(&journal).unwrap();
    let newer = ours.replace("cutover.journal/1.0", "cutover.journal/2.0");
    let torn = ours.replacen("{\"stage\"", "{\"sta", 1);
    for (text, words) in [
        (newer, "format `cutover.journal/2.0` is newer than this program"),
        (torn, "cannot be understood"),
    ] {
        assert_ne!(text, ours);
        std::fs::write(&journal, &text).unwrap();
        for arguments in [&["1.1.0"][..], &["rollback"], &["prune"], &["resume"], &["apply"]] {
            let run = scene.node.install(arguments.iter().copied());
            run.refused(2, &[words, "an install was cut off"]);
        }
        let status = scene.node.install(["status"]).ok();
        assert!(status.stderr.contains(words), "{status}");
        assert_eq!(std::fs::read_to_string(&journal).unwrap(), text);
    }
    std::fs::write(&journal, &ours).unwrap();
    let _ = scene.node.install(["resume"]).ok();
    assert_eq!(scene.log(), ["first", "hang", "-hang", "-first"]);
    scene.is_as_before();
}
