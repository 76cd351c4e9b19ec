//! SIGHUP: what the operator may change while the gate runs. All other settings are read at its start.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use cutover_formats::node_toml::Gate;
use tokio::signal::unix::{SignalKind, signal};

use super::answer::{PageError, Pages};
use super::supervisor::Supervisor;
use super::view::Shared;
use crate::root::Root;

/// The texts of the backoff answer, as the operator has them now.
pub(super) fn pages(root: &Root, settings: &Gate) -> Result<Pages, PageError> {
    let place = |path: &std::path::PathBuf| root.path().join(path);
    let (html, json) = (settings.page.as_ref().map(place), settings.json_page.as_ref().map(place));
    Pages::load(html.as_deref(), json.as_deref())
}

/// Obeys SIGHUP from now on.
pub(super) fn start(supervisor: &Rc<Supervisor>) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let supervisor = supervisor.clone();
    tokio::task::spawn_local(async move {
        while hangup.recv().await.is_some() {
            supervisor.manager.tell_reloading();
            reload(&supervisor.ground.root, &supervisor.shared);
            supervisor.manager.tell("READY=1");
        }
    });
    Ok(())
}

fn reload(root: &Root, shared: &Shared) {
    if let Some(log) = &shared.access_log {
        log.reopen();
    }
    match pages(root, &shared.settings) {
        Ok(pages) => {
            shared.pages.store(Arc::new(pages));
            tracing::info!("got SIGHUP: read the pages anew");
        }
        Err(error) => tracing::error!(%error, "got SIGHUP: the pages stay as they were"),
    }
}
