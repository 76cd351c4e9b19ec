//! Pip, as a program: what it is told, and what its errors mean.
//!
//! Pip has no machine-readable errors, so its words are read. Where they are not understood they
//! are passed on without addresses, which may hold passwords; nothing that is *accepted* depends
//! on them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use cutover_formats::digest::Digest;
use cutover_formats::release_toml::VendorPython;
use cutover_pack::lock::{Lock, Requirement, normalise};
use cutover_terminal::{Output, Progress};

use super::place;
use crate::child;
use crate::vendor::VendorError;
use crate::vendor::error::Place;

/// Says everything about an interpreter that decides which distributions suit it.
const WHO: &str = "\
import sys, sysconfig, platform
try:
    import pip
    pip = pip.__version__
except ImportError:
    sys.exit('it has no pip')
print(sys.implementation.name, sys.version, sysconfig.get_platform(), *platform.libc_ver(), pip)
";

/// Settings that would take the choice out of the lock.
const MEDDLING: [&str; 10] = [
    "PIP_ABI",
    "PIP_CONSTRAINT",
    "PIP_DEST",
    "PIP_IMPLEMENTATION",
    "PIP_NO_DEPS",
    "PIP_PLATFORM",
    "PIP_PRE",
    "PIP_PYTHON",
    "PIP_PYTHON_VERSION",
    "PIP_REQUIREMENT",
];

/// Settings of where distributions are looked for, which mean nothing where the tree has them.
const ELSEWHERE: [&str; 4] =
    ["PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"];

/// Where pip looks for distributions.
#[derive(Clone, Copy)]
enum From<'a> {
    /// Wherever the user has set it up to look.
    Index,
    /// In this folder and nowhere else.
    Folder(&'a Path),
}

/// Pip of the wanted interpreter, with the lock that it is to follow.
pub(super) struct Pip<'a> {
    settings: &'a VendorPython,
    lock: PathBuf,
    find_links: Option<PathBuf>,
    identity: String,
}

