//! Hostile bundles, each under the digest that is signed for it.

use cutover_formats::bundle::{BLOCK, FRAME, FrameTable, SeekTable};
use cutover_formats::filelist::FileList;
use cutover_tests::world::World;

use crate::forge::{Scene, bundle, tar};

const FILES: [(&str, u64); 2] = [("a", 1000), ("b", 5 << 20)];

/// Its name, what makes the bundle of a list, and what the refusal says.
type Row<'a> = (&'a str, &'a dyn Fn(&FileList) -> Vec<u8>, &'a [&'a str]);

fn refuse(rows: &[Row<'_>]) {
    let world = World::new();
    let scene = Scene::new(&world);
    for (name, make, words) in rows {
        println!("{name}");
        let (mut evil, list) = scene.honest(&FILES);
        evil.set_bundle(make(&list));
        scene.refused(&evil, 3, words);
    }
}

fn closed(mut frames: Vec<u8>, seek_table: &[u8]) -> Vec<u8> {
    frames.extend(seek_table);
    frames
}

/// The seek table of these pairs of lengths.
fn table(pairs: impl IntoIterator<Item = (u32, u32)>) -> Vec<u8> {
    let mut table = SeekTable::default();
    pairs.into_iter().for_each(|(packed, tar)| table.push(packed, tar));
    table.to_bytes()
}

fn pairs(table: &FrameTable) -> Vec<(u32, u32)> {
    table.frames().iter().map(|frame| (frame.compressed, frame.decompressed)).collect()
}

#[test]
fn contents_other_than_listed() {
    let changed = |at: usize| {
        move |list: &FileList| {
            let mut tar = tar(list);
            tar[at] ^= 1;
            let (frames, table) = bundle(&tar);
            closed(frames, &table.seek_table())
        }
    };
    // The top folder's header and the file's own come first.
    let (first, last) = (changed(2 * BLOCK as usize), changed((5 << 20) + 3 * BLOCK as usize));
    refuse(&[
        ("the first byte of a", &first, &["a: the bundle has contents with sha256"]),
        ("late in b", &last, &["b: the bundle has contents with sha256"]),
    ]);
}

#[test]
fn seek_tables_that_lie() {
    let lying = |lie: fn(&mut Vec<(u32, u32)>)| {
        move |list: &FileList| {
            let (frames, honest) = bundle(&tar(list));
            let mut pairs = pairs(&honest);
            lie(&mut pairs);
            closed(frames, &table(pairs))
        }
    };
    let shifted = lying(|pairs| {
        pairs[0].0 += 1;
        pairs[1].0 -= 1;
    });
    let beyond = lying(|pairs| pairs[1].0 += 1);
    let huge = lying(|pairs| pairs[0].0 = u32::MAX);
    let nothing = lying(|pairs| pairs[0].0 = 0);
    let more = lying(|pairs| pairs[0].1 = u32::MAX);
    let fewer = lying(|pairs| pairs.truncate(1));
    let many = lying(|pairs| pairs.extend([(0, 0); 1000]));
    refuse(&[
        ("borders", &shifted, &["frame", "is corrupt"]),
        ("beyond the end", &beyond, &["add up to"]),
        ("longer than any frame", &huge, &["frame 0 is listed with 4294967295 bytes"]),
        ("an empty frame", &nothing, &["frame 0 is listed with 0 bytes"]),
        ("more tar than there is", &more, &["frame 0 is listed with", "for 4294967295 of tar"]),
        ("too few", &fewer, &["is not the seek table of 2 frames"]),
        ("too many", &many, &["is not the seek table of 2 frames"]),
    ]);
}

#[test]
fn frames_that_hold_something_else() {
    let first = |bytes: Vec<u8>| {
        move |list: &FileList| {
            let tar = tar(list);
            let packed = zstd::bulk::compress(&bytes, 1).unwrap();
            let last = zstd::bulk::compress(&tar[FRAME as usize..], 1).unwrap();
            let lengths = [
                (packed.len() as u32, FRAME as u32),
                (last.len() as u32, (tar.len() - FRAME as usize) as u32),
            ];
            closed([packed, last].concat(), &table(lengths))
        }
    };
    let (bomb, less) = (first(vec![0; 512 << 20]), first(vec![0; 100]));
    let one_more = first(vec![0; FRAME as usize + 1]);
    let raw = |list: &FileList| {
        let (_, honest) = bundle(&tar(list));
        let frames =
            vec![0xff; honest.frames().iter().map(|frame| frame.compressed as usize).sum()];
        closed(frames, &honest.seek_table())
    };
    refuse(&[
        ("a bomb", &bomb, &["frame 0 is corrupt"]),
        ("a byte more", &one_more, &["frame 0 is corrupt"]),
        ("less", &less, &["frame 0 is corrupt"]),
        ("no zstd", &raw, &["is corrupt"]),
    ]);
}

#[test]
fn garbage_around_the_frames() {
    let honest = |list: &FileList| {
        let (frames, table) = bundle(&tar(list));
        closed(frames, &table.seek_table())
    };
    let after = |list: &FileList| [honest(list), b"garbage".to_vec()].concat();
    let before = |list: &FileList| [b"garbage".to_vec(), honest(list)].concat();
    let twice = |list: &FileList| [honest(list), honest(list)].concat();
    let cut = |list: &FileList| honest(list)[..20].to_vec();
    let nothing = |_: &FileList| Vec::new();
    refuse(&[
        ("after", &after, &["is not the seek table of 2 frames"]),
        ("before", &before, &["add up to"]),
        ("two bundles", &twice, &["add up to"]),
        ("cut", &cut, &["is not the seek table of 2 frames"]),
        ("empty", &nothing, &["is not the seek table of 2 frames"]),
    ]);
}

#[test]
fn tar_headers_are_not_believed() {
    let world = World::new();
    let scene = Scene::new(&world);
    let (mut evil, list) = scene.honest(&[("a", 10)]);
    let mut tar = tar(&list);
    let header = BLOCK as usize;
    let name = b"../../../outside/keep\0";
    tar[header..header + name.len()].copy_from_slice(name);
    tar[header + 100..header + 107].copy_from_slice(b"0006777");
    tar[header + 156] = b'2';
    let (frames, table) = bundle(&tar);
    evil.set_frames(frames, &table);
    scene.harmless(&evil);
}
