//! The gate, run as a real process in front of real services.
//!
//! The services are this very test program, started again with the name of an ignored test:
//! `service_process`.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]
#![expect(clippy::print_stdout, reason = "these processes speak to tests")]

mod across;
mod answers;
mod assets;
mod client;
mod control;
mod early;
mod hostile;
mod life;
mod manager;
mod node;
mod numbers;
mod proxy;
mod service;
mod steward;
mod stopping;
mod sturdy;
mod succession;
mod swap;

#[test]
#[ignore = "not a test: the service that the tests have a gate run"]
fn service_process() {
    if std::env::var_os("TEST_SERVICE_VERSION").is_some() {
        service::serve();
    }
}
