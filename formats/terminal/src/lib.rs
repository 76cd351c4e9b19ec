//! How the Cutover programs speak to people and to scripts.
//!
//! Results go to stdout, as text or with `--json` as exactly one JSON object; everything else
//! (progress, notes, errors) goes to stderr. Errors name the thing, then hint at what to do next;
//! the exit code is one of [`Exit`]. Colours obey `NO_COLOR` and vanish where stderr is no
//! terminal.

mod documents;
mod failure;
mod foreign;
mod logging;
mod output;
mod progress;
mod run;
mod table;
mod text;

pub use cutover_formats::exit::Exit;
pub use cutover_formats::spelling::nearest;
pub use documents::documents;
pub use failure::Failure;
pub use logging::{Verbosity, log_lines_lost, log_to_stderr, panics};
pub use output::{Output, OutputArgs, Pieces};
pub use progress::Progress;
pub use run::run;
pub use table::{NONE, Table};
pub use text::{bytes, duration, quoted};
