//! What all connections share.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use cutover_formats::exit::Exit;
use cutover_http::client::{Proxies, Shares};
use cutover_http::pace::Rules;
use cutover_repository::file::FileStore;
use cutover_terminal::Failure;
use tokio::sync::Semaphore;

use crate::args::Args;
use crate::coding::Coder;
use crate::commit::Commits;
use crate::confined::Confined;
use crate::expiry::Expiry;
use crate::metrics::{Keeps, Metrics};
use crate::tokens::Tokens;
use crate::uncommitted::Uncommitted;

/// A repository and who may publish to it.
pub(crate) struct Site {
    /// For reading.
    pub(crate) files: Confined,
    /// For writing.
    pub(crate) store: FileStore,
    /// Who may publish; `None` where nobody may.
    pub(crate) tokens: Option<Tokens>,
    pub(crate) max_upload: u64,
    /// Places for uploads; each takes a thread.
    pub(crate) uploads: Semaphore,
    /// How fast clients have to be.
    pub(crate) rules: Rules,
    pub(crate) proxies: Proxies,
    /// What each client has of connections.
    pub(crate) connections: Arc<Shares>,
    /// What each client behind a proxy has of requests under way.
    pub(crate) requests: Arc<Shares>,
    pub(crate) coder: Coder,
    pub(crate) commits: Commits,
    pub(crate) uncommitted: Uncommitted,
    /// When its metadata expires.
    pub(crate) expiry: Expiry,
    pub(crate) metrics: Metrics,
    pub(crate) keeps: Keeps,
}

impl Site {
    /// The repository that is to be served, swept of what died half-way.
    pub(crate) fn open(args: &Args, keeps: Keeps) -> Result<Self, Failure> {
        let base = args.store.as_deref().unwrap_or(Path::new("."));
        let tokens = args.tokens.as_deref();
        let tokens =
            tokens.map(|path| Tokens::read(path, args.max_uploads_per_token)).transpose()?;
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
        let shares = || Arc::new(Shares::new(args.share() as usize));
        Ok(Self {
            files,
            store,
            tokens,
            max_upload: args.max_upload,
            uploads: Semaphore::new(args.max_uploads as usize),
            rules: args.rules(),
            proxies: Proxies::new(&args.behind),
            connections: shares(),
            requests: shares(),
            coder: Coder::new(args.coded_memory),
            commits: Commits::default(),
            uncommitted: Uncommitted::open(base, args.bounds()),
            expiry: Expiry::default(),
            metrics: Metrics::default(),
            keeps,
        })
    }

    /// Removes what has waited too long for a commit.
    pub(crate) fn sweep(&self) {
        let swept = match self.uncommitted.sweep(&self.store, SystemTime::now()) {
            Ok(swept) => swept,
            Err(error) => {
                return tracing::warn!("uploads that no commit has named stay: {error}");
            }
        };
        if swept.files > 0 {
            tracing::info!("removed {} uploads that no commit has named", swept.files);
        }
        if let Some(first) = swept.problems.first() {
            let count = swept.problems.len();
            tracing::warn!("{count} uploads that no commit has named cannot be removed: {first}");
        }
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
