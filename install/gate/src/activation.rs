//! Socket activation: the listening socket that a service manager opened, and keeps while gates come
//! and go. `sd_listen_fds(3)` says how it is handed over.

use std::env;
use std::io;
use std::net::TcpListener;

use listenfd::ListenFd;

/// What the socket that clients reach is called, where the manager hands over more than one.
const NAME: &str = "web";

/// The manager's socket, if it has handed one over.
pub(super) fn socket() -> io::Result<Option<TcpListener>> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut handed = ListenFd::from_env();
    let Some(index) = index(&names, handed.len()) else { return Ok(None) };
    let index = index?;
    let Some(socket) = handed.take_tcp_listener(index)? else { return Ok(None) };
    match rustix::net::sockopt::socket_acceptconn(&socket)? {
        true => Ok(Some(socket)),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen")),
    }
}

/// Which of `count` sockets is meant.
fn index(names: &str, count: usize) -> Option<io::Result<usize>> {
    match (count, names.split(':').position(|name| name == NAME)) {
        (0, _) => None,
        (1, _) => Some(Ok(0)),
        (_, Some(index)) if index < count => Some(Ok(index)),
        _ => Some(Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("none of the {count} sockets is called `{NAME}` (FileDescriptorName=)"),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_which() {
        assert!(index("", 0).is_none());
        assert_eq!(index("unknown", 1).unwrap().unwrap(), 0);
        assert_eq!(index("admin:web", 2).unwrap().unwrap(), 1);
        assert!(index("admin:other", 2).unwrap().is_err());
        assert!(index("a:b:web", 2).unwrap().is_err());
    }
}
