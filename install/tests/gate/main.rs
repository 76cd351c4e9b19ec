//! The gate, run as a real process in front of real services.
//!
//! Both the gate and the services are this very test program, started again with the name of one
//! ignored test: `gate_process` or `service_process`.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::print_stdout, reason = "these processes speak to tests")]

mod answers;
mod client;
mod control;
mod hostile;
mod node;
mod proxy;
mod service;
mod swap;

use cutover_formats::node_toml::NodeToml;
use cutover_install::gate;
use cutover_install::root::Root;

#[test]
#[ignore = "not a test: the gate that the tests start"]
fn gate_process() {
    let Some(path) = std::env::var_os("TEST_GATE_ROOT") else { return };
    let root = Root::new(path.into());
    let text = std::fs::read_to_string(root.node_toml()).unwrap();
    if let Err(error) = gate::run(&root, &NodeToml::parse(&text).unwrap()) {
        use cutover_formats::exit::Explain;
        eprintln!("error: {error}");
        std::process::exit(error.exit().code().into());
    }
    std::process::exit(0);
}

#[test]
#[ignore = "not a test: the service that the tests have a gate run"]
fn service_process() {
    if std::env::var_os("TEST_SERVICE_VERSION").is_some() {
        service::serve();
    }
}
