//! The gate's numbers as text.

use std::collections::BTreeMap;
use std::fmt::Display;

use cutover_formats::version::Version;
use cutover_http::metrics::{Kind, Text};

use crate::meter::{Reading, STEPS};
use crate::protocol::{GateStatus, State, SwapFigures};

/// Everything that is told.
#[derive(Debug)]
pub(super) struct Numbers {
    /// How the gate is.
    pub(super) status: GateStatus,
    /// What happened so far.
    pub(super) figures: SwapFigures,
    /// Answers of each release.
    pub(super) releases: BTreeMap<Version, Reading>,
    /// Answers of the gate itself.
    pub(super) own: Reading,
    /// Requests that were sent once more.
    pub(super) resent: u64,
    /// Connections now.
    pub(super) connections: u64,
    /// Connections that there was no room for.
    pub(super) turned_away: u64,
    /// Connections whose clients take nothing now.
    pub(super) slow: u64,
    /// Connections that were ended because too much lay unread.
    pub(super) slow_ended: u64,
    /// Bytes that wait for the access log.
    pub(super) lines_waiting: u64,
    /// Lines that are missing in the access log.
    pub(super) lines_lost: u64,
    /// Lines that are missing in the gate's own log.
    pub(super) log_lines_lost: u64,
    /// Parts of the gate that panicked.
    pub(super) panics: u64,
}

/// The text.
pub(super) fn render(numbers: &Numbers) -> String {
    let mut text = Text::new("cutover_gate_");
    let Numbers { status, figures, .. } = numbers;

    text.family("state", Kind::Gauge, "Whether the gate is in this state.");
    for state in [State::Open, State::Hold, State::Backoff, State::Drain] {
        text.line("state", &[("state", &state)], u8::from(status.state == state));
    }
    text.family("release_up", Kind::Gauge, "Whether the release that runs is healthy.");
    if let Some(running) = &status.running {
        text.line("release_up", &[("version", &running.version)], u8::from(running.healthy));
    }
    for (name, help, value) in [
        ("in_flight", "Requests that services are answering.", status.in_flight),
        ("waiting", "Requests that are held.", status.waiting),
        ("connections", "Connections of clients.", numbers.connections),
        ("slow_clients", "Connections whose clients take nothing now.", numbers.slow),
        ("access_log_waiting_bytes", "Lines that wait to be written.", numbers.lines_waiting),
    ] {
        text.single(name, Kind::Gauge, help, value);
    }
    for (name, help, value) in [
        ("held_total", "Requests that waited for a swap.", status.held),
        ("refused_total", "Requests that got the backoff answer.", status.refused),
        ("resent_total", "Requests that only read, sent once more.", numbers.resent),
        ("failed_total", "Requests that a service broke off.", status.failed),
        ("connections_refused_total", "Connections without room.", numbers.turned_away),
        ("slow_clients_ended_total", "Connections with too much unread.", numbers.slow_ended),
        ("access_log_lost_total", "Lines missing in the access log.", numbers.lines_lost),
        ("log_lost_total", "Lines missing in the gate's own log.", numbers.log_lines_lost),
        ("panics_total", "Panics in the gate: faults of its own.", numbers.panics),
        ("restarts_total", "Services started again by themselves.", status.restarts),
    ] {
        text.single(name, Kind::Counter, help, value);
    }
    let help = "Time without a service that answers, maintenance left out.";
    text.single("dark_seconds_total", Kind::Counter, help, figures.dark);
    answers(&mut text, numbers);
    times(&mut text, numbers);
    text.into_string()
}

fn answers(text: &mut Text, numbers: &Numbers) {
    text.family("answers_total", Kind::Counter, "Answers; without a version, the gate's own.");
    let own = ("".to_owned(), &numbers.own);
    let releases = numbers.releases.iter().map(|(version, it)| (version.to_string(), it));
    for (version, reading) in [own].into_iter().chain(releases) {
        for (class, count) in (1..).zip(reading.classes) {
            let class = format!("{class}xx");
            text.line("answers_total", &[("version", &version), ("class", &class)], count);
        }
    }
}

fn times(text: &mut Text, numbers: &Numbers) {
    let name = "answer_seconds";
    text.family(name, Kind::Histogram, "Time from a request's head to its answer's.");
    for (version, reading) in &numbers.releases {
        let mut sum = 0;
        let bounds = STEPS.iter().map(|micros| (*micros as f64 / 1e6).to_string());
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(reading.steps) {
            sum += count;
            let labels: [(&str, &dyn Display); 2] = [("version", version), ("le", &bound)];
            text.line("answer_seconds_bucket", &labels, sum);
        }
        let took = reading.took.as_secs_f64();
        text.line("answer_seconds_sum", &[("version", version)], took);
        text.line("answer_seconds_count", &[("version", version)], sum);
    }
}
