//! Programs that ours start.

use std::ffi::OsStr;
use std::process::Command;

/// The variables that hold secrets of the programs themselves: what signs and what publishes.
pub const SECRETS: [&str; 2] = ["CUTOVER_PASSPHRASE", "CUTOVER_TOKEN"];

/// A program that inherits the environment without the passphrase and the token that stand in it.
///
/// Every program that is started begins here, whoever it belongs to: none needs them.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    SECRETS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_handed_on() {
        let command = command("true");
        let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).collect();
        assert_eq!(removed.len(), SECRETS.len());
    }
}
