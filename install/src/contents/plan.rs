//! Where each file's contents are taken from: decided beforehand, without looking at anything.

use std::collections::HashMap;
use std::ops::Range;

use cutover_formats::bundle::{FRAME, FrameTable, Layout};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{FileList, Kind};
use cutover_formats::path::RelPath;
use cutover_node::plan::Figures;

/// Bytes of a bundle that are rather read and dropped than skipped by one more request.
const WORTH_A_REQUEST: u64 = 1 << 20;

/// What a node has of a release already.
#[derive(Clone, Debug, Default)]
pub struct Have {
    /// For each entry of the list, whether it stands in the target as it should; empty where nothing does.
    pub kept: Vec<bool>,
    /// Files elsewhere on the node, by digest.
    pub here: HashMap<Digest, Place>,
}

/// A file of a sealed prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which prefix, as its owner numbers them.
    pub prefix: usize,
    /// Where it stands there.
    pub path: RelPath,
}

/// Where an entry of a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// It stands there already.
    Kept,
    /// It is made from the list alone: a folder, a link, an empty file.
    List,
    /// A file on this node, of which the contents are hashed as they are taken.
    Here(Place),
    /// The frames of the bundle that hold it.
    Frames,
}

/// For each entry its source, and what that costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// By the index of the entry.
    pub sources: Vec<Source>,
    /// The frames to fetch, in order.
    pub frames: Vec<u64>,
    /// The frames that one request asks for; between two that are fetched may be some that are not.
    pub runs: Vec<Range<u64>>,
    /// How much that is.
    pub figures: Figures,
}

/// Decides where the contents of `list` come from: as few bytes as possible over the wire, and of those
/// that are on the node only what does not come along anyway.
#[must_use]
pub fn plan(list: &FileList, have: &Have, table: &FrameTable) -> Plan {
    let layout = Layout::new(list);
    let first = |index: usize| {
        let kept = have.kept.get(index).copied().unwrap_or_default();
        match list.entries()[index].kind {
            _ if kept => Source::Kept,
            Kind::Folder | Kind::Link { .. } | Kind::File { size: 0, .. } => Source::List,
            Kind::File { sha256, .. } => {
                have.here.get(&sha256).cloned().map_or(Source::Frames, Source::Here)
            }
        }
    };
    let mut sources: Vec<Source> = (0..list.entries().len()).map(first).collect();
    let mut wanted = vec![false; table.frames().len()];
    for (index, _) in sources.iter().enumerate().filter(|(_, it)| **it == Source::Frames) {
        wanted[frames_of(&layout, index)].fill(true);
    }
    for (index, source) in sources.iter_mut().enumerate() {
        let comes_along = || wanted[frames_of(&layout, index)].iter().all(|wanted| *wanted);
        if matches!(source, Source::Here(_)) && comes_along() {
            *source = Source::Frames;
        }
    }
    let frames: Vec<u64> = (0..).zip(wanted).filter(|(_, it)| *it).map(|(it, _)| it).collect();
    let runs = runs(&frames, table);
    let figures = figures(list, &sources, &runs, table);
    Plan { sources, frames, runs, figures }
}

/// The frames that hold the contents of an entry.
fn frames_of(layout: &Layout<'_>, index: usize) -> Range<usize> {
    let contents = layout.contents(index);
    (contents.start / FRAME) as usize..contents.end.div_ceil(FRAME) as usize
}

fn runs(frames: &[u64], table: &FrameTable) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for &frame in frames {
        match runs.last_mut() {
            Some(run) if bytes(&(run.end..frame), table) < WORTH_A_REQUEST => run.end = frame + 1,
            _ => runs.push(frame..frame + 1),
        }
    }
    runs
}

/// Bytes of these frames in the bundle.
fn bytes(frames: &Range<u64>, table: &FrameTable) -> u64 {
    let frames = &table.frames()[frames.start as usize..frames.end as usize];
    frames.iter().map(|frame| u64::from(frame.compressed)).sum()
}

