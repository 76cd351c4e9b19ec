//! `install init`

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cutover_formats::name::{Channel, Product};
use cutover_formats::node_toml::{Gate, NodeToml};
use cutover_repository::client::Client;
use cutover_repository::location::Location;
use cutover_repository::mirrors::Mirrors;
use cutover_terminal::{Exit, Failure, Output, quoted};
use jiff::Timestamp;
use serde::Serialize;

use super::RootArgs;
use crate::disk::{self, DiskError, Permissions};
use crate::gate::check_path;
use crate::node::{current, refuse_dangling};
use crate::owner;
use crate::places::{Places, locations};
use crate::root::Root;

/// What the node is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The repository: a path, file:///path, or http(s)://
    #[arg(long, env = "CUTOVER_REPO", value_name = "URL")]
    pub repo: String,
    /// Another place that holds the same repository, asked where it fails; may be repeated
    #[arg(long = "mirror", value_name = "URL")]
    pub mirrors: Vec<String>,
    /// The root of trust, as `pack repo init` printed it; get it by a way that you trust
    #[arg(long, value_name = "ROOT.json")]
    pub trust: PathBuf,
    /// What runs here [default: the repository's only product]
    #[arg(long, env = "CUTOVER_PRODUCT", value_name = "P")]
    pub product: Option<Product>,
    /// Where the gate listens, e.g. 127.0.0.1:8080; without it only files are switched
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub gate: Option<SocketAddr>,
    /// The channel to follow
    #[arg(long, value_name = "NAME")]
    pub channel: Option<Channel>,
}

#[derive(Serialize)]
struct Made {
    root: PathBuf,
    node_toml: PathBuf,
    product: Product,
    repository: String,
    gate: Option<SocketAddr>,
}

/// Parses where the gate listens.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        format!(
            "it is an IP address and a port, such as 127.0.0.1:{}; names are not looked up",
            port.unwrap_or(8080)
        )
    })
}

/// Makes the root. The repository is verified from the given root first; where that fails, nothing
/// is left behind.
pub fn run(args: &Args, root: &RootArgs, output: &Output) -> Result<(), Failure> {
    let path = root.path()?;
    let path = std::path::absolute(&path).map_err(|error| DiskError::new("find", &path, error))?;
    let root = Root::new(path);
    owner::heed(root.path(), &[&root.node_toml()])?;
    if root.node_toml().exists() {
        let message = format!("{} is a node's root already", root.path().display());
        return Err(
            Failure::new(Exit::Usage, message).hint("nothing was changed; see `install status`")
        );
    }
    refuse_dangling(root.path())?;
    current(&root)?;
    if args.gate.is_some() {
        check_path(&root).map_err(|error| Failure::from(error).hint("nothing was made"))?;
    }
    let pinned = disk::read(&args.trust)?;
    let locations = locations(&args.repo, &args.mirrors)?;
    let places = Places::open(&locations, output)?;
    let tell = |line: &str| output.warn(line);
    let from = (places.mirrors(&tell), locations.as_slice());
    let new = missing(&root);
    let written = settle(args, &root, &pinned, from).and_then(|settings| {
        let text = node_toml(&settings)?;
        disk::write_file(&root.node_toml(), text.as_bytes(), Permissions::Plain)?;
        Ok(settings)
    });
    let settings = written.inspect_err(|_| forget(&root, &new))?;
    let made = Made {
        root: root.path().to_owned(),
        node_toml: root.node_toml(),
        product: settings.product.clone(),
        repository: settings.repository.clone(),
        gate: args.gate,
    };
    output.result(&made, || next_steps(&root, &settings));
    Ok(())
}

fn settle(
    args: &Args,
    root: &Root,
    pinned: &[u8],
    (places, locations): (Mirrors<'_>, &[Location]),
) -> Result<NodeToml, Failure> {
    for folder in root.folders().into_iter().chain([root.trust()]) {
        disk::ensure_folder(&folder)?;
    }
    Client::init(root.trust(), pinned).map_err(|error| {
        let file = args.trust.display();
        let hint = format!("nothing was made; {file} should be the N.root.json of the repository");
        Failure::from(error).hint(hint)
    })?;
    let mut client = Client::open_any(places, root.trust(), Timestamp::now())?;
    client.refresh()?;
    let product = match &args.product {
        Some(product) => product.clone(),
        None => {
            let only = super::only_product(&mut client);
            only.map_err(|failure| match failure.exit {
                Exit::Usage | Exit::NotFound => {
                    failure.hint("nothing was made; name it with --product")
                }
                _ => failure.hint("nothing was made"),
            })?
        }
    };
    let locations = locations.iter().map(|location| Ok(absolute(location)?.to_string()));
    let mut locations = locations.collect::<Result<Vec<_>, Failure>>()?.into_iter();
    Ok(NodeToml {
        product,
        repository: locations.next().unwrap_or_default(),
        mirrors: locations.collect(),
        channel: args.channel.clone(),
        keep: cutover_formats::node_toml::DEFAULT_KEEP,
        gate: args.gate.map(Gate::on),
        service: Default::default(),
        pool: None,
        etcd: None,
        stage: Default::default(),
        check: Vec::new(),
        schema: None,
        inputs: Default::default(),
    })
}

/// A folder's address holds wherever the node's commands are run.
fn absolute(location: &Location) -> Result<Location, Failure> {
    Ok(match location {
        Location::Folder(path) => Location::Folder(
            std::path::absolute(path).map_err(|error| DiskError::new("find", path, error))?,
        ),
        Location::Http(_) => location.clone(),
    })
}

/// The folders of a root that are still to be made, itself the last. The operator may have put files
/// into others before.
fn missing(root: &Root) -> Vec<PathBuf> {
    let folders = [root.releases(), root.shared(), root.configs(), root.state(), root.run()];
    let all = folders.into_iter().chain([root.path().to_owned()]);
    all.filter(|folder| folder.symlink_metadata().is_err()).collect()
}

/// Removes what [`settle`] made, which is what was `missing`.
fn forget(root: &Root, missing: &[PathBuf]) {
    for folder in missing {
        // What matters is why the init failed; an empty folder that stays harms nobody.
        let _ = match folder == root.path() {
            true => std::fs::remove_dir(folder),
            false => std::fs::remove_dir_all(folder),
        };
    }
}

fn node_toml(settings: &NodeToml) -> Result<String, Failure> {
    let body = toml::to_string_pretty(settings)
        .map_err(|error| Failure::new(Exit::Unexpected, format!("node.toml: {error}")))?;
    Ok(format!(
        "# What the operator decides for this node. The specification (node-toml.md in the\n\
         # documentation) describes every setting; `install status` shows what follows.\n\
         # What releases ask for goes into [inputs]: `install config show VERSION` lists it.\n\n{body}"
    ))
}

fn next_steps(root: &Root, settings: &NodeToml) -> String {
    let at = |path: &Path| path.display().to_string();
    let mut text = format!(
        "{} is a node's root for {}, from {}\n\nnext:\n",
        at(root.path()),
        settings.product,
        settings.repository
    );
    let own = quoted(root.path());
    text.push_str(&format!("  put the node's own files into {}\n", at(&root.shared())));
    if settings.gate.is_some() {
        text.push_str(&format!("  install gate --root {own}        # in a service manager\n"));
    }
    text.push_str(&format!("  install VERSION --root {own}\n"));
    text
}
