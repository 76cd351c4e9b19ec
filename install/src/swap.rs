//! Changing over: the symlink and the gate, forward and back.

use cutover_formats::version::Version;

use crate::disk::{self, DiskError};
use crate::gate::{ControlError, Session, SwapFigures};
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

/// Sees that the gate serves `version` and nothing else, whatever it did before.
pub(crate) fn ensure_served(session: &mut Session, version: &Version) -> Result<(), ControlError> {
    let status = session.status()?;
    let serves = |running: crate::gate::Running| running.healthy && running.version == *version;
    if status.running.is_some_and(serves) {
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

/// Brings the gate back to `version`, or to serving nothing, after a crash or a failed swap, and
/// gives the lease back.
pub fn return_to(
    mut session: Session,
    version: Option<&Version>,
) -> Result<SwapFigures, ControlError> {
    match version {
        Some(version) => ensure_served(&mut session, version)?,
        None => session.abandon()?,
    }
    session.finish()
}
