//! `install fetch`: a release for people who only want its files.

use std::path::{Path, PathBuf};
use std::process::Command;

use cutover_tests::attacker::{Answer, Attacker};
use cutover_tests::world::{Run, World, free_address, inventory};

/// Somebody without a node: what they remember, and where they download to.
struct Person<'a> {
    world: &'a World,
    repository: String,
}

impl<'a> Person<'a> {
    fn of(world: &'a World, repository: String) -> Self {
        Self { world, repository }
    }

    fn output(&self) -> PathBuf {
        self.world.path("downloads")
    }

    fn command(&self, what: &str) -> Command {
        let mut command = self.world.command("install");
        command.env("XDG_STATE_HOME", self.world.path("xdg")).args(["fetch", what]);
        command.args(["--repo", &self.repository]).arg("--output").arg(self.output());
        command
    }

    fn fetch(&self, what: &str) -> Run {
        Run::of(self.command(what).arg("--trust").arg(self.world.root_json()))
    }

    fn names(&self) -> Vec<String> {
        if !self.output().exists() {
            return Vec::new();
        }
        let lines = inventory(&self.output(), &[]).into_iter();
        lines.map(|line| line.split(' ').next().expect("a name").to_owned()).collect()
    }
}

/// Where the only file stands whose name ends so.
fn stored(world: &World, end: &str) -> String {
    let repository = world.repository();
    let mut found = inventory(&repository.join("targets"), &[]).into_iter().filter_map(|line| {
        let path = line.split(' ').next().expect("a name").to_owned();
        path.ends_with(end).then(|| format!("targets/{path}"))
    });
    found.next().expect(end)
}

#[test]
fn a_release_is_fetched_from_a_folder_and_over_http_by_version_requirement_and_channel() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let (_server, url) = world.serve(&[]);
    let file_url = format!("file://{}", world.repository().display());
    for (repository, what, version) in [
        (file_url, "tiny@1.0.0", "1.0.0"),
        (world.repository().display().to_string(), "^1", "1.1.0"),
        (url, "stable", "1.1.0"),
    ] {
        let person = Person::of(&world, repository);
        let got = Run::of(person.command(what).arg("--json").arg("--trust").arg(world.root_json()));
        let got = got.ok().json();
        assert_eq!(got["version"], version);
        assert_eq!(got["tag"], format!("v{version}"));
        let signed_by = got["signed_by"]["role"].as_str().expect("a role");
        assert!(signed_by.starts_with("releases-"), "{got}");
        let name = format!("tiny-{version}.tar.zst");
        assert_eq!(person.names(), [name.as_str()]);
        let path = person.output().join(&name);
        assert_eq!(Some(path.as_path()), got["files"][0]["path"].as_str().map(Path::new));
        let unpacked = Command::new("tar")
            .args(["--zstd", "-xOf"])
            .arg(&path)
            .arg(format!("tiny-{version}/VERSION"))
            .output();
        assert_eq!(unpacked.expect("tar runs").stdout, version.as_bytes());
        // Again: it is there already.
        let again = person.fetch(what).ok();
        assert!(again.stdout.contains("was there already"), "{again}");
        std::fs::remove_dir_all(person.output()).expect("it was made");
    }
    let memory = world.path("xdg/cutover/trust");
    assert_eq!(std::fs::read_dir(memory).expect("it is remembered").count(), 2);
}

#[test]
fn all_of_a_release_checks_itself() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let person = Person::of(&world, world.repository().display().to_string());
    let mut all = person.command("1.0.0");
    let _ = Run::of(all.arg("--all").arg("--trust").arg(world.root_json())).ok();
    assert_eq!(
        person.names(),
        ["SHA256SUMS", "files.json.zst", "frames.bin", "release.json", "tiny-1.0.0.tar.zst"]
    );
    let mut check = Command::new("sha256sum");
    check.args(["-c", "--ignore-missing", "SHA256SUMS"]).current_dir(person.output());
    assert_eq!(Run::of(&mut check).ok().stdout.matches(": OK").count(), 4);
}

