//! Asking git, by its command.
//!
//! Git runs without a shell, with an environment in which nothing points it to another repository
//! or index, and with the settings that would change an export's bytes set to fixed values: the
//! same tag gives the same files on every machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use cutover_formats::release_toml;
use cutover_formats::version::{TagPattern, Version};
use cutover_terminal::nearest;

use super::error::{Shallow, SourceError};
use super::walk::Exclude;
use crate::child;

/// Variables that would make git look elsewhere.
const MISLEADING: [&str; 12] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_ATTR_SOURCE",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_LITERAL_PATHSPECS",
];

/// Settings of the user's that would change an export.
const FIXED: [&str; 8] = [
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.eol=lf",
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "tar.umask=0022",
];

/// How many names a message lists.
const SHOWN: usize = 5;

/// A git repository with its work tree, if it has one.
#[derive(Debug)]
pub(super) struct Repository {
    top: PathBuf,
    work_tree: WorkTree,
    shallow: Shallow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WorkTree {
    Present,
    Bare,
}

/// What is to be released, before the pattern of tags is known.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The tag that was asked for; without one, whatever is at HEAD.
    tag: Option<String>,
    /// The full commit id.
    pub(super) commit: String,
}

/// A tag that is a version.
#[derive(Debug)]
pub(super) struct Tagged {
    /// Its name.
    pub(super) tag: String,
    /// What it stands for.
    pub(super) version: Version,
    /// The full commit id.
    pub(super) commit: String,
    /// Commit time, seconds since 1970.
    pub(super) time: u64,
}

impl Repository {
    /// The repository that `dir` is in.
    pub(super) fn open(dir: &Path) -> Result<Self, SourceError> {
        if !dir.is_dir() {
            return Err(SourceError::NoFolder(dir.to_owned()));
        }
        let asked = ["rev-parse", "--is-bare-repository", "--is-shallow-repository"];
        let output = run(git(dir).args(asked))?;
        if !output.status.success() {
            return Err(SourceError::NotGit { dir: dir.to_owned(), why: last_words(&output) });
        }
        let answers = String::from_utf8_lossy(&output.stdout);
        let mut answers = answers.lines().map(|line| line == "true");
        let bare = answers.next() == Some(true);
        let shallow = if answers.next() == Some(true) { Shallow::Yes } else { Shallow::No };
        let (top, work_tree) = if bare {
            (dir.to_owned(), WorkTree::Bare)
        } else {
            let top = text(&run(git(dir).args(["rev-parse", "--show-toplevel"]))?, "find its top")?;
            (PathBuf::from(top), WorkTree::Present)
        };
        Ok(Self { top, work_tree, shallow })
    }

    /// The commit of `tag`, or of HEAD.
    pub(super) fn candidate(&self, tag: Option<&str>) -> Result<Candidate, SourceError> {
        let Some(tag) = tag else {
            let commit = self.resolve("HEAD^{commit}")?;
            let commit = commit.ok_or_else(|| SourceError::NoCommit(self.top.clone()))?;
            return Ok(Candidate { tag: None, commit });
        };
        match self.resolve(&format!("refs/tags/{tag}^{{commit}}"))? {
            Some(commit) => Ok(Candidate { tag: Some(tag.to_owned()), commit }),
            None => {
                let tags = self.tags(&["refs/tags"])?;
                let near = nearest(tag, tags.iter().map(String::as_str));
                Err(SourceError::NoTag {
                    tag: tag.to_owned(),
                    nearest: near.into_iter().map(str::to_owned).collect(),
                    shallow: self.shallow,
                })
            }
        }
    }

    /// The version that is released, once it is known how tags name versions.
    pub(super) fn tagged(
        &self,
        candidate: Candidate,
        pattern: &TagPattern,
    ) -> Result<Tagged, SourceError> {
        let Candidate { tag, commit } = candidate;
        let (tag, version) = match tag {
            Some(tag) => pattern.version(&tag).map(|version| (tag, version))?,
            None => self.version_at(&commit, pattern)?,
        };
        let time = run(self.git().args(["show", "--no-patch", "--format=%ct", &commit]))?;
        // A commit from before 1970 is dated 1970.
        let time = text(&time, "read the commit's time")?.parse().unwrap_or(0);
        Ok(Tagged { tag, version, commit, time })
    }

    fn version_at(
        &self,
        commit: &str,
        pattern: &TagPattern,
    ) -> Result<(String, Version), SourceError> {
        let at_head = self.tags(&["--points-at", commit, "refs/tags"])?;
        let fits = |tag: &String| Some((tag.clone(), pattern.version(tag).ok()?));
        let mut found: Vec<(String, Version)> = at_head.iter().filter_map(fits).collect();
        if found.len() > 1 {
            return Err(SourceError::SeveralTags(found.into_iter().map(|(tag, _)| tag).collect()));
        }
        if let Some(found) = found.pop() {
            return Ok(found);
        }
        let mut all: Vec<_> = self.tags(&["refs/tags"])?.iter().filter_map(fits).collect();
        all.sort_by(|(_, a), (_, b)| b.cmp(a));
        Err(SourceError::NoTagAtHead {
            commit: commit.chars().take(12).collect(),
            pattern: pattern.to_string(),
            at_head,
            newest: all.into_iter().take(SHOWN).map(|(tag, _)| tag).collect(),
            shallow: self.shallow,
        })
    }

