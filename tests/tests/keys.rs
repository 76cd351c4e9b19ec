//! What nodes make of it when people change keys or take a release back.

use cutover_tests::world::World;

#[test]
fn a_withdrawn_release_is_refused_by_channel_and_by_version_and_named_where_it_runs() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let _ = world.pack(["promote", "1.1.0", "stable"]).ok();
    let node = world.node(None);
    let _ = node.install(["stable"]).ok();
    let status = node.status();
    assert!(status["withdrawn"].is_null(), "{status}");
    let roles = status["metadata"].as_array().expect("a list");
    let timestamp = roles.iter().find(|role| role["role"] == "timestamp").expect("it was seen");
    assert!(matches!(timestamp["days_left"].as_i64(), Some(13..=14)), "{timestamp}");
    assert_eq!(timestamp["expires_soon"], false);

    let _ = world.pack(["withdraw", "1.1.0", "--reason", "eats the mail"]).ok();
    let words = ["tiny 1.1.0 was withdrawn from ", "eats the mail", "nothing was changed"];
    let _ = node.install(["stable"]).refused(3, &words);
    let _ = node.install(["1.1.0"]).refused(3, &words);
    let _ = node.install(["=1.1.0"]).refused(3, &words);
    assert_eq!(node.current().as_deref(), Some("1.1.0"), "what runs goes on running");

    let status = node.install(["status"]).ok();
    assert!(status.stderr.contains("tiny 1.1.0 is current here and WAS WITHDRAWN from"));
    assert!(status.stderr.contains("eats the mail"), "{}", status.stderr);
    assert_eq!(node.status()["withdrawn"]["reason"], "eats the mail");

    // A requirement passes over it, and so does the channel once it has moved.
    let _ = node.install(["^1"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.0.0"));
    let _ = world.pack(["promote", "1.1.0", "testing"]).refused(2, &["was withdrawn from"]);
    let _ = world
        .pack(["promote", "1.0.0", "stable"])
        .refused(2, &["stable of tiny is 1.1.0", "--older"]);
    let _ = world.pack(["promote", "1.0.0", "stable", "--older"]).ok();
    let _ = node.install(["stable"]).ok();
    assert!(node.status()["withdrawn"].is_null());
}

#[test]
fn a_node_follows_when_every_key_is_rotated() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    for role in ["root", "targets", "snapshot", "timestamp", "releases", "channels", "branches"] {
        let _ = world.pack(["keys", "rotate", role, "--unencrypted"]).ok();
    }
    let _ = world.pack(["promote", "1.1.0", "stable"]).ok();
    let _ = node.install(["stable"]).ok();
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}
