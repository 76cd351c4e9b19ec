//! Hostile bundles, each under the digest that is signed for it.

use cutover_formats::bundle::{BLOCK, FRAME, FrameTable, SignedFrame};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::FileList;
use cutover_tests::world::World;

use crate::forge::{Evil, Scene, bundle, tar};

const FILES: [(&str, u64); 2] = [("a", 1000), ("b", 5 << 20)];

/// Its name, what is done to an honest release of this list, and what the refusal says.
type Row<'a> = (&'a str, &'a dyn Fn(&mut Evil, &FileList), &'a [&'a str]);

fn refuse(rows: &[Row<'_>]) {
    let world = World::new();
    let scene = Scene::new(&world);
    for (name, change, words) in rows {
        println!("{name}");
        let (mut evil, list) = scene.honest(&FILES);
        change(&mut evil, &list);
        scene.refused(&evil, 3, words);
    }
}

#[test]
fn contents_other_than_listed() {
    let changed = |at: usize| {
        move |evil: &mut Evil, list: &FileList| {
            let mut tar = tar(list);
            tar[at] ^= 1;
            let (frames, table) = bundle(&tar);
            evil.set_frames(frames, &table);
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
fn frame_tables_that_lie() {
    let lying = |lie: fn(&mut Vec<(u32, u32, Digest)>)| {
        move |evil: &mut Evil, list: &FileList| {
            let (_, honest) = bundle(&tar(list));
            let frame = |it: &SignedFrame| (it.compressed, it.decompressed, it.sha256);
            let mut frames = honest.frames().iter().map(frame).collect();
            lie(&mut frames);
            let mut table = FrameTable::default();
            frames.into_iter().for_each(|(packed, tar, sha256)| table.push(packed, tar, sha256));
            evil.frames = table.to_bytes();
            evil.agree();
        }
    };
    let shifted = lying(|frames| {
        frames[0].0 += 1;
        frames[1].0 -= 1;
    });
    let beyond = lying(|frames| frames[1].0 += 1);
    let huge = lying(|frames| frames[0].0 = u32::MAX);
    let nothing = lying(|frames| frames[0].0 = 0);
    let swapped = lying(|frames| {
        let first = frames[0].2;
        frames[0].2 = frames[1].2;
        frames[1].2 = first;
    });
    let fewer = lying(|frames| frames.truncate(1));
    let many = lying(|frames| frames.extend([(9, 9, Digest::of(b"")); 1000]));
    refuse(&[
        ("borders", &shifted, &["frame 0 has sha256"]),
        ("beyond the end", &beyond, &["add up to"]),
        ("longer than any frame", &huge, &["frame 0 is listed with 4294967295 bytes"]),
        ("an empty frame", &nothing, &["frame 0 is listed with 0 bytes"]),
        ("other frames", &swapped, &["frame 0 has sha256"]),
        ("too few", &fewer, &["a table of 2 frames has"]),
        ("too many", &many, &["larger than the 91 bytes"]),
    ]);
}

#[test]
fn frames_that_hold_something_else() {
    let first = |bytes: Vec<u8>| {
        move |evil: &mut Evil, list: &FileList| {
            let tar = tar(list);
            let packed = zstd::bulk::compress(&bytes, 1).unwrap();
            let last = zstd::bulk::compress(&tar[FRAME as usize..], 1).unwrap();
            let mut table = FrameTable::default();
            table.push(packed.len() as u32, FRAME as u32, Digest::of(&packed));
            let rest = (tar.len() - FRAME as usize) as u32;
            table.push(last.len() as u32, rest, Digest::of(&last));
            evil.set_frames([packed, last].concat(), &table);
        }
    };
    let (bomb, less) = (first(vec![0; 512 << 20]), first(vec![0; 100]));
    let one_more = first(vec![0; FRAME as usize + 1]);
    let raw = |evil: &mut Evil, list: &FileList| {
        let (_, honest) = bundle(&tar(list));
        let mut table = FrameTable::default();
        for frame in honest.frames() {
            let bytes = vec![0xff; frame.compressed as usize];
            table.push(frame.compressed, frame.decompressed, Digest::of(&bytes));
        }
        evil.set_frames(vec![0xff; table.end() as usize], &table);
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
    let with = |change: fn(&[u8]) -> Vec<u8>| {
        move |evil: &mut Evil, _: &FileList| {
            let changed = change(&evil.bundle);
            evil.set_bundle(changed);
        }
    };
    let after = with(|honest| [honest, b"garbage"].concat());
    let before = with(|honest| [b"garbage", honest].concat());
    let twice = with(|honest| [honest, honest].concat());
    let cut = with(|honest| honest[..20].to_vec());
    let nothing = with(|_| Vec::new());
    let instead = with(|honest| vec![7; honest.len()]);
    refuse(&[
        ("after", &after, &["add up to"]),
        ("before", &before, &["add up to"]),
        ("two bundles", &twice, &["add up to"]),
        ("cut", &cut, &["add up to"]),
        ("empty", &nothing, &["add up to"]),
        ("instead", &instead, &["frame 0 has sha256"]),
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
