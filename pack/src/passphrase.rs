//! Where passphrases come from: `CUTOVER_PASSPHRASE`, else the terminal.

use cutover_publish::keyring::AskPassphrase;
use cutover_repository::secret::Secret;

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

/// Asks for a passphrase for new keys, twice.
pub(crate) fn choose() -> Result<Secret, String> {
    if let Some(passphrase) = given() {
        return Ok(passphrase);
    }
    let first = prompt("passphrase for the new keys: ")?;
    if first.reveal().is_empty() {
        return Err("an empty passphrase protects nothing; --unencrypted says so openly".to_owned());
    }
    if first == prompt("the same again: ")? {
        Ok(first)
    } else {
        Err("the two passphrases differ; no key was made".to_owned())
    }
}
