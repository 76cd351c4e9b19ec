//! HAProxy, by its runtime sockets.
//!
//! Every HAProxy is told, every answer is read: a command that HAProxy does not understand or does
//! not like is answered in text. Whether a server is drained is what `show servers state` says, and
//! not what it was told; it forgets when it reloads, unless it loads a `server-state-file`.

mod socket;
mod tables;

use std::time::{Duration, Instant};

use cutover_formats::node_toml::{BackendServer, HaproxyPool, Lingering, Then};

use super::{Driver, Places, PoolError};
use socket::Runtime;
use tables::{Admin, Traffic};

/// Between two looks at what changes by itself.
const PAUSE: Duration = Duration::from_millis(100);

/// A node behind one or more HAProxy.
#[derive(Debug)]
pub(super) struct Haproxy {
    settings: HaproxyPool,
    runtimes: Vec<Runtime>,
}

/// One server in one HAProxy.
#[derive(Clone, Copy)]
struct Place<'a> {
    runtime: &'a Runtime,
    server: &'a BackendServer,
}

impl Haproxy {
    pub(super) fn new(settings: HaproxyPool) -> Self {
        let runtimes = settings.sockets.iter().cloned().map(Runtime::new).collect();
        Self { settings, runtimes }
    }

    fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let servers = self.settings.servers.iter();
        let all = move |runtime| servers.clone().map(move |server| Place { runtime, server });
        self.runtimes.iter().flat_map(all)
    }

    /// Waits until none of the places has a request under way.
    fn wait_idle(&self) -> Result<(), PoolError> {
        let within = self.settings.drain_within.as_duration();
        let began = Instant::now();
        for place in self.places() {
            loop {
                let count = place.traffic()?.under_way;
                if count == 0 {
                    break;
                }
                if began.elapsed() >= within {
                    match self.settings.lingering {
                        Lingering::Leave => break,
                        Lingering::Refuse => {
                            let pool = place.to_string();
                            return Err(PoolError::Lingering { pool, count, within });
                        }
                    }
                }
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// One place back to how it was, if it still stands as we left it.
    fn put_back_one(&self, place: Place<'_>, was: Admin) -> Result<(), PoolError> {
        let stands = place.admin()?;
        if self.is_out(stands.name()) && stands != was {
            place.set(was)?;
        }
        if was == Admin::Ready { self.wait_up(place) } else { Ok(()) }
    }

    /// A server that is ready is not up before HAProxy's own checks say so.
    fn wait_up(&self, place: Place<'_>) -> Result<(), PoolError> {
        let within = self.settings.up_within.as_duration();
        let began = Instant::now();
        loop {
            let stands = place.traffic()?.status;
            // `DRAIN` or `MAINT` is what somebody else has wished for.
            if ["UP", "no check", "DRAIN", "MAINT"].iter().any(|word| stands.starts_with(word)) {
                return Ok(());
            }
            if began.elapsed() >= within {
                return Err(PoolError::NotUp { pool: place.to_string(), stands, within });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Driver for Haproxy {
    fn describe(&self) -> String {
        let list = |names: Vec<String>| names.join(" ");
        let servers = list(self.settings.servers.iter().map(ToString::to_string).collect());
        let sockets = list(self.settings.sockets.iter().map(ToString::to_string).collect());
        format!("{servers} at HAProxy {sockets}")
    }

    fn look(&self) -> Result<Places, PoolError> {
        self.places()
            .map(|place| Ok((place.to_string(), place.admin()?.name().to_owned())))
            .collect()
    }

    fn is_out(&self, stands: &str) -> bool {
        match self.settings.then {
            Then::Drain => stands == Admin::Drain.name(),
            // It was on its way there.
            Then::Maint => [Admin::Drain.name(), Admin::Maint.name()].contains(&stands),
        }
    }

    fn take_out(&self, was: &Places) -> Result<(), PoolError> {
        let in_pool = |place: &Place<'_>| {
            was.get(&place.to_string()).is_some_and(|was| was == Admin::Ready.name())
        };
        for place in self.places().filter(in_pool) {
            // One that is in maintenance already need not be drained.
            if place.admin()? == Admin::Ready {
                place.set(Admin::Drain)?;
            }
        }
        self.wait_idle()?;
        if self.settings.then == Then::Maint {
            self.places().filter(in_pool).try_for_each(|place| place.set(Admin::Maint))?;
        }
        Ok(())
    }

    /// All that can be put back is, whatever becomes of the others; the first error is told.
    fn put_back(&self, was: &Places) -> Result<(), PoolError> {
        let one = |place: Place<'_>| match was.get(&place.to_string()).map(String::as_str) {
            Some(was) => self.put_back_one(place, Admin::named(was)),
            None => Ok(()),
        };
        let results: Vec<Result<(), PoolError>> = self.places().map(one).collect();
        results.into_iter().collect()
    }
}

impl Place<'_> {
    fn admin(self) -> Result<Admin, PoolError> {
        let question = format!("show servers state {}", self.server.backend);
        let answer = self.runtime.ask(&question)?;
        tables::admin(&answer, self.server).ok_or_else(|| self.unknown(&answer))
    }

    fn traffic(self) -> Result<Traffic, PoolError> {
        let answer = self.runtime.ask("show stat")?;
        tables::traffic(&answer, self.server).ok_or_else(|| self.unknown(&answer))
    }

    /// Sets how it stands, and sees that it does.
    fn set(self, admin: Admin) -> Result<(), PoolError> {
        let command = format!("set server {} state {}", self.server, admin.name());
        let answer = self.runtime.ask(&command)?;
        if !answer.trim().is_empty() {
            let why = format!("`{command}`: {}", first_line(&answer));
            return Err(PoolError::Refused { pool: self.runtime.to_string(), why });
        }
        match self.admin()? {
            stands if stands == admin => Ok(()),
            stands => {
                let why = format!("`{command}` was taken, but it stands at {}", stands.name());
                Err(PoolError::Refused { pool: self.runtime.to_string(), why })
            }
        }
    }

    fn unknown(self, answer: &str) -> PoolError {
        let why =
            if answer.starts_with(['#', '1']) { "no such server" } else { first_line(answer) };
        let (pool, name) = (self.runtime.to_string(), self.server.to_string());
        PoolError::Unknown { pool, name, why: why.to_owned() }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.runtime, self.server)
    }
}

fn first_line(answer: &str) -> &str {
    answer.trim().lines().next().unwrap_or("it answered nothing").trim()
}
