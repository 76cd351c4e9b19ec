//! `install rehearse …`

use cutover_formats::descriptor::Swap;
use cutover_formats::version::Wanted;
use cutover_terminal::{Failure, Output, Table, bytes};

use super::RootArgs;
use super::install::swap;
use crate::installer::Installer;
use crate::rehearse::{Dark, Rehearsal, StopFrom};

/// What to rehearse.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A version (1.1.0), a requirement (^1.0) or a channel (stable) [default: the channel in
    /// node.toml]
    #[arg(value_name = "VERSION|REQUIREMENT|CHANNEL")]
    wanted: Option<Wanted>,
    /// As if it were changed over this way, whatever the release says: blue-green, hold or backoff
    #[arg(long, value_name = "HOW", value_parser = swap)]
    swap: Option<Swap>,
}

/// Rehearses.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    super::heed_signals(output)?;
    let installer = Installer::of(root.node()?);
    let rehearsal = installer.rehearse(args.wanted.as_ref(), args.swap, output)?;
    output.result(&rehearsal, || show(&rehearsal));
    Ok(())
}

fn show(rehearsal: &Rehearsal) -> String {
    let Rehearsal { product, version, disk, .. } = rehearsal;
    let mut text = format!("{product} {version}, rehearsed: the node is as it was\n\n");
    let mut table = Table::new(["stage", "seconds", "what"]);
    for time in &rehearsal.stages {
        table.row([time.stage.to_string(), format!("{:.2}", time.seconds), time.what.clone()]);
    }
    text.push_str(&format!("{table}\n"));
    if let Some(service) = &rehearsal.service {
        let memory = service.memory.map_or_else(String::new, |it| format!(" with {}", bytes(it)));
        let (ready, ended) = (service.ready, service.ended);
        text.push_str(&format!(
            "service: ready after {ready:.2} s{memory}, ended in {ended:.2} s\n"
        ));
    }
    text.push_str(&dark(rehearsal.dark.as_ref()));
    text.push_str(&format!(
        "disk: {} (files {}, environment {}); {} free\n",
        bytes(disk.stays()),
        bytes(disk.files),
        bytes(disk.environment),
        bytes(disk.free)
    ));
    for check in &rehearsal.checks {
        text.push_str(&format!("check at {}: {}\n", check.stage, check.what));
    }
    for left in &rehearsal.left_out {
        let what = left.what.replace('\n', " ");
        text.push_str(&format!("not rehearsed: {}: {what} ({})\n", left.stage, left.why));
    }
    text
}

fn dark(dark: Option<&Dark>) -> String {
    let Some(Dark { blue_green, hold, stop, usual, .. }) = dark else {
        return "dark: not known; no gate runs here, or no service was started\n".to_owned();
    };
    let stopping = match stop.from {
        StopFrom::NothingRuns => "nothing runs that would be stopped".to_owned(),
        StopFrom::Receipts => {
            format!("{:.2} s of it for stopping what runs, as its receipts say", stop.seconds)
        }
        StopFrom::DrainLimit => {
            format!("{:.2} s of it for stopping what runs, at most", stop.seconds)
        }
    };
    let usual = usual.map_or_else(String::new, |usual| format!("; usually {usual} s here"));
    format!("dark: blue-green {blue_green:.2} s, hold or backoff {hold:.2} s ({stopping}){usual}\n")
}
