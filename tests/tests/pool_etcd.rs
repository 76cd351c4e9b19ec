//! A node that keys in etcd say is pooled or not.

use std::path::Path;
use std::time::{Duration, Instant};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_install::node::Node;
use cutover_install::pool::{self, Pool, PoolError};
use cutover_tests::parts::etcd::Cluster;
use serde_json::{Value, json};

const KEYS: [&str; 2] =
    ["/conftool/v1/pools/weave/web/node1", "/conftool/v1/pools/weave/tls/node1"];

/// A node in `folder` with only what a pool needs.
fn open(folder: &Path, cluster: &Cluster, lines: &str) -> Box<dyn Pool> {
    std::fs::create_dir_all(folder.join("state")).expect("the folder is writable");
    let text = format!(
        "product = 'tiny'\nrepository = '/nowhere'\n[pool]\ndriver = 'etcd'\nkeys = {KEYS:?}\n\
         settle = '0s'\n{}{lines}",
        cluster.settings()
    );
    std::fs::write(folder.join("node.toml"), text).expect("the folder is writable");
    pool::open(&Node::open(folder).expect("a node")).expect("a pool").expect("it is named")
}

fn put(cluster: &Cluster, key: &str, value: &Value) {
    let _ = cluster.ctl(&["put", key, &value.to_string()]).ok();
}

fn get(cluster: &Cluster, key: &str) -> Value {
    serde_json::from_str(&cluster.value(key)).expect("JSON")
}

fn pooled(cluster: &Cluster) -> [String; 2] {
    KEYS.map(|key| get(cluster, key)["pooled"].as_str().expect("a word").to_owned())
}

#[test]
fn only_pooled_changes_and_only_from_yes() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    let first = json!({"pooled": "yes", "weight": 30, "tags": {"row": "B"}, "exact": 0.1});
    put(&cluster, KEYS[0], &first);
    put(&cluster, KEYS[1], &json!({"pooled": "inactive", "weight": 1}));
    let pool = open(folder.path(), &cluster, "");
    assert!(pool.describe().contains("node1 in etcd http://127.0.0.1:"), "{}", pool.describe());
    pool.depool().unwrap();
    let mut out = first.clone();
    out["pooled"] = "no".into();
    assert_eq!(get(&cluster, KEYS[0]), out);
    assert_eq!(pooled(&cluster), ["no", "inactive"]);
    // Weight is the operator's, also now.
    out["weight"] = 5.into();
    put(&cluster, KEYS[0], &out);
    pool.depool().unwrap();
    pool.repool().unwrap();
    out["pooled"] = "yes".into();
    assert_eq!((get(&cluster, KEYS[0]), pooled(&cluster)[1].as_str()), (out, "inactive"));
    assert!(!folder.path().join("state/pool.json").exists());
    pool.repool().unwrap();
}

#[test]
fn what_operators_decide_stays() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    let stand = |words: [&str; 2]| {
        for (key, word) in KEYS.iter().zip(words) {
            put(&cluster, key, &json!({"pooled": word, "weight": 1}));
        }
    };
    let pool = open(folder.path(), &cluster, "");
    // Out before is out after.
    stand(["no", "yes"]);
    pool.depool().unwrap();
    assert_eq!(pooled(&cluster), ["no", "no"]);
    pool.repool().unwrap();
    assert_eq!(pooled(&cluster), ["no", "yes"]);
    // What is changed meanwhile stays changed.
    stand(["yes", "yes"]);
    pool.depool().unwrap();
    stand(["inactive", "yes"]);
    pool.repool().unwrap();
    assert_eq!(pooled(&cluster), ["inactive", "yes"]);
    // Nothing is remembered of a node that was out everywhere but that it was.
    stand(["no", "inactive"]);
    pool.depool().unwrap();
    pool.repool().unwrap();
    assert_eq!(pooled(&cluster), ["no", "inactive"]);
}

#[test]
fn a_crash_between_is_repaired_by_whoever_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    KEYS.iter().for_each(|key| put(&cluster, key, &json!({"pooled": "yes", "weight": 1})));
    open(folder.path(), &cluster, "").depool().unwrap();
    // Another process knows only what is on disk; and the crash may have come in the middle.
    put(&cluster, KEYS[0], &json!({"pooled": "yes", "weight": 1}));
    let next = open(folder.path(), &cluster, "");
    next.depool().unwrap();
    assert_eq!(pooled(&cluster), ["no", "no"]);
    open(folder.path(), &cluster, "").repool().unwrap();
    assert_eq!(pooled(&cluster), ["yes", "yes"]);
}

#[test]
fn the_load_balancer_gets_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    KEYS.iter().for_each(|key| put(&cluster, key, &json!({"pooled": "yes"})));
    let node = folder.path().join("node.toml");
    drop(open(folder.path(), &cluster, ""));
    let settles_in = |settle: &str| {
        let text = std::fs::read_to_string(&node).unwrap();
        let line = text.lines().find(|line| line.starts_with("settle = ")).unwrap();
        std::fs::write(&node, text.replace(line, &format!("settle = '{settle}'"))).unwrap();
        pool::open(&Node::open(folder.path()).unwrap()).unwrap().unwrap()
    };
    let began = Instant::now();
    settles_in("3s").depool().unwrap();
    assert!(began.elapsed() >= Duration::from_secs(3));
    let began = Instant::now();
    settles_in("10m").depool().unwrap();
    assert!(began.elapsed() < Duration::from_secs(600), "it was out already");
}

#[test]
fn three_members_two_members_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(folder.path(), 3);
    KEYS.iter().for_each(|key| put(&cluster, key, &json!({"pooled": "yes", "weight": 1})));
    let pool = open(folder.path(), &cluster, "timeout = '30s'\n");
    let leader = cluster.leader();
    cluster.kill(leader);
    pool.depool().unwrap();
    assert_eq!(pooled(&cluster), ["no", "no"]);
    cluster.kill((leader + 1) % 3);
    let impatient = open(folder.path(), &cluster, "timeout = '1s'\n");
    let error = impatient.repool().unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
    assert!(folder.path().join("state/pool.json").exists(), "it is still to be put back");
    cluster.start_again(leader);
    pool.repool().unwrap();
    assert_eq!(pooled(&cluster), ["yes", "yes"]);
}

#[test]
fn keys_that_are_not_there_or_say_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(folder.path(), 1);
    put(&cluster, KEYS[0], &json!({"pooled": "yes"}));
    let pool = open(folder.path(), &cluster, "");
    let refused = |why: &str| {
        let error = pool.depool().unwrap_err();
        assert!(matches!(error, PoolError::Unknown { .. }), "{error}");
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains(why) && error.to_string().contains(KEYS[1]), "{error}");
        assert_eq!(get(&cluster, KEYS[0])["pooled"], "yes", "nothing was touched");
        assert!(!folder.path().join("state/pool.json").exists());
    };
    refused("there is no such key");
    for value in [json!("yes"), json!({"weight": 1}), json!({"pooled": "maybe"}), json!([])] {
        put(&cluster, KEYS[1], &value);
        refused("\"pooled\"");
    }
    let _ = cluster.ctl(&["put", KEYS[1], "not json"]).ok();
    refused("\"pooled\"");
}

#[test]
fn etcd_must_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "product = 'tiny'\nrepository = '/nowhere'\n[pool]\ndriver = 'etcd'\nkeys = {KEYS:?}\n"
    );
    std::fs::write(folder.path().join("node.toml"), text).unwrap();
    let error = pool::open(&Node::open(folder.path()).unwrap()).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("no `[etcd]`"), "{error}");
}
