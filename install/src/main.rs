//! `install`: for operators. Signed releases onto a node, switched over without harm.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cutover_install::cli::{Command, Install};
use cutover_install::commands::{
    apply, config, explain, fetch, gate, init, install, list, log, logs, maintenance, prune,
    rehearse, resume, rollback, status, verify,
};

fn main() -> ExitCode {
    cutover_install::umask::settle();
    if let Some(ended) = cutover_install::gate::errand() {
        return ended;
    }
    let Install { command, install: args, root, output } = Install::parse();
    cutover_terminal::run(&output.output(), |output| match command {
        None => install::run(&args, &root, output),
        Some(Command::Init(args)) => init::run(&args, &root, output),
        Some(Command::Fetch(args)) => fetch::run(&args, &root, output),
        Some(Command::Plan(args)) => install::plan(&args, &root, output),
        Some(Command::Rehearse(args)) => rehearse::run(&args, &root, output),
        Some(Command::Status) => status::run(&root, output),
        Some(Command::List) => list::run(&root, output),
        Some(Command::Log(args)) => log::run(&args, &root, output),
        Some(Command::Logs(args)) => logs::run(&args, &root, output),
        Some(Command::Explain(args)) => explain::run(&args, &root, output),
        Some(Command::Verify(args)) => verify::run(&args, &root, output),
        Some(Command::Config(command)) => config::run(&command, &root, output),
        Some(Command::Apply(args)) => apply::run(&args, &root, output),
        Some(Command::Rollback(args)) => rollback::run(&args, &root, output),
        Some(Command::Prune(args)) => prune::run(&args, &root, output),
        Some(Command::Resume(args)) => resume::run(&args, &root, output),
        Some(Command::Gate(args)) => gate::run(&args, &root),
        Some(Command::Maintenance(args)) => maintenance::run(&args, &root, output),
        Some(Command::Documents { folder }) => {
            cutover_terminal::documents(Install::command(), "cutover-install", &folder)
        }
    })
}
