//! Services over the life and death of processes: theirs, their minders' and the gate's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;
use crate::node::{Mode, Node, until};

pub(crate) fn pid_of_service(node: &Node) -> u32 {
    node.status().running.unwrap().pid.unwrap()
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

/// Stops a process, and waits until none of its threads goes on.
pub(crate) fn stop(pid: u32) {
    signal(pid, Signal::STOP);
    until("the process to stand still", || {
        let mut threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.all(|thread| {
            let stat = fs::read_to_string(thread.unwrap().path().join("stat")).unwrap();
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
        })
    });
}

/// Whether a process is there, other than as a zombie that nobody has collected yet.
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn get(node: &Node, path: &str) -> String {
    Client::connect(node.address).get(path).text().to_owned()
}

fn kill_gate_and_start_another(node: &mut Node) {
    node.signal(Signal::KILL);
    node.wait_end();
    node.start();
    node.wait_open();
}

#[test]
fn a_service_outlives_a_killed_gate() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    for _ in 0..2 {
        kill_gate_and_start_another(&mut node);
        assert_eq!(pid_of_service(&node), service, "it is the same process");
        assert_eq!(get(&node, "/version"), "1.0.0");
    }
    // It is watched as if this gate had started it.
    Client::connect(node.address).kill_service();
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_ne!(pid_of_service(&node), service);
    let service = pid_of_service(&node);
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    assert!(!lives(service));
}

#[test]
fn what_is_not_current_or_not_well_is_ended() {
    let mut node = Node::running("");
    node.release("1.1.0", Mode::Good);
    let old = pid_of_service(&node);
    node.signal(Signal::KILL);
    node.wait_end();
    node.switch("1.1.0");
    node.start();
    node.wait_open();
    assert_eq!(get(&node, "/version"), "1.1.0");
    until("the end of the old one", || !lives(old));

    let stuck = pid_of_service(&node);
    stop(stuck);
    node.signal(Signal::KILL);
    node.wait_end();
    node.start();
    node.wait_open();
    assert_ne!(pid_of_service(&node), stuck);
    assert!(!lives(stuck));
    assert_eq!(get(&node, "/version"), "1.1.0");
}

#[test]
fn a_record_that_means_another_process_harms_nobody() {
    let mut node = Node::running("");
    let service = pid_of_service(&node);
    node.signal(Signal::KILL);
    node.wait_end();
    // As if the machine had been started again meanwhile: the numbers mean nothing any more.
    let record = record_of(&node);
    let text = fs::read_to_string(&record).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    fs::write(&record, text.replace(boot.trim(), "another")).unwrap();
    node.start();
    node.wait_open();
    assert_ne!(pid_of_service(&node), service);
    assert!(lives(service), "it was another process as far as the gate could know");
    signal(parent_of(service), Signal::TERM);
    until("its end", || !lives(service));
}

fn record_of(node: &Node) -> PathBuf {
    let mut entries = fs::read_dir(node.root.run()).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.extension().is_some_and(|extension| extension == "json")).unwrap()
}

#[test]
fn what_a_service_started_ends_with_it() {
    let node = Node::running("");
    let leaked: u32 = get(&node, "/leak").parse().unwrap();
    assert!(lives(leaked));
    Client::connect(node.address).kill_service();
    until("the gate to notice", || node.status().restarts == 1);
    assert!(!lives(leaked), "it went into a session of its own, and yet it goes");
    node.wait_open();

    let leaked: u32 = get(&node, "/leak").parse().unwrap();
    let mut session = node.session();
    session.begin().unwrap();
    session.stop_running().unwrap();
    assert!(!lives(leaked));
    session.finish().unwrap();
}

#[test]
fn a_service_does_not_outlive_its_minder() {
    let node = Node::running("");
    let service = pid_of_service(&node);
    signal(parent_of(service), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert!(!lives(service));
    assert_eq!(get(&node, "/version"), "1.0.0");
}

#[test]
fn a_stuck_service_is_started_again() {
    let liveness = "liveness = { every = \"100ms\", within = \"1s\", failures = 2 }";
    let node = Node::running(&format!("[service]\n{liveness}"));
    let service = pid_of_service(&node);
    stop(service);
    let stuck = std::time::Instant::now();
    let answer = Client::connect(node.address).get("/version");
    assert_eq!(answer.status(), 502, "it was with the service when that was ended");
    assert!(stuck.elapsed() < std::time::Duration::from_secs(100));
    until("another start", || node.status().restarts == 1);
    node.wait_open();
    assert!(!lives(service));
    assert_eq!(get(&node, "/version"), "1.0.0");
}

#[test]
fn patience_with_a_service_has_bounds() {
    let node = Node::running("[service]\nanswer-within = \"3s\"");
    assert_eq!(Client::connect(node.address).get("/slow").status(), 200);
    let service = pid_of_service(&node);
    stop(service);
    let answer = Client::connect(node.address).get("/version");
    assert_eq!(answer.status(), 503, "what only reads may be asked again");
    assert!(answer.field("retry-after").is_some());
    let mut client = Client::connect(node.address);
    client.say("POST /count HTTP/1.1\r\nhost: s\r\ncontent-length: 1\r\n\r\nx");
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("retry-after")), (504, None));
    signal(service, Signal::CONT);
    assert_eq!(Client::connect(node.address).get("/version").status(), 200);
}