fn figures(
    list: &FileList,
    sources: &[Source],
    runs: &[Range<u64>],
    table: &FrameTable,
) -> Figures {
    let transfer = runs.iter().map(|run| bytes(run, table)).sum();
    let mut figures = Figures { transfer, ..Figures::default() };
    for (entry, source) in list.entries().iter().zip(sources) {
        let Kind::File { size, .. } = entry.kind else { continue };
        let amount = match source {
            Source::Kept => &mut figures.kept,
            Source::Here(_) => &mut figures.here,
            Source::Frames => &mut figures.bundle,
            Source::List => continue,
        };
        amount.files += 1;
        amount.bytes += size;
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use cutover_formats::filelist::Entry;
    use cutover_node::plan::Amount;

    const LARGE: u64 = 3 * FRAME;

    /// `a` begins in frame 0 and ends in frame 3, which holds `b` too; `c` goes on to frame 6.
    fn list() -> FileList {
        let file = |path: &str, size| {
            let kind = Kind::File { executable: false, size, sha256: digest(path) };
            Entry { path: path.parse().unwrap(), kind }
        };
        let entries = vec![file("a", LARGE), file("b", 10), file("c", LARGE), file("d", 0)];
        FileList::new("tiny".parse().unwrap(), "1.0.0".parse().unwrap(), 0, entries).unwrap()
    }

    fn digest(path: &str) -> Digest {
        Digest::of(path.as_bytes())
    }

    fn table(list: &FileList, compressed: u32) -> FrameTable {
        let mut table = FrameTable::default();
        for _ in 0..Layout::new(list).frames() {
            table.push(compressed, FRAME as u32, Digest::of(b""));
        }
        table
    }

    fn here(paths: &[&str]) -> Have {
        let place = |path: &&str| Place { prefix: 0, path: path.parse().unwrap() };
        let here = paths.iter().map(|path| (digest(path), place(path))).collect();
        Have { kept: Vec::new(), here }
    }

    #[test]
    fn all_of_it_is_one_request() {
        let list = list();
        let plan = plan(&list, &Have::default(), &table(&list, 5));
        assert_eq!((plan.frames.len(), plan.runs), (7, vec![Range { start: 0, end: 7 }]));
        assert_eq!(plan.sources[3], Source::List);
        assert_eq!(plan.figures.transfer, 35);
        assert_eq!(plan.figures.bundle, Amount { files: 3, bytes: 2 * LARGE + 10 });
    }

    #[test]
    fn only_what_is_missing() {
        let list = list();
        let table = table(&list, 5);
        let all = plan(&list, &here(&["a", "b", "c"]), &table);
        assert_eq!((all.frames, all.runs, all.figures.transfer), (vec![], vec![], 0));
        assert_eq!(all.figures.here.files, 3);
        let kept = Have { kept: vec![true, true, false, true], ..Have::default() };
        let rest = plan(&list, &kept, &table);
        assert_eq!(rest.frames, [3, 4, 5, 6]);
        assert_eq!((&rest.sources[3], rest.figures.kept.files), (&Source::Kept, 3));
    }

    #[test]
    fn what_comes_along_is_not_copied() {
        let list = list();
        let plan = plan(&list, &here(&["b", "c"]), &table(&list, 5));
        assert_eq!(plan.frames, [0, 1, 2, 3]);
        assert_eq!(plan.sources[1], Source::Frames);
        assert!(matches!(plan.sources[2], Source::Here(_)));
    }

    #[test]
    fn small_gaps_are_read_over() {
        let list = list();
        let frames = [0, 2, 6];
        assert_eq!(runs(&frames, &table(&list, 1000)), [Range { start: 0, end: 7 }]);
        assert_eq!(runs(&frames, &table(&list, 700_000)), [0..3, 6..7]);
        assert_eq!(runs(&frames, &table(&list, 2_000_000)), [0..1, 2..3, 6..7]);
    }
}
