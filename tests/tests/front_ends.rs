//! The recipes of `packaging/recipes`, as they are but for ports and paths: a front end serves the
//! application and turns to the gate only while `install` changes over.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cutover_tests::parts::haproxy::Haproxy;
use cutover_tests::parts::{apache, nginx};
use cutover_tests::traffic::{Tally, Traffic};
use cutover_tests::world::{NodeDir, Run, World, free_address, get, source, wait_until};

/// Where things are, in place of where the recipes have them.
struct Places {
    site: SocketAddr,
    app: SocketAddr,
    gate: SocketAddr,
}

/// A file of a recipe, with these words in place of its own.
/// A check that will fail is not waited for as long as on a node.
fn recipe(path: &str, words: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(source("../packaging/recipes").join(path)).expect(path);
    let text = text.replace("retries = 60", "retries = 20");
    words.iter().fold(text, |text, (from, to)| {
        assert!(text.contains(from), "{path} does not hold `{from}`");
        text.replace(from, to)
    })
}

/// A service manager for one service, as `systemctl` is one: `start NAME`, `stop NAME`.
struct Manager {
    script: PathBuf,
}

impl Manager {
    fn new(folder: &Path, root: &Path, app: SocketAddr) -> Self {
        let script = folder.join("manager");
        let (root, pid) = (root.display(), folder.join("app.pid").display().to_string());
        let text = format!(
            "#!/bin/sh\ncase $1 in\nstart)\n  export TINY_VERSION=$(cat {root}/current/VERSION)\n  \
             setsid python3 {root}/current/app.py {app} </dev/null >/dev/null 2>&1 &\n  \
             echo $! >{pid};;\nstop)\n  [ -e {pid} ] || exit 0\n  kill -TERM $(cat {pid})\n  \
             while kill -0 $(cat {pid}) 2>/dev/null; do sleep 0.02; done\n  rm {pid};;\nesac\n"
        );
        std::fs::write(&script, text).expect("the folder is writable");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&script, executable).expect("the script is ours");
        Self { script }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = Command::new(&self.script).args(["stop", "weave"]).status();
    }
}

/// A world with three releases: 1.2.0 answers, but is never healthy.
fn world() -> (World, Places) {
    let world = World::new();
    // Front ends look into it as another user.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.path(""), open).expect("the folder is ours");
    let tree = world.tree("tiny");
    // The gate would say which release answered; here the application has to.
    let length = "self.send_header(\"Content-Length\", str(len(body)))";
    let version = "self.send_header(\"X-Cutover-Version\", WHO[\"version\"])";
    tree.replace("app.py", length, &format!("{length}\n        {version}"));
    tree.write("wsgi.py", WSGI);
    for version in ["1.0.0", "1.1.0"] {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree"]).ok();
    }
    tree.replace("app.py", "os.environ.get(\"TINY_UNHEALTHY\") != \"1\"", "False");
    tree.write("wsgi.py", &WSGI.replace("\"200 OK\"", "\"500 No\""));
    tree.tag("1.2.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    (world, Places { site: free_address(), app: free_address(), gate: free_address() })
}

const WSGI: &str = "\
import os
with open(os.path.join(os.path.dirname(__file__), 'VERSION')) as file:
    VERSION = file.read().strip()

def application(environ, start_response):
    length = int(environ.get('CONTENT_LENGTH') or 0)
    environ['wsgi.input'].read(length)
    body = VERSION.encode()
    headers = [('Content-Length', str(len(body))), ('X-Cutover-Version', VERSION)]
    start_response(\"200 OK\", headers)
    return [body]
";

/// A node whose settings end in a recipe's.
fn node<'a>(world: &'a World, places: &Places, settings: &str) -> NodeDir<'a> {
    let mut node = world.node(None);
    node.gate = Some(places.gate);
    node.add(settings);
    node
}

