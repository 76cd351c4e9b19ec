//! Who is behind a service's address.
//!
//! An address proves nothing. Another user of the machine can take a port before the service does, and
//! the service's own user can put a link in the place of its socket, to have a gate that root runs talk
//! to what only root may reach. So for each new connection it is looked who listens there, and nothing
//! is sent unless that is the service's user or the gate's own. Another process of the same user is not
//! told apart: whoever may signal the service and read its memory needs no port of it.
//!
//! Where a manager runs the service, its user is the manager's to say, and nothing is looked at.

mod listeners;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::process::geteuid;
use tokio::net::{TcpStream, UnixStream};

use self::listeners::Listener;

/// How often a connection is made anew because another socket listens there than before.
const ATTEMPTS: usize = 3;

/// Connects to one process of a service, and to nobody else.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Who may listen; anybody where there is none.
    owners: Option<Owners>,
    /// The number of the TCP socket that was seen to listen last; 0 before.
    seen: AtomicU64,
}

/// Somebody else than the service is behind its address.
#[derive(Debug, thiserror::Error)]
#[error(
    "a process of user {user} listens on {address}, and the service runs as user {service}: that \
     process was faster, or the service changes its user by itself, which needs `user` in [service] \
     of node.toml instead"
)]
pub(super) struct Rival {
    user: u32,
    address: String,
    service: u32,
}

#[derive(Clone, Copy, Debug)]
struct Owners {
    service: u32,
    gate: u32,
}

impl Rival {
    /// Whether that is why a connection failed.
    pub(super) fn is_behind(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

impl Guard {
    /// For a service that `user` runs, which may be the gate's own.
    pub(super) fn of_user(user: u32) -> Self {
        let owners = Owners { service: user, gate: geteuid().as_raw() };
        Self { owners: Some(owners), seen: AtomicU64::new(0) }
    }

    /// For a service that is another manager's.
    pub(super) fn of_manager() -> Self {
        Self::default()
    }

    /// Connects to the service at `address`.
    ///
    /// Whoever listens after the connection was made also did before where it is the same socket: so
    /// nobody can have accepted the connection and given the port to the service since.
    pub(super) async fn tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(owners) = self.owners else { return TcpStream::connect(address).await };
        let mut before = match self.seen.load(Ordering::Relaxed) {
            0 => owners.listener(address)?.inode,
            seen => seen,
        };
        for _ in 0..ATTEMPTS {
            let stream = TcpStream::connect(address).await?;
            let after = owners.listener(address)?.inode;
            self.seen.store(after, Ordering::Relaxed);
            if after == before {
                return Ok(stream);
            }
            before = after;
        }
        Err(io::Error::other(format!("who listens on {address} changes all the time")))
    }

    /// Connects to the service's socket at `path`, never through a link.
    pub(super) async fn unix(&self, path: &Path) -> io::Result<UnixStream> {
        let Some(owners) = self.owners else { return UnixStream::connect(path).await };
        // From here on the socket is meant, whatever is put in its place.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = openat(CWD, path, flags, Mode::empty())?;
        let stat = fstat(&socket)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Socket || stat.st_nlink > 1 {
            let why = format!("{} is no socket of the service's own", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        let stream = UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await?;
        owners.accept(stream.peer_cred()?.uid(), &path.display())?;
        Ok(stream)
    }
}

impl Owners {
    fn listener(self, address: SocketAddr) -> io::Result<Listener> {
        let listener = listeners::at(address)?;
        self.accept(listener.user, &address)?;
        Ok(listener)
    }

    fn accept(self, user: u32, address: &dyn std::fmt::Display) -> io::Result<()> {
        if user == self.service || user == self.gate {
            return Ok(());
        }
        let rival = Rival { user, address: address.to_string(), service: self.service };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, rival))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    fn mine() -> Guard {
        Guard::of_user(geteuid().as_raw())
    }

    fn anothers() -> Guard {
        let user = geteuid().as_raw() + 1;
        Guard { owners: Some(Owners { service: user, gate: user }), ..Guard::default() }
    }

    #[tokio::test]
    async fn a_port_is_its_users() {
        for address in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let mut at = listener.local_addr().unwrap();
            if address == "0.0.0.0:0" || address == "[::]:0" {
                at.set_ip([127, 0, 0, 1].into());
            }
            let guard = mine();
            for _ in 0..2 {
                guard.tcp(at).await.unwrap();
            }
            let error = anothers().tcp(at).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{address}: {error}");
            assert!(Rival::is_behind(&error), "{address}: {error}");
            Guard::of_manager().tcp(at).await.unwrap();
            drop(listener);
            assert!(guard.tcp(at).await.is_err(), "{address}: nobody listens");
            let error = mine().tcp(at).await.unwrap_err();
            assert!(!Rival::is_behind(&error), "{address}: nobody listens");
        }
    }

    #[tokio::test]
    async fn another_socket_in_its_place_is_looked_at_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let guard = mine();
        guard.tcp(at).await.unwrap();
        let before = guard.seen.load(Ordering::Relaxed);
        drop(listener);
        let _listener = TcpListener::bind(at).unwrap();
        guard.tcp(at).await.unwrap();
        assert_ne!(guard.seen.load(Ordering::Relaxed), before);
    }

    #[tokio::test]
    async fn a_socket_is_never_reached_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _listener = UnixListener::bind(at("socket")).unwrap();
        mine().unix(&at("socket")).await.unwrap();
        assert!(anothers().unix(&at("socket")).await.is_err());
        symlink("socket", at("link")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        for name in ["link", "file", "none"] {
            assert!(mine().unix(&at(name)).await.is_err(), "{name}");
        }
        std::fs::hard_link(at("socket"), at("second")).unwrap();
        assert!(mine().unix(&at("socket")).await.is_err(), "it has two names");
    }
}
