//! `pack release` from the outside: what it makes, what it refuses, and what it leaves alone.

#![expect(clippy::unwrap_used, reason = "a test whose scene cannot be set has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const MANIFEST: &str = "[release]\nproduct = 'weave'\nexclude = ['tests/**']\n";

/// A git tree, keys and a repository, or more of them by other names.
struct Scene(TempDir);

struct Run {
    status: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let status = output.status.code().unwrap();
        Self { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn json(&self) -> Value {
        assert_eq!(self.status, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, status: i32, words: &str) {
        assert_eq!(self.status, status, "{}", self.stderr);
        assert!(self.stderr.contains(words), "{}", self.stderr);
    }
}

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.make("one");
        fs::create_dir(scene.tree()).unwrap();
        scene.git(&["init", "-q", "-b", "main"]);
        scene.write("release.toml", MANIFEST);
        scene.write("app.py", "print('hello')\n");
        scene.write("lib/data.txt", &"some text\n".repeat(1000));
        scene.write("tests/test.py", "assert True\n");
        scene.tag("1.0.0");
        scene
    }

    /// Keys and an empty repository.
    fn make(&self, name: &str) {
        self.pack(name, &["keys", "new", "--unencrypted"]).unwrap_done();
        self.pack(name, &["repo", "init"]).unwrap_done();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    fn write(&self, path: &str, text: &str) {
        let place = self.tree().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn git(&self, args: &[&str]) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.tree()).args(["-c", "user.name=T", "-c", "user.email=t@e.org"]);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        assert!(command.args(args).status().unwrap().success(), "{args:?}");
    }

    fn tag(&self, version: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", version]);
        self.git(&["tag", &format!("v{version}")]);
    }

    /// `pack` with the repository and keys of a name.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pack"));
        for name in ["CUTOVER_PASSPHRASE", "CUTOVER_TOKEN", "CUTOVER_PRODUCT", "SOURCE_DATE_EPOCH"]
        {
            command.env_remove(name);
        }
        command
            .env("CUTOVER_REPO", self.path(&format!("{name}-repository")))
            .env("CUTOVER_KEYS", self.path(&format!("{name}-keys")))
            .env("CUTOVER_CACHE", self.path(&format!("{name}-cache")));
        command
    }

    fn pack(&self, name: &str, args: &[&str]) -> Run {
        Run::of(self.command(name).args(args).output().unwrap())
    }

    fn release(&self, name: &str, args: &[&str]) -> Run {
        let tree = self.tree();
        let mut command = self.command(name);
        command.args(["release", "--json", "--source"]).arg(tree).args(args);
        Run::of(command.output().unwrap())
    }

    fn stored(&self, name: &str, path: &Value) -> Vec<u8> {
        fs::read(self.path(&format!("{name}-repository")).join(path.as_str().unwrap())).unwrap()
    }

    /// Every file of a repository, with its contents.
    fn inventory(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.path(&format!("{name}-repository")), &mut files);
        files.sort();
        files
    }
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(path).unwrap()));
        }
    }
}

impl Run {
    #[track_caller]
    fn unwrap_done(&self) {
        assert_eq!(self.status, 0, "{}", self.stderr);
    }
}

#[test]
fn the_same_tag_twice_gives_the_same_bytes() {
    let scene = Scene::new();
    scene.make("two");
    scene.write("wheels/wheel.txt", "abc");
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let url = format!("file://{}/wheels/wheel.txt", scene.tree().display());
    let vendor = format!("[[vendor.file]]\nurl = '{url}'\nsha256 = '{digest}'\n");
    scene.write("release.toml", &format!("{MANIFEST}{vendor}"));
    scene.tag("1.1.0");
    let one = scene.release("one", &["--channel", "stable"]).json();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    scene.write("app.py", "changed since");
    scene.git(&["commit", "-q", "-a", "-m", "later"]);
    let two = scene.release("two", &["v1.1.0"]).json();
    for part in ["bundle", "files", "descriptor"] {
        assert_eq!(one[part]["path"], two[part]["path"]);
        let bytes = scene.stored("one", &one[part]["path"]);
        assert_eq!(bytes, scene.stored("two", &two[part]["path"]));
        assert!(!bytes.is_empty());
    }
    assert_eq!(one["channel"], "stable");
    assert_eq!(two["channel"], Value::Null);
    assert_eq!(one["vendored"], 1);
    let stored = format!("targets/vendor/file/wheel.txt/{digest}.wheel.txt");
    assert_eq!(scene.stored("one", &Value::from(stored)), b"abc");
}

