//! One gate takes another's place without a request being lost: `install gate --replace`.
//!
//! The successor asks the running gate, on its control socket, for what only one gate can have: the
//! listening socket, the lock (which is never let go of, so that no third gate comes between) and the
//! control socket itself, so that at no moment an installer finds no gate. It goes on with the service by
//! the [record](super::identity::Record) that its minder wrote, asks it for its health, and begins to
//! accept, while the other still does. Only then it says so, and whether the predecessor agrees decides
//! who has the service and all the rest from there on. One that agrees lets go of everything, answers
//! what it has with `Connection: close`, and ends with its last request. One that is ending by then
//! refuses, and the successor ends without touching anything. One that is dead has left its place. Up
//! to that word the predecessor goes on as if nothing had been, should the successor fail.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use cutover_formats::version::Version;
use cutover_node::root::Root;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncWriteExt, Interest};

use super::identity::Identity;
use super::protocol::{Call, Fault, Outcome, Reply};
use super::session::{ControlError, reach, reach_any};

/// How long a process that has closed its sockets may take to be seen to have ended.
const DYING: Duration = Duration::from_secs(5);

/// How often it is looked.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Most bytes of its answer.
const LONGEST: usize = 64 * 1024;

/// What a gate needs and only one can have.
#[derive(Debug)]
pub(super) struct Estate {
    /// Where clients knock, until the gate ends.
    pub(super) listener: RefCell<Option<TcpListener>>,
    /// Where installers knock.
    pub(super) control: RefCell<Option<UnixListener>>,
    /// One gate per root.
    pub(super) lock: RefCell<Option<File>>,
}

impl Estate {
    /// What a gate begins with.
    pub(super) fn new(listener: TcpListener, lock: File) -> Self {
        let (listener, lock) = (RefCell::new(Some(listener)), RefCell::new(Some(lock)));
        Self { listener, control: RefCell::default(), lock }
    }

    /// Lets go of all of it: it is another gate's, or nobody's should that die.
    pub(super) fn let_go(&self) {
        self.listener.take();
        self.control.take();
        self.lock.take();
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
    process: Identity,
    /// The beginning of a line whose end has not come yet: what follows may take longer than a read.
    begun: RefCell<Vec<u8>>,
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
    /// The umask of its services, where it says so.
    pub(super) umask: Option<u32>,
    /// Where its log goes, where it says so.
    pub(super) log: Option<OwnedFd>,
}

/// Asks the gate that runs for `root` to hand over; `None` where none runs, or dies just then.
pub(super) fn inherit(root: &Root) -> Result<Option<Inheritance>, ControlError> {
    let reached = match reach(root) {
        // It takes this one to get rid of it.
        Err(ControlError::OtherVersion { .. }) => reach_any(root)?,
        reached => reached?,
    };
    let Some(stream) = reached else { return Ok(None) };
    let lost = |why| ControlError::lost(&root.control(), why);
    let pid = socket_peercred(&stream).map_err(|errno| lost(errno.into()))?.pid;
    let Ok(process) = Identity::of(pid) else { return Ok(None) };
    let predecessor = Predecessor { stream, process, begun: RefCell::default() };
    let call = Call::HandOver { pid: std::process::id() };
    let (outcome, files) = match predecessor.call(&call) {
        Err(_) if predecessor.dies() => return Ok(None),
        called => called.map_err(lost)?,
    };
    let Outcome::Estate { healthy, umask } = outcome? else {
        return Err(lost(io::ErrorKind::InvalidData.into()));
    };
    let mut files = files.into_iter();
    let (Some(listener), Some(lock)) = (files.next(), files.next()) else {
        return Err(lost(io::Error::other("the gate that runs sent no sockets")));
    };
    let estate = Estate::new(listener.into(), lock.into());
    // Gates before 1.0 of the protocol keep these to themselves.
    estate.control.replace(files.next().map(UnixListener::from));
    Ok(Some(Inheritance { estate, healthy, predecessor, umask, log: files.next() }))
}

impl Predecessor {
    /// Has it leave its place to this gate, and let its last clients go; an error where it does not, and
    /// goes on or ends with all that it has.
    pub(super) fn dismiss(&self) -> Result<(), Fault> {
        let mut called = self.call(&Call::TakenOver);
        // One that stands still has not decided yet, and only one gate may go on.
        while called.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
            && self.process.is_alive()
        {
            tracing::warn!(
                "the gate that runs stands still; nobody can take over until it goes on or ends"
            );
            called = self.reply();
        }
        match called {
            Ok((outcome, _)) => outcome.map(drop),
            Err(_) if self.dies() => Ok(()),
            Err(why) => Err(Fault::Io(format!("the gate that runs did not answer: {why}"))),
        }
    }

    /// Whether it is dead, or so a moment later: its sockets are closed before that can be seen.
    fn dies(&self) -> bool {
        let deadline = Instant::now() + DYING;
        while self.process.is_alive() && Instant::now() < deadline {
            std::thread::sleep(LOOK_AGAIN);
        }
        !self.process.is_alive()
    }

    /// Waits until its last request has ended, with which it should hurry now.
    pub(super) async fn ended(self) {
        drop(self.stream);
        // One that is gone already cannot be opened.
        if let Some(process) = self.process.open() {
            process.ended().await;
        }
    }

    fn call(&self, call: &Call) -> io::Result<(Result<Outcome, Fault>, Vec<OwnedFd>)> {
        let mut line = serde_json::to_vec(call)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)?;
        self.reply()
    }

    fn reply(&self) -> io::Result<(Result<Outcome, Fault>, Vec<OwnedFd>)> {
        let (mut files, mut text) = (Vec::new(), self.begun.borrow_mut());
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
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
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
        let (control, lock) = (estate.control.borrow(), estate.lock.borrow());
        let (Some(listener), Some(control), Some(lock)) = (&*listener, &*control, &*lock) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let log = io::stderr();
        let files = [listener.as_fd(), lock.as_fd(), control.as_fd(), log.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut along = SendAncillaryBuffer::new(&mut space);
        along.push(SendAncillaryMessage::ScmRights(&files));
        let flags = SendFlags::NOSIGNAL;
        Ok(sendmsg(writer.as_ref(), &[IoSlice::new(line)], &mut along, flags)?)
    });
    let sent = sent.await?;
    writer.write_all(&line[sent..]).await
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::*;

    #[test]
    fn a_reply_may_come_in_pieces_and_take_its_time() {
        let (stream, mut other) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        let process = Identity::of(getpid()).unwrap();
        let predecessor = Predecessor { stream, process, begun: RefCell::default() };
        let mut line = serde_json::to_vec(&Reply::Done(Outcome::Nothing)).unwrap();
        line.push(b'\n');
        let (first, second) = line.split_at(5);
        other.write_all(first).unwrap();
        assert_eq!(predecessor.reply().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        other.write_all(second).unwrap();
        assert_eq!(predecessor.reply().unwrap().0.unwrap(), Outcome::Nothing);
    }
}
