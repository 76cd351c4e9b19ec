//! The installer, on a node without a gate. The last test shows that the others can fail: with the
//! syncs left out they do.

use cutover_tests::aftermath::settle;
use cutover_tests::image::{Cut, Image, Kind};
use cutover_tests::strace::{Site, without};
use cutover_tests::trial::{Count, Trial, kill_at, sample, stride};
use cutover_tests::world::{NodeDir, Run, World};

use crate::{CUTS, MEGABYTES, empty_files, with_contents};

/// A node on a disk whose power can be cut.
fn node<'a>(world: &'a World, image: &Image) -> NodeDir<'a> {
    let node = world.unmade_node(image.path().join("node"), None);
    let _ = Run::of(&mut node.init()).ok();
    node
}

/// The steps of the journal, and every so many of the other calls.
fn moments(trial: &Trial<'_>, arguments: &[&str], salt: usize, count: &mut Count) -> Vec<Site> {
    let journal =
        |site: &Site| site.file.as_ref().is_some_and(|file| file.ends_with("state/journal"));
    let (steps, others): (Vec<_>, Vec<_>) =
        trial.sites(arguments).into_iter().partition(|site| journal(site));
    let others = sample(others, salt, count);
    count.places += steps.len();
    steps.into_iter().chain(others).collect()
}

/// Cuts the power at every moment of `install ARGUMENTS`, and after its end.
#[expect(clippy::print_stdout, reason = "figures, for whoever runs the test")]
fn everywhere(trial: &Trial<'_>, image: &Image, arguments: &[&str], to: &str, salt: usize) {
    let mut count = Count::default();
    let moments = moments(trial, arguments, salt, &mut count);
    for (nth, cut) in CUTS.into_iter().enumerate() {
        // Every other moment each, or all of them both ways in `tests/sweeps`.
        let step = if stride() == 1 { 1 } else { CUTS.len() };
        for site in moments.iter().skip(nth % step).step_by(step) {
            let (_, before) = trial.begin();
            image.sync();
            count.add(kill_at(&trial.command(arguments), site));
            image.cut(cut);
            image.again();
            let at = format!("{arguments:?}, {cut:?} before {site}");
            with_contents(trial.node, &at);
            trial.end(None, &before, arguments, to, &at);
        }
        let (_, before) = trial.begin();
        image.sync();
        let _ = trial.node.install(arguments.iter().copied()).ok();
        image.cut(cut);
        image.again();
        let at = format!("{arguments:?}, {cut:?} after its end");
        with_contents(trial.node, &at);
        assert_eq!(trial.node.current().as_deref(), Some(to), "{at}");
        settle(trial.node, &before, to, &at);
    }
    println!(
        "{arguments:?}: power cut {} times at {} of {} system calls",
        count.killed,
        moments.len(),
        count.places
    );
    assert!(count.killed * 10 > count.missed * 9, "{count:?}");
}

#[test]
fn at_every_step() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let image = Image::new(&world.path(""), Kind::Xfs, MEGABYTES);
    let node = node(&world, &image);
    everywhere(&Trial::new(&node), &image, &["1.0.0"], "1.0.0", 0);
    let _ = node.install(["1.0.0"]).ok();
    everywhere(&Trial::new(&node), &image, &["1.1.0"], "1.1.0", 1);
    let _ = node.install(["1.1.0"]).ok();
    let back = ["rollback", "--to", "1.0.0"];
    everywhere(&Trial::new(&node), &image, &back, "1.0.0", 2);
}

/// The same without any sync: what the tests above look for is then there.
#[test]
fn without_syncs_it_is_lost() {
    let world = World::new();
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let image = Image::new(&world.path(""), Kind::Xfs, MEGABYTES);
    let node = node(&world, &image);
    let _ = node.install(["1.0.0"]).ok();
    let trial = Trial::new(&node);
    let end = |cut: Cut| {
        let (_, _) = trial.begin();
        image.sync();
        let syncs = ["fsync", "fdatasync", "syncfs"];
        let _ = Run::of(&mut without(&trial.command(&["1.1.0"]), &syncs)).ok();
        image.cut(cut);
        image.again();
    };
    end(Cut::NothingFlushed);
    assert_eq!(node.current().as_deref(), Some("1.0.0"), "an install that was told of is gone");
    end(Cut::LogFlushed);
    let empty = empty_files(&node.root);
    assert!(!empty.is_empty(), "names without contents");
    println!("without syncs: the install is gone; or without contents: {empty:?}");
    assert_ne!(node.install(["verify", "--all"]).status, 0, "and `verify` sees it");
}