#[test]
fn what_a_release_holds() {
    let scene = Scene::new();
    let released = scene.release("one", &[]).json();
    let (product, version) = (&released["product"], &released["version"]);
    assert_eq!((product, version), (&Value::from("weave"), &Value::from("1.0.0")));
    assert_eq!(released["files"]["entries"], 4);
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle.tar.zst");
    fs::write(&bundle, scene.stored("one", &released["bundle"]["path"])).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder.path()).arg("--zstd").arg("-xf").arg(&bundle);
    let unpacked = tar.status().unwrap();
    assert!(unpacked.success());
    let top = folder.path().join("weave-1.0.0");
    assert_eq!(fs::read_to_string(top.join("app.py")).unwrap(), "print('hello')\n");
    assert!(top.join("release.toml").exists());
    assert!(!top.join("tests").exists());
}

#[test]
fn a_version_is_published_once() {
    let scene = Scene::new();
    scene.release("one", &[]).unwrap_done();
    let before = scene.inventory("one");
    scene.release("one", &[]).refused(2, "weave 1.0.0 is already published");
    assert_eq!(scene.inventory("one"), before);
}

#[test]
fn a_check_that_fails_stops_the_release() {
    let scene = Scene::new();
    let checks = "[checks]\nbefore-release = ['test -f tests/test.py', 'echo seen; echo x > app.py', 'exit 3']";
    scene.write("release.toml", &format!("{MANIFEST}{checks}"));
    scene.tag("1.1.0");
    let before = scene.inventory("one");
    let run = scene.release("one", &["v1.1.0"]);
    run.refused(5, "the before-release check `exit 3` failed: exit status 3");
    run.refused(5, "no release was made");
    run.refused(5, "\nseen\n");
    assert_eq!(scene.inventory("one"), before);
    assert!(fs::read_to_string(scene.tree().join("app.py")).unwrap().contains("hello"));
}

#[test]
fn checks_change_nothing_and_learn_no_secrets() {
    let scene = Scene::new();
    scene.make("two");
    let checks = "[checks]\nbefore-release = ['echo x > app.py', 'test -z \"$CUTOVER_TOKEN$CUTOVER_PASSPHRASE\"']";
    scene.write("release.toml", &format!("{MANIFEST}{checks}"));
    scene.tag("1.1.0");
    let mut command = scene.command("one");
    command.args(["release", "--json", "v1.1.0", "--source"]).arg(scene.tree());
    command.env("CUTOVER_TOKEN", "t").env("CUTOVER_PASSPHRASE", "p");
    let released = Run::of(command.output().unwrap()).json();
    let plain = scene.release("two", &["v1.0.0"]).json();
    // The manifest grew, and nothing else did.
    let grown = checks.len() as u64;
    let bytes = |it: &Value| it["files"]["bytes"].as_u64().unwrap();
    assert_eq!(bytes(&released), bytes(&plain) + grown);
}

#[test]
fn what_cannot_be_released_leaves_the_repository_alone() {
    let scene = Scene::new();
    let before = scene.inventory("one");
    scene.release("one", &["v9.9.9"]).refused(4, "there is no tag `v9.9.9`");
    scene.release("one", &["--channel", "stabel"]).refused(4, "no channel `stabel`");
    scene.write("app.py", "changed");
    scene.release("one", &[]).refused(2, "1 tracked file is changed but not committed: app.py");
    scene.git(&["checkout", "-q", "app.py"]);
    scene.git(&["tag", "v1"]);
    scene.release("one", &["v1"]).refused(2, "tag `v1` is no version");
    scene.release("one", &["--level", "99"]).refused(2, "99 is not in 1..=19");
    scene.release("one", &["--tree", "x"]).refused(2, "cannot be used with");
    scene.write("release.toml", &format!("{MANIFEST}[config]\n'app.py' = {{ from = 'x' }}"));
    scene.tag("1.2.0");
    let clash = "the [config] file `app.py` is where the release has `app.py`";
    scene.release("one", &["v1.2.0"]).refused(2, clash);
    scene.write("release.toml", "[release]\nproduct = 'weave'\nexclude = ['**']");
    scene.tag("1.3.0");
    scene.release("one", &["v1.3.0"]).refused(2, "there is nothing to release");
    assert_eq!(scene.inventory("one"), before);
}

#[test]
fn a_dry_run_writes_nothing() {
    let scene = Scene::new();
    let before = scene.inventory("one");
    let plan = scene.release("one", &["--dry-run", "--channel", "next"]).json();
    assert_eq!(plan["version"], "1.0.0");
    assert_eq!(plan["files"]["entries"], 3);
    assert_eq!(plan["channel"], "next");
    assert_eq!(plan["signs"].as_array().unwrap().len(), 4);
    assert_eq!(scene.inventory("one"), before);
}

