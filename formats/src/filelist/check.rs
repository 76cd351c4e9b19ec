//! The rules that entries must keep *together*. What one path must keep alone, [`RelPath`] has
//! already seen to.
//!
//! Attacks that end here: a path listed twice, so that the later file replaces the verified one, or
//! twice for whoever looks at it, because what differs is not seen; a path through a link, so that a file lands outside;
//! a link that leaves the prefix, directly or by way of other links; sizes that overflow.

use std::collections::HashMap;

use super::{
    InvalidFileList, LATEST, LONGEST_TARGET, MOST_BYTES, MOST_ENTRIES, Member, Objection, Shape,
    fold::{Folded, Relation},
};
use crate::path::RelPath;

/// Links that may be passed through to resolve one, as in Linux.
const MOST_HOPS: usize = 40;

pub(super) fn members<'a>(
    time: u64,
    members: impl IntoIterator<Item = Member<'a>>,
) -> Result<(), InvalidFileList> {
    within("time", time, LATEST)?;
    let mut seen = Seen::default();
    let mut before: Option<&RelPath> = None;
    let (mut entries, mut bytes) = (0, 0_u64);
    for member in members {
        let refuse = |objection| refused(member.path, objection);
        in_order(before, member.path).map_err(refuse)?;
        seen.add(member).map_err(refuse)?;
        before = Some(member.path);
        entries += 1;
        within("entries", entries, MOST_ENTRIES)?;
        bytes = bytes.saturating_add(member.shape.size());
        within("bytes", bytes, MOST_BYTES)?;
    }
    seen.links()
}

fn refused(path: &RelPath, objection: Objection) -> InvalidFileList {
    InvalidFileList::Entry { path: path.to_string(), objection }
}

fn within(what: &'static str, found: u64, most: u64) -> Result<(), InvalidFileList> {
    if found > most {
        return Err(InvalidFileList::TooLarge { what, found, most });
    }
    Ok(())
}

fn in_order(before: Option<&RelPath>, path: &RelPath) -> Result<(), Objection> {
    match before {
        Some(before) if before == path => Err(Objection::Repeated),
        Some(before) if before > path => Err(Objection::Order { after: before.to_string() }),
        _ => Ok(()),
    }
}

#[derive(Default)]
struct Seen<'a> {
    shapes: HashMap<&'a str, Shape<'a>>,
    folded: Folded<'a>,
    links: Vec<(&'a RelPath, &'a str)>,
}

impl<'a> Seen<'a> {
    fn add(&mut self, member: Member<'a>) -> Result<(), Objection> {
        let path = member.path.as_str();
        // The folder that holds a path sorts before it, so it has been seen.
        if let Some(parent) = member.path.parent() {
            match self.shapes.get(parent) {
                Some(Shape::Folder) => {}
                Some(_) => return Err(Objection::Through { through: parent.to_owned() }),
                None => return Err(self.homeless(parent)),
            }
        }
        if let Relation::Unseen(with) = self.folded.add(path) {
            return Err(Objection::Unseen { with: with.to_owned() });
        }
        self.shapes.insert(path, member.shape);
        if let Shape::Link { target } = member.shape {
            acceptable(target).map_err(|why| unsafe_target(target, why))?;
            self.links.push((member.path, target));
        }
        Ok(())
    }

    /// Why a path whose folder is not listed is refused: for passing through a file, if it does.
    fn homeless(&self, parent: &str) -> Objection {
        let above = parent.match_indices('/').map(|(at, _)| &parent[..at]);
        let through = above
            .into_iter()
            .find(|path| !matches!(self.shapes.get(path), Some(Shape::Folder) | None));
        match through {
            Some(through) => Objection::Through { through: through.to_owned() },
            None => Objection::NoFolder,
        }
    }

    fn links(&self) -> Result<(), InvalidFileList> {
        for (path, target) in &self.links {
            stays(path, target)
                .and_then(|()| self.resolve(path, target))
                .map_err(|why| refused(path, unsafe_target(target, why)))?;
        }
        Ok(())
    }

    /// Follows a link as the kernel would, through the other links of the list: with a harmless
    /// `a/b/up → ../..`, the text of `x → a/b/up/..` stays in the prefix, the link does not.
    fn resolve(&self, path: &RelPath, target: &'a str) -> Result<(), &'static str> {
        let mut at = path.parent().unwrap_or_default().to_owned();
        let mut ahead: Vec<&str> = target.split('/').rev().collect();
        let mut hops = 0;
        while let Some(component) = ahead.pop() {
            match component {
                "" | "." => {}
                ".." if at.is_empty() => return Err("it leaves the prefix"),
                ".." => at.truncate(at.rfind('/').unwrap_or(0)),
                name => {
                    let held = at.len();
                    if held > 0 {
                        at.push('/');
                    }
                    at.push_str(name);
                    if let Some(Shape::Link { target }) = self.shapes.get(at.as_str()) {
                        hops += 1;
                        if hops > MOST_HOPS {
                            return Err("it passes through too many links");
                        }
                        at.truncate(held);
                        ahead.extend(target.split('/').rev());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Whether the target stays in the prefix for programs that only look at the text.
fn stays(path: &RelPath, target: &str) -> Result<(), &'static str> {
    let mut depth = path.as_str().matches('/').count();
    for component in target.split('/') {
        depth = match component {
            "" | "." => depth,
            ".." => depth.checked_sub(1).ok_or("it leaves the prefix")?,
            _ => depth + 1,
        };
    }
    Ok(())
}

fn unsafe_target(target: &str, why: &'static str) -> Objection {
    Objection::Target { target: target.to_owned(), why }
}

fn acceptable(target: &str) -> Result<(), &'static str> {
    if target.is_empty() {
        return Err("it is empty");
    }
    if target.starts_with('/') {
        return Err("it is absolute");
    }
    if target.len() > LONGEST_TARGET {
        return Err("it is longer than 2048 bytes");
    }
    if target.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    Ok(())
}
