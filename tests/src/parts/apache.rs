//! Apache with mod_wsgi and one site.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Running, wait_until};

const MODULES: [&str; 7] =
    ["mpm_event", "authz_core", "rewrite", "proxy", "proxy_http", "wsgi", "dir"];

/// Starts Apache in `folder`, which its workers' user must be able to look into, listening on `port`
/// of loopback, with the configuration `site`; it runs until the guard goes.
///
/// # Panics
/// Where it does not come up.
#[must_use]
pub fn start(folder: &Path, port: u16, site: &str) -> Running {
    let here = folder.display();
    let modules: String = MODULES
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    let config = format!(
        "ServerRoot {here}\nPidFile {here}/apache.pid\nServerName localhost\nMutex file:{here}\n\
         DefaultRuntimeDir {here}\nErrorLog {here}/apache.error\n{modules}\
         User www-data\nGroup www-data\nWSGISocketPrefix {here}/wsgi\nListen 127.0.0.1:{port}\n{site}"
    );
    let file = folder.join("apache.conf");
    std::fs::write(&file, config).expect("the folder is writable");
    let mut command = Command::new("apache2");
    command.args(["-D", "FOREGROUND", "-f"]).arg(&file);
    let log = std::fs::File::create(folder.join("apache.log")).expect("a log");
    command.stdout(Stdio::null()).stderr(log);
    let running = Running::start(&mut command);
    wait_until("apache runs", || folder.join("apache.pid").exists());
    running
}
