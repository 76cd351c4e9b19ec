//! How long this gate's last swaps were dark: what clients are told to wait is learned from it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cutover_node::disk::{DiskError, record};
use cutover_node::root::Root;
use serde::{Deserialize, Serialize};

/// How many swaps are remembered.
const REMEMBERED: usize = 5;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Learned {
    /// Seconds, the latest last.
    dark: Vec<f64>,
}

/// Where it is remembered.
pub(super) fn path(root: &Root) -> PathBuf {
    root.state().join("gate.json")
}

/// What was learned so far. A record that cannot be read is as good as none.
pub(super) fn load(root: &Root) -> Arc<[Duration]> {
    let learned: Learned = match record::load(&path(root)) {
        Ok(learned) => learned.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "forgot how long swaps took");
            Learned::default()
        }
    };
    learned.dark.iter().filter_map(|dark| Duration::try_from_secs_f64(*dark).ok()).collect()
}

/// What is known after a swap that was dark for `dark`.
pub(super) fn with(history: &[Duration], dark: Duration) -> Arc<[Duration]> {
    let keep = history.len().saturating_sub(REMEMBERED - 1);
    history[keep..].iter().copied().chain([dark]).collect()
}

/// Remembers it.
pub(super) fn save(root: &Root, history: &[Duration]) -> Result<(), DiskError> {
    record::save(
        &path(root),
        &Learned { dark: history.iter().map(Duration::as_secs_f64).collect() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_few_swaps_count() {
        let mut history: Arc<[Duration]> = Arc::default();
        for seconds in 1..=9 {
            history = with(&history, Duration::from_secs(seconds));
        }
        let seconds: Vec<_> = history.iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [5, 6, 7, 8, 9]);
    }
}
