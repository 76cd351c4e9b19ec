//! A service's output in files that take each other's place, so that it never fills the disk.
//!
//! Lines are kept whole unless one is very long. What cannot be written is let go of and counted:
//! a full disk is no reason for the service to stand still.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How far a line may reach beyond the size of a file.
const OVERHANG: usize = 64 * 1024;

/// The files `<path>`, `<path>.1` (the one before), and so on.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::gate) struct LogFiles {
    /// The file that is written.
    pub(in crate::gate) path: PathBuf,
    /// How large it may become, bytes.
    pub(in crate::gate) size: u64,
    /// How many there are, the one that is written among them; at least one.
    pub(in crate::gate) files: u32,
    #[serde(skip)]
    file: Option<File>,
    #[serde(skip)]
    written: u64,
    #[serde(skip)]
    within_line: bool,
    #[serde(skip)]
    lost: u64,
}

impl LogFiles {
    /// Files that are not open yet.
    pub(in crate::gate) fn new(path: PathBuf, size: u64, files: u32) -> Self {
        Self { path, size, files, file: None, written: 0, within_line: false, lost: 0 }
    }

    /// Opens the file to write.
    pub(in crate::gate) fn open(mut self) -> io::Result<Self> {
        self.reopen().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        Ok(self)
    }

    /// Writes what came, at the end of one file and the beginning of the next where it must be.
    pub(in crate::gate) fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let here = self.fits(bytes);
            self.put(&bytes[..here]);
            if here < bytes.len() {
                self.rotate();
            }
            bytes = &bytes[here..];
        }
    }

    /// How much of `bytes` belongs into the present file.
    fn fits(&self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.size.saturating_sub(self.written)).unwrap_or(usize::MAX);
        if bytes.len() <= room {
            return bytes.len();
        }
        let line_end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n');
        if let Some(end) = line_end(&bytes[..room]) {
            return end + 1;
        }
        if self.written > 0 && !self.within_line {
            return 0;
        }
        let reach = bytes.len().min(room + OVERHANG);
        let over = self.written.saturating_sub(self.size);
        match bytes[..reach].iter().position(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if over < OVERHANG as u64 => reach,
            None => 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        let (Some(file), [.., last]) = (&mut self.file, bytes) else { return };
        let mut written = Ok(());
        if self.lost > 0 {
            let line = format!("cutover: {} bytes of output could not be written\n", self.lost);
            written = file.write_all(line.as_bytes());
        }
        match written.and_then(|()| file.write_all(bytes)) {
            Ok(()) => self.lost = 0,
            Err(_) => self.lost += bytes.len() as u64,
        }
        self.written += bytes.len() as u64;
        self.within_line = *last != b'\n';
    }

    /// The next file. Where that fails, this one starts over: it must not grow without end.
    fn rotate(&mut self) {
        if let Err(error) = self.make_room().and_then(|()| self.reopen()) {
            tracing::warn!(path = %self.path.display(), %error, "output is lost");
            if let Some(file) = &self.file {
                drop(file.set_len(0));
            }
            self.written = 0;
        }
        self.within_line = false;
    }

    fn make_room(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // Another process of the same release may have been here first.
        let moved = fs::metadata(&self.path).map_or(true, |now| {
            file.metadata().is_ok_and(|mine| (mine.dev(), mine.ino()) != (now.dev(), now.ino()))
        });
        if moved {
            return Ok(());
        }
        let name = |number| PathBuf::from(format!("{}.{number}", self.path.display()));
        for number in (1..self.files.saturating_sub(1)).rev() {
            match fs::rename(name(number), name(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        match self.files {
            0 | 1 => fs::remove_file(&self.path),
            _ => fs::rename(&self.path, name(1)),
        }
    }

    /// Opens what stands at the path now, which may be another file than before.
    pub(in crate::gate) fn reopen(&mut self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o640).open(&self.path)?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &tempfile::TempDir, size: u64, files: u32) -> LogFiles {
        LogFiles::new(folder.path().join("log"), size, files).open().unwrap()
    }

    fn read(log: &LogFiles) -> Vec<String> {
        let older = (1..).map(|number| format!("{}.{number}", log.path.display()));
        let names = [log.path.display().to_string()].into_iter().chain(older);
        names.map_while(|name| fs::read_to_string(name).ok()).collect()
    }

    #[test]
    fn lines_stay_whole_and_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = files(&folder, 10, 3);
        for piece in ["one\ntw", "o\nthree\nfo", "ur\n", "five\nsix\n"] {
            log.write(piece.as_bytes());
        }
        assert_eq!(read(&log), ["five\nsix\n", "three\nfour\n", "one\ntwo\n"]);
        log.write(b"seven\n");
        assert_eq!(read(&log), ["seven\n", "five\nsix\n", "three\nfour\n"]);
    }

    #[test]
    fn a_line_without_end_is_cut_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = files(&folder, 100, 2);
        for _ in 0..40 {
            log.write(&[b'x'; 8 * 1024]);
        }
        let kept = read(&log);
        assert_eq!(kept.len(), 2);
        assert!(kept.iter().all(|text| text.len() <= 100 + 2 * OVERHANG), "{}", kept[1].len());
    }

    #[test]
    fn two_that_write_the_same_files_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (files(&folder, 100, 50), files(&folder, 100, 50));
        for number in 0..100 {
            one.write(format!("one {number}\n").as_bytes());
            two.write(format!("two {number}\n").as_bytes());
        }
        let text: String = read(&one).concat();
        assert_eq!(text.lines().count(), 200);
    }

    #[test]
    fn a_single_file_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = files(&folder, 8, 1);
        log.write(b"first\n");
        log.write(b"second\n");
        assert_eq!(read(&log), ["second\n"]);
    }

    #[test]
    fn what_a_full_disk_lost_is_counted() {
        let mut log = LogFiles::new("/dev/full".into(), 1 << 20, 2).open().unwrap();
        log.write(b"gone\n");
        assert_eq!(log.lost, 5);
    }
}
