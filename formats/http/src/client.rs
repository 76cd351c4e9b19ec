//! Who is at the other end, and how much of the server one client may have at once.
//!
//! A client is an address; of IPv6 the network of 64 bits that its host has for itself. Behind a proxy
//! the connections are the proxy's: there each request counts for the address that the proxy names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{HeaderMap, HeaderName};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A client, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(IpAddr);

impl From<IpAddr> for Client {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
            address => address,
        })
    }
}

/// The proxies whose word counts about whom they speak for.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpAddr>);

impl Proxies {
    /// Those at these addresses.
    #[must_use]
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self(addresses.iter().map(IpAddr::to_canonical).collect())
    }

    /// Whether there is one at an address.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// For whom a proxy at `peer` sent a request: the last address of `X-Forwarded-For` that is none
    /// of a proxy. What stands before it is the client's own word. Without one, the proxy itself.
    #[must_use]
    pub fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let texts = values.map(|value| value.to_str().unwrap_or_default());
        let mut addresses = texts.flat_map(|text| text.rsplit(',')).map(|text| text.trim().parse());
        match addresses.find(|address| !address.as_ref().is_ok_and(|address| self.has(*address))) {
            Some(Ok(address)) => address,
            _ => peer,
        }
    }
}

/// How many of something each client has.
#[derive(Debug)]
pub struct Shares {
    most: usize,
    taken: Mutex<HashMap<Client, usize>>,
}

impl Shares {
    /// Each client may have `most`.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// One more for a client, or `None` where it has as many as it may.
    #[must_use]
    pub fn take(self: &Arc<Self>, client: Client) -> Option<Share> {
        let mut all = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(client).or_default();
        (*taken < self.most).then(|| {
            *taken += 1;
            Share { of: self.clone(), client }
        })
    }
}

/// One of what a client may have, until it is dropped.
#[derive(Debug)]
pub struct Share {
    of: Arc<Shares>,
    client: Client,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.of.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = all.get_mut(&self.client) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_has_its_share() {
        let shares = Arc::new(Shares::new(2));
        let client = |text: &str| Client::from(address(text));
        let first = shares.take(client("10.0.0.1")).unwrap();
        let second = shares.take(client("::ffff:10.0.0.1")).unwrap();
        assert!(shares.take(client("10.0.0.1")).is_none());
        assert!(shares.take(client("10.0.0.2")).is_some());
        drop(first);
        assert!(shares.take(client("10.0.0.1")).is_some());
        drop(second);
        assert!(shares.taken.lock().unwrap().is_empty());
        assert_eq!(client("2001:db8::1:2:3:4"), client("2001:db8::ffff"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    }

    #[test]
    fn whom_a_proxy_speaks_for() {
        let proxies = Proxies::new(&[address("127.0.0.1"), address("10.0.0.1")]);
        let forwarded = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(X_FORWARDED_FOR, value.parse().unwrap());
            }
            proxies.forwarded(address("127.0.0.1"), &headers).to_string()
        };
        assert_eq!(forwarded(&["192.0.2.7"]), "192.0.2.7");
        assert_eq!(forwarded(&["198.51.100.1, 192.0.2.7 ,10.0.0.1"]), "192.0.2.7");
        assert_eq!(forwarded(&["198.51.100.1", "192.0.2.7, 10.0.0.1"]), "192.0.2.7");
        assert_eq!(forwarded(&["198.51.100.1, unknown"]), "127.0.0.1");
        assert_eq!(forwarded(&["10.0.0.1"]), "127.0.0.1");
        assert_eq!(forwarded(&[]), "127.0.0.1");
        assert!(proxies.has(address("::ffff:10.0.0.1")) && !proxies.has(address("10.0.0.2")));
    }
}
