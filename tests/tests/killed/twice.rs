//! An installer that was killed, and then what ends its work is killed too.

use cutover_tests::strace::{CHANGES, Site, sites};
use cutover_tests::world::{World, free_address};

use cutover_tests::trial::{Count, Trial, kill_at, sample};

/// Kills `install ARGUMENTS` at each of its steps, and then `install resume` everywhere.
fn everywhere(trial: &Trial<'_>, arguments: &[&str], to: &str, salt: usize) -> Count {
    let announces = |site: &Site| {
        site.call == "fdatasync"
            && site.file.as_ref().is_some_and(|file| file.ends_with("state/journal"))
    };
    let steps: Vec<Site> = trial.sites(arguments).into_iter().filter(announces).collect();
    assert!(steps.len() > 5, "{steps:?}");
    let mut pairs = Vec::new();
    for step in steps {
        let (_gate, _) = trial.begin();
        kill_at(&trial.command(arguments), &step);
        let seconds = sites(&trial.command(&["resume"]), &CHANGES);
        pairs.extend(seconds.into_iter().map(|second| (step.clone(), second)));
    }
    let mut count = Count::default();
    for (first, second) in sample(pairs, salt, &mut count) {
        let (gate, before) = trial.begin();
        kill_at(&trial.command(arguments), &first);
        count.add(kill_at(&trial.command(&["resume"]), &second));
        let at = format!("{arguments:?} killed before {first}, resume before {second}");
        trial.end(gate, &before, arguments, to, &at);
    }
    count
}

#[test]
fn files_only() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    let _ = node.install(["1.0.0"]).ok();
    everywhere(&Trial::new(&node), &["1.1.0"], "1.1.0", 0).report("upgrade and resume, files");
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn hold() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(Some(free_address()));
    let _ = node.install(["1.0.0"]).ok();
    let arguments = ["1.1.0", "--swap", "hold"];
    everywhere(&Trial::new(&node), &arguments, "1.1.0", 5).report("upgrade and resume, hold");
}
