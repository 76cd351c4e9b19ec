//! Who listens on a TCP address of this machine: `/proc/net/tcp` and `/proc/net/tcp6`.
//!
//! Sockets that listen come first there, so that however many connections there are, a look costs no
//! more than the listeners do.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// A socket that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    /// Whose process made it.
    pub(super) user: u32,
    /// Its number, which no other socket has while it is open.
    pub(super) inode: u64,
}

/// The socket that gets connections to `address`: the one that is bound to just that, else one that
/// takes all addresses.
pub(super) fn at(address: SocketAddr) -> io::Result<Listener> {
    let mut found = Found::default();
    if address.is_ipv4() {
        found.look("/proc/net/tcp", address)?;
    }
    if found.best().is_none() {
        found.look("/proc/net/tcp6", address)?;
    }
    found.best().ok_or_else(|| {
        let why = format!("no process of this machine listens on {address}");
        io::Error::new(io::ErrorKind::ConnectionRefused, why)
    })
}

#[derive(Debug, Default)]
struct Found {
    exact: Option<Listener>,
    any: Option<Listener>,
}

impl Found {
    fn best(&self) -> Option<Listener> {
        self.exact.or(self.any)
    }

    fn look(&mut self, table: &str, address: SocketAddr) -> io::Result<()> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{table}: {error}"));
        let file = match File::open(table) {
            // A system without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && table.ends_with('6') => {
                return Ok(());
            }
            file => file.map_err(named)?,
        };
        let mut lines = BufReader::new(file).lines();
        // Its heading.
        lines.next().transpose().map_err(named)?;
        for line in lines {
            match parse(&line.map_err(named)?) {
                Some((local, listener)) => self.add(local, listener, address),
                None => break,
            }
        }
        Ok(())
    }

    fn add(&mut self, local: SocketAddr, listener: Listener, address: SocketAddr) {
        if local.port() != address.port() {
            return;
        }
        let place = match local.ip().to_canonical() {
            ip if ip == address.ip().to_canonical() => &mut self.exact,
            ip if ip.is_unspecified() => &mut self.any,
            _ => return,
        };
        // Several may share a port, all of one user; the eldest stands for them.
        if place.is_none_or(|other| listener.inode < other.inode) {
            *place = Some(listener);
        }
    }
}

/// A line of the table; `None` where it is of no socket that listens.
fn parse(line: &str) -> Option<(SocketAddr, Listener)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, state, _, _, _, user, _, inode, ..] = words[..] else { return None };
    if state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let listener = Listener { user: user.parse().ok()?, inode: inode.parse().ok()? };
    Some((SocketAddr::new(address(ip)?, port), listener))
}

/// Words of 32 bits, each as this machine has it in memory.
fn address(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(8 * at..8 * (at + 1))?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn lines_say_who_listens() {
        let line = "   1: 0100007F:A4AB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    33        0 25761 1 0000000098772031 100 0 0 10 0";
        let listener = Listener { user: 33, inode: 25761 };
        assert_eq!(parse(line), Some((([127, 0, 0, 1], 0xA4AB).into(), listener)));
        assert_eq!(parse(&line.replace(" 0A ", " 01 ")), None);
        assert_eq!(parse("nonsense"), None);
        let mapped = address("0000000000000000FFFF00000100007F").unwrap();
        assert_eq!(mapped.to_canonical(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(address("00000000000000000000000001000000"), Some(Ipv6Addr::LOCALHOST.into()));
    }

    #[test]
    fn the_nearest_socket_is_meant() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let of = |user, inode| Listener { user, inode };
        let mut found = Found::default();
        found.add("127.0.0.1:81".parse().unwrap(), of(1, 1), address);
        found.add("127.0.0.2:80".parse().unwrap(), of(2, 2), address);
        assert_eq!(found.best(), None);
        found.add("[::]:80".parse().unwrap(), of(3, 3), address);
        assert_eq!(found.best(), Some(of(3, 3)));
        for inode in [5, 4, 6] {
            found.add(address, of(4, inode), address);
        }
        assert_eq!(found.best(), Some(of(4, 4)));
    }
}
