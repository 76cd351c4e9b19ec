//! Changing over: the symlink and the gate, forward and back.

use cutover_formats::version::Version;

use crate::disk::{self, DiskError};
use crate::gate::{ControlError, Running, Session, SwapFigures};
use crate::root::Root;

/// Makes `current` name `version`, or nothing, durably: the one commit point of an install.
pub fn point_current(root: &Root, version: Option<&Version>) -> Result<(), DiskError> {
    match version {
        Some(version) => {
            let target = std::path::Path::new("releases").join(version.to_string());
            disk::write_link(&root.current(), &target)
        }
        None => {
            disk::remove_file(&root.current())?;
            disk::sync_folder(root.path())
        }
    }
}

/// What a gate is to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The release.
    pub version: Version,
    /// The rendering of its configuration that its process must have found when it started; any
    /// where there is none.
    pub config: Option<u64>,
}

impl Served {
    /// Whether that is what runs, healthy or about to be.
    pub(crate) fn is(&self, running: &Running) -> bool {
        let configured = self.config.is_none() || running.config == self.config;
        running.version == self.version && configured
    }
}

/// Sees that the gate serves that and nothing else, whatever it did before.
pub(crate) fn ensure_served(session: &mut Session, served: &Served) -> Result<(), ControlError> {
    let version = &served.version;
    let status = session.status()?;
    if status.running.is_some_and(|running| running.healthy && served.is(&running)) {
        if status.newcomer.is_some() {
            session.abandon()?;
        }
    } else {
        session.start(version)?;
        session.wait_healthy()?;
        session.promote()?;
    }
    session.open()?;
    if session.status()?.retiring.is_some() {
        session.retire()?;
    }
    Ok(())
}

/// Brings the gate back to what it served, or to serving nothing, after a crash or a failed swap, and
/// gives the lease back.
pub fn return_to(
    mut session: Session,
    served: Option<&Served>,
) -> Result<SwapFigures, ControlError> {
    match served {
        Some(served) => ensure_served(&mut session, served)?,
        None => session.abandon()?,
    }
    session.finish()
}
