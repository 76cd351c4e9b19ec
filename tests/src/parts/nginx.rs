//! nginx with one site.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Running, wait_until};

/// Starts nginx in `folder`, which must exist, with `site` in its `http` section; it runs until the
/// guard goes.
///
/// # Panics
/// Where it does not come up.
#[must_use]
pub fn start(folder: &Path, site: &str) -> Running {
    let place = |name: &str| folder.join(name).display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {};\n", place(kind)))
        .collect();
    let (pid, error) = (place("nginx.pid"), place("nginx.error"));
    let config = format!(
        "daemon off;\npid {pid};\nevents {{ worker_connections 512; }}\nhttp {{\n    access_log off;\n\
         {temporary}{site}\n}}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, config).expect("the folder is writable");
    let mut command = Command::new("nginx");
    command.args(["-e", &error, "-c"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running::start(&mut command);
    wait_until("nginx runs", || std::fs::read_to_string(&pid).is_ok_and(|pid| !pid.is_empty()));
    running
}
