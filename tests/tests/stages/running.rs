//! What stages run, and how: in order, once, within their limits; what a node says of them.

use std::time::{Duration, Instant};

use cutover_tests::world::World;
use snapbox::{Data, assert_data_eq};

use crate::common::{Scene, noting};

#[test]
fn stages_run_in_their_places_with_what_they_need() {
    let world = World::new();
    let release = r#"
        [stage.first]
        after = "unpack"
        run = ["sh", "-c", 'echo "$0 $1 $2" >> "$3/shared/log"; pwd >> "$3/shared/log"', "{version}", "{from}", "{prefix}", "{root}"]
        [stage.second]
        after = "health"
        run = "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://{listen}/\").read().decode())' >> {root}/shared/log"
    "#;
    let scene = Scene::new(&world, release, "");
    let mut command = scene.node.command();
    command.arg("1.1.0").env("CUTOVER_TOKEN", "hunter2");
    let run = cutover_tests::world::Run::of(&mut command).ok();
    let log = scene.log();
    let prefix = scene.node.root.join("releases/1.1.0").display().to_string();
    assert_eq!(log[0], format!("1.1.0 1.0.0 {prefix}"));
    assert_eq!(log[1], prefix);
    assert!(log[2].contains(r#""version": "1.1.0""#), "{log:?}");
    assert!(run.stderr.contains("second"), "{run}");
    scene.is_on_the_new();
}

#[test]
fn our_own_secrets_are_not_theirs() {
    let world = World::new();
    let scene = Scene::new(&world, "[stage.env]\nafter = 'unpack'\nrun = 'env'\n", "");
    let mut command = scene.node.command();
    command.arg("1.1.0").env("CUTOVER_TOKEN", "hunter2").env("CUTOVER_PASSPHRASE", "hunter2");
    let _ = cutover_tests::world::Run::of(&mut command).ok();
    let printed = std::fs::read_to_string(scene.node.root.join("run/stage-env.log")).unwrap();
    assert!(printed.contains("PATH=") && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn what_takes_too_long_is_ended_with_all_it_started() {
    let world = World::new();
    let release = "[stage.slow]\nafter = 'unpack'\ntimeout = '3s'\n\
                   run = 'sleep 600 & echo $! > {root}/shared/pid; echo words; wait'\n";
    let scene = Scene::new(&world, release, "");
    let began = Instant::now();
    let run = scene.node.install(["1.1.0"]);
    run.refused(5, &["slow: `sleep 600", "did not end within 3s", "| words", "stage-slow.log"]);
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = std::fs::read_to_string(scene.node.root.join("shared/pid")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    // Gone, or a zombie that nobody here may wait for.
    assert!(stat.is_err() || stat.as_ref().is_ok_and(|stat| stat.contains(") Z ")), "{stat:?}");
    scene.is_as_before();
}

#[test]
fn a_stage_is_tried_as_often_as_it_may_be() {
    let world = World::new();
    let release = "[stage.third-time]\nafter = 'unpack'\nretries = 2\npause = '10ms'\n\
                   run = 'echo x >> {root}/shared/log; test $(wc -l < {root}/shared/log) -ge 3'\n";
    let scene = Scene::new(&world, release, "");
    let run = scene.node.install(["1.1.0"]).ok();
    assert_eq!(run.stderr.matches("trying again").count(), 2, "{run}");
    assert_eq!(scene.log().len(), 3);
    scene.is_on_the_new();
}

#[test]
fn a_node_overrides_skips_and_replaces() {
    let world = World::new();
    let release = noting("one", "after = 'unpack'")
        + &noting("two", "after = 'one'")
        + "[[check]]\nstage = 'two'\ncommand = 'false'\n";
    let node = "[stage.one]\nrun = 'echo ours >> {root}/shared/log'\n[stage.two]\nskip = true\n\
                [stage.three]\nbefore = 'switch'\nrun = 'echo three >> {root}/shared/log'\n\
                [stage.build]\nrun = 'echo built >> {root}/shared/log'\n";
    let scene = Scene::new(&world, &release, node);
    let run = scene.node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("two       SKIPPED: node.toml says so"), "{run}");
    assert_eq!(scene.log(), ["ours", "built", "three"]);
    scene.is_on_the_new();
    // A stage of a release that is gone back to runs too; that one has none.
    let _ = scene.node.install(["rollback"]).ok();
    assert_eq!(scene.log(), ["ours", "built", "three", "three"]);
}

#[test]
fn once_is_once_until_it_is_undone() {
    let world = World::new();
    let release = noting("migrate", "after = 'unpack'") + "once = true\n";
    let scene = Scene::new(&world, &release, "");
    let _ = scene.node.install(["1.1.0"]).ok();
    let _ = scene.node.install(["rollback"]).ok();
    let run = scene.node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("migrate   was done by"), "{run}");
    assert_eq!(scene.log(), ["migrate"]);
    // It outlives the release.
    let _ = scene.node.install(["rollback"]).ok();
    let record = scene.node.root.join("state/once/migrate@1.1.0.json");
    std::fs::remove_dir_all(scene.node.root.join("releases/1.1.0")).unwrap();
    let _ = scene.node.install(["prune"]).ok();
    assert!(record.exists());
    let _ = scene.node.install(["1.1.0"]).ok();
    assert_eq!(scene.log(), ["migrate"]);
    // What somebody else's install did is not undone by one that fails.
    let _ = scene.node.install(["rollback"]).ok();
    scene.node.add("[[check]]\nstage = 'switch'\ncommand = 'false'\n");
    let _ = scene.node.install(["1.1.0"]).refused(5, &["the check `command false` after it"]);
    assert_eq!(scene.log(), ["migrate"]);
    // One's own is, and then it is not done any more.
    std::fs::remove_file(&record).unwrap();
    let _ = scene.node.install(["1.1.0"]).refused(5, &["the check `command false` after it"]);
    assert_eq!(scene.log(), ["migrate", "migrate", "-migrate"]);
    assert!(!record.exists());
}

#[test]
fn a_plan_is_a_table() {
    let world = World::new();
    let release = "[stage.migrate]\nafter = 'unpack'\nrun = 'manage migrate'\nonce = true\n\
                   [stage.warm]\nafter = 'health'\nrun = ['warm', '{listen}']\ntimeout = '30s'\n\
                   [[check]]\nstage = 'switch'\nhttp = { path = '/v1/', expect = 200 }\n\
                   [[check]]\nstage = 'depool'\nwhen = 'before'\ntcp = 'db:5432'\n";
    let node = "[stage.migrate]\nretries = 2\n[stage.warm]\nskip = true\n\
                [stage.gone]\ntimeout = '1m'\n";
    let scene = Scene::new(&world, release, node);
    let before = scene.node.inventory();
    let run = scene.node.install(["plan", "1.1.0", "--swap", "hold"]).ok();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<String> = run.stdout.lines().map(words).collect();
    assert_data_eq!(lines.join("\n"), Data::from(TABLE));
    cutover_tests::world::assert_same(&before, &scene.node.inventory());
    let json = scene.node.install(["plan", "1.1.0", "--swap", "hold", "--json"]).ok().json();
    let migrate = json["steps"].as_array().unwrap().iter().find(|step| step["stage"] == "migrate");
    assert_eq!(migrate.unwrap()["origins"], serde_json::json!(["release", "node"]));
}

const TABLE: &str = "\
install of tiny 1.1.0, from 1.0.0
STAGE ORIGIN LIMITS CHECKS WHAT IT DOES
requires built-in python3; [..] of free space
fetch built-in files.json.zst, frames.bin, and what of it is here
verify built-in frames.bin sha256 [..]
unpack built-in tiny-1.1.0.tar.zst, [..] at most: [..] entries, [..], into releases/1.1.0
migrate release+node 10m, 3 tries manage migrate (on one node only)
seal built-in 1 after all of it is on disk before anything leads there
hold built-in requests wait
stop built-in drain and stop 1.0.0
switch built-in 1 after current -> releases/1.1.0
start built-in start 1.1.0
health built-in GET /health within 10s
warm release+node SKIPPED: node.toml says so
open built-in requests go to 1.1.0
settle built-in write the receipt, mark it good, prune
check after seal (release): tcp db:5432
check after switch (release): http /v1/
contents: [..] for [..] files
note: node.toml: [stage.gone] is of no use here: 1.1.0 has no such stage";
