//! `install fetch`: a release for people who only want its files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cutover_formats::checksums;
use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::Product;
use cutover_formats::version::{Version, Wanted};
use cutover_repository::client::{Client, SignedBy};
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Exit, Failure, Output, Progress, bytes};
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::Serialize;

use crate::audit::hash;
use crate::disk::{self, DiskError, Permissions};
use crate::fetch::{self, Fetched};
use crate::places::{Places, locations};
use crate::resolve::{Release, resolve_anywhere};
use crate::standing::Standings;

/// What to download, and where from and to.
#[derive(Debug, clap::Args)]
#[command(after_help = "What was seen of a repository is remembered in \
    $XDG_STATE_HOME/cutover, else in ~/.local/state/cutover, so that nobody can \
    show you an older state of it later.")]
pub struct Args {
    /// The release: a version (1.1.0), a requirement (^1.0) or a channel (stable); the product may
    /// be left out where the repository has one only
    #[arg(value_name = "[PRODUCT@]VERSION|REQUIREMENT|CHANNEL")]
    pub what: What,
    /// The repository: a path, file:///path, or http(s)://
    #[arg(long, env = "CUTOVER_REPO", value_name = "URL")]
    pub repo: String,
    /// Another place that holds the same repository, asked where it fails; may be repeated
    #[arg(long = "mirror", value_name = "URL")]
    pub mirrors: Vec<String>,
    /// The root of trust, as `pack repo init` printed it; get it by a way that you trust
    #[arg(long, value_name = "ROOT.json")]
    pub trust: PathBuf,
    /// The folder that the files go to; made if it is missing
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,
    /// Descriptor, file list and SHA256SUMS as well, not only the bundle
    #[arg(long)]
    pub all: bool,
    /// Remember what was seen of the repository in this folder
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

/// A file that is going to be in the output folder.
struct Item {
    path: PathBuf,
    sha256: Digest,
    size: u64,
    /// `None` for the bundle, which is not held in memory.
    bytes: Option<Vec<u8>>,
}

/// Downloads. Everything is verified before it has its name; nothing is overwritten.
pub fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let root = disk::read(&args.trust)?;
    let locations = locations(&args.repo, &args.mirrors)?;
    let places = Places::open(&locations, output)?;
    let tell = |line: &str| output.warn(line);
    let mirrors = places.mirrors(&tell);
    // By the repository, whichever place of it answers: a mirror is not asked to forget.
    let memory = Client::memory(&state(args)?.join("trust"), &root, &locations[0].to_string());
    let release = find(&mirrors, &memory, &root, &args.what)?;
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
        remembered_in: memory,
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
    memory: &Path,
    root: &[u8],
    What { product, wanted }: &What,
) -> Result<Release, Failure> {
    if !memory.join("root.json").exists() {
        Client::init(memory.to_owned(), root)?;
    }
    let mut client = Client::open_any(mirrors.clone(), memory.to_owned(), Timestamp::now())?;
    client.refresh()?;
    let product = match product {
        Some(product) => product.clone(),
        None => super::only_product(&mut client)
            .map_err(|failure| failure.hint("nothing was written; name it: PRODUCT@VERSION"))?,
    };
    Ok(resolve_anywhere(&mut client, &product, wanted, &Standings::default(), &|_| None)?)
}

/// What is going to be in the output folder, the bundle last.
fn items(args: &Args, mirrors: &Mirrors<'_>, release: &Release) -> Result<Vec<Item>, Failure> {
    let descriptor = &release.descriptor;
    let bundle = descriptor.bundle();
    let mut items = Vec::new();
    if args.all {
        let sha256 = Digest::of(&release.bytes);
        let (_, list) = mirrors.ask(|store| fetch::file_list(store, descriptor))?;
        let sums = checksums::of(descriptor, sha256).into_bytes();
        for (name, bytes) in [
            (layout::descriptor_name(), release.bytes.clone()),
            (descriptor.files.file.clone(), list),
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
            return Ok(false);
        }
        let message = format!("{} is there already, and is something else", self.path.display());
        Err(Failure::new(Exit::Usage, message)
            .hint("it was left as it is; move it away, or say another --output"))
    }

    fn part(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        self.path.with_file_name(name)
    }
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
            None => transferred = bundle(&part, mirrors, release)?.transferred,
        }
        disk::give_name(&part, &item.path)?;
    }
    Ok(transferred)
}

fn bundle(part: &Path, mirrors: &Mirrors<'_>, release: &Release) -> Result<Fetched, Failure> {
    let progress = Progress::bytes("fetch", release.descriptor.bundle().size);
    let (descriptor, add) = (&release.descriptor, |count| progress.add(count));
    let fetched =
        mirrors.ask(|store| fetch::bundle_to(part.to_owned(), store, descriptor, &add))?;
    progress.finish();
    Ok(fetched)
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
