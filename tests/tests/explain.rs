//! `install log` and `install explain`: what happened on a node, and where its files came from.

use std::path::Path;
use std::process::Command;

use cutover_tests::wheel::{VENDOR, WHEEL, add_wheel, folder_of_uv};
use cutover_tests::world::{NodeDir, Run, World, free_address};
use serde_json::Value;

/// Releases an application with a wheel and a config file; the wheel's digest.
fn release_with_wheel(world: &World) -> String {
    let tree = world.tree("tiny");
    let sha256 = add_wheel(&tree);
    let toml = std::fs::read_to_string(tree.folder.join("release.toml")).expect("it is there");
    let config = "[config]\n\"etc/tiny.ini\" = { from = \"tiny.ini\" }\n\
        \"etc/made.ini\" = { template = \"made.ini.j2\" }\n";
    tree.write("made.ini.j2", "made = yes\n");
    tree.write("release.toml", &format!("{toml}\n{VENDOR}\n{config}"));
    tree.write("run.sh", "#!/bin/sh\n");
    let mode = Command::new("chmod").arg("+x").arg(tree.folder.join("run.sh")).status();
    assert!(mode.expect("chmod runs").success());
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    sha256
}

fn explain(node: &NodeDir<'_>, file: &str) -> Value {
    node.install(["explain", file, "--json"]).ok().json()
}

fn explains_all(node: &NodeDir<'_>, builder: &str, wheel: &str) {
    let own = explain(node, "app.py");
    assert_eq!((&own["origin"]["from"], &own["version"]), (&"source".into(), &"1.0.0".into()));
    assert_eq!((&own["product"], &own["current"]), (&"tiny".into(), &true.into()));
    assert_eq!((&own["mode"], &own["source"]["tag"]), (&0o644.into(), &"v1.0.0".into()));
    assert_eq!(own["source"]["commit"].as_str().map(str::len), Some(40));
    let signed_by = own["signed_by"]["role"].as_str().expect("a role");
    assert!(signed_by.starts_with("releases-"), "{own}");
    assert_eq!(own["signed_by"]["keys"][0]["id"].as_str().map(str::len), Some(64));
    assert_eq!(own["problems"], Value::Array(Vec::new()));
    assert_eq!(explain(node, "run.sh")["mode"], 0o755);

    let vendored = explain(node, &format!("vendor/python/{WHEEL}"));
    let origin = &vendored["origin"];
    assert_eq!((&origin["from"], &origin["kind"]), (&"vendored".into(), &"python".into()));
    assert_eq!((&origin["version"], &origin["sha256"]), (&"1.0".into(), &wheel.into()));
    assert_eq!(vendored["sha256"], *wheel);

    let config = explain(node, "etc/tiny.ini");
    assert_eq!((&config["origin"]["from"], &config["kind"]), (&"config".into(), &"link".into()));
    let file = node.root.join("shared/tiny.ini");
    assert_eq!(config["origin"]["file"].as_str().map(Path::new), Some(file.as_path()));

    let made = explain(node, "etc/made.ini");
    assert_eq!(
        (&made["origin"]["template"], &made["problems"]),
        (&"made.ini.j2".into(), &Value::Array(Vec::new()))
    );
    let rendered = made["origin"]["file"].as_str().expect("a path").to_owned();
    assert_eq!(std::fs::read_to_string(&rendered).expect("it is there"), "made = yes\n");
    std::fs::write(&rendered, "made = no\n").expect("written");
    assert_eq!(explain(node, "etc/made.ini")["problems"][0]["problem"], "edited");

    // In the environment: a module, what was compiled of it, a script, and what is of no wheel.
    let site = Run::of(Command::new("find").arg(node.root.join("current/env/")).args([
        "-name",
        "demo*",
        "-o",
        "-path",
        "*demo/__pycache__/*.pyc",
        "-o",
        "-name",
        "pyvenv.cfg",
    ]));
    let files: Vec<String> = site.ok().stdout.lines().map(str::to_owned).collect();
    let of_wheel = |end: &str| {
        let file = files.iter().find(|file| file.ends_with(end));
        let found = explain(node, file.unwrap_or_else(|| panic!("{end} of {files:?}")));
        let origin = &found["origin"];
        assert_eq!((&origin["from"], &origin["builder"]), (&"built".into(), &builder.into()));
        origin["distribution"]["sha256"].as_str().map(str::to_owned)
    };
    let compiled = files.iter().find(|file| file.ends_with(".pyc")).expect("it is compiled");
    let name = compiled.rsplit('/').next().expect("a name");
    assert_eq!(of_wheel(name).as_deref(), Some(wheel));
    assert_eq!(of_wheel("/bin/demo").as_deref(), Some(wheel));
    assert_eq!(of_wheel("/pyvenv.cfg"), None);
    let module = compiled.rsplit_once("/__pycache__/").expect("a folder").0.to_owned();
    let words = node.install(["explain", &format!("{module}/__init__.py")]).ok().stdout;
    let from = format!("built on this node by {builder}, from python demo-app 1.0 ({WHEEL}");
    assert!(words.contains(&from), "{words}");
}

