//! Against real git repositories in temporary folders.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::release_toml;

use super::*;
use cutover_pack::bundle::Source;

mod clones;
mod places;

const MANIFEST: &str = "[release]\nproduct = 'weave'\nexclude = ['tests/**']\n";

/// A work tree with a commit in it.
struct Repo(TempDir);

impl Repo {
    fn new() -> Self {
        let repo = Self(tempfile::tempdir().unwrap());
        repo.git(&["init", "-q", "-b", "main"]);
        repo.write(release_toml::FILE_NAME, MANIFEST);
        repo.write("app.py", "print('1')\n");
        repo.commit();
        repo
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let place = self.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    fn commit(&self) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
    }

    fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path())
            .args(["-c", "user.name=T", "-c", "user.email=t@example.org"])
            .args(["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"])
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z")
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn release(&self, tag: Option<&str>) -> Result<SourceTree, SourceError> {
        SourceTree::from_git(self.path(), tag, None)
    }

    fn refused(&self, tag: Option<&str>) -> (Exit, String, String) {
        let error = self.release(tag).unwrap_err();
        (error.exit(), error.to_string(), error.hints().join("\n"))
    }
}

fn paths(tree: &SourceTree) -> Vec<&str> {
    tree.files.iter().map(|entry| entry.path.as_str()).collect()
}

#[test]
fn the_tag_at_head() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    repo.git(&["tag", "nightly"]);
    let tree = repo.release(None).unwrap();
    assert_eq!(tree.product.as_str(), "weave");
    assert_eq!(tree.version, Version::new(1, 0, 0));
    assert_eq!(tree.origin.tag.as_deref(), Some("v1.0.0"));
    assert_eq!(tree.origin.commit, Some(repo.git(&["rev-parse", "HEAD"])));
    assert_eq!(tree.origin.time, 1_767_323_045);
    assert_eq!(paths(&tree), ["app.py", "release.toml"]);
}

#[test]
fn an_annotated_tag_elsewhere_from_a_subfolder() {
    let repo = Repo::new();
    repo.git(&["tag", "-a", "v1.0.0", "-m", "one"]);
    let commit = repo.git(&["rev-parse", "HEAD"]);
    repo.write("sub/new.py", "");
    repo.commit();
    let tree = SourceTree::from_git(&repo.path().join("sub"), Some("v1.0.0"), None).unwrap();
    assert_eq!(tree.origin.commit, Some(commit));
    assert_eq!(paths(&tree), ["app.py", "release.toml"]);
}

#[test]
fn an_export_is_clean() {
    let repo = Repo::new();
    repo.write(".gitattributes", "secret.txt export-ignore\n*.txt text\n");
    repo.write("secret.txt", "");
    repo.write("a.txt", "one\ntwo\n");
    repo.write("bin/run", "#!/bin/sh\n");
    fs::set_permissions(repo.path().join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("bin/run", repo.path().join("link")).unwrap();
    repo.commit();
    repo.write("untracked", "");
    repo.git(&["tag", "v1.0.0"]);
    repo.git(&["config", "core.autocrlf", "true"]);
    repo.git(&["config", "core.eol", "crlf"]);
    let tree = repo.release(None).unwrap();
    let expected = [".gitattributes", "a.txt", "app.py", "bin/run", "link", "release.toml"];
    assert_eq!(paths(&tree), expected);
    assert_eq!(fs::read(tree.folder().join("a.txt")).unwrap(), b"one\ntwo\n");
    let kind = |path: &str| &tree.files.iter().find(|it| it.path.as_str() == path).unwrap().kind;
    assert!(matches!(kind("bin/run"), Source::File { executable: true, size: 10, .. }));
    assert!(matches!(kind("a.txt"), Source::File { executable: false, .. }));
    assert!(matches!(kind("link"), Source::Link { target } if target == "bin/run"));
}

#[test]
fn long_names_survive_the_archive() {
    let repo = Repo::new();
    let long = format!("{0}/{0}/{0}.txt", "n".repeat(120));
    repo.write(&long, "x");
    symlink(&long, repo.path().join("link")).unwrap();
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let tree = repo.release(None).unwrap();
    assert_eq!(paths(&tree), ["app.py", "link", &long, "release.toml"]);
    assert_eq!(fs::read(tree.folder().join("link")).unwrap(), b"x");
}

#[test]
fn a_missing_tag_names_the_nearest() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    let (exit, message, hints) = repo.refused(Some("v1.0.1"));
    assert_eq!((exit, message.as_str()), (Exit::NotFound, "there is no tag `v1.0.1`"));
    assert_eq!(hints, "the nearest tags are v1.0.0");
    assert_eq!(repo.refused(Some("--help")).0, Exit::NotFound);
}

