//! Source trees: what is released, from where, and what it says about itself.
//!
//! A tree comes out of git, as a clean export of what a tag's commit holds ([`git`], [`export`]), or
//! is a folder that is read in place ([`tree`]). Either way it ends as a list of files ([`walk`]) and a parsed
//! `release.toml` that belongs to exactly those files.

mod error;
mod export;
mod git;
mod listing;
mod placeholder;
mod scratch;
mod subst;
mod tree;
mod walk;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cutover_formats::descriptor;
use cutover_formats::name::Product;
use cutover_formats::release_toml::ReleaseToml;
use cutover_formats::version::Version;
use tempfile::TempDir;

use cutover_pack::bundle::SourceEntry;

pub(crate) use error::SourceError;
pub(crate) use tree::refuse_other_than_folder;
pub(crate) use walk::Exclude;

/// A tree that can be released.
#[derive(Debug)]
pub(crate) struct SourceTree {
    /// What is released.
    pub(crate) product: Product,
    /// Which one.
    pub(crate) version: Version,
    /// Where it came from.
    pub(crate) origin: descriptor::Source,
    /// What it says about itself.
    pub(crate) manifest: ReleaseToml,
    /// Everything in it, before `exclude`, sorted by path.
    pub(crate) files: Vec<SourceEntry>,
    /// What whoever releases it should know.
    pub(crate) notes: Vec<String>,
    folder: Folder,
}

/// Where a tree lies while it is released.
#[derive(Debug)]
enum Folder {
    Export(TempDir),
    InPlace(PathBuf),
}

/// Folders that must not be part of what is read in place: they would be released.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forbidden<'a> {
    /// What it is, for the message.
    pub(crate) what: &'static str,
    /// Where it is.
    pub(crate) path: &'a Path,
}

impl SourceTree {
    /// A clean export of a tag, or of the tag at HEAD.
    pub(crate) fn from_git(
        dir: &Path,
        tag: Option<&str>,
        product: Option<&Product>,
    ) -> Result<Self, SourceError> {
        let repository = git::Repository::open(dir)?;
        let candidate = repository.candidate(tag)?;
        let listing = repository.listing(&candidate.commit)?;
        let within = repository.product_folder(&listing, &candidate.to_string())?;
        let manifest = match repository.manifest(&listing, &within)? {
            Some(text) => Some(parse(&text)?),
            None => None,
        };
        let pattern = manifest.as_ref().map(|it| it.release.tag.clone()).unwrap_or_default();
        let tagged = repository.tagged(candidate, &pattern)?;
        let exclude = manifest.as_ref().map_or_else(|| Ok(Exclude::default()), Exclude::of)?;
        let unknown = repository.refuse_changes(&within, &exclude)?;
        let (product, manifest) = settle(product, manifest, &format!("tag `{}`", tagged.tag))?;
        let wanted = export::Wanted {
            commit: &tagged.commit,
            listing: &listing,
            folder: &within,
            exclude: &exclude,
        };
        let export::Export { folder, mut notes } = export::export(&repository, wanted)?;
        notes.extend(unknown);
        let skip = walk::Skip { names: &[], folders: &[] };
        Ok(Self {
            product,
            version: tagged.version,
            origin: descriptor::Source {
                kind: descriptor::SourceKind::Git,
                commit: Some(tagged.commit),
                tag: Some(tagged.tag),
                time: tagged.time,
            },
            manifest,
            files: walk::walk(folder.path(), &exclude, skip)?,
            notes,
            folder: Folder::Export(folder),
        })
    }

    /// A staging folder, read in place.
    pub(crate) fn from_folder(
        dir: &Path,
        version: Version,
        product: Option<&Product>,
        forbidden: &[Forbidden<'_>],
    ) -> Result<Self, SourceError> {
        let folder = tree::open(dir)?;
        let manifest = match tree::manifest(&folder)? {
            Some(text) => Some(parse(&text)?),
            None => None,
        };
        let (product, manifest) = settle(product, manifest, &format!("`{}`", dir.display()))?;
        let exclude = Exclude::of(&manifest)?;
        let kept_out = tree::kept_out(&folder, forbidden, &exclude)?;
        let skip = walk::Skip { names: &walk::HISTORY, folders: &kept_out };
        let files = walk::walk(&folder, &exclude, skip)?;
        tree::refuse_placeholders(&files, &exclude)?;
        Ok(Self {
            product,
            version,
            origin: descriptor::Source {
                kind: descriptor::SourceKind::Tree,
                commit: None,
                tag: None,
                time: tree::time(std::env::var("SOURCE_DATE_EPOCH").ok())?,
            },
            manifest,
            files,
            notes: Vec::new(),
            folder: Folder::InPlace(folder),
        })
    }

    /// The folder that the files lie in.
    pub(crate) fn folder(&self) -> &Path {
        match &self.folder {
            Folder::Export(folder) => folder.path(),
            Folder::InPlace(path) => path,
        }
    }
}

/// The product and the settings, from the command line and from the tree.
fn settle(
    product: Option<&Product>,
    manifest: Option<ReleaseToml>,
    tree: &str,
) -> Result<(Product, ReleaseToml), SourceError> {
    let named = manifest.as_ref().and_then(|it| it.release.product.as_ref());
    match product.or(named).cloned() {
        Some(product) => Ok((product, manifest.unwrap_or_default())),
        None if manifest.is_some() => Err(SourceError::NoProduct),
        None => Err(SourceError::NoManifest { tree: tree.to_owned() }),
    }
}

fn parse(text: &[u8]) -> Result<ReleaseToml, SourceError> {
    let text = str::from_utf8(text).map_err(|_| SourceError::NotText)?;
    Ok(ReleaseToml::parse(text)?)
}

/// A small file; too much of it is an error.
pub(crate) fn read_capped(path: &Path, cap: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(cap + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap {
        return Err(std::io::Error::other(format!("is larger than {cap} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
