//! Keys of the root were stolen.

use std::fs;

use cutover_tests::world::{NodeDir, World, assert_same};

use crate::keeper::{installs, scene, steal, thief};

#[test]
fn root_stolen_below_its_threshold() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "root");
    let lines = keeper.block("pack keys threshold root 2");
    let [made, root, show, add, threshold, sign, apply] = &lines[..] else { panic!("{lines:?}") };
    let first = ("1.root.json", "repository/metadata/1.root.json");
    let _ = keeper.does(made, &[("BERTS-DIR", "berts")]);
    let _ = keeper.does(root, &[("BERTS-DIR", "berts"), first]);
    let berts = [("BERTS-DIR", "berts")];
    let _ = keeper.does(show, &berts);
    let _ = keeper.does(add, &[("5f0c…", &keeper.public_key_in("berts"))]);
    let _ = keeper.tries(threshold, &[]).refused(3, &["not published yet"]);
    for line in [sign, apply] {
        let _ = keeper.does(line, &berts);
    }
    let stolen = &keeper.keys_of("root")[0];
    let rotate = "pack keys rotate root --old KEYID";
    let waits = keeper.tries(rotate, &[("KEYID", &stolen[..8])]);
    let _ = waits.refused(3, &["root needs 1 more of"]);
    keeper.destroys("root");
    for line in
        ["pack keys sign rotate-root-*.json --keys berts", "pack repo apply rotate-root-*.json"]
    {
        let _ = keeper.shell(line).ok();
    }
    let keys = keeper.keys_of("root");
    assert!(keys.len() == 2 && !keys.contains(stolen), "{keys:?}");
    installs(&node, "1.0.0", "1.0.0");
}

#[test]
fn root_stolen_with_its_threshold() {
    let world = World::new();
    let (keeper, node) = scene(&world);
    steal(&world, "root");
    let _ = thief(&world, ["keys", "rotate", "root", "--unencrypted"]).ok();
    // Away from the network.
    let elsewhere = world.path("elsewhere");
    fs::rename(world.repository(), &elsewhere).unwrap();
    let before = node.inventory();
    node.install(["stable"]).refused(8, &[]);
    assert_same(&before, &node.inventory());
    // The keepers' own root is not the last one any more: another repository.
    fs::rename(world.path("keys"), world.path("old-keys")).unwrap();
    let _ = keeper.does("pack keys new", &[]);
    let _ = keeper.does("pack repo init", &[]);
    let _ = keeper.shell("pack release --tree tree --version 1.1.0 --channel stable").ok();
    let anew = "install init --root NEW --repo … --trust 1.root.json";
    let filled = [("NEW", "anew"), ("…", "repository"), ("1.root", "repository/metadata/1.root")];
    let _ = keeper.does(anew, &filled);
    installs(&NodeDir::at(&world, world.path("anew")), "stable", "1.1.0");
}
