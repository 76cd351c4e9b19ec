//! Checks: what must hold before or after a stage. They look, and change nothing.

mod connect;
mod http;
mod limit;
mod metric;
mod tls;

use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::period::Period;
use cutover_formats::send_headers::SendHeaders;
use cutover_formats::stage::{
    Check, DEFAULT_PAUSE, FileCheck, HttpCheck, MetricCheck, Probe, Target, When,
};

use rustix::fs::{Mode, OFlags};

use crate::disk;
use crate::gate::ControlError;
use crate::interrupt;
use crate::placeholders::fill;
use crate::plan::{Origin, Placed};
use crate::stage::{Answers, CommandError, Job, Scene};

use http::NoAnswer;
use tls::TlsError;

/// Something does not hold.
#[derive(Debug, thiserror::Error)]
#[error("the check `{probe}` {when} it ({origin}) failed{}: {why}", times(*tries))]
pub struct CheckFailed {
    probe: String,
    when: When,
    origin: Origin,
    /// Whether the release itself was asked.
    asks_release: bool,
    tries: u32,
    why: Box<Why>,
}

impl CheckFailed {
    /// Whether it tells of the release: it is one of its own checks, or asked the release itself.
    #[must_use]
    pub fn is_of_release(&self) -> bool {
        self.origin == Origin::Release || self.asks_release
    }
}

/// How often, where that is not once.
fn times(tries: u32) -> String {
    if tries == 1 { String::new() } else { format!(" {tries} times") }
}

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Tls(TlsError),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error(transparent)]
    Gate(#[from] ControlError),
}

impl Explain for CheckFailed {
    fn exit(&self) -> Exit {
        match &*self.why {
            Why::Wrong(_) | Why::Tls(_) => Exit::CheckFailed,
            Why::Command(error) => error.exit(),
            Why::Gate(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        match &*self.why {
            Why::Wrong(_) => Vec::new(),
            Why::Tls(error) => error.hints(),
            Why::Command(error) => error.hints(),
            Why::Gate(error) => error.hints(),
        }
    }
}

/// Sees that it holds, as often as it may be tried.
pub fn check(placed: &Placed, scene: &mut Scene<'_>) -> Result<(), CheckFailed> {
    let Check { when, probe, retries, pause, .. } = &placed.check;
    let mut tries = 1_u32;
    loop {
        let Err(why) = look(&placed.check, scene) else { return Ok(()) };
        if tries <= *retries {
            interrupt::pause(pause.unwrap_or(DEFAULT_PAUSE).as_duration());
            if !interrupt::asked() {
                tries = tries.saturating_add(1);
                continue;
            }
        }
        let (asks_release, origin) = (probe.asks_release(), placed.origin);
        let (probe, why) = (probe.to_string(), Box::new(why));
        return Err(CheckFailed { probe, when: *when, origin, asks_release, tries, why });
    }
}

/// Looks once.
fn look(check: &Check, scene: &mut Scene<'_>) -> Result<(), Why> {
    let limit = check.timeout.unwrap_or(Check::DEFAULT_TIMEOUT).as_duration();
    match &check.probe {
        Probe::Command(line) => {
            let log = scene.node.root.run().join(format!("check-{}.log", check.stage));
            Ok(Job { line, log: &log, limit }.run(scene)?)
        }
        Probe::Http(http) => answered(http, &get(&http.target, &http.send_headers, scene, limit)?),
        Probe::Metric(metric) => {
            measured(metric, &get(&metric.target, &metric.send_headers, scene, limit)?)
        }
        Probe::Tcp(address) => {
            let address = fill(address, &scene.values()?);
            reachable(&address, limit).map_err(Why::Wrong)
        }
        Probe::File(file) => {
            let path = fill(&file.path, &scene.values()?);
            stands(file, std::path::Path::new(&path)).map_err(Why::Wrong)
        }
    }
}

fn get(
    target: &Target,
    send: &SendHeaders,
    scene: &mut Scene<'_>,
    limit: Duration,
) -> Result<http::Answer, Why> {
    let question = http::Question { send, limit };
    let asked = match target {
        Target::Url { url, ca_file } => {
            let file = |path: &String| Ok::<_, Why>(fill(path, &scene.values()?).into());
            question.to_url(url, ca_file.as_ref().map(file).transpose()?)
        }
        Target::Path(path) => match scene.answers()? {
            Some(Answers::Tcp(address) | Answers::Gate(address)) => {
                question.to_tcp(&address.to_string(), path)
            }
            Some(Answers::Unix(socket)) => question.to_unix(&socket, path),
            None => return Err(Why::Wrong("no gate runs to ask".to_owned())),
        },
    };
    asked.map_err(|error| match error {
        NoAnswer::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            Why::Wrong(format!("no answer within {}", Period::from(limit)))
        }
        NoAnswer::Io(error) => Why::Wrong(error.to_string()),
        NoAnswer::Tls(error) => Why::Tls(error),
    })
}

fn answered(check: &HttpCheck, answer: &http::Answer) -> Result<(), Why> {
    let wrong = |why: String| Err(Why::Wrong(why));
    let status = answer.status;
    match check.expect {
        Some(expected) if status != expected => {
            return wrong(format!("it gave {status}, not {expected}"));
        }
        None if !(200..400).contains(&status) => return wrong(format!("it gave {status}")),
        _ => {}
    }
    for (name, part) in &check.headers {
        match answer.header(name) {
            Some(value) if value.contains(part) => {}
            Some(value) => return wrong(format!("header {name} is `{value}`, without `{part}`")),
            None => return wrong(format!("it has no header {name}")),
        }
    }
    match &check.contains {
        Some(part) if !answer.body.contains(part) => {
            wrong(format!("its body does not contain `{part}`"))
        }
        _ => Ok(()),
    }
}

fn measured(check: &MetricCheck, answer: &http::Answer) -> Result<(), Why> {
    if answer.status != 200 {
        return Err(Why::Wrong(format!("{} gave {}", check.target, answer.status)));
    }
    metric::measure(check, &answer.body).map_err(Why::Wrong)
}

fn reachable(address: &str, limit: Duration) -> Result<(), String> {
    match limit::within(limit, connect::connect(address)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            Err(format!("{address}: not reached within {}", Period::from(limit)))
        }
        Err(error) => Err(format!("{address}: {error}")),
    }
}

