//! A node in real HAProxies: taken out, waited for, put back; and what goes wrong on the way.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_install::node::Node;
use cutover_install::pool::{self, Pool, PoolError};
use cutover_tests::parts::haproxy::Haproxy;
use cutover_tests::world::{Running, free_address, get, source, wait_until};
use tempfile::TempDir;

/// Two services, and two HAProxies that spread traffic over them.
struct Site {
    folder: TempDir,
    services: Vec<(Running, SocketAddr)>,
    balancers: Vec<(Haproxy, SocketAddr)>,
}

impl Site {
    fn start() -> Self {
        Self::with("")
    }

    /// `globals` are further lines of the global section.
    fn with(globals: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let services: Vec<_> = ["here", "other"].into_iter().map(service).collect();
        let (here, other) = (services[0].1, services[1].1);
        let balancers = ["a", "b"].map(|name| {
            let front = free_address();
            let config = format!(
                "global\n stats socket {{socket}} mode 600 level admin expose-fd listeners\n{globals}\n\
                 defaults\n mode http\n timeout client 20s\n timeout server 20s\n\
                 timeout connect 5s\n load-server-state-from-file global\n\
                 frontend site\n bind {front}\n default_backend app\n\
                 backend app\n option httpchk GET /health\n default-server check inter 100ms\n\
                 server node1 {here}\n server node2 {other}\n"
            );
            (Haproxy::start(folder.path(), name, &config), front)
        });
        let site = Self { folder, services, balancers: balancers.into() };
        for (haproxy, _) in &site.balancers {
            wait_until("servers are up", || haproxy.status("app/node2").starts_with("UP"));
        }
        site
    }

    /// The pool of a node whose settings have these lines beside the sockets.
    fn pool(&self, lines: &str) -> Box<dyn Pool> {
        let sockets: Vec<_> = self.balancers.iter().map(|(haproxy, _)| &haproxy.socket).collect();
        open(self.folder.path(), &format!("sockets = {sockets:?}\n{lines}"))
    }

    fn statuses(&self) -> Vec<String> {
        // `UP 1/3` is up too.
        let word = |status: String| status.split(' ').next().unwrap_or_default().to_owned();
        let of = |(haproxy, _): &(Haproxy, SocketAddr)| word(haproxy.status("app/node1"));
        self.balancers.iter().map(of).collect()
    }

    fn memory(&self) -> Option<String> {
        std::fs::read_to_string(self.folder.path().join("state/pool.json")).ok()
    }
}

const NODE1: &str = "servers = ['app/node1']\n";

/// A node in `folder` with only what a pool needs.
fn open(folder: &Path, lines: &str) -> Box<dyn Pool> {
    std::fs::create_dir_all(folder.join("state")).expect("the folder is writable");
    let text =
        format!("product = 'tiny'\nrepository = '/nowhere'\n[pool]\ndriver = 'haproxy'\n{lines}");
    std::fs::write(folder.join("node.toml"), text).expect("the folder is writable");
    pool::open(&Node::open(folder).expect("a node")).expect("a pool").expect("it is named")
}

fn service(version: &str) -> (Running, SocketAddr) {
    let address = free_address();
    let mut command = Command::new("python3");
    command.arg(source("apps/tiny/app.py")).arg(address.to_string());
    command.env("TINY_VERSION", version).stderr(Stdio::null());
    let running = Running::start(&mut command);
    wait_until("the service answers", || get(address, "/health").is_some());
    (running, address)
}

/// Asks until both services have answered, at most so often.
fn answers(front: SocketAddr, times: usize) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..times {
        let (status, body) = get(front, "/").expect("the front end answers");
        assert_eq!(status, 200, "{body}");
        let who = if body.contains("here") { "here" } else { "other" };
        if !seen.iter().any(|seen| seen == who) {
            seen.push(who.to_owned());
        }
    }
    seen.sort();
    seen
}

#[test]
fn requests_under_way_end_and_new_ones_go_elsewhere() {
    let site = Site::start();
    let pool = site.pool(NODE1);
    assert!(pool.describe().starts_with("app/node1 at HAProxy /"), "{}", pool.describe());
    let (haproxy, front) = &site.balancers[0];
    // Both servers get one each of two requests that take six seconds.
    let slow: Vec<_> = (0..2)
        .map(|_| {
            let front = *front;
            std::thread::spawn(move || get(front, "/slow?6"))
        })
        .collect();
    let under_way =
        || haproxy.ask("show stat").lines().any(|row| row.starts_with("app,node1,0,0,1,"));
    wait_until("a request is under way", under_way);
    pool.depool().unwrap();
    assert!(!under_way(), "it is waited for");
    assert_eq!(site.statuses(), ["DRAIN", "DRAIN"]);
    assert!(site.memory().unwrap().contains("ready"));
    for (_, front) in &site.balancers {
        assert_eq!(answers(*front, 10), ["other"]);
    }
    for asking in slow {
        assert_eq!(asking.join().unwrap().expect("an answer").0, 200);
    }
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
    assert_eq!(site.memory(), None);
    for (_, front) in &site.balancers {
        assert_eq!(answers(*front, 10), ["here", "other"]);
    }
    // Both verbs may be said again.
    pool.repool().unwrap();
    pool.depool().unwrap();
    pool.depool().unwrap();
    assert_eq!(site.statuses(), ["DRAIN", "DRAIN"]);
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
}

