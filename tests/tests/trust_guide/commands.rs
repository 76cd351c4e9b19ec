//! What the guide names is there.

use std::collections::BTreeSet;
use std::process::Command;

use cutover_tests::world::{Run, World, program};

use crate::keeper::{Keeper, guide};

#[test]
fn every_command_that_the_guide_names_is_there_with_its_options() {
    let guide = guide();
    let spans = guide.split('`').skip(1).step_by(2).filter(|span| !span.is_empty());
    let blocks = guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let lines = blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap_or_default());
    let mut seen = BTreeSet::new();
    for text in spans.chain(lines) {
        let words: Vec<_> = text.split_whitespace().collect();
        let Some((name @ ("pack" | "install" | "repo-server"), rest)) =
            words.split_first().map(|(first, rest)| (*first, rest))
        else {
            continue;
        };
        if name == "install" && rest.first() == Some(&"-d") {
            continue;
        }
        let of_name = |word: &&&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let mut path: Vec<_> = rest.iter().take_while(of_name).copied().collect();
        let deepest =
            if path.first().is_some_and(|word| ["keys", "repo", "channels"].contains(word)) {
                2
            } else {
                1
            };
        path.truncate(deepest);
        let help = Run::of(Command::new(program(name)).args(&path).arg("--help")).ok().stdout;
        for option in rest.iter().filter(|word| word.trim_start_matches('[').starts_with("--")) {
            let option = option.trim_start_matches('[').trim_end_matches(']');
            let known =
                help.contains(&format!("{option} ")) || help.contains(&format!("{option}\n"));
            assert!(known, "`{text}`: no {option} in\n{help}");
        }
        seen.insert(format!("{name} {}", path.join(" ")));
    }
    assert!(seen.len() > 15, "{seen:?}");
}

#[test]
fn the_machine_that_is_on() {
    let world = World::new();
    let keeper = Keeper::of(&world);
    let etc = world.path("etc").display().to_string();
    let [folder, keys, modes, start] = &keeper.block("--online-keys")[..] else { panic!() };
    for line in [folder, keys, modes] {
        let _ = keeper.does(line, &[("install -d", "/usr/bin/install -d"), ("/etc/cutover", &etc)]);
    }
    let start = start.replace("/etc/cutover", &etc);
    let (_, options) = start.split_once("repo-server --store /srv/vendor ").unwrap();
    let (mut server, url) = world.serve(&options.split(' ').collect::<Vec<_>>());
    assert!(url.starts_with("http://"));
    assert_eq!(server.end(), Some(0));
}
