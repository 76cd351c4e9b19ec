//! One gate takes another's place without a request being lost: `install gate --replace`.
//!
//! The successor asks the running gate, on its control socket, for the listening socket and the lock
//! (which is never let go of, so that no third gate comes between). It goes on with the service by
//! the [record](super::identity::Record) that its minder wrote, asks it for its health, and begins to
//! accept, while the other still does. Only then it says so; from there on the predecessor accepts
//! nothing, answers what it has with `Connection: close`, and ends with its last request. Up to that
//! word the predecessor goes on as if nothing had been, should the successor fail.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use cutover_formats::version::Version;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::Pid;
use tokio::io::{AsyncWriteExt, Interest};

use super::pidfd::PidFd;
use super::protocol::{Call, Fault, Outcome, Reply};
use super::session::{ControlError, reach};
use crate::root::Root;

/// Most bytes of its answer.
const LONGEST: usize = 64 * 1024;

/// What a gate needs and only one can have.
#[derive(Debug)]
pub(super) struct Estate {
    /// Where clients knock, until the gate ends.
    pub(super) listener: RefCell<Option<TcpListener>>,
    /// One gate per root.
    pub(super) lock: File,
}

impl Estate {
    /// Both.
    pub(super) fn new(listener: TcpListener, lock: File) -> Self {
        Self { listener: RefCell::new(Some(listener)), lock }
    }

    /// Where clients knock.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        let listener = self.listener.borrow();
        listener.as_ref().ok_or(io::ErrorKind::NotConnected)?.local_addr()
    }
}

/// The gate that was here before, while it finishes its last requests.
#[derive(Debug)]
pub(super) struct Predecessor {
    stream: UnixStream,
    pid: Pid,
}

/// An estate that was handed over, and by whom.
#[derive(Debug)]
pub(super) struct Inheritance {
    /// What the gate needs.
    pub(super) estate: Estate,
    /// The release that should be found well.
    pub(super) healthy: Option<Version>,
    /// Who goes on until it is told.
    pub(super) predecessor: Predecessor,
}

/// Asks the gate that runs for `root` to hand over; `None` where none runs.
pub(super) fn inherit(root: &Root) -> Result<Option<Inheritance>, ControlError> {
    let Some(stream) = reach(root)? else { return Ok(None) };
    let lost = |why| ControlError::lost(&root.control(), why);
    let pid = socket_peercred(&stream).map_err(|errno| lost(errno.into()))?.pid;
    let predecessor = Predecessor { stream, pid };
    let call = Call::HandOver { pid: std::process::id() };
    let (outcome, files) = predecessor.call(&call).map_err(lost)?;
    let Outcome::Estate { healthy } = outcome? else {
        return Err(lost(io::ErrorKind::InvalidData.into()));
    };
    let Ok([listener, lock]) = <[OwnedFd; 2]>::try_from(files) else {
        return Err(lost(io::Error::other("its sockets did not come along")));
    };
    let estate = Estate::new(listener.into(), lock.into());
    Ok(Some(Inheritance { estate, healthy, predecessor }))
}

impl Predecessor {
    /// Has it let its last clients go.
    pub(super) fn dismiss(&self) -> io::Result<()> {
        match self.call(&Call::TakenOver)? {
            (Ok(_), _) => Ok(()),
            (Err(fault), _) => Err(io::Error::other(fault.to_string())),
        }
    }

    /// Waits until its last request has ended, with which it should hurry now.
    pub(super) async fn ended(self) {
        drop(self.stream);
        // One that is gone already cannot be opened.
        if let Ok(process) = PidFd::open(self.pid) {
            process.ended().await;
        }
    }

    fn call(&self, call: &Call) -> io::Result<(Result<Outcome, Fault>, Vec<OwnedFd>)> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)?;
        let (mut files, mut text) = (Vec::new(), Vec::new());
        loop {
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                match serde_json::from_slice(&line)? {
                    Reply::Working => {}
                    Reply::Done(outcome) => return Ok((Ok(outcome), files)),
                    Reply::Failed(fault) => return Ok((Err(fault), files)),
                }
            }
            receive(&self.stream, &mut text, &mut files)?;
        }
    }
}

/// What came, and the files that came along.
fn receive(stream: &UnixStream, text: &mut Vec<u8>, files: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut along, RecvFlags::CMSG_CLOEXEC)?;
    for message in along.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    match received.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if text.len() > LONGEST => Err(io::ErrorKind::InvalidData.into()),
        length => {
            text.extend_from_slice(&bytes[..length]);
            Ok(())
        }
    }
}

/// Sends `line` with the estate beside its first byte.
pub(super) async fn send(
    writer: &mut tokio::net::unix::OwnedWriteHalf,
    line: &[u8],
    estate: &Estate,
) -> io::Result<()> {
    let sent = writer.as_ref().async_io(Interest::WRITABLE, || {
        let listener = estate.listener.borrow();
        let listener = listener.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let files = [listener.as_fd(), estate.lock.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        along.push(SendAncillaryMessage::ScmRights(&files));
        let flags = SendFlags::NOSIGNAL;
        Ok(sendmsg(writer.as_ref(), &[IoSlice::new(line)], &mut along, flags)?)
    });
    let sent = sent.await?;
    writer.write_all(&line[sent..]).await
}