#[test]
fn requests_that_do_not_end_stop_the_install_or_are_left() {
    let site = Site::start();
    let front = site.balancers[1].1;
    let slow: Vec<_> = (0..2).map(|_| std::thread::spawn(move || get(front, "/slow?8"))).collect();
    wait_until("a request is under way", || {
        let stats = site.balancers[1].0.ask("show stat");
        stats.lines().any(|row| row.starts_with("app,node1,0,0,1,"))
    });
    let short = format!("{NODE1}drain-within = '300ms'\n");
    let pool = site.pool(&short);
    let error = pool.depool().unwrap_err();
    assert!(matches!(error, PoolError::Lingering { count: 1, .. }), "{error}");
    assert_eq!(error.exit(), Exit::CheckFailed);
    assert!(error.hints()[0].contains("drain-within"));
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
    let pool = site.pool(&format!("{short}lingering = 'leave'\nthen = 'maint'\n"));
    pool.depool().unwrap();
    assert_eq!(site.statuses(), ["MAINT", "MAINT"]);
    for asking in slow {
        assert_eq!(asking.join().unwrap().expect("an answer").0, 200, "it was left to end");
    }
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
}

#[test]
fn what_an_operator_took_out_stays_out() {
    let site = Site::start();
    let operator = |at: usize, state: &str| {
        let answer = site.balancers[at].0.ask(&format!("set server app/node1 state {state}"));
        assert_eq!(answer.trim(), "");
    };
    operator(0, "maint");
    let pool = site.pool(NODE1);
    pool.depool().unwrap();
    assert_eq!(site.statuses(), ["MAINT", "DRAIN"]);
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["MAINT", "UP"]);
    // Drained before is drained after, and what was changed in between stays changed.
    operator(0, "drain");
    pool.depool().unwrap();
    operator(1, "maint");
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["DRAIN", "MAINT"]);
}

#[test]
fn a_reload_forgets_and_is_told_again() {
    let site = Site::start();
    let pool = site.pool(NODE1);
    pool.depool().unwrap();
    site.balancers[0].0.reload();
    assert!(!site.statuses()[0].starts_with("DRAIN"), "{:?}", site.statuses());
    pool.depool().unwrap();
    assert_eq!(site.statuses(), ["DRAIN", "DRAIN"]);
    site.balancers[1].0.reload();
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
}

#[test]
fn a_reload_with_a_state_file_remembers() {
    let site = Site::with(" server-state-file {socket}.state");
    let pool = site.pool(NODE1);
    pool.depool().unwrap();
    let (haproxy, front) = &site.balancers[0];
    let state = haproxy.ask("show servers state");
    std::fs::write(haproxy.socket.with_extension("sock.state"), state).unwrap();
    haproxy.reload();
    assert_eq!(haproxy.status("app/node1"), "DRAIN");
    assert_eq!(answers(*front, 10), ["other"]);
    pool.repool().unwrap();
    assert_eq!(site.statuses(), ["UP", "UP"]);
}

#[test]
fn one_balancer_that_is_away_keeps_the_node_out_only_there() {
    let mut site = Site::start();
    let pool = site.pool(NODE1);
    pool.depool().unwrap();
    site.balancers[0].0.end();
    let error = pool.repool().unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
    assert!(error.to_string().contains("a.sock"), "{error}");
    assert_eq!(site.balancers[1].0.status("app/node1"), "UP");
    assert!(site.memory().is_some(), "it is still to be put back");
    let error = pool.depool().unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
    site.balancers[0].0.start_again();
    pool.repool().unwrap();
    assert_eq!((site.statuses(), site.memory()), (vec!["UP".into(), "UP".into()], None));
}

#[test]
fn ready_is_not_enough_where_the_balancer_cannot_reach_the_node() {
    let mut site = Site::start();
    let pool = site.pool(&format!("{NODE1}up-within = '1s'\n"));
    pool.depool().unwrap();
    site.services[0].0.end();
    wait_until("its checks fail", || {
        site.balancers[1]
            .0
            .ask("show stat")
            .lines()
            .any(|row| row.starts_with("app,node1,") && row.contains(",DOWN,"))
    });
    let error = pool.repool().unwrap_err();
    assert!(matches!(&error, PoolError::NotUp { stands, .. } if stands.starts_with("DOWN")));
    assert_eq!(error.exit(), Exit::CheckFailed);
}

#[test]
fn answers_are_read() {
    let site = Site::start();
    let error = site.pool("servers = ['app/node9']").depool().unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("does not know app/node9: no such server"), "{error}");
    let error = site.pool("servers = ['nope/node1']").depool().unwrap_err();
    assert!(error.to_string().contains("nope/node1: Can't find backend"), "{error}");

    // A socket that may look, but not change.
    let folder = tempfile::tempdir().unwrap();
    let address = free_address();
    let config = format!(
        "global\n stats socket {{socket}} level admin\n stats socket {address} level operator\n\
         defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\n\
         backend app\n server node1 127.0.0.1:9\n"
    );
    let haproxy = Haproxy::start(folder.path(), "c", &config);
    let pool = open(folder.path(), &format!("sockets = ['{address}']\n{NODE1}"));
    let error = pool.depool().unwrap_err();
    assert!(matches!(error, PoolError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("Permission denied"), "{error}");
    assert_eq!(error.exit(), Exit::CheckFailed);
    assert!(error.hints()[0].contains("level admin"));
    assert_eq!(haproxy.status("app/node1"), "no check");

    // A socket that is something else.
    let pool = open(folder.path(), &format!("sockets = ['{}']\n{NODE1}", site.services[0].1));
    let error = pool.depool().unwrap_err();
    assert!(matches!(error.exit(), Exit::Usage | Exit::Unreachable), "{error}");
    let pool = open(folder.path(), "sockets = ['/nowhere/h.sock']\nservers = ['app/node1']");
    let error = pool.depool().unwrap_err();
    assert_eq!(error.exit(), Exit::Unreachable, "{error}");
}