/// In a folder that others may write to, what they left is neither gone on with nor taken for the release.
#[test]
fn what_others_could_change_is_not_gone_on_with() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
    const NOBODY: u32 = 65534;
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let person = Person::of(&world, world.repository().display().to_string());
    let path = person.output().join("tiny-1.0.0.tar.zst");
    let part = person.output().join("tiny-1.0.0.tar.zst.part");
    std::fs::create_dir(person.output()).expect("a folder");
    let begin = |what: &dyn Fn()| {
        what();
        let _ = person.fetch("tiny@1.0.0").ok();
        let found = std::fs::symlink_metadata(&path).expect("the bundle");
        assert!(found.is_file() && found.uid() == 0 && found.nlink() == 1, "{found:?}");
        assert_eq!(found.mode() & 0o022, 0, "{found:?}");
        std::fs::remove_file(&path).expect("it is there");
    };
    let make = |path: &Path, mode| {
        std::fs::write(path, "").expect("a file");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode");
    };
    begin(&|| {
        make(&part, 0o644);
        chown(&part, Some(NOBODY), None).expect("this test runs as root");
    });
    begin(&|| make(&part, 0o666));
    let other = world.path("other");
    make(&other, 0o644);
    begin(&|| std::fs::hard_link(&other, &part).expect("a second name"));
    begin(&|| symlink(&other, &part).expect("a link"));
    assert_eq!(std::fs::read(&other).expect("it is there"), b"", "nobody wrote there");
    // The whole bundle, of somebody else.
    let _ = person.fetch("tiny@1.0.0").ok();
    for (owner, mode) in [(NOBODY, 0o644), (0, 0o664), (0, 0o666)] {
        chown(&path, Some(owner), None).expect("this test runs as root");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
        let refused = person.fetch("tiny@1.0.0");
        assert_eq!(refused.status, 2, "{refused}");
        assert!(refused.stderr.contains("another user could change it"), "{refused}");
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let person = Person::of(&world, world.repository().display().to_string());
    std::fs::create_dir(person.output()).expect("a folder");
    let mine = person.output().join("tiny-1.0.0.tar.zst");
    std::fs::write(&mine, "mine").expect("written");
    let words = ["tiny-1.0.0.tar.zst is there already", "left as it is"];
    let _ = person.fetch("1.0.0").refused(2, &words);
    assert_eq!(std::fs::read(&mine).expect("it is there"), b"mine");
    assert_eq!(person.names(), ["tiny-1.0.0.tar.zst"]);
}

#[test]
fn what_is_tampered_with_or_old_is_refused_and_nothing_written() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let attacker = Attacker::serve(&world.repository());
    let person = Person::of(&world, attacker.url());
    let bundle = stored(&world, ".tar.zst");
    let mut bytes = std::fs::read(world.repository().join(&bundle)).expect("the bundle");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    attacker.answer(&bundle, Answer::Bytes(bytes));
    let _ = person.fetch("1.0.0").refused(3, &["sha256", "was signed"]);
    assert!(person.names().is_empty(), "{:?}", person.names());
    attacker.answer(&stored(&world, ".release.json"), Answer::Bytes(b"{}".to_vec()));
    let _ = person.fetch("1.0.0").refused(3, &["release.json", "not trusted"]);
    assert!(person.names().is_empty(), "{:?}", person.names());
    attacker.relent();

    // What was seen once is remembered in the next run.
    let old = ["metadata/timestamp.json"];
    let old = old.map(|path| (path, std::fs::read(world.repository().join(path)).expect(path)));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    let _ = person.fetch("tiny@stable").ok();
    for (path, bytes) in old {
        attacker.answer(path, Answer::Bytes(bytes));
    }
    let _ = person.fetch("tiny@stable").refused(3, &["timestamp"]);
    attacker.relent();
    let _ = world.pack(["withdraw", "1.1.0", "--reason", "eats the mail"]).ok();
    let _ = person.fetch("1.1.0").refused(3, &["withdrawn", "eats the mail"]);
}

#[test]
fn other_roots_unknown_versions_and_dead_servers_have_their_exit_codes() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let person = Person::of(&world, world.repository().display().to_string());
    let stranger = World::new();
    let mut wrong = person.command("1.0.0");
    let _ = Run::of(wrong.arg("--trust").arg(stranger.root_json())).refused(3, &["not trusted"]);
    std::fs::write(world.path("no-root.json"), "{}").expect("written");
    let mut none = person.command("1.0.0");
    let _ = Run::of(none.arg("--trust").arg(world.path("no-root.json"))).refused(3, &["root"]);
    let _ = Run::of(&mut person.command("1.0.0")).refused(2, &["--trust"]);
    let _ = person.fetch("1.0.1").refused(4, &["tiny has no release 1.0.1", "1.0.0"]);
    let _ = person.fetch("other@1.0.0").refused(4, &["other has no release 1.0.0"]);
    let _ = person.fetch("stabel").refused(4, &["no channel `stabel`", "stable"]);
    let _ = person.fetch("Tiny@1").refused(2, &["`Tiny` is not a product name"]);
    let nobody = Person::of(&world, format!("http://{}", free_address()));
    let _ = nobody.fetch("1.0.0").refused(8, &["cannot reach"]);
    let nowhere = Person::of(&world, world.path("nowhere").display().to_string());
    let nowhere = nowhere.fetch("1.0.0");
    assert!(matches!(nowhere.status, 4 | 8), "{nowhere}");
    assert!(person.names().is_empty(), "{:?}", person.names());
}

