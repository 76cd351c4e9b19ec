//! `install fetch`: a release for people who only want its files, on a node or without one.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cutover_formats::bundle::Layout;
use cutover_formats::checksums;
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::Product;
use cutover_formats::version::{Version, Wanted};
use cutover_repository::client::{Client, SignedBy, Withdrawal};
use cutover_repository::location::Location;
use cutover_repository::mirrors::Mirrors;
use cutover_repository::trusted_users::{TrustedUsers, Writers};
use cutover_terminal::{Exit, Failure, Output, Progress, bytes};
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::Serialize;

use super::RootArgs;
use crate::audit::hash;
use crate::disk::{self, DiskError, Permissions};
use crate::fetch;
use crate::node::{Node, NodeError};
use crate::places::{Places, locations};
use crate::resolve::{Known, Release, resolve_anywhere};
use crate::standing::Standings;
use crate::withdrawn;

/// What to download, and where from and to.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "On a node it is the node's repository, mirrors and product, trusted as an \
    install trusts them, unless --repo names another. What was seen of one that --repo names is \
    remembered in $XDG_STATE_HOME/cutover, else in ~/.local/state/cutover, so that nobody can \
    show you an older state of it later."
)]
pub struct Args {
    /// The release: a version (1.1.0), a requirement (^1.0) or a channel (stable); the product may
    /// be left out for the node's own, and where the repository has one only
    #[arg(value_name = "[PRODUCT@]VERSION|REQUIREMENT|CHANNEL")]
    pub what: What,
    /// The repository: a path, file:///path, or http(s):// [default: the node's]
    #[arg(long, env = "CUTOVER_REPO", value_name = "URL")]
    pub repo: Option<String>,
    /// Another place that holds the same repository as --repo, asked where it fails; may be repeated
    #[arg(long = "mirror", value_name = "URL", requires = "repo")]
    pub mirrors: Vec<String>,
    /// The root of trust for --repo, as `pack repo init` printed it; get it by a way that you trust
    #[arg(long, value_name = "ROOT.json")]
    pub trust: Option<PathBuf>,
    /// The folder that the files go to; made if it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Descriptor, file list, frame table and SHA256SUMS as well, not only the bundle
    #[arg(long)]
    pub all: bool,
    /// Remember what was seen of --repo in this folder; a node has its own
    #[arg(long, env = "CUTOVER_STATE", value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// What is wanted, of which product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    /// The repository's only one, if it is not said.
    pub product: Option<Product>,
    /// Which release.
    pub wanted: Wanted,
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (product, wanted) = match text.split_once('@') {
            Some((product, wanted)) => {
                (Some(product.parse().map_err(|error| format!("{error}"))?), wanted)
            }
            None => (None, text),
        };
        Ok(Self { product, wanted: wanted.parse().map_err(|error| format!("{error}"))? })
    }
}

#[derive(Serialize)]
struct Got {
    product: Product,
    version: Version,
    commit: Option<String>,
    tag: Option<String>,
    signed_by: Option<SignedBy>,
    files: Vec<GotFile>,
    transferred: u64,
    remembered_in: PathBuf,
}

#[derive(Serialize)]
struct GotFile {
    path: PathBuf,
    sha256: Digest,
    size: u64,
    new: bool,
}

/// Whose releases they are, and by what they are trusted.
struct Source {
    locations: Vec<Location>,
    product: Option<Product>,
    /// The folder of trusted metadata.
    memory: PathBuf,
    /// What is trusted where the folder holds nothing yet; a node's always does.
    pinned: Option<Vec<u8>>,
    /// What a node has ever seen to be withdrawn.
    withdrawn: BTreeMap<Version, Withdrawal>,
}

/// A file that is going to be in the output folder.
struct Item {
    path: PathBuf,
    sha256: Digest,
    size: u64,
    /// `None` for the bundle, which is not held in memory.
    bytes: Option<Vec<u8>>,
}

/// Downloads. Everything is verified before it has its name; nothing is overwritten.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let source = Source::of(args, root)?;
    let places = Places::open(&source.locations, output)?;
    let tell = |line: &str| output.warn(line);
    let mirrors = places.mirrors(&tell);
    let release = find(&mirrors, &source, &args.what)?;
    let items = items(args, &mirrors, &release)?;
    let mut missing = Vec::new();
    for item in &items {
        missing.extend(item.is_missing()?.then_some(item));
    }
    let transferred = bring(args, &mirrors, &release, &missing)?;
    let descriptor = &release.descriptor;
    let got = Got {
        product: descriptor.product.clone(),
        version: descriptor.version.clone(),
        commit: descriptor.source.commit.clone(),
        tag: descriptor.source.tag.clone(),
        signed_by: release.signed_by.clone(),
        transferred,
        remembered_in: source.memory,
        files: (items.iter())
            .map(|item| GotFile {
                path: item.path.clone(),
                sha256: item.sha256,
                size: item.size,
                new: missing.iter().any(|it| it.path == item.path),
            })
            .collect(),
    };
    output.result(&got, || text(&got));
    Ok(())
}

