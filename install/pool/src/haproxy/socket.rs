//! One command to a runtime socket, and its answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cutover_formats::node_toml::RuntimeSocket;

use crate::PoolError;

/// How long one conversation may take to move on.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a socket may be away: a reload replaces it.
const RELOADING: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
/// More than `show stat` of thousands of servers.
const LONGEST_ANSWER: u64 = 64 * 1024 * 1024;

/// The runtime socket of one HAProxy.
#[derive(Debug)]
pub(super) struct Runtime(RuntimeSocket);

impl Runtime {
    pub(super) fn new(socket: RuntimeSocket) -> Self {
        Self(socket)
    }

    /// What HAProxy answers to a command. It must be one that may be given twice, because the
    /// answer may be lost in a reload.
    pub(super) fn ask(&self, command: &str) -> Result<String, PoolError> {
        let began = Instant::now();
        loop {
            match self.converse(command) {
                Ok(answer) => return Ok(answer),
                Err(error) if began.elapsed() >= RELOADING => {
                    let why = match error.kind() {
                        io::ErrorKind::WouldBlock => "it does not answer".to_owned(),
                        _ => error.to_string(),
                    };
                    return Err(PoolError::Failed { pool: self.to_string(), why });
                }
                Err(error) => {
                    tracing::debug!(socket = %self.0, %error, "trying again");
                    std::thread::sleep(PAUSE);
                }
            }
        }
    }

    fn converse(&self, command: &str) -> io::Result<String> {
        match &self.0 {
            RuntimeSocket::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                exchange(stream, command)
            }
            RuntimeSocket::Tcp(address) => {
                let stream = connect(address)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                exchange(stream, command)
            }
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HAProxy {}", self.0)
    }
}

/// The first of a name's addresses that takes a connection.
fn connect(address: &str) -> io::Result<TcpStream> {
    let address = address.to_owned();
    within(PATIENCE, move || {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    })
}

/// Waits for `work`, at most for `limit`. Whoever looks a name up cannot be interrupted: that thread
/// ends by itself, and nobody waits for it.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, waiting) = mpsc::channel();
    // Nobody is there any more to be told of what comes too late.
    std::thread::Builder::new().spawn(move || drop(done.send(work())))?;
    let why = || format!("not reached within {} s", limit.as_secs());
    let ended = waiting.recv_timeout(limit);
    ended.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, why()))?
}

/// HAProxy answers one line of commands and closes. Every whole answer ends in an empty line.
fn exchange(mut stream: impl Read + Write, command: &str) -> io::Result<String> {
    stream.write_all(format!("{command}\n").as_bytes())?;
    let answer = io::read_to_string(stream.take(LONGEST_ANSWER))?;
    if answer.ends_with('\n') { Ok(answer) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_looked_up_for_ever_is_not_waited_for() {
        let (answer, never) = mpsc::channel::<()>();
        let lookup = move || never.recv().map_err(io::Error::other);
        let error = within(Duration::from_millis(1), lookup).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(answer);
        assert_eq!(within(Duration::from_secs(100), || Ok(7)).unwrap(), 7);
    }
}
