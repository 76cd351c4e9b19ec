//! What those who are asked to sign are shown, and what is neither signed nor published.

use std::fs;
use std::path::Path;

use cutover_formats::keys::Signer;
use cutover_formats::keys::file::read_plain;
use cutover_formats::tuf::draft::Draft;
use serde_json::{Value, json};

use crate::scene::{Scene, text};

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn document<'c>(change: &'c mut Value, role: &str) -> &'c mut Value {
    let documents = change["documents"].as_array_mut().unwrap();
    documents.iter_mut().find(|one| one["role"] == role).unwrap()
}

/// The change with another content for `role`, which `keys` have signed: no tool was asked.
fn forge(file: &Path, role: &str, keys: &[&Path], edit: impl FnOnce(&mut Value)) {
    let mut change = read(file);
    let metadata = &mut document(&mut change, role)["metadata"];
    edit(&mut metadata["signed"]);
    metadata["signatures"] = json!([]);
    let mut draft = Draft::from_bytes(metadata.to_string().as_bytes()).unwrap();
    for key in keys {
        let signer: Signer = read_plain(&fs::read_to_string(key).unwrap()).unwrap();
        draft.add(signer.sign(&draft.message()));
    }
    *metadata = serde_json::from_slice(&draft.to_bytes()).unwrap();
    fs::write(file, change.to_string()).unwrap();
}

/// Two keepers of root: whose keys are here, and Bert.
fn keepers() -> Scene {
    let scene = Scene::new();
    let bert = scene.key_of("bert", "root");
    scene.pack(&["keys", "add", "root", &bert, "--name", "bert"]).done();
    scene.signed_by(&["bert"], scene.pack(&["keys", "threshold", "root", "2"]));
    scene
}

#[test]
fn a_signer_sees_the_difference_from_what_is_trusted() {
    let scene = keepers();
    let new = scene.pack(&["keys", "new", "--role", "targets", "--keys", "other", "--unencrypted"]);
    new.done();
    let shown = scene.pack(&["keys", "show", "--keys", "other", "--json"]).json();
    let (id, public) = (shown["keys"][0]["id"].as_str().unwrap(), &shown["keys"][0]["public"]);
    let add = ["keys", "add", "targets", public.as_str().unwrap(), "--name", "carla"];
    let file = scene.pending(scene.pack(&add));
    let sign = ["keys", "sign", text(&file), "--keys", "bert", "--show"];
    let run = scene.pack(&[&sign[..], &["--json"]].concat());
    run.done().says("compared with what bert/root.json vouches for");
    let seen = scene.pack(&[&sign[..], &["--json"]].concat()).json();
    assert_eq!(seen["compared_with"], "trusted");
    assert_eq!(seen["roles"].as_array().unwrap().len(), 1);
    let differences = seen["roles"][0]["differences"].as_array().unwrap();
    assert_eq!(differences.len(), 2, "{seen:#}");
    assert_eq!(differences[0]["change"], "threshold");
    let added = json!({
        "change": "key-added", "role": "targets", "id": id, "public": public, "owner": "carla"
    });
    assert_eq!(differences[1], added);

    // Who knows no root is shown all of it, and told so.
    fs::remove_file(scene.path("bert/root.json")).unwrap();
    let all = scene.pack(&sign).done().says("there is no bert/root.json");
    for role in ["root", "snapshot", "timestamp", "targets"] {
        assert!(all.stderr.contains(&format!("{role} takes ")), "{}", all.stderr);
    }
    fs::copy(scene.path("keys/root.json"), scene.path("bert/root.json")).unwrap();

    // A base that the root does not vouch for is none.
    let good = fs::read_to_string(&file).unwrap();
    let mut change = read(&file);
    let base = &mut change["repository"]["metadata/timestamp.json"];
    *base = base.as_str().unwrap().replace("\"sig\":\"", "\"sig\":\"00").into();
    fs::write(&file, change.to_string()).unwrap();
    scene.pack(&sign).refused(3, "is not trusted");

    // Nor is one that somebody took away on the way here.
    change["repository"] = json!({});
    fs::write(&file, change.to_string()).unwrap();
    scene.pack(&sign).refused(3, "what it leaves out cannot be seen");
    scene.pack(&sign[..5]).refused(3, "nothing was signed");
    change.as_object_mut().unwrap().remove("repository");
    fs::write(&file, change.to_string()).unwrap();
    scene.pack(&sign).refused(2, "repository");

    fs::write(&file, good).unwrap();
    scene.pack(&sign[..5]).done();
    scene.pack(&["repo", "apply", text(&file)]).done();
    assert_eq!(scene.role("targets")["keys"][1]["name"], "carla");
}

