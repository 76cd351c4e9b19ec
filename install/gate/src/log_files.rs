//! Output in files that take each other's place, so that it never fills the disk.
//!
//! Lines are kept whole unless one is very long. What cannot be written is let go of, and told to
//! the writer: a full disk is no reason for a service, or for requests, to stand still.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cutover_node::disk::open_careful;
use rustix::fs::{AtFlags, Mode, OFlags, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// How far a line may reach beyond the size of a file.
const OVERHANG: usize = 64 * 1024;

/// The files `<path>`, `<path>.1` (the one before), and so on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LogFiles {
    /// The file that is written.
    pub(super) path: PathBuf,
    /// How large it may become, bytes.
    pub(super) size: u64,
    /// How many there are, the one that is written among them; at least one.
    pub(super) files: u32,
    #[serde(skip)]
    file: Option<File>,
    #[serde(skip)]
    written: u64,
    #[serde(skip)]
    within_line: bool,
}

/// What the file that was written `number` files before the one at `path` is called.
#[must_use]
pub fn older(path: &Path, number: u32) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

/// What could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    /// Bytes.
    pub(super) bytes: u64,
    /// Lines that end among them.
    pub(super) lines: u64,
    /// What the system says.
    pub(super) why: io::Error,
}

impl LogFiles {
    /// Files that are not open yet.
    pub(super) fn new(path: PathBuf, size: u64, files: u32) -> Self {
        Self { path, size, files, file: None, written: 0, within_line: false }
    }

