//! Trees that cannot be released.

use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::UnsafePath;
use cutover_formats::release_toml::InvalidReleaseToml;
use cutover_formats::version::InvalidTag;
use cutover_terminal::quoted;

use super::git::SHOWN;
use super::placeholder::Placeholder;

/// Why a tree cannot be released. Nothing was written when one of these is reported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// There is no such folder.
    #[error("source folder `{}` does not exist", .0.display())]
    NoFolder(PathBuf),
    /// It is something else than a folder.
    #[error("source `{}` is not a folder", .0.display())]
    NotFolder(PathBuf),
    /// The `git` program cannot be started.
    #[error("cannot run git: {0}")]
    NoGit(#[source] std::io::Error),
    /// Git has something to say against it.
    #[error("git cannot {what}: {why}")]
    Git {
        /// What was asked of it.
        what: &'static str,
        /// Its last words.
        why: String,
    },
    /// The folder is not in a git repository, or in one that git does not want to read.
    #[error("`{}` cannot be read as a git repository: {why}", dir.display())]
    NotGit {
        /// The folder.
        dir: PathBuf,
        /// What git says.
        why: String,
        /// The version control system that it is under instead, and how that writes a clean folder.
        system: Option<(&'static str, &'static str)>,
    },
    /// Git reads no repository of another user's.
    #[error("the git repository `{}` belongs to another user", .0.display())]
    Ownership(PathBuf),
    /// The folder is one of git's own.
    #[error("`{}` is inside git's own folder, not in a work tree", .0.display())]
    InsideGit(PathBuf),
    /// There is nothing to release yet.
    #[error("`{}` has no commit yet", .0.display())]
    NoCommit(PathBuf),
    /// No tag of that name.
    #[error("there is no tag `{tag}`")]
    NoTag {
        /// What was asked for.
        tag: String,
        /// Tags that may be meant.
        nearest: Vec<String>,
        /// Whether the clone is shallow and may just not have it.
        shallow: Shallow,
    },
    /// HEAD is not tagged.
    #[error("no tag at HEAD ({commit}) fits `{pattern}`{}", others(.at_head))]
    NoTagAtHead {
        /// The commit, shortened.
        commit: String,
        /// What a tag must look like.
        pattern: String,
        /// The tags that HEAD does have.
        at_head: Vec<String>,
        /// The newest tags that fit.
        newest: Vec<String>,
        /// Whether the clone is shallow and may just not have it.
        shallow: Shallow,
    },
    /// HEAD has more than one tag that is a version.
    #[error("HEAD has several tags that are versions: {}", .0.join(", "))]
    SeveralTags(Vec<String>),
    /// The tag is no version.
    #[error(transparent)]
    Tag(#[from] InvalidTag),
    /// A commit whose time cannot be read.
    #[error("the time of commit {commit} cannot be read")]
    NoTime {
        /// Which one.
        commit: String,
    },
    /// An object that a tree names is not in the repository.
    #[error("the contents of `{path}` are not in this clone")]
    NoObject {
        /// Whose.
        path: String,
    },
    /// What stands in the place of files.
    #[error("{} in place of {}: {}", what.what(), files(.paths.len()), shown(.paths))]
    Placeholders {
        /// What it is.
        what: Placeholder,
        /// Where.
        paths: Vec<String>,
    },
    /// `export-subst` placeholders that differ from clone to clone, with their files.
    #[error(
        "export-subst placeholders that are not the same in every clone: {}",
        shown(&.0.iter().map(|(path, part)| format!("`{part}` in {path}")).collect::<Vec<_>>())
    )]
    Unstable(Vec<(String, String)>),
    /// Tracked files were changed and not committed.
    #[error("{count} tracked file{} changed but not committed: {}", plural(*.count), first(.files, *.count))]
    Dirty {
        /// How many.
        count: usize,
        /// The first of them.
        files: Vec<String>,
    },
    /// The files of submodules are in other repositories.
    #[error("submodules cannot be released: {}", .0.join(", "))]
    Submodules(Vec<String>),
    /// There is no `release.toml` to say what is released.
    #[error("{tree} has no release.toml")]
    NoManifest {
        /// The tag or folder.
        tree: String,
    },
    /// A folder has a `release.toml`, but what is released does not.
    #[error("`{}` is not in {tree}", path.display())]
    NotCommitted {
        /// The tag.
        tree: String,
        /// The file.
        path: PathBuf,
    },
    /// `release.toml` is no file.
    #[error("release.toml is {what}, not a file")]
    ManifestKind {
        /// What it is.
        what: &'static str,
    },
    /// `release.toml` does not say what is released.
    #[error("release.toml names no product")]
    NoProduct,
    /// `release.toml` is not text.
    #[error("release.toml is not UTF-8 text")]
    NotText,
    /// `release.toml` is wrong.
    #[error(transparent)]
    Manifest(#[from] InvalidReleaseToml),
    /// A glob of `exclude` is none.
    #[error("release.toml: `exclude` has the glob `{glob}`: {why}")]
    Glob {
        /// The glob.
        glob: String,
        /// What is wrong with it.
        why: String,
    },
    /// A path that cannot be in a release.
    #[error(transparent)]
    Path(#[from] UnsafePath),
    /// A path that is not text.
    #[error("path `{0}` is not UTF-8")]
    PathNotText(String),
    /// Neither a file nor a folder nor a symlink.
    #[error("`{path}` is {kind}, which cannot be released")]
    Special {
        /// Which one.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A folder that must not be released lies in the tree.
    #[error("the {what} `{}` is inside the tree and would be released", path.display())]
    Inside {
        /// What it is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
    },
    /// `SOURCE_DATE_EPOCH` is not a number of seconds.
    #[error("SOURCE_DATE_EPOCH is `{0}`, not a number of seconds since 1970")]
    Epoch(String),
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Whether a clone has all history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shallow {
    /// It was cut off, and tags may be missing.
    Yes,
    /// It is whole.
    No,
}

impl Shallow {
    fn hint(self) -> Option<String> {
        let hint = "this clone is shallow and may lack tags: git fetch --tags --unshallow";
        (self == Self::Yes).then(|| hint.to_owned())
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { " is" } else { "s are" }
}

pub(super) fn first(files: &[String], count: usize) -> String {
    let more = count.saturating_sub(files.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", files.join(", "))
}

fn files(count: usize) -> String {
    if count == 1 { "a file".to_owned() } else { format!("{count} files") }
}

pub(super) fn shown(all: &[String]) -> String {
    first(&all[..all.len().min(SHOWN)], all.len())
}

fn others(at_head: &[String]) -> String {
    match at_head {
        [] => String::new(),
        tags => format!("; it has {}", tags.join(", ")),
    }
}

impl Explain for SourceError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoFolder(_) | Self::NoTag { .. } | Self::NoTagAtHead { .. } => Exit::NotFound,
            Self::Io { source, .. } => Exit::of_io(source),
            Self::Git { .. } => Exit::Unexpected,
            Self::Manifest(error) => error.exit(),
            _ => Exit::Usage,
        }
    }

    fn hints(&self) -> Vec<String> {
        let one = |hint: &str| vec![hint.to_owned()];
        match self {
            Self::NoGit(_) => one("install git, or release a folder with --tree DIR --version V"),
            Self::NotGit { system: Some((system, export)), .. } => vec![format!(
                "it is under {system}, which is not read; write a clean folder (`{export}`) and \
                 release that: --tree DIR --version V"
            )],
            Self::NotGit { system: None, .. } => {
                one("to release a folder without version control: --tree DIR --version V")
            }
            Self::NotFolder(_) => one("name a folder; unpack an archive first"),
            Self::Ownership(folder) => vec![format!(
                "release as its owner, or tell git to trust it: \
                 git config --global --add safe.directory {}",
                quoted(folder)
            )],
            Self::InsideGit(_) => one("name the folder that it was checked out to: --source DIR"),
            Self::NoTime { .. } => {
                one("files are dated by it: commit again, or use --tree DIR --version V")
            }
            Self::NoObject { .. } => one("see what else is missing: git fsck --connectivity-only"),
            Self::Placeholders { what, .. } => one(match what {
                Placeholder::Lfs | Placeholder::Annex => {
                    "commit the contents, list the files in `exclude`, or let [[vendor.file]] \
                     bring them; a file that is meant as it is has `-filter` in .gitattributes"
                }
                Placeholder::Encrypted => {
                    "list the files in `exclude` and let nodes have them by [config] or as secret \
                     [inputs]; a file that is meant as it is has `-filter` in .gitattributes"
                }
            }),
            Self::Unstable(_) => one(
                "use full ids and times (`%H`, `%cI`), drop the attribute export-subst, or list \
                 the files in `exclude`",
            ),
            Self::NotCommitted { .. } => {
                one("commit it and tag that commit, or name the folder to release: --source DIR")
            }
            Self::ManifestKind { .. } => one("put the file itself in its place"),
            Self::NoTag { nearest, shallow, .. } => {
                let nearest = (!nearest.is_empty())
                    .then(|| format!("the nearest tags are {}", nearest.join(", ")));
                nearest.into_iter().chain(shallow.hint()).collect()
            }
            Self::NoTagAtHead { newest, shallow, pattern, .. } => {
                let newest = (!newest.is_empty())
                    .then(|| format!("the newest version tags are {}", newest.join(", ")));
                let tag = pattern.replace("{version}", "1.2.3");
                let tag = quoted(&tag);
                let make = format!("tag it (git tag -a {tag}), or name the tag: pack release TAG");
                newest.into_iter().chain(shallow.hint()).chain([make]).collect()
            }
            Self::SeveralTags(_) => one("name the one to release: pack release TAG"),
            Self::Tag(InvalidTag::Version { .. }) => {
                one("a version has three numbers, e.g. 1.2.3 or 1.2.3-rc.1")
            }
            Self::Tag(_) => one("`tag` in release.toml says how tags name versions"),
            Self::Dirty { .. } => {
                vec![
                    "commit them and tag that commit, or put them aside with git stash".to_owned(),
                    "or release from a clean checkout: git worktree add --detach DIR TAG, and \
                     then --source DIR"
                        .to_owned(),
                ]
            }
            Self::Submodules(_) => one(
                "their files are in other repositories: commit them here, or list them in `exclude`",
            ),
            Self::NoManifest { .. } | Self::NoProduct => {
                one("`pack init` writes a release.toml; or give --product NAME")
            }
            Self::Special { .. } | Self::Inside { .. } => {
                one("move it out of the tree, or list it in `exclude`")
            }
            Self::Path(_) | Self::PathNotText(_) => one("rename it, or list it in `exclude`"),
            Self::Manifest(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
