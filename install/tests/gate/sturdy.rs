//! A gate that cannot write its log goes on; and what it opens and whom it talks to are its own.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};

use crate::client::Client;
use crate::life::{lives, pid_of_service, signal};
use crate::node::{Mode, Node, free_address, until, version};

/// Installs 1.1.0, kills its service, and sees both the gate and the service go on.
fn goes_on(node: &mut Node, metrics: std::net::SocketAddr) {
    node.wait_open();
    node.release("1.1.0", Mode::Good);
    let mut session = node.session();
    session.begin().unwrap();
    session.start(&version("1.1.0")).unwrap();
    session.wait_healthy().unwrap();
    node.switch("1.1.0");
    session.promote().unwrap();
    session.retire().unwrap();
    session.finish().unwrap();
    assert_eq!(node.status().lease, None);
    signal(pid_of_service(node), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.1.0");
    assert_eq!(Client::connect(node.address).get("/.cutover/ready").status(), 200);
    let numbers = Client::connect(metrics).get("/metrics").text().to_owned();
    let number = |name: &str| {
        let line = numbers.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert!(number("cutover_gate_log_lost_total ") > 0, "{numbers}");
    assert_eq!(number("cutover_gate_panics_total "), 0);
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
}

fn node_with_numbers() -> (Node, std::net::SocketAddr) {
    let metrics = free_address();
    let node = Node::new(&format!("metrics = \"{metrics}\""));
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    (node, metrics)
}

#[test]
fn a_gate_whose_log_is_closed_goes_on() {
    let (mut node, metrics) = node_with_numbers();
    let (reader, writer) = io::pipe().unwrap();
    node.start_with(|command| {
        command.stderr(writer);
    });
    drop(reader);
    goes_on(&mut node, metrics);
}

#[test]
fn a_gate_whose_log_is_full_goes_on() {
    let (mut node, metrics) = node_with_numbers();
    node.start_with(|command| {
        command.stderr(fs::File::options().write(true).open("/dev/full").unwrap());
    });
    goes_on(&mut node, metrics);
}

#[test]
fn a_gate_whose_log_nobody_reads_goes_on() {
    let (mut node, _) = node_with_numbers();
    let (_reader, mut writer) = io::pipe().unwrap();
    // As much as it takes.
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'x'; 512]).is_ok() {}
    rustix::fs::fcntl_setfl(&writer, flags).unwrap();
    node.start_with(|command| {
        command.stderr(writer);
    });
    node.wait_open();
    signal(pid_of_service(&node), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
    node.signal(Signal::TERM);
    assert!(node.wait_end().success());
}

/// What a process has open, by name.
fn open_files(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let names = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    names.map(|name| name.display().to_string()).collect()
}

fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// `command` with a file of its caller's open, as whoever holds a lock has.
fn with_callers_file(command: &Command, file: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec 9>\"$0\"; exec \"$@\""]).arg(file);
    shell.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
    shell
}

#[test]
fn nobody_keeps_what_the_caller_had_open() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    let callers = node.root.path().join("callers-lock");
    let log = node.root.path().join("gate.log");
    node.start_with(|command| {
        *command = with_callers_file(command, &callers);
        command.stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    });
    node.wait_open();
    let keeps = |pid: u32| open_files(pid).contains(&callers.display().to_string());
    let service = pid_of_service(&node);
    for pid in [node.pid(), parent_of(service), service] {
        assert!(!keeps(pid), "{:?}", open_files(pid));
    }
    let of_service = open_files(service).len();

    // Its output comes to an end, so that nothing of it is kept; and the log goes where it went.
    let mut replace = node.gate_command();
    replace.args(["--replace", "--background"]);
    let output = with_callers_file(&replace, &callers).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(node.wait_end().success());
    let gate = node.status().pid;
    assert!(!keeps(gate), "{:?}", open_files(gate));
    assert_eq!(fs::read_link(format!("/proc/{gate}/fd/2")).unwrap(), log);
    assert_eq!(fs::read_link(format!("/proc/{gate}/cwd")).unwrap(), Path::new("/"));
    until("its words", || fs::read_to_string(&log).unwrap().contains(&format!("pid={gate}")));
    signal(service, Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    let service = pid_of_service(&node);
    assert!(!keeps(parent_of(service)) && open_files(service).len() == of_service);
    signal(gate, Signal::TERM);
    until("its end", || !lives(gate));
}

/// `command` of a caller with this umask, and core files of this size.
fn with_habits(command: &Command, mask: &str, core: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "umask $0; ulimit -c $1; shift; exec \"$@\"", mask, core]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.stdin(Stdio::null()).stdout(Stdio::null());
    shell
}

