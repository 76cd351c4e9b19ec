//! An installer that is killed right before any of the system calls that change something: the next
//! command ends it in the old release or the new, whole, and nothing is left lying about.
//!
//! `strace` sends SIGKILL on the n-th call of a kind, for every n there is. `CUTOVER_STRIDE` (a
//! number) tries only every so many; the default tries all.

use std::process::{Command, Stdio};

use cutover_tests::world::{NodeDir, World, assert_same, program};

/// Every call by which `install` changes the disk.
const CALLS: [&str; 14] = [
    "write",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "unlink",
    "unlinkat",
    "rmdir",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "fsync",
    "fdatasync",
];

/// How a run under `strace` ended.
#[derive(PartialEq, Eq)]
enum End {
    Killed,
    Done,
}

/// Runs `install` and kills it right before its `n`-th `call`.
fn run_until(node: &NodeDir<'_>, arguments: &[&str], call: &str, n: usize) -> End {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={n}")]);
    strace.arg(program("install")).args(arguments).env("CUTOVER_ROOT", &node.root);
    let status = strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status.expect("strace is installed").code() {
        Some(0) => End::Done,
        // strace ends itself by the signal that ended the program.
        None => End::Killed,
        Some(other) => panic!("{call} {n}: exit status {other}"),
    }
}

fn stride() -> usize {
    std::env::var("CUTOVER_STRIDE").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// Kills `install ARGUMENTS` everywhere; `from` and `to` are what may be current afterwards.
fn kill_everywhere(node: &NodeDir<'_>, arguments: &[&str], from: Option<&str>, to: &str) -> usize {
    let pristine = node.root.with_extension("pristine");
    copy(&node.root, &pristine);
    let mut killed = 0;
    for call in CALLS {
        for n in (1..).step_by(stride()) {
            copy(&pristine, &node.root);
            let before = node.inventory();
            if run_until(node, arguments, call, n) == End::Done {
                break;
            }
            killed += 1;
            let at = format!("killed before {call} {n} of {arguments:?}");
            let run = node.install(["resume"]);
            assert_eq!(run.status, 0, "{at}: {run}");
            let current = node.current();
            assert!(
                current.as_deref() == from || current.as_deref() == Some(to),
                "{at}: {current:?}"
            );
            if current.is_some() {
                let run = node.install(["verify", "--all"]);
                assert_eq!(run.status, 0, "{at}: {run}");
            }
            let run = node.install(["prune"]);
            assert_eq!(run.status, 0, "{at}: {run}");
            if current.as_deref() == from {
                assert_same(&without_standings(before), &without_standings(node.inventory()));
            }
            let run = node.install(arguments.iter().copied());
            assert_eq!((run.status, node.current().as_deref()), (0, Some(to)), "{at}: {run}");
        }
    }
    killed
}

/// What was learned of releases may be rewritten, and a release that was brought may stay.
fn without_standings(mut inventory: Vec<String>) -> Vec<String> {
    inventory.retain(|line| !line.starts_with("state/standings.json"));
    inventory
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let _ = std::fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

#[test]
fn first_install_upgrade_and_rollback() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let first = kill_everywhere(&node, &["1.0.0"], None, "1.0.0");
    let upgrade = kill_everywhere(&node, &["1.1.0"], Some("1.0.0"), "1.1.0");
    let back = kill_everywhere(&node, &["rollback", "--to", "1.0.0"], Some("1.1.0"), "1.0.0");
    println!("killed {first} first installs, {upgrade} upgrades, {back} rollbacks");
    assert!(first > 20 && upgrade > 20 && back > 10, "{first} {upgrade} {back}");
}
