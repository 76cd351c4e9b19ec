//! What all connections share.

use std::path::Path;
use std::sync::Arc;

use cutover_formats::exit::Exit;
use cutover_repository::file::FileStore;
use cutover_terminal::Failure;
use tokio::sync::Semaphore;

use crate::confined::Confined;
use crate::expiry::Expiry;
use crate::metrics::{Keeps, Metrics};
use crate::tokens::Tokens;

/// Most uploads at once; more wait. Each has a thread.
const UPLOADS: usize = 32;

/// A repository and who may publish to it.
pub(crate) struct Site {
    /// For reading.
    pub(crate) files: Confined,
    /// For writing.
    pub(crate) store: FileStore,
    /// Who may publish; `None` where nobody may.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) max_upload: u64,
    pub(crate) uploads: Semaphore,
    /// When its metadata expires.
    pub(crate) expiry: Expiry,
    pub(crate) metrics: Metrics,
    pub(crate) keeps: Keeps,
}

impl Site {
    /// The repository in the folder `base`, swept of what died half-way.
    pub(crate) fn open(
        base: &Path,
        tokens: Option<Tokens>,
        max_upload: u64,
        keeps: Keeps,
    ) -> Result<Self, Failure> {
        let cannot = |exit, why: &dyn std::fmt::Display| {
            Failure::new(exit, format!("cannot serve {}: {why}", base.display()))
        };
        if !base.is_dir() {
            return Err(cannot(Exit::NotFound, &"there is no such folder")
                .hint("make the folder, or name an existing one with --store"));
        }
        let files = Confined::open(base).map_err(|error| cannot(Exit::of_io(&error), &error))?;
        let store = FileStore::open(base)?;
        if tokens.is_some() {
            match store.sweep() {
                Ok(0) => {}
                Ok(count) => tracing::info!("removed {count} uploads that were left half-done"),
                Err(error) => tracing::warn!("{error}"),
            }
        }
        let (uploads, expiry, metrics) =
            (Semaphore::new(UPLOADS), Expiry::default(), Metrics::default());
        Ok(Self { files, store, tokens, max_upload, uploads, expiry, metrics, keeps })
    }

    /// Does what may wait for the disk, elsewhere.
    pub(crate) async fn ask<T: Default + Send + 'static>(
        self: &Arc<Self>,
        what: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let this = Arc::clone(self);
        tokio::task::spawn_blocking(move || what(&this)).await.unwrap_or_default()
    }
}
