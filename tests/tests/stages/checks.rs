//! Each kind of check, held against real servers and files, where it holds and where it does not.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use cutover_tests::world::{World, free_address};

use crate::common::Scene;

/// A server that gives the same answer to whoever asks with `word` in the request, and 403 to all
/// others, for as long as the test runs.
fn server(word: &'static str, answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or_default();
            let asked = String::from_utf8_lossy(&request[..read]);
            let answer = if asked.contains(word) { answer } else { "HTTP/1.1 403 No\r\n\r\n" };
            let length = answer.split("\r\n\r\n").nth(1).map_or(0, str::len);
            let head = answer.replacen("\r\n", &format!("\r\nContent-Length: {length}\r\n"), 1);
            let _ = stream.write_all(head.as_bytes());
        }
    });
    address
}

const METRICS: &str = "HTTP/1.1 200 OK\r\nServer: exporter/1\r\n\r\n\
                       # TYPE errors counter\nerrors{code=\"500\"} 3\nerrors{code=\"404\"} 40\n";

#[test]
fn each_kind_holds_and_fails() {
    let world = World::new();
    let scene = Scene::new(&world, "", "");
    let (metrics, nobody) = (server("", METRICS), free_address());
    let guarded = server("Bearer of-the-node", METRICS);
    let token = "send-headers = { Authorization = 'Bearer of-the-node' }";
    let root = &scene.node.root;
    let secret = root.join("shared/secret");
    std::fs::write(&secret, "key = 1\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).unwrap();
    let kinds = [
        (
            "command = 'test -d {root}'".to_owned(),
            "command = ['false']".to_owned(),
            "`false` failed",
        ),
        (
            format!(
                "http = {{ url = 'http://{metrics}/x', expect = 200, contains = '404', headers = {{ server = 'exporter' }} }}"
            ),
            format!("http = {{ url = 'http://{metrics}/x', expect = 204 }}"),
            "it gave 200, not 204",
        ),
        (
            "http = { path = '/', contains = 'version' }".to_owned(),
            "http = { path = '/', contains = 'nonsense' }".to_owned(),
            "its body does not contain `nonsense`",
        ),
        (
            format!("http = {{ url = 'http://{metrics}' }}"),
            format!("http = {{ url = 'http://{metrics}', headers = {{ server = 'nginx' }} }}"),
            "header server is `exporter/1`, without `nginx`",
        ),
        (
            format!("http = {{ url = 'http://{metrics}' }}"),
            format!("http = {{ url = 'http://{nobody}/' }}"),
            "refused",
        ),
        (format!("tcp = '{metrics}'"), format!("tcp = '{nobody}'"), "refused"),
        (
            "file = { path = '{root}/shared/secret', mode = '0640', contains = 'key' }".to_owned(),
            "file = { path = '{root}/shared/secret', mode = '0600' }".to_owned(),
            "has mode 0640, not 0600",
        ),
        (
            "file = { path = '/proc/self/status' }".to_owned(),
            "file = { path = '{prefix}/gone' }".to_owned(),
            "No such file",
        ),
        (
            format!(
                "metric = {{ url = 'http://{metrics}/', name = 'errors', labels = {{ code = '500' }}, max = 3 }}"
            ),
            format!("metric = {{ url = 'http://{metrics}/', name = 'errors', max = 39.5 }}"),
            "errors is 40, not at most 39.5",
        ),
        (
            format!("http = {{ url = 'http://{guarded}/', {token} }}"),
            format!("http = {{ url = 'http://{guarded}/' }}"),
            "it gave 403",
        ),
        (
            format!("metric = {{ url = 'http://{guarded}/', name = 'errors', max = 40, {token} }}"),
            format!("metric = {{ url = 'http://{guarded}/', name = 'errors', max = 40 }}"),
            "gave 403",
        ),
    ];
    let plain = scene.node.settings();
    let place = "[[check]]\nstage = 'health'\ntimeout = '20s'\n";
    for (_, bad, why) in &kinds {
        scene.node.set(&format!("{plain}\n{place}{bad}\n"));
        let words = ["health: the check", why, "nothing was switched"];
        scene.node.install(["1.1.0"]).refused(5, &words);
        scene.is_as_before();
    }
    let all: String = kinds.iter().map(|(good, ..)| format!("{place}{good}\n")).collect();
    scene.node.set(&format!("{plain}\n{all}"));
    let receipt = scene.node.install(["1.1.0", "--json"]).ok().json();
    assert_eq!(receipt["checks"].as_array().unwrap().len(), kinds.len());
    let log = scene.node.install(["log", "--last"]).ok();
    assert_eq!(log.stdout.matches("check after health held: ").count(), kinds.len(), "{log}");
    scene.is_on_the_new();
}

#[test]
fn the_newcomer_answers_until_requests_go_to_it() {
    let world = World::new();
    let newcomer = "http = { path = '/', contains = '\"version\": \"1.1.0\"' }\n";
    // After `health`, the gate serves 1.0.0 or holds requests: only the newcomer itself answers so.
    let release =
        format!("[[check]]\nstage = 'health'\n{newcomer}[[check]]\nstage = 'open'\n{newcomer}");
    let scene = Scene::new(&world, &release, "");
    for swap in ["blue-green", "hold", "backoff"] {
        let run = scene.node.install(["1.1.0", "--swap", swap, "--json"]).ok();
        assert_eq!(run.json()["checks"].as_array().unwrap().len(), 2, "{swap}");
        let _ = scene.node.install(["rollback"]).ok();
    }
}

#[test]
fn a_failing_check_after_the_switch_switches_back() {
    let world = World::new();
    let release = "[[check]]\nstage = 'open'\nhttp = { path = '/', expect = 418 }\n\
                   retries = 2\npause = '50ms'\n";
    let scene = Scene::new(&world, release, "");
    for swap in ["blue-green", "hold"] {
        let words = [
            "failed 3 times: it gave 200, not 418",
            "switched back: the node is on 1.0.0",
            "1.1.0 is remembered as bad on this node",
        ];
        scene.node.install(["1.1.0", "--swap", swap]).refused(5, &words);
        scene.is_as_before();
    }
    scene.node.install(["stable"]).refused(5, &["failed on this node"]);
}

#[test]
fn a_check_before_a_stage_keeps_it_from_being_begun() {
    let world = World::new();
    let release = "[stage.mine]\nbefore = 'start'\nrun = 'echo x >> {root}/shared/log'\n\
                   undo = 'echo y >> {root}/shared/log'\n\
                   [[check]]\nstage = 'mine'\nwhen = 'before'\ncommand = 'false'\n";
    let scene = Scene::new(&world, release, "");
    scene.node.install(["1.1.0"]).refused(5, &["mine: the check `command false` before it"]);
    assert!(scene.log().is_empty());
    scene.is_as_before();
}

#[test]
fn without_a_gate_nobody_can_be_asked() {
    let world = World::new();
    let release = "[[check]]\nstage = 'switch'\nhttp = { path = '/', expect = 200 }\n";
    let mut scene = Scene::new(&world, release, "");
    scene.gate.end();
    let run = scene.node.install(["1.1.0"]).ok();
    assert!(run.stderr.contains("the check `http /` is left out"), "{run}");
}