impl<'a> Pip<'a> {
    /// Asks the interpreter who it is.
    pub(super) fn new(
        settings: &'a VendorPython,
        lock: &Path,
        find_links: Option<&Path>,
    ) -> Result<Self, VendorError> {
        let interpreter = settings.interpreter.clone();
        let output = child::command(&interpreter).args(["-c", WHO]).stdin(Stdio::null()).output();
        let output = output.map_err(|source| VendorError::NoInterpreter {
            interpreter: interpreter.clone(),
            source,
        })?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            let why = words.lines().last().unwrap_or("it says nothing").to_owned();
            let what = "cannot be used to fetch distributions";
            return Err(VendorError::Interpreter { interpreter, what, why });
        }
        Ok(Self {
            settings,
            lock: absolute(lock),
            find_links: find_links.map(absolute),
            identity: String::from_utf8_lossy(&output.stdout).into_owned(),
        })
    }

    /// Whether the tree has the distributions itself.
    pub(super) fn has_folder(&self) -> bool {
        self.find_links.is_some()
    }

    /// The digest of everything that decides which distributions a lock comes to.
    pub(super) fn key(&self, lock: &[u8]) -> Digest {
        let mut bytes = lock.to_vec();
        bytes.push(0);
        bytes.extend_from_slice(self.identity.as_bytes());
        if let Some(folder) = &self.find_links {
            let mut names: Vec<String> = fs::read_dir(folder)
                .into_iter()
                .flatten()
                .flatten()
                .map(|file| file.file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            bytes.push(0);
            bytes.extend_from_slice(names.join("\0").as_bytes());
        }
        Digest::of(&bytes)
    }

    /// Downloads what is locked into `folder`, which is empty.
    pub(super) fn download(
        &self,
        folder: &Path,
        lock: &Lock,
        output: &Output,
    ) -> Result<(), VendorError> {
        let count = lock.requirements.len();
        let interpreter = &self.settings.interpreter;
        output.note(format!("fetching {count} locked distributions with pip of {interpreter}"));
        let progress = Progress::items("fetching distributions", count as u64);
        let from = self.find_links.as_deref().map_or(From::Index, From::Folder);
        let Ended { status, errors, at } =
            watch(&mut self.command(folder, &self.lock, from), &progress).map_err(|source| {
                VendorError::NoInterpreter { interpreter: interpreter.clone(), source }
            })?;
        if status.success() { Ok(()) } else { Err(self.translate(&errors, at, lock)) }
    }

    /// Downloads from the index only what is not in the folder `known` yet, and then resolves the
    /// whole lock from that folder: the same outcome in a fraction of the time where one of many
    /// distributions is new. Whether that worked; where not, `folder` is of no use.
    pub(super) fn complete(
        &self,
        known: &Path,
        missing: &[&Requirement],
        folder: &Path,
    ) -> std::io::Result<bool> {
        let quiet = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
        };
        if !missing.is_empty() {
            let lock = folder.join("missing.lock");
            fs::write(&lock, missing.iter().map(|it| it.to_string()).collect::<String>())?;
            let mut command = self.command(known, &lock, From::Index);
            let done = quiet(command.arg("--no-deps"))?;
            fs::remove_file(&lock)?;
            if !done.success() {
                return Ok(false);
            }
        }
        Ok(quiet(&mut self.command(folder, &self.lock, From::Folder(known)))?.success())
    }

    fn command(&self, folder: &Path, lock: &Path, from: From<'_>) -> Command {
        let mut command = child::command(&self.settings.interpreter);
        command.args(["-m", "pip", "download", "--require-hashes", "--prefer-binary"]);
        command.args(["--no-input", "--disable-pip-version-check", "--progress-bar=off"]);
        command.arg("--dest").arg(folder).arg("--requirement").arg(lock);
        MEDDLING.iter().for_each(|name| {
            command.env_remove(name);
        });
        if let From::Folder(links) = from {
            command.arg("--no-index").arg("--find-links").arg(links);
            ELSEWHERE.iter().for_each(|name| {
                command.env_remove(name);
            });
            command.env("PIP_CONFIG_FILE", "/dev/null");
        }
        // Python finds modules in the current folder: this one has none.
        command.current_dir(folder).env("LC_ALL", "C.UTF-8").env("PYTHONUNBUFFERED", "1");
        command
    }

    /// What pip's errors mean for the release.
    fn translate(&self, errors: &str, at: Option<String>, lock: &Lock) -> VendorError {
        let other = || VendorError::Pip {
            lock: self.settings.requirements.clone(),
            why: without_addresses(errors),
        };
        other_digest(errors)
            .or_else(|| self.not_built(errors, at))
            .or_else(|| self.not_locked(errors, lock))
            .or_else(|| self.no_distribution(errors, lock))
            .unwrap_or_else(other)
    }

    /// A source distribution that pip has to build, to see what it needs, and cannot.
    fn not_built(&self, errors: &str, sdist: Option<String>) -> Option<VendorError> {
        let failed = ["subprocess-exited-with-error", "metadata-generation-failed"];
        if !failed.iter().any(|it| errors.contains(it)) || self.is_cut_off(errors) {
            return None;
        }
        let sdist = sdist.unwrap_or_else(|| "a source distribution".to_owned());
        let builder = wanted(errors).map(|line| {
            let end = line.find([' ', ';']).unwrap_or(line.len());
            line[..end].to_owned()
        });
        Some(match builder {
            Some(builder) => VendorError::NoBuilder { sdist, builder, place: place(self.settings) },
            None => VendorError::NotBuilt { sdist, why: without_addresses(errors) },
        })
    }

    /// Whether the package index did not answer.
    fn is_cut_off(&self, errors: &str) -> bool {
        place(self.settings) == Place::Index && errors.contains("Retrying (Retry(")
    }

    /// A dependency that is there, but without pin or hash.
    fn not_locked(&self, errors: &str, lock: &Lock) -> Option<VendorError> {
        let said = ["must have their versions pinned", "Hashes are required in --require-hashes"];
        let mut lines = errors.lines().skip_while(|line| !said.iter().any(|it| line.contains(it)));
        let line = lines.by_ref().skip(1).find(|line| line.starts_with("    "))?.trim();
        self.missing(line, lock)
    }

    /// A distribution that is nowhere: of a locked requirement, or of one that is not locked.
    fn no_distribution(&self, errors: &str, lock: &Lock) -> Option<VendorError> {
        let line = wanted(errors)?;
        if let Some(missing) = self.missing(line, lock) {
            return Some(missing);
        }
        let place = place(self.settings);
        if self.is_cut_off(errors) {
            return Some(VendorError::NoIndex);
        }
        let requirement = line.split([' ', ';']).next().unwrap_or(line).to_owned();
        Some(VendorError::NoDistribution { requirement, place })
    }

    /// `name>=1 from ADDRESS (from other==1.0->-r …)`, where `name` is not locked.
    fn missing(&self, line: &str, lock: &Lock) -> Option<VendorError> {
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
        let name = normalise(&line[..end.unwrap_or(line.len())]);
        if lock.requirements.iter().any(|requirement| requirement.name == name) {
            return None;
        }
        // What versions there are stands in brackets of the same kind.
        let from = line.split("(from ").skip(1).find(|from| !from.starts_with("versions:"));
        let by = from.map(|by| by.split("->").next().unwrap_or(by));
        let by = by.and_then(|by| by.split([')', ' ']).next()).filter(|by| !by.starts_with('-'));
        let by = by.map(str::to_owned);
        let lock = self.settings.requirements.clone();
        Some(VendorError::NotLocked { package: name, by, lock })
    }
}

