//! The same tag is the same release in every clone and for every user.

use super::*;

/// What a release of the tag at HEAD would hold.
fn contents(dir: &Path) -> (u64, Vec<(String, Vec<u8>)>) {
    let tree = SourceTree::from_git(dir, None, None).unwrap();
    let files = tree.files.iter().filter(|it| matches!(it.kind, Source::File { .. }));
    let read = |it: &SourceEntry| {
        (it.path.to_string(), fs::read(tree.folder().join(it.path.as_path())).unwrap())
    };
    (tree.origin.time, files.map(read).collect())
}

fn clone(of: &Repo) -> Repo {
    let clone = Repo(tempfile::tempdir().unwrap());
    clone.git(&["clone", "-q", of.path().to_str().unwrap(), "."]);
    clone
}

#[test]
fn nothing_of_the_clone_reaches_a_release() {
    let repo = Repo::new();
    repo.write(".gitattributes", "*.txt text\nstamp.txt export-subst\n*.lock filter=own\n");
    repo.write("a.txt", "one\ntwo\n");
    repo.write("stamp.txt", "$Format:%H %cI %an %s$\n");
    repo.write("x.lock", "locked\n");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let expected = contents(repo.path());
    let stamp = format!("{} 2026-01-02T03:04:05Z T change\n", repo.git(&["rev-parse", "HEAD"]));
    let found = expected.1.iter().find(|(path, _)| path == "stamp.txt").unwrap();
    assert_eq!(String::from_utf8_lossy(&found.1), stamp);

    let other = clone(&repo);
    let attributes = other.path().join(".git/attributes-of-mine");
    fs::write(&attributes, "app.py export-ignore\n* ident\n").unwrap();
    fs::write(other.path().join(".git/info/attributes"), "a.txt export-ignore eol=crlf\n").unwrap();
    for (key, value) in [
        ("log.showSignature", "true"),
        ("log.date", "relative"),
        ("core.abbrev", "20"),
        ("core.autocrlf", "input"),
        ("core.eol", "crlf"),
        ("core.attributesFile", attributes.to_str().unwrap()),
        ("i18n.logOutputEncoding", "UTF-16"),
        ("filter.own.smudge", "tr a-z A-Z"),
        ("filter.own.clean", "cat"),
        ("tar.umask", "0777"),
    ] {
        other.git(&["config", key, value]);
    }
    other.git(&["branch", "other"]);
    assert_eq!(contents(other.path()), expected);

    // One object in the place of another, and other parents, are matters of the clone's, too.
    let blob = other.git(&["rev-parse", "HEAD:a.txt"]);
    let instead = other.git(&["rev-parse", "HEAD:app.py"]);
    other.git(&["replace", "-f", &blob, &instead]);
    fs::write(other.path().join(".git/info/grafts"), "").unwrap();
    assert_eq!(contents(other.path()), expected);
}

#[test]
fn the_edge_of_a_shallow_clone_is_not_seen() {
    let repo = Repo::new();
    repo.write(".gitattributes", "stamp.txt export-subst\n");
    repo.write("stamp.txt", "$Format:%P$\n");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let shallow = Repo(tempfile::tempdir().unwrap());
    let url = format!("file://{}", repo.path().display());
    shallow.git(&["clone", "-q", "--depth=1", &url, "."]);
    assert_eq!(contents(shallow.path()), contents(repo.path()));
}

#[test]
fn placeholders_that_follow_the_clone_are_refused() {
    let repo = Repo::new();
    repo.write(".gitattributes", "*.txt export-subst\n");
    repo.write("stamp.txt", "$Format:%H$ $Format:%h %D$\n");
    repo.write("tests/more.txt", "$Format:%D$\n");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let (exit, message, hints) = repo.refused(None);
    let expected = "export-subst placeholders that are not the same in every clone: \
                    `%h` in stamp.txt";
    assert_eq!((exit, message.as_str()), (Exit::Usage, expected));
    assert!(hints.contains("`%H`") && hints.contains("`exclude`"), "{hints}");
}

