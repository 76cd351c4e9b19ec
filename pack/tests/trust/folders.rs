//! Folders of keys that others can write to.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;

use rustix::process::geteuid;

use crate::scene::{Scene, text};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A pointer that somebody else could put there would have a command run as the release manager.
#[test]
fn keys_that_others_could_have_put_there_are_not_used() {
    let scene = Scene::new();
    let (keys, ran) = (scene.path("keys"), scene.path("ran"));
    let shown = scene.pack(&["keys", "show", "--json"]).json();
    let all = shown["keys"].as_array().unwrap();
    let timestamp =
        all.iter().find(|key| key["file"].as_str().unwrap().ends_with("timestamp.pem")).unwrap();
    let pointer = keys.join("timestamp.other.key.toml");
    let lines = format!("key = \"exec:touch {}\"\npublic = {}\n", text(&ran), timestamp["public"]);
    fs::write(&pointer, lines).unwrap();

    for bits in [0o777, 0o1777, 0o770] {
        mode(&keys, bits);
        let new = ["keys", "new", "--role", "root", "--unencrypted"];
        for command in [&["refresh"][..], &["keys", "show"], &new] {
            scene.pack(command).refused(2, "keys can be written to by others").says("chmod go-w");
        }
    }
    mode(&keys, 0o700);
    for file in [pointer.clone(), keys.join("snapshot.pem"), keys.join("root.json")] {
        mode(&file, 0o646);
        scene.pack(&["refresh"]).refused(2, "can be written to by others (mode 646)");
        mode(&file, 0o600);
        if geteuid().is_root() {
            chown(&file, Some(65534), None).unwrap();
            scene.pack(&["refresh"]).refused(2, "belongs to another user (uid 65534)");
            chown(&file, Some(0), None).unwrap();
        }
    }
    assert!(!ran.exists(), "a command was run");

    // What is trusted of the repository is the trusted root's like.
    fs::remove_file(&pointer).unwrap();
    mode(&keys, 0o755);
    scene.pack(&["refresh"]).done();
    let trust = keys.join("trust");
    mode(&trust, 0o777);
    scene.pack(&["refresh"]).refused(2, "trust can be written to by others");
    mode(&trust, 0o700);
    scene.pack(&["refresh"]).done();
}
