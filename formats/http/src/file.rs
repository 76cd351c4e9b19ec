//! A part of a file as the body of an answer.
//!
//! What the kernel has in memory is read at once (`RWF_NOWAIT`); what must come from the disk is
//! read on a thread that may wait. Buffers are used again as soon as the socket has taken them.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

/// Bytes read at once.
const CHUNK: usize = 256 << 10;

/// The rest of what is to be sent of a file.
#[derive(Debug)]
pub struct Part {
    file: Arc<File>,
    at: u64,
    left: u64,
    buffers: Buffers,
    reading: Option<JoinHandle<io::Result<Filled>>>,
}

impl Part {
    /// These bytes of `file`, which has them.
    #[must_use]
    pub fn new(file: File, part: Range<u64>) -> Self {
        let (file, buffers) = (Arc::new(file), Buffers::default());
        Self { file, at: part.start, left: part.end - part.start, buffers, reading: None }
    }

    /// Bytes not yet sent.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next bytes, or the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let filled = match &mut self.reading {
            None => match self.read_now() {
                Some(filled) => filled,
                None => return self.poll(cx),
            },
            Some(reading) => {
                let filled = ready!(Pin::new(reading).poll(cx));
                self.reading = None;
                filled.map_err(io::Error::other).flatten()
            }
        };
        Poll::Ready(Some(filled.map(|filled| {
            self.at += filled.length as u64;
            self.left -= filled.length as u64;
            Bytes::from_owner(filled)
        })))
    }

    /// Reads what is in memory; where nothing is, starts to read from the disk.
    fn read_now(&mut self) -> Option<io::Result<Filled>> {
        let wanted = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = self.buffers.take(wanted);
        match read_nowait(&self.file, &mut buffer[..wanted], self.at) {
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                let (file, at, buffers) = (self.file.clone(), self.at, self.buffers.clone());
                self.reading = Some(tokio::task::spawn_blocking(move || {
                    let length = file.read_at(&mut buffer[..wanted], at)?;
                    buffers.filled(buffer, length)
                }));
                None
            }
            Err(error) => Some(Err(error.into())),
            Ok(length) => Some(self.buffers.filled(buffer, length)),
        }
    }
}

/// All `size` bytes of a small file.
pub async fn read(file: File, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; size as usize];
    match read_nowait(&file, &mut bytes, 0) {
        Ok(length) if length == bytes.len() => Ok(bytes.into()),
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            let read = move || file.read_exact_at(&mut bytes, 0).map(|()| bytes.into());
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads only what needs no waiting for a disk.
fn read_nowait(file: &File, buffer: &mut [u8], at: u64) -> Result<usize, Errno> {
    preadv2(file, &mut [IoSliceMut::new(buffer)], at, ReadWriteFlags::NOWAIT)
}

/// The buffers of one answer that are not under way.
#[derive(Clone, Debug, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of at least `length` bytes. All of an answer have the size of the first, which
    /// is the largest.
    fn take(&self, length: usize) -> Vec<u8> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| vec![0; length])
    }

    fn filled(&self, buffer: Vec<u8>, length: usize) -> io::Result<Filled> {
        if length == 0 {
            // Somebody cut the file short: the connection must break, or the client would wait.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Filled { buffer, length, home: self.clone() })
    }
}

/// A buffer under way, which goes home when the socket has taken it.
#[derive(Debug)]
struct Filled {
    buffer: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut home = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        home.push(std::mem::take(&mut self.buffer));
    }
}
