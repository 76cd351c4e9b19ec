//! Changes that take more than one signature, carried by hand.

use std::fs;

use serde_json::Value;

use crate::scene::{Scene, text};

#[test]
fn two_promoters_sign_the_same_promotion_in_either_order() {
    for anna_first in [true, false] {
        let scene = Scene::new();
        scene.release("1.0.0").done();
        let bert = scene.key_of("bert", "channels");
        scene.pack(&["keys", "add", "channel-stable", &bert, "--name", "bert"]).done();
        let raised = scene.pack(&["keys", "threshold", "channel-stable", "2"]);
        scene.signed_by(&["bert"], raised);
        let role = scene.role("channel-stable");
        assert_eq!((&role["threshold"], &role["keys"][1]["name"]), (&2.into(), &"bert".into()));
        scene.pack(&["keys", "threshold", "channel-stable", "3"]).refused(2, "3 signatures of 2");

        let waiting = scene.pack(&["promote", "1.0.0", "stable"]);
        let annas = scene.pending(waiting);
        assert_eq!(scene.node("node").unwrap(), None, "nothing is visible");
        scene.pack(&["repo", "apply", text(&annas)]).refused(3, "channel-stable needs 1 more of");

        // Bert gets a copy on which Anna has not signed, or one on which she has.
        let copy = scene.path("copy.json");
        fs::copy(&annas, &copy).unwrap();
        let signed = scene.pack(&["keys", "sign", "copy.json", "--keys", "bert"]).done();
        signed.says("new: channels/stable/weave.json: weave 1.0.0, descriptor ");
        scene.pack(&["keys", "sign", "copy.json", "--keys", "bert"]).refused(2, "no key in bert");
        let files = if anna_first { [&annas, &copy] } else { [&copy, &annas] };
        let args = ["repo", "apply", text(files[0]), text(files[1])];
        scene.pack(&args).done();
        assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.0.0"));
        scene.pack(&args).done();

        // Others work as before, and a change from an old state is refused.
        scene.release("1.1.0").done();
        let stale = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
        let other = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
        for file in [&stale, &other] {
            scene.pack(&["keys", "sign", text(file), "--keys", "bert"]).done();
        }
        scene.pack(&["promote", "1.1.0", "testing"]).done();
        scene.pack(&["repo", "apply", text(&other)]).done();
        scene.pack(&["keys", "revoke", "channel-stable", "0000"]).refused(2, "not the begin of");
        assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.1.0"));
    }
}

#[test]
fn a_tampered_change_is_not_signed_and_not_applied() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.release("1.1.0").done();
    let bert = scene.key_of("bert", "channels");
    scene.pack(&["keys", "add", "channels", &bert]).done();
    scene.signed_by(&["bert"], scene.pack(&["keys", "threshold", "channels", "2"]));
    let pending = scene.pending(scene.pack(&["promote", "1.1.0", "stable"]));
    let good = fs::read_to_string(&pending).unwrap();
    fs::write(&pending, good.replace("1.1.0\\\"", "1.0.0\\\"")).unwrap();
    scene
        .pack(&["keys", "sign", text(&pending), "--keys", "bert"])
        .refused(3, "is not the file that the change vouches for");
    // A change that says that one signature is enough is not believed.
    let mut change: Value = serde_json::from_str(&good).unwrap();
    change["documents"][0]["needs"][0]["threshold"] = 1.into();
    fs::write(&pending, change.to_string()).unwrap();
    scene.pack(&["repo", "apply", text(&pending)]).refused(3, "needs 1 more of");
    assert_eq!(scene.node("node").unwrap(), None);
}

#[test]
fn an_offline_root_signs_elsewhere() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    let anna = scene.key_of("anna", "root");
    scene.pack(&["keys", "add", "root", &anna, "--name", "anna"]).done();
    scene.signed_by(&["anna"], scene.pack(&["keys", "threshold", "root", "2"]));
    assert_eq!(scene.role("root")["threshold"], 2);
    // From now on it takes both, and the machine that publishes has neither.
    scene.hand("root.pem", "safe");
    let change = scene.pack(&["keys", "rotate", "snapshot", "--unencrypted"]);
    let change = scene.pending(change);
    for keys in ["safe", "anna"] {
        scene.pack(&["repo", "apply", text(&change)]).refused(3, "root needs");
        let signed = scene.pack(&["keys", "sign", text(&change), "--keys", keys]).done();
        signed.says("snapshot may no longer be signed by key ");
    }
    scene.pack(&["repo", "apply", text(&change)]).done();
    fs::remove_file(scene.path("keys/snapshot.pem")).unwrap();
    scene.pack(&["refresh"]).done();
    scene.node("node").unwrap();
}
