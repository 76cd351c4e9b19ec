//! A token or a key below the root was stolen.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::process::Command;

use cutover_formats::digest::Digest;
use cutover_tests::attacker::Forger;
use cutover_tests::world::{Run, World};
use serde_json::{Value, json};

use crate::keeper::{ONLINE, copy, installs, scene, steal, thief};

/// The status of a `PUT`.
fn put(address: &str, path: &str, condition: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "PUT /{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer stolen-token\r\n\
         {condition}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_token_stolen() {
    let world = World::new();
    let (_, node) = scene(&world);
    fs::write(world.path("tokens"), "ci stolen-token\n").unwrap();
    let tokens = world.path("tokens").display().to_string();
    let (_server, url) = world.serve(&["--tokens", &tokens]);
    node.takes_from(&url);
    installs(&node, "1.0.0", "1.0.0");

    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let (root, timestamp) = ("metadata/2.root.json", "metadata/timestamp.json");
    let honest = fs::read(world.repository().join(timestamp)).unwrap();
    let bad = r#"{"signatures":[],"signed":{"_type":"timestamp","version":99}}"#;
    assert_eq!(put(address, root, "If-None-Match: *", bad), "422");
    let seen = format!("If-Match: \"{}\"", Digest::of(&honest));
    assert_eq!(put(address, timestamp, &seen, bad), "422");
    let old = put(address, "metadata/1.root.json", "If-None-Match: *", bad);
    assert_eq!(old, "412", "what is there stays");
    let clutter = "metadata/99.channel-stable.json";
    assert_eq!(put(address, clutter, "If-None-Match: *", bad), "201");
    installs(&node, "stable", "1.1.0");

    fs::remove_file(world.repository().join(clutter)).unwrap();
    assert_eq!(fs::read(world.repository().join(timestamp)).unwrap(), honest);
}

/// What the thief serves or writes with the online keys: a version far ahead, or the next one, of a
/// channel that is not there, or is not what the channel's keys signed.
#[test]
fn timestamp_and_snapshot_stolen() {
    for (ahead, is_there) in [(5000, false), (1, false), (1, true)] {
        let world = World::new();
        let (keeper, node) = scene(&world);
        let metadata = world.repository().join("metadata");
        copy(&metadata, &world.path("backup"));
        let forger = Forger::new(world.repository(), world.path("keys"));
        let far = |snapshot: &mut Value| {
            snapshot["meta"]["channel-stable.json"] = json!({ "version": 4000 });
        };
        let forged = forger.online(ahead, far);
        let away = world.unmade_node(world.path("away"), None);
        let _ = Run::of(&mut away.init()).ok();
        let _ = away.install(["plan", "stable"]).ok();
        for (path, bytes) in &forged {
            fs::write(world.repository().join(path), bytes).unwrap();
        }
        if is_there {
            fs::write(metadata.join("4000.channel-stable.json"), "{}").unwrap();
        }
        let refused = node.install(["stable"]);
        assert_ne!(refused.status, 0, "{refused}");
        assert_eq!(node.current().as_deref(), Some("1.1.0"));
        // The keepers look, too: what they see, they will not see go back.
        let looked = world.pack(["repo", "status"]);
        assert!([0, 3, 8].contains(&looked.status), "{looked}");

        if is_there {
            // Without a backup, from a node that has not looked since.
            fs::remove_file(metadata.join("4000.channel-stable.json")).unwrap();
            fs::remove_file(world.repository().join(&forged[0].0)).unwrap();
            let last = away.root.join("state/trust/timestamp.json");
            let _ = fs::copy(last, metadata.join("timestamp.json")).unwrap();
            let same =
                Command::new("diff").arg("-r").args([&metadata, &world.path("backup")]).status();
            assert!(same.unwrap().success());
        } else {
            fs::remove_dir_all(&metadata).unwrap();
            copy(&world.path("backup"), &metadata);
        }
        node.install(["stable"]).refused(3, &["went back from version"]);
        keeper.tries("pack keys rotate timestamp", &[]).refused(3, &["went back from version"]);
        fs::remove_dir_all(world.path("keys/trust")).unwrap();
        for role in ["timestamp", "snapshot"] {
            keeper.rotates(role);
        }
        // The machine that is on gets them; the root that it has leads to the new one.
        let online = "mkdir online; cp keys/snapshot.*.pem keys/timestamp.*.pem online; \
                      cp repository/metadata/1.root.json online/root.json";
        let _ = keeper.shell(online).ok();
        let _ = keeper.does("pack refresh", &[("refresh", "refresh --keys online")]);
        installs(&node, "stable", "1.1.0");
        let _ = keeper.does("pack promote 1.4.0 stable", &[("1.4.0", "1.0.0 --older")]);
        installs(&node, "stable", "1.0.0");
    }
}

