//! The parsers of foreign bytes over the corpus in `fuzz/corpus`, and over mutations of it that are the same in
//! every run. What a fuzzer does with them, `tests/fuzz` shows.

use std::path::Path;

use cutover_tests::foreign::{TARGETS, Target};
use cutover_tests::world::source;

/// Mutations of each file of the corpus.
const MUTATIONS: u64 = 300;
/// Text that means something to one parser or another.
const WORDS: [&[u8]; 14] = [
    b"\"",
    b"[",
    b"{",
    b"}",
    b"..",
    b"/",
    b"\0",
    b"\\u0000",
    b"-1",
    b"1e9",
    b"18446744073709551615",
    b"\xff",
    b"=",
    b"\n",
];

struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % (most.max(1) as u64)) as usize
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        let (at, to) = (self.below(bytes.len()), self.below(bytes.len()));
        match self.below(5) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 => bytes.truncate(at),
            2 => drop(bytes.drain(at.min(to)..at.max(to).min(at.min(to) + 32))),
            3 => {
                let word = WORDS[self.below(WORDS.len())];
                drop(bytes.splice(at..at, word.iter().copied()));
            }
            _ => {
                let piece = bytes[at.min(to)..at.max(to)].to_vec();
                drop(bytes.splice(at..at, piece));
            }
        }
    }
}

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = source("../fuzz/corpus").join(target.name);
    let read = |path: &Path| std::fs::read(path).expect("the corpus can be read");
    let files = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<_> = files.map(|file| file.expect("it can be read").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| read(file)).collect()
}

#[test]
fn no_parser_panics() {
    for target in TARGETS {
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
        (target.run)(b"");
        for seed in corpus(&target) {
            (target.run)(&seed);
            for _ in 0..MUTATIONS {
                let mut bytes = seed.clone();
                for _ in 0..=dice.below(4) {
                    dice.mutate(&mut bytes);
                }
                (target.run)(&bytes);
            }
        }
    }
}
