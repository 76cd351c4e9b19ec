//! Whoever holds a private key and signs with it: this process, the ssh-agent, a command.

use std::path::{Path, PathBuf};

use cutover_formats::keys::Signer;
use cutover_formats::keys::pointer::Pointer;
use cutover_formats::tuf::draft::{Draft, Need};
use cutover_formats::tuf::key::Key;
use cutover_formats::tuf::metadata::Signature;

use super::agent::Agent;
use super::command::Command;
use crate::PublishError;

/// A key that can be signed with.
pub struct Holder {
    file: PathBuf,
    id: String,
    public: Key,
    place: Place,
}

enum Place {
    Here(Box<Signer>),
    Agent(Agent),
    Command(Command),
}

impl Holder {
    pub(super) fn here(file: PathBuf, signer: Signer) -> Self {
        let (id, public) = (signer.id().to_owned(), signer.public().clone());
        Self { file, id, public, place: Place::Here(Box::new(signer)) }
    }

    /// The key that a pointer leads to.
    pub(super) fn elsewhere(file: PathBuf, pointer: Pointer) -> Result<Self, PublishError> {
        let failed = |why| PublishError::KeyStore { file: file.clone(), why };
        let (public, place) = match pointer {
            Pointer::Agent { fingerprint } => {
                let agent = Agent::find(&fingerprint).map_err(failed)?;
                (agent.public().clone(), Place::Agent(agent))
            }
            Pointer::Command { program, arguments, public } => {
                (*public, Place::Command(Command { program, arguments }))
            }
        };
        Ok(Self { file, id: public.id(), public, place })
    }

    /// The id that metadata lists it under.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &Key {
        &self.public
    }

    /// The file that it is, or that points to it.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Signs. What others sign for us is checked: a wrong key would be noticed far too late.
    pub fn sign(&self, message: &[u8]) -> Result<Signature, PublishError> {
        let failed = |why| PublishError::KeyStore { file: self.file.clone(), why };
        let sig = match &self.place {
            Place::Here(signer) => return Ok(signer.sign(message)),
            Place::Agent(agent) => agent.sign(message).map_err(failed)?,
            Place::Command(command) => command.sign(message).map_err(failed)?,
        };
        let sig = cutover_formats::digest::to_hex(&sig);
        if !self.public.verifies(message, &sig) {
            return Err(failed("what came back is no signature of this key".to_owned()));
        }
        Ok(Signature { keyid: self.id.clone(), sig })
    }

    /// Signs a draft where one of `needs` asks for this key and it has not signed yet.
    pub fn sign_draft<'n>(
        &self,
        draft: &mut Draft,
        needs: impl IntoIterator<Item = &'n Need>,
    ) -> Result<Signing, PublishError> {
        let asks = |need: &Need| need.unsigned(draft).contains(&self.id);
        if !needs.into_iter().any(asks) {
            return Ok(Signing::NotAsked);
        }
        draft.add(self.sign(&draft.message())?);
        Ok(Signing::Signed)
    }
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// There is one more signature.
    Signed,
    /// The key is not one of those that are asked for, or has signed before.
    NotAsked,
}
