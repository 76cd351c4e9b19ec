//! Channels: withdrawn releases, promoters of their own, added and removed.

use std::fs;

use crate::scene::{Scene, text};

#[test]
fn a_withdrawn_release_is_not_promoted_and_shown() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["withdraw", "1.0.1", "--reason", "x"]).refused(4, "there is no weave 1.0.1");
    scene.pack(&["withdraw", "1.0.0", "--reason", " "]).refused(2, "it has to say something");
    let args = ["withdraw", "1.0.0", "--reason", "loses data"];
    let done = scene.pack(&args).done();
    assert!(done.stdout.contains("is withdrawn from next, testing, stable, production"));
    scene.pack(&args).refused(2, "weave 1.0.0 was withdrawn already");
    scene
        .pack(&["promote", "1.0.0", "stable"])
        .refused(2, "withdrawn from next, testing, stable, production: loses data");
    scene
        .pack(&["promote", "1.0.0", "b.try"])
        .refused(2, "withdrawn from next, testing, stable, production: loses data");
    let listed = scene.pack(&["list", "--json"]).json();
    assert_eq!(listed["releases"][0]["withdrawn"], "next, testing, stable, production: loses data");
    scene.brings("1.0.1", &["node"]);
}

/// Promoters make their keys on their own machines; what the folder of keys has is not theirs.
#[test]
fn a_channel_with_promoters_of_its_own() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let role = "channel-train-7";
    let mut publics = Vec::new();
    for who in ["anna", "bert", "carl"] {
        let made = ["keys", "new", "--unencrypted", "--keys", who, "--role", role, "--json"];
        let made = scene.pack(&made).json();
        publics.push(format!("{who}={}", made["keys"][0]["public"].as_str().unwrap()));
        fs::copy(scene.path("keys/root.json"), scene.path(who).join("root.json")).unwrap();
    }
    let shown = scene.pack(&["keys", "show", "--keys", "bert", "--json"]).json();
    assert!(publics[1].ends_with(shown["keys"][0]["public"].as_str().unwrap()));
    let keys: Vec<_> = publics.iter().flat_map(|key| ["--key", key]).collect();
    let add =
        |extra: &[&str]| scene.pack(&[&["channels", "add", "train-7"], &keys[..], extra].concat());
    add(&["--threshold", "4"]).refused(2, "4 signatures of 3 keys");
    scene.node("node").unwrap();
    // Two promoters sign that it begins, on two machines.
    let waiting = scene.pending(add(&["--threshold", "2"]));
    scene.pack(&["promote", "1.0.0", "train-7"]).refused(4, "no channel `train-7`");
    scene.pack(&["repo", "apply", text(&waiting)]).refused(3, "channel-train-7 needs 2 more of");
    for who in ["bert", "anna"] {
        scene.pack(&["keys", "sign", text(&waiting), "--keys", who]).done();
    }
    scene.pack(&["repo", "apply", text(&waiting)]).done();
    let found = scene.role(role);
    assert_eq!((&found["threshold"], found["keys"].as_array().unwrap().len()), (&2.into(), 3));
    assert!(found["keys"].as_array().unwrap().iter().any(|key| key["name"] == "carl"));
    add(&["--threshold", "2"]).refused(2, "it is there already");

    // A promotion by two of the three, in copies; one of them alone moves nothing.
    scene
        .pack(&["promote", "1.0.0", "train-7"])
        .refused(2, "is not one that the repository trusts");
    let promotion = scene.pending(scene.pack(&["promote", "1.0.0", "train-7", "--keys", "anna"]));
    let copy = scene.path("carls.json");
    fs::copy(&promotion, &copy).unwrap();
    scene.pack(&["repo", "apply", "carls.json"]).refused(3, "needs 1 more of");
    scene.pack(&["keys", "sign", "carls.json", "--keys", "carl"]).done();
    scene.pack(&["repo", "apply", "carls.json", text(&promotion)]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap().as_deref(), Some("1.0.0"));
    // It is one role like others: a stolen key is replaced, without the thief.
    let annas = scene.role(role)["keys"][0]["id"].as_str().unwrap().to_owned();
    let revoke = scene.pack(&["keys", "revoke", role, &annas]);
    scene.signed_by(&["anna", "bert", "carl"], revoke);
    assert_eq!(scene.role(role)["keys"].as_array().unwrap().len(), 2);

    // It goes, and nodes find nothing there; a new one of that name begins empty, not older.
    let version = scene.role(role)["version"].as_u64().unwrap();
    scene.pack(&["channels", "remove", "train-7"]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap(), None);
    scene.pack(&["channels", "remove", "train-7"]).refused(4, "no role `channel-train-7`");
    scene.pack(&["channels", "add", "train-7"]).done();
    assert!(scene.role(role)["version"].as_u64().unwrap() > version);
    assert_eq!(scene.follow("node", "train-7").unwrap(), None);
    scene.pack(&["promote", "1.0.0", "train-7"]).done();
    assert_eq!(scene.follow("node", "train-7").unwrap().as_deref(), Some("1.0.0"));
}

#[test]
fn channels_that_cannot_be_added_or_removed() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.pack(&["channels", "add", "b.feature"]).refused(2, "a branch's channel");
    scene.pack(&["channels", "add", "x", "--key", "nonsense"]).refused(2, "no ed25519 public key");
    scene.pack(&["channels", "add", "x", "--threshold", "0"]).refused(2, "0 signatures");
    scene
        .pack(&["keys", "new", "--role", "nobody", "--unencrypted"])
        .refused(2, "`nobody` is no role");
    scene
        .pack(&["keys", "new", "--role", "channel-../x", "--unencrypted"])
        .refused(2, "is no role");
    // What only this channel says nodes must not forget.
    scene.pack(&["withdraw", "1.0.0", "--reason", "a hole", "--channel", "next"]).done();
    scene.pack(&["channels", "remove", "next"]).refused(2, "weave 1.0.0 is withdrawn");
    scene.pack(&["withdraw", "1.0.0", "--reason", "a hole", "--channel", "stable"]).done();
    scene.pack(&["channels", "remove", "next"]).done();
    scene.pack(&["promote", "1.0.0", "stable"]).refused(2, "was withdrawn");
}