impl Source {
    /// The repository that is named, or else the node's own.
    fn of(args: &Args, root: &RootArgs) -> Result<Self, Failure> {
        match (&args.repo, &args.trust) {
            (Some(repository), Some(trust)) => Self::named(args, repository, trust),
            (None, None) => Self::of_node(root),
            (named, _) => {
                let (given, missing) = match named {
                    Some(_) => ("--repo (or CUTOVER_REPO)", "--trust ROOT.json"),
                    None => ("--trust", "--repo URL"),
                };
                Err(Failure::new(Exit::Usage, format!("{given} is given without {missing}"))
                    .hint("on a node leave both out: its own repository and trust are taken"))
            }
        }
    }

    fn named(args: &Args, repository: &str, trust: &Path) -> Result<Self, Failure> {
        let pinned = disk::read(trust)?;
        let locations = locations(repository, &args.mirrors)?;
        // By the repository, whichever place of it answers: a mirror is not asked to forget.
        let place = locations[0].to_string();
        let memory = Client::memory(&state(args)?.join("trust"), &pinned, &place);
        let withdrawn = BTreeMap::new();
        Ok(Self { locations, product: None, memory, pinned: Some(pinned), withdrawn })
    }

    fn of_node(root: &RootArgs) -> Result<Self, Failure> {
        let node = Node::open(&root.path()?).map_err(|error| match error {
            NodeError::NotARoot(folder) => {
                let folder = folder.display();
                let message = format!("no repository is named, and {folder} is not a node's root");
                Failure::new(Exit::Usage, message)
                    .hint("without a node name both: --repo URL --trust ROOT.json")
                    .hint("for a node's own repository name its root: --root DIR, or CUTOVER_ROOT")
            }
            error => error.into(),
        })?;
        let (withdrawn, _) = withdrawn::known(&node);
        let Node { root, settings } = node;
        Ok(Self {
            withdrawn,
            locations: locations(&settings.repository, &settings.mirrors)?,
            product: Some(settings.product),
            memory: root.trust(),
            pinned: None,
        })
    }
}

/// Where is remembered what was seen.
fn state(args: &Args) -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let folder = |name: &str| folder(name).filter(|path| path.is_absolute());
    let own = args.state.clone();
    let found = own
        .or_else(|| folder("XDG_STATE_HOME").map(|path| path.join("cutover")))
        .or_else(|| folder("HOME").map(|path| path.join(".local/state/cutover")));
    found.ok_or_else(|| {
        Failure::new(Exit::Usage, "neither XDG_STATE_HOME nor HOME names a folder")
            .hint("say with --state where to remember what was seen of the repository")
    })
}

/// The release, by freshly verified metadata.
fn find(
    mirrors: &Mirrors<'_>,
    Source { product: own, memory, pinned, withdrawn, .. }: &Source,
    What { product, wanted }: &What,
) -> Result<Release, Failure> {
    if let Some(pinned) = pinned
        && !memory.join("root.json").exists()
    {
        Client::init(memory.clone(), pinned)?;
    }
    let mut client = Client::open_any(mirrors.clone(), memory.clone(), Timestamp::now())?;
    client.refresh()?;
    let product = match product.as_ref().or(own.as_ref()) {
        Some(product) => product.clone(),
        None => super::only_product(&mut client)
            .map_err(|failure| failure.hint("nothing was written; name it: PRODUCT@VERSION"))?,
    };
    let standings = Standings::default();
    let known = Known { standings: &standings, withdrawn, current: None, copy: &|_| None };
    Ok(resolve_anywhere(&mut client, &product, wanted, known)?)
}

/// What is going to be in the output folder, the bundle last.
fn items(args: &Args, mirrors: &Mirrors<'_>, release: &Release) -> Result<Vec<Item>, Failure> {
    let descriptor = &release.descriptor;
    let bundle = descriptor.bundle();
    let mut items = Vec::new();
    if args.all {
        let sha256 = Digest::of(&release.bytes);
        let (files, list) = mirrors.ask(|store| fetch::file_list(store, descriptor))?;
        let layout = Layout::new(&files);
        let (_, frames) = mirrors.ask(|store| fetch::frame_table(store, descriptor, &layout))?;
        let sums = checksums::of(descriptor, sha256).into_bytes();
        for (name, bytes) in [
            (layout::descriptor_name(), release.bytes.clone()),
            (descriptor.files.file.clone(), list),
            (bundle.frames.file.clone(), frames),
            (layout::checksums_name(), sums),
        ] {
            let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
            let path = args.output.join(name.as_str());
            items.push(Item { path, sha256, size, bytes: Some(bytes) });
        }
    }
    let (sha256, size) = (bundle.sha256, bundle.size);
    items.push(Item { path: args.output.join(bundle.file.as_str()), sha256, size, bytes: None });
    Ok(items)
}