#[test]
fn no_tag_at_head() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    repo.write("app.py", "2");
    repo.commit();
    repo.git(&["tag", "nightly"]);
    let (exit, message, hints) = repo.refused(None);
    assert_eq!(exit, Exit::NotFound);
    assert!(message.starts_with("no tag at HEAD ("), "{message}");
    assert!(message.ends_with(") fits `v{version}`; it has nightly"), "{message}");
    assert!(hints.starts_with("the newest version tags are v1.0.0\ntag it (git tag"), "{hints}");
}

#[test]
fn a_tag_that_is_no_version() {
    let repo = Repo::new();
    repo.git(&["tag", "nightly"]);
    repo.git(&["tag", "v1.0"]);
    let (exit, message, _) = repo.refused(Some("nightly"));
    assert_eq!(exit, Exit::Usage);
    assert_eq!(message, "tag `nightly` does not fit the pattern `v{version}`");
    let (exit, message, hints) = repo.refused(Some("v1.0"));
    assert_eq!(exit, Exit::Usage);
    assert!(message.starts_with("tag `v1.0` is no version: `1.0` is not Semantic"), "{message}");
    assert!(hints.contains("three numbers"), "{hints}");
}

#[test]
fn several_version_tags() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    repo.git(&["tag", "v1.0.1"]);
    let (exit, message, _) = repo.refused(None);
    assert_eq!(exit, Exit::Usage);
    assert_eq!(message, "HEAD has several tags that are versions: v1.0.0, v1.0.1");
    assert!(repo.release(Some("v1.0.1")).is_ok());
}

#[test]
fn uncommitted_changes() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    repo.write("app.py", "changed");
    for tag in [None, Some("v1.0.0")] {
        let (exit, message, hints) = repo.refused(tag);
        assert_eq!(exit, Exit::Usage);
        assert_eq!(message, "1 tracked file is changed but not committed: app.py");
        assert!(hints.contains("git stash"), "{hints}");
    }
    repo.git(&["checkout", "app.py"]);
    (0..9).for_each(|n| repo.write(&format!("new {n}"), ""));
    let start =
        "not in the release, because git does not know them: new 0, new 1, new 2, new 3, new 4";
    assert_eq!(repo.release(None).unwrap().notes, [format!("{start} and 4 more")]);
    repo.write("app.py", "changed");
    repo.git(&["add", "-A"]);
    let (_, message, _) = repo.refused(None);
    let start =
        "10 tracked files are changed but not committed: app.py, new 0, new 1, new 2, new 3";
    assert_eq!(message, format!("{start} and 5 more"));
}

#[test]
fn submodules() {
    let other = Repo::new();
    let repo = Repo::new();
    repo.git(&["submodule", "--quiet", "add", other.path().to_str().unwrap(), "lib/other"]);
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let (exit, message, _) = repo.refused(None);
    assert_eq!((exit, message.as_str()), (Exit::Usage, "submodules cannot be released: lib/other"));
    repo.write("release.toml", "[release]\nproduct = 'weave'\nexclude = ['lib/other']");
    repo.commit();
    repo.git(&["tag", "v1.0.1"]);
    assert!(repo.release(Some("v1.0.1")).is_ok());
}

#[test]
fn a_shallow_clone_may_lack_the_tag() {
    let origin = Repo::new();
    origin.git(&["tag", "v1.0.0"]);
    origin.write("app.py", "2");
    origin.commit();
    let clone = Repo(tempfile::tempdir().unwrap());
    let url = format!("file://{}", origin.path().display());
    clone.git(&["clone", "-q", "--depth=1", &url, "."]);
    let (exit, _, hints) = clone.refused(Some("v1.0.0"));
    assert_eq!(exit, Exit::NotFound);
    assert!(hints.contains("git fetch --tags --unshallow"), "{hints}");
}

