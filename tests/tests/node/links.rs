//! A service may write to folders below the root; root follows no link that it makes there, and takes no
//! secret that others may have written.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};

use cutover_tests::world::{NodeDir, World};

const NOBODY: u32 = 65534;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A node whose release has a secret and a required file, both in a folder of the service's user.
fn node_with_folder(world: &World) -> (NodeDir<'_>, PathBuf) {
    let tree = world.tree("tiny");
    tree.configured();
    let toml = fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    let own = "[config]\n\"own\" = { from = \"media/own\", required = true }";
    tree.write("release.toml", &toml.replace("[config]", own));
    for version in ["1.0.0", "1.1.0"] {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    let node = world.node(None);
    let media = node.root.join("shared/media");
    fs::create_dir_all(&media).unwrap();
    for (name, text) in [("own", "own"), ("password", "word\n")] {
        fs::write(media.join(name), text).unwrap();
        set_mode(&media.join(name), 0o600);
        chown(media.join(name), Some(NOBODY), None).expect("this test runs as root");
    }
    chown(&media, Some(NOBODY), None).unwrap();
    (node, media)
}

/// A link that the service's user makes, to a file of root's.
fn make_link(media: &Path, name: &str, target: &Path) {
    let link = media.join(name);
    let _ = fs::remove_file(&link);
    symlink(target, &link).unwrap();
    lchown(&link, Some(NOBODY), None).unwrap();
}

#[test]
fn links_of_the_services_user_lead_root_nowhere() {
    let world = World::new();
    let (node, media) = node_with_folder(&world);
    let foreign = world.path("foreign");
    fs::write(&foreign, "a key of root's\n").unwrap();
    set_mode(&foreign, 0o600);
    node.add("[service]\nuser = \"nobody\"");
    node.give("token = { file = 'media/password' }");
    let _ = node.install(["plan", "1.0.0"]).ok();

    make_link(&media, "password", &foreign);
    let words = "`password` is a link that user 65534 made, which is not followed here";
    for command in [&["plan", "1.0.0"][..], &["1.0.0"]] {
        node.install(command.iter().copied()).refused(2, &["the secret `token`", words]);
    }
    node.give("");

    // Whether there is what it leads to is not told, and the release gets its link all the same.
    make_link(&media, "own", &world.path("nowhere"));
    let _ = node.install(["1.0.0"]).ok();
    let link = fs::read_link(node.root.join("current/own")).unwrap();
    assert_eq!(link, media.join("own"));

    make_link(&media, "mark", &foreign);
    node.add(
        "[[check]]\nstage = 'switch'\nwhen = 'before'\n\
         file = { path = '{root}/shared/media/mark', contains = 'key' }",
    );
    let words = "`mark` is a link that user 65534 made, which is not followed here";
    node.install(["1.1.0"]).refused(5, &[words]);
}

#[test]
fn a_secret_that_others_can_touch() {
    let world = World::new();
    let (node, media) = node_with_folder(&world);
    let password = media.join("password");
    node.give("token = { file = 'media/password' }");
    let run = node.install(["1.0.0"]).refused(2, &["belongs to user 65534, who is neither root"]);
    assert!(run.stderr.contains(&format!("`chown root {}`", password.display())), "{run}");
    node.change("\n[inputs]", "\n[service]\nuser = \"nobody\"\n[inputs]");
    for mode in [0o620, 0o602] {
        set_mode(&password, mode);
        let words = format!("can be written to by others (mode {mode:o}); `chmod go-w ");
        node.install(["plan", "1.0.0"]).refused(2, &[&words]);
        node.install(["1.0.0"]).refused(2, &[&words]);
    }
    set_mode(&password, 0o644);
    for command in [&["plan", "1.0.0"][..], &["1.0.0"]] {
        let run = node.install(command.iter().copied()).ok();
        assert!(run.stderr.contains("the secret `token`: everybody can read"), "{run}");
    }
    set_mode(&password, 0o640);
    let run = node.install(["plan", "1.1.0"]).ok();
    assert!(!run.stderr.contains("everybody can read"), "{run}");
}
