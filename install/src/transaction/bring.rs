//! From the repository to a sealed prefix. Nothing that runs is touched.

use std::sync::atomic::AtomicU64;

use cutover_formats::bundle::{FrameTable, Layout};
use cutover_formats::descriptor::Descriptor;
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
use crate::contents::{self, Here, Job, Leftover, Stock};
use crate::disk::{self, DiskError, Folder, Permissions};
use crate::fetch::{self, Download};
use crate::folding;
use crate::node::{Node, NodeError};
use crate::plan::Step;
use crate::resolve::Release;
use crate::root::Root;

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
    contents: Option<Contents>,
    links: Option<Links>,
    /// Held from the first byte to the seal: an error of writing back is told once to whoever holds it.
    prefix: Option<Folder>,
    transferred: u64,
}

/// What is signed of a release's contents, and where they come from.
struct Contents {
    list: FileList,
    /// The bytes of the list that were signed.
    signed: Vec<u8>,
    table: FrameTable,
    stock: Stock,
    plan: contents::Plan,
}

impl Brought {
    /// Bytes of the bundle that came over the wire.
    pub(crate) fn transferred(&self) -> u64 {
        self.transferred
    }

    fn contents(&self) -> Result<&Contents, StageError> {
        self.contents.as_ref().ok_or(StageError::Disordered(BuiltIn::Fetch))
    }
}

/// What a release is brought with.
pub(crate) struct Bring<'a> {
    /// Whose sealed releases have files that need not be fetched.
    pub(crate) node: &'a Node,
    /// Where it goes: the node's root, or one in small.
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
        let Self { root, release, inputs, .. } = *self;
        let descriptor = &release.descriptor;
        match stage {
            BuiltIn::Fetch => {
                let contents = self.fetch()?;
                let words = contents.plan.figures.to_string();
                brought.contents = Some(contents);
                return Ok(Some(words));
            }
            BuiltIn::Verify => {
                let Contents { list, signed, .. } = brought.contents()?;
                let links = Links::plan(root, descriptor, list)?;
                put_on_record(root, release, signed)?;
                brought.links = Some(links);
            }
            BuiltIn::Unpack => return self.unpack(brought).map(Some),
            BuiltIn::Build => return self.build(step),
            BuiltIn::Configure => {
                let links =
                    brought.links.as_ref().ok_or(StageError::Disordered(BuiltIn::Verify))?;
                links.make(&Folder::open(&root.prefix(&descriptor.version))?)?;
                if descriptor.renders() {
                    let inputs = inputs.ok_or(StageError::Disordered(BuiltIn::Requires))?;
                    configure::render_for(root, descriptor, &brought.contents()?.list, inputs)?;
                }
            }
            BuiltIn::Seal => {
                let prefix = brought.prefix.take();
                seal(root, release, &prefix.ok_or(StageError::Disordered(BuiltIn::Unpack))?)?;
            }
            _ => {}
        }
        Ok(None)
    }

    /// What is signed of the contents, and the plan. Names that cannot stand here are found before
    /// anything large comes.
    fn fetch(&self) -> Result<Contents, StageError> {
        let Self { node, root, release, mirrors, .. } = *self;
        let descriptor = &release.descriptor;
        let (list, signed) = mirrors.ask(|store| fetch::file_list(store, descriptor))?;
        folding::check(root, &list)?;
        let layout = Layout::new(&list);
        let (table, _) = mirrors.ask(|store| fetch::frame_table(store, descriptor, &layout))?;
        let stock = stock(node, root, descriptor, &list)?;
        let plan = contents::plan(&list, &stock.have(), &table);
        Ok(Contents { list, signed, table, stock, plan })
    }

    fn unpack(&self, brought: &mut Brought) -> Result<String, StageError> {
        let Self { root, release, mirrors, .. } = *self;
        let Contents { list, table, stock, plan, .. } = brought.contents()?;
        unseal(root, &release.descriptor.version)?;
        let frames = |frames: &[u64]| -> u64 {
            let bytes = |frame: &u64| u64::from(table.frames()[*frame as usize].decompressed);
            frames.iter().map(bytes).sum()
        };
        let progress = Progress::bytes("unpack", frames(&plan.frames));
        let progress = &|count| progress.add(count);
        let transferred = AtomicU64::new(0);
        let job = Job { list, table, stock, plan, progress };
        let prefix = job.create(&root.prefix(&release.descriptor.version), |plan| {
            let runs = plan.runs.clone();
            Download::new(mirrors, &release.descriptor, table, runs, &transferred)
        });
        let words = format!("{} entries, {}", list.entries().len(), bytes(list.bytes()));
        brought.transferred += transferred.into_inner();
        brought.prefix = Some(prefix?);
        Ok(words)
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

/// What is on `node` of the contents of a release that goes to `root`.
pub(crate) fn stock(
    node: &Node,
    root: &Root,
    release: &Descriptor,
    list: &FileList,
) -> Result<Stock, NodeError> {
    let mut sealed = node.sealed()?;
    if node.root == *root {
        // One that is damaged, and goes on being of use as what it is then.
        sealed.remove(&release.version);
    }
    let leftover = Leftover::look(list, &root.prefix(&release.version))?;
    Ok(Stock { leftover, here: Here::look(list, &node.root, &sealed) })
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
fn seal(root: &Root, release: &Release, held: &Folder) -> Result<(), StageError> {
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
    held.sync_file_system()?;
    let seal = Seal {
        version: version.clone(),
        sealed: Timestamp::now(),
        descriptor: Digest::of(&release.bytes),
    };
    Ok(disk::write_json(&root.seal(version), &seal)?)
}
