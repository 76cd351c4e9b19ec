//! Swaps with a pause on nodes behind real load balancers, under load: nobody is refused, whatever
//! fails in the middle, and whoever was taken out is put back.

use std::net::SocketAddr;
use std::time::Duration;

use cutover_tests::parts::etcd::Cluster;
use cutover_tests::parts::haproxy::Haproxy;
use cutover_tests::traffic::{Tally, Traffic};
use cutover_tests::world::{
    NodeDir, Run, Running, World, assert_same, free_address, get, wait_until,
};
use serde_json::{Value, json};

/// Two nodes with gates, and an HAProxy that spreads traffic over them.
struct Site<'a> {
    nodes: Vec<NodeDir<'a>>,
    _gates: Vec<Running>,
    haproxy: Haproxy,
    front: SocketAddr,
}

impl<'a> Site<'a> {
    /// Both nodes serve 1.0.0. `pool` are lines for `[pool]` beside the socket.
    fn start(world: &'a World, pool: &str) -> Self {
        let front = free_address();
        let gates = [free_address(), free_address()];
        let config = format!(
            "global\n stats socket {{socket}} mode 600 level admin expose-fd listeners\n\
             defaults\n mode http\n timeout client 60s\n timeout server 60s\n timeout connect 5s\n\
             frontend site\n bind {front}\n option idle-close-on-response\n default_backend app\n\
             backend app\n option httpchk GET /.cutover/ready\n default-server check inter 200ms\n\
             server node1 {}\n server node2 {}\n",
            gates[0], gates[1]
        );
        let haproxy = Haproxy::start(&world.path(""), "haproxy", &config);
        let nodes: Vec<_> = ["node1", "node2"]
            .iter()
            .zip(gates)
            .map(|(name, gate)| {
                let node = world.unmade_node(world.path(name), Some(gate));
                let _ = Run::of(&mut node.init()).ok();
                let lines = format!(
                    "[pool]\ndriver = 'haproxy'\nsockets = [{:?}]\nservers = ['app/{name}']\n{pool}",
                    haproxy.socket
                );
                node.add(&lines);
                let _ = node.install(["1.0.0"]).ok();
                node
            })
            .collect();
        let gates = nodes.iter().map(NodeDir::start_gate).collect();
        let site = Self { nodes, _gates: gates, haproxy, front };
        site.wait_up();
        site
    }

    fn wait_up(&self) {
        for server in ["app/node1", "app/node2"] {
            wait_until("the server is up", || self.haproxy.status(server).starts_with("UP"));
        }
    }

    /// What clients get while `act` happens.
    fn under_traffic<T>(&self, act: impl FnOnce() -> T) -> (T, Tally) {
        let pause = Duration::from_millis(5);
        let traffic = Traffic::gets(self.front, "/", 4, pause);
        traffic.beside(Duration::from_millis(300), act)
    }
}

/// 1.0.0 and 1.1.0, which takes two seconds to start, so that there is a middle.
fn world() -> World {
    let world = World::new();
    let tree = world.release_tiny(&["1.0.0"]);
    let env = "TINY_VERSION = \"{version}\"";
    tree.replace("release.toml", env, &format!("{env}, TINY_START = \"2\""));
    tree.tag("1.1.0");
    let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    world
}

fn is_out(node: &NodeDir<'_>) -> bool {
    node.root.join("state/pool.json").exists()
}

fn nobody_noticed(tally: &Tally) {
    assert_eq!((tally.failed, tally.refused), (0, 0), "{tally:?}");
}

#[test]
fn nobody_is_refused_on_either_node() {
    let world = world();
    let site = Site::start(&world, "");
    let plan = site.nodes[0].install(["plan", "1.1.0", "--swap", "backoff"]).ok();
    assert!(plan.stdout.contains("out of app/node1 at HAProxy"), "{plan}");
    for (node, swap) in site.nodes.iter().zip(["backoff", "hold"]) {
        let (receipt, tally) =
            site.under_traffic(|| node.install(["1.1.0", "--swap", swap, "--json"]).ok().json());
        nobody_noticed(&tally);
        assert!(tally.served["1.0.0"] + tally.served["1.1.0"] > 100, "{tally:?}");
        let figures = &receipt["gate"];
        assert_eq!(json!([figures["refused"], figures["failed"]]), json!([0, 0]));
        let stages: Vec<&Value> =
            receipt["stages"].as_array().unwrap().iter().map(|stage| &stage["stage"]).collect();
        let at = |name: &str| stages.iter().position(|stage| *stage == name).expect(name);
        assert!(at("depool") < at(swap) && at("open") < at("repool"), "{stages:?}");
        println!("{swap}: {} requests, slowest {} ms", tally.requests, tally.slowest_ms);
        site.wait_up();
        assert!(!is_out(node));
    }
    // Beside what runs, there is nothing to leave the pool for.
    let (receipt, tally) = site.under_traffic(|| {
        site.nodes[0].install(["rollback", "--swap", "blue-green", "--json"]).ok().json()
    });
    nobody_noticed(&tally);
    assert!(!receipt["stages"].to_string().contains("depool"), "{receipt}");
}

