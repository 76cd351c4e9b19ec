//! The mark on a channel that a release was withdrawn from it: a small signed file.
//!
//! It is the TUF target `channels/<channel>/<product>.<version>.withdrawn`, written once and never
//! taken back: versions are immutable, and so is that one of them was bad. Its `custom` field
//! says the reason once more, so that a node needs no further download to name it.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::format::Format;
use crate::name::{Channel, Product};

/// The format of a mark.
pub const FORMAT: Format = Format { name: "cutover.withdrawn", major: 1, minor: 0 };

/// The longest reason, bytes.
pub const LONGEST_REASON: usize = 1000;

/// A release that is not to be installed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {
    /// `cutover.withdrawn/1.0`.
    pub format: String,
    /// The channel that it is withdrawn from.
    pub channel: Channel,
    /// The product.
    pub product: Product,
    /// The version.
    pub version: Version,
    /// Why, in words for operators.
    pub reason: String,
}

impl Withdrawn {
    /// A mark.
    #[must_use]
    pub fn new(channel: Channel, product: Product, version: Version, reason: String) -> Self {
        Self { format: FORMAT.to_string(), channel, product, version, reason }
    }

    /// The bytes that are signed and published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a mark is always JSON");
        bytes.push(b'\n');
        bytes
    }
}
