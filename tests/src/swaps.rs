//! One swap after the other, there and back, under traffic of every kind, and what that cost.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::aftermath::served;
use crate::traffic::{Event, Outcome, Tally, Traffic, beside, percentile};
use crate::world::{NodeDir, Running, World, free_address};

/// Traffic without a swap, before the first, between two, and after the last.
const CALM: Duration = Duration::from_millis(700);

/// A service whose requests take a second or so is given this long to end them.
const DRAIN: &str = "3s";

/// A way to change over.
pub const WAYS: [&str; 3] = ["blue-green", "hold", "backoff"];

/// A node with two releases of the tiny application on it, and its gate, serving 1.0.0.
///
/// # Panics
/// Where that cannot be had.
#[must_use]
pub fn node(world: &World) -> (NodeDir<'_>, Running) {
    let tree = world.tree("tiny");
    tree.replace("release.toml", "drain = \"5s\"", &format!("drain = \"{DRAIN}\""));
    for version in ["1.0.0", "1.1.0"] {
        tree.tag(version);
        let _ = world.pack(["release", "--source", "tree", "--channel", "stable"]).ok();
    }
    let node = world.node(Some(free_address()));
    for version in ["1.1.0", "1.0.0"] {
        let _ = node.install([version]).ok();
    }
    let gate = node.start_gate();
    served(&node, "before");
    (node, gate)
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// So many swaps,
    pub swaps: usize,
    /// or as many as begin in this time.
    pub within: Duration,
}

/// What swaps of one kind came to.
#[derive(Clone, Debug)]
pub struct Figures {
    /// How they changed over.
    pub way: &'static str,
    /// How many there were.
    pub swaps: usize,
    /// All that was asked.
    pub tally: Tally,
    /// Requests that waited, by the receipts.
    pub held: u64,
    /// Seconds dark, summed up, by the receipts.
    pub dark: f64,
    /// Times of short requests that met no swap.
    pub outside: Vec<Duration>,
    /// Times of short requests that met one.
    pub inside: Vec<Duration>,
}

/// Swaps the node's two releases under mixed traffic.
///
/// # Panics
/// Where an install fails, or the node is not in order afterwards.
#[must_use]
pub fn swap(node: &NodeDir<'_>, way: &'static str, extent: Extent) -> Figures {
    let address = node.gate.expect("the node has a gate");
    let (swaps, events) = beside(&Traffic::mixed(address), || swap_on(node, way, extent));
    served(node, way);
    figures(way, events, &swaps)
}

struct Swap {
    began: Instant,
    ended: Instant,
    receipt: Value,
}

fn swap_on(node: &NodeDir<'_>, way: &str, extent: Extent) -> Vec<Swap> {
    let started = Instant::now();
    let mut swaps = Vec::new();
    std::thread::sleep(CALM);
    while swaps.len() < extent.swaps && started.elapsed() < extent.within {
        let to = if node.current().as_deref() == Some("1.0.0") { "1.1.0" } else { "1.0.0" };
        let began = Instant::now();
        let receipt = node.install([to, "--swap", way, "--json"]).ok().json();
        swaps.push(Swap { began, ended: Instant::now(), receipt });
        std::thread::sleep(CALM);
    }
    swaps
}

fn figures(way: &'static str, mut events: Vec<Event>, swaps: &[Swap]) -> Figures {
    let meets = |event: &Event| {
        let ended = event.began + event.took;
        swaps.iter().any(|swap| event.began <= swap.ended && ended >= swap.began)
    };
    for event in &mut events {
        if event.outcome == Outcome::Parted && !meets(event) {
            event.outcome = Outcome::Failed("parted though nothing was swapped".to_owned());
        }
    }
    let short = events.iter().filter(|event| event.client == "get");
    let answered = short.filter(|event| matches!(event.outcome, Outcome::Served { .. }));
    let (inside, outside): (Vec<&Event>, Vec<&Event>) = answered.partition(|event| meets(event));
    let times = |events: Vec<&Event>| events.into_iter().map(|event| event.took).collect();
    let gate = |swap: &Swap, name: &str| swap.receipt["gate"][name].clone();
    Figures {
        way,
        swaps: swaps.len(),
        tally: Tally::of(&events),
        held: swaps.iter().filter_map(|swap| gate(swap, "held").as_u64()).sum(),
        dark: swaps.iter().filter_map(|swap| gate(swap, "dark").as_f64()).sum(),
        outside: times(outside),
        inside: times(inside),
    }
}

impl Figures {
    /// What was promised and not kept, if anything.
    #[must_use]
    pub fn broken_promise(&self) -> Option<String> {
        let Tally { failed, refused, failures, .. } = &self.tally;
        match self.way {
            _ if *failed > 0 => Some(format!("{}: {failed} failed: {failures:?}", self.way)),
            "backoff" => None,
            way if *refused > 0 => Some(format!("{way}: {refused} were refused")),
            _ => None,
        }
    }

    /// The heading over [`Figures::row`].
    #[must_use]
    pub fn heading() -> String {
        format!(
            "{:<11}{:>6}{:>10}{:>8}{:>8}{:>9}{:>8}{:>12}{:>12}{:>12}{:>12}{:>12}{:>9}",
            "way",
            "swaps",
            "requests",
            "failed",
            "held",
            "refused",
            "parted",
            "p50 outside",
            "p99 outside",
            "p50 inside",
            "p99 inside",
            "longest",
            "dark"
        )
    }

    /// The figures in a line; times in milliseconds, the dark time in seconds a swap.
    #[must_use]
    pub fn row(&self) -> String {
        let ms = |time: Option<Duration>| {
            time.map_or_else(|| "-".to_owned(), |time| format!("{:.1}", time.as_secs_f64() * 1e3))
        };
        let at = |times: &[Duration], hundredths| ms(percentile(times.to_vec(), hundredths));
        let longest = ms(self.inside.iter().chain(&self.outside).max().copied());
        let dark = self.dark / self.swaps.max(1) as f64;
        let Tally { requests, failed, refused, parted, .. } = &self.tally;
        format!(
            "{:<11}{:>6}{requests:>10}{failed:>8}{:>8}{refused:>9}{parted:>8}{:>12}{:>12}{:>12}{:>12}{longest:>12}{dark:>9.3}",
            self.way,
            self.swaps,
            self.held,
            at(&self.outside, 50),
            at(&self.outside, 99),
            at(&self.inside, 50),
            at(&self.inside, 99),
        )
    }
}