/// Runs `install` with these arguments while the front end is asked all the time.
fn under_traffic(node: &NodeDir<'_>, site: SocketAddr, arguments: &[&str]) -> (Run, Tally) {
    let pause = Duration::from_millis(5);
    let traffic = Traffic::gets(site, "/", 4, pause);
    traffic.beside(Duration::from_millis(500), || node.install(arguments.iter().copied()))
}

fn serves(site: SocketAddr, version: &str) {
    wait_until("the front end serves the release", || {
        get(site, "/").is_some_and(|(status, body)| status == 200 && body.contains(version))
    });
}

/// What every recipe has to stand: a first install, an upgrade, a way back, a release that fails,
/// all under traffic but the first.
fn goes_through(node: &NodeDir<'_>, site: SocketAddr) {
    let (status, _) = get(site, "/").expect("the front end answers");
    assert!(status >= 500, "nothing is there yet: {status}");
    let _ = node.install(["1.0.0"]).ok();
    serves(site, "1.0.0");

    let (run, tally) = under_traffic(node, site, &["1.1.0", "--json"]);
    let receipt = run.ok().json();
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.refused > 0, "the gate answered in between: {tally:?}");
    assert!(tally.served["1.0.0"] > 0 && tally.served["1.1.0"] > 0, "{tally:?}");
    // A front end may ask the gate again where a kept connection to it was just being closed.
    assert!(receipt["gate"]["refused"].as_u64() >= Some(tally.refused), "{receipt} {tally:?}");
    assert!(receipt["gate"]["dark"].as_f64().expect("a number") > 0.0);

    let (run, tally) = under_traffic(node, site, &["rollback"]);
    let _ = run.ok();
    assert_eq!(tally.failed, 0, "{tally:?}");
    serves(site, "1.0.0");

    let (run, tally) = under_traffic(node, site, &["1.2.0"]);
    run.refused(5, &["switched back: the node is on 1.0.0"]);
    assert_eq!(tally.failed, 0, "{tally:?}");
    serves(site, "1.0.0");
    assert!(!node.root.join("state/pool.json").exists());
    let status = node.status();
    assert_eq!(status["gate"]["reason"], "a front end serves the application");
}

/// Closed by the operator's word, for as long as they say, whatever is installed meanwhile.
fn is_closed_and_opened(node: &NodeDir<'_>, site: SocketAddr) {
    let on = ["maintenance", "on", "--message", "moving house", "--json"];
    let (run, tally) = under_traffic(node, site, &on);
    assert_eq!(run.ok().json()["front_end"], "gate");
    assert_eq!(tally.failed, 0, "{tally:?}");
    assert!(tally.served["1.0.0"] > 0 && tally.refused > 0, "{tally:?}");
    let closed = || {
        let (status, body) = get(site, "/").expect("the front end answers");
        status == 503 && body.contains("moving house")
    };
    assert!(closed());
    assert_eq!(node.status()["gate"]["reason"], "maintenance");

    let (run, tally) = under_traffic(node, site, &["1.1.0"]);
    assert!(run.ok().stderr.contains("clients stay with the gate"), "the operator is told");
    assert_eq!((tally.failed, tally.served.len()), (0, 0), "{tally:?}");
    assert!(closed() && node.root.join("state/pool.json").exists());

    let (run, tally) = under_traffic(node, site, &["maintenance", "off", "--json"]);
    assert_eq!(run.ok().json()["front_end"], "application");
    assert_eq!(tally.failed, 0, "{tally:?}");
    serves(site, "1.1.0");
    assert!(!node.root.join("state/pool.json").exists());
}

