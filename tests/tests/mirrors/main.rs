//! A node whose repository is in several places, of which some lie, fail, or are late: real servers
//! against the real `install`. Row 16 of the trust requirements, the half that one server cannot show.
//!
//! Whatever a place does, the next one is asked, its name is said, and what is trusted does not change.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod streams;

use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_tests::attacker::{Answer, Attacker, Forger};
use cutover_tests::world::{NodeDir, Run, World, free_address};
use serde_json::json;

const TIMESTAMP: &str = "metadata/timestamp.json";

/// A node that takes releases from these places, in this order.
fn node<'w>(world: &'w World, places: &[String]) -> NodeDir<'w> {
    let node = world.node(None);
    let folder = format!("repository = \"{}\"\n", world.repository().display());
    let [first, mirrors @ ..] = places else { panic!("no place") };
    let named = format!("repository = \"{first}\"\nmirrors = {}\n", json!(mirrors));
    node.change(&folder, &named);
    node
}

/// What the repository is now, copied elsewhere, as a mirror has it.
fn copied(world: &World, name: &str) -> PathBuf {
    let copy = world.path(name);
    let copied = Command::new("cp").arg("-r").arg(world.repository()).arg(&copy).status().unwrap();
    assert!(copied.success());
    copy
}

#[test]
fn whatever_a_place_answers() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let (hostile, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let unsigned = br#"{"signatures":[],"signed":{}}"#.to_vec();
    for (path, answer, words) in [
        ("metadata/2.root.json", Answer::Bytes(b"{}".to_vec()), "is not trusted"),
        ("metadata/2.root.json", Answer::Status(401), "401"),
        (TIMESTAMP, Answer::Status(403), "403"),
        (TIMESTAMP, Answer::Status(429), "429"),
        (TIMESTAMP, Answer::Endless(b"{".to_vec()), "larger than"),
        (TIMESTAMP, Answer::Status(404), "there is no repository at"),
        ("metadata/2.snapshot.json", Answer::Status(404), "incomplete"),
        ("metadata/1.targets.json", Answer::Bytes(unsigned.clone()), "1.targets.json"),
        ("metadata/2.channel-stable.json", Answer::Bytes(unsigned), "channel-stable"),
    ] {
        let node = node(&world, &[hostile.url(), honest.url()]);
        forget(&node);
        hostile.answer(path, answer);
        let run = node.install(["stable"]).ok();
        assert!(run.stderr.contains(&format!("passing over {}", hostile.url())), "{path}: {run}");
        assert!(run.stderr.contains(words), "{path}: {run}");
        assert_eq!(node.current().as_deref(), Some("1.0.0"));
        let _ = node.install(["verify"]).ok();
        // The next run begins with the first again, and is content with it.
        hostile.relent();
        let _ = (hostile.asked(), honest.asked());
        let again = node.install(["stable"]).ok();
        assert!(!again.stderr.contains("passing over"), "{again}");
        assert!(!hostile.asked().is_empty() && honest.asked().is_empty());
        std::fs::remove_dir_all(&node.root).unwrap();
    }
}

/// The stored name of a file of the release, by the end of its name.
fn file_of(world: &World, end: &str) -> String {
    let folder = "targets/releases/tiny/1.0.0";
    let files = std::fs::read_dir(world.repository().join(folder)).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let name = names.find(|name| name.ends_with(end)).unwrap();
    format!("{folder}/{name}")
}

#[test]
fn wrong_files_of_a_release() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let (hostile, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    // The whole bundle is wrong, or its second half is; the descriptor, the list, the frame table; or they are gone.
    for (number, (end, spoil)) in [
        (".release.json", Some(0)),
        (".files.json.zst", Some(10)),
        (".tar.zst", Some(0)),
        (".tar.zst", Some(400)),
        (".frames.bin", Some(30)),
        (".frames.bin", None),
        (".release.json", None),
        (".files.json.zst", None),
        (".tar.zst", None),
    ]
    .into_iter()
    .enumerate()
    {
        let path = file_of(&world, end);
        let answer = match spoil {
            None => Answer::Status(404),
            Some(at) => {
                let mut bytes = std::fs::read(world.repository().join(&path)).unwrap();
                bytes[at] ^= 1;
                Answer::Bytes(bytes)
            }
        };
        let node = node(&world, &[hostile.url(), honest.url()]);
        hostile.answer(&path, answer);
        let run = node.install(["1.0.0"]).ok();
        hostile.relent();
        let words = format!("passing over {}", hostile.url());
        assert_eq!(run.stderr.matches(&words).count(), 1, "{number} {end}: {run}");
        let _ = node.install(["verify"]).ok();
        std::fs::remove_dir_all(&node.root).unwrap();
    }
}

