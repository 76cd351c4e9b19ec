//! `install config`

mod diff;
mod show;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::version::Wanted;
use cutover_terminal::{Failure, Output};

use super::RootArgs;
use crate::configure::ConfigError;
use crate::configure::render::{Source, sources, sources_in};
use crate::disk::Folder;
use crate::fetch;
use crate::installer::resolve_wanted;
use crate::node::Node;
use crate::places::Places;

/// What is to be seen.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what a release asks this node for, and what it gets
    Show(Args),
    /// Show what would change in rendered files, links and inputs; secrets only by their names
    Diff(Args),
}

/// Of which release.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A version, a requirement or a channel [default: the current release]
    #[arg(value_name = "VERSION|REQUIREMENT|CHANNEL")]
    pub wanted: Option<Wanted>,
}

/// Shows it; beside fresher metadata in `state/trust`, nothing changes, and no secret is read.
pub fn run(command: &Command, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let node = root.node()?;
    match command {
        Command::Show(args) => show::run(args, &node, output),
        Command::Diff(args) => diff::run(args, &node, output),
    }
}

/// A release, here or in the repository.
struct Found {
    release: Descriptor,
    /// Where its contents are, if they are not here.
    places: Option<Places>,
}

impl Found {
    fn look(args: &Args, node: &Node, output: &Output) -> Result<Self, Failure> {
        let version = match &args.wanted {
            None => node.current()?,
            Some(Wanted::Version(version)) => Some(version.clone()),
            Some(Wanted::Requirement(_) | Wanted::Channel(_)) => None,
        };
        let sealed = node.sealed()?;
        if let Some(version) = version.filter(|version| sealed.contains(version)) {
            return Ok(Self { release: node.descriptor(&version)?, places: None });
        }
        let places = Places::of(&node.settings, output)?;
        let tell = |line: &str| output.warn(line);
        let release =
            resolve_wanted(node, &places.mirrors(&tell), args.wanted.as_ref(), tell)?.descriptor;
        let here = sealed.contains(&release.version);
        Ok(Self { release, places: (!here).then_some(places) })
    }

    /// Its templates: of a release that is not here, only they are fetched.
    fn sources(&self, node: &Node, output: &Output) -> Result<Vec<Source>, Failure> {
        let release = &self.release;
        if !release.renders() {
            return Ok(Vec::new());
        }
        let Some(places) = &self.places else {
            let list = fetch::recorded_file_list(&node.root, release)?;
            let prefix = Folder::open(&node.root.prefix(&release.version))?;
            return Ok(sources_in(&prefix, release, &list)?);
        };
        let tell = |line: &str| output.warn(line);
        let mirrors = places.mirrors(&tell);
        let (list, _) = mirrors.ask(|store| fetch::file_list(store, release))?;
        sources(release, &list, |path, most| {
            let bytes = fetch::member(&mirrors, release, &list, path, most)?;
            bytes.ok_or_else(|| ConfigError::Changed(path.clone()).into())
        })
    }
}
