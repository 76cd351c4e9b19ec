//! Tar headers: ustar, with a pax extended header before those that ustar cannot say.

use super::BLOCK;
use crate::filelist::Shape;

const NAME: usize = 100;

/// Sizes from here on do not fit into eleven octal digits.
const LARGE: u64 = 8 << 30;

/// The name that the pax header itself goes by, as Python's tarfile has it.
const PAX_NAME: &str = "././@PaxHeader";

/// What a header says. `name` is the whole path in the tar, with a `/` at the end of a folder's.
pub(super) struct Header<'a> {
    pub(super) name: &'a str,
    pub(super) shape: Shape<'a>,
    pub(super) time: u64,
}

impl Header<'_> {
    /// Its bytes: one block, or three and more with a pax extended header before it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let records = self.records();
        let mut bytes = Vec::with_capacity(BLOCK as usize);
        if !records.is_empty() {
            let len = records.len() as u64;
            bytes.extend(block(PAX_NAME, "", 0o644, len, self.time, b'x'));
            bytes.extend(records.into_bytes());
            bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
        }
        let (target, flag) = match self.shape {
            Shape::Folder => ("", b'5'),
            Shape::File { .. } => ("", b'0'),
            Shape::Link { target } => (target, b'2'),
        };
        let size = self.shape.size();
        let size = if size < LARGE { size } else { 0 };
        bytes.extend(block(self.name, target, self.shape.mode(), size, self.time, flag));
        bytes
    }

    /// How many bytes that is, without making them.
    pub(super) fn len(&self) -> u64 {
        match self.records().len() as u64 {
            0 => BLOCK,
            records => 2 * BLOCK + records.next_multiple_of(BLOCK),
        }
    }

    /// The records of the pax extended header; none where ustar says it all.
    fn records(&self) -> String {
        let mut records = String::new();
        if !fits(self.name) {
            records.push_str(&record("path", self.name));
        }
        match self.shape {
            Shape::Link { target } if !fits(target) => {
                records.push_str(&record("linkpath", target));
            }
            Shape::File { size, .. } if size >= LARGE => {
                records.push_str(&record("size", &size.to_string()));
            }
            _ => {}
        }
        records
    }
}

fn fits(text: &str) -> bool {
    text.is_ascii() && text.len() <= NAME
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + digits(len) != len {
        len = rest + digits(len);
    }
    format!("{len} {key}={value}\n")
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

fn block(name: &str, target: &str, mode: u32, size: u64, time: u64, flag: u8) -> [u8; 512] {
    let mut block = [0; BLOCK as usize];
    put(&mut block[..NAME], &plain(name));
    put(&mut block[100..108], format!("{mode:07o}\0").as_bytes());
    put(&mut block[108..116], b"0000000\0");
    put(&mut block[116..124], b"0000000\0");
    put(&mut block[124..136], format!("{size:011o}\0").as_bytes());
    put(&mut block[136..148], format!("{time:011o}\0").as_bytes());
    put(&mut block[148..156], b"        ");
    block[156] = flag;
    put(&mut block[157..257], &plain(target));
    put(&mut block[257..265], b"ustar\x0000");
    put(&mut block[329..337], b"0000000\0");
    put(&mut block[337..345], b"0000000\0");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut block[148..156], format!("{sum:06o}\0 ").as_bytes());
    block
}

/// What a program without pax sees of an over-long or non-ASCII name: as much as fits.
fn plain(text: &str) -> Vec<u8> {
    text.bytes().take(NAME).map(|byte| if byte.is_ascii() { byte } else { b'_' }).collect()
}

fn put(field: &mut [u8], value: &[u8]) {
    field[..value.len()].copy_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_itself() {
        assert_eq!(record("path", "a"), "9 path=a\n");
        assert_eq!(record("path", "ab"), "11 path=ab\n");
        for len in 0..2100 {
            let record = record("path", &"x".repeat(len));
            let (count, _) = record.split_once(' ').unwrap();
            assert_eq!(count.parse(), Ok(record.len()));
        }
    }

    #[test]
    fn length_without_the_bytes() {
        let (long, file) = ("x".repeat(700), Shape::File { executable: false, size: 1 });
        for (name, shape) in [
            ("a", file),
            (long.as_str(), file),
            ("ä", Shape::Folder),
            ("a", Shape::Link { target: &long }),
            ("a", Shape::File { executable: true, size: LARGE }),
        ] {
            let header = Header { name, shape, time: 0 };
            assert_eq!(header.len(), header.bytes().len() as u64);
        }
    }
}