#[test]
fn places_that_are_not_there() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let honest = Attacker::serve(&world.repository());
    let dead = format!("http://{}", free_address());
    let gone = world.path("no-such-mirror").display().to_string();
    let node = node(&world, &[gone.clone(), dead.clone(), honest.url()]);
    let run = node.install(["stable"]).ok();
    for place in [&gone, &dead] {
        assert!(run.stderr.contains(&format!("passing over {place}")), "{run}");
    }
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
}

#[test]
fn all_of_them_lie() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let (one, two) = (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let node = node(&world, &[one.url(), two.url()]);
    let _ = node.install(["1.0.0"]).ok();
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let state = || (node.inventory(), node.current(), trusted(&node.root));
    let before = state();
    // The first failure decides over the exit code; all are told.
    one.answer(TIMESTAMP, Answer::Bytes(b"{}".to_vec()));
    two.answer(TIMESTAMP, Answer::Status(500));
    let run = node.install(["stable"]);
    run.clone().refused(3, &["is not trusted", &one.url(), &two.url()]);
    assert!(state() == before);
    one.answer(TIMESTAMP, Answer::Status(500));
    two.answer(TIMESTAMP, Answer::Bytes(b"{}".to_vec()));
    node.install(["stable"]).refused(8, &["500", &one.url(), &two.url()]);
    assert!(state() == before);
    one.relent();
    let _ = node.install(["stable"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

fn trusted(root: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(root.join("state/trust")).unwrap();
    let read = |file: std::fs::DirEntry| {
        (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())
    };
    let mut files: Vec<_> = files.map(|file| read(file.unwrap())).collect();
    files.sort();
    files
}

/// One that is only late stops nobody: neither as an error, nor as a way back.
#[test]
fn a_mirror_that_is_late() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let late = Attacker::serve(&copied(&world, "late"));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let fresh = Attacker::serve(&world.repository());
    let node = node(&world, &[late.url(), fresh.url()]);
    // `install init` has seen the newest state: the late one went back, and is passed over.
    let run = node.install(["stable"]).ok();
    assert!(run.stderr.contains(&format!("passing over {}", late.url())), "{run}");
    assert!(run.stderr.contains("went back from version"), "{run}");
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
    // A node that knows nothing believes it, but does not take its word for what there is not.
    forget(&node);
    assert!(!node.install(["plan", "1.0.0"]).ok().stderr.contains("passing over"));
    forget(&node);
    let run = node.install(["plan", "1.1.0", "--json"]).ok();
    assert_eq!(run.json()["to"], "1.1.0");
    assert!(!fresh.asked().is_empty());
    node.install(["6.6.6"]).refused(4, &["no release 6.6.6"]);
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

/// Lets the node trust the first root again and nothing else.
fn forget(node: &NodeDir<'_>) {
    for (name, _) in trusted(&node.root) {
        if name != "root.json" {
            std::fs::remove_file(node.root.join("state/trust").join(name)).unwrap();
        }
    }
}

/// The newest timestamp, and next to nothing of what it names: the rest comes from elsewhere.
#[test]
fn a_mirror_that_is_half_copied() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let half = copied(&world, "half");
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    std::fs::copy(world.repository().join(TIMESTAMP), half.join(TIMESTAMP)).unwrap();
    let (half, whole) = (Attacker::serve(&half), Attacker::serve(&world.repository()));
    let node = node(&world, &[half.url(), whole.url()]);
    let _ = node.install(["stable"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

/// Who has stolen the online keys and one mirror gains nothing that the other does not show, and what
/// one of them set as a floor holds for both.
#[test]
fn stolen_online_keys_on_one_mirror() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let (thief, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let node = node(&world, &[thief.url(), honest.url()]);
    let forger = Forger::new(world.repository(), world.path("keys"));
    // A snapshot that takes a role away is passed over, though well signed.
    let removed = forger.online(1, |snapshot| {
        let _ = snapshot["meta"].as_object_mut().and_then(|meta| meta.remove("releases.json"));
    });
    removed.into_iter().for_each(|(path, bytes)| thief.answer(&path, Answer::Bytes(bytes)));
    let words = ["no longer in the snapshot", "went back", &thief.url(), &honest.url()];
    node.install(["1.0.0"]).refused(3, &words);
    assert_eq!(node.current(), None);
}

#[test]
fn init_takes_mirrors() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let honest = Attacker::serve(&world.repository());
    let dead = format!("http://{}", free_address());
    let root = world.path("node");
    let init = |places: &[&str]| {
        let mut command = world.command("install");
        command.arg("init").arg("--root").arg(&root).arg("--trust").arg(world.root_json());
        Run::of(command.args(["--repo", &dead]).args(places))
    };
    init(&[]).refused(8, &["cannot reach"]);
    assert!(!root.exists());
    init(&["--mirror", "gopher://x"]).refused(2, &["gopher:// is not supported"]);
    let run = init(&["--mirror", &honest.url(), "--mirror", "/no/such"]).ok();
    assert!(run.stderr.contains(&format!("passing over {dead}")), "{run}");
    let node = NodeDir::at(&world, root.clone());
    let status = node.status();
    assert_eq!(status["repository"], json!(dead));
    assert_eq!(status["mirrors"], json!([honest.url(), "/no/such"]));
    let _ = node.install(["1.0.0"]).ok();
}

/// People without a node are no worse off: what one place does not give, or forges, comes from the next.
#[test]
fn fetch_takes_mirrors() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let (hostile, honest) =
        (Attacker::serve(&world.repository()), Attacker::serve(&world.repository()));
    let dead = format!("http://{}", free_address());
    let gone = world.path("no-such-mirror").display().to_string();
    let fetch = |what: &str, repository: &str, mirrors: &[&str], to: &str| {
        let mut command = world.command("install");
        command.env("XDG_STATE_HOME", world.path("xdg")).args(["fetch", what, "--all"]);
        command.args(["--repo", repository]).arg("--output").arg(world.path(to));
        for mirror in mirrors {
            command.args(["--mirror", mirror]);
        }
        Run::of(command.arg("--trust").arg(world.root_json()))
    };
    fetch("stable", &dead, &[], "none").refused(8, &["cannot reach"]);
    assert!(!world.path("none").exists());
    fetch("stable", &dead, &["gopher://x"], "none").refused(2, &["gopher:// is not supported"]);
    let run = fetch("stable", &gone, &[&dead, &honest.url()], "dead").ok();
    for place in [&gone, &dead] {
        assert!(run.stderr.contains(&format!("passing over {place}")), "{run}");
    }
    let bundle = std::fs::read(world.path("dead").join("tiny-1.0.0.tar.zst")).unwrap();

    // The bundle, the list or the frame table of the first place is not what was signed.
    for end in [".tar.zst", ".files.json.zst", ".frames.bin"] {
        let path = file_of(&world, end);
        let mut bytes = std::fs::read(world.repository().join(&path)).unwrap();
        bytes[10] ^= 1;
        hostile.answer(&path, Answer::Bytes(bytes));
        let run = fetch("tiny@1.0.0", &hostile.url(), &[&honest.url()], end).ok();
        assert!(run.stderr.contains(&format!("passing over {}", hostile.url())), "{run}");
        let fetched = std::fs::read(world.path(end).join("tiny-1.0.0.tar.zst")).unwrap();
        assert!(fetched == bundle, "{end}");
        assert_eq!(
            std::fs::read_dir(world.path(end)).unwrap().count(),
            5,
            "{end}: no part is left"
        );
        fetch("tiny@1.0.0", &hostile.url(), &[], "none").refused(3, &[]);
        assert!(!world.path("none").join("tiny-1.0.0.tar.zst").exists());
        hostile.relent();
    }

    // Memory is the repository's: no mirror shows an older state than was seen of it.
    let late = Attacker::serve(&copied(&world, "late"));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let _ = fetch("stable", &dead, &[&honest.url()], "newest").ok();
    let run = fetch("stable", &dead, &[&late.url()], "older");
    // The first failure decides over the exit code.
    run.refused(8, &["cannot reach", "went back from version"]);
    let run = fetch("tiny@1.1.0", &late.url(), &[&honest.url()], "other").ok();
    assert!(!run.stderr.contains("went back"), "another repository's memory: {run}");
}
