//! Asking git, by its command.
//!
//! Git runs without a shell. Variables that point it to another repository or index (a hook has
//! them) are taken away, the user's settings are kept: whether git reads a repository, fetches what
//! a partial clone lacks, and what it takes for changed are theirs to say. They do not decide what
//! is released: that is read by object id, as it was committed ([`super::export`]), and what
//! attributes and placeholders mean is asked without any settings ([`super::scratch`]).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cutover_formats::release_toml;
use cutover_formats::version::{TagPattern, Version};
use cutover_terminal::nearest;

use super::error::{Shallow, SourceError, shown};
use super::listing::{Kind, Listing, Object};
use super::walk::Exclude;
use crate::child;

/// Variables that say whose settings count, how a remote is reached and where repositories are
/// looked for. No other `GIT_…` reaches git.
const KEPT: [&str; 12] = [
    "GIT_ASKPASS",
    "GIT_CEILING_DIRECTORIES",
    "GIT_CONFIG_COUNT",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_SYSTEM",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_TERMINAL_PROMPT",
];

/// The numbered ones that belong to `GIT_CONFIG_COUNT`.
const KEPT_PREFIXES: [&[u8]; 2] = [b"GIT_CONFIG_KEY_", b"GIT_CONFIG_VALUE_"];

/// How many names a message lists.
pub(super) const SHOWN: usize = 5;

/// A git repository with its work tree, if it has one.
#[derive(Debug)]
pub(super) struct Repository {
    dir: PathBuf,
    work_tree: Option<WorkTree>,
    shallow: Shallow,
}

/// Where in a work tree the user is.
#[derive(Debug)]
struct WorkTree {
    /// Its top.
    top: PathBuf,
    /// The path from there, empty or ended by `/`.
    prefix: Vec<u8>,
}

/// What is to be released, before the pattern of tags is known.
#[derive(Debug)]
pub(super) struct Candidate {
    /// The tag that was asked for; without one, whatever is at HEAD.
    tag: Option<String>,
    /// The full commit id.
    pub(super) commit: String,
}

