//! The arrows between the crates: each uses only what stands below it, and the three programs never
//! each other.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cutover_tests::world::source;
use serde_json::Value;

/// What each crate may use of ours.
const MAY_USE: [(&str, &[&str]); 7] = [
    ("cutover-formats", &[]),
    ("cutover-repository", &["cutover-formats"]),
    ("cutover-terminal", &["cutover-formats"]),
    ("cutover-publish", &["cutover-formats", "cutover-repository", "cutover-terminal"]),
    (
        "cutover-pack",
        &["cutover-formats", "cutover-publish", "cutover-repository", "cutover-terminal"],
    ),
    ("cutover-install", &["cutover-formats", "cutover-repository", "cutover-terminal"]),
    (
        "cutover-repo-server",
        &["cutover-formats", "cutover-publish", "cutover-repository", "cutover-terminal"],
    ),
];

#[test]
fn no_arrow_points_upwards() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(source(".."))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("cargo prints JSON");
    let text = |value: &Value| value.as_str().expect("a name").to_owned();
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in metadata["packages"].as_array().expect("packages") {
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
