//! Whether the node itself is ready for traffic: what its gate answers to a load balancer.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use cutover_formats::node_toml::{Gate, Role};
use cutover_node::maintenance;
use cutover_node::node::Node;
use cutover_node::root::Root;
use jiff::Timestamp;

use super::PoolError;

/// How long a gate that is not ready may take to become so. It is asked when an install has
/// opened it, so this is for a service that stumbles once.
const WITHIN: Duration = Duration::from_secs(30);
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(5);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);
/// More than any answer to it.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// The node's own health check.
#[derive(Debug)]
pub(super) struct Ready {
    gate: Option<SocketAddr>,
    root: Root,
}

impl Ready {
    pub(super) fn of(node: &Node) -> Self {
        // A gate beside a front end never is; what serves instead is for checks to judge.
        let serves = |gate: &&Gate| gate.role == Role::Serve;
        let gate = node.settings.gate.as_ref().filter(serves).map(|gate| reachable(gate.listen));
        Self { gate, root: node.root.clone() }
    }

    /// Waits until the gate answers that it is ready. A node without a gate has nobody to ask, and
    /// one that the operator holds in maintenance stands in the pool as it did.
    pub(super) fn wait(&self) -> Result<(), PoolError> {
        let Some(gate) = self.gate else { return Ok(()) };
        let began = Instant::now();
        loop {
            let why = match ask(gate) {
                Ok(status) if status == "200" => return Ok(()),
                Ok(status) => format!("GET /.cutover/ready gave {status}"),
                Err(error) => error.to_string(),
            };
            // The stage has told of a record that cannot be read.
            if maintenance::load(&self.root, Timestamp::now(), |_| {}).is_some() {
                return Ok(());
            }
            if began.elapsed() >= WITHIN {
                return Err(PoolError::NotReady { gate: gate.to_string(), why });
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Where to reach from here what listens there.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

/// The status that the gate answers with.
fn ask(gate: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&gate, QUESTION)?;
    stream.set_read_timeout(Some(QUESTION))?;
    stream.set_write_timeout(Some(QUESTION))?;
    write!(
        stream,
        "GET /.cutover/ready HTTP/1.1\r\nHost: {gate}\r\nUser-Agent: cutover/{}\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )?;
    let answer = io::read_to_string(stream.take(LONGEST_ANSWER))?;
    let status = answer.split(' ').nth(1);
    status.map(str::to_owned).ok_or_else(|| io::Error::other("it does not speak HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_reached_on_loopback() {
        for (listen, expected) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        }
    }
}
