//! Where things stand in a repository.
//!
//! Every path here is relative to the repository's base, has a fixed depth, and is made only of
//! validated parts. `metadata/` holds TUF metadata, `targets/` everything else; the name of a
//! target file is preceded by its digest (consistent snapshots), the *target path* is not.

use semver::Version;

use crate::descriptor::{BundleRef, Descriptor, FileListRef, FrameTableRef, Vendored};
use crate::digest::Digest;
use crate::minisign;
use crate::name::{Channel, Product};
use crate::path::FileName;

/// The one file that is ever replaced.
pub const TIMESTAMP: &str = "metadata/timestamp.json";

/// The first root of trust.
pub const FIRST_ROOT: &str = "metadata/1.root.json";

/// TUF target path of a release's descriptor.
#[must_use]
pub fn descriptor(product: &Product, version: &Version) -> String {
    in_release(product, version, descriptor_name().as_str())
}

/// TUF target path of a file of a release.
#[must_use]
pub fn release_file(product: &Product, version: &Version, file: &FileName) -> String {
    in_release(product, version, file.as_str())
}

fn in_release(product: &Product, version: &Version, file: &str) -> String {
    format!("releases/{product}/{version}/{file}")
}

/// TUF target path of a channel's pointer for a product.
#[must_use]
pub fn channel(channel: &Channel, product: &Product) -> String {
    format!("channels/{channel}/{product}.json")
}

/// TUF target path of the mark that a release was withdrawn from a channel.
#[must_use]
pub fn withdrawn(channel: &Channel, product: &Product, version: &Version) -> String {
    format!("channels/{channel}/{product}.{version}.withdrawn")
}

/// The release that a target path of a channel says is withdrawn, if it is such a mark.
#[must_use]
pub fn withdrawn_release(channel: &Channel, path: &str) -> Option<(Product, Version)> {
    let mark = path.strip_prefix("channels/")?.strip_prefix(channel.as_str())?.strip_prefix('/')?;
    let release = mark.strip_suffix(".withdrawn")?;
    // Both a product and a version may have dots: where both can be read, it is this mark's.
    release.match_indices('.').find_map(|(at, _)| {
        let (product, version) = (release[..at].parse().ok()?, release[at + 1..].parse().ok()?);
        (withdrawn(channel, &product, &version) == path).then_some((product, version))
    })
}

/// File name of a release's bundle.
///
/// # Panics
/// Never: neither a product nor a version has a character that a file name may not have.
#[must_use]
pub fn bundle_name(product: &Product, version: &Version) -> FileName {
    let name = format!("{product}-{version}.tar.zst");
    name.try_into().expect("a product and a version make a file name")
}

/// File name of a release's file list.
///
/// # Panics
/// Never.
#[must_use]
pub fn file_list_name() -> FileName {
    "files.json.zst".parse().expect("it is one component")
}

/// File name of the frame table of a release's bundle.
///
/// # Panics
/// Never.
#[must_use]
pub fn frame_table_name() -> FileName {
    "frames.bin".parse().expect("it is one component")
}

/// File name of a release's descriptor.
///
/// # Panics
/// Never.
#[must_use]
pub fn descriptor_name() -> FileName {
    "release.json".parse().expect("it is one component")
}

/// File name of a release's list of digests.
///
/// # Panics
/// Never.
#[must_use]
pub fn checksums_name() -> FileName {
    "SHA256SUMS".parse().expect("it is one component")
}

/// Target path of a vendored distribution in the vendor area.
#[must_use]
pub fn vendored(vendored: &Vendored) -> String {
    format!("vendor/{}/{}/{}", vendored.kind, vendored.name, vendored.file)
}

/// Where the file of a target stands: `targets/<folder>/<sha256>.<file>`.
#[must_use]
pub fn stored(target_path: &str, sha256: Digest) -> String {
    match target_path.rsplit_once('/') {
        Some((folder, file)) => format!("targets/{folder}/{sha256}.{file}"),
        None => format!("targets/{sha256}.{target_path}"),
    }
}

/// Where the file list that a descriptor names stands.
#[must_use]
pub fn stored_file_list(product: &Product, version: &Version, files: &FileListRef) -> String {
    stored(&release_file(product, version, &files.file), files.sha256)
}

/// Where the frame table that a descriptor names stands.
#[must_use]
pub fn stored_frame_table(product: &Product, version: &Version, frames: &FrameTableRef) -> String {
    stored(&release_file(product, version, &frames.file), frames.sha256)
}

/// Where a release's `SHA256SUMS` stands: by its own digest, so that one that was left behind, or
/// made by another version of the program, is in nobody's way.
#[must_use]
pub fn stored_checksums(product: &Product, version: &Version, sha256: Digest) -> String {
    stored(&release_file(product, version, &checksums_name()), sha256)
}

/// Where the signature of a stored file stands, for `minisign`: beside it, where `minisign -Vm` looks
/// for it. So its name begins with the digest of the file that it signs, not its own.
#[must_use]
pub fn stored_signature(stored: &str) -> String {
    format!("{stored}{}", minisign::EXTENSION)
}

/// Where the bundle that a descriptor names stands.
#[must_use]
pub fn stored_bundle(product: &Product, version: &Version, bundle: BundleRef<'_>) -> String {
    stored(&release_file(product, version, bundle.file), bundle.sha256)
}

/// Where everything stands that a release has in its folder beside its descriptor; `sums` is the digest of
/// its `SHA256SUMS`. A server keeps no other file there.
///
/// # Panics
/// Where the descriptor was put together without a bundle; a parsed descriptor always has one.
#[must_use]
pub fn stored_beside(release: &Descriptor, sums: Digest) -> Vec<String> {
    let (product, version) = (&release.product, &release.version);
    let bundle = stored_bundle(product, version, release.bundle());
    let sums = stored_checksums(product, version, sums);
    vec![
        stored_signature(&bundle),
        stored_signature(&sums),
        stored_frame_table(product, version, release.bundle().frames),
        stored_file_list(product, version, &release.files),
        bundle,
        sums,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_goes_before_the_base_name_only() {
        let digest = Digest::of(b"");
        let path = stored("releases/weave/1.1.4/release.json", digest);
        assert_eq!(path, format!("targets/releases/weave/1.1.4/{digest}.release.json"));
        assert_eq!(stored("x", digest), format!("targets/{digest}.x"));
        let (channel, product): (Channel, Product) =
            ("stable".parse().unwrap(), "a.b-1".parse().unwrap());
        let version: Version = "1.2.3-rc.1+x".parse().unwrap();
        let mark = withdrawn(&channel, &product, &version);
        assert_eq!(withdrawn_release(&channel, &mark), Some((product, version)));
        assert_eq!(withdrawn_release(&channel, "channels/stable/a.json"), None);
        assert_eq!(withdrawn_release(&"next".parse().unwrap(), &mark), None);
    }
}
