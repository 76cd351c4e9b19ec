//! A part of a file, read as it comes.

use std::io;

use bytes::{Buf as _, Bytes};
use reqwest::{Response, Url};

use super::HttpStore;
use super::answer::Trouble;
use super::connection::Pace;
use crate::store::StoreError;

/// Reads the bytes from an offset on. A connection that breaks is made again where it broke; a
/// server that falls silent is an error.
pub(super) struct Stream<'a> {
    store: &'a HttpStore,
    url: Url,
    /// Offset of the next byte that the reader gets.
    at: u64,
    /// How many more it may get.
    left: u64,
    /// Received, not yet read.
    chunk: Bytes,
    response: Option<Response>,
    /// Bytes of the answer that come before `at`.
    skip: u64,
    /// Breaks since the last byte that came.
    breaks: u32,
    pace: Pace,
}

const MOST_BREAKS: u32 = 3;

impl<'a> Stream<'a> {
    pub(super) fn open(
        store: &'a HttpStore,
        url: Url,
        from: u64,
        cap: u64,
    ) -> Result<Self, StoreError> {
        let (at, left, chunk, pace) = (from, cap, Bytes::new(), store.connection.pace());
        let mut stream =
            Self { store, url, at, left, chunk, response: None, skip: 0, breaks: 0, pace };
        stream.ask()?;
        Ok(stream)
    }

    fn ask(&mut self) -> Result<(), StoreError> {
        let last = self.at.saturating_add(self.left.saturating_sub(1));
        let answer = self.store.ask(&self.url, self.at, last)?;
        (self.response, self.skip) =
            answer.map_or((None, 0), |(answer, skip)| (Some(answer), skip));
        Ok(())
    }

    /// Has bytes in `chunk`, unless it is over.
    fn fill(&mut self) -> Result<(), StoreError> {
        while self.chunk.is_empty() && self.left > 0 {
            let Some(response) = &mut self.response else { return Ok(()) };
            match self.store.connection.chunk(response, &mut self.pace) {
                Ok(Some(mut chunk)) => {
                    let skipped = self.skip.min(chunk.len() as u64);
                    self.skip -= skipped;
                    // At most the chunk's length, which is a usize.
                    chunk.advance(skipped as usize);
                    self.chunk = chunk;
                }
                Ok(None) => self.response = None,
                Err(trouble) => self.mend(trouble)?,
            }
        }
        Ok(())
    }

    fn mend(&mut self, trouble: Trouble) -> Result<(), StoreError> {
        match trouble {
            Trouble::Passing(error) if self.breaks < MOST_BREAKS => {
                self.breaks += 1;
                tracing::debug!("{error}; going on at byte {}", self.at);
                self.ask()
            }
            trouble => Err(trouble.into()),
        }
    }
}

impl io::Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let count = self.chunk.len().min(buffer.len()).min(most);
        self.chunk.copy_to_slice(&mut buffer[..count]);
        self.at += count as u64;
        self.left -= count as u64;
        if count > 0 {
            self.breaks = 0;
        }
        Ok(count)
    }
}
