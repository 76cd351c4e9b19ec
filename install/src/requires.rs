//! Preflight: what the release needs, seen before anything is fetched or touched.

use std::path::{Path, PathBuf};

use cutover_formats::descriptor::Descriptor;
use cutover_formats::exit::{Exit, Explain};
use cutover_formats::node_toml::NodeService;
use cutover_repository::trusted_users::TrustedUsers;
use nix::unistd::{Group, User};

use crate::configure::inputs::{Inputs, settle};
use crate::disk::{self, DiskError};
use crate::node::{Node, NodeError};
use crate::plan::space;
use crate::root::Root;

/// What the node lacks; all of it, not only the first.
#[derive(Debug, thiserror::Error)]
pub enum Lacking {
    /// Programs, files or inputs.
    #[error("{}", sentence(what, inputs))]
    Things {
        /// Programs and files, each with where it was looked for.
        what: Vec<String>,
        /// What is wrong with the inputs.
        inputs: Vec<String>,
    },
    /// Room.
    #[error(
        "not enough space in {}: {needs} needed, {free} free",
        root.display()
    )]
    Space {
        /// The node's root.
        root: PathBuf,
        /// For people.
        needs: String,
        /// For people.
        free: String,
    },
    /// What is on the node cannot be read.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The file system cannot be asked.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

fn sentence(what: &[String], inputs: &[String]) -> String {
    let lacks = (!what.is_empty()).then(|| format!("this node lacks {}", what.join(", ")));
    let parts: Vec<String> = lacks.into_iter().chain(inputs.iter().cloned()).collect();
    parts.join("; ")
}

impl Explain for Lacking {
    fn exit(&self) -> Exit {
        match self {
            Self::Things { .. } => Exit::Usage,
            Self::Space { .. } => Exit::NoSpace,
            Self::Node(error) => error.exit(),
            Self::Disk(error) => error.exit(),
        }
    }

    fn hints(&self) -> Vec<String> {
        let next = match self {
            Self::Things { inputs, .. } if inputs.is_empty() => "put it there",
            Self::Things { .. } => "put it right (`install config show VERSION` lists the inputs)",
            Self::Space { .. } => "make room, e.g. with `install prune`",
            Self::Node(error) => return error.hints(),
            Self::Disk(error) => return error.hints(),
        };
        vec![format!("nothing was fetched and nothing changed; {next}, then try again")]
    }
}

/// Bytes of that which an earlier try has brought.
fn brought(root: &Root, release: &Descriptor) -> u64 {
    disk::taken(&root.prefix(&release.version)).unwrap_or_default()
}

/// How much a disk lacks for a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Where.
    root: PathBuf,
    /// Bytes; none where what counts is something else than bytes: a quota, inodes.
    bytes: u64,
}

impl Shortage {
    /// Of this moment: what was brought already is not needed once more. `None` where that cannot be
    /// told.
    #[must_use]
    pub fn of(root: &Root, release: &Descriptor) -> Option<Self> {
        let free = disk::free_space(root.path()).ok()?;
        let bytes = space(release).saturating_sub(free.saturating_add(brought(root, release)));
        Some(Self { root: root.path().to_owned(), bytes })
    }
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let root = self.root.display();
        match self.bytes {
            0 => write!(f, "make room at {root} (bytes, inodes, a quota), then try again"),
            bytes => {
                let bytes = cutover_terminal::bytes(bytes);
                write!(f, "free {bytes} more at {root}, then try again")
            }
        }
    }
}

/// Sees that the node has the programs, files and inputs that `release` needs, secrets included;
/// the inputs.
pub fn check_things(node: &Node, release: &Descriptor) -> Result<Inputs, Lacking> {
    let root = &node.root;
    let interpreter = release.python.iter().map(|python| &python.interpreter);
    let commands = release.requires.commands.iter().chain(interpreter);
    let mut what: Vec<String> = commands
        .filter(|command| find_command(command).is_none())
        .map(|command| format!("the program `{command}` (looked for in PATH)"))
        .collect();
    let files = release.config.values().filter_map(|file| file.required());
    what.extend(
        files
            .map(|from| config_source(root, from))
            .filter(|path| !disk::stands(path))
            .map(|path| format!("the file {}", beyond_links(path).display())),
    );
    what.sort();
    what.dedup();
    let inputs = match check_inputs(node, release) {
        Ok(inputs) if what.is_empty() => return Ok(inputs),
        Ok(_) => Vec::new(),
        Err(Lacking::Things { inputs, .. }) => inputs,
        Err(error) => return Err(error),
    };
    Err(Lacking::Things { what, inputs })
}

/// The inputs that `release` needs, secrets included; the objection to all that are wrong.
pub fn check_inputs(node: &Node, release: &Descriptor) -> Result<Inputs, Lacking> {
    let elsewhere = node.inputs_elsewhere(release)?;
    let settlement = settle(&release.inputs, &node.settings.inputs, &elsewhere);
    let service = node.settings.service.user.as_ref();
    let service = service.and_then(|name| User::from_name(name).ok().flatten());
    let users = TrustedUsers::of_this_process().and(service.map(|user| user.uid.as_raw()));
    let inputs = Inputs::read(&node.root, release, settlement, &users);
    let lacks = |inputs| Lacking::Things { what: Vec::new(), inputs };
    let inputs =
        inputs.map_err(|problems| lacks(problems.iter().map(ToString::to_string).collect()))?;
    let readers = readers(&node.settings.service).map_err(|why| lacks(vec![why]))?;
    Ok(inputs.read_by(readers))
}

/// The group that the service runs in, where the node names a user or a group for it.
fn readers(service: &NodeService) -> Result<Option<u32>, String> {
    let unknown = |what: &str, name: &str| {
        format!("[service] names the {what} `{name}`, which this node does not have")
    };
    match (&service.group, &service.user) {
        (Some(name), _) => match Group::from_name(name) {
            Ok(Some(group)) => Ok(Some(group.gid.as_raw())),
            _ => Err(unknown("group", name)),
        },
        (None, Some(name)) => match User::from_name(name) {
            Ok(Some(user)) => Ok(Some(user.gid.as_raw())),
            _ => Err(unknown("user", name)),
        },
        (None, None) => Ok(None),
    }
}

/// Sees that there is room for `release`.
pub fn check_space(root: &Root, release: &Descriptor) -> Result<(), Lacking> {
    let free = disk::free_space(root.path())?;
    let needs = space(release).saturating_sub(brought(root, release));
    if needs <= free {
        return Ok(());
    }
    Err(Lacking::Space {
        root: root.path().to_owned(),
        needs: cutover_terminal::bytes(needs),
        free: cutover_terminal::bytes(free),
    })
}

/// Where a node's own file lies: absolute as it is, relative below `shared/`.
#[must_use]
pub fn config_source(root: &Root, from: &str) -> PathBuf {
    root.shared().join(from)
}

/// The same place without the links on the way to it: a rehearsal sees `shared/` through one, and people
/// would look for the file in a folder that is gone by then.
fn beyond_links(path: PathBuf) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// A program in `PATH`, or at the path that its name is; absolute, for whoever runs it elsewhere.
#[must_use]
pub fn find_command(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let executable = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    let found = if name.contains('/') {
        Some(PathBuf::from(name)).filter(|path| executable(path))
    } else {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| executable(path))
    };
    found.and_then(|path| std::path::absolute(path).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_like_a_shell_does() {
        assert!(find_command("sh").is_some());
        assert!(find_command("/bin/sh").is_some());
        assert!(find_command("no-such-program-here").is_none());
        assert!(find_command("/etc/passwd").is_none());
    }
}
