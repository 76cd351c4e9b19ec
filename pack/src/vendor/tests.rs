//! With wheels made here, so that no index is asked.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::release_toml::ReleaseToml;
use cutover_formats::version::Version;
use cutover_terminal::OutputArgs;
use tempfile::TempDir;

use super::*;

/// Makes `name-version-py3-none-any.whl` with `Requires-Dist` lines; the same bytes each time.
const MAKE_WHEEL: &str = r#"
import sys, zipfile
folder, name, version, *requires = sys.argv[1:]
info = f"{name}-{version}.dist-info"
files = {
    f"{name}.py": f"version = '{version}'\n",
    f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {it}\n" for it in requires),
    f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{info}/RECORD"] = "".join(f"{it},,\n" for it in files)
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    for path, text in files.items():
        wheel.writestr(zipfile.ZipInfo(path), text)
"#;

/// A source tree with a folder of wheels, and a cache.
struct Tree {
    folder: TempDir,
    cache: TempDir,
}

impl Tree {
    fn new() -> Self {
        let tree =
            Self { folder: tempfile::tempdir().unwrap(), cache: tempfile::tempdir().unwrap() };
        fs::create_dir(tree.path().join("wheels")).unwrap();
        tree.manifest("[vendor.python]\nrequirements = 'requirements.lock'\nfind-links = 'wheels'");
        tree
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn manifest(&self, text: &str) {
        let text = format!("{text}\n[release]\nproduct = 'weave'");
        ReleaseToml::parse(&text).unwrap();
        fs::write(self.path().join("release.toml"), text).unwrap();
    }

    /// Makes a wheel and tells its digest.
    fn wheel(&self, name: &str, version: &str, requires: &[&str]) -> Digest {
        let folder = self.path().join("wheels");
        let made = Command::new("python3")
            .args(["-c", MAKE_WHEEL])
            .arg(&folder)
            .args([name, version])
            .args(requires)
            .status()
            .unwrap();
        assert!(made.success());
        let file = folder.join(format!("{name}-{version}-py3-none-any.whl"));
        Digest::of(&fs::read(file).unwrap())
    }

    fn lock(&self, locked: &[(&str, Digest)]) {
        let lines = locked.iter().map(|(pin, digest)| format!("{pin} --hash=sha256:{digest}\n"));
        fs::write(self.path().join("requirements.lock"), lines.collect::<String>()).unwrap();
    }

    fn fetch(&self) -> Result<Vec<Fetched>, VendorError> {
        let tree = SourceTree::from_folder(self.path(), Version::new(1, 0, 0), None, &[]).unwrap();
        let cache = Cache::at(self.cache.path().to_owned());
        fetch(&tree, &cache, &OutputArgs::default().output())
    }

    fn refused(&self) -> (Exit, String) {
        let error = self.fetch().unwrap_err();
        assert!(error.hints().contains(&"nothing was released".to_owned()));
        (error.exit(), error.to_string())
    }
}

fn contents(fetched: &[Fetched]) -> BTreeMap<String, Vec<u8>> {
    fetched.iter().map(|it| (it.record.path.to_string(), fs::read(&it.file).unwrap())).collect()
}

#[test]
fn what_is_locked_is_vendored() {
    let tree = Tree::new();
    let base = tree.wheel("base", "1.0", &[]);
    let app = tree.wheel("app_x", "2.1", &["base>=1"]);
    tree.wheel("base", "1.1", &[]);
    tree.lock(&[("App.X==2.1", app), ("base==1.0", base)]);
    let fetched = tree.fetch().unwrap();
    let [first, second] = &fetched[..] else { panic!("{fetched:?}") };
    assert_eq!((first.record.name.as_str(), first.record.sha256), ("app-x", app));
    assert_eq!(second.record.version.as_deref(), Some("1.0"));
    assert_eq!(second.record.path.as_str(), "vendor/python/base-1.0-py3-none-any.whl");
    assert_eq!(second.record.size, fs::metadata(&second.file).unwrap().len());
    assert_eq!(contents(&fetched).len(), 2);
}

#[test]
fn the_second_time_comes_from_the_cache() {
    let tree = Tree::new();
    let base = tree.wheel("base", "1.0", &[]);
    tree.lock(&[("base==1.0", base)]);
    let first = tree.fetch().unwrap();
    // Its name is still there, so the outcome is: what pip would say now no longer matters.
    fs::write(tree.path().join("wheels/base-1.0-py3-none-any.whl"), "garbage").unwrap();
    assert_eq!(tree.fetch().unwrap(), first);
    // A cache that was tampered with is not used.
    fs::write(&first[0].file, "garbage").unwrap();
    assert_eq!(tree.refused().0, Exit::NotTrusted);
    tree.wheel("base", "1.0", &[]);
    assert_eq!(contents(&tree.fetch().unwrap()), contents(&first));
}

/// What other locks came to serves a new one as well, without asking an index; it is held to the
/// new lock all the same.
#[test]
fn a_new_lock_uses_what_is_known() {
    let tree = Tree::new();
    let base = tree.wheel("base", "1.0", &[]);
    let app = tree.wheel("app", "2.1", &["base>=1"]);
    tree.lock(&[("base==1.0", base), ("app==2.1", app)]);
    let first = tree.fetch().unwrap();
    tree.manifest("[vendor.python]\nrequirements = 'requirements.lock'");
    fs::remove_dir_all(tree.path().join("wheels")).unwrap();
    assert_eq!(tree.fetch().unwrap(), first);
}

#[test]
fn a_dependency_that_is_missing_from_the_lock() {
    let tree = Tree::new();
    let app = tree.wheel("app", "2.1", &["base>=1"]);
    tree.lock(&[("app==2.1", app)]);
    let expected = (
        Exit::Usage,
        "`base` is missing from the lock requirements.lock, and app==2.1 needs it".to_owned(),
    );
    let (exit, message) = tree.refused();
    assert_eq!(exit, expected.0);
    assert!(message.starts_with("`base` is missing from the lock requirements.lock"), "{message}");
    // The same where its wheel is there, pinned by the dependent or not.
    tree.wheel("base", "1.0", &[]);
    assert_eq!(tree.refused(), expected);
    let app = tree.wheel("app", "2.1", &["base==1.0"]);
    tree.lock(&[("app==2.1", app)]);
    let (exit, message) = tree.refused();
    assert_eq!(exit, expected.0);
    assert!(message.starts_with("`base` is missing from the lock requirements.lock"), "{message}");
}

#[test]
fn a_wheel_with_another_digest() {
    let tree = Tree::new();
    let base = tree.wheel("base", "1.0", &[]);
    let other = Digest::of(b"another wheel");
    tree.lock(&[("base==1.0", other)]);
    let (exit, message) = tree.refused();
    assert_eq!(exit, Exit::NotTrusted);
    let what = "`base==1.0` does not have the digest that is locked for it: it is sha256";
    assert_eq!(message, format!("{what} {base}"));
}

#[test]
fn a_wheel_that_is_not_there() {
    let tree = Tree::new();
    tree.wheel("base", "1.1", &[]);
    tree.lock(&[("base==1.0", Digest::of(b""))]);
    let message =
        "no distribution of `base==1.0` is in the find-links folder `wheels` for this interpreter";
    assert_eq!(tree.refused(), (Exit::NotFound, message.to_owned()));
}

#[test]
fn locks_folders_and_interpreters_that_cannot_be_used() {
    let tree = Tree::new();
    let (exit, message) = tree.refused();
    assert_eq!(exit, Exit::Usage);
    assert!(message.starts_with("cannot read the lock `requirements.lock`: "), "{message}");
    fs::write(tree.path().join("requirements.lock"), "base==1.0\n").unwrap();
    let message = "requirements.lock line 1: `base==1.0` has no --hash=sha256:…";
    assert_eq!(tree.refused(), (Exit::Usage, message.to_owned()));
    tree.lock(&[("base==1.0", Digest::of(b""))]);
    tree.manifest("[vendor.python]\nrequirements = 'requirements.lock'\nfind-links = 'gone'");
    let message = "the find-links folder `gone` is not in the tree";
    assert_eq!(tree.refused(), (Exit::Usage, message.to_owned()));
    tree.manifest(
        "[vendor.python]\nrequirements = 'requirements.lock'\ninterpreter = 'python-of-nobody'",
    );
    let (exit, message) = tree.refused();
    assert_eq!(exit, Exit::Usage);
    assert!(message.starts_with("cannot run `python-of-nobody`: "), "{message}");
}

#[test]
fn files() {
    let tree = Tree::new();
    let place = tree.path().join("wheels/some data");
    fs::write(&place, "abc").unwrap();
    let manifest = |digest: Digest| {
        let url = format!("file://{}", place.display()).replace(' ', "%20");
        tree.manifest(&format!(
            "[[vendor.file]]\nurl = '{url}'\nsha256 = '{digest}'\npath = 'data/abc'"
        ));
    };
    manifest(Digest::of(b"abc"));
    let fetched = tree.fetch().unwrap();
    assert_eq!(contents(&fetched), BTreeMap::from([("data/abc".to_owned(), b"abc".to_vec())]));
    assert_eq!((fetched[0].record.kind.as_str(), fetched[0].record.size), ("file", 3));
    fs::remove_file(&place).unwrap();
    assert_eq!(tree.fetch().unwrap(), fetched);
    manifest(Digest::of(b"abd"));
    assert_eq!(tree.refused().0, Exit::NotFound);
    fs::write(&place, "abc").unwrap();
    let (exit, message) = tree.refused();
    assert_eq!(exit, Exit::NotTrusted);
    assert!(message.contains("some%20data is not the file that is locked"), "{message}");
}