#[test]
fn nginx_turns_to_the_gate() {
    let (world, places) = world();
    let manager = Manager::new(&world.path(""), &world.path("node"), places.app);
    let (root, app) = (world.path("node").display().to_string(), places.app.to_string());
    let (gate, script) = (places.gate.to_string(), manager.script.display().to_string());
    let words = [("127.0.0.1:8080", gate.as_str()), ("127.0.0.1:8001", &app)];
    let settings = [("systemctl", script.as_str())];
    let settings = recipe("nginx/node.toml", &[&words[..], &settings].concat());
    let node = node(&world, &places, &settings);
    let listen = format!("listen {};", places.site);
    let site = [("listen 80;", listen.as_str()), ("/srv/weave", &root)];
    let site = recipe("nginx/weave.conf", &[&words[..], &site].concat());
    let _nginx = nginx::start(&world.path(""), &site);
    let mut gate = node.start_gate();
    goes_through(&node, places.site);
    is_closed_and_opened(&node, places.site);
    // Without a gate there is nobody to say anything: the front end can still be turned back.
    let _ = node.install(["maintenance", "on"]).ok();
    assert_eq!(gate.end(), Some(0));
    assert_eq!(get(places.site, "/").map(|(status, _)| status), Some(502));
    node.install(["maintenance", "on"]).refused(4, &["the gate is not running"]);
    let _ = node.install(["maintenance", "off"]).ok();
    serves(places.site, "1.1.0");
    let _gate = node.start_gate();
    assert_eq!(node.status()["gate"]["reason"], "a front end serves the application");
    // An application that is gone outside of any swap is announced as well.
    drop(manager);
    let (status, body) = get(places.site, "/").expect("nginx answers");
    assert!(status == 503 && body.contains("retry_after"), "{status} {body}");
}

#[test]
fn haproxy_turns_to_the_gate() {
    let (world, places) = world();
    let manager = Manager::new(&world.path(""), &world.path("node"), places.app);
    let (app, bind) = (places.app.to_string(), format!("bind {}", places.site));
    let (gate, script) = (places.gate.to_string(), manager.script.display().to_string());
    let socket = world.path("haproxy.sock").display().to_string();
    let state = world.path("servers.state").display().to_string();
    let words = [("127.0.0.1:8080", gate.as_str()), ("127.0.0.1:8001", &app)];
    let words = [&words[..], &[("/run/haproxy/admin.sock", &socket)]].concat();
    let settings = [("systemctl", script.as_str())];
    let settings = recipe("haproxy/node.toml", &[&words[..], &settings].concat());
    let node = node(&world, &places, &settings);
    let site = [("bind :80", bind.as_str()), ("/run/haproxy/servers.state", &state)];
    let site = recipe("haproxy/haproxy.cfg", &[&words[..], &site].concat());
    let _gate = node.start_gate();
    let haproxy = Haproxy::start(&world.path(""), "haproxy", &site);
    goes_through(&node, places.site);
    is_closed_and_opened(&node, places.site);
    assert!(haproxy.status("weave/app").starts_with("UP"));
    drop(manager);
    let refused = || get(places.site, "/").is_some_and(|(status, _)| status == 503);
    assert!(refused(), "the first request that finds the application gone gets the gate's answer");
    let (_, body) = get(places.site, "/").expect("haproxy answers");
    assert!(body.contains("retry_after"), "{body}");
}

#[test]
fn apache_turns_to_the_gate() {
    let (world, places) = world();
    let root = world.path("node").display().to_string();
    let (gate, check) = (places.gate.to_string(), places.app.to_string());
    let words = [("127.0.0.1:8080", gate.as_str()), ("127.0.0.1:8082", &check)];
    let settings = recipe("apache/node.toml", &words);
    let node = node(&world, &places, &settings);
    let script = recipe("apache/weave.wsgi", &[("/srv/weave", &root)]);
    std::fs::create_dir_all(node.root.join("shared")).unwrap();
    std::fs::write(node.root.join("shared/weave.wsgi"), script).unwrap();
    let port = format!("*:{}", places.site.port());
    let site = [("*:80", port.as_str()), ("/srv/weave", &root)];
    // The releases of this test bring no environment of their own.
    let site = recipe("apache/weave.conf", &[&words[..], &site].concat())
        .replace(&format!("python-home={root}/current/env "), "");
    let _apache = apache::start(&world.path(""), places.site.port(), &site);
    let _gate = node.start_gate();
    goes_through(&node, places.site);
    is_closed_and_opened(&node, places.site);
}

