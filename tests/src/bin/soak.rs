//! `soak [MINUTES]`: goes to another release every ten seconds for so long (30), under light traffic,
//! and prints what the gate and repo-server held meanwhile. Fails where anything grew or a request did.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cutover_tests::aftermath::{served, whole};
use cutover_tests::soak::{Series, disk, holds};
use cutover_tests::swaps::WAYS;
use cutover_tests::traffic::{Client, Outcome, Tally, Traffic, beside};
use cutover_tests::world::{NodeDir, World, free_address};

/// Between the beginnings of two installs.
const EVERY: Duration = Duration::from_secs(10);

/// More than a node keeps, so that every one is fetched again each time that it comes round.
const VERSIONS: [&str; 5] = ["1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0"];

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a small tool that prints")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let minutes = match &arguments[..] {
        [] => Ok(30),
        [minutes] => minutes.parse::<u64>(),
        _ => "".parse(),
    };
    let Ok(minutes) = minutes else {
        eprintln!("usage: soak [MINUTES]");
        return ExitCode::from(2);
    };
    let (series, tally, installs) = soak(Duration::from_secs(60 * minutes));
    println!("{}", Series::heading());
    series.iter().for_each(|series| println!("{}", series.row()));
    println!("{installs} installs; {}", serde_json::json!(tally));
    let grown: Vec<_> = series.iter().filter(|series| series.grows()).collect();
    grown.iter().for_each(|series| eprintln!("it grows: {}", series.name));
    if grown.is_empty() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The series, the traffic, and how many installs there were.
fn soak(length: Duration) -> (Vec<Series>, Tally, usize) {
    let world = World::new();
    let _tree = world.release_tiny(&VERSIONS);
    let (server, url) = world.serve(&[]);
    let node = world.node(Some(free_address()));
    node.takes_from(&url);
    // As little as may be.
    node.change("keep = 3", "keep = 1");
    let _ = node.install([VERSIONS[0]]).ok();
    let gate = node.start_gate();
    served(&node, "before");
    let traffic = light(node.gate.expect("it has one"));
    let ((series, installs), events) =
        beside(&traffic, || go_round(&node, [gate.0.id(), server.0.id()], length));
    served(&node, "after");
    whole(&node, "after");
    // A WebSocket ends with its service, and every service is ended here.
    let events: Vec<_> =
        events.into_iter().filter(|event| event.outcome != Outcome::Parted).collect();
    (series, Tally::of(&events), installs)
}

fn light(address: std::net::SocketAddr) -> Vec<Traffic> {
    let traffic = |client, millis| Traffic {
        address,
        client,
        connections: 1,
        pause: Duration::from_millis(millis),
    };
    vec![
        Traffic::gets(address, "/", 2, Duration::from_millis(50)),
        traffic(Client::Pipelined, 200),
        traffic(Client::ChunkedUpload, 1000),
        traffic(Client::Download, 1000),
        traffic(Client::Socket, 1000),
    ]
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn go_round(node: &NodeDir<'_>, pids: [u32; 2], length: Duration) -> (Vec<Series>, usize) {
    let mut series = Vec::new();
    for program in ["gate", "repo-server"] {
        series.push(Series::new(format!("{program}: memory, KiB"), 1024.0));
        series.push(Series::new(format!("{program}: open files"), 3.0));
        series.push(Series::new(format!("{program}: threads"), 1.0));
    }
    series.push(Series::new("the node's root: disk, KiB", 64.0));
    let began = Instant::now();
    let mut installs = 0;
    while began.elapsed() < length {
        let due = began + EVERY * u32::try_from(installs + 1).expect("few");
        let to = VERSIONS[(installs + 1) % VERSIONS.len()];
        let _ = node.install([to, "--swap", WAYS[installs % WAYS.len()]]).ok();
        installs += 1;
        while Instant::now() < due {
            let mut found: Vec<f64> = pids.iter().flat_map(|pid| holds(*pid)).collect();
            found.push(disk(&node.root));
            for (series, value) in series.iter_mut().zip(found) {
                series.add(began.elapsed(), value);
            }
            std::thread::sleep(Duration::from_secs(3).min(due - Instant::now().min(due)));
        }
        if installs % 30 == 0 {
            eprintln!("{installs} installs, {:.0} min", began.elapsed().as_secs_f64() / 60.0);
        }
    }
    (series, installs)
}
