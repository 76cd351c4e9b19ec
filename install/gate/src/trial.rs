//! A release's service without a gate: started on a spare address, seen to be healthy, ended.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::NodeService;
use cutover_formats::version::Version;
use cutover_node::root::Root;
use rustix::process::Pid;
use tokio::runtime::LocalRuntime;

use super::identity::Record;
use super::minder::children;
use super::service::{Ground, Service, Source};
use super::session::ControlError;

/// A service that serves nobody. It ends when this is dropped.
#[derive(Debug)]
pub struct Trial {
    runtime: LocalRuntime,
    ground: Ground,
    service: Rc<Service>,
    healthy: Option<Instant>,
}

impl Trial {
    /// Starts the service of `version`, whose record and prefix are below `root`.
    pub fn start(root: &Root, node: &NodeService, version: &Version) -> Result<Self, ControlError> {
        let runtime = LocalRuntime::new().map_err(failed)?;
        let ground = Ground {
            root: root.clone(),
            node: RefCell::new(node.clone()),
            source: Source::Given,
            lanes: 1,
            serial: Cell::new(0),
        };
        let service = Service::load(root, version)?;
        runtime.block_on(service.start(&ground))?;
        Ok(Self { runtime, ground, service, healthy: None })
    }

    /// Waits until it is healthy.
    pub fn wait_healthy(&mut self) -> Result<(), ControlError> {
        self.runtime.block_on(self.service.come_up(&self.ground))?;
        self.healthy = Some(Instant::now());
        Ok(())
    }

    /// Watches over it, once healthy, for as long as its release says.
    pub fn stay_healthy(&self) -> Result<(), ControlError> {
        if let (Some(process), Some(since)) = (self.service.process(), self.healthy) {
            self.runtime.block_on(self.service.stay_healthy(&process, since))?;
        }
        Ok(())
    }

    /// Where it is reached: `127.0.0.1:<port>`, or the path of a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        self.service.process().map(|process| process.launch.address.to_string())
    }

    /// Bytes of memory that it and what it started have now, shared pages counted in each process.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        self.service.process().map(|process| memory(process.pid))
    }

    /// Ends it, as before a swap; how long that took.
    pub fn end(&self) -> Duration {
        let began = Instant::now();
        self.runtime.block_on(self.service.end());
        began.elapsed()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Nothing where it has ended already.
        self.end();
    }
}

/// Ends what [`Trial`]s below `root` left running whose process was killed.
pub fn end_left_behind(root: &Root) -> Result<(), ControlError> {
    if !root.run().is_dir() {
        return Ok(());
    }
    LocalRuntime::new().map_err(failed)?.block_on(async {
        for record in Record::all(root).map_err(failed)? {
            record.end(root).await;
        }
        Ok(())
    })
}

fn failed(error: io::Error) -> ControlError {
    ControlError::Failed(error.to_string())
}

/// `VmRSS` of a process and its descendants; what has ended meanwhile has none.
fn memory(pid: Pid) -> u64 {
    let number = pid.as_raw_nonzero().to_string();
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    let below: u64 = children(&number).into_iter().map(memory).sum();
    below + resident.unwrap_or(0_u64) * 1024
}
