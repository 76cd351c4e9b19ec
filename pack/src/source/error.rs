//! Trees that cannot be released.

use std::path::PathBuf;

use cutover_formats::exit::{Exit, Explain};
use cutover_formats::path::UnsafePath;
use cutover_formats::release_toml::InvalidReleaseToml;
use cutover_formats::version::InvalidTag;

/// Why a tree cannot be released. Nothing was written when one of these is reported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// There is no such folder.
    #[error("source folder `{}` does not exist", .0.display())]
    NoFolder(PathBuf),
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
    },
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
    /// Tracked files were changed and not committed.
    #[error("{count} tracked file{} changed but not committed: {}", plural(*.count), first(.files, *.count))]
    Dirty {
        /// How many.
        count: usize,
        /// The first of them.
        files: Vec<String>,
    },
    /// `git archive` leaves submodules out.
    #[error("submodules cannot be released: {}", .0.join(", "))]
    Submodules(Vec<String>),
    /// There is no `release.toml` to say what is released.
    #[error("{tree} has no release.toml")]
    NoManifest {
        /// The tag or folder.
        tree: String,
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

fn first(files: &[String], count: usize) -> String {
    let more = count.saturating_sub(files.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{more}", files.join(", "))
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
            Self::NotGit { .. } => {
                one("to release a folder without version control: --tree DIR --version V")
            }
            Self::NoTag { nearest, shallow, .. } => {
                let nearest = (!nearest.is_empty())
                    .then(|| format!("the nearest tags are {}", nearest.join(", ")));
                nearest.into_iter().chain(shallow.hint()).collect()
            }
            Self::NoTagAtHead { newest, shallow, pattern, .. } => {
                let newest = (!newest.is_empty())
                    .then(|| format!("the newest version tags are {}", newest.join(", ")));
                let tag = pattern.replace("{version}", "1.2.3");
                let make = format!("tag it (git tag -a {tag}), or name the tag: pack release TAG");
                newest.into_iter().chain(shallow.hint()).chain([make]).collect()
            }
            Self::SeveralTags(_) => one("name the one to release: pack release TAG"),
            Self::Tag(InvalidTag::Version { .. }) => {
                one("a version has three numbers, e.g. 1.2.3 or 1.2.3-rc.1")
            }
            Self::Tag(_) => one("`tag` in release.toml says how tags name versions"),
            Self::Dirty { .. } => {
                one("commit them and move the tag, or put them aside with git stash")
            }
            Self::Submodules(_) => {
                one("git archive leaves them out; commit their files, or list them in `exclude`")
            }
            Self::NoManifest { .. } | Self::NoProduct => {
                one("`pack init` writes a release.toml; or give --product NAME")
            }
            Self::Special { .. } | Self::Inside { .. } => one("move it out of the tree"),
            Self::Manifest(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}
