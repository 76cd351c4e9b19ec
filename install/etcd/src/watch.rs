//! Waiting for a key to change.

use std::time::{Duration, Instant};

use cutover_formats::node_toml::EtcdEndpoint;
use serde::{Deserialize, Serialize};

use super::member::{Trouble, cause};
use super::wire::{Bytes, Int, Line};
use super::{Etcd, EtcdError, PAUSE, Revision};

/// How long one member is listened to. One that is cut off from the others says nothing, ever.
const LISTEN: Duration = Duration::from_secs(10);
/// More than one change of one key.
const LONGEST_LINE: usize = 8 * 1024 * 1024;

/// Whether a key has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// It has, or may have: look again.
    Changed,
    /// Not in this time.
    Unchanged,
}

#[derive(Serialize)]
struct Watch {
    create_request: Create,
}

#[derive(Serialize)]
struct Create {
    key: Bytes,
    start_revision: Int,
}

#[derive(Deserialize)]
struct News {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {}

impl Etcd {
    /// Waits until a key is changed or removed after a point in history, at most so long.
    pub fn wait_for_change(
        &self,
        key: &str,
        after: Revision,
        within: Duration,
    ) -> Result<Waited, EtcdError> {
        let start_revision = Int(after.0.saturating_add(1));
        let question = Watch { create_request: Create { key: Bytes::of(key), start_revision } };
        let began = Instant::now();
        loop {
            for at in self.in_turn() {
                let left = within.saturating_sub(began.elapsed());
                if left.is_zero() {
                    return Ok(Waited::Unchanged);
                }
                let listening = self.listen(&self.endpoints[at], &question);
                let listening = async { tokio::time::timeout(left.min(LISTEN), listening).await };
                match self.runtime.block_on(listening) {
                    Ok(Ok(())) => return Ok(Waited::Changed),
                    Ok(Err(Trouble::Everywhere(error))) => return Err(error),
                    Ok(Err(Trouble::Here(why))) => {
                        tracing::debug!(endpoint = %self.endpoints[at], %why, "asking the next");
                    }
                    Err(_silence) => {}
                }
            }
            std::thread::sleep(PAUSE.min(within.saturating_sub(began.elapsed())));
        }
    }

    /// Ends when there are news of the key.
    async fn listen(&self, endpoint: &EtcdEndpoint, question: &Watch) -> Result<(), Trouble> {
        let mut response = self.admitted(endpoint, "watch", question).await?;
        let mut rest = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| Trouble::Here(cause(&error)))?
        {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let line: Line<News> = serde_json::from_slice(&line)
                    .map_err(|error| Trouble::Here(format!("it answered nonsense: {error}")))?;
                // Canceled is a watch from a point in history that etcd has forgotten.
                if line.result.canceled || !line.result.events.is_empty() {
                    return Ok(());
                }
            }
            if rest.len() > LONGEST_LINE {
                return Err(Trouble::Here("its answer has no end".to_owned()));
            }
        }
        Err(Trouble::Here("it closed the watch".to_owned()))
    }
}