#[test]
fn sighup_reads_the_service_s_settings_for_its_next_start() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let path = node.root.path().join("notify");
    let manager = crate::manager::Manager::at(&path);
    node.start_with(|command| {
        command.env("NOTIFY_SOCKET", &path);
    });
    node.wait_open();
    let text = fs::read_to_string(node.root.node_toml()).unwrap();
    let service = "[service]\nlimits = { nofile = 123 }\n";
    fs::write(node.root.node_toml(), format!("{text}{service}nonsense = 1\n")).unwrap();
    let files =
        || get(&node, "/limits").lines().find(|l| l.starts_with("Max open")).unwrap().to_owned();
    let restart = |number| {
        manager.forget(&path);
        node.signal(Signal::HUP);
        manager.hears("RELOADING=1");
        manager.hears("READY=1");
        signal(pid_of_service(&node), Signal::KILL);
        until("another start", || node.status().restarts == number);
        node.wait_open();
    };
    restart(1);
    assert!(!files().contains(" 123 "), "wrong settings change nothing");
    fs::write(node.root.node_toml(), format!("{text}{service}")).unwrap();
    restart(2);
    assert!(files().contains(" 123 "), "{}", files());
}

/// Adds what it takes to set a clock of its own for the gate and all that it starts: the file `clock`
/// says by how many seconds it is off.
fn with_a_clock(command: &mut Command, clock: &Path) {
    let libraries = fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let mut faketime = libraries.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let faketime = faketime.find(|library| library.exists()).expect("faketime is here");
    fs::write(clock, "+0").unwrap();
    command
        .env("LD_PRELOAD", faketime)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// The system's clock is set while the gate runs: what the gate counts by is another one.
#[test]
fn a_clock_that_jumps_an_hour_is_no_matter() {
    let mut node = Node::new("hold-max = \"20s\"");
    node.release("1.0.0", Mode::Good);
    node.release("1.1.0", Mode::Good);
    node.switch("1.0.0");
    let clock = node.root.path().join("clock");
    node.start_with(|command| with_a_clock(command, &clock));
    node.wait_open();
    let service = pid_of_service(&node);
    let mut to = ["1.1.0", "1.0.0"].iter().cycle();
    for jump in ["+3600", "-3600", "+0"] {
        let mut session = node.session();
        session.begin().unwrap();
        session.hold().unwrap();
        let address = node.address;
        let held = std::thread::spawn(move || Client::connect(address).get("/version"));
        until("a held request", || node.status().waiting == 1);
        fs::write(&clock, jump).unwrap();
        let to = to.next().unwrap();
        session.stop_running().unwrap();
        node.switch(to);
        session.start(&to.parse().unwrap()).unwrap();
        session.wait_healthy().unwrap();
        session.promote().unwrap();
        session.open().unwrap();
        let answer = held.join().unwrap();
        assert_eq!((answer.status(), answer.text()), (200, *to), "{jump}");
        // The clock did jump, as the new process was told.
        let ahead = node.status().running.unwrap().since.unwrap().duration_since(Timestamp::now());
        let off = ahead.as_secs() - jump.parse::<i64>().unwrap();
        assert!(off.abs() < 60, "{jump}: {ahead:?}");
        let figures = session.finish().unwrap();
        assert!((0.0..10.0).contains(&figures.dark), "{jump}: {figures:?}");
        assert!((0.0..10.0).contains(&figures.longest_wait), "{jump}: {figures:?}");
    }
    assert_ne!(pid_of_service(&node), service);
    assert_eq!(node.status().restarts, 0);
}

#[test]
fn output_is_kept_in_bounds_and_beyond_the_gate() {
    let mut node = Node::running("[service]\nlog = { size = \"16KiB\", files = 3 }");
    let name = |suffix: &str| node.root.run().join(format!("service-1.0.0.log{suffix}"));
    let names = ["", ".1", ".2"].map(name);
    let beyond = name(".3");
    assert_eq!(get(&node, "/chatter"), "said");
    kill_gate_and_start_another(&mut node);
    for _ in 0..5 {
        assert_eq!(get(&node, "/chatter"), "said");
    }
    // The file may be missing for a moment, while the next takes its place.
    let last = || fs::read_to_string(&names[0]).is_ok_and(|text| text.ends_with("011999\n"));
    until("all that was said", last);
    let older = names.iter().rev().map(|name| fs::read_to_string(name).unwrap());
    let lines: Vec<String> = older.flat_map(|text| lines(&text)).collect();
    for pair in lines.windows(2) {
        let number = |line: &str| line.strip_prefix("chatter ").unwrap().parse::<u32>().unwrap();
        let (one, next) = (number(&pair[0]), number(&pair[1]));
        assert_eq!(next, one + 1, "no line is missing or cut");
    }
    let sizes = names.iter().map(|name| fs::metadata(name).unwrap().len());
    assert!(sizes.sum::<u64>() <= 3 * 16 * 1024);
    assert!(!beyond.exists());
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

#[test]
fn the_journal_gets_output_by_way_of_the_gate() {
    let mut node = Node::new("[service]\nlog = \"journal\"");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let errors = node.root.path().join("errors");
    node.start_with(|command| {
        command.stderr(fs::File::create(&errors).unwrap());
    });
    node.wait_open();
    assert_eq!(get(&node, "/chatter"), "said");
    until("its words", || fs::read_to_string(&errors).unwrap().contains("chatter 001999\n"));
    assert!(!node.root.run().join("service-1.0.0.log").exists());
}

fn field<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].split_ascii_whitespace().collect()
}

