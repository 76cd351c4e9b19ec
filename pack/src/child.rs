//! Programs that `pack` starts.

use std::ffi::OsStr;
use std::process::Command;

/// What signs and publishes is nobody else's business.
const SECRETS: [&str; 2] = ["CUTOVER_PASSPHRASE", "CUTOVER_TOKEN"];

/// A program that inherits the environment, without the secrets that `pack` finds there.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    SECRETS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}
