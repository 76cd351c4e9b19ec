//! Hostile descriptors.

use cutover_tests::world::World;
use serde_json::{Value, json};

use crate::forge::{Scene, file, folder, link};

#[test]
fn another_release() {
    let world = World::new();
    let scene = Scene::new(&world);
    for (field, value, found) in [
        ("/product", "other", "describes other 2.0."),
        ("/version", "1.0.0", "describes tiny 1.0.0"),
    ] {
        let mut evil = scene.evil(&[file("a")]);
        evil.describe(field, json!(value));
        scene.refused(&evil, 3, &[found]);
    }
    for version in ["../../1.0.0", "1", ""] {
        let mut evil = scene.evil(&[file("a")]);
        evil.describe("/version", json!(version));
        scene.refused(&evil, 3, &["descriptor"]);
    }
}

#[test]
fn names_that_lead_elsewhere() {
    let world = World::new();
    let scene = Scene::new(&world);
    for field in ["/files/file", "/carriers/0/file", "/carriers/0/frames/file"] {
        for name in
            ["../../../../outside/keep", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "a\nb"]
        {
            let mut evil = scene.evil(&[file("a")]);
            evil.describe(field, json!(name));
            scene.refused(&evil, 3, &["unsafe file name", &format!("{name:?}")]);
        }
    }
}

#[test]
fn paths_that_climb_out() {
    let world = World::new();
    let scene = Scene::new(&world);
    let python = |field: &str, path: &str| {
        let mut python = json!({ "interpreter": "python3", "requirements": "lock", "wheels": "w", "env": "env" });
        python[field] = json!(path);
        ("python".to_owned(), python)
    };
    for path in ["../../outside/evil", "/etc/evil", "a/../../b", "a//b", "."] {
        let config = ("config".to_owned(), json!({ path: { "from": "x" } }));
        let mut vendored =
            json!({ "kind": "file", "name": "x", "file": "x", "size": 0, "path": path });
        vendored["sha256"] = json!("0".repeat(64));
        let rows = [
            config,
            ("vendored".to_owned(), json!([vendored])),
            python("env", path),
            python("requirements", path),
            python("wheels", path),
        ];
        for (field, value) in rows {
            let mut evil = scene.evil(&[file("a")]);
            evil.descriptor[&field] = value;
            scene.refused(&evil, 3, &["descriptor: unsafe path", path]);
        }
    }
}

#[test]
fn places_that_are_taken() {
    let world = World::new();
    let scene = Scene::new(&world);
    let entries = [file("a"), folder("bin"), link("etc", "bin")];
    let config = |paths: &[&str]| -> Value {
        paths.iter().map(|path| ((*path).to_owned(), json!({ "from": "x" }))).collect()
    };
    for (paths, word) in [
        (vec!["a"], "\"a\""),
        (vec!["a/b"], "\"a/b\""),
        (vec!["bin"], "\"bin\""),
        (vec!["etc/x"], "\"etc/x\""),
        (vec!["new", "new/x"], "below \"new\""),
        (vec!["new", "new/deep/x"], "below \"new\""),
    ] {
        let mut evil = scene.evil(&entries);
        evil.descriptor["config"] = config(&paths);
        scene.refused(&evil, 2, &["[config]", word]);
    }
    for (env, in_the_way, paths) in [
        ("a", "\"a\"", vec![]),
        ("bin", "\"bin\"", vec![]),
        ("etc", "\"etc\"", vec![]),
        ("etc/env", "\"etc\"", vec![]),
        ("env", "\"env/bin/python\"", vec!["env/bin/python"]),
        ("new/env", "\"new\"", vec!["new"]),
    ] {
        let mut evil = scene.evil(&entries);
        evil.descriptor["config"] = config(&paths);
        evil.descriptor["python"] =
            json!({ "interpreter": "python3", "requirements": "a", "wheels": "w", "env": env });
        scene.refused(&evil, 2, &["the Python environment", env, in_the_way]);
    }
}

/// A template may be hostile too: what it takes is bounded, and nothing is left of it.
#[test]
fn templates_that_do_not_end() {
    let world = World::new();
    let scene = Scene::new(&world);
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    let long = format!("{{{{ version{} }}}}", "|upper".repeat(5_000));
    let wide = format!("{{% for a in range(99) %}}{}{{% endfor %}}", "x".repeat(60_000));
    let nested = format!("{{% set x = [] %}}{}{{{{ x }}}}", "{% set x = [[[[x]]]] %}".repeat(600));
    for (template, words) in [
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "engine ran out of fuel",
        ),
        ("{{ 'x' * 1000000000 }}", "engine ran out of fuel"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion limit"),
        (&deep, "words and signs"),
        (&long, "words and signs"),
        (&wide, "the text it makes is larger"),
        ("{{ undeclared }}", "`undeclared` is no input of the release"),
        ("{% include '/etc/passwd' %}", "syntax error"),
        ("{% if", "syntax error"),
    ] {
        let mut evil = scene.with_text("t.j2", template);
        evil.descriptor["config"] = json!({ "etc/x": { "template": "t.j2" } });
        scene.refused(&evil, 2, &["template t.j2", words]);
    }
    for (template, words) in [("none", "which is no file"), ("bin", "which is no file")] {
        let mut evil = scene.evil(&[file("a"), folder("bin")]);
        evil.descriptor["config"] = json!({ "etc/x": { "template": template } });
        scene.refused(&evil, 2, &["[config] \"etc/x\"", words]);
    }
    let mut evil = scene.evil(&[file("a")]);
    evil.descriptor["inputs"] = json!({ "a": { "secret": true, "default": "x" } });
    scene.refused(&evil, 3, &["descriptor: a secret input has no default"]);
    let mut evil = scene.with_text("t.j2", &nested);
    evil.descriptor["config"] = json!({ "etc/x": { "template": "t.j2" } });
    scene.harmless(&evil);
}

#[test]
fn sizes_beyond_all_bounds() {
    let world = World::new();
    let scene = Scene::new(&world);
    let mut evil = scene.evil(&[file("a")]);
    evil.describe("/files/size", json!(1_u64 << 40));
    scene.refused(&evil, 3, &["file list: compressed bytes"]);
    for size in [20, u64::MAX] {
        let mut evil = scene.evil(&[file("a")]);
        evil.describe("/carriers/0/size", json!(size));
        scene.refused(&evil, 3, &["frame table: frames and seek table add up to"]);
    }
    let mut evil = scene.evil(&[file("a")]);
    evil.describe("/files/bytes", json!(u64::MAX));
    scene.publish(&evil);
    scene.install(&evil.version, 1 << 20).refused(7, &[]);
    let mut evil = scene.evil(&[file("a")]);
    let wheel = |name: &str| {
        let digest = "0".repeat(64);
        json!({ "kind": "python", "name": name, "file": name, "path": name, "sha256": digest, "size": u64::MAX })
    };
    evil.descriptor["vendored"] = json!([wheel("a"), wheel("b")]);
    evil.descriptor["python"] =
        json!({ "interpreter": "python3", "requirements": "a", "wheels": "w", "env": "env" });
    scene.publish(&evil);
    scene.install(&evil.version, 1 << 20).refused(7, &[]);
    let mut evil = scene.evil(&[file("a")]);
    evil.descriptor["x"] = json!("x".repeat(5 << 20));
    scene.refused(&evil, 3, &["release.json"]);
    let mut evil = scene.evil(&[file("a")]);
    evil.describe("/carriers", json!([{ "kind": "teleport" }]));
    scene.refused(&evil, 3, &["names no bundle"]);
}
