//! A clean export: the committed contents of a tag's files, laid out in a temporary folder.
//!
//! Contents are read by object id, so no filter, end-of-line setting or encoding changes them. Where
//! check-out would, that is told. `.gitattributes` decide what is left out (`export-ignore`) and
//! where placeholders are expanded (`export-subst`).
//!
//! Threats: a crafted tree object may hold names that leave the folder or pass through a symlink.
//! Every path is a [`RelPath`]; symlinks are made last, so that no file is written through one;
//! and files are created new, so that no two entries write the same one.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::ChildStdout;

use cutover_formats::path::RelPath;
use cutover_terminal::Progress;
use tempfile::TempDir;

use super::error::{SourceError, first};
use super::git::{Repository, SHOWN, last_words};
use super::listing::{Kind, Listing, Object};
use super::placeholder::{self, Placeholder};
use super::scratch::{Attributes, Filter, Scratch, is_safe};
use super::subst;
use super::walk::Exclude;

/// What is exported of a repository.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The full commit id.
    pub(super) commit: &'a str,
    /// Everything in the commit.
    pub(super) listing: &'a Listing,
    /// The folder that is released, empty or ended by `/`.
    pub(super) folder: &'a [u8],
    /// What the release leaves out. It is exported, because checks may need it, but not judged.
    pub(super) exclude: &'a Exclude,
}

/// An export.
#[derive(Debug)]
pub(super) struct Export {
    /// Where it lies.
    pub(super) folder: TempDir,
    /// What its user should know about it.
    pub(super) notes: Vec<String>,
}

/// A file or link of the export.
struct Item<'a> {
    path: RelPath,
    object: &'a Object,
    attributes: Attributes,
    /// Whether `exclude` leaves it out of the release.
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Released,
    Excluded,
}

/// Lays out what is wanted.
pub(super) fn export(repository: &Repository, wanted: Wanted<'_>) -> Result<Export, SourceError> {
    let scratch = Scratch::new(wanted.commit)?;
    let items = choose(repository, wanted, &scratch)?;
    let folder = tempfile::Builder::new().prefix("cutover-export-").tempdir();
    let folder = folder.map_err(io_at(&std::env::temp_dir()))?;
    let substitution = Substitution { repository, scratch: &scratch, commit: wanted.commit };
    let mut writer = Writer::new(folder.path(), substitution);
    read(repository, &items, |item, contents| writer.write(item, contents))?;
    let notes = writer.finish()?;
    Ok(Export { folder, notes })
}

/// The files and links to export.
fn choose<'a>(
    repository: &Repository,
    wanted: Wanted<'a>,
    scratch: &Scratch,
) -> Result<Vec<Item<'a>>, SourceError> {
    let Wanted { listing, folder, exclude, .. } = wanted;
    let below = |(path, object): (&'a [u8], &'a Object)| {
        let path = path.strip_prefix(folder).filter(|path| !path.is_empty())?;
        Some((path, object))
    };
    let mut all: Vec<(&[u8], &Object)> = listing.all().filter_map(below).collect();
    for (path, _) in &all {
        if !is_safe(Path::new(OsStr::from_bytes(path))) && !exclude.leaves_out(path) {
            let path = String::from_utf8_lossy(path).into_owned();
            return Err(SourceError::Special { path, kind: "a path that may lead elsewhere" });
        }
    }
    all.retain(|(path, _)| is_safe(Path::new(OsStr::from_bytes(path))));
    let slash = |object: &Object| matches!(object.kind, Kind::Folder | Kind::Submodule);
    let asked = all
        .iter()
        .map(|(path, object)| [folder, *path, if slash(object) { b"/" } else { b"" }].concat());
    let attributes = scratch.attributes(repository, listing, &asked.collect::<Vec<_>>())?;
    let mut ignored: HashSet<&[u8]> = HashSet::new();
    let mut items = Vec::new();
    let mut submodules = Vec::new();
    for ((path, object), attributes) in all.into_iter().zip(attributes) {
        let in_ignored = parents(path).any(|parent| ignored.contains(parent));
        if attributes.ignored || in_ignored {
            ignored.insert(path);
            continue;
        }
        let excluded = exclude.leaves_out(path);
        match (object.kind, named(path)) {
            (Kind::Folder, _) | (Kind::Submodule, _) if excluded => {}
            (Kind::Folder, _) => {}
            (Kind::Submodule, _) => submodules.push(String::from_utf8_lossy(path).into_owned()),
            (_, Err(_)) if excluded => {}
            (_, Err(error)) => return Err(error),
            (_, Ok(path)) => {
                let fate = if excluded { Fate::Excluded } else { Fate::Released };
                items.push(Item { path, object, attributes, fate });
            }
        }
    }
    if submodules.is_empty() { Ok(items) } else { Err(SourceError::Submodules(submodules)) }
}

