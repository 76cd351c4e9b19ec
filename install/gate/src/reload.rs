//! SIGHUP: what the operator may change while the gate runs: pages, and `[service]` for the next start
//! of the service. All other settings are read by the next gate.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use cutover_formats::node_toml::Gate;
use cutover_node::node::Node;
use cutover_node::root::Root;
use tokio::signal::unix::{SignalKind, signal};

use super::GateError;
use super::pages::{PageError, Pages};
use super::supervisor::Supervisor;
use super::tasks;

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
    tasks::spawn("what reads settings anew", async move {
        while hangup.recv().await.is_some() {
            supervisor.manager.tell_reloading();
            match reload(&supervisor) {
                Ok(()) => tracing::info!("got SIGHUP: read pages and settings anew"),
                Err(error) => tracing::error!(%error, "got SIGHUP: all stays as it was"),
            }
            supervisor.manager.tell("READY=1");
        }
    });
    Ok(())
}

/// All of what may change, or nothing.
fn reload(supervisor: &Supervisor) -> Result<(), Box<dyn std::error::Error>> {
    let (root, shared) = (&supervisor.ground.root, &supervisor.shared);
    if let Some(log) = &shared.access_log {
        log.reopen();
    }
    let node = Node::open(root.path())?.settings;
    let gate = node.gate.ok_or_else(|| GateError::NoGate(root.node_toml()))?;
    let pages = pages(root, &gate)?;
    shared.pages.store(Arc::new(pages));
    *supervisor.ground.node.borrow_mut() = node.service;
    let same = Gate {
        page: gate.page.clone(),
        json_page: gate.json_page.clone(),
        ..shared.settings.clone()
    };
    if gate != same {
        tracing::warn!("what else has changed in [gate] holds from `install gate --replace` on");
    }
    Ok(())
}
