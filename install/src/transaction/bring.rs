//! From the repository to a sealed prefix. Nothing that runs is touched.

use cutover_formats::digest::Digest;
use cutover_formats::version::Version;
use cutover_repository::store::Read;
use cutover_terminal::{Progress, bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::{Broken, StageError};
use super::recorder::{Done, Recorder};
use crate::audit::Inventory;
use crate::build::Builder;
use crate::configure::Links;
use crate::disk::{self, DiskError, Folder, Permissions};
use crate::fetch::{self, Fetched};
use crate::plan::Stage;
use crate::resolve::Release;
use crate::root::Root;
use crate::unpack::unpack;

/// What makes a prefix whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The release.
    pub version: Version,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// The signed descriptor's digest.
    pub descriptor: Digest,
}

/// Brings `release` to the node; the bytes that came over the wire for it.
pub(super) fn bring(
    recorder: &mut Recorder<'_>,
    root: &Root,
    release: &Release,
    store: &dyn Read,
) -> Result<u64, Broken> {
    let descriptor = &release.descriptor;
    let prefix = root.prefix(&descriptor.version);
    let fetched = recorder.stage(Stage::Fetch, || fetch(root, release, store))?;
    let links = contents(recorder, root, release, store, &fetched).inspect_err(|broken| {
        if broken.cause.is_final() {
            // Else every hostile release would leave its bundle here. Sweeping it is also what a
            // later prune does, so a failure here hides nothing.
            let _ = disk::remove_file(&fetched.path);
        }
    })?;
    if descriptor.python.is_some() {
        recorder.stage(Stage::Build, || build(root, release))?;
    }
    if !descriptor.config.is_empty() {
        recorder.stage(Stage::Configure, || {
            links.make(&Folder::open(&prefix)?)?;
            Ok(((), None))
        })?;
    }
    seal(root, release, &fetched).map_err(Broken::at(Stage::Configure))?;
    Ok(fetched.transferred)
}

/// From the bundle to a prefix that holds what the file list says; the links that are still to be made.
fn contents(
    recorder: &mut Recorder<'_>,
    root: &Root,
    release: &Release,
    store: &dyn Read,
    fetched: &Fetched,
) -> Result<Links, Broken> {
    let descriptor = &release.descriptor;
    let prefix = root.prefix(&descriptor.version);
    let (list, links) = recorder.stage(Stage::Verify, || {
        let (list, signed) = fetch::file_list(store, descriptor)?;
        let links = Links::plan(root, descriptor, &list)?;
        put_on_record(root, release, &signed)?;
        Ok(((list, links), None))
    })?;
    recorder.stage(Stage::Unpack, || {
        // What a crash may have left there.
        disk::remove_tree(&prefix)?;
        let progress = Progress::bytes("unpack", list.bytes());
        unpack(&list, &fetched.path, &prefix, &|count| progress.add(count))?;
        Ok(((), None))
    })?;
    Ok(links)
}

fn fetch(root: &Root, release: &Release, store: &dyn Read) -> Done<Fetched> {
    let size = release.descriptor.bundle().size;
    let progress = Progress::bytes("fetch", size);
    let fetched = fetch::bundle(store, root, &release.descriptor, &|count| progress.add(count))?;
    let words = if fetched.transferred == size {
        bytes(size)
    } else {
        format!("{} of {}, the rest was here", bytes(fetched.transferred), bytes(size))
    };
    Ok((fetched, Some(words)))
}

/// The signed bytes, by which the prefix can be audited later, and who signed them.
fn put_on_record(root: &Root, release: &Release, file_list: &[u8]) -> Result<(), DiskError> {
    let version = &release.descriptor.version;
    disk::ensure_folder(&root.record(version))?;
    disk::write_file(&root.descriptor(version), &release.bytes, Permissions::Plain)?;
    if let Some(signed_by) = &release.signed_by {
        disk::write_json(&root.signed_by(version), signed_by)?;
    }
    disk::write_file(&root.file_list(version), file_list, Permissions::Plain)
}

fn build(root: &Root, release: &Release) -> Done<()> {
    let version = &release.descriptor.version;
    let Some(python) = &release.descriptor.python else { return Ok(((), None)) };
    let prefix = root.prefix(version);
    let builder = Builder::find();
    builder.build(root, &prefix, python)?;
    disk::write_json(&root.built(version), &Inventory::take(&prefix, &python.env)?)?;
    Ok(((), Some(format!("{} by {}", python.env, builder.name()))))
}

/// From here on the prefix is whole: all that is in it is on disk before the seal is.
fn seal(root: &Root, release: &Release, fetched: &Fetched) -> Result<(), StageError> {
    let version = &release.descriptor.version;
    Folder::open(&root.prefix(version))?.sync_file_system()?;
    let seal = Seal {
        version: version.clone(),
        sealed: Timestamp::now(),
        descriptor: Digest::of(&release.bytes),
    };
    disk::write_json(&root.seal(version), &seal)?;
    disk::remove_file(&fetched.path)?;
    Ok(())
}
