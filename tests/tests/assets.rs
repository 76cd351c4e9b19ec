//! Static files of releases, from `release.toml` to a browser: refused where there are none, served
//! side by side while releases change, gone with a release that is pruned.

use cutover_tests::world::{World, free_address, get, wait_until};

const SECTION: &str = "\n[assets]\npath = \"/assets/{version}/\"\nfolder = \"static\"\n";

#[test]
fn old_pages_keep_their_pictures() {
    let world = World::new();
    let tree = world.tree("tiny");
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).unwrap();
    tree.write("release.toml", &format!("{toml}{SECTION}"));
    tree.tag("0.9.0");
    let release = ["release", "--source", "tree", "--channel", "stable"];
    world.pack(release).refused(2, &["[assets]", "`static`", "no files there"]);

    std::fs::create_dir(tree.folder.join("static")).unwrap();
    for version in ["1.0.0", "1.1.0"] {
        tree.write("static/look.css", &format!("/* {version} */"));
        tree.tag(version);
        let _ = world.pack(release).ok();
    }

    let node = world.node(Some(free_address()));
    let address = node.gate.expect("the node has a gate");
    let asset = |version: &str| get(address, &format!("/assets/{version}/look.css"));
    let _ = node.install(["1.0.0"]).ok();
    let mut gate = node.start_gate();
    wait_until("1.0.0", || asset("1.0.0") == Some((200, "/* 1.0.0 */".to_owned())));
    let _ = node.install(["1.1.0"]).ok();
    assert_eq!(asset("1.1.0"), Some((200, "/* 1.1.0 */".to_owned())));
    assert_eq!(asset("1.0.0"), Some((200, "/* 1.0.0 */".to_owned())), "an old page asks for it");
    let _ = node.install(["rollback"]).ok();
    assert_eq!(asset("1.1.0"), Some((200, "/* 1.1.0 */".to_owned())), "a new page asks for it");
    let _ = node.install(["maintenance", "on"]).ok();
    assert_eq!(get(address, "/").map(|(status, _)| status), Some(503));
    assert_eq!(asset("1.0.0"), Some((200, "/* 1.0.0 */".to_owned())), "the page's own look");
    assert_eq!(gate.end(), Some(0));
}
