//! Keys that are replaced and revoked, and nodes that were away meanwhile.

use std::fs;

use cutover_formats::exit::Exit;
use serde_json::Value;

use crate::scene::Scene;

#[test]
fn a_rotation_that_cannot_be_leaves_no_key() {
    let scene = Scene::new();
    let bert = scene.key_of("bert", "root");
    scene.pack(&["keys", "add", "root", &bert]).done();
    let keys = || fs::read_dir(scene.path("keys")).unwrap().count();
    let before = keys();
    let rotate = |role| scene.pack(&["keys", "rotate", role, "--unencrypted"]);
    rotate("root").refused(2, "it has 2 keys");
    rotate("nonsense").refused(4, "no role `nonsense`");
    fs::remove_file(scene.path("repository/metadata/timestamp.json")).unwrap();
    assert_ne!(rotate("targets").exit, 0);
    assert_eq!(keys(), before);
}

#[test]
fn nodes_that_were_offline_follow_many_roots() {
    let scene = Scene::new();
    scene.brings("1.0.0", &["offline"]);
    let mut old = "root.pem".to_owned();
    for number in 0..30 {
        let role = ["root", "timestamp", "targets", "snapshot"][number % 4];
        let rotated = scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        assert!(rotated.stderr.contains("new key "), "{}", rotated.stderr);
        if role == "root" {
            // What signed the root before is gone for good.
            let line = rotated.stderr.lines().find(|line| line.starts_with("new key ")).unwrap();
            fs::remove_file(scene.path("keys").join(&old)).unwrap();
            old = line.rsplit_once('/').unwrap().1.to_owned();
        }
    }
    assert_eq!(scene.role("root")["version"], 31);
    assert_eq!(scene.node("offline").unwrap().as_deref(), Some("1.0.0"));
    assert_eq!(scene.node("fresh").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn a_revoked_key_signs_no_more() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    for role in ["channels", "releases", "timestamp"] {
        scene.node("node").unwrap();
        scene.steal(&format!("{role}.pem"), "stolen");
        scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        fs::remove_file(scene.path("keys").join(format!("{role}.pem"))).unwrap();
        scene.node("node").unwrap();
        // The thief has all other keys of a publisher, too.
        for file in fs::read_dir(scene.path("keys")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_file() && !name.starts_with(role) {
                fs::copy(&path, scene.path("stolen").join(name)).unwrap();
            }
        }
        let thief: &[&str] = match role {
            "timestamp" => &["refresh", "--keys", "stolen"],
            "channels" => &["promote", "1.0.0", "stable", "--keys", "stolen"],
            _ => &["release", "--tree", "tree", "--version", "6.6.6", "--keys", "stolen"],
        };
        scene.pack(thief).refused(2, "is not one that the repository trusts for");
        fs::remove_dir_all(scene.path("stolen")).unwrap();
    }
    // The new keys do.
    scene.brings("1.1.0", &["node"]);
}

/// What the old timestamp key signs is refused by nodes that know of the rotation, exit code 3.
#[test]
fn nodes_refuse_what_a_revoked_key_signed() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let timestamp = scene.path("repository/metadata/timestamp.json");
    scene.pack(&["refresh"]).done();
    let by_old_key = fs::read(&timestamp).unwrap();
    scene.node("node").unwrap();
    scene.pack(&["keys", "rotate", "timestamp", "--unencrypted"]).done();
    // The overlap: signed by both, so that nobody notices.
    let both: Value = serde_json::from_slice(&fs::read(&timestamp).unwrap()).unwrap();
    assert_eq!(both["signatures"].as_array().unwrap().len(), 2);
    fs::remove_file(scene.path("keys/timestamp.pem")).unwrap();
    scene.pack(&["refresh"]).done();
    scene.node("node").unwrap();
    let before = fs::read(scene.path("node/timestamp.json")).unwrap();
    fs::write(&timestamp, by_old_key).unwrap();
    let (exit, words) = scene.node("node").unwrap_err();
    assert_eq!(exit, Exit::NotTrusted);
    assert!(words.contains("timestamp is signed by 0 of the 1 keys"), "{words}");
    assert_eq!(fs::read(scene.path("node/timestamp.json")).unwrap(), before);
}

#[test]
fn a_stolen_timestamp_key_set_floors_and_a_rotation_drops_them() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let timestamp = scene.path("repository/metadata/timestamp.json");
    let backup = fs::read(&timestamp).unwrap();
    // The thief lets nodes store a version far ahead.
    for _ in 0..5 {
        scene.pack(&["refresh"]).done();
    }
    scene.node("node").unwrap();
    fs::write(&timestamp, backup).unwrap();
    assert_eq!(scene.node("node").unwrap_err().0, Exit::NotTrusted, "a rollback");
    fs::remove_dir_all(scene.path("keys/trust")).unwrap();
    scene.pack(&["keys", "rotate", "timestamp", "--unencrypted"]).done();
    scene.node("node").unwrap();
}

#[test]
fn status_warns_before_anything_expires() {
    let scene = Scene::new();
    let run = scene.pack(&["repo", "status"]).done();
    assert!(run.stderr.is_empty(), "{}", run.stderr);
    assert!(run.stdout.contains("channel-production"), "{}", run.stdout);
    assert!(run.stdout.contains("1 of 1"), "{}", run.stdout);
    assert!(matches!(scene.role("snapshot")["days_left"].as_i64(), Some(89..=90)));
    scene.pack(&["keys", "renew", "targets"]).done();
    assert_eq!(scene.role("targets")["version"], 2);
    assert_eq!(scene.role("root")["version"], 2);
    scene.pack(&["keys", "renew", "nobody"]).refused(4, "the repository has no role `nobody`");
}

/// A node that was away while every role got other keys, thresholds rose and keys were revoked goes
/// on; the keys that went count no more.
#[test]
fn nodes_that_were_offline_while_everything_changed() {
    let scene = Scene::new();
    scene.brings("1.0.0", &["offline"]);
    for role in ["releases", "branches", "channels", "targets", "snapshot", "timestamp", "root"] {
        scene.pack(&["keys", "rotate", role, "--unencrypted"]).done();
        let _ = fs::remove_file(scene.path("keys").join(format!("{role}.pem")));
    }
    // Two of two, then of three, then one is revoked: the rest still reaches the threshold.
    for role in ["root", "targets", "snapshot", "timestamp", "channel-stable"] {
        for _ in 0..2 {
            let made = ["keys", "new", "--unencrypted", "--role", role, "--json"];
            let made = scene.pack(&made).json();
            let public = made["keys"][0]["public"].as_str().unwrap();
            scene.pack(&["keys", "add", role, public]).done();
        }
        scene.pack(&["keys", "threshold", role, "2"]).done();
        let first = scene.role(role)["keys"][0]["id"].as_str().unwrap().to_owned();
        scene.pack(&["keys", "revoke", role, &first]).done();
        let found = scene.role(role);
        assert_eq!((&found["threshold"], found["keys"].as_array().unwrap().len()), (&2.into(), 2));
    }
    scene.brings("1.1.0", &["offline", "fresh"]);
}