#[test]
fn releases_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "releases");
    let _ = thief(&world, ["release", "--tree", "tree", "--version", "1.6.6"]).ok();
    installs(&node, "^1.2", "1.6.6");
    let before = keeper.does("pack keys export", &[]).stdout;

    assert!(keeper.does("pack list", &[]).stdout.contains("1.6.6"));
    let why = r#"pack withdraw VERSION --reason "the releases key was stolen""#;
    let _ = keeper.does(why, &[("VERSION", "1.6.6")]);
    keeper.rotates("releases");
    thief(&world, ["release", "--tree", "tree", "--version", "1.6.7"]).refused(2, &["trusts for"]);
    let _ = keeper.tries("install plan CHANNEL", &[("CHANNEL", "stable --root node")]);
    let status = node.install(["status"]).ok().stderr;
    assert!(status.contains("1.6.6 is current here and WAS WITHDRAWN"), "{status}");
    node.install(["1.6.6"]).refused(3, &["the releases key was stolen"]);
    let after = keeper.does("pack keys export", &[]).stdout;
    let root = world.root_json().display().to_string();
    let url = world.repository().display().to_string();
    let asked = "pack keys export --repo URL --trust ROOT.json";
    let asked = keeper.does(asked, &[("URL", &url), ("ROOT.json", &root)]).stdout;
    assert!(before != after && after == asked, "{before}{after}{asked}");
    installs(&node, "stable", "1.1.0");
}

#[test]
fn channels_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "channels");
    let _ = thief(&world, ["promote", "1.0.0", "stable", "--older"]).ok();
    installs(&node, "stable", "1.0.0");
    let moved = keeper.does("pack list", &[]).stdout;
    assert!(
        moved.lines().any(|line| line.contains("1.0.0") && line.ends_with("stable")),
        "{moved}"
    );
    keeper.rotates("channels");
    let _ =
        keeper.does("pack promote VERSION CHANNEL", &[("VERSION", "1.1.0"), ("CHANNEL", "stable")]);
    thief(&world, ["promote", "1.0.0", "stable", "--older"]).refused(2, &["trusts for"]);
    installs(&node, "stable", "1.1.0");

    let _ = keeper.shell("pack keys new --role channel-production --keys bert").ok();
    let bert = keeper.public_key_in("bert");
    let _ = keeper.does("pack keys add channel-production …", &[("…", &bert)]);
    let _ = keeper
        .tries("pack keys threshold channel-production 2", &[])
        .refused(3, &["not published yet"]);
    let waiting = "let-channel-production-take-2-signatures.pending.json";
    let _ = keeper
        .shell(&format!("pack keys sign {waiting} --keys bert && pack repo apply {waiting}"))
        .ok();
    keeper.shell("pack promote 1.1.0 production").refused(3, &["channel-production needs 1 more"]);
}

#[test]
fn targets_stolen() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "targets");
    for role in ["releases", "channel-stable"] {
        let _ = thief(&world, ["keys", "rotate", role, "--unencrypted"]).ok();
    }
    let bad = ["release", "--tree", "tree", "--version", "6.6.6", "--channel", "stable"];
    let _ = thief(&world, bad).ok();
    installs(&node, "stable", "6.6.6");

    keeper.rotates("targets");
    for role in ["releases", "channel-stable"] {
        let shown = keeper.does("pack keys show", &[]).stdout;
        let keys = keeper.keys_of(role);
        assert!(keys.iter().all(|id| !shown.contains(id)), "{keys:?} are strangers: {shown}");
        let _ = keeper.does("pack keys rotate ROLE", &[("ROLE", role)]);
        let shown = keeper.does("pack keys show", &[]).stdout;
        assert!(keeper.keys_of(role).iter().all(|id| shown.contains(id)), "{role}: {shown}");
    }
    assert!(keeper.does("pack list", &[]).stdout.contains("6.6.6"));
    let _ = keeper
        .does("pack withdraw VERSION --reason TEXT", &[("VERSION", "6.6.6"), ("TEXT", "bad")]);
    for role in ONLINE {
        keeper.rotates(role);
    }
    let _ = keeper.does(
        "pack promote VERSION CHANNEL",
        &[("VERSION", "1.1.0 --older"), ("CHANNEL", "stable")],
    );
    thief(&world, ["keys", "rotate", "releases", "--unencrypted"])
        .refused(3, &["targets needs 1 more"]);
    node.install(["6.6.6"]).refused(3, &["was withdrawn"]);
    installs(&node, "stable", "1.1.0");
}