/// The folders that hold a path, outermost first.
fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    ends.map(|(end, _)| &path[..end])
}

fn named(path: &[u8]) -> Result<RelPath, SourceError> {
    let text = str::from_utf8(path)
        .map_err(|_| SourceError::PathNotText(String::from_utf8_lossy(path).into_owned()))?;
    Ok(text.parse()?)
}

/// Reads the contents of each item, in order.
fn read(
    repository: &Repository,
    items: &[Item<'_>],
    mut each: impl FnMut(&Item<'_>, &mut dyn Read) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut child = repository.batch().spawn().map_err(SourceError::NoGit)?;
    let stdin = child.stdin.take();
    let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let done = std::thread::scope(|scope| {
        let ids: Vec<String> = items.iter().map(|item| format!("{}\n", item.object.id)).collect();
        // Git answers while it reads. Where it has ended before, the missing answer says so.
        scope.spawn(move || stdin.map(|mut it| it.write_all(ids.concat().as_bytes())));
        let done = items.iter().try_for_each(|item| {
            let Some(size) = answer(&mut stdout, &item.object.id) else {
                return Err(SourceError::NoObject { path: item.path.to_string() });
            };
            let mut contents = (&mut stdout).take(size);
            each(item, &mut contents)?;
            let left = contents.limit();
            // After the contents there is the end of a line.
            let skipped = io::copy(&mut (&mut stdout).take(left + 1), &mut io::sink());
            skipped.map(|_| ()).map_err(io_at(item.path.as_path()))
        });
        // Git may still be writing where this failed; its pipe is closed, and so it ends.
        drop(stdout);
        done
    });
    let output = child.wait_with_output().map_err(SourceError::NoGit)?;
    match done {
        Err(SourceError::NoObject { .. }) if !output.status.success() => {
            let what = "read the tag's files";
            Err(SourceError::Git { what, why: last_words(&output.stderr) })
        }
        done => done,
    }
}

/// The size of the object that comes next, if it is this one.
fn answer(stdout: &mut BufReader<ChildStdout>, id: &str) -> Option<u64> {
    let mut line = String::new();
    stdout.read_line(&mut line).ok()?;
    line.strip_prefix(id)?.trim_end().strip_prefix(" blob ")?.parse().ok()
}

/// What expands placeholders.
struct Substitution<'a> {
    repository: &'a Repository,
    scratch: &'a Scratch,
    commit: &'a str,
}

/// Writes the files of an export.
struct Writer<'a> {
    folder: &'a Path,
    substitution: Substitution<'a>,
    adopted: bool,
    links: Vec<(PathBuf, PathBuf)>,
    /// What stands in place of files, and where.
    placeholders: BTreeMap<&'static str, (Placeholder, Vec<String>)>,
    /// `export-subst` placeholders that differ from clone to clone, and where.
    unstable: Vec<(String, String)>,
    /// What check-out would have made of which files.
    unchanged: BTreeMap<String, Vec<String>>,
    progress: Progress,
}

impl<'a> Writer<'a> {
    fn new(folder: &'a Path, substitution: Substitution<'a>) -> Self {
        Self {
            folder,
            substitution,
            adopted: false,
            links: Vec::new(),
            placeholders: BTreeMap::new(),
            unstable: Vec::new(),
            unchanged: BTreeMap::new(),
            progress: Progress::counting("exporting the tag"),
        }
    }

