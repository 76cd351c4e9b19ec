//! Files of other releases on this node. A sealed prefix may be damaged or tampered with, so that what is
//! taken is hashed as it is taken, and is not used where it is not what the list says.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::version::Version;
use sha2::{Digest as _, Sha256};

use super::plan::Place;
use crate::audit::{CHUNK, hash};
use crate::disk::{self, Folder};
use crate::fetch::recorded_file_list;
use crate::root::Root;

/// Prefixes that files are taken from.
#[derive(Debug, Default)]
pub struct Here {
    prefixes: Vec<PathBuf>,
    /// Files there that a list asks for, by digest.
    pub(super) files: HashMap<Digest, Place>,
}

impl Here {
    /// What the prefixes of the `sealed` releases below `root` have of `list`, by their recorded lists.
    /// A release whose record cannot be read has nothing.
    #[must_use]
    pub fn look<'a>(
        list: &FileList,
        root: &Root,
        sealed: impl IntoIterator<Item = &'a Version>,
    ) -> Self {
        let wanted: HashSet<Digest> = list.entries().iter().filter_map(digest).collect();
        let mut here = Self::default();
        for version in sealed {
            let descriptor = disk::read(&root.descriptor(version)).ok();
            let descriptor = descriptor.and_then(|bytes| Descriptor::parse(&bytes).ok());
            let found = descriptor.and_then(|release| recorded_file_list(root, &release).ok());
            let Some(found) = found else { continue };
            let prefix = here.prefixes.len();
            here.prefixes.push(root.prefix(version));
            for entry in found.entries() {
                if let Some(digest) = digest(entry).filter(|digest| wanted.contains(digest)) {
                    let place = || Place { prefix, path: entry.path.clone() };
                    here.files.entry(digest).or_insert_with(place);
                }
            }
        }
        here
    }

    /// Puts the contents of a file into `to`, which is empty; whether they are those of `kind`.
    /// What cannot be read is not what is wanted; an error is one of writing.
    pub(super) fn take(&self, place: &Place, kind: &Kind, to: &mut File) -> io::Result<bool> {
        let &Kind::File { size, sha256, .. } = kind else { return Ok(false) };
        let Some(mut from) = self.open(place, size) else { return Ok(false) };
        if rustix::fs::ioctl_ficlone(&*to, &from).is_ok() {
            to.rewind()?;
            return Ok(hash(to.try_clone()?)? == sha256);
        }
        let (mut hash, mut chunk, mut left) = (Sha256::new(), vec![0; CHUNK], size);
        while left > 0 {
            let most = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let Ok(read @ 1..) = from.read(&mut chunk[..most]) else { return Ok(false) };
            hash.update(&chunk[..read]);
            to.write_all(&chunk[..read])?;
            left -= read as u64;
        }
        Ok(Digest::from(<[u8; 32]>::from(hash.finalize())) == sha256)
    }

    fn open(&self, Place { prefix, path }: &Place, size: u64) -> Option<File> {
        let file = Folder::open(&self.prefixes[*prefix]).and_then(|it| it.open_file(path)).ok()?;
        let found = file.metadata().ok()?;
        (found.is_file() && found.len() == size).then_some(file)
    }
}

/// Of a file that is not empty.
fn digest(entry: &Entry) -> Option<Digest> {
    match entry.kind {
        Kind::File { size: 1.., sha256, .. } => Some(sha256),
        _ => None,
    }
}
