//! Real disks of a few megabytes that fill up, or turn read-only, while an install is stopped.

use std::process::{Child, Command, Stdio};

use cutover_tests::aftermath::{Before, settle, whole};
use cutover_tests::image::{Image, Kind};
use cutover_tests::strace::{CHANGES, Fault, Site, sites, stopped_at, with_fault};
use cutover_tests::world::{NodeDir, Run, World, wait_until};

/// Contents that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}

/// 1.0.0 is small; 1.1.0 has a file of 3 MiB.
#[expect(clippy::unwrap_used, reason = "a part of the tests below")]
fn world() -> World {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    std::fs::write(tree.folder.join("noise"), noise(3 << 20)).unwrap();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    world
}

/// A node on a disk of its own that runs 1.0.0.
fn node<'a>(world: &'a World, image: &Image) -> NodeDir<'a> {
    let node = world.unmade_node(image.path().join("node"), None);
    let _ = Run::of(&mut node.init()).ok();
    let _ = node.install(["1.0.0"]).ok();
    node
}

/// An install that `strace` has stopped.
struct Stopped {
    strace: Child,
    pid: String,
}

impl Stopped {
    /// Starts `command`, and returns once it has stopped at `site`.
    fn at(node: &NodeDir<'_>, command: &Command, site: &Site) -> Self {
        // Not on the disk that something is about to happen to.
        let trace = tempfile::NamedTempFile::new().expect("a scratch file");
        let mut strace = stopped_at(command, site, trace.path());
        let strace = strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let strace = strace.spawn().expect("strace is installed");
        wait_until("the install has stopped", || {
            let trace = std::fs::read_to_string(trace.path()).unwrap_or_default();
            trace.contains("stopped by SIGSTOP")
        });
        let lock = std::fs::read_to_string(node.root.join("state/lock")).expect("it is held");
        let lock: serde_json::Value = serde_json::from_str(&lock).expect("it says by whom");
        let pid = lock["pid"].to_string();
        Self { strace, pid }
    }