#[test]
fn a_gate_in_the_background_has_the_umask_and_limits_of_the_one_before() {
    let mut node = Node::new("");
    node.release("1.0.0", Mode::Good);
    node.switch("1.0.0");
    node.start_with(|command| *command = with_habits(command, "027", "8"));
    node.wait_open();
    let umask = |node: &Node| {
        let status = Client::connect(node.address).get("/status").text().to_owned();
        status.lines().find_map(|line| line.strip_prefix("Umask:\t")).unwrap().to_owned()
    };
    let core = |pid: u32| {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        limits.lines().find(|line| line.starts_with("Max core")).unwrap().to_owned()
    };
    let (was, size) = (umask(&node), core(pid_of_service(&node)));
    assert_eq!(was, "0027");
    let mut replace = node.gate_command();
    replace.args(["--replace", "--background"]);
    // More than the gate has: not everybody may take more than the caller has.
    let output = with_habits(&replace, "077", "16").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(node.wait_end().success());
    let gate = node.status().pid;
    signal(pid_of_service(&node), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert_eq!((umask(&node), core(pid_of_service(&node))), (was, size));
    signal(gate, Signal::TERM);
    until("its end", || !lives(gate));
}

#[test]
fn a_link_in_the_place_of_its_socket_leads_nowhere() {
    if !geteuid().is_root() {
        return;
    }
    let mut node = Node::new("[service]\nuser = \"daemon\"");
    node.release("1.0.0", Mode::Unix);
    node.switch("1.0.0");
    node.start();
    node.wait_open();
    let address = node.status().running.unwrap().address.unwrap();
    let (socket, aside) = (Path::new(&address), node.root.path().join("aside"));
    // What only root may reach.
    let private = node.root.path().join("private.sock");
    let listener = UnixListener::bind(&private).unwrap();
    listener.set_nonblocking(true).unwrap();
    fs::rename(socket, &aside).unwrap();
    symlink(&private, socket).unwrap();
    until("no connection that was made before", || {
        // What nobody used for a second is used no more.
        std::thread::sleep(Duration::from_millis(1100));
        Client::connect(node.address).get("/version").status() == 503
    });
    assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    fs::remove_file(socket).unwrap();
    fs::rename(&aside, socket).unwrap();
    assert_eq!(Client::connect(node.address).get("/version").text(), "1.0.0");
}

#[test]
fn a_page_behind_anothers_link_is_not_read() {
    if !geteuid().is_root() {
        return;
    }
    let mut node = Node::new("page = \"closed.html\"");
    let page = node.root.path().join("closed.html");
    symlink("/etc/hostname", &page).unwrap();
    std::os::unix::fs::lchown(&page, Some(1), Some(1)).unwrap();
    let output = node.gate_command().stderr(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("a link that user 1 made"), "{text}");
    // The operator's own link is.
    std::os::unix::fs::lchown(&page, Some(0), Some(0)).unwrap();
    node.start();
}

fn settings_of(node: &Node) -> String {
    fs::read_to_string(node.root.node_toml()).unwrap()
}

#[test]
fn settings_hold_from_the_next_start_of_the_service() {
    let mut node = Node::running("");
    let user = |node: &Node| {
        let status = Client::connect(node.address).get("/status").text().to_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap().to_owned();
        line.split_ascii_whitespace().next().unwrap().parse::<u32>().unwrap()
    };
    let outdated = |node: &Node| node.status().running.unwrap().outdated;
    assert!(!outdated(&node));
    let who = if geteuid().is_root() { "user = \"daemon\"\n" } else { "" };
    let text = settings_of(&node);
    fs::write(
        node.root.node_toml(),
        format!("{text}\n[service]\n{who}limits = {{ nofile = 99 }}\n"),
    )
    .unwrap();
    assert!(outdated(&node), "it is as it was started");
    // Also for a gate that comes after this one.
    node.replace_gate().wait().unwrap();
    assert!(outdated(&node));
    signal(pid_of_service(&node), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 1);
    node.wait_open();
    assert!(!outdated(&node));
    if geteuid().is_root() {
        assert_eq!(user(&node), 1, "it goes on as root no more");
    }
    let limits = Client::connect(node.address).get("/limits").text().to_owned();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert!(files.contains(" 99 "), "{files}");
    // What cannot be read changes nothing.
    fs::write(node.root.node_toml(), "nonsense").unwrap();
    signal(pid_of_service(&node), Signal::KILL);
    until("the gate to notice", || node.status().restarts == 2);
    node.wait_open();
    assert!(!outdated(&node));
}

/// The gate's answer to `line`, said without a word before.
fn says(stream: &mut UnixStream, line: &str) -> String {
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    io::BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_conversation_begins_with_a_version() {
    let node = Node::running("");
    let mut stream = UnixStream::connect(node.root.control()).unwrap();
    let answer = says(&mut stream, "{\"call\":\"status\"}\n");
    assert!(answer.contains("wants to hear a version first"), "{answer}");
    let hello =
        "{\"call\":\"hello\",\"protocol\":\"cutover.gate/1.9\",\"program\":\"1.9.0\",\"more\":1}\n";
    let answer = says(&mut stream, hello);
    assert!(answer.contains("\"protocol\":\"cutover.gate/1.0\""), "{answer}");
    let answer = says(&mut stream, "{\"call\":\"dance\",\"site\":\"a\"}\n");
    assert!(answer.contains("does not know `dance`"), "{answer}");
    // It is still there.
    let answer = says(&mut stream, "{\"call\":\"status\",\"site\":\"a\"}\n");
    assert!(answer.contains("\"state\":\"open\""), "{answer}");
}