#[test]
fn a_pool_that_refuses_stops_the_install_before_the_switch() {
    let world = world();
    let site = Site::start(&world, "drain-within = '500ms'\n");
    let node = &site.nodes[0];
    let _ = node.install(["1.1.0", "--swap", "backoff"]).ok();
    let _ = node.install(["1.0.0", "--swap", "blue-green"]).ok();
    site.wait_up();
    let before = node.inventory();
    let unchanged = |words: &str| {
        assert_same(&before, &node.inventory());
        let status = node.status();
        assert_eq!(
            (&status["current"], &status["gate"]["state"]),
            (&"1.0.0".into(), &"open".into())
        );
        assert!(!is_out(node), "{words}");
    };
    // Requests that do not end: HAProxy is told, and told back.
    let front = site.front;
    let slow: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(front, "/slow?10"))).collect();
    wait_until("a request is under way", || {
        site.haproxy.ask("show stat").lines().any(|row| row.starts_with("app,node1,0,0,1,"))
    });
    let run = node.install(["1.1.0", "--swap", "backoff"]);
    run.refused(5, &["depool", "still under way", "nothing was switched: the node is on 1.0.0"]);
    site.wait_up();
    unchanged("lingering");
    for asking in slow {
        assert_eq!(asking.join().unwrap().expect("an answer").0, 200);
    }
    // A name that it does not know; a socket that is not there.
    for (from, to, status) in [("app/node1", "app/node9", 2), ("haproxy.sock", "other.sock", 8)] {
        node.change(from, to);
        let run = node.install(["1.1.0", "--swap", "backoff"]);
        run.refused(status, &[to, "nothing was switched: the node is on 1.0.0"]);
        node.change(to, from);
        unchanged(to);
    }
}

#[test]
fn an_installer_killed_in_the_middle_is_ended_and_the_node_is_put_back() {
    let world = world();
    let site = Site::start(&world, "");
    // Before the switch: while it waits for a request to end.
    let node = &site.nodes[0];
    let front = site.front;
    let slow: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(front, "/slow?8"))).collect();
    wait_until("a request is under way", || {
        site.haproxy.ask("show stat").lines().any(|row| row.starts_with("app,node1,0,0,1,"))
    });
    let ((), tally) = site.under_traffic(|| {
        let mut install = node.begin(["1.1.0", "--swap", "hold"]);
        wait_until("it is drained", || site.haproxy.drains("app/node1"));
        install.kill();
        assert!(is_out(node));
        let _ = node.install(["resume"]).ok();
    });
    nobody_noticed(&tally);
    site.wait_up();
    assert!(!is_out(node) && node.current().as_deref() == Some("1.0.0"));
    for asking in slow {
        assert_eq!(asking.join().unwrap().expect("an answer").0, 200);
    }
    // After it: while the new release starts.
    let node = &site.nodes[1];
    let ((), tally) = site.under_traffic(|| {
        let mut install = node.begin(["1.1.0", "--swap", "backoff"]);
        wait_until("it has switched", || node.current().as_deref() == Some("1.1.0"));
        install.kill();
        assert!(site.haproxy.drains("app/node2"));
        let _ = node.install(["resume"]).ok();
    });
    nobody_noticed(&tally);
    site.wait_up();
    assert!(!is_out(node) && node.current().as_deref() == Some("1.1.0"));
}

#[test]
fn a_load_balancer_that_reloads_in_the_middle() {
    let world = world();
    let site = Site::start(&world, "");
    let node = &site.nodes[0];
    let (status, tally) = site.under_traffic(|| {
        let mut install = node.begin(["1.1.0", "--swap", "hold"]);
        wait_until("it has switched", || node.current().as_deref() == Some("1.1.0"));
        site.haproxy.reload();
        install.wait()
    });
    // It forgot: what it sends to the node meanwhile waits there.
    assert_eq!(status, Some(0));
    nobody_noticed(&tally);
    site.wait_up();
    assert!(!is_out(node));
}

#[test]
fn a_load_balancer_that_is_killed_in_the_middle() {
    let world = world();
    let mut site = Site::start(&world, "");
    let mut install = site.nodes[0].begin(["1.1.0", "--swap", "hold"]);
    wait_until("it has switched", || site.nodes[0].current().as_deref() == Some("1.1.0"));
    site.haproxy.end();
    assert_eq!(install.wait(), Some(8), "there is nobody to tell that the node is back");
    let node = &site.nodes[0];
    assert!(is_out(node) && node.current().as_deref() == Some("1.1.0"));
    let (status, body) = get(node.gate.unwrap(), "/").expect("the gate answers");
    assert!(status == 200 && body.contains("1.1.0"), "{status} {body}");
    node.install(["resume"]).refused(8, &["haproxy.sock"]);
    site.haproxy.start_again();
    let node = &site.nodes[0];
    let _ = node.install(["resume"]).ok();
    assert!(!is_out(node) && node.current().as_deref() == Some("1.1.0"));
    site.wait_up();
    let ((), tally) = site.under_traffic(|| std::thread::sleep(Duration::from_millis(500)));
    nobody_noticed(&tally);
    assert!(tally.served["1.0.0"] > 0 && tally.served["1.1.0"] > 0, "{tally:?}");
}