    fn goes_on(self) -> Run {
        let _ = Run::of(Command::new("kill").args(["-s", "CONT", &self.pid])).ok();
        let output = self.strace.wait_with_output().expect("strace ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("programs print UTF-8");
        Run {
            status: output.status.code().expect("it was not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

#[expect(clippy::unwrap_used, reason = "a part of the tests below")]
/// Where an install of 1.1.0 first makes `call` on a file whose path ends in `file`.
fn site(node: &NodeDir<'_>, call: &str, file: &str) -> Site {
    let pristine = node.root.with_extension("pristine");
    cutover_tests::trial::copy(&node.root, &pristine);
    let mut command = node.command();
    command.arg("1.1.0");
    let sites = sites(&command, &CHANGES);
    cutover_tests::trial::copy(&pristine, &node.root);
    std::fs::remove_dir_all(&pristine).unwrap();
    let is = |site: &&Site| {
        site.call == call && site.file.as_ref().is_some_and(|name| name.ends_with(file))
    };
    let found = sites.iter().find(is);
    let found = found.unwrap_or_else(|| panic!("no {call} of {file}: {sites:#?}"));
    found.clone().first_of_its_file()
}

#[test]
fn the_disk_fills_up_meanwhile() {
    fills_up_meanwhile(Kind::Ext4, 32);
}

/// It keeps back what it needs itself, and sets space aside for files that grow.
#[test]
fn an_xfs_fills_up_meanwhile() {
    fills_up_meanwhile(Kind::Xfs, 300);
}

#[expect(clippy::print_stdout, reason = "what was said, for whoever runs the test")]
fn fills_up_meanwhile(kind: Kind, megabytes: u64) {
    let world = world();
    let image = Image::new(&world.path(""), kind, megabytes);
    let node = node(&world, &image);
    for (stage, call, file, leave) in [
        ("verify", "write", "/.release.json.new", 0),
        ("unpack", "mkdirat", "/releases/1.1.0", 1 << 20),
        // Before its contents: what it replaces comes free with it, and may do for what follows.
        ("settle", "open", "/.standings.json.new", 0),
    ] {
        let site = site(&node, call, file);
        let before = Before::of(&node);
        let mut command = node.command();
        command.arg("1.1.0");
        let stopped = Stopped::at(&node, &command, &site);
        image.fill(leave);
        let run = stopped.goes_on();
        println!("{stage}: {run}");
        // What cannot be put on record is put there later.
        let expected = if stage == "settle" { 0 } else { 7 };
        assert_eq!(run.status, expected, "{stage}: {run}");
        assert!(run.stderr.contains("No space left"), "{stage}: {run}");
        // Whatever can be said of the node is said although the disk is full.
        let _ = node.install(["status"]).ok();
        let _ = node.install(["verify", "--all"]).ok();
        image.empty();
        settle(&node, &before, "1.1.0", stage);
        let _ = node.install(["1.1.0"]).ok();
        whole(&node, stage);
        let _ = node.install(["rollback", "--to", "1.0.0"]).ok();
        forget(&node);
    }
}

#[expect(clippy::unwrap_used, reason = "a part of the tests below")]
/// Takes 1.1.0 off the node, as if it had never been brought.
fn forget(node: &NodeDir<'_>) {
    for folder in ["releases", "state/releases"] {
        std::fs::remove_dir_all(node.root.join(folder).join("1.1.0")).unwrap();
    }
}

/// Nothing was touched yet, and that is what is said, with what to do; also where not even the record of
/// it finds room. What was brought gives its room back.
#[test]
fn no_room_to_unpack() {
    let world = world();
    let image = Image::new(&world.path(""), Kind::Ext4, 32);
    let node = node(&world, &image);
    let site = site(&node, "mkdirat", "/releases/1.1.0");
    for leave in [0, 1 << 20] {
        let before = Before::of(&node);
        let mut command = node.command();
        command.arg("1.1.0");
        let stopped = Stopped::at(&node, &command, &site);
        image.fill(leave);
        let run = stopped.goes_on();
        println!("{run}");
        let root = node.root.display().to_string();
        let run = run.refused(
            7,
            &[
                "unpack: cannot ",
                "No space left",
                "nothing was switched: the node is on 1.0.0 as before",
                &format!("more at {root}, then try again"),
                "hint: free ",
            ],
        );
        assert!(!run.stderr.contains("could not be finished"), "{run}");
        assert_eq!(node.current().as_deref(), Some("1.0.0"));
        assert!(!node.root.join("releases/1.1.0").exists());
        image.empty();
        settle(&node, &before, "1.1.0", "unpack");
    }
    let _ = node.install(["1.1.0"]).ok();
    whole(&node, "afterwards");
}

#[test]
fn the_disk_turns_read_only_meanwhile() {
    let world = world();
    for (stage, call, file) in [
        ("unpack", "write", "releases/1.1.0/noise"),
        ("switch", "symlink", "/.current.new"),
        ("settle", "write", "/.standings.json.new"),
    ] {
        let folder = world.path(stage);
        std::fs::create_dir(&folder).unwrap();
        let image = Image::new(&folder, Kind::Ext4, 32);
        let node = node(&world, &image);
        let site = site(&node, call, file);
        image.sync();
        let before = Before::of(&node);
        let mut command = node.command();
        command.arg("1.1.0");
        let stopped = Stopped::at(&node, &command, &site);
        image.abort();
        let run = stopped.goes_on();
        println!("{stage}: {run}");
        assert_eq!(run.status == 0, stage == "settle", "{stage}: {run}");
        assert!(!run.stderr.contains("panicked"), "{stage}: {run}");
        assert!(run.stderr.contains("Read-only file system"), "{stage}: {run}");
        image.again();
        settle(&node, &before, "1.1.0", stage);
        let _ = node.install(["1.1.0"]).ok();
        whole(&node, stage);
    }
}

/// `ulimit -f` lets a write through in part, and then no more: a short write, for real.
#[test]
fn files_may_not_grow_any_further() {
    let world = world();
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let before = Before::of(&node);
    let mut limited = Command::new("bash");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1500; exec \"$@\"", "bash"]);
    let command = node.command();
    limited.arg(command.get_program()).arg("1.1.0").env("CUTOVER_ROOT", &node.root);
    let run = Run::of(&mut limited);
    run.refused(7, &["File too large", "nothing was switched"]);
    assert!(!node.root.join("releases/1.1.0").exists(), "it gives its room back");
    settle(&node, &before, "1.1.0", "limited");
    let _ = node.install(["1.1.0"]).ok();
    whole(&node, "limited");
}

/// A disk that says that it wrote what it did not write.
#[test]
fn a_disk_that_lies_is_found_out() {
    let world = world();
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let mut command = node.command();
    command.arg("1.1.0");
    let unpacked = site(&node, "write", "releases/1.1.0/app.py");
    let _ = Run::of(&mut with_fault(&command, &unpacked, Fault::Lie(100))).ok();
    node.install(["verify"]).refused(3, &["app.py"]);
}
