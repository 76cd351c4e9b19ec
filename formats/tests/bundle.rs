//! Bundles: the layout judged by the `tar` crate, random access, the seek table and the frame table.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Read as _;

use cutover_formats::bundle::{
    BLOCK, ExpectedFrames, FRAME, FrameTable, InvalidFrameTable, InvalidSeekTable, Layout, Piece,
    SeekTable, frame_table_len, table_len,
};
use cutover_formats::digest::Digest;
use cutover_formats::exit::{Exit, Explain as _};
use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::version::Version;
use proptest::prelude::*;

fn entry(path: &str, kind: Kind) -> Entry {
    Entry { path: path.parse().unwrap(), kind }
}

fn file(path: &str, size: u64) -> Entry {
    let executable = size % 2 == 1;
    entry(path, Kind::File { executable, size, sha256: Digest::of(b"") })
}

fn list(entries: Vec<Entry>) -> FileList {
    FileList::new("weave".parse().unwrap(), Version::new(1, 1, 4), 1_700_000_000, entries).unwrap()
}

fn odd() -> FileList {
    let long = "z".repeat(200);
    list(vec![
        file("a", 1),
        entry("folder", Kind::Folder),
        file("folder/empty", 0),
        entry("folder/link", Kind::Link { target: long.clone() }),
        file(&format!("folder/{}", "m".repeat(80)), 512),
        file(&format!("folder/{long}"), 513),
        entry("übung", Kind::Folder),
        entry("übung/zurück", Kind::Link { target: "../übung".to_owned() }),
    ])
}

/// The tar, with every file full of `x`.
fn render(layout: &Layout<'_>, range: std::ops::Range<u64>) -> Vec<u8> {
    let mut tar = Vec::new();
    for part in layout.parts(range.clone()) {
        assert_eq!(part.at, range.start + tar.len() as u64, "no gaps");
        let len = part.len as usize;
        match part.piece {
            Piece::Top { from } => tar.extend(&layout.top_bytes()[from as usize..][..len]),
            Piece::Header { member, from } => {
                tar.extend(&layout.header_bytes(member)[from as usize..][..len]);
            }
            Piece::Contents { .. } => tar.resize(tar.len() + len, b'x'),
            Piece::Zeros => tar.resize(tar.len() + len, 0),
        }
    }
    tar
}

#[test]
fn the_tar_crate_reads_it() {
    let list = odd();
    let layout = Layout::new(&list);
    let tar = render(&layout, 0..u64::MAX);
    assert_eq!(tar.len() as u64, layout.total_len());
    let mut archive = tar::Archive::new(&tar[..]);
    let mut found = archive.entries().unwrap().map(Result::unwrap);
    let top = found.next().unwrap();
    assert_eq!(top.path_bytes().as_ref(), b"weave-1.1.4/");
    for entry in list.entries() {
        let mut judged = found.next().unwrap();
        let path = String::from_utf8(judged.path_bytes().into_owned()).unwrap();
        assert_eq!(path.trim_end_matches('/'), format!("weave-1.1.4/{}", entry.path));
        let header = judged.header();
        assert_eq!(header.mode().unwrap(), entry.member().shape.mode());
        assert_eq!(header.mtime().unwrap(), list.time());
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        if let Kind::Link { target } = &entry.kind {
            assert_eq!(judged.link_name_bytes().unwrap().as_ref(), target.as_bytes());
        }
        let mut contents = Vec::new();
        judged.read_to_end(&mut contents).unwrap();
        assert_eq!(contents, vec![b'x'; entry.member().shape.size() as usize]);
    }
    assert!(found.next().is_none());
}

#[test]
fn sizes_that_ustar_cannot_say() {
    let list = list(vec![file("large", 9 << 30)]);
    let layout = Layout::new(&list);
    let header = layout.header_bytes(0);
    assert!(String::from_utf8_lossy(&header).contains("19 size=9663676416\n"));
    let range = layout.contents(0);
    assert_eq!(range.end - range.start, 9 << 30);
    assert_eq!(layout.frames(), (layout.total_len()).div_ceil(FRAME));
    let last = layout.frame(layout.frames() - 1);
    assert_eq!(last.end, layout.total_len());
}

#[test]
fn an_empty_tree() {
    let list = list(Vec::new());
    let layout = Layout::new(&list);
    assert_eq!(layout.total_len(), 3 * BLOCK);
    assert_eq!(render(&layout, 0..u64::MAX).len() as u64, layout.total_len());
}

