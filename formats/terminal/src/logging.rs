//! Log lines of the long-running programs.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How much a long-running program says when nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// What happens and why.
    Normal,
    /// Only what needs attention.
    Quiet,
}

/// Sends log lines to stderr; `CUTOVER_LOG` (e.g. `debug`) overrides `verbosity`.
pub fn log_to_stderr(verbosity: Verbosity) {
    let default = match verbosity {
        Verbosity::Normal => "info",
        Verbosity::Quiet => "warn",
    };
    let filter = EnvFilter::try_from_env("CUTOVER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_target(false)
        .init();
}
