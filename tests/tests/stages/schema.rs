//! The database's say: a file stands in for it, whose number a command prints and a stage changes.

use cutover_tests::world::World;

use crate::common::Scene;

const NODE: &str = "[schema]\ncommand = 'cat {root}/shared/schema'\n";

fn schema(version: u64, accepts: &str) -> String {
    format!("[schema]\nversion = {version}\naccepts = '{accepts}'\n")
}

fn migrate(to: &str) -> String {
    format!(
        "[stage.migrate]\nbefore = 'start'\nrun = 'echo {to} > {{root}}/shared/schema'\n\
         undo = 'echo 41 > {{root}}/shared/schema'\n"
    )
}

impl Scene<'_> {
    fn database(&self, version: &str) {
        std::fs::write(self.node.root.join("shared/schema"), format!("{version}\n")).unwrap();
    }

    fn database_is(&self) -> String {
        let text = std::fs::read_to_string(self.node.root.join("shared/schema")).unwrap();
        text.trim().to_owned()
    }
}

#[test]
fn a_release_that_the_database_cannot_take_is_refused_before_anything_is_fetched() {
    let world = World::new();
    let scene = Scene::with(&world, &schema(40, ">=40, <=41"), &schema(43, ">=42"), NODE);
    scene.database("41");
    let before = scene.node.inventory();
    let words = [
        "requires: the database is at schema 41, and 1.1.0 works with >=42",
        "no other release that is known here works with schema 41",
        "nothing was switched",
    ];
    scene.node.install(["1.1.0"]).refused(5, &words);
    cutover_tests::world::assert_same(&before, &scene.node.inventory());
    scene.is_as_before();
    scene.database("forty");
    scene.node.install(["1.1.0"]).refused(2, &["should print the version", "forty"]);
    scene.database("42");
    let _ = scene.node.install(["1.1.0"]).ok();
    scene.is_on_the_new();
}

#[test]
fn a_release_in_the_repository_is_named_too() {
    let world = World::new();
    let scene = Scene::with(&world, &schema(40, "40"), &schema(41, ">=40, <=41"), NODE);
    let plain = std::fs::read_to_string(scene.tree.folder.join("release.toml")).unwrap();
    for (version, number) in [("1.2.0", 42), ("1.3.0", 44)] {
        let own = schema(number, &number.to_string());
        scene.tree.write("release.toml", &plain.replace(&schema(41, ">=40, <=41"), &own));
        scene.tree.tag(version);
        let _ = scene.world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    }
    scene.database("40");
    let words = ["1.2.0 works with =42", "the nearest release that works with it is 1.1.0"];
    scene.node.install(["1.2.0"]).refused(5, &words);
    // A database that others have brought further: the way is ahead.
    scene.database("44");
    let words = ["1.2.0 works with =42", "the nearest release that works with it is 1.3.0"];
    scene.node.install(["1.2.0"]).refused(5, &words);
}

#[test]
fn a_migration_brings_it_forward_and_there_is_no_way_back_behind_it() {
    let world = World::new();
    let release = schema(42, ">=41, <43") + &migrate("42");
    let scene = Scene::with(&world, &schema(41, "=41"), &release, NODE);
    scene.database("41");
    let run = scene.node.install(["plan", "1.1.0"]).ok();
    assert!(run.stdout.contains("no way back behind `migrate`: 1.0.0"), "{run}");
    let _ = scene.node.install(["1.1.0"]).ok();
    assert_eq!(scene.database_is(), "42");
    let words = [
        "the database is at schema 42, and 1.0.0 works with =41",
        "no other release that is known here works with schema 42",
    ];
    scene.node.install(["rollback"]).refused(5, &words);
    scene.is_on_the_new();
}

#[test]
fn a_migration_that_did_not_bring_it_forward_is_undone() {
    let world = World::new();
    let release = schema(42, ">=41, <43") + &migrate("41");
    let scene = Scene::with(&world, &schema(41, "=41"), &release, NODE);
    scene.database("41");
    let words = ["migrate: after the migration the database is at schema 41, and 1.1.0 is for 42"];
    scene.node.install(["1.1.0"]).refused(5, &words);
    scene.is_as_before();
}

#[test]
fn what_a_failed_install_leaves_of_the_database_is_said() {
    let world = World::new();
    let release = schema(42, ">=41, <43")
        + &migrate("42").replace("undo = 'echo 41 > {root}/shared/schema'\n", "")
        + "[[check]]\nstage = 'switch'\ncommand = 'false'\n";
    let scene = Scene::with(&world, &schema(41, "=41"), &release, NODE);
    scene.database("41");
    let words = ["1.0.0 works with schema =41, but the database was left at 42"];
    scene.node.install(["1.1.0"]).refused(5, &words);
    scene.is_as_before();
}

#[test]
fn nobody_to_ask_is_said() {
    let world = World::new();
    let scene = Scene::with(&world, "", &schema(42, ">=41, <43"), "");
    let run = scene.node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("the database is not asked whether 1.1.0"), "{run}");
}
