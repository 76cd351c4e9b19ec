//! Keys, repositories and channels, as they are typed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command answers: its exit code, stdout, stderr.
fn pack(folder: &Path, passphrase: &str, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_pack"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("CUTOVER_REPO", "repository")
        .env("CUTOVER_KEYS", "keys")
        .env("CUTOVER_PASSPHRASE", passphrase)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn keys_are_private_and_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let (exit, stdout, stderr) = pack(folder.path(), "open sesame, please", &["keys", "new"]);
    assert_eq!((exit, stderr.as_str()), (0, ""));
    assert_eq!(stdout.lines().count(), 8, "{stdout}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&keys), 0o700);
    let before = fs::read_to_string(keys.join("root.pem")).unwrap();
    assert_eq!(mode(&keys.join("root.pem")), 0o600);
    assert!(before.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let (exit, _, stderr) =
        pack(folder.path(), "open sesame, please", &["keys", "new", "--unencrypted"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("keys/root.pem exists; keys are never overwritten"), "{stderr}");
    assert_eq!(fs::read_to_string(keys.join("root.pem")).unwrap(), before);
}

#[test]
fn a_repository_from_its_first_day() {
    let folder = tempfile::tempdir().unwrap();
    let run = |passphrase: &str, args: &[&str]| pack(folder.path(), passphrase, args);
    let (exit, _, stderr) = run("open sesame, please", &["repo", "init"]);
    assert_eq!(exit, 2, "{stderr}");
    assert!(stderr.contains("there is no folder of keys at keys"), "{stderr}");

    run("open sesame, please", &["keys", "new"]);
    let (exit, _, stderr) = run("wrong", &["repo", "init"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("keys/root.pem: wrong passphrase"), "{stderr}");
    assert!(!folder.path().join("repository/metadata").exists(), "nothing was made");

    let (exit, stdout, stderr) = run("open sesame, please", &["repo", "init"]);
    assert_eq!(exit, 0, "{stderr}");
    let root = fs::read(folder.path().join("repository/metadata/1.root.json")).unwrap();
    let digest = cutover_formats::digest::Digest::of(&root);
    assert_eq!(stdout, format!("{digest}  repository/metadata/1.root.json\n"));
    assert_eq!(fs::read(folder.path().join("keys/root.json")).unwrap(), root);

    let (exit, _, stderr) = run("open sesame, please", &["repo", "init"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("already holds a repository"), "{stderr}");

    let (exit, stdout, _) = run("", &["list"]);
    assert_eq!((exit, stdout.as_str()), (0, "no releases yet\n"));
    let (exit, stdout, _) = run("", &["list", "--json"]);
    assert_eq!(exit, 0);
    let listing: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(listing, serde_json::json!({"releases": [], "channels": []}));

    let (exit, _, stderr) = run("open sesame, please", &["promote", "1.0.0", "stable"]);
    assert_eq!(exit, 4);
    assert!(stderr.contains("the repository holds no release yet"), "{stderr}");
    let args = ["promote", "1.0.0", "stabel", "--product", "weave"];
    let (exit, _, stderr) = run("open sesame, please", &args);
    assert_eq!(exit, 4);
    assert!(stderr.contains("the nearest: stable"), "{stderr}");

    let (exit, stdout, _) = run("open sesame, please", &["refresh"]);
    assert_eq!(exit, 0);
    assert_eq!(stdout, "snapshot 2 and its timestamp are signed anew\n");

    let missing = folder.path().join("keys/timestamp.pem");
    fs::remove_file(&missing).unwrap();
    let (exit, _, stderr) = run("open sesame, please", &["refresh"]);
    assert_eq!(exit, 2);
    assert!(stderr.contains("the timestamp key is missing: there is no keys/timestamp.pem"));
}

#[test]
fn what_is_no_repository_and_whose_root_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| pack(folder.path(), "", args);
    let (exit, _, stderr) = run(&["list", "--repo", "nowhere", "--keys", ""]);
    assert_ne!(exit, 0, "{stderr}");
    run(&["keys", "new", "--unencrypted"]);
    assert_eq!(run(&["repo", "init"]).0, 0);
    run(&["keys", "new", "--unencrypted", "--keys", "others"]);
    let others = ["repo", "init", "--keys", "others", "--repo", "theirs"];
    assert_eq!(run(&others).0, 0);
    let (exit, _, stderr) = run(&["list", "--trust", "others/root.json"]);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("is signed by 0 of the 1 keys"), "{stderr}");
    assert!(stderr.contains("the wrong root is trusted"), "{stderr}");
}
