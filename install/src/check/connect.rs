//! A connection to whichever of a name's addresses answers first.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// Connects to `host:port`. All addresses of the name are tried at once, as one that never answers would
/// take the others' time.
pub(super) async fn connect(address: &str) -> io::Result<TcpStream> {
    first_of(lookup_host(address).await?).await
}

async fn first_of(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut tries: JoinSet<_> = addresses.map(TcpStream::connect).collect();
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(tried) = tries.join_next().await {
        match tried.map_err(io::Error::other).flatten() {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpSocket;

    use super::*;
    use crate::check::limit::within;

    #[test]
    fn an_address_that_never_answers_keeps_nobody_from_the_next() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let reached = within(Duration::from_secs(60), async {
            // Where one connection waits, the system passes over whoever else comes.
            let deaf = TcpSocket::new_v4()?;
            deaf.bind(any)?;
            let deaf = deaf.listen(0)?;
            let _waits = TcpStream::connect(deaf.local_addr()?).await?;
            let good = tokio::net::TcpListener::bind(any).await?;
            let addresses = [deaf.local_addr()?, good.local_addr()?];
            Ok::<_, io::Error>(first_of(addresses.into_iter()).await?.peer_addr()? == addresses[1])
        });
        assert!(reached.unwrap());
    }

    #[test]
    fn where_none_answers_it_is_said_why() {
        let refused = within(Duration::from_secs(60), async {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
            first_of([gone].into_iter()).await
        });
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
