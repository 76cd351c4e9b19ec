//! The arrows between the crates, and between the modules of each: each uses only what stands below it,
//! and the three programs never each other.

mod modules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use cutover_tests::world::source;
use serde_json::Value;

/// What each crate may use of ours.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("cutover-formats", &[]),
    ("cutover-repository", &["cutover-formats"]),
    ("cutover-terminal", &["cutover-formats"]),
    ("cutover-publish", &["cutover-formats", "cutover-repository", "cutover-terminal"]),
    (
        "cutover-pack",
        &["cutover-formats", "cutover-publish", "cutover-repository", "cutover-terminal"],
    ),
    ("cutover-etcd", &["cutover-formats"]),
    ("cutover-http", &["cutover-formats"]),
    (
        "cutover-gate",
        &[
            "cutover-formats",
            "cutover-http",
            "cutover-node",
            "cutover-repository",
            "cutover-terminal",
        ],
    ),
    ("cutover-node", &["cutover-formats", "cutover-repository", "cutover-terminal"]),
    (
        "cutover-install",
        &[
            "cutover-etcd",
            "cutover-formats",
            "cutover-gate",
            "cutover-http",
            "cutover-node",
            "cutover-pool",
            "cutover-repository",
            "cutover-terminal",
        ],
    ),
    ("cutover-pool", &["cutover-etcd", "cutover-formats", "cutover-node", "cutover-repository"]),
    (
        "cutover-repo-server",
        &[
            "cutover-formats",
            "cutover-http",
            "cutover-publish",
            "cutover-repository",
            "cutover-terminal",
        ],
    ),
];

/// Programs are started by `cutover_repository::child`, which keeps passphrase and token from them.
#[test]
fn no_program_is_started_with_our_secrets() {
    let top = source("..");
    let mut ahead =
        ["formats", "pack/src", "install", "repo-server/src"].map(String::from).to_vec();
    let (mut starts, mut seen) = (Vec::new(), 0);
    while let Some(name) = ahead.pop() {
        let path = top.join(&name);
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder of sources");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            ahead.extend(names.map(|entry| format!("{name}/{}", entry.display())));
            continue;
        }
        let is_test = name.contains("/tests/") || name.ends_with("/tests.rs");
        if !name.ends_with(".rs") || is_test || name.ends_with("repository/src/child.rs") {
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
        let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
        // A stage that is a command is one of ours.
        let is_start =
            |line: &&str| line.contains("Command::new(") && !line.contains("Command::new(step");
        starts.extend(shipped.lines().filter(is_start).map(|line| format!("{name}: {line}")));
    }
    assert!(seen > 200, "only {seen} sources were found");
    assert!(starts.is_empty(), "start these by `child::command`: {starts:#?}");
}

/// What cargo says of each crate of ours.
fn packages() -> Vec<Value> {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(source(".."))
        .output()
        .expect("cargo runs");
    let mut metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    std::mem::take(metadata["packages"].as_array_mut().expect("packages"))
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name").to_owned()
}

/// What is shipped: each library and program by its name, and the source of its root.
fn shipped() -> Vec<(String, PathBuf)> {
    let packages = packages().into_iter().filter(|package| package["name"] != "cutover-tests");
    let targets = packages.flat_map(|mut package| {
        std::mem::take(package["targets"].as_array_mut().expect("targets"))
    });
    let is_shipped = |target: &Value| {
        ["lib", "bin"].into_iter().any(|kind| target["kind"] == serde_json::json!([kind]))
    };
    let shipped = targets.filter(is_shipped);
    shipped.map(|target| (text(&target["name"]), text(&target["src_path"]).into())).collect()
}

#[test]
fn no_arrow_points_upwards() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let dependencies = package["dependencies"].as_array().expect("dependencies");
        // `kind` is null for what is shipped; tests may look at anything.
        let shipped = dependencies.iter().filter(|one| one["kind"].is_null());
        let ours =
            shipped.map(|one| text(&one["name"])).filter(|name| name.starts_with("cutover-"));
        used.insert(text(&package["name"]), ours.collect());
    }
    for (name, may_use) in MAY_USE {
        let may_use: BTreeSet<String> = may_use.iter().map(|name| (*name).to_owned()).collect();
        let upwards: Vec<_> = used[name].difference(&may_use).collect();
        assert!(upwards.is_empty(), "{name} uses {upwards:?}");
    }
}