#[test]
fn every_file_says_where_it_came_from_whatever_built_the_environment() {
    let world = World::new();
    let wheel = release_with_wheel(&world);
    for (builder, path) in [
        ("venv and pip", "/usr/bin:/bin".to_owned()),
        ("uv", format!("{}:/usr/bin:/bin", folder_of_uv().display())),
    ] {
        let node = world.node(None);
        std::fs::write(node.root.join("shared/tiny.ini"), "x").expect("written");
        let _ = Run::of(node.command().arg("1.0.0").env("PATH", path)).ok();
        explains_all(&node, builder, &wheel);
        std::fs::remove_dir_all(&node.root).expect("the node goes");
    }
}

#[test]
fn files_are_found_from_anywhere_and_strangers_are_not_in_a_release() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0"]).ok();
    let root = node.root.display().to_string();
    let version = |file: &str| explain(&node, file)["version"].clone();
    assert_eq!(version(&format!("{root}/current/app.py")), "1.1.0");
    assert_eq!(version(&format!("{root}/releases/1.0.0/app.py")), "1.0.0");
    assert_eq!(version(&format!("{root}/releases/1.0.0/../1.1.0/./app.py")), "1.1.0");
    // Through a link to the root, and from a folder in a prefix.
    let other = world.path("other");
    std::os::unix::fs::symlink(&node.root, &other).expect("a link");
    assert_eq!(version(&format!("{}/releases/1.0.0/app.py", other.display())), "1.0.0");
    let from = |folder: &str, file: &str| {
        let mut command = node.command();
        command.args(["explain", file, "--json"]).current_dir(node.root.join(folder));
        Run::of(&mut command)
    };
    assert_eq!(from("releases/1.0.0", "app.py").ok().json()["version"], "1.0.0");
    assert_eq!(from("shared", "app.py").ok().json()["version"], "1.1.0");

    // A root that is named through a link, from a folder that is not.
    let mut linked = node.command();
    linked.env("CUTOVER_ROOT", &other).args(["explain", "app.py", "--json"]);
    linked.current_dir(node.root.join("releases/1.0.0"));
    assert_eq!(Run::of(&mut linked).ok().json()["version"], "1.0.0");

    // Without a word about the root, by where the file lies.
    let alone = |folder: &std::path::Path, file: &str| {
        let mut command = node.command();
        command.env_remove("CUTOVER_ROOT").args(["explain", file, "--json"]).current_dir(folder);
        Run::of(&mut command)
    };
    let away = alone("/".as_ref(), &format!("{root}/current/app.py"));
    assert_eq!(away.ok().json()["version"], "1.1.0");
    let inside = alone(&node.root.join("releases/1.0.0"), "app.py");
    assert_eq!(inside.ok().json()["version"], "1.0.0");
    alone("/".as_ref(), "/etc/passwd").refused(2, &["not a node's root", "--root DIR"]);

    let refused = |file: &str, words: &[&str]| {
        let _ = node.install(["explain", file]).refused(4, words);
    };
    refused("/etc/passwd", &["/etc/passwd is in no release of this node"]);
    refused("nowhere.py", &["is in no release", "install list"]);
    refused(&format!("{root}/node.toml"), &["is in no release"]);
    refused(&format!("{root}/releases/2.0.0/app.py"), &["is in no release"]);
    std::fs::write(node.root.join("current/stray"), "x").expect("written");
    refused("stray", &["stray stands in the prefix of 1.1.0", "install verify"]);

    // What was changed, and what is gone.
    let file = node.root.join("current/app.py");
    std::fs::write(&file, "changed").expect("written");
    let changed = node.install(["explain", "app.py"]).ok();
    assert!(changed.stderr.contains("warning: app.py has contents with sha256"), "{changed}");
    assert!(changed.stdout.contains("now         it has contents"), "{changed}");
    assert_eq!(explain(&node, "app.py")["problems"][0]["problem"], "changed");
    std::fs::remove_file(&file).expect("it was there");
    assert_eq!(explain(&node, "app.py")["problems"][0]["problem"], "missing");

    // Installed by a program that did not write down who signed.
    std::fs::remove_file(node.root.join("state/releases/1.0.0/signed.json")).expect("it is there");
    let old = node.install(["explain", &format!("{root}/releases/1.0.0/app.py")]).ok();
    assert!(old.stdout.contains("not on record"), "{old}");
}