    /// Opens the file to write.
    pub(super) fn open(mut self) -> io::Result<Self> {
        self.reopen().map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
        })?;
        Ok(self)
    }

    /// Writes what came, at the end of one file and the beginning of the next where it must be.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Lost> {
        let mut all: Result<(), Lost> = Ok(());
        while !bytes.is_empty() {
            let (here, rest) = bytes.split_at(self.fits(bytes));
            all = match (all, self.put(here)) {
                (Err(lost), Err(more)) => Err(lost.and(&more)),
                (all, put) => all.and(put),
            };
            if !rest.is_empty() {
                self.rotate();
            }
            bytes = rest;
        }
        all
    }

    /// Whether what was written last has no end of a line.
    pub(super) fn is_within_line(&self) -> bool {
        self.within_line
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

    /// Of what cannot be written whole, whole lines stay.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let Some(file) = &self.file else { return Ok(()) };
        let (done, failed) = append(file, bytes);
        let kept = match failed {
            Some(_) => done - take_back(file, &bytes[..done]),
            None => done,
        };
        self.written += kept as u64;
        if let Some(last) = bytes[..kept].last() {
            self.within_line = *last != b'\n';
        }
        failed.map_or(Ok(()), |why| Err(Lost::of(&bytes[kept..], why)))
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

    /// Within the folder as it is held: whoever may write above it cannot have files elsewhere renamed.
    fn make_room(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let folder = open_careful(folder.unwrap_or(Path::new(".")), flags, Mode::empty())?;
        let own = Path::new(self.path.file_name().unwrap_or_default());
        // Another process of the same release may have been here first.
        let moved = match statat(&folder, own, AtFlags::empty()) {
            Ok(now) => {
                file.metadata().is_ok_and(|it| (it.dev(), it.ino()) != (now.st_dev, now.st_ino))
            }
            Err(_) => true,
        };
        if moved {
            return Ok(());
        }
        let rename = |from: &Path, to: &Path| renameat(&folder, from, &folder, to);
        for number in (1..self.files.saturating_sub(1)).rev() {
            match rename(&older(own, number), &older(own, number + 1)) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(match self.files {
            0 | 1 => unlinkat(&folder, own, AtFlags::empty()),
            _ => rename(own, &older(own, 1)),
        }?)
    }

    /// Opens what stands at the path now, which may be another file than before.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        let file = open_careful(&self.path, flags, Mode::from_raw_mode(0o640))?;
        self.written = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

impl Lost {
    fn of(bytes: &[u8], why: io::Error) -> Self {
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        Self { bytes: bytes.len() as u64, lines: lines as u64, why }
    }

    fn and(self, more: &Self) -> Self {
        Self { bytes: self.bytes + more.bytes, lines: self.lines + more.lines, ..self }
    }
}

/// How much of `bytes` is in the file now, and what stopped it.
fn append(mut file: &File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut done = 0;
    while done < bytes.len() {
        match file.write(&bytes[done..]) {
            Ok(0) => return (done, Some(io::ErrorKind::WriteZero.into())),
            Ok(length) => done += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Some(error)),
        }
    }
    (done, None)
}

/// Takes the beginning of a line back, if nobody has written behind it; how many bytes that was.
fn take_back(mut file: &File, written: &[u8]) -> usize {
    let whole = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let begun = written.len() - whole;
    let mut taken = || {
        let end = file.stream_position()?;
        match file.metadata()?.len() == end {
            true => file.set_len(end - begun as u64).map(|()| begun),
            false => Ok(0),
        }
    };
    // What cannot be taken back stays.
    if begun == 0 { 0 } else { taken().unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
            log.write(piece.as_bytes()).unwrap();
        }
        assert_eq!(read(&log), ["five\nsix\n", "three\nfour\n", "one\ntwo\n"]);
        log.write(b"seven\n").unwrap();
        assert_eq!(read(&log), ["seven\n", "five\nsix\n", "three\nfour\n"]);
    }

    #[test]
    fn a_line_without_end_is_cut_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = files(&folder, 100, 2);
        for _ in 0..40 {
            log.write(&[b'x'; 8 * 1024]).unwrap();
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
            one.write(format!("one {number}\n").as_bytes()).unwrap();
            two.write(format!("two {number}\n").as_bytes()).unwrap();
        }
        let text: String = read(&one).concat();
        assert_eq!(text.lines().count(), 200);
    }

    #[test]
    fn a_single_file_starts_over() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = files(&folder, 8, 1);
        log.write(b"first\n").unwrap();
        log.write(b"second\n").unwrap();
        assert_eq!(read(&log), ["second\n"]);
    }

    /// Whoever may write above its folder could have root rename files elsewhere.
    #[test]
    fn no_link_of_others_is_followed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (logs, moved) = (folder.path().join("logs"), folder.path().join("moved"));
        fs::create_dir(&logs).unwrap();
        let mut log = LogFiles::new(logs.join("log"), 8, 3).open().unwrap();
        log.write(b"first\n").unwrap();
        fs::rename(&logs, &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &logs).unwrap();
        std::os::unix::fs::lchown(&logs, Some(65534), None).unwrap();
        log.write(b"second\n").unwrap();
        assert!(!moved.join("log.1").exists());
        std::os::unix::fs::lchown(&logs, Some(0), None).unwrap();
        log.write(b"third\n").unwrap();
        assert_eq!(read(&log), ["third\n", "second\n"]);
    }

    #[test]
    fn what_a_full_disk_lost_is_told() {
        let mut log = LogFiles::new("/dev/full".into(), 1 << 20, 2).open().unwrap();
        let lost = log.write(b"gone\nand go").unwrap_err();
        assert_eq!((lost.bytes, lost.lines), (11, 1));
        assert_eq!(lost.why.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_line_that_was_begun_is_taken_back() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"whole\nhal").unwrap();
        assert_eq!(take_back(&file, b"whole\nhal"), 3);
        assert_eq!(file.metadata().unwrap().len(), 6);
        assert_eq!(take_back(&file, b"whole\n"), 0);
        // Behind another's.
        file.set_len(20).unwrap();
        assert_eq!(take_back(&file, b"hal"), 0);
        assert_eq!(file.metadata().unwrap().len(), 20);
    }
}