/// A node beside a front end that is told by these lines of `[pool]`, or not at all.
fn beside<'a>(world: &'a World, pool: &str) -> NodeDir<'a> {
    let places = Places { site: free_address(), app: free_address(), gate: free_address() };
    let gate = format!("\n[gate]\nlisten = \"{}\"\nrole = \"maintenance\"\n", places.gate);
    node(world, &places, &(gate + pool))
}

#[test]
fn maintenance_says_what_it_does_not_do() {
    let world = World::new();
    let _ = world.release_tiny(&["1.0.0"]);
    let node = beside(&world, "");
    let _gate = node.start_gate();
    let run = node.install(["maintenance", "on", "--json"]).ok();
    assert_eq!(run.json()["front_end"], "untold");
    assert!(run.stderr.contains("has no `[pool]`, so turn the front end to the gate"));
    let run = node.install(["maintenance", "off"]).ok();
    assert!(run.stderr.contains("turn the front end back to the application"));
    let refused = ["`--for` cannot be kept", "nothing was changed"];
    node.install(["maintenance", "on", "--for", "5m"]).refused(2, &refused);
    assert_eq!(node.status()["gate"]["reason"], "a front end serves the application");
}

#[test]
fn a_record_that_cannot_be_read_counts_as_maintenance() {
    let world = World::new();
    let _ = world.release_tiny(&["1.0.0", "1.1.0"]);
    let log = world.path("pool.log").display().to_string();
    let pool = format!(
        "[pool]\ndriver = \"command\"\ndepool = [\"sh\", \"-c\", \"echo out >>{log}\"]\n\
         repool = [\"sh\", \"-c\", \"echo in >>{log}\"]\n"
    );
    let node = beside(&world, &pool);
    let mut gate = node.start_gate();
    let _ = node.install(["1.0.0"]).ok();
    let returns = || {
        let told = std::fs::read_to_string(&log).expect("the pool was told");
        (told.matches("in\n").count(), told.ends_with("in\n"))
    };
    assert_eq!(returns(), (1, true));
    let record = node.root.join("state/maintenance.json");
    std::fs::write(&record, "{").expect("written");
    let words = [record.to_str().expect("UTF-8"), "cannot be read", "`install maintenance on` or"];
    let says = |text: &str| words.iter().all(|word| text.contains(word));

    // The install leaves clients with the gate, and the next gate knows why.
    let run = node.install(["1.1.0"]).ok();
    assert!(says(&run.stderr) && run.stderr.contains("clients stay with the gate"), "{run}");
    assert_eq!(returns(), (1, false));
    assert_eq!(gate.end(), Some(0));
    let _gate = node.start_gate();
    assert_eq!(node.status()["gate"]["reason"], "maintenance");
    assert!(says(&node.install(["status"]).ok().stderr), "status says why");
    let log = std::fs::read_to_string(node.root.with_extension("gate.log")).expect("its words");
    assert!(says(&log), "{log}");

    // Either word ends it.
    let _ = node.install(["maintenance", "off"]).ok();
    assert_eq!(returns(), (2, true));
    let run = node.install(["status"]).ok();
    assert!(!run.stderr.contains("cannot be read"), "{run}");
}

#[test]
fn a_front_end_that_cannot_be_turned_leaves_maintenance_off() {
    let world = World::new();
    let _ = world.release_tiny(&["1.0.0"]);
    let pool = "[pool]\ndriver = \"command\"\ndepool = [\"false\"]\nrepool = [\"true\"]\n";
    let node = beside(&world, pool);
    let _gate = node.start_gate();
    node.install(["maintenance", "on"]).refused(5, &["`false`", "maintenance is off, as before"]);
    assert_eq!(node.status()["gate"]["reason"], "a front end serves the application");
    assert!(!node.root.join("state/pool.json").exists());
}