#[test]
fn a_service_runs_within_limits() {
    let service = "[service]\numask = \"0027\"\n\
                   limits = { nofile = 99, nproc = 5000, memory = \"8GiB\" }";
    let node = Node::running(service);
    let limits = get(&node, "/limits");
    assert_eq!(field(&limits, "Max open files")[..2], ["99", "99"]);
    assert_eq!(field(&limits, "Max processes")[..2], ["5000", "5000"]);
    assert_eq!(field(&limits, "Max address space")[0], (8_u64 << 30).to_string());
    assert_eq!(field(&get(&node, "/status"), "Umask:"), ["0027"]);
    // Its minder and the gate are not bound by them.
    let minder = parent_of(pid_of_service(&node));
    let limits = fs::read_to_string(format!("/proc/{minder}/limits")).unwrap();
    assert_ne!(field(&limits, "Max open files")[0], "99");
}

/// Run by root, as in CI, it is another user's; by anybody else, it is refused.
#[test]
fn a_service_runs_as_its_own_user() {
    let mut node = Node::new("[service]\nuser = \"daemon\"\ngroup = \"games\"");
    node.release("1.0.0", Mode::Unix);
    node.switch("1.0.0");
    node.start();
    if !rustix::process::geteuid().is_root() {
        until("a refusal", || !node.status().reason.is_empty() && node.status().restarts > 0);
        return;
    }
    node.wait_open();
    let status = get(&node, "/status");
    assert_eq!(field(&status, "Uid:"), ["1", "1", "1", "1"]);
    assert_eq!(field(&status, "Gid:"), ["60", "60", "60", "60"]);
    assert_eq!(field(&status, "Groups:"), ["60"], "none of root's own are left");
    assert_eq!(field(&status, "NoNewPrivs:"), ["1"]);
    assert_eq!(field(&status, "CapEff:"), ["0000000000000000"]);
    // It may make a socket where sockets are, and touch nothing else that is the gate's.
    let mode = |path: PathBuf| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).unwrap();
        (metadata.uid(), metadata.mode() & 0o777)
    };
    assert_eq!(mode(node.root.run().join("sockets")), (1, 0o700));
    assert_eq!(mode(node.root.run().join("service-1.0.0.log")), (0, 0o640));
    // Another gate finds it all the same, and can end it.
    let service = pid_of_service(&node);
    kill_gate_and_start_another(&mut node);
    assert_eq!(pid_of_service(&node), service);
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
    assert!(!lives(service));
}

#[test]
fn a_user_that_does_not_exist_is_named() {
    let mut node = Node::new("[service]\nuser = \"nobody-knows-me\"");
    node.start();
    node.release("1.0.0", Mode::Good);
    let mut session = node.session();
    session.begin().unwrap();
    let error = session.start(&"1.0.0".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("user nobody-knows-me, who does not exist"), "{error}");
}
