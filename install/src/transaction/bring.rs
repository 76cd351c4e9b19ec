//! From the repository to a sealed prefix. Nothing that runs is touched.

use std::path::Path;

use cutover_formats::bundle::Layout;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::FileList;
use cutover_formats::period::Period;
use cutover_formats::stage::BuiltIn;
use cutover_formats::version::Version;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Progress, bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::StageError;
use crate::audit::{Finding, Inventory};
use crate::build::{BuildError, Builder, Site, record};
use crate::configure::inputs::Inputs;
use crate::configure::{self, Links};
use crate::disk::{self, DiskError, Folder, Permissions};
use crate::fetch::{self, Fetched};
use crate::folding;
use crate::plan::Step;
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

/// What was brought so far.
#[derive(Default)]
pub(crate) struct Brought {
    list: Option<(FileList, Vec<u8>)>,
    fetched: Option<Fetched>,
    contents: Option<(FileList, Links)>,
}

impl Brought {
    /// Bytes that came over the wire.
    pub(crate) fn transferred(&self) -> u64 {
        self.fetched.as_ref().map_or(0, |fetched| fetched.transferred)
    }

    /// The bundle on this node, while it is there.
    pub(crate) fn bundle(&self) -> Option<&Path> {
        self.fetched.as_ref().map(|fetched| fetched.path.as_path())
    }

    fn fetched(&self) -> Result<&Fetched, StageError> {
        self.fetched.as_ref().ok_or(StageError::Disordered(BuiltIn::Fetch))
    }

    fn contents(&self) -> Result<&(FileList, Links), StageError> {
        self.contents.as_ref().ok_or(StageError::Disordered(BuiltIn::Verify))
    }
}

/// What a release is brought with.
pub(crate) struct Bring<'a> {
    pub(crate) root: &'a Root,
    /// Names the transaction.
    pub(crate) id: &'a str,
    pub(crate) release: &'a Release,
    pub(crate) mirrors: &'a Mirrors<'a>,
    pub(crate) inputs: Option<&'a Inputs>,
}

impl Bring<'_> {
    /// One stage; what came of it in words, where the plan could not know.
    pub(crate) fn act(
        &self,
        stage: BuiltIn,
        step: &Step,
        brought: &mut Brought,
    ) -> Result<Option<String>, StageError> {
        let Self { root, release, mirrors, inputs, .. } = *self;
        let descriptor = &release.descriptor;
        let prefix = root.prefix(&descriptor.version);
        match stage {
            BuiltIn::Fetch => {
                // Before anything large: it may have names that cannot stand here.
                let list = mirrors.ask(|store| fetch::file_list(store, descriptor))?;
                folding::check(root, &list.0)?;
                brought.list = Some(list);
                let (fetched, words) = fetch(root, release, mirrors)?;
                brought.fetched = Some(fetched);
                return Ok(Some(words));
            }
            BuiltIn::Verify => {
                let (list, signed) = match brought.list.take() {
                    Some(list) => list,
                    None => mirrors.ask(|store| fetch::file_list(store, descriptor))?,
                };
                let links = Links::plan(root, descriptor, &list)?;
                put_on_record(root, release, &signed)?;
                brought.contents = Some((list, links));
            }
            BuiltIn::Unpack => {
                let (list, _) = brought.contents()?;
                unseal(root, &descriptor.version)?;
                // What a crash may have left there, or what was damaged.
                disk::remove_tree(&prefix)?;
                let progress = Progress::bytes("unpack", Layout::new(list).total_len());
                let bundle = &brought.fetched()?.path;
                unpack(list, bundle, &prefix, &|count| progress.add(count))?;
            }
            BuiltIn::Build => return self.build(step),
            BuiltIn::Configure => {
                let (list, links) = brought.contents()?;
                links.make(&Folder::open(&prefix)?)?;
                if descriptor.renders() {
                    let inputs = inputs.ok_or(StageError::Disordered(BuiltIn::Requires))?;
                    configure::render_for(root, descriptor, list, inputs)?;
                }
            }
            BuiltIn::Seal => seal(root, release, brought.fetched()?)?,
            _ => {}
        }
        Ok(None)
    }

    fn build(&self, step: &Step) -> Result<Option<String>, StageError> {
        let Self { root, id, .. } = *self;
        let descriptor = &self.release.descriptor;
        let Some(python) = &descriptor.python else { return Ok(None) };
        let prefix = root.prefix(&descriptor.version);
        let builder = Builder::find();
        let limit = step.timeout.map(Period::as_duration);
        let site = Site { root, prefix: &prefix, id };
        let build = || -> Result<(Inventory, Vec<Finding>), StageError> {
            // What an earlier try may have left there.
            disk::remove_tree(&prefix.join(python.env.as_path()))?;
            builder.build(&site, python, limit)?;
            // Some builders leave files that everybody may write to, whatever the umask.
            disk::shut(&prefix.join(python.env.as_path()))?;
            let built = Inventory::take(&prefix, &python.env, builder.name())?;
            let differing = record::differing(&built, &prefix)?;
            Ok((built, differing))
        };
        let (mut built, mut differing) = build()?;
        let mut words = format!("{} by {}", python.env, builder.name());
        // What a builder keeps is nobody's word.
        if !differing.is_empty() && builder.forget(root)? {
            words.push_str(", once more without its cache, which was damaged");
            (built, differing) = build()?;
        }
        if !differing.is_empty() {
            return Err(BuildError::Differs(differing).into());
        }
        disk::write_json(&root.built(&descriptor.version), &built)?;
        Ok(Some(words))
    }
}

fn fetch(
    root: &Root,
    release: &Release,
    mirrors: &Mirrors<'_>,
) -> Result<(Fetched, String), StageError> {
    let size = release.descriptor.bundle().size;
    let progress = Progress::bytes("fetch", size);
    let add = |count| progress.add(count);
    let fetched = mirrors.ask(|store| fetch::bundle(store, root, &release.descriptor, &add))?;
    let words = if fetched.transferred == size {
        bytes(size)
    } else {
        format!("{} of {}, the rest was here", bytes(fetched.transferred), bytes(size))
    };
    Ok((fetched, words))
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

/// A release that was damaged and is brought again is none until it is sealed once more.
fn unseal(root: &Root, version: &Version) -> Result<(), DiskError> {
    disk::remove_file(&root.seal(version))?;
    disk::remove_file(&root.built(version))?;
    disk::sync_folder(&root.record(version))
}

/// From here on the prefix is whole: all that is in it is on disk before the seal is.
fn seal(root: &Root, release: &Release, fetched: &Fetched) -> Result<(), StageError> {
    let version = &release.descriptor.version;
    let prefix = root.prefix(version);
    if let Some(python) = &release.descriptor.python
        && !root.built(version).exists()
        && prefix.join(python.env.as_path()).is_dir()
    {
        // A command stood in for `build`.
        let built = Inventory::take(&prefix, &python.env, "a command")?;
        disk::write_json(&root.built(version), &built)?;
    }
    Folder::open(&prefix)?.sync_file_system()?;
    let seal = Seal {
        version: version.clone(),
        sealed: Timestamp::now(),
        descriptor: Digest::of(&release.bytes),
    };
    disk::write_json(&root.seal(version), &seal)?;
    disk::remove_file(&fetched.path)?;
    Ok(())
}
