//! Files that grow by a line at a time.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{DiskError, Doing as _, folder_of, sync_folder};

/// Adds a line to the end of a file, durably, creating the file if there is none. Half a line, which
/// a crash or a full disk may have left at the end, is cut off first; where this one cannot be
/// written whole, none of it stays.
pub fn append_line(path: &Path, line: &[u8]) -> Result<(), DiskError> {
    let append = || -> io::Result<()> {
        let mut options = File::options();
        let mut file = options.create(true).truncate(false).read(true).write(true).open(path)?;
        let end = end_of_lines(&file)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        let written = file.write_all(&[line, b"\n"].concat()).and_then(|()| file.sync_all());
        if written.is_err() {
            // What matters is why writing failed; the next one cuts off what stays now.
            let _ = file.set_len(end);
        }
        written
    };
    append().doing("append to", path)?;
    sync_folder(folder_of(path))
}

/// Where the last whole line ends.
fn end_of_lines(file: &File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let read = &mut block[..(end - from) as usize];
        file.read_exact_at(read, from)?;
        if let Some(last) = read.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + last as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_cut_off_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let long = "x".repeat(10_000);
        append_line(&path, long.as_bytes()).unwrap();
        append_line(&path, b"two").unwrap();
        for torn in ["th".to_owned(), "y".repeat(9_000)] {
            std::fs::write(&path, format!("{long}\ntwo\n{torn}")).unwrap();
            append_line(&path, b"three").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{long}\ntwo\nthree\n"));
        }
        std::fs::write(&path, "torn").unwrap();
        append_line(&path, b"one").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
    }
}
