//! What may be written, and the message of every objection.

use super::*;
use crate::node_toml::NodeToml;
use crate::release_toml::ReleaseToml;

#[test]
fn a_check_is_written_as_it_was_read() {
    let text = r#"
        [[check]]
        stage = "switch"
        http = { path = "/v1/", expect = 200, contains = "ok", headers = { server = "x" } }
        [[check]]
        stage = "unpack"
        when = "before"
        command = ["test", "-d", "{prefix}"]
        retries = 2
        [[check]]
        stage = "open"
        metric = { url = "http://127.0.0.1:9/metrics", name = "errors", labels = { a = "b" }, max = 0.5 }
        [[check]]
        stage = "open"
        http = { url = "https://a.example/", ca-file = "/etc/ca.pem" }
        [[check]]
        stage = "open"
        metric = { url = "https://[::1]:9/metrics", ca-file = "{prefix}/ca.pem", name = "errors", max = 1 }
        [[check]]
        stage = "fetch"
        tcp = "localhost:5432"
        timeout = "1s"
        [[check]]
        stage = "fetch"
        file = { path = "/etc/hosts", mode = "0644" }
    "#;
    let checks = ReleaseToml::parse(text).unwrap().check;
    assert_eq!(checks.len(), 7);
    let json = serde_json::to_string(&checks).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Check>>(&json).unwrap(), checks);
    assert_eq!(checks[0].when, When::After);
    assert_eq!(checks[1].retries, 2);
}

/// The examples of the specification, so that they stay true.
#[test]
fn the_documented_examples_are_read() {
    let docs = include_str!("../../docs/stages.md");
    let mut examples = docs.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let rules = ReleaseToml::parse(examples.next().unwrap()).unwrap();
    assert_eq!((rules.stage.len(), rules.check.len()), (2, 1));
    let release = ReleaseToml::parse(examples.next().unwrap()).unwrap();
    assert!(release.schema.unwrap().takes(41));
    let head = "product = 'weave'\nrepository = '/r'\n";
    let node = NodeToml::parse(&format!("{head}{}", examples.next().unwrap())).unwrap();
    assert_eq!((node.stage.len(), node.check.len()), (2, 1));
}

#[test]
fn entries_are_merged_field_by_field() {
    let entry = |text: &str| toml::from_str::<StageEntry>(text).unwrap();
    let release = entry("after = 'unpack'\nrun = 'a'\nundo = 'b'\ntimeout = '1s'\nonce = true");
    let node = entry("before = 'switch'\nrun = ['c']\nretries = 3");
    let merged = release.overlaid(&node);
    let expected =
        "before = 'switch'\nrun = ['c']\nundo = 'b'\ntimeout = '1s'\nonce = true\nretries = 3";
    assert_eq!(merged, entry(expected));
    assert_eq!(release.overlaid(&StageEntry::default()), release);
}