#[test]
fn a_download_that_broke_off_goes_on() {
    let world = World::new();
    let tree = world.tree("tiny");
    let noise = "head -c 13000000 /dev/urandom >noise";
    let _ = Run::of(Command::new("sh").args(["-c", noise]).current_dir(&tree.folder)).ok();
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let bundle = stored(&world, ".tar.zst");
    let bytes = std::fs::read(world.repository().join(&bundle)).expect("the bundle");
    let person = Person::of(&world, world.repository().display().to_string());
    std::fs::create_dir(person.output()).expect("a folder");
    let part = person.output().join("tiny-1.0.0.tar.zst.part");
    // Two frames, and a part of the third.
    std::fs::write(&part, &bytes[..10_000_000]).expect("written");
    let mut fetch = person.command("1.0.0");
    let got = Run::of(fetch.arg("--json").arg("--trust").arg(world.root_json())).ok().json();
    let transferred = got["transferred"].as_u64().expect("a number") as usize;
    assert!((bytes.len() - 10_000_000..=bytes.len() - 8_000_000).contains(&transferred), "{got}");
    assert_eq!(person.names(), ["tiny-1.0.0.tar.zst"]);
    // What was there was something else: it is fetched whole.
    std::fs::remove_dir_all(person.output()).expect("removed");
    std::fs::create_dir(person.output()).expect("a folder");
    std::fs::write(&part, vec![7; 1_000_000]).expect("written");
    let _ = person.fetch("1.0.0").ok();
    let fetched = std::fs::read(person.output().join("tiny-1.0.0.tar.zst")).expect("it is there");
    assert!(fetched == bytes);
}

#[test]
fn a_node_fetches_from_its_own_repository_by_its_own_trust() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    tree.replace("release.toml", "product = \"tiny\"", "product = \"other\"");
    tree.tag("2.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let attacker = Attacker::serve(&world.repository());
    let node = world.unmade_node(world.path("node"), None);
    let mut init = node.init();
    let _ = Run::of(init.args(["--product", "tiny"])).ok();
    node.takes_from(&attacker.url());
    let fetch = |what: &str| {
        let mut command = node.command();
        command.env("XDG_STATE_HOME", world.path("xdg")).args(["fetch", what, "--json"]);
        Run::of(command.arg("--output").arg(world.path("downloads")))
    };

    // The node's product, though the repository has two; and the other one by its name.
    let got = fetch("stable").ok().json();
    assert_eq!(got["product"], "tiny");
    assert_eq!(got["version"], "1.0.0");
    let trust = node.root.join("state/trust");
    assert_eq!(got["remembered_in"].as_str().map(Path::new), Some(trust.as_path()));
    assert!(!world.path("xdg").exists(), "it was remembered as if there were no node");
    assert_eq!(fetch("other@2.0.0").ok().json()["product"], "other");

    // What a fetch has seen, an install does not forget, and the other way round.
    let old = "metadata/timestamp.json";
    let older = std::fs::read(world.repository().join(old)).expect(old);
    let _ = world.pack(["refresh"]).ok();
    let _ = fetch("1.0.0").ok();
    attacker.answer(old, Answer::Bytes(older));
    let _ = fetch("1.0.0").refused(3, &["timestamp"]);
    let _ = node.install(["plan", "1.0.0"]).refused(3, &["timestamp"]);
    attacker.relent();

    // Its mirrors, too.
    node.change(&attacker.url(), &format!("http://{}", free_address()));
    let mirrors = format!("mirrors = [\"{}\"]\n", attacker.url());
    node.set(&format!("{mirrors}{}", node.settings()));
    let _ = fetch("1.0.0").ok();
}

#[test]
fn who_names_neither_a_repository_nor_a_node_is_told_both_ways() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0"]);
    let fetch = |arguments: &[&str]| {
        let mut command = world.command("install");
        Run::of(command.args(["fetch", "stable"]).args(arguments))
    };
    let both = ["no repository is named", "--repo URL --trust ROOT.json", "--root DIR"];
    let _ = fetch(&[]).refused(2, &both);
    let alone = ["on a node leave both out"];
    let _ = fetch(&["--repo", "repository"]).refused(2, &alone);
    let _ = fetch(&["--trust", "repository/metadata/1.root.json"]).refused(2, &alone);
    let _ = fetch(&["--mirror", "repository"]).refused(2, &["--repo"]);
}
