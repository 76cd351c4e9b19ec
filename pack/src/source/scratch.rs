//! A repository of our own, for what git knows and settings would change: the meaning of the
//! commit's `.gitattributes`, and the values of `export-subst` placeholders.
//!
//! It has the commit's attribute files, the commit object where that is needed, and nothing of the
//! clone: no settings, no `info/attributes`, no branches, no grafts, no edge of a shallow clone. The
//! same tag therefore means the same in every clone and for every user.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::error::SourceError;
use super::git::{Repository, bare_git, checked};
use super::listing::{Kind, Listing};

/// Where attributes are read from.
const ATTRIBUTES: &str = ".gitattributes";

/// What is asked of each path, in this order.
const ASKED: [&str; 6] =
    ["export-ignore", "export-subst", "filter", "ident", "working-tree-encoding", "eol"];

/// Hexadecimal digits of an object id of SHA-256.
const SHA256: usize = 64;

/// A repository without settings.
#[derive(Debug)]
pub(super) struct Scratch(TempDir);

/// What the attributes of a path say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// It is not part of an export.
    pub(super) ignored: bool,
    /// It has placeholders.
    pub(super) subst: bool,
    /// What check-out makes of the committed contents.
    pub(super) filter: Filter,
    /// `$Id$` is expanded at check-out.
    pub(super) ident: bool,
    /// The encoding that it is checked out in, where that is not the committed one.
    pub(super) encoding: Option<String>,
    /// Ends of lines become CR LF at check-out.
    pub(super) crlf: bool,
}

/// The attribute `filter` of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Filter {
    /// Nothing is said.
    #[default]
    Unspecified,
    /// `-filter`: what is committed is meant.
    Unset,
    /// The program of this name.
    Named(String),
}

impl Scratch {
    /// A repository for a commit with this id.
    pub(super) fn new(commit: &str) -> Result<Self, SourceError> {
        let folder = tempfile::Builder::new().prefix("cutover-git-").tempdir();
        let folder =
            folder.map_err(|source| SourceError::Io { path: std::env::temp_dir(), source })?;
        let scratch = Self(folder);
        let mut init = scratch.git();
        init.args(["init", "--quiet", "--template="]);
        if commit.len() == SHA256 {
            init.arg("--object-format=sha256");
        }
        ask(&mut init, &[], "make a repository for the attributes")?;
        Ok(scratch)
    }

    /// The attributes of `paths` (folders end in `/`), by the attribute files of the listing.
    pub(super) fn attributes(
        &self,
        repository: &Repository,
        listing: &Listing,
        paths: &[Vec<u8>],
    ) -> Result<Vec<Attributes>, SourceError> {
        for (path, object) in listing.all() {
            let path = Path::new(OsStr::from_bytes(path));
            // Git follows no link here, and does not look into folders that are called like its own.
            let file = matches!(object.kind, Kind::File { .. }) && is_safe(path);
            if file && path.file_name() == Some(OsStr::new(ATTRIBUTES)) {
                let text = repository.object("blob", &object.id)?;
                let place = self.0.path().join(path);
                write(&place, &text).map_err(|source| SourceError::Io { path: place, source })?;
            }
        }
        let mut command = self.git();
        command.args(["-c", "core.ignoreCase=false", "check-attr", "--stdin", "-z"]).args(ASKED);
        let what = "read the attributes of the tag's files";
        let said = ask(&mut command, &paths.join(&0), what)?;
        let mut fields = said.stdout.split(|byte| *byte == 0);
        // Three fields an answer: path, attribute, value.
        let mut value = || fields.nth(2).map(|it| String::from_utf8_lossy(it).into_owned());
        let mut all = Vec::new();
        for _ in paths {
            let of_path: Option<Vec<String>> = ASKED.iter().map(|_| value()).collect();
            let of_path = of_path.ok_or_else(|| SourceError::Git {
                what,
                why: "its answer ended early".to_owned(),
            })?;
            all.push(Attributes::of(&of_path));
        }
        Ok(all)
    }

    /// Takes over a commit, so that placeholders can be expanded for it.
    pub(super) fn adopt(&self, commit: &[u8]) -> Result<(), SourceError> {
        let mut command = self.git();
        command.args(["hash-object", "-t", "commit", "-w", "--stdin"]);
        ask(&mut command, commit, "copy the tag's commit").map(|_| ())
    }

    /// What a format of `git log` says about the commit.
    pub(super) fn expand(&self, commit: &str, format: &[u8]) -> Result<Vec<u8>, SourceError> {
        let format = OsString::from_vec([b"--format=format:", format].concat());
        let mut command = self.git();
        command.args(["log", "--no-walk", "--no-patch", "--no-color"]).arg(format).arg(commit);
        Ok(ask(&mut command, &[], "expand a placeholder")?.stdout)
    }

    fn git(&self) -> Command {
        let mut command = bare_git();
        command.arg("-C").arg(self.0.path());
        // Attributes of the user's come by default from below HOME.
        command.args(["-c", "core.attributesFile=/dev/null"]);
        command.env("GIT_ATTR_NOSYSTEM", "1").env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        command.env("HOME", self.0.path()).env_remove("XDG_CONFIG_HOME");
        command.env("GIT_DIR", self.0.path().join(".git")).env("GIT_WORK_TREE", self.0.path());
        command
    }
}

impl Attributes {
    /// From the values, in the order of [`ASKED`].
    fn of(values: &[String]) -> Self {
        let is = |at: usize, what: &str| values.get(at).is_some_and(|value| value == what);
        let named = |at: usize| {
            let none = ["unspecified", "unset", "set", ""];
            values.get(at).filter(|value| !none.contains(&value.as_str())).cloned()
        };
        Self {
            ignored: is(0, "set"),
            subst: is(1, "set"),
            filter: match named(2) {
                Some(name) => Filter::Named(name),
                None if is(2, "unset") => Filter::Unset,
                None => Filter::Unspecified,
            },
            ident: is(3, "set"),
            encoding: named(4).filter(|name| !name.eq_ignore_ascii_case("utf-8")),
            crlf: is(5, "crlf"),
        }
    }
}

/// Whether a path of a commit, which may be crafted, stays in a folder and out of git's own.
pub(super) fn is_safe(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let plain = !bytes.starts_with(b"/") && !bytes.ends_with(b"/");
    let split = bytes.split(|byte| *byte == b'/');
    plain
        && split.into_iter().all(|part| !part.is_empty() && part != b".")
        && path.components().all(|part| match part {
            Component::Normal(name) => !name.eq_ignore_ascii_case(".git"),
            _ => false,
        })
}

fn write(place: &Path, text: &[u8]) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)?;
    OpenOptions::new().write(true).create_new(true).open(place)?.write_all(text)
}

/// Runs git with `input` on stdin.
fn ask(command: &mut Command, input: &[u8], what: &'static str) -> Result<Output, SourceError> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(SourceError::NoGit)?;
    let stdin = child.stdin.take();
    let output = std::thread::scope(|scope| {
        // Git answers while it reads. Where it has ended before, its exit status says so.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output().map_err(SourceError::NoGit)
    })?;
    checked(output, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crafted_paths() {
        for path in ["a", "a/b", ".gitattributes", "a/.gitx/b"] {
            assert!(is_safe(Path::new(path)), "{path}");
        }
        for path in ["", "/a", "../a", "a/../b", "a/.", "./a", "a//b", "a/", ".git/x", "a/.GIT"] {
            assert!(!is_safe(Path::new(path)), "{path}");
        }
    }
}
