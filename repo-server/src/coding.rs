//! Metadata and descriptors, compressed for those who ask for it: digests and names in them repeat, so
//! that a look at a large repository costs a third.

use std::io;

use hyper::body::Bytes;
use hyper::header::{ACCEPT_ENCODING, HeaderMap, RANGE};

/// The one coding that there is.
pub(crate) const ZSTD: &str = "zstd";
/// Largest file that is coded.
pub(crate) const LARGEST: u64 = 8 << 20;
/// Less is not worth the header.
const LEAST: usize = 300;
/// Compressed at once; more waits for a thread that may take its time.
const AT_ONCE: usize = 64 << 10;
const LEVEL: i32 = 3;

/// Whether a file of this path is ever coded.
pub(crate) fn is_possible(path: &str) -> bool {
    path.ends_with(".json")
}

/// Whether it is for who asks so. Parts are parts of the file as it is.
pub(crate) fn is_wanted(path: &str, asked: &HeaderMap) -> bool {
    let accepted = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    is_possible(path)
        && !asked.contains_key(RANGE)
        && accepted.flat_map(|value| value.split(',')).any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").map(|q| q.trim().parse());
            name.trim().eq_ignore_ascii_case(ZSTD) && !matches!(weight, Some(Ok(0.0) | Err(_)))
        })
}

/// The file, coded; `None` where that would not make it shorter.
pub(crate) async fn coded(file: &Bytes) -> io::Result<Option<Bytes>> {
    let compressed = match file.len() {
        ..LEAST => return Ok(None),
        LEAST..=AT_ONCE => zstd::bulk::compress(file, LEVEL),
        _ => {
            let file = file.clone();
            let compress = move || zstd::bulk::compress(&file, LEVEL);
            tokio::task::spawn_blocking(compress).await.map_err(io::Error::other)?
        }
    };
    Ok(Some(Bytes::from(compressed?)).filter(|coded| coded.len() < file.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn who_wants_it() {
        let accepts = |text: &'static str| {
            let mut asked = HeaderMap::new();
            asked.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            asked
        };
        for wanted in ["zstd", "gzip, zstd", "br;q=1.0, ZSTD ; q=0.5"] {
            assert!(is_wanted("metadata/1.root.json", &accepts(wanted)), "{wanted}");
            assert!(!is_wanted("targets/x.tar.zst", &accepts(wanted)), "{wanted}");
        }
        for unwanted in ["", "gzip", "zstd;q=0", "zstd;q=0.000", "zstd;q=x", "zstdx", "*"] {
            assert!(!is_wanted("metadata/1.root.json", &accepts(unwanted)), "{unwanted}");
        }
        let mut part = accepts("zstd");
        part.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
        assert!(!is_wanted("metadata/1.root.json", &part));
    }
}