#[test]
fn a_bare_repository_needs_no_work_tree() {
    let origin = Repo::new();
    origin.git(&["tag", "v1.0.0"]);
    let bare = Repo(tempfile::tempdir().unwrap());
    bare.git(&["clone", "-q", "--bare", origin.path().to_str().unwrap(), "."]);
    assert_eq!(paths(&bare.release(None).unwrap()), ["app.py", "release.toml"]);
}

#[test]
fn no_repository_no_folder_no_commit() {
    let empty = Repo(tempfile::tempdir().unwrap());
    let (exit, message, hints) = empty.refused(None);
    assert_eq!(exit, Exit::Usage);
    assert!(message.contains("cannot be read as a git repository"), "{message}");
    assert!(hints.contains("--tree DIR --version V"), "{hints}");
    let gone = empty.path().join("gone");
    let error = SourceTree::from_git(&gone, None, None).unwrap_err();
    assert_eq!(error.to_string(), format!("source folder `{}` does not exist", gone.display()));
    empty.git(&["init", "-q"]);
    assert!(empty.refused(None).1.ends_with("has no commit yet"));
}

/// Settings come from the tag, not from what lies in the work tree by now.
#[test]
fn the_manifest_is_the_tags_own() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    repo.write("release.toml", "[release]\nproduct = 'other'\ntag = 'r{version}'");
    repo.commit();
    assert_eq!(repo.release(Some("v1.0.0")).unwrap().product.as_str(), "weave");
    repo.write("release.toml", "[relase]");
    repo.commit();
    repo.git(&["tag", "v2.0.0"]);
    let (exit, message, _) = repo.refused(None);
    let expected = "release.toml line 1: unknown key `relase`";
    assert_eq!((exit, message.as_str()), (Exit::Usage, expected));
}

#[test]
fn without_a_manifest_the_product_is_given() {
    let repo = Repo::new();
    repo.git(&["rm", "-q", "release.toml"]);
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let (exit, message, hints) = repo.refused(None);
    assert_eq!((exit, message.as_str()), (Exit::Usage, "tag `v1.0.0` has no release.toml"));
    assert!(hints.contains("pack init"), "{hints}");
    let product: Product = "weave".parse().unwrap();
    let tree = SourceTree::from_git(repo.path(), None, Some(&product)).unwrap();
    assert_eq!((tree.product, tree.manifest), (product, ReleaseToml::default()));
}

fn from_folder(dir: &Path, forbidden: &[Forbidden<'_>]) -> Result<SourceTree, SourceError> {
    SourceTree::from_folder(dir, Version::new(1, 0, 0), None, forbidden)
}

#[test]
fn a_staging_folder() {
    let repo = Repo::new();
    fs::create_dir_all(repo.path().join("empty/inner")).unwrap();
    let tree = from_folder(repo.path(), &[]).unwrap();
    assert_eq!(paths(&tree), ["app.py", "empty/inner", "release.toml"]);
    assert_eq!(tree.folder(), repo.path().canonicalize().unwrap());
    assert_eq!(tree.origin.commit, None);
}

#[test]
fn keys_in_a_staging_folder_are_not_released() {
    let repo = Repo::new();
    let keys = repo.path().join("deploy/keys");
    fs::create_dir_all(&keys).unwrap();
    let forbidden = [Forbidden { what: "keys folder", path: &keys }];
    let error = from_folder(repo.path(), &forbidden).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().starts_with("the keys folder `"), "{error}");
    let beside = [Forbidden { what: "keys folder", path: Path::new("/nowhere/keys") }];
    assert!(from_folder(repo.path(), &beside).is_ok());
}

#[test]
fn what_is_no_file() {
    let repo = Repo::new();
    let _socket = std::os::unix::net::UnixListener::bind(repo.path().join("socket")).unwrap();
    let error = from_folder(repo.path(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "`socket` is a socket, which cannot be released");
}