#[test]
fn a_release_that_fails_is_gone_back_from_and_the_node_put_back() {
    let world = world();
    let tree = cutover_tests::world::Tree { folder: world.path("tree") };
    tree.replace("release.toml", "TINY_START = \"2\"", "TINY_EXIT = \"3\"");
    tree.tag("1.2.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let site = Site::start(&world, "");
    let node = &site.nodes[0];
    let (run, tally) = site.under_traffic(|| node.install(["1.2.0", "--swap", "backoff"]));
    run.refused(5, &["switched back: the node is on 1.0.0"]);
    nobody_noticed(&tally);
    site.wait_up();
    assert!(!is_out(node));
}

/// A node whose pool is a key in etcd.
fn pooled_by_etcd<'a>(world: &'a World, cluster: &Cluster) -> (NodeDir<'a>, Running) {
    let value = json!({"pooled": "yes", "weight": 10}).to_string();
    let _ = cluster.ctl(&["put", "/pools/node", &value]).ok();
    let node = world.node(Some(free_address()));
    let pool = "[pool]\ndriver = 'etcd'\nkeys = ['/pools/node']\nsettle = '100ms'\n";
    node.add(&format!("{pool}{}timeout = '5s'\n", cluster.settings()));
    let _ = node.install(["1.0.0"]).ok();
    let gate = node.start_gate();
    wait_until("it is ready", || {
        get(node.gate.expect("a gate"), "/.cutover/ready").is_some_and(|(status, _)| status == 200)
    });
    (node, gate)
}

fn pooled(cluster: &Cluster) -> Value {
    let value: Value = serde_json::from_str(&cluster.value("/pools/node")).expect("JSON");
    assert_eq!(value["weight"], 10);
    value["pooled"].clone()
}

#[test]
fn etcd_that_loses_a_member_or_all_in_the_middle() {
    let world = world();
    let mut cluster = Cluster::start(&world.path(""), 3);
    let (node, _gate) = pooled_by_etcd(&world, &cluster);
    // One dies while the node is out.
    let mut install = node.begin(["1.1.0", "--swap", "backoff"]);
    wait_until("it has switched", || node.current().as_deref() == Some("1.1.0"));
    assert_eq!(pooled(&cluster), "no");
    let leader = cluster.leader();
    cluster.kill(leader);
    assert_eq!(install.wait(), Some(0));
    assert_eq!((pooled(&cluster), is_out(&node)), ("yes".into(), false));
    cluster.start_again(leader);

    // All fall silent while it is out: the node keeps what runs, and is put back later.
    let _ = node.install(["1.0.0", "--swap", "blue-green"]).ok();
    let install = node.begin(["1.1.0", "--swap", "backoff"]);
    wait_until("it has switched", || node.current().as_deref() == Some("1.1.0"));
    (0..3).for_each(|at| cluster.freeze(at));
    install.ended().refused(8, &["repool", "no member of etcd answers", "install resume"]);
    assert!(is_out(&node) && node.current().as_deref() == Some("1.1.0"));
    let (status, body) = get(node.gate.unwrap(), "/").expect("the gate answers");
    assert!(status == 200 && body.contains("1.1.0"), "{status} {body}");
    node.install(["resume"]).refused(8, &["no member of etcd answers"]);
    (0..3).for_each(|at| cluster.thaw(at));
    let _ = cluster.leader();
    let _ = node.install(["resume"]).ok();
    assert_eq!((pooled(&cluster), is_out(&node)), ("yes".into(), false));
    assert_eq!(node.current().as_deref(), Some("1.1.0"));
}

#[test]
fn etcd_that_cannot_be_reached_stops_the_install_before_the_switch() {
    let world = world();
    let mut cluster = Cluster::start(&world.path(""), 1);
    let (node, _gate) = pooled_by_etcd(&world, &cluster);
    cluster.kill(0);
    let run = node.install(["1.1.0", "--swap", "hold"]);
    run.refused(8, &["depool", "no member of etcd answers", "the node is on 1.0.0 as before"]);
    assert!(!is_out(&node) && node.current().as_deref() == Some("1.0.0"));
    cluster.start_again(0);
    let _ = cluster.ctl(&["put", "/pools/node", r#"{"pooled": "inactive", "weight": 10}"#]).ok();
    let _ = node.install(["1.1.0", "--swap", "hold"]).ok();
    assert_eq!(pooled(&cluster), "inactive", "the operator's word");
}
