//! Ctrl-C, at each side of the commit point.

use std::time::{Duration, Instant};

use cutover_tests::world::{Running, World, wait_until};

use crate::common::Scene;

/// A stage that says that it began, and takes its time.
fn slow(place: &str, seconds: u64) -> String {
    format!(
        "[stage.slow]\n{place}\nrun = \"echo begun >> {{root}}/shared/log; sleep {seconds}\"\n\
         undo = \"echo undone >> {{root}}/shared/log\"\n"
    )
}

/// A stage that says that it began, and lasts until the test lets it end.
fn waiting(place: &str) -> String {
    let wait = "while ! test -e {root}/shared/go; do sleep 0.02; done";
    format!("[stage.slow]\n{place}\nrun = \"echo begun >> {{root}}/shared/log; {wait}\"\n")
}

/// An install that is in its slow stage.
fn begun(scene: &Scene<'_>) -> Running {
    let install = scene.node.begin(["1.1.0"]);
    wait_until("the stage", || scene.log() == ["begun"]);
    install
}

#[test]
fn before_the_switch_it_goes_back_at_once() {
    let world = World::new();
    let scene = Scene::new(&world, &slow("after = 'unpack'", 300), "");
    for signal in ["INT", "TERM"] {
        let install = begun(&scene);
        install.signal(signal);
        install.ended().refused(1, &["going back", "slow: interrupted", "1.0.0 as before"]);
        assert_eq!(scene.log(), ["begun", "undone"]);
        std::fs::remove_file(scene.node.root.join("shared/log")).unwrap();
        scene.is_as_before();
    }
}

/// Neither what is between two tries of a stage nor a check that is made again and again is waited for.
#[test]
fn between_two_tries_it_goes_back_at_once() {
    let stage = "[stage.slow]\nafter = 'unpack'\nrun = 'echo begun >> {root}/shared/log; false'\n";
    let check = "[[check]]\nstage = 'unpack'\ncommand = 'echo begun >> {root}/shared/log; false'\n";
    for (what, words) in [(stage, "slow: interrupted"), (check, "unpack: interrupted")] {
        let world = World::new();
        let scene = Scene::new(&world, &format!("{what}retries = 9\npause = '5m'\n"), "");
        let install = begun(&scene);
        // It is waited for in the pause.
        std::thread::sleep(Duration::from_millis(500));
        let asked = Instant::now();
        install.signal("INT");
        install.ended().refused(1, &["going back", words, "1.0.0 as before"]);
        assert!(asked.elapsed() < Duration::from_secs(60), "{what}");
        scene.is_as_before();
    }
}

#[test]
fn the_release_is_not_to_blame() {
    let world = World::new();
    let scene = Scene::new(&world, &slow("after = 'health'", 300), "");
    let install = begun(&scene);
    install.signal("INT");
    install.ended().refused(1, &["slow: interrupted"]);
    scene.is_as_before();
    let plan = scene.node.install(["plan", "stable"]).ok();
    assert!(plan.stdout.contains("1.1.0"), "{plan}");
}

#[test]
fn after_the_switch_it_comes_to_its_end() {
    let world = World::new();
    let scene = Scene::new(&world, &waiting("after = 'switch'"), "");
    let mut install = begun(&scene);
    let status = scene.node.status();
    assert_eq!(status["changing"]["pid"], install.0.id(), "{status}");
    assert_eq!(status["unfinished"]["stage"], "slow", "{status}");
    let said = scene.node.install(["status"]).ok();
    assert!(
        said.stdout.contains("under way   install of 1.1.0, at slow: `install 1.1.0`"),
        "{said}"
    );
    let errors = install.0.stderr.take().expect("it is piped");
    install.signal("INT");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(errors));
    assert!(lines.any(|line| line.unwrap().contains("comes to its end")));
    std::fs::write(scene.node.root.join("shared/go"), "").unwrap();
    assert_eq!(install.wait(), Some(0), "{:?}", lines.collect::<Vec<_>>());
    assert_eq!(scene.node.current().as_deref(), Some("1.1.0"));
    assert_eq!(scene.served(), "1.1.0");
}

#[test]
fn the_second_ends_the_program() {
    let world = World::new();
    let scene = Scene::new(&world, &slow("after = 'switch'", 300), "");
    let mut install = begun(&scene);
    let errors = install.0.stderr.take().expect("it is piped");
    install.signal("INT");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(errors));
    assert!(lines.any(|line| line.unwrap().contains("once more")));
    install.signal("INT");
    assert_eq!(install.0.wait().unwrap().code(), Some(130));
    let status = scene.node.status();
    assert_eq!(status["changing"], serde_json::Value::Null, "{status}");
    assert_eq!(status["unfinished"]["stage"], "slow", "{status}");
    let said = scene.node.install(["status"]).ok();
    assert!(said.stdout.contains("at slow: `install resume` ends it"), "{said}");
}