proptest! {
    #[test]
    fn any_part_of_the_tar(
        sizes in prop::collection::vec(0_u64..2000, 0..12),
        from in 0_u64..30_000,
        len in 0_u64..5000,
    ) {
        let files = sizes.iter().enumerate();
        let list = list(files.map(|(at, size)| file(&format!("f{at:02}"), *size)).collect());
        let layout = Layout::new(&list);
        let whole = render(&layout, 0..layout.total_len());
        let end = (from + len).min(layout.total_len());
        let part = render(&layout, from.min(end)..end);
        prop_assert_eq!(&part[..], &whole[from.min(end) as usize..end as usize]);
        for member in 0..sizes.len() {
            let range = layout.contents(member);
            let contents = &whole[range.start as usize..range.end as usize];
            prop_assert!(contents.iter().all(|byte| *byte == b'x'));
        }
    }

    #[test]
    fn any_tail(tail in prop::collection::vec(any::<u8>(), 0..64), size in any::<u64>()) {
        let list = list(Vec::new());
        prop_assert!(SeekTable::parse(&tail, size, &Layout::new(&list)).is_err());
    }
}

#[test]
fn seek_table() {
    let list = list(vec![file("a", 5 << 20)]);
    let layout = Layout::new(&list);
    let rest = (layout.total_len() - FRAME) as u32;
    let mut table = SeekTable::default();
    table.push(1000, FRAME as u32);
    table.push(500, rest);
    let bytes = table.to_bytes();
    let size = 1500 + bytes.len() as u64;
    assert_eq!(bytes.len() as u64, table_len(2));
    assert_eq!(SeekTable::parse(&bytes, size, &layout).unwrap(), table);
    assert_eq!(table.frames()[1].at, 1000);

    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = SeekTable::parse(&changed, size, &layout).unwrap_err();
        // The lengths of compressed frames are all that it may say freely; they must add up.
        let free = (8..12).contains(&at) || (16..20).contains(&at);
        let sum = matches!(refused, InvalidSeekTable::Sum { .. });
        assert!(!sum || free, "byte {at}: {refused}");
    }
    for wrong in [0, size - 1, size + 1, u64::MAX] {
        let refused = SeekTable::parse(&bytes, wrong, &layout).unwrap_err();
        assert!(matches!(refused, InvalidSeekTable::Sum { .. }));
    }
    for len in 0..bytes.len() {
        let refused = SeekTable::parse(&bytes[..len], size, &layout).unwrap_err();
        assert_eq!(refused, InvalidSeekTable::Missing { frames: 2 });
    }
}

/// The bytes of a frame that stands for the one with this number.
fn frame_bytes(number: u64) -> Vec<u8> {
    vec![number as u8; 100 + number as usize]
}

/// The frame table of a layout whose frames are [`frame_bytes`].
fn frame_table(layout: &Layout<'_>) -> FrameTable {
    let mut table = FrameTable::default();
    for number in 0..layout.frames() {
        let (bytes, range) = (frame_bytes(number), layout.frame(number));
        table.push(bytes.len() as u32, (range.end - range.start) as u32, Digest::of(&bytes));
    }
    table
}

/// What a descriptor says that signs for `bytes`, whatever they are.
fn signed(bytes: &[u8], bundle: u64) -> ExpectedFrames {
    ExpectedFrames { sha256: Digest::of(bytes), size: bytes.len() as u64, bundle }
}

#[test]
fn frame_table_and_back() {
    let list = list(vec![file("a", 9 << 20)]);
    let layout = Layout::new(&list);
    let table = frame_table(&layout);
    let bytes = table.to_bytes();
    assert_eq!(bytes.len() as u64, frame_table_len(3));
    assert!(bytes.starts_with(b"cutover.frames/1.0\n\x64\0\0\0"));
    let bundle = 303 + table_len(3);
    assert_eq!(FrameTable::parse(&bytes, &signed(&bytes, bundle), &layout).unwrap(), table);
    assert_eq!(table.frames()[2].at, 201);
    let seek_table = SeekTable::parse(&table.seek_table(), bundle, &layout).unwrap();
    assert_eq!(seek_table.frames().len(), 3);
    let empty = self::list(Vec::new());
    let (layout, table) = (Layout::new(&empty), frame_table(&Layout::new(&empty)));
    let bytes = table.to_bytes();
    let parsed = FrameTable::parse(&bytes, &signed(&bytes, 100 + table_len(1)), &layout);
    assert_eq!(parsed.unwrap(), table);
}

#[test]
fn a_frame_table_is_held_to_what_is_signed() {
    let list = list(vec![file("a", 9 << 20)]);
    let layout = Layout::new(&list);
    let bytes = frame_table(&layout).to_bytes();
    let good = signed(&bytes, 303 + table_len(3));
    let refused = |bytes: &[u8], expected| {
        let error = FrameTable::parse(bytes, &expected, &layout).unwrap_err();
        assert_eq!(error.exit(), Exit::NotTrusted, "{error}");
        error
    };
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(matches!(refused(&flipped, good), InvalidFrameTable::Digest { .. }), "{at}");
        assert!(matches!(refused(&bytes[..at], good), InvalidFrameTable::Digest { .. }), "{at}");
    }
    let size = ExpectedFrames { size: good.size + 36, ..good };
    assert!(matches!(refused(&bytes, size), InvalidFrameTable::Length { frames: 3, .. }));
    for bundle in [0, good.bundle - 1, good.bundle + 1, u64::MAX] {
        let sum = refused(&bytes, ExpectedFrames { bundle, ..good });
        assert!(matches!(sum, InvalidFrameTable::Sum { .. }), "{bundle}: {sum}");
    }
}