/// What `path` leads to is looked at with the rights of the one who installs, and its contents told of: so
/// no link is followed that somebody else made.
fn stands(check: &FileCheck, path: &std::path::Path) -> Result<(), String> {
    let shown = path.display();
    let failed = |error: io::Error| format!("{shown}: {error}");
    let found = disk::open_careful(path, OFlags::PATH, Mode::empty());
    let mode = found.and_then(|it| it.metadata()).map_err(failed)?.permissions().mode() & 0o7777;
    let expected = check.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    if let Some(expected) = expected.filter(|expected| *expected != mode) {
        return Err(format!("{shown} has mode {mode:04o}, not {expected:04o}"));
    }
    let Some(part) = &check.contains else { return Ok(()) };
    let found = disk::open_file_careful(path).and_then(|file| contains(file, part.as_bytes()));
    match found.map_err(failed)? {
        true => Ok(()),
        // What a file holds may be secret; what is looked for is the author's own.
        false => Err(format!("{shown} does not contain `{part}`")),
    }
}

/// Whether `part` stands somewhere in a file, which may be larger than memory is.
fn contains(mut file: impl Read, part: &[u8]) -> io::Result<bool> {
    const CHUNK: u64 = 256 << 10;
    let mut seen = Vec::new();
    loop {
        // Its beginning may have been the end of what was read before.
        seen.drain(..seen.len().saturating_sub(part.len()));
        let more = (&mut file).take(CHUNK).read_to_end(&mut seen)?;
        if part.is_empty() || seen.windows(part.len()).any(|window| window == part) {
            return Ok(true);
        }
        if more == 0 {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_found_wherever_it_stands() {
        let mut text = vec![b'x'; (256 << 10) - 3];
        text.extend(b"needle");
        text.extend(vec![b'y'; 300 << 10]);
        text.extend(b"last");
        for (part, found) in [("needle", true), ("last", true), ("", true), ("needles", false)] {
            assert_eq!(contains(&text[..], part.as_bytes()).unwrap(), found, "{part}");
        }
    }
}
