//! Work that has a time, the look-up of names in it as well.

use std::io;
use std::time::Duration;

/// Waits for `work`, at most for `limit`.
///
/// # Errors
///
/// Those of the work; of the kind `TimedOut` where it took longer.
pub(super) fn within<T, E: From<io::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(async { tokio::time::timeout(limit, work).await });
    // Whoever looks a name up cannot be interrupted: that thread ends by itself, and nobody waits for it.
    runtime.shutdown_background();
    done.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_name_that_is_looked_up_for_ever_is_not_waited_for() {
        let (answer, never) = mpsc::channel::<()>();
        let lookup = async { Ok(tokio::task::spawn_blocking(move || never.recv()).await?) };
        let found: io::Result<_> = within(Duration::from_millis(1), lookup);
        assert_eq!(found.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(answer);
    }
}