#[test]
fn a_staging_folder() {
    let scene = Scene::new();
    scene.make("two");
    let staging = scene.path("staging");
    fs::create_dir_all(staging.join("empty")).unwrap();
    fs::write(staging.join("app"), "x").unwrap();
    let release = |name: &str, args: &[&str]| {
        let mut command = scene.command(name);
        command.args(["release", "--json", "--version", "2.0.0", "--tree"]).arg(&staging);
        Run::of(command.args(args).output().unwrap())
    };
    release("one", &[]).refused(2, "has no release.toml");
    let one = release("one", &["--product", "files"]).json();
    assert_eq!((&one["product"], &one["commit"]), (&Value::from("files"), &Value::Null));
    assert_eq!(one["files"]["entries"], 2);
    let two = release("two", &["--product", "files"]).json();
    assert_eq!(one["bundle"]["sha256"], two["bundle"]["sha256"]);
    let keys = staging.join("keys");
    fs::create_dir(&keys).unwrap();
    let keys = ["--product", "files", "--keys", keys.to_str().unwrap()];
    release("one", &keys).refused(2, "is inside the tree and would be released");
}

/// What a hook of git's, or its user's settings, put into the environment; and no HOME.
#[test]
fn neither_hooks_nor_settings_nor_a_home_decide_anything() {
    let scene = Scene::new();
    scene.make("two");
    let one = scene.release("one", &[]).json();
    let settings =
        "[log]\n\tshowSignature = true\n[core]\n\tattributesFile = ignored\n\tabbrev = 4\n";
    fs::write(scene.path("settings"), settings).unwrap();
    fs::write(scene.path("ignored"), "* export-ignore\n").unwrap();
    let mut command = scene.command("two");
    command.args(["release", "--json", "--source"]).arg(scene.tree()).current_dir(scene.path("."));
    for name in ["HOME", "XDG_CACHE_HOME", "CUTOVER_CACHE"] {
        command.env_remove(name);
    }
    command.env("GIT_CONFIG_GLOBAL", scene.path("settings"));
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"] {
        command.env(name, scene.path("nowhere"));
    }
    command.env("GIT_ATTR_SOURCE", "HEAD~7").env("GIT_PREFIX", "lib/").env("GIT_TRACE", "1");
    let two = Run::of(command.output().unwrap()).json();
    for part in ["bundle", "descriptor"] {
        assert_eq!(one[part]["sha256"], two[part]["sha256"], "{part}");
    }
}

/// Output is read to its end here, so one that holds on to it would be waited for.
#[test]
fn what_a_check_leaves_running_ends_with_it() {
    let scene = Scene::new();
    let left = scene.path("left");
    let start = "sleep 1000 & echo $! >> \"$LEFT\"";
    let aside = r#"setsid sh -c "sleep 1001 & echo \$! >> \"$LEFT\"; sleep 1002" &"#;
    let wait = "until test \"$(wc -l < \"$LEFT\")\" = 2; do sleep 0.01; done";
    let checks = format!(
        "[checks]\nbefore-release = ['''{start}''', '''{start}\n{aside}\n{}''']",
        wait.replace('2', "3")
    );
    scene.write("release.toml", &format!("{MANIFEST}{checks}"));
    scene.tag("1.1.0");
    let mut command = scene.command("one");
    command.args(["release", "v1.1.0", "--source"]).arg(scene.tree()).env("LEFT", &left);
    let run = Run::of(command.output().unwrap());
    run.unwrap_done();
    let left = fs::read_to_string(&left).unwrap();
    assert_eq!(left.lines().count(), 3);
    for pid in left.lines() {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(!command.starts_with(b"sleep\x00100"), "{pid} goes on");
    }
}

#[test]
fn names_that_differ_by_case() {
    let scene = Scene::new();
    scene.write("lib/Data.txt", "other\n");
    scene.write("LIB/more", "\n");
    scene.tag("1.1.0");
    let run = scene.release("one", &["v1.1.0"]);
    assert_eq!(run.json()["files"]["entries"], 7);
    let told = "2 pairs of names that differ only by case or composition:\n  LIB and lib\n  \
                lib/Data.txt and lib/data.txt\n";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    scene.write("release.toml", &MANIFEST.replace("\nexclude", "\nportable-names = true\nexclude"));
    scene.tag("1.2.0");
    let before = scene.inventory("one");
    scene.release("one", &["v1.2.0"]).refused(2, "the release has 2 pairs of names");
    assert_eq!(scene.inventory("one"), before);
}

#[test]
fn a_channel_does_not_go_back_by_itself() {
    let scene = Scene::new();
    scene.tag("1.1.0");
    scene.release("one", &["v1.1.0", "--channel", "stable"]).unwrap_done();
    let before = scene.inventory("one");
    let run = scene.release("one", &["v1.0.0", "--channel", "stable"]);
    run.refused(2, "stable of weave is 1.1.0 now, which is newer than 1.0.0");
    run.refused(2, "--older if that is meant");
    assert_eq!(scene.inventory("one"), before);
    let older = ["v1.0.0", "--channel", "stable", "--older"];
    assert_eq!(scene.release("one", &older).json()["channel"], "stable");
    scene.pack("one", &["promote", "1.1.0", "stable"]).unwrap_done();
    scene.pack("one", &["promote", "1.0.0", "stable"]).refused(2, "--older");
    scene.pack("one", &["promote", "1.0.0", "next"]).unwrap_done();
}