impl Item {
    /// Whether it is still to be brought; something else in its place is refused.
    fn is_missing(&self) -> Result<bool, Failure> {
        let failed = |error| DiskError::new("read", &self.path, error);
        let found = match std::fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            found => found.map_err(failed)?,
        };
        let sha256 = || File::open(&self.path).and_then(hash).map_err(failed);
        if found.is_file() && found.len() == self.size && sha256()? == self.sha256 {
            return if is_others(&found) { Err(self.of_others()) } else { Ok(false) };
        }
        let message = format!("{} is there already, and is something else", self.path.display());
        Err(Failure::new(Exit::Usage, message)
            .hint("it was left as it is; move it away, or say another --output"))
    }

    fn of_others(&self) -> Failure {
        let path = self.path.display();
        let message = format!("{path} is there already, but another user could change it");
        Failure::new(Exit::Usage, message)
            .hint("it was left as it is; move it away, or say another --output")
    }

    fn part(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        self.path.with_file_name(name)
    }
}

/// Whether somebody who is not trusted could change a file after it was verified.
fn is_others(found: &Metadata) -> bool {
    let users = TrustedUsers::of_this_process();
    users.objection(found.uid(), found.mode(), Writers::OwnerOnly).is_some()
}

/// Brings what is missing; the bytes that came over the wire for the bundle.
fn bring(
    args: &Args,
    mirrors: &Mirrors<'_>,
    release: &Release,
    missing: &[&Item],
) -> Result<u64, Failure> {
    if missing.is_empty() {
        return Ok(0);
    }
    disk::ensure_folder(&args.output)?;
    let folder = File::open(&args.output);
    let folder = folder.map_err(|error| DiskError::new("read", &args.output, error))?;
    // Where the file system knows no locks, two at once spoil each other's downloads, not what is
    // verified.
    let lock = rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive);
    if lock == Err(rustix::io::Errno::WOULDBLOCK) {
        let message = format!("somebody else downloads to {}", args.output.display());
        return Err(Failure::new(Exit::Busy, message).hint("nothing was written"));
    }
    let mut transferred = 0;
    // The bundle, which may fail, first.
    for item in missing.iter().rev() {
        let part = item.part();
        match &item.bytes {
            Some(bytes) => disk::write_file(&part, bytes, Permissions::Plain)?,
            None => transferred = bundle(&part, mirrors, release)?,
        }
        disk::give_name(&part, &item.path)?;
    }
    Ok(transferred)
}

fn bundle(part: &Path, mirrors: &Mirrors<'_>, release: &Release) -> Result<u64, Failure> {
    let descriptor = &release.descriptor;
    let (list, _) = mirrors.ask(|store| fetch::file_list(store, descriptor))?;
    let layout = Layout::new(&list);
    let (table, _) = mirrors.ask(|store| fetch::frame_table(store, descriptor, &layout))?;
    let progress = Progress::bytes("fetch", descriptor.bundle().size);
    let add = |count| progress.add(count);
    let transferred = fetch::bundle(part, mirrors, descriptor, &table, &add)?;
    progress.finish();
    Ok(transferred)
}

fn text(got: &Got) -> String {
    let mut text = format!("{} {}", got.product, got.version);
    let commit = got.commit.as_ref().map(|commit| format!(", commit {commit}"));
    let tag = got.tag.as_ref().map(|tag| format!(", tag {tag}"));
    let signed = got.signed_by.as_ref().map(|signed_by| format!(", signed by {signed_by}"));
    text.extend([commit, tag, signed].into_iter().flatten());
    text.push('\n');
    for GotFile { path, sha256, size, new } in &got.files {
        let was = if *new { "" } else { ", was there already" };
        text.push_str(&format!("{} ({}{was})\n  sha256 {sha256}\n", path.display(), bytes(*size)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted() {
        let what = |text: &str| text.parse::<What>().unwrap();
        assert_eq!(what("weave@1.1.0").product.unwrap().as_str(), "weave");
        assert!(matches!(what("weave@^1").wanted, Wanted::Requirement(_)));
        assert!(matches!(what("stable").wanted, Wanted::Channel(_)));
        assert!("Weave@1.0.0".parse::<What>().is_err());
        assert!("weave@".parse::<What>().is_err());
        assert!("weave@No Such".parse::<What>().is_err());
    }
}