    fn write(&mut self, item: &Item<'_>, contents: &mut dyn Read) -> Result<(), SourceError> {
        let place = self.folder.join(item.path.as_path());
        let mut head = Vec::new();
        contents.take(placeholder::HEAD as u64).read_to_end(&mut head).map_err(io_at(&place))?;
        let Kind::File { executable } = item.object.kind else {
            contents.read_to_end(&mut head).map_err(io_at(&place))?;
            self.judge(item, Placeholder::of_link(&head));
            self.links.push((place, PathBuf::from(OsStr::from_bytes(&head))));
            return Ok(());
        };
        self.judge(item, Placeholder::of(&item.attributes.filter, &head));
        self.note(item, &head);
        let mut head: Box<dyn Read> = if item.attributes.subst && item.fate == Fate::Released {
            contents.read_to_end(&mut head).map_err(io_at(&place))?;
            let expanded = self.substitute(item, &head)?;
            Box::new(io::Cursor::new(expanded))
        } else {
            Box::new(io::Cursor::new(head).chain(contents))
        };
        let written = new_file(&place, executable).and_then(|mut it| io::copy(&mut head, &mut it));
        self.progress.add(written.map_err(io_at(&place))?);
        Ok(())
    }

    fn judge(&mut self, item: &Item<'_>, found: Option<Placeholder>) {
        if let Some(found) = found.filter(|_| item.fate == Fate::Released) {
            let (_, paths) =
                self.placeholders.entry(found.what()).or_insert_with(|| (found, Vec::new()));
            paths.push(item.path.to_string());
        }
    }

    /// Notes what check-out would have changed.
    fn note(&mut self, item: &Item<'_>, head: &[u8]) {
        let Attributes { filter, ident, encoding, crlf, .. } = &item.attributes;
        if item.fate == Fate::Excluded {
            return;
        }
        let has = |what: &[u8]| head.windows(what.len()).any(|part| part == what);
        let mut unchanged = |what: String| {
            self.unchanged.entry(what).or_default().push(item.path.to_string());
        };
        if let Filter::Named(name) = filter {
            // Of LFS, only pointers are changed, and they are refused.
            if name != "lfs" {
                unchanged(format!("without its filter `{name}`"));
            }
        }
        if *ident && has(b"$Id") {
            unchanged("with `$Id$` not expanded".to_owned());
        }
        if let Some(encoding) = encoding {
            unchanged(format!("in UTF-8, not in {encoding}"));
        }
        if *crlf && has(b"\n") && !has(b"\r\n") {
            unchanged("with lines that end in LF, not in CR LF".to_owned());
        }
    }

    fn substitute(&mut self, item: &Item<'_>, text: &[u8]) -> Result<Vec<u8>, SourceError> {
        let Substitution { repository, scratch, commit } = self.substitution;
        subst::expand(text, |format| {
            if let Some(part) = subst::unstable(format) {
                self.unstable.push((item.path.to_string(), part));
                return Ok(Vec::new());
            }
            if !self.adopted {
                scratch.adopt(&repository.object("commit", commit)?)?;
                self.adopted = true;
            }
            let mut all = Vec::new();
            for part in subst::parts(format) {
                all.extend(subst::uniform(part, scratch.expand(commit, part)?));
            }
            Ok(all)
        })
    }

    /// Makes the links and says what was seen.
    fn finish(self) -> Result<Vec<String>, SourceError> {
        if let Some((what, paths)) = self.placeholders.into_values().next() {
            return Err(SourceError::Placeholders { what, paths });
        }
        if !self.unstable.is_empty() {
            return Err(SourceError::Unstable(self.unstable));
        }
        for (place, target) in &self.links {
            make_parent(place).and_then(|()| symlink(target, place)).map_err(io_at(place))?;
        }
        let note = |(how, paths): (String, Vec<String>)| {
            let shown = &paths[..paths.len().min(SHOWN)];
            format!("released as committed, {how}: {}", first(shown, paths.len()))
        };
        Ok(self.unchanged.into_iter().map(note).collect())
    }
}

fn new_file(place: &Path, executable: bool) -> io::Result<fs::File> {
    make_parent(place)?;
    let mode = if executable { 0o755 } else { 0o644 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(place)
}

fn make_parent(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { path: path.clone(), source }
}