/// The requirement that nothing satisfies, and what pip adds to it.
fn wanted(errors: &str) -> Option<&str> {
    let said = ["satisfies the requirement ", "No matching distribution found for "];
    let rest = said.iter().find_map(|it| errors.split_once(it).map(|(_, rest)| rest))?;
    rest.lines().next()
}

/// A distribution that pip refused for its digest.
fn other_digest(errors: &str) -> Option<VendorError> {
    let mut lines = errors.lines().skip_while(|line| !line.contains("DO NOT MATCH THE HASHES"));
    let what = lines.by_ref().skip(1).find(|line| line.starts_with("    "))?;
    let what = what.split_whitespace().next()?.trim_end_matches(':');
    let found = lines.find_map(|line| line.trim().strip_prefix("Got"))?.trim().to_owned();
    Some(VendorError::OtherDigest { what: what.to_owned(), found })
}

/// How pip ended.
struct Ended {
    status: ExitStatus,
    errors: String,
    /// The distribution that it was at.
    at: Option<String>,
}

/// Runs pip to its end, counting what it says that it collects.
fn watch(command: &mut Command, progress: &Progress) -> std::io::Result<Ended> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let mut errors = Vec::new();
    let at = std::thread::scope(|scope| {
        let at = scope.spawn(|| {
            let mut at = None;
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                let collected = line.strip_prefix("Collecting ");
                if collected.is_some() {
                    progress.add(1);
                }
                // In a folder it has a path, which is nobody's business.
                let distribution = collected.or_else(|| line.strip_prefix("Processing "));
                let word = distribution.and_then(|it| it.split_whitespace().next());
                at = word.and_then(|it| it.rsplit('/').next()).map(str::to_owned).or(at);
            }
            at
        });
        // Pip writes little there; a reader that fails leaves its exit status to speak.
        let _ = stderr.read_to_end(&mut errors);
        at.join().ok().flatten()
    });
    let errors = String::from_utf8_lossy(&errors).into_owned();
    Ok(Ended { status: child.wait()?, errors, at })
}

/// Pip's errors in one line, each word that is an address cut out.
fn without_addresses(errors: &str) -> String {
    let is_error = |line: &&str| line.starts_with("ERROR:") || line.contains("Error");
    let mut said: Vec<&str> = errors.lines().filter(is_error).collect();
    if said.is_empty() {
        said = errors.lines().rev().filter(|line| !line.trim().is_empty()).take(1).collect();
    }
    let words = said.iter().flat_map(|line| line.split_whitespace());
    let words = words.filter(|word| *word != "ERROR:");
    let shown =
        words.map(|word| if word.contains("://") || word.contains('@') { "…" } else { word });
    let text = shown.collect::<Vec<_>>().join(" ");
    if text.is_empty() { "it gives no reason".to_owned() } else { text }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
