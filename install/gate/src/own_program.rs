//! This very program, started once more.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use cutover_repository::child;

/// Whether this program would go on an errand that it is sent for.
static WILLING: AtomicBool = AtomicBool::new(false);

/// It would: it has looked whether it was sent.
pub(super) fn goes_on_errands() {
    WILLING.store(true, Ordering::Relaxed);
}

/// This very program, to be sent on an errand, also where another one lies in its place meanwhile.
pub(super) fn sent_to(errand: &str) -> io::Result<Command> {
    if !WILLING.load(Ordering::Relaxed) {
        return Err(io::Error::other(
            "this program cannot start services: its `main` has to begin with \
             `cutover_install::gate::errand()`",
        ));
    }
    Ok(myself(errand))
}

/// The same for what is no errand.
#[must_use]
pub fn myself(argument: &str) -> Command {
    let mut myself = child::command("/proc/self/exe");
    myself.arg0("cutover-install").arg(argument);
    myself
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_would_take_an_errand_for_its_own_work_is_not_sent() {
        let error = sent_to("mind").unwrap_err().to_string();
        assert!(error.contains("cutover_install::gate::errand()"), "{error}");
    }
}
