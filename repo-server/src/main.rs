//! `repo-server`: parse, serve, report.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use cutover_repo_server::args::Args;
use cutover_repo_server::serve;
use cutover_repository::private;
use cutover_terminal::{OutputArgs, documents, log_to_stderr, run};

fn main() -> ExitCode {
    private::forbid_dumps();
    let args = Args::parse();
    run(&OutputArgs::default().output(), |_| match &args.write_documents {
        Some(folder) => documents(Args::command(), "cutover-repo-server", folder),
        None => {
            log_to_stderr(args.verbosity());
            serve::run(&args)
        }
    })
}
