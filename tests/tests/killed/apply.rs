//! `install apply`: the service runs with the old configuration or the new, and reads what is there.

use cutover_tests::trial::{Count, Trial, kill_at, sample};
use cutover_tests::world::{NodeDir, World, free_address, get, wait_until};

const OLD: &str = "word = first";
const NEW: &str = "word = second";

/// What the release's prefix shows.
fn standing(node: &NodeDir<'_>) -> String {
    std::fs::read_to_string(node.root.join("current/etc/a.ini")).expect("it is rendered")
}

/// Its service has read what stands there: no other process runs for long.
#[track_caller]
fn served(node: &NodeDir<'_>, at: &str) {
    let Some(gate) = node.gate else { return };
    let text = standing(node);
    wait_until(&format!("{at}: {text} is served"), || {
        get(gate, "/config").is_some_and(|(status, body)| status == 200 && body == text)
    });
}

/// Kills it wherever it can be killed; what `install resume` makes of it is old or new, and the next
/// `install apply` leads to the new.
fn everywhere(node: &NodeDir<'_>, arguments: &[&str], salt: usize) -> Count {
    let trial = Trial::new(node);
    let mut count = Count::default();
    for site in sample(trial.sites(arguments), salt, &mut count) {
        let (gate, before) = trial.begin();
        assert_eq!(standing(node), OLD);
        count.add(kill_at(&trial.command(arguments), &site));
        let at = format!("{arguments:?} killed before {site}");
        let run = node.install(["resume"]);
        assert_eq!(run.status, 0, "{at}: resume: {run}");
        let text = standing(node);
        assert!(text == OLD || text == NEW, "{at}: {text}");
        served(node, &at);
        let renderings = std::fs::read_dir(node.root.join("config/1.0.0")).expect("it is there");
        assert_eq!(renderings.count(), 2, "{at}: a rendering and the link to it");
        trial.end(gate, &before, arguments, "1.0.0", &at);
        assert_eq!(standing(node), NEW, "{at}");
    }
    count
}

fn node<'w>(world: &'w World, gate: Option<std::net::SocketAddr>) -> NodeDir<'w> {
    let tree = world.tree("tiny");
    tree.configured();
    tree.tag("1.0.0");
    let _ = world.pack(["release", "--source", "tree"]).ok();
    let node = world.node(gate);
    let _ = node.install(["1.0.0"]).ok();
    node.give("word = 'second'");
    node
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn files_only() {
    let world = World::new();
    everywhere(&node(&world, None), &["apply"], 13).report("apply, files");
}

#[test]
#[ignore = "one of its kind is enough; tests/sweeps runs it"]
fn blue_green() {
    let world = World::new();
    let node = node(&world, Some(free_address()));
    everywhere(&node, &["apply"], 14).report("apply, blue-green");
}

#[test]
fn hold() {
    let world = World::new();
    let node = node(&world, Some(free_address()));
    everywhere(&node, &["apply", "--swap", "hold"], 15).report("apply, hold");
}
