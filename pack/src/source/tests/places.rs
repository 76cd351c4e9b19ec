//! Where a tree lies, and what it is called, decides nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

#[test]
fn folders_of_any_name() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    for name in [&b"-C"[..], b"a b$(x)", b"line\nend\n", b"\xff\xfe", b"*.py"] {
        let around = tempfile::tempdir().unwrap();
        let place = around.path().join(OsStr::from_bytes(name));
        fs::create_dir(&place).unwrap();
        let copied = Command::new("cp").arg("-aT").arg(repo.path()).arg(&place).status().unwrap();
        assert!(copied.success());
        let tree = SourceTree::from_git(&place, None, None).unwrap();
        assert_eq!(paths(&tree), ["app.py", "release.toml"]);
        fs::write(place.join("app.py"), "changed").unwrap();
        let error = SourceTree::from_git(&place, None, None).unwrap_err();
        assert!(matches!(error, SourceError::Dirty { count: 1, .. }), "{error}");
    }
}

/// A product of its own inside a larger repository.
fn nested() -> Repo {
    let repo = Repo::new();
    repo.write(".gitattributes", "*.tmp export-ignore\n/part export-ignore\n");
    repo.write("part/release.toml", "[release]\nproduct = 'part'\nexclude = ['docs']\n");
    repo.write("part/src/a.py", "");
    repo.write("part/src/b.tmp", "");
    repo.write("part/docs/c", "");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    repo
}

#[test]
fn a_folder_with_a_manifest_of_its_own_is_released_as_that_product() {
    let repo = nested();
    for from in ["part", "part/src"] {
        let tree = SourceTree::from_git(&repo.path().join(from), None, None).unwrap();
        assert_eq!(tree.product.as_str(), "part");
        assert_eq!(paths(&tree), ["docs/c", "release.toml", "src/a.py"]);
    }
    // Elsewhere, another forgotten commit is none of its business.
    repo.write("app.py", "changed");
    assert!(SourceTree::from_git(&repo.path().join("part"), None, None).is_ok());
    repo.write("part/docs/c", "changed");
    assert!(SourceTree::from_git(&repo.path().join("part"), None, None).is_ok());
    repo.write("part/src/a.py", "changed");
    let error = SourceTree::from_git(&repo.path().join("part"), None, None).unwrap_err();
    assert_eq!(error.to_string(), "1 tracked file is changed but not committed: src/a.py");
}

#[test]
fn a_manifest_that_is_not_committed_releases_nothing_else() {
    let repo = Repo::new();
    repo.write("part/a", "");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    repo.write("part/release.toml", "[release]\nproduct = 'part'\n");
    let part = repo.path().join("part");
    let error = SourceTree::from_git(&part, Some("v1.0.0"), None).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().ends_with("part/release.toml` is not in tag `v1.0.0`"), "{error}");
    assert_eq!(repo.release(None).unwrap().product.as_str(), "weave");
}

#[test]
fn inside_gits_own_folder() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    let error = SourceTree::from_git(&repo.path().join(".git"), None, None).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().ends_with("is inside git's own folder, not in a work tree"));
}

#[test]
fn a_manifest_that_is_a_link() {
    let repo = Repo::new();
    fs::rename(repo.path().join("release.toml"), repo.path().join("other.toml")).unwrap();
    symlink("other.toml", repo.path().join("release.toml")).unwrap();
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let expected = "release.toml is a symbolic link, not a file";
    assert_eq!(repo.refused(None).1, expected);
    assert_eq!(from_folder(repo.path(), &[]).unwrap_err().to_string(), expected);
}

#[test]
fn exclude_comes_before_any_judgement() {
    let repo = Repo::new();
    repo.write("tests/line\nend", "");
    fs::write(repo.path().join(OsStr::from_bytes(b"tests/\xff")), "").unwrap();
    symlink(OsStr::from_bytes(b"\xff"), repo.path().join("tests/link")).unwrap();
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    assert_eq!(paths(&repo.release(None).unwrap()), ["app.py", "release.toml"]);
    let _socket = std::os::unix::net::UnixListener::bind(repo.path().join("tests/s")).unwrap();
    let keys = repo.path().join("tests/keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("root.key"), "").unwrap();
    let forbidden = [Forbidden { what: "keys folder", path: &keys }];
    let tree = from_folder(repo.path(), &forbidden).unwrap();
    assert_eq!(paths(&tree), ["app.py", "release.toml"]);
    // What is not there yet cannot be released.
    let none = repo.path().join("cache");
    assert!(from_folder(repo.path(), &[Forbidden { what: "cache", path: &none }]).is_ok());
    repo.write("release.toml", "[release]\nproduct = 'weave'\n");
    assert!(from_folder(repo.path(), &[]).is_err());
}

#[test]
fn another_version_control_system() {
    let repo = Repo(tempfile::tempdir().unwrap());
    repo.write(".hg/store", "");
    repo.write("sub/release.toml", "[release]\nproduct = 'weave'\n");
    let error = SourceTree::from_git(&repo.path().join("sub"), None, None).unwrap_err();
    let hints = error.hints().join("\n");
    assert!(hints.contains("under Mercurial") && hints.contains("hg archive"), "{hints}");
    repo.write("release.toml", "[release]\nproduct = 'weave'\n");
    let tree = from_folder(repo.path(), &[]).unwrap();
    assert_eq!(paths(&tree), ["release.toml", "sub/release.toml"]);
}

#[test]
fn a_file_is_no_folder() {
    let repo = Repo::new();
    let file = repo.path().join("app.py");
    let expected = format!("source `{}` is not a folder", file.display());
    assert_eq!(from_folder(&file, &[]).unwrap_err().to_string(), expected);
    assert_eq!(SourceTree::from_git(&file, None, None).unwrap_err().to_string(), expected);
}

#[test]
fn a_repository_of_another_user() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    // Only root may give it away.
    if std::os::unix::fs::chown(repo.path(), Some(65534), None).is_err() {
        return;
    }
    let error = repo.release(None).unwrap_err();
    let message = format!("the git repository `{}` belongs to", repo.path().display());
    assert!(error.to_string().starts_with(&message), "{error}");
    let hints = error.hints().join("\n");
    assert!(hints.contains("git config --global --add safe.directory /"), "{hints}");
}
