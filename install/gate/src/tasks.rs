//! Tasks of the gate. None of them ends unseen by a panic.
//!
//! What the gate decides is decided by tasks that rely on each other. Where one of them panics, nobody
//! knows what the others would go on with, so the whole gate ends, as one that was killed: the service
//! goes on with its minder, the manager starts the gate anew, and the new one goes on with the service.
//! A connection of a client is no such task: its panic ends that connection. All panics are counted.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;

use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The part of this process's gate that failed first.
static FAILED: OnceLock<&'static str> = OnceLock::new();

/// Told when there is one.
static TOLD: Notify = Notify::const_new();

/// Starts a task on this thread's runtime; a panic in it is the end of the gate. `part` names it to
/// people.
pub(super) fn spawn(
    part: &'static str,
    task: impl Future<Output = ()> + 'static,
) -> JoinHandle<()> {
    tokio::task::spawn_local(watched(part, task))
}

async fn watched(part: &'static str, task: impl Future<Output = ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        fail(part);
    }
}

/// A part of the gate has failed, and the gate has to end.
pub(super) fn fail(part: &'static str) {
    tracing::error!("{part} failed, and the gate cannot go on without it");
    // What failed first matters.
    let _ = FAILED.set(part);
    TOLD.notify_one();
}

/// Waits until a part of the gate has failed; which one.
pub(super) async fn failed() -> &'static str {
    loop {
        let told = TOLD.notified();
        if let Some(part) = FAILED.get() {
            return part;
        }
        told.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one test that has a part fail: that is remembered for the whole process.
    #[test]
    fn a_panic_in_a_task_is_the_end_of_the_gate() {
        let runtime = tokio::runtime::LocalRuntime::new().unwrap();
        let part = runtime.block_on(async {
            spawn("a part that ends in order", async {}).await.unwrap();
            assert!(failed().now_or_never().is_none());
            let failing = spawn("the test", async { panic!("it was told to") });
            let part = failed().await;
            failing.await.unwrap();
            part
        });
        assert_eq!(part, "the test");
    }
}