#[test]
fn what_a_release_cannot_mean_is_named_with_its_line() {
    for (text, message) in [
        ("[stage.switch]\nrun = 'x'", "line 2: stage.switch.run `switch` cannot be replaced"),
        ("[stage.verify]\n\nundo = 'x'", "line 3: stage.verify.undo `verify` cannot be replaced"),
        ("[stage.build]\nafter = 'unpack'", "line 2: stage.build.after `build` is built in"),
        ("[stage.build]\nskip = true", "line 2: stage.build.skip `build` is built in"),
        ("[stage.migrate]\nrun = 'x'", "line 1: stage.migrate needs a place"),
        ("[stage.biuld]\ntimeout = '1m'", "`before` another stage; perhaps `build` is meant"),
        (
            "[stage.ab]\nafter = 'stop'\nrun = 'x'\n[stage.b]\nafter = 'swich'\nrun = 'x'",
            "line 5: stage.b.after names `swich`, and there is no such stage; perhaps `switch` is",
        ),
        (
            "[stage.migrate]\nafter = 'stop'\nrun = 'x'\n[stage.b]\nafter = 'migrat'\nrun = 'x'",
            "there is no such stage; perhaps `migrate` is meant",
        ),
        ("[stage.migrate]\nafter = 'unpack'", "line 1: stage.migrate needs something to do"),
        ("[stage.a]\nafter = 'unpak'\nrun = 'x'", "line 2: stage.a.after names `unpak`"),
        ("[stage.a]\nbefore = 'resolve'\nrun = 'x'", "line 2: stage.a.before is before `resolve`"),
        ("[stage.a]\nafter = 'settle'\nrun = 'x'", "line 2: stage.a.after is after `settle`"),
        ("[stage.a]\nafter = 'b'\nbefore = 'c'\nrun = 'x'", "line 3: stage.a.before has a place"),
        ("[stage.a]\nafter = 'unpack'\nrun = 'x'\nskip = true", "line 4: stage.a.skip is a node's"),
        ("[stage.a]\nrun = ''", "a command line must name a program"),
        ("[stage.a]\nrun = 5", "expected a command line, or a list of words"),
        ("[stage.a]\nrum = 'x'", "line 2: unknown key `stage.a.rum`"),
        ("[stage.Bad]\nrun = 'x'", "`Bad` is not a stage name"),
        ("[[check]]\nstage = 'swich'\ntcp = 'a:1'", "line 2: check.0.stage names `swich`"),
        ("[[check]]\nstage = 'settle'\ntcp = 'a:1'", "check.0.stage is after `settle`"),
        ("[[check]]\nstage = 'open'", "a check has one of command, http, tcp, file and metric"),
        ("[[check]]\nstage = 'open'\ntcp = 'a:1'\ncommand = 'x'", "a check has one of"),
        ("[[check]]\nstage = 'open'\ntcp = 'a'", "tcp has `a`: it is written host:port"),
        ("[[check]]\nstage = 'open'\nhttp = { path = 'v1' }", "path `v1` must begin with `/`"),
        (
            "[[check]]\nstage = 'open'\nhttp = { url = 'ftp://a' }",
            "url `ftp://a` must begin with `http://` or `https://`",
        ),
        (
            "[[check]]\nstage = 'open'\nhttp = { url = 'http://a', ca-file = '/x' }",
            "ca-file is for a url that begins with `https://`",
        ),
        (
            "[[check]]\nstage = 'open'\nhttp = { path = '/', ca-file = '/x' }",
            "ca-file is for a url that begins with `https://`",
        ),
        (
            "[[check]]\nstage = 'open'\nhttp = { url = 'https://a', ca-file = 'x' }",
            "ca-file `x` is not absolute",
        ),
        ("[[check]]\nstage = 'open'\nhttp = { path = '/', expect = 20 }", "expect has 20"),
        (
            "[[check]]\nstage = 'open'\nhttp = { path = '/', stats = 20 }",
            "unknown key `check.0.http.stats`",
        ),
        ("[[check]]\nstage = 'open'\nfile = { path = 'x' }", "file path `x` is not absolute"),
        (
            "[[check]]\nstage = 'open'\nfile = { path = '/x', mode = '9' }",
            "file mode `9` is not octal",
        ),
        (
            "[[check]]\nstage = 'open'\nmetric = { path = '/', name = 'x' }",
            "needs min, max or both",
        ),
        ("[schema]\nversion = 1\naccepts = '~1'", "`~1` is not a range of schema versions"),
        ("[schema]\naccepts = '1'", "missing field `version`"),
    ] {
        let refused = ReleaseToml::parse(text).expect_err(text).to_string();
        assert!(refused.contains(message), "{text}\n{refused}");
    }
}

#[test]
fn a_node_leans_on_releases_and_no_less_strictly() {
    let node = |text: &str| NodeToml::parse(&format!("product = 'a'\nrepository = '/r'\n{text}"));
    for good in [
        "[stage.migrate]\nskip = true",
        "[stage.migrate]\ntimeout = '1m'",
        "[stage.warm]\nafter = 'migrate'\nrun = ['x']",
        "[[check]]\nstage = 'migrate'\ncommand = 'x'",
        "[stage.build]\nrun = 'make'",
        "[schema]\ncommand = 'echo 4'",
    ] {
        assert!(node(good).is_ok(), "{good}: {:?}", node(good));
    }
    for (text, message) in [
        ("[stage.fetch]\nrun = 'x'", "line 4: stage.fetch.run `fetch` cannot be replaced"),
        ("[stage.health]\nskip = true", "line 4: stage.health.skip `health` is built in"),
        ("[stage.a]\nrum = 'x'", "line 4: unknown key `stage.a.rum`"),
        ("[stage.a]\nafter = 'settle'", "line 4: stage.a.after is after `settle`"),
        ("[[check]]\nstage = 'a'\nhttp = { path = '/', x = 1 }", "unknown key `check.0.http.x`"),
    ] {
        let refused = node(text).expect_err(text).to_string();
        assert!(refused.contains(message), "{text}\n{refused}");
    }
}
