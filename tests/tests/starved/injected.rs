//! Single calls that fail, by `strace`, and disks that fail from some call on.

use cutover_tests::strace::{Fault, Site, with_fault};
use cutover_tests::trial::{Count, End, Trial, sample};
use cutover_tests::world::{Run, World, free_address};

/// Calls that may find the disk full.
const TAKES_SPACE: [&str; 16] = [
    "write",
    "pwrite64",
    "open",
    "openat",
    "openat2",
    "rename",
    "renameat",
    "mkdir",
    "mkdirat",
    "symlink",
    "symlinkat",
    "link",
    "linkat",
    "fsync",
    "fdatasync",
    "syncfs",
];

/// Runs `install ARGUMENTS` with every `fault` of every call on the node's own files that may have it.
fn everywhere(trial: &Trial<'_>, arguments: &[&str], to: &str, fault: Fault, salt: usize) -> Count {
    let root = trial.node.root.display().to_string();
    let full = matches!(fault, Fault::Error("ENOSPC") | Fault::ErrorsFromThen("ENOSPC"));
    let mut sites = trial.sites(arguments);
    sites.retain(|site| site.file.as_ref().is_some_and(|file| file.starts_with(&root)));
    sites.retain(|site| !full || TAKES_SPACE.contains(&site.call.as_str()));
    let mut count = Count::default();
    for site in sample(sites, salt, &mut count) {
        let (gate, before) = trial.begin();
        let run = Run::of(&mut with_fault(&trial.command(arguments), &site, fault));
        let at = format!("{arguments:?} with {fault:?} at {site}");
        count.add(if run.status == 0 { End::Done } else { End::Killed });
        explained(&run, fault, &site, &at);
        if run.status == 0 {
            assert_eq!(trial.node.current().as_deref(), Some(to), "{at}: {run}");
        }
        trial.end(gate, &before, arguments, to, &at);
    }
    count
}

/// It failed with the right status, or for no reason that matters, and said what is the matter and
/// where that left the node.
#[track_caller]
fn explained(run: &Run, fault: Fault, site: &Site, at: &str) {
    let (why, status) = match fault {
        Fault::Error("ENOSPC") | Fault::ErrorsFromThen("ENOSPC") => ("No space left", 7),
        _ => ("Input/output error", 1),
    };
    // After the switch it goes back by itself.
    assert!([0, 5, status].contains(&run.status), "{at}: {run}");
    assert!(!run.stderr.contains("panicked"), "{at}: {run}");
    let speechless = matches!(fault, Fault::ErrorsFromThen(_)) && site.call == "write";
    if run.status != 0 && !speechless {
        let left = ["nothing was", "switched back", "install resume"];
        assert!(run.stderr.contains(why), "{at}: {run}");
        assert!(left.iter().any(|words| run.stderr.contains(words)), "{at}: {run}");
    }
}

#[expect(clippy::print_stdout, reason = "figures, for whoever runs the test")]
fn upgrade(gate: bool, faults: &[Fault], arguments: &[&str], salt: usize) {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(gate.then(free_address));
    let _ = node.install(["1.0.0"]).ok();
    let trial = Trial::new(&node);
    for (salt, fault) in (salt..).zip(faults) {
        let count = everywhere(&trial, arguments, "1.1.0", *fault, salt);
        println!("{arguments:?}, {fault:?}: {} of {} failed", count.killed, count.places);
        assert!(count.killed > count.missed, "{count:?}");
    }
}

const FAULTS: [Fault; 4] = [
    Fault::Error("ENOSPC"),
    Fault::ErrorsFromThen("ENOSPC"),
    Fault::Error("EIO"),
    Fault::ErrorsFromThen("EIO"),
];

#[test]
fn files_only() {
    upgrade(false, &FAULTS, &["1.1.0"], 0);
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn hold() {
    upgrade(true, &FAULTS, &["1.1.0", "--swap", "hold"], 4);
}
