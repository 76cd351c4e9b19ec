//! `[vendor.python]`: the distributions that a lock comes to, for one interpreter.
//!
//! Pip resolves and downloads, with its hash checking on and dependencies not left out, so that a
//! dependency which is missing from the lock is an error and not a guess. What it brings is
//! verified here against the lock all the same. The outcome is noted under the digest of
//! everything that decided it; the next release with the same lock asks nobody.

mod pip;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use cutover_formats::descriptor::Vendored;
use cutover_formats::digest::Digest;
use cutover_formats::release_toml::VendorPython;
use cutover_terminal::Output;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::cache::{Cache, hash, io_at};
use super::error::Place;
use super::{Fetched, VendorError};
use crate::source::read_capped;
use cutover_pack::lock::{self, Lock, Requirement};
use pip::Pip;

/// The folder of the vendor area for Python distributions.
const KIND: &str = "python";

/// A file that a lock came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Distribution {
    file: String,
    sha256: Digest,
}

/// The locked distributions, from the cache or by pip into the cache.
pub(super) fn fetch(
    tree: &Path,
    settings: &VendorPython,
    cache: &Cache,
    output: &Output,
) -> Result<Vec<Fetched>, VendorError> {
    let path = tree.join(settings.requirements.as_path());
    let text = read_capped(&path, lock::LARGEST)
        .map_err(|source| VendorError::NoLock { path: settings.requirements.clone(), source })?;
    let lock = Lock::parse(&text)
        .map_err(|error| VendorError::Lock { path: settings.requirements.clone(), error })?;
    let find_links = find_links(tree, settings)?;
    let pip = Pip::new(settings, &path, find_links.as_deref())?;
    let key = pip.key(&text);
    if let Some(fetched) = noted(cache, key, &lock, settings)? {
        return Ok(fetched);
    }
    let distributions = download(&pip, &lock, cache, output)?;
    let fetched = records(&distributions, &lock, settings, cache)?;
    let fetched = fetched.ok_or_else(|| io_at(&path)(std::io::ErrorKind::NotFound.into()))?;
    complete(&fetched, &lock, settings)?;
    let note = serde_json::to_vec(&distributions).expect("names and digests are plain data");
    cache.put_note(key, &note)?;
    for source in fetched.iter().filter(|it| !it.record.file.ends_with(".whl")) {
        let file = &source.record.file;
        output.warn(format!("{file} is no wheel: each node builds it, with what it has"));
    }
    Ok(fetched)
}

/// The folder of distributions in the tree, where there is to be one.
fn find_links(
    tree: &Path,
    settings: &VendorPython,
) -> Result<Option<std::path::PathBuf>, VendorError> {
    let Some(folder) = &settings.find_links else { return Ok(None) };
    let place = tree.join(folder.as_path());
    if place.is_dir() { Ok(Some(place)) } else { Err(VendorError::NoFindLinks(folder.clone())) }
}

/// What an earlier run came to, if all of it is still there and fits the lock.
fn noted(
    cache: &Cache,
    key: Digest,
    lock: &Lock,
    settings: &VendorPython,
) -> Result<Option<Vec<Fetched>>, VendorError> {
    let note = cache.note(key).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let Some(distributions): Option<Vec<Distribution>> = note else { return Ok(None) };
    let fetched = records(&distributions, lock, settings, cache)?;
    Ok(fetched.filter(|fetched| complete(fetched, lock, settings).is_ok()))
}

/// Downloads, verifies and moves into the cache.
fn download(
    pip: &Pip<'_>,
    lock: &Lock,
    cache: &Cache,
    output: &Output,
) -> Result<Vec<Distribution>, VendorError> {
    let incoming = match from_known(pip, lock, cache, output)? {
        Some(incoming) => incoming,
        None => {
            let incoming = cache.incoming()?;
            pip.download(incoming.path(), lock, output)?;
            incoming
        }
    };
    let mut distributions = Vec::new();
    for file in fs::read_dir(incoming.path()).map_err(io_at(incoming.path()))? {
        let file = file.map_err(io_at(incoming.path()))?;
        let name = file.file_name().to_string_lossy().into_owned();
        let (sha256, _) = hash(&file.path()).map_err(io_at(&file.path()))?;
        if lock.by_digest(sha256).is_none() {
            return Err(VendorError::OtherDigest { what: name, found: sha256.to_string() });
        }
        cache.keep(&file.path(), sha256)?;
        distributions.push(Distribution { file: name, sha256 });
    }
    distributions.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(distributions)
}

/// The folder of locked distributions, made of those that other locks came to before and of the few
/// that are new; `None` where that does not work, so that pip does it all and says why not.
fn from_known(
    pip: &Pip<'_>,
    lock: &Lock,
    cache: &Cache,
    output: &Output,
) -> Result<Option<TempDir>, VendorError> {
    if pip.has_folder() {
        return Ok(None);
    }
    let known = cache.incoming()?;
    let mut found = BTreeSet::new();
    for note in cache.notes() {
        let distributions: Vec<Distribution> = serde_json::from_slice(&note).unwrap_or_default();
        for Distribution { file, sha256 } in distributions {
            let plain = !file.contains('/');
            if plain && lock.by_digest(sha256).is_some() && !found.contains(&sha256) {
                let Some(cached) = cache.find(sha256)? else { continue };
                let place = known.path().join(&file);
                // Two files of one name cannot both be offered; pip fetches what is missing then.
                if symlink(&cached.path, &place).is_ok() {
                    found.insert(sha256);
                }
            }
        }
    }
    if found.is_empty() {
        return Ok(None);
    }
    let lacks = |requirement: &&Requirement| requirement.hashes.is_disjoint(&found);
    let missing: Vec<&Requirement> = lock.requirements.iter().filter(lacks).collect();
    let incoming = cache.incoming()?;
    let (new, all) = (missing.len(), lock.requirements.len());
    output.note(format!("fetching {new} new of {all} locked distributions"));
    let done = pip.complete(known.path(), &missing, incoming.path());
    Ok(done.map_err(io_at(known.path()))?.then_some(incoming))
}

/// The distributions as the descriptor has them; `None` where one is not in the cache or the lock.
fn records(
    distributions: &[Distribution],
    lock: &Lock,
    settings: &VendorPython,
    cache: &Cache,
) -> Result<Option<Vec<Fetched>>, VendorError> {
    let mut fetched = Vec::new();
    for Distribution { file, sha256 } in distributions {
        let (Some(requirement), Some(cached)) = (lock.by_digest(*sha256), cache.find(*sha256)?)
        else {
            return Ok(None);
        };
        let record = Vendored {
            kind: KIND.to_owned(),
            name: requirement.name.clone(),
            version: Some(requirement.version.clone()),
            file: file.clone(),
            path: settings.wheels.join(file)?,
            sha256: *sha256,
            size: cached.size,
        };
        fetched.push(Fetched { record, file: cached.path });
    }
    Ok(Some(fetched))
}

/// Whether each requirement that holds everywhere has its distribution.
fn complete(fetched: &[Fetched], lock: &Lock, settings: &VendorPython) -> Result<(), VendorError> {
    let lacks = |requirement: &&Requirement| {
        requirement.marker.is_none() && !fetched.iter().any(|it| it.record.name == requirement.name)
    };
    match lock.requirements.iter().find(lacks) {
        None => Ok(()),
        Some(Requirement { name, version, .. }) => Err(VendorError::NoDistribution {
            requirement: format!("{name}=={version}"),
            place: place(settings),
        }),
    }
}

fn place(settings: &VendorPython) -> Place {
    settings.find_links.clone().map_or(Place::Index, Place::Folder)
}
