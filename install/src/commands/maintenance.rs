//! `install maintenance on|off`

use cutover_formats::period::Period;
use cutover_terminal::{Exit, Failure, Output};
use jiff::Timestamp;
use serde::Serialize;

use crate::cli::RootArgs;

/// On or off.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    turn: Turn,
}

#[derive(Debug, clap::Subcommand)]
enum Turn {
    /// Clients get 503 with Retry-After until it is turned off
    On {
        /// Ends by itself after this time, e.g. 10m
        #[arg(long = "for", value_name = "TIME")]
        period: Option<Period>,
        /// What people are told
        #[arg(long, value_name = "TEXT")]
        message: Option<String>,
    },
    /// Clients are served again
    Off,
}

#[derive(Serialize)]
struct Turned {
    maintenance: bool,
    until: Option<Timestamp>,
}

/// Tells the gate, which remembers it beyond its own end.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    let mut gate = node.gate()?.ok_or_else(|| {
        Failure::new(Exit::NotFound, "the gate is not running, so nobody would answer")
            .hint("nothing was changed; start it with `install gate`")
    })?;
    let turned = match &args.turn {
        Turn::On { period, message } => {
            let until = period.map(|period| Timestamp::now() + period.as_duration());
            gate.maintenance_on(until, message.as_deref())?;
            Turned { maintenance: true, until }
        }
        Turn::Off => {
            gate.maintenance_off()?;
            Turned { maintenance: false, until: None }
        }
    };
    output.result(&turned, || match (turned.maintenance, turned.until) {
        (true, Some(until)) => format!("maintenance is on until {until:.0}"),
        (true, None) => "maintenance is on until `install maintenance off`".to_owned(),
        (false, _) => "maintenance is off".to_owned(),
    });
    Ok(())
}