impl std::fmt::Display for Candidate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.tag {
            Some(tag) => write!(f, "tag `{tag}`"),
            None => f.write_str("the commit at HEAD"),
        }
    }
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
        super::tree::refuse_other_than_folder(dir)?;
        let asked = [
            "rev-parse",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--is-inside-work-tree",
        ];
        let output = run(git(dir).args(asked))?;
        if !output.status.success() {
            return Err(not_git(dir, &output));
        }
        let answers = String::from_utf8_lossy(&output.stdout);
        let mut answers = answers.lines().map(|line| line == "true");
        let mut next = || answers.next() == Some(true);
        let (bare, shallow, inside) = (next(), next(), next());
        if !bare && !inside {
            return Err(SourceError::InsideGit(dir.to_owned()));
        }
        let shallow = if shallow { Shallow::Yes } else { Shallow::No };
        let work_tree = if bare { None } else { Some(WorkTree::of(dir)?) };
        Ok(Self { dir: dir.to_owned(), work_tree, shallow })
    }

    /// The commit of `tag`, or of HEAD.
    pub(super) fn candidate(&self, tag: Option<&str>) -> Result<Candidate, SourceError> {
        let Some(tag) = tag else {
            let commit = self.resolve("HEAD^{commit}")?;
            let commit = commit.ok_or_else(|| SourceError::NoCommit(self.dir.clone()))?;
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
        let time = committed(&self.object("commit", &commit)?);
        let time = time.ok_or_else(|| SourceError::NoTime { commit: commit.clone() })?;
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

    /// Everything in the commit's tree.
    pub(super) fn listing(&self, commit: &str) -> Result<Listing, SourceError> {
        let asked = ["ls-tree", "-r", "-t", "-z", "--full-tree", commit];
        let what = "list the tag's files";
        let output = checked(run(self.git().args(asked))?, what)?;
        Listing::parse(&output.stdout)
            .ok_or_else(|| SourceError::Git { what, why: "its answer makes no sense".to_owned() })
    }

    /// The path of the folder that is released, empty or ended by `/`: the nearest one, from where
    /// the user is upwards, that has a `release.toml`. One that is not committed must not lead to the
    /// release of a larger folder.
    pub(super) fn product_folder(
        &self,
        listing: &Listing,
        tree: &str,
    ) -> Result<Vec<u8>, SourceError> {
        let Some(work_tree) = &self.work_tree else { return Ok(Vec::new()) };
        let mut folder = work_tree.prefix.as_slice();
        loop {
            if listing.find(&manifest_in(folder)).is_some() {
                return Ok(folder.to_vec());
            }
            if folder.is_empty() {
                return Ok(Vec::new());
            }
            let place = work_tree.top.join(OsStr::from_bytes(&manifest_in(folder)));
            if place.symlink_metadata().is_ok() {
                return Err(SourceError::NotCommitted { tree: tree.to_owned(), path: place });
            }
            let end = folder[..folder.len() - 1].iter().rposition(|byte| *byte == b'/');
            folder = end.map_or(&[], |end| &folder[..=end]);
        }
    }

    /// The `release.toml` of the folder, if it has one.
    pub(super) fn manifest(
        &self,
        listing: &Listing,
        folder: &[u8],
    ) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(object) = listing.find(&manifest_in(folder)) else { return Ok(None) };
        let what = match object.kind {
            Kind::File { .. } => return self.small(object).map(Some),
            Kind::Link => "a symbolic link",
            Kind::Folder | Kind::Submodule => "a folder",
        };
        Err(SourceError::ManifestKind { what })
    }

    fn small(&self, object: &Object) -> Result<Vec<u8>, SourceError> {
        let what = "read release.toml";
        let size = checked(run(self.git().args(["cat-file", "-s", &object.id]))?, what)?;
        let size = String::from_utf8_lossy(&size.stdout).trim().parse::<u64>();
        if size.is_ok_and(|size| size > release_toml::LARGEST) {
            let why = format!("is larger than {} bytes", release_toml::LARGEST);
            let (path, source) = (release_toml::FILE_NAME.into(), io::Error::other(why));
            return Err(SourceError::Io { path, source });
        }
        self.object("blob", &object.id)
    }

    /// The contents of an object.
    pub(super) fn object(&self, kind: &'static str, id: &str) -> Result<Vec<u8>, SourceError> {
        let output = run(self.git().args(["cat-file", kind, id]))?;
        Ok(checked(output, "read an object of the tag")?.stdout)
    }

    /// Refuses tracked files that were changed: most often a commit was forgotten, and then the
    /// tag is not what its author has tried out. What counts as changed is what the user's own git
    /// says; changes to what is not released do not count. Files that git does not know and is not told to
    /// ignore are noted: one may have been forgotten.
    pub(super) fn refuse_changes(
        &self,
        folder: &[u8],
        exclude: &Exclude,
    ) -> Result<Option<String>, SourceError> {
        let Some(WorkTree { top, .. }) = &self.work_tree else { return Ok(None) };
        let asked = ["status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames"];
        let place = top.join(OsStr::from_bytes(folder));
        let output = run(git(&place).args(asked).args(["--", "."]))?;
        let output = checked(output, "compare the work tree with HEAD")?;
        let entries = output.stdout.split(|byte| *byte == 0);
        let (mut changed, mut unknown) = (Vec::new(), Vec::new());
        for entry in entries {
            let Some(path) = entry.get(3..).and_then(|path| path.strip_prefix(folder)) else {
                continue;
            };
            if exclude.leaves_out(path) {
                continue;
            }
            let found = if entry.starts_with(b"??") { &mut unknown } else { &mut changed };
            found.push(String::from_utf8_lossy(path).into_owned());
        }
        if !changed.is_empty() {
            let count = changed.len();
            changed.truncate(SHOWN);
            return Err(SourceError::Dirty { count, files: changed });
        }
        Ok((!unknown.is_empty()).then(|| {
            format!("not in the release, because git does not know them: {}", shown(&unknown))
        }))
    }

    /// `git cat-file --batch`: answers each object id on stdin with the object on stdout.
    pub(super) fn batch(&self) -> Command {
        let mut command = self.git();
        command.args(["cat-file", "--batch"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn resolve(&self, revision: &str) -> Result<Option<String>, SourceError> {
        let asked = ["rev-parse", "--verify", "--quiet", "--end-of-options", revision];
        let output = run(self.git().args(asked))?;
        if !output.status.success() {
            return Ok(None);
        }
        Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    fn tags(&self, selection: &[&str]) -> Result<Vec<String>, SourceError> {
        let asked = ["for-each-ref", "--format=%(refname:strip=2)"];
        let output = checked(run(self.git().args(asked).args(selection))?, "list tags")?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Git, for reading what was committed: no object stands for another here.
    fn git(&self) -> Command {
        let mut command = git(&self.dir);
        command.env("GIT_NO_REPLACE_OBJECTS", "1");
        command
    }
}

impl WorkTree {
    fn of(dir: &Path) -> Result<Self, SourceError> {
        let what = "find the top of the work tree";
        let ask = |option| -> Result<Vec<u8>, SourceError> {
            let output = checked(run(git(dir).args(["rev-parse", option]))?, what)?;
            // A name may itself end in the end of a line.
            Ok(output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout).to_vec())
        };
        let top = OsString::from_vec(ask("--show-toplevel")?);
        Ok(Self { top: top.into(), prefix: ask("--show-prefix")? })
    }
}

fn manifest_in(folder: &[u8]) -> Vec<u8> {
    [folder, release_toml::FILE_NAME.as_bytes()].concat()
}

/// When a commit was made, seconds since 1970, read from the object itself: what git prints of it
/// depends on settings.
fn committed(commit: &[u8]) -> Option<u64> {
    let header = commit.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    let line = header.into_iter().find_map(|line| line.strip_prefix(b"committer "))?;
    let after = line.iter().rposition(|byte| *byte == b'>')? + 1;
    str::from_utf8(&line[after..]).ok()?.split_whitespace().next()?.parse().ok()
}

/// Why git does not take the folder for one of its own.
fn not_git(dir: &Path, output: &Output) -> SourceError {
    let dir = dir.to_owned();
    // The only errors whose advice names this setting are about whose the repository is.
    if String::from_utf8_lossy(&output.stderr).contains("safe.directory") {
        let folder = dir.canonicalize().unwrap_or_else(|_| dir.clone());
        let top = folder.ancestors().find(|it| it.join(".git").exists());
        return SourceError::Ownership(top.unwrap_or(&folder).to_owned());
    }
    let system = other_system(&dir);
    SourceError::NotGit { why: last_words(&output.stderr), dir, system }
}

/// The version control system that the folder is under, and how it writes a clean folder.
fn other_system(dir: &Path) -> Option<(&'static str, &'static str)> {
    let known = [
        (".hg", "Mercurial", "hg archive DIR"),
        (".svn", "Subversion", "svn export . DIR"),
        (".bzr", "Breezy", "brz export DIR"),
        (".jj", "Jujutsu", "jj git export"),
    ];
    let dir = fs::canonicalize(dir).ok()?;
    dir.ancestors().find_map(|folder| {
        let found = known.iter().find(|(name, ..)| folder.join(name).is_dir());
        found.map(|(_, system, export)| (*system, *export))
    })
}

fn git(dir: &Path) -> Command {
    let mut command = bare_git();
    command.arg("-C").arg(dir).env("GIT_OPTIONAL_LOCKS", "0");
    for (name, value) in std::env::vars_os() {
        let kept = KEPT.iter().any(|it| name == *it)
            || KEPT_PREFIXES.iter().any(|it| name.as_bytes().starts_with(it));
        if kept {
            command.env(name, value);
        }
    }
    command
}

/// Git with no variable that means something to it but the language of its words.
pub(super) fn bare_git() -> Command {
    let mut command = child::command("git");
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C");
    command
}

pub(super) fn run(command: &mut Command) -> Result<Output, SourceError> {
    command.stdin(Stdio::null()).output().map_err(SourceError::NoGit)
}

/// What git answered, if it did.
pub(super) fn checked(output: Output, what: &'static str) -> Result<Output, SourceError> {
    if output.status.success() {
        Ok(output)
    } else {
        Err(SourceError::Git { what, why: last_words(&output.stderr) })
    }
}

/// The error among what git wrote to stderr, else its last line.
pub(super) fn last_words(stderr: &[u8]) -> String {
    let words = String::from_utf8_lossy(stderr);
    let mut lines = words.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = words.lines().find_map(|line| line.strip_prefix("fatal: "));
    fatal.or_else(|| lines.next_back()).unwrap_or("no reason given").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_commit() {
        let commit = |time: &str| {
            format!("tree 0\nparent 0\nauthor A <a> 1 +0000\ncommitter A > <a> {time}\n\ncommitter")
        };
        assert_eq!(committed(commit("1714953600 +0200").as_bytes()), Some(1_714_953_600));
        for unreadable in ["", "-1 +0000", "soon +0000", "99999999999999999999999 +0000"] {
            assert_eq!(committed(commit(unreadable).as_bytes()), None, "{unreadable}");
        }
        assert_eq!(committed(b"tree 0\n\ncommitter A <a> 1 +0000"), None);
    }

    #[test]
    fn what_git_says() {
        let ownership = b"fatal: detected dubious ownership in repository at '/x'\nTo add \
            an exception\n\n\tgit config --global --add safe.directory /x\n";
        assert_eq!(last_words(ownership), "detected dubious ownership in repository at '/x'");
        assert_eq!(last_words(b"one\n two \n\n"), "two");
        assert_eq!(last_words(b""), "no reason given");
    }
}