#[test]
fn what_stands_in_the_place_of_files() {
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{:064}\n", 1);
    for (text, message) in [
        (pointer.as_str(), "Git LFS pointer in place of a file: model.bin"),
        ("/annex/objects/SHA256E-s1--0\n", "git-annex pointer in place of a file: model.bin"),
        ("\0GITCRYPT\0x", "encrypted text in place of a file: model.bin"),
    ] {
        let repo = Repo::new();
        repo.write("model.bin", text);
        repo.write("tests/fixture.bin", text);
        repo.commit();
        repo.git(&["tag", "v1.0.0"]);
        let (exit, refused, hints) = repo.refused(None);
        assert_eq!((exit, refused.as_str()), (Exit::Usage, message));
        assert!(hints.contains("`exclude`") && hints.contains("`-filter`"), "{hints}");
        let error = from_folder(repo.path(), &[]).unwrap_err().to_string();
        assert_eq!(error, message);
        repo.write(".gitattributes", "model.bin -filter\n");
        repo.commit();
        repo.git(&["tag", "v1.0.1"]);
        assert!(repo.release(Some("v1.0.1")).is_ok(), "{message}");
    }
}

#[test]
fn what_check_out_would_change_is_told() {
    let repo = Repo::new();
    let attributes =
        "*.up filter=own\n*.bat text eol=crlf\n*.id ident\n*.w working-tree-encoding=UTF-16\n";
    repo.write("app.py", "2");
    repo.write(".gitattributes", attributes);
    for name in ["a.up", "b.up", "tests/c.up"] {
        repo.write(name, "x");
    }
    repo.write("run.bat", "one\n");
    repo.write("v.id", "$Id$\n");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    let tree = repo.release(None).unwrap();
    let expected = [
        "released as committed, with `$Id$` not expanded: v.id",
        "released as committed, with lines that end in LF, not in CR LF: run.bat",
        "released as committed, without its filter `own`: a.up, b.up",
    ];
    assert_eq!(tree.notes, expected);
    assert_eq!(fs::read(tree.folder().join("run.bat")).unwrap(), b"one\n");
}

/// What has changed is for the user's own git to say: their settings made the work tree.
#[test]
fn a_work_tree_with_other_ends_of_line_is_unchanged() {
    let repo = Repo::new();
    repo.git(&["tag", "v1.0.0"]);
    let other = Repo(tempfile::tempdir().unwrap());
    let path = repo.path().to_str().unwrap();
    other.git(&["clone", "-q", "-c", "core.autocrlf=true", path, "."]);
    assert_eq!(fs::read(other.path().join("app.py")).unwrap(), b"print('1')\r\n");
    // Git looks at the contents of what has another time than it remembers.
    repo.git(&["status"]);
    fs::write(other.path().join("app.py"), "print('1')\r\n").unwrap();
    assert_eq!(contents(other.path()), contents(repo.path()));
}

#[test]
fn a_partial_clone_fetches_what_it_lacks() {
    let repo = Repo::new();
    repo.write(".gitattributes", "secret.txt export-ignore\n");
    repo.write("secret.txt", "");
    repo.commit();
    repo.git(&["tag", "v1.0.0"]);
    repo.git(&["config", "uploadpack.allowFilter", "true"]);
    let partial = Repo(tempfile::tempdir().unwrap());
    let url = format!("file://{}", repo.path().display());
    partial.git(&["clone", "-q", "--bare", "--filter=blob:none", &url, "."]);
    assert_eq!(contents(partial.path()), contents(repo.path()));
}

#[test]
fn a_commit_without_a_time() {
    let repo = Repo::new();
    let commit = repo.git(&["cat-file", "commit", "HEAD"]);
    let (before, rest) = commit.split_once("committer ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let file = repo.path().join(".git/odd");
    fs::write(&file, format!("{before}committer T <t@example.org>\n{after}\n")).unwrap();
    let odd = repo.git(&["hash-object", "--literally", "-t", "commit", "-w", ".git/odd"]);
    repo.git(&["update-ref", "refs/tags/v1.0.0", &odd]);
    let (exit, message, _) = repo.refused(Some("v1.0.0"));
    assert_eq!(exit, Exit::Usage);
    assert_eq!(message, format!("the time of commit {odd} cannot be read"));
}
