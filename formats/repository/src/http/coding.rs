//! Small files that come compressed: what is signed are the bytes that come out.
//!
//! Threats: a few bytes may claim to be gigabytes, or need gigabytes to be decoded. No more comes out
//! than the caller takes, and the decoder remembers no more than the largest metadata has.

use std::io::Read as _;

use reqwest::header::CONTENT_ENCODING;
use reqwest::{Response, Url};

use super::answer::{Trouble, nonsense};
use super::shown;
use crate::store::StoreError;

/// The one coding that is asked for.
pub(super) const ZSTD: &str = "zstd";

/// Most that the decoder looks back, as a power of two: 8 MiB.
const WINDOW: u32 = 23;

/// How an answer is coded; `None` where it is not.
pub(super) fn of(response: &Response) -> Option<&str> {
    let coding = response.headers().get(CONTENT_ENCODING)?.to_str().unwrap_or("unknown");
    Some(coding).filter(|coding| *coding != "identity")
}

/// The file, of which at most `cap` bytes are taken.
pub(super) fn decode(url: &Url, coded: &[u8], cap: u64) -> Result<Vec<u8>, Trouble> {
    let garbled = |_| nonsense(url, "it sent what is not zstd, and said that it was");
    let mut decoder = zstd::stream::read::Decoder::with_buffer(coded).map_err(garbled)?;
    decoder.window_log_max(WINDOW).map_err(garbled)?;
    let mut bytes = Vec::new();
    decoder.take(cap.saturating_add(1)).read_to_end(&mut bytes).map_err(garbled)?;
    if bytes.len() as u64 > cap {
        return Err(Trouble::Lasting(StoreError::TooLarge { what: shown(url), cap }));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_comes_out_than_is_taken() {
        let url = "http://localhost/x".parse().unwrap();
        let error = |coded: &[u8], cap| match decode(&url, coded, cap) {
            Err(trouble) => StoreError::from(trouble).to_string(),
            Ok(bytes) => panic!("{} bytes", bytes.len()),
        };
        let small = zstd::bulk::compress(b"0123456789", 3).unwrap();
        assert!(decode(&url, &small, 10).is_ok_and(|bytes| bytes == b"0123456789"));
        assert!(error(&small, 9).contains("larger than the 9 bytes"));
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
        assert!(error(&bomb, 1 << 20).contains("larger than"));
        assert!(error(&small[..small.len() - 1], 10).contains("not zstd"));
        assert!(error(b"{\"signed\"", 10).contains("not zstd"));
        // A window of 2 GiB, of which only a byte is used.
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x09, 0x00, 0x00, b'x'];
        assert!(error(&wide, 10).contains("not zstd"));
    }
}
