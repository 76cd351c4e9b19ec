//! `pack release`: a tag becomes a signed release.

mod assemble;
mod files;
mod plan;
mod report;
mod templates;

use std::path::PathBuf;

use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_pack::bundle::{self, Options};
use cutover_publish::{self as publish, Order, Repo};
use cutover_repository::location::Location;
use cutover_terminal::{Failure, Output, Progress};

use crate::checks;
use crate::repository::RepoArgs;
use crate::repository::{self, Opened, location, notes};
use crate::source::{Forbidden, SourceTree};
use crate::vendor::{self, Cache, Fetched};
use assemble::Assembled;
use files::{Bundle, Files, Tables};
use report::{Report, Stages};

/// What `pack release` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The tag to release; without it, the tag at HEAD that fits the tag pattern of release.toml
    #[arg(value_name = "TAG", conflicts_with = "tree")]
    tag: Option<String>,
    /// The git work tree, or any folder in it
    #[arg(long, value_name = "DIR", default_value = ".", conflicts_with = "tree")]
    source: PathBuf,
    /// Release a staging folder without version control instead
    #[arg(long, value_name = "DIR", requires = "version")]
    tree: Option<PathBuf>,
    /// The version of the staging folder
    #[arg(long, value_name = "VERSION", requires = "tree")]
    version: Option<Version>,
    #[command(flatten)]
    repo: RepoArgs,
    /// Point this channel at the release as well, in the same step
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,
    /// Let that channel go back: it may point at a newer version now
    #[arg(long, requires = "channel")]
    older: bool,
    /// Compression level of zstd, 1 to 19
    #[arg(
        long,
        value_name = "N",
        default_value_t = bundle::DEFAULT_LEVEL,
        value_parser = clap::value_parser!(i32).range(1..=19)
    )]
    level: i32,
    /// The product; without it, the one that release.toml names
    #[arg(long, env = "CUTOVER_PRODUCT", value_name = "NAME")]
    product: Option<Product>,
    /// Print what would be done; write nothing to the repository
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// The channel that is moved, and which way it may go.
    fn moves(&self) -> Option<(&Channel, Order)> {
        let order = if self.older { Order::Any } else { Order::Forward };
        self.channel.as_ref().map(|channel| (channel, order))
    }
}

/// Makes the release: everything that may fail comes before the first byte is published.
pub(crate) fn run(args: &Args, output: &Output) -> Result<(), Failure> {
    let mut stages = Stages::default();
    let cache = Cache::of_user();
    let tree = stages.time("source", || source(args, cache.as_ref().ok()))?;
    tree.notes.iter().for_each(|note| output.note(note));
    let opened = Opened::new(&args.repo)?;
    let notes = notes(output);
    let repo = opened.repo(&notes);
    stages.time("repository", || look(args, &repo, &tree))?;
    if !args.dry_run {
        stages.time("checks", || checks::run(&tree, output).map_err(Failure::from))?;
    }
    let fetched = if tree.manifest.vendor.is_empty() {
        Vec::new()
    } else {
        let cache = cache?;
        stages.time("vendor", || vendor::fetch(&tree, &cache, output))?
    };
    let assembled = Assembled::new(&tree, &fetched)?;
    for name in &assembled.unused {
        output.warn(format!("no template takes the input `{name}` of release.toml"));
    }
    assembled.folding.warning().iter().for_each(|warning| output.warn(warning));
    for slip in tree.manifest.misspelt_placeholders() {
        output.warn(slip);
    }
    if args.dry_run {
        bundle::check(&assembled.contents)?;
        let plan = plan::Plan::new(&tree, &fetched, &assembled, args.channel.as_ref());
        output.result(&plan, || plan.to_string());
        return Ok(());
    }
    let report = publish(args, &repo, (&tree, &fetched, &assembled), stages)?;
    output.result(&report, || report.to_string());
    Ok(())
}

/// The tree that the command line names.
fn source(args: &Args, cache: Option<&Cache>) -> Result<SourceTree, Failure> {
    let product = args.product.as_ref();
    let (Some(tree), Some(version)) = (&args.tree, &args.version) else {
        return Ok(SourceTree::from_git(&args.source, args.tag.as_deref(), product)?);
    };
    let mut forbidden = vec![Forbidden { what: "keys folder", path: &args.repo.keys }];
    forbidden.extend(cache.map(|cache| Forbidden { what: "cache", path: cache.root() }));
    let location = location(&args.repo.repo)?;
    if let Location::Folder(path) = &location {
        forbidden.push(Forbidden { what: "repository", path });
    }
    Ok(SourceTree::from_folder(tree, version.clone(), product, &forbidden)?)
}

/// Everything that the repository and the keys may have against the release, before the long work.
fn look(args: &Args, repo: &Repo<'_>, tree: &SourceTree) -> Result<(), Failure> {
    publish::check_absent(repo, &tree.product, &tree.version)?;
    if let Some(channel) = args.moves() {
        publish::check_channel(repo, &tree.product, &tree.version, channel)?;
    }
    if !args.dry_run {
        repo.keyring.require("releases")?;
        // Opened now: a wrong passphrase should not be noticed after the long work.
        repo.keyring.holders(&signing(args.channel.as_ref()))?;
    }
    Ok(())
}

/// Whose keys sign a release.
fn signing(channel: Option<&Channel>) -> Vec<&'static str> {
    let moves = channel.map(|channel| if channel.is_branch() { "branches" } else { "channels" });
    ["releases", "snapshot", "timestamp"].into_iter().chain(moves).collect()
}

type Contents<'a> = (&'a SourceTree, &'a [Fetched], &'a Assembled);

/// Packs, signs and publishes.
fn publish(
    args: &Args,
    repo: &Repo<'_>,
    (tree, fetched, assembled): Contents<'_>,
    mut stages: Stages,
) -> Result<Report, Failure> {
    let mut file = repo.store.temp_file()?;
    let written = stages.time("pack", || {
        let progress = Progress::bytes("packing", bundle::tar_len(&assembled.contents)?);
        let options = Options::level(args.level);
        let add = |bytes| progress.add(bytes);
        bundle::write(&assembled.contents, options, file.as_file_mut(), &add)
    })?;
    assemble::hold_to_lock(&written.list, fetched)?;
    let tables = Tables::of(&written);
    let descriptor = assemble::descriptor(tree, fetched, &written, &tables);
    let files = Files::new(repo, &descriptor, Bundle { file, written }, &tables, fetched)?;
    let published = stages.time("publish", || publish::release(repo, &files.release, args.moves()));
    let published = repository::published(published)?;
    Ok(Report::new(&descriptor, &files.release, &published, stages))
}
