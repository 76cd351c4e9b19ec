//! Where passphrases come from: `CUTOVER_PASSPHRASE`, else the terminal.

use cutover_formats::exit::Exit;
use cutover_formats::secret::Secret;
use cutover_publish::keyring::{AskPassphrase, NewPassphrase};
use cutover_terminal::Failure;

/// The variable that stands in for typing.
const VARIABLE: &str = "CUTOVER_PASSPHRASE";

fn given() -> Option<Secret> {
    std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(Secret::new)
}

fn prompt(words: &str) -> Result<Secret, String> {
    rpassword::prompt_password(words).map(Secret::new).map_err(|error| {
        format!("{VARIABLE} is not set and the terminal cannot be asked ({error})")
    })
}

/// Asks for the passphrase of existing keys, when it turns out that one is needed.
pub(crate) fn asker() -> AskPassphrase {
    Box::new(|| given().map_or_else(|| prompt("passphrase of the keys: "), Ok))
}

/// A passphrase for new keys: what [`VARIABLE`] says, else what is typed twice.
pub(crate) fn choose() -> Result<NewPassphrase, Failure> {
    let refused = |why: String| Failure::new(Exit::Usage, why);
    let long_enough = |passphrase| {
        NewPassphrase::new(passphrase).map_err(|weak| {
            refused(weak.to_string())
                .hint("several words are easy to remember; --unencrypted makes keys without one")
        })
    };
    if let Some(passphrase) = given() {
        return long_enough(passphrase);
    }
    let first = prompt("passphrase for the new keys: ").map_err(refused)?;
    let chosen = long_enough(first.clone())?;
    if first == prompt("the same again: ").map_err(refused)? {
        Ok(chosen)
    } else {
        Err(refused("the two passphrases differ; no key was made".to_owned()))
    }
}
