//! The pointer of a channel to a release: a small signed file.
//!
//! It is the TUF target `channels/<channel>/<product>.json`. That it says once more which channel
//! and product it is for keeps a pointer from being taken for another one.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::exit::{Exit, Explain};
use crate::format::{Format, UnknownFormat};
use crate::name::{Channel, Product};
use crate::tuf::json::Json;

/// The format of a pointer.
pub const FORMAT: Format = Format { name: "cutover.channel", major: 1, minor: 0 };

/// Most bytes that a pointer may have.
pub const LARGEST: u64 = 16 << 10;

/// The channels that every repository has; those of branches (`b.<name>`) come and go.
pub const DEFAULT_CHANNELS: [&str; 4] = ["next", "testing", "stable", "production"];

/// Where a channel points, for one product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// `cutover.channel/1.0`.
    pub format: String,
    /// The channel.
    pub channel: Channel,
    /// The product.
    pub product: Product,
    /// The release it points at.
    pub version: Version,
    /// The digest of that release's descriptor.
    pub descriptor: Digest,
}

/// A pointer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPointer {
    /// Another format or a newer one.
    #[error("channel pointer: {0}")]
    Format(#[from] UnknownFormat),
    /// Not JSON, or not of the shape the format prescribes.
    #[error("channel pointer: {0}")]
    Shape(#[from] serde_json::Error),
    /// It is the pointer of something else.
    #[error("the pointer of channel {channel} for {product} says it is another one's")]
    Misplaced {
        /// The channel asked for.
        channel: Channel,
        /// The product asked for.
        product: Product,
    },
}

impl Explain for InvalidPointer {
    fn exit(&self) -> Exit {
        match self {
            Self::Format(error) => error.exit(),
            Self::Shape(_) | Self::Misplaced { .. } => Exit::NotTrusted,
        }
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Format(error) => error.hints(),
            Self::Shape(_) | Self::Misplaced { .. } => Vec::new(),
        }
    }
}

impl Pointer {
    /// A pointer of `channel` to a release.
    #[must_use]
    pub fn new(channel: Channel, product: Product, version: Version, descriptor: Digest) -> Self {
        Self { format: FORMAT.to_string(), channel, product, version, descriptor }
    }

    /// Reads the pointer of `channel` for `product`; the caller has verified `bytes`.
    pub fn parse(
        bytes: &[u8],
        channel: &Channel,
        product: &Product,
    ) -> Result<Self, InvalidPointer> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
        }
        let head: Head = serde_json::from_slice(bytes)?;
        FORMAT.accept(&head.format)?;
        let pointer: Self = serde_json::from_slice(bytes)?;
        if (&pointer.channel, &pointer.product) != (channel, product) {
            let (channel, product) = (channel.clone(), product.clone());
            return Err(InvalidPointer::Misplaced { channel, product });
        }
        Ok(pointer)
    }

    /// What a target says of its pointer, so that readers can do without the file: see
    /// [`Pointer::hinted`].
    #[must_use]
    pub fn hint(&self) -> Json {
        let version = ("version", self.version.to_string().into());
        [version, ("descriptor", self.descriptor.to_string().into())].into_iter().collect()
    }

    /// The pointer that the hint speaks of. Whoever uses it makes sure that its bytes are those that
    /// are signed for.
    #[must_use]
    pub fn hinted(channel: &Channel, product: &Product, hint: &Json) -> Option<Self> {
        let Json::Object(hint) = hint else { return None };
        let text = |name| match hint.get(name) {
            Some(Json::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let (version, descriptor) = (text("version")?.parse().ok()?, text("descriptor")?);
        let descriptor = descriptor.parse().ok()?;
        Some(Self::new(channel.clone(), product.clone(), version, descriptor))
    }

    /// The bytes that are signed and published.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a pointer is always JSON");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_back() {
        let (channel, product): (Channel, Product) =
            ("stable".parse().unwrap(), "weave".parse().unwrap());
        let version = Version::new(1, 2, 3);
        let pointer = Pointer::new(channel.clone(), product.clone(), version, Digest::of(b""));
        let bytes = pointer.to_bytes();
        assert_eq!(Pointer::parse(&bytes, &channel, &product).unwrap(), pointer);
        let hint = pointer.hint();
        assert_eq!(Pointer::hinted(&channel, &product, &hint).unwrap().to_bytes(), bytes);
        assert_eq!(Pointer::hinted(&channel, &product, &Json::Null), None);
        let other = Pointer::parse(&bytes, &"next".parse().unwrap(), &product);
        assert!(matches!(other, Err(InvalidPointer::Misplaced { .. })));
        assert!(matches!(Pointer::parse(b"{}", &channel, &product), Err(InvalidPointer::Shape(_))));
    }
}