#[test]
fn another_key_under_an_old_id_is_not_signed() {
    let scene = keepers();
    let mallory = scene.key_of("mallory", "targets");
    let file = scene.pending(scene.pack(&["keys", "renew", "targets"]));
    forge(&file, "root", &[], |root| {
        let id = root["roles"]["targets"]["keyids"][0].as_str().unwrap().to_owned();
        root["keys"][&id]["keyval"]["public"] = mallory.into();
    });
    let before = fs::read(&file).unwrap();
    for known in [true, false] {
        scene.pack(&["keys", "sign", text(&file), "--keys", "bert"]).refused(3, "and its id is");
        let show = ["keys", "sign", text(&file), "--keys", "bert", "--show"];
        scene.pack(&show).refused(3, "nothing was signed or published");
        if known {
            fs::remove_file(scene.path("bert/root.json")).unwrap();
        }
    }
    assert_eq!(fs::read(&file).unwrap(), before);
}

/// The keys are stolen, or their holders were deceived: all signatures are good.
#[test]
fn what_pack_never_makes_is_not_published_whoever_signed_it() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.brings("1.1.0", &["node"]);
    scene.pack(&["withdraw", "1.0.0", "--channel", "stable", "--reason", "bad"]).done();
    let (targets, channels) = (scene.path("keys/targets.pem"), scene.path("bert/channels.pem"));
    scene.hand("channels.pem", "bert");
    let file = scene.pending(scene.pack(&["keys", "renew", "channels"]));
    let good = fs::read(&file).unwrap();
    let apply = ["repo", "apply", text(&file)];

    forge(&file, "channel-stable", &[&channels], |stable| {
        let marks = stable["targets"].as_object_mut().unwrap();
        assert!(marks.remove("channels/stable/weave.1.0.0.withdrawn").is_some());
    });
    scene.pack(&apply).refused(3, "leaves out the withdrawal channels/stable/weave.1.0.0");
    fs::write(&file, &good).unwrap();
    forge(&file, "targets", &[&targets], |targets| {
        let roles = targets["delegations"]["roles"].as_array_mut().unwrap();
        let mut helper = roles[0].clone();
        helper["name"] = "helper".into();
        helper["paths"] = json!(["releases/*/*/*"]);
        roles.insert(0, helper);
    });
    scene.pack(&apply).refused(3, "trusts `helper` with releases/*/*/*");
    fs::write(&file, &good).unwrap();
    forge(&file, "targets", &[&targets], |targets| targets["x-note"] = "unseen".into());
    scene.pack(&apply).refused(3, "x-note");
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.1.0"));

    fs::write(&file, &good).unwrap();
    scene.pack(&["keys", "sign", text(&file), "--keys", "bert"]).done();
    scene.pack(&apply).done();
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.1.0"));
}

#[test]
fn what_readers_would_not_see_is_not_called_published() {
    let scene = Scene::new();
    scene.release("1.0.0").done();
    scene.brings("1.1.0", &["node"]);
    let bert = scene.key_of("bert", "channels");
    scene.pack(&["keys", "add", "channel-stable", &bert]).done();
    scene.signed_by(&["bert"], scene.pack(&["keys", "threshold", "channel-stable", "2"]));
    let waiting = |version| {
        let file = scene.pending(scene.pack(&["promote", version, "stable", "--older"]));
        scene.pack(&["keys", "sign", text(&file), "--keys", "bert"]).done();
        file
    };

    // The new pointer's file is neither in the change nor in the repository.
    let file = waiting("1.0.0");
    let mut change = read(&file);
    let targets = &document(&mut change, "channel-stable")["metadata"]["signed"]["targets"];
    let digest = targets["channels/stable/weave.json"]["hashes"]["sha256"].as_str().unwrap();
    let pointer = format!("repository/targets/channels/stable/{digest}.weave.json");
    fs::remove_file(scene.path(&pointer)).unwrap();
    let whole = fs::read(&file).unwrap();
    change["files"] = json!({});
    fs::write(&file, change.to_string()).unwrap();
    scene.pack(&["repo", "apply", text(&file)]).refused(3, "its file is not in the repository");

    // A publisher got as far as the role's file, then died. Another change is published; the first one
    // stands in the repository, but nobody ever saw it.
    let document = document(&mut change, "channel-stable")["metadata"].to_string();
    let draft = Draft::from_bytes(document.as_bytes()).unwrap();
    let version = draft.head().unwrap().version;
    let orphan = scene.path(&format!("repository/metadata/{version}.channel-stable.json"));
    fs::write(orphan, draft.to_bytes()).unwrap();
    scene.release("1.2.0").done();
    let other = waiting("1.2.0");
    scene.pack(&["repo", "apply", text(&other)]).done();
    fs::write(&file, whole).unwrap();
    scene.pack(&["repo", "apply", text(&file)]).refused(6, "has changed since");
    assert_eq!(scene.node("node").unwrap().as_deref(), Some("1.2.0"));
    scene.pack(&["repo", "apply", text(&other)]).done();
}