#[test]
fn frame_tables_that_a_signer_got_wrong() {
    let list = list(vec![file("a", 9 << 20)]);
    let layout = Layout::new(&list);
    let bytes = frame_table(&layout).to_bytes();
    let parse = |bytes: &[u8]| {
        let expected = signed(bytes, 303 + table_len(3));
        FrameTable::parse(bytes, &expected, &layout).map_err(|error| error.to_string())
    };
    let (line, entries) = bytes.split_at(bytes.len() - 3 * 36);
    let of = |order: &[usize]| -> Vec<u8> {
        let chosen = order.iter().flat_map(|at| entries[at * 36..][..36].to_vec());
        line.iter().copied().chain(chosen).collect()
    };
    assert!(parse(&of(&[0, 1, 2])).is_ok());
    for order in [&[0, 1][..], &[0, 1, 2, 2], &[]] {
        let error = parse(&of(order)).unwrap_err();
        assert!(error.contains("a table of 3 frames has 127"), "{error}");
    }
    // Repeated, so that the sum is another; repeated at no other sum, or reordered, it says what the
    // bundle must be, and no frame at another's place is taken.
    assert!(parse(&of(&[0, 0, 2])).unwrap_err().contains("add up to"));
    let reordered = parse(&of(&[2, 1, 0])).unwrap();
    assert!(reordered.verify(0, &frame_bytes(0)).is_err());
    for (compressed, words) in [
        (0, "frame 1 is listed with 0 bytes"),
        (5 << 20, "frame 1 is listed with 5242880 bytes"),
        (u32::MAX, "frame 1 is listed with 4294967295 bytes"),
        (102, "add up to"),
    ] {
        let mut bytes = bytes.clone();
        bytes[line.len() + 36..][..4].copy_from_slice(&compressed.to_le_bytes());
        assert!(parse(&bytes).unwrap_err().contains(words), "{words}");
    }
    for (format, exit) in [("frames/2.0", Exit::Usage), ("files/1.0", Exit::Usage)] {
        let bytes = [format!("cutover.{format}\n").as_bytes(), entries].concat();
        let error = FrameTable::parse(&bytes, &signed(&bytes, 0), &layout).unwrap_err();
        assert_eq!(error.exit(), exit, "{error}");
        assert!(matches!(error, InvalidFrameTable::Format(_)), "{error}");
    }
}

proptest! {
    /// Whatever a signer signs is refused, or is a table that fits the list and the bundle.
    #[test]
    fn any_frame_table(
        lengths in prop::collection::vec(0_u32..6 << 20, 2..4),
        cut in 0_usize..3,
        bundle in prop::option::of(0_u64..20 << 20),
    ) {
        let list = list(vec![file("a", 9 << 20)]);
        let layout = Layout::new(&list);
        let mut table = FrameTable::default();
        lengths.iter().for_each(|len| table.push(*len, 1, Digest::of(&len.to_le_bytes())));
        let mut bytes = table.to_bytes();
        bytes.truncate(bytes.len() - cut);
        let sum = lengths.iter().map(|len| u64::from(*len)).sum::<u64>() + table_len(3);
        let bundle = bundle.unwrap_or(sum);
        let parsed = FrameTable::parse(&bytes, &signed(&bytes, bundle), &layout);
        let most = zstd::zstd_safe::compress_bound(FRAME as usize) as u32;
        let good = lengths.len() == 3 && cut == 0 && bundle == sum
            && lengths.iter().all(|len| (1..=most).contains(len));
        prop_assert_eq!(parsed.is_ok(), good);
        if let Ok(parsed) = parsed {
            prop_assert_eq!(parsed.to_bytes(), bytes);
            prop_assert_eq!(parsed.end() + table_len(3), bundle);
        }
    }

    /// A frame is taken at its own place and as it was, nothing else is.
    #[test]
    fn any_frame(number in 0_u64..3, other in 0_u64..3, at in 0_usize..100, bit in 0_u32..8) {
        let list = list(vec![file("a", 9 << 20)]);
        let table = frame_table(&Layout::new(&list));
        let mut bytes = frame_bytes(number);
        prop_assert_eq!(table.verify(other, &bytes).is_ok(), number == other);
        prop_assert!(table.verify(number, &bytes[..at]).is_err());
        bytes[at] ^= 1 << bit;
        prop_assert!(table.verify(number, &bytes).is_err());
    }
}

#[test]
fn golden() {
    let list = odd();
    let tar = render(&Layout::new(&list), 0..u64::MAX);
    let expected = "72ad773b7a854b32199308a192ae1713c1f20a38e2052709e1ee0b29b71fd686";
    assert_eq!(Digest::of(&tar).to_string(), expected);
}
