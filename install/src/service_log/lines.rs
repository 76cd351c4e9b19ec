//! Whole lines from pieces of text.

/// What is longer than this comes in several parts.
const LONGEST: usize = 64 * 1024;

/// What has come of a line so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Hands on every line that ends in `text`, with its end.
    pub(super) fn add<E>(
        &mut self,
        text: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for part in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = part.ends_with(b"\n");
            if whole && self.begun.is_empty() {
                take(part)?;
                continue;
            }
            self.begun.extend_from_slice(part);
            if whole || self.begun.len() >= LONGEST {
                take(&std::mem::take(&mut self.begun))?;
            }
        }
        Ok(())
    }

    /// Hands on what has no end yet.
    pub(super) fn rest<E>(
        &mut self,
        mut take: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let rest = std::mem::take(&mut self.begun);
        if rest.is_empty() { Ok(()) } else { take(&rest) }
    }

    /// Lets go of it; how much it was.
    pub(super) fn forget(&mut self) -> u64 {
        std::mem::take(&mut self.begun).len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_and_endless_ones_in_parts() {
        let mut lines = Lines::default();
        let mut came = Vec::new();
        let mut take = |line: &[u8]| {
            came.push(line.to_vec());
            Ok::<(), ()>(())
        };
        for text in ["one\ntw", "o\n\n", "be"] {
            lines.add(text.as_bytes(), &mut take).unwrap();
        }
        assert_eq!(lines.forget(), 2);
        for _ in 0..3 {
            lines.add(&[b'x'; LONGEST / 2], &mut take).unwrap();
        }
        lines.rest(&mut take).unwrap();
        lines.rest(&mut take).unwrap();
        let came: Vec<&[u8]> = came.iter().map(Vec::as_slice).collect();
        assert_eq!(came[..3], [&b"one\n"[..], b"two\n", b"\n"]);
        assert_eq!(
            came[3..].iter().map(|part| part.len()).collect::<Vec<_>>(),
            [LONGEST, LONGEST / 2]
        );
    }
}