    /// Refuses tracked files that were changed: most often a commit was forgotten, and then the
    /// tag is not what its author has tried out.
    pub(super) fn refuse_changes(&self) -> Result<(), SourceError> {
        if self.work_tree == WorkTree::Bare {
            return Ok(());
        }
        let asked = ["status", "--porcelain=v1", "-z", "--untracked-files=no", "--no-renames"];
        let output = run(self.git().args(asked))?;
        let status = text(&output, "compare the work tree with HEAD")?;
        let changed: Vec<&str> = status.split('\0').filter_map(|entry| entry.get(3..)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let files = changed.iter().take(SHOWN).map(|&file| file.to_owned()).collect();
        Err(SourceError::Dirty { count: changed.len(), files })
    }

    /// Refuses submodules that are not excluded: an export does not have their files.
    pub(super) fn refuse_submodules(
        &self,
        commit: &str,
        exclude: &Exclude,
    ) -> Result<(), SourceError> {
        let output = run(self.git().args(["ls-tree", "-r", "-z", "--full-tree", commit]))?;
        let listing = text(&output, "list the tag's files")?;
        let submodules: Vec<String> = listing
            .split('\0')
            .filter(|line| line.starts_with("160000 "))
            .filter_map(|line| line.split_once('\t'))
            .filter(|(_, path)| !exclude.leaves_out(path))
            .map(|(_, path)| path.to_owned())
            .collect();
        if submodules.is_empty() { Ok(()) } else { Err(SourceError::Submodules(submodules)) }
    }

    /// A small file of a commit, as it is in the repository.
    pub(super) fn read(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let object = format!("{commit}:{path}");
        if self.resolve(&object)?.is_none() {
            return Ok(None);
        }
        let size = text(&run(self.git().args(["cat-file", "-s", &object]))?, "read release.toml")?;
        if size.parse().is_ok_and(|size: u64| size > release_toml::LARGEST) {
            let why = format!("is larger than {} bytes", release_toml::LARGEST);
            let source = std::io::Error::other(why);
            return Err(SourceError::Io { path: path.into(), source });
        }
        let output = run(self.git().args(["cat-file", "blob", &object]))?;
        text(&output, "read release.toml")?;
        Ok(Some(output.stdout))
    }

    /// Starts writing a tar of the commit's files to the child's stdout.
    pub(super) fn archive(&self, commit: &str) -> Result<Child, SourceError> {
        let mut command = git(&self.top);
        command.args(["archive", "--format=tar", commit]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        command.spawn().map_err(SourceError::NoGit)
    }

    fn resolve(&self, revision: &str) -> Result<Option<String>, SourceError> {
        let asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", revision];
        let output = run(self.git().args(asked))?;
        if !output.status.success() {
            return Ok(None);
        }
        text(&output, "resolve a revision").map(Some)
    }

    fn tags(&self, selection: &[&str]) -> Result<Vec<String>, SourceError> {
        let asked = ["for-each-ref", "--format=%(refname:strip=2)"];
        let output = run(self.git().args(asked).args(selection))?;
        Ok(text(&output, "list tags")?.lines().map(str::to_owned).collect())
    }

    fn git(&self) -> Command {
        git(&self.top)
    }
}

fn git(dir: &Path) -> Command {
    let mut command = child::command("git");
    command.arg("-C").arg(dir).args(FIXED);
    MISLEADING.iter().for_each(|name| {
        command.env_remove(name);
    });
    let settings = [("LC_ALL", "C"), ("GIT_OPTIONAL_LOCKS", "0"), ("GIT_NO_REPLACE_OBJECTS", "1")];
    command.envs(settings.map(|(name, value)| (OsStr::new(name), OsStr::new(value))));
    command
}

fn run(command: &mut Command) -> Result<Output, SourceError> {
    command.stdin(Stdio::null()).output().map_err(SourceError::NoGit)
}

/// What git answered, without the last line's end.
fn text(output: &Output, what: &'static str) -> Result<String, SourceError> {
    if !output.status.success() {
        return Err(SourceError::Git { what, why: last_words(output) });
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned())
}

fn last_words(output: &Output) -> String {
    last_line(&output.stderr)
}

/// The last line of what git wrote to stderr.
pub(super) fn last_line(stderr: &[u8]) -> String {
    let words = String::from_utf8_lossy(stderr);
    let line =
        words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    line.trim_start_matches("fatal: ").trim().to_owned()
}
