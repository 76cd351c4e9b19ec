//! `install maintenance on|off`

use cutover_formats::exit::Explain as _;
use cutover_formats::period::Period;
use cutover_terminal::{Exit, Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use super::RootArgs;
use super::lock;
use crate::gate::Session;
use crate::maintenance;
use crate::node::Node;
use crate::pool::{self, PoolError};
use crate::situation;

/// On or off.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    turn: Turn,
}

#[derive(Debug, clap::Subcommand)]
enum Turn {
    /// Clients get 503 with Retry-After until it is turned off
    ///
    /// Where a front end serves the application (`role = "maintenance"`), it is turned to the gate as
    /// `[pool]` says.
    On(On),
    /// Clients are served again
    Off,
}

#[derive(Debug, clap::Args)]
struct On {
    /// Ends by itself after this time, e.g. 10m; for a gate that serves the application itself
    #[arg(long = "for", value_name = "TIME")]
    period: Option<Period>,
    /// What people are told
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
}

#[derive(Serialize)]
struct Turned {
    maintenance: bool,
    until: Option<Timestamp>,
    /// Where the front end sends clients, on a node where one serves the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    front_end: Option<FrontEnd>,
}

/// Where a front end sends clients by our doing.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum FrontEnd {
    /// To the gate.
    Gate,
    /// To the application.
    Application,
    /// Nobody told it: the node has no `[pool]`.
    Untold,
}

/// Tells the gate, which remembers it beyond its own end; and a front end, where one serves.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let turned = match (&args.turn, node.is_beside()) {
        (Turn::On(on), false) => close(on, &mut gate(&node)?)?,
        (Turn::Off, false) => {
            gate(&node)?.maintenance_off()?;
            Turned { maintenance: false, until: None, front_end: None }
        }
        (Turn::On(on), true) => turn_away(on, &node, output)?,
        (Turn::Off, true) => turn_back(&node, output)?,
    };
    if turned.front_end == Some(FrontEnd::Untold) {
        output.warn(match turned.maintenance {
            true => "clients do not meet it yet: node.toml has no `[pool]`, so turn the front end to the gate",
            false => "node.toml has no `[pool]`, so turn the front end back to the application",
        });
    }
    output.result(&turned, || match (turned.maintenance, turned.until) {
        (true, Some(until)) => format!("maintenance is on until {until:.0}"),
        (true, None) => "maintenance is on until `install maintenance off`".to_owned(),
        (false, _) => "maintenance is off".to_owned(),
    });
    Ok(())
}

fn gate(node: &Node) -> Result<Session, Failure> {
    situation::gate(node)?.ok_or_else(|| {
        Failure::new(Exit::NotFound, "the gate is not running, so nobody would answer")
            .hint("nothing was changed; start it with `install gate`")
    })
}

fn close(on: &On, gate: &mut Session) -> Result<Turned, Failure> {
    let until = on.period.map(|period| Timestamp::now() + period.as_duration());
    gate.maintenance_on(until, on.message.as_deref())?;
    Ok(Turned { maintenance: true, until, front_end: None })
}

/// The words first, so that they are there when the first client comes; where the front end cannot
/// be turned, the gate takes them back.
fn turn_away(on: &On, node: &Node, output: &Output) -> Result<Turned, Failure> {
    if on.period.is_some() {
        let why = "`--for` cannot be kept where a front end serves the application: the gate does \
                   not turn it back by itself";
        return Err(Failure::new(Exit::Usage, why)
            .hint("nothing was changed; leave it out, and end it with `install maintenance off`"));
    }
    let _lock = lock(node, "install maintenance on", output)?;
    let mut gate = gate(node)?;
    let pool = pool::open(node)?;
    let before = gate.status()?.maintenance;
    let turned = close(on, &mut gate)?;
    let Some(pool) = pool else {
        return Ok(Turned { front_end: Some(FrontEnd::Untold), ..turned });
    };
    match pool.depool() {
        Ok(()) => Ok(Turned { front_end: Some(FrontEnd::Gate), ..turned }),
        Err(error) if before.is_none() => {
            gate.maintenance_off()?;
            let back = pool.repool();
            let failure = Failure::from(error);
            Err(match back {
                Ok(()) => failure.hint("maintenance is off, as before"),
                Err(_) => failure.hint(
                    "maintenance is off; `install maintenance off` tells the front end again",
                ),
            })
        }
        Err(error) => Err(Failure::from(error).hint("maintenance stays on")),
    }
}

/// Also while no gate runs: clients are better off with the application then.
fn turn_back(node: &Node, output: &Output) -> Result<Turned, Failure> {
    let _lock = lock(node, "install maintenance off", output)?;
    let pool = pool::open(node)?;
    match situation::gate(node)? {
        Some(mut gate) => gate.maintenance_off()?,
        None => {
            maintenance::clear(&node.root)?;
            // One that came up in that moment may have read the file before.
            if let Some(mut gate) = situation::gate(node)? {
                gate.maintenance_off()?;
            }
        }
    }
    let front_end = match pool {
        None => FrontEnd::Untold,
        Some(pool) => {
            pool.repool().map_err(not_turned_back)?;
            FrontEnd::Application
        }
    };
    Ok(Turned { maintenance: false, until: None, front_end: Some(front_end) })
}

/// No journal is left for `install resume`, of which some of these errors speak.
fn not_turned_back(error: PoolError) -> Failure {
    let failure = match &error {
        PoolError::NotUp { .. } => Failure::new(error.exit(), error.to_string()),
        _ => Failure::from(error),
    };
    failure.hint("maintenance is off; `install maintenance off` tells the front end again")
}
