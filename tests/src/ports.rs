//! Ports that nobody else takes meanwhile.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::sync::Mutex;

/// Below those that Linux gives to connections, and to servers that ask for any.
const PORTS: Range<u16> = 12_000..32_000;

/// An address on loopback that nobody uses now, and that no other test gets before this program ends.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn free_address() -> SocketAddr {
    /// Sockets by name, each of which says that a port is a test's; the system takes them back.
    static OURS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    let first = std::process::id() as usize * 17 % PORTS.len();
    for port in PORTS.cycle().skip(first).take(PORTS.len()) {
        let name = UnixAddress::from_abstract_name(format!("cutover-test-port-{port}"));
        let Ok(ours) = UnixListener::bind_addr(&name.expect("a short name")) else { continue };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            OURS.lock().expect("nobody panics meanwhile").push(ours);
            return address;
        }
    }
    panic!("all ports are taken")
}
