//! Passphrases that new keys are encrypted with.

use cutover_formats::secret::Secret;

/// Least characters of a passphrase for new keys. Key derivation makes each guess cost a fraction of
/// a second; what is shorter is guessed all the same.
pub const SHORTEST_PASSPHRASE: usize = 12;

/// A passphrase that is too short for new keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the passphrase has {length} characters, and new keys take at least {SHORTEST_PASSPHRASE}; no \
     key was made"
)]
pub struct WeakPassphrase {
    length: usize,
}

/// A passphrase that is long enough for new keys. Existing keys open with whatever they have.
pub struct NewPassphrase(Secret);

impl NewPassphrase {
    /// Refuses one of less than [`SHORTEST_PASSPHRASE`] characters.
    pub fn new(passphrase: Secret) -> Result<Self, WeakPassphrase> {
        let length = passphrase.reveal().chars().count();
        if length < SHORTEST_PASSPHRASE {
            return Err(WeakPassphrase { length });
        }
        Ok(Self(passphrase))
    }

    pub(super) fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        let new = |text: &str| NewPassphrase::new(Secret::new(text.to_owned()));
        assert!(new("correct hors").is_ok());
        assert!(new("äöüäöüäöüäöü").is_ok());
        assert_eq!(new("äöüäöüäöüäö").err(), Some(WeakPassphrase { length: 11 }));
        assert_eq!(new("").err(), Some(WeakPassphrase { length: 0 }));
    }
}