#[test]
fn the_log_tells_of_every_install_and_of_one_stage_by_stage() {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    assert!(node.install(["log"]).ok().stdout.contains("nothing was ever installed"));
    let _ = node.install(["log", "--last"]).refused(4, &["nothing was ever installed"]);
    let _gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let _ = node.install(["1.1.0", "--swap", "hold"]).ok();
    let _ = node.install(["rollback"]).ok();
    tree.replace("release.toml", "{prefix}/app.py", "{prefix}/no-such.py");
    tree.tag("1.2.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    assert_ne!(node.install(["1.2.0"]).status, 0);

    let log = node.install(["log", "--json"]).ok().json();
    let receipts = log["receipts"].as_array().expect("a list");
    let told: Vec<_> = receipts
        .iter()
        .map(|it| format!("{} {} {} {}", it["operation"], it["from"], it["to"], it["result"]))
        .collect();
    let expected = [
        "install null 1.0.0 done",
        "install 1.0.0 1.1.0 done",
        "rollback 1.1.0 1.0.0 done",
        "install 1.0.0 1.2.0 unchanged",
    ];
    assert_eq!(told.iter().map(|line| line.replace('"', "")).collect::<Vec<_>>(), expected);
    // Who signed is on the receipt of an install and of a rollback.
    for receipt in receipts {
        let role = receipt["signed_by"]["role"].as_str().expect("a role");
        assert!(role.starts_with("releases-"), "{receipt}");
    }

    let table = node.install(["log"]).ok().stdout;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    for word in ["WHEN", "OUTCOME", "SECONDS", "DARK", "HELD", "REFUSED", "FAILED"] {
        assert!(lines[0].contains(word), "{table}");
    }
    assert!(lines[2].contains("1.0.0") && lines[2].contains("1.1.0"), "{table}");
    let few = node.install(["log", "--number", "1"]).ok().stdout;
    assert!(few.contains("unchanged") && few.contains("and 3 earlier ones"), "{few}");

    let last = node.install(["log", "--last"]).ok().stdout;
    assert!(last.starts_with("install of tiny 1.2.0, from 1.0.0: unchanged\nbecause "), "{last}");
    let id = receipts[1]["id"].as_str().expect("an id");
    let story = node.install(["log", id]).ok().stdout;
    for word in ["install of tiny 1.1.0, from 1.0.0: done", "signed by releases-", "clients: dark"]
    {
        assert!(story.contains(word), "{story}");
    }
    let stages = receipts[1]["stages"].as_array().expect("stages");
    assert!(stages.len() > 5, "{story}");
    for stage in stages {
        assert!(story.contains(stage["stage"].as_str().expect("a name")), "{story}");
    }
    assert_eq!(node.install(["log", id, "--json"]).ok().json()["id"], id);
    let _ = node.install(["log", "2"]).refused(2, &["4 installs have an id that begins with `2`"]);
    let _ = node.install(["log", "x"]).refused(4, &["no install has an id like `x`"]);
}
