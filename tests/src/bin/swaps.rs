//! `swaps [N] [--minutes M]`: N swaps (100) of each kind under mixed traffic, for at most M minutes
//! a kind (30); prints a table and fails where a request did that was promised not to.

use std::process::ExitCode;
use std::time::Duration;

use cutover_tests::swaps::{Extent, Figures, WAYS, node, swap};
use cutover_tests::world::World;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a small tool that prints")]
fn main() -> ExitCode {
    let Some(extent) = extent(&std::env::args().skip(1).collect::<Vec<_>>()) else {
        eprintln!("usage: swaps [N] [--minutes M]");
        return ExitCode::from(2);
    };
    let world = World::new();
    let (node, _gate) = node(&world);
    let mut broken = Vec::new();
    println!("{}", Figures::heading());
    for way in WAYS {
        let figures = swap(&node, way, extent);
        println!("{}", figures.row());
        broken.extend(figures.broken_promise());
    }
    println!(
        "times in ms, of plain GETs; dark: seconds a swap; parted: WebSockets of a service that ended"
    );
    broken.iter().for_each(|promise| eprintln!("broken promise: {promise}"));
    if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn extent(arguments: &[String]) -> Option<Extent> {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let mut extent = Extent { swaps: 100, within: minutes(30) };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--minutes" => extent.within = minutes(rest.next()?.parse().ok()?),
            swaps => extent.swaps = swaps.parse().ok()?,
        }
    }
    Some(extent)
}
