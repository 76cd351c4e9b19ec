//! Hostile file lists.

use cutover_tests::world::World;
use serde_json::{Value, json};

use crate::forge::{Evil, Scene, TIME, file, folder, link, sized};

fn with(mut entry: Value, field: &str, value: Value) -> Value {
    entry[field] = value;
    entry
}

type Row<'a> = (&'a str, Vec<Value>, &'a [&'a str]);

fn refuse(rows: Vec<Row<'_>>) {
    let world = World::new();
    let scene = Scene::new(&world);
    for (name, entries, words) in rows {
        println!("{name}");
        scene.refused(&scene.evil(&entries), 3, words);
    }
}

#[test]
fn paths() {
    let world = World::new();
    let scene = Scene::new(&world);
    let absolute = world.path("outside/evil").display().to_string();
    let long = "l".repeat(256);
    let deep = vec!["d"; 1100].join("/");
    for (path, shown, why) in [
        (absolute.as_str(), absolute.as_str(), "it is absolute"),
        ("../../outside/evil", "../../outside/evil", "`..`"),
        ("..", "..", "`..`"),
        ("a/../../../evil", "a/../../../evil", "`..`"),
        (".", ".", "`.`"),
        ("./a", "./a", "`.`"),
        ("a/./b", "a/./b", "`.`"),
        ("a//b", "a//b", "empty component"),
        ("a/", "a/", "empty component"),
        ("", "\"\"", "it is empty"),
        ("a\0b", "a\\0b", "control character"),
        ("a\nb", "a\\nb", "control character"),
        ("a\u{1b}[2Jb", "[2Jb", "control character"),
        ("a\u{85}b", "b", "control character"),
        (&long, &long, "longer than 255"),
        (&deep, "d/d/d", "longer than 2048"),
    ] {
        println!("{path:?}");
        scene.refused(&scene.evil(&[file(path)]), 3, &["file list", shown, "is no safe path", why]);
    }
}

#[test]
fn repeats_and_detours() {
    refuse(vec![
        ("twice", vec![file("a"), file("a")], &["\"a\"", "listed twice"]),
        ("as a folder and a link", vec![folder("a"), link("a", "b")], &["\"a\"", "listed twice"]),
        ("unseen", vec![file("ab"), file("a\u{200d}b")], &["\"ab\"", "nobody sees"]),
        ("unseen and case", vec![file("AB"), file("a\u{200d}b")], &["\"AB\"", "nobody sees"]),
        (
            "through a link",
            vec![link("a", "b"), file("a/x"), folder("b")],
            &["\"a/x\"", "passes through", "\"a\""],
        ),
        ("through a file", vec![file("a"), file("a/x")], &["\"a/x\"", "passes through", "\"a\""]),
        (
            "far through a link",
            vec![link("a", "b"), file("a/x/y"), folder("b")],
            &["\"a/x/y\"", "passes through", "\"a\""],
        ),
        ("no folder", vec![file("a/x")], &["\"a/x\"", "a folder that is not listed"]),
        ("order", vec![file("b"), file("a")], &["\"a\"", "out of order"]),
    ]);
}

#[test]
fn links() {
    let up = vec![folder("a"), folder("a/b"), link("a/b/up", "../.."), link("x", "a/b/up/..")];
    let round = vec![link("a", "b"), link("b", "a")];
    refuse(vec![
        ("absolute", vec![link("a", "/etc/passwd")], &["\"a\"", "/etc/passwd", "it is absolute"]),
        ("up", vec![link("a", "../evil")], &["\"a\"", "../evil", "it leaves the prefix"]),
        ("dots", vec![link("a", "..")], &["\"a\"", "it leaves the prefix"]),
        (
            "up and down",
            vec![folder("a"), link("a/b", "../../current/x")],
            &["\"a/b\"", "it leaves the prefix"],
        ),
        ("by detours", vec![link("a", "x/../../y")], &["\"a\"", "it leaves the prefix"]),
        ("by another link", up, &["\"x\"", "a/b/up/..", "it leaves the prefix"]),
        ("round and round", round, &["\"a\"", "too many links"]),
        ("empty", vec![link("a", "")], &["\"a\"", "it is empty"]),
        ("control", vec![link("a", "b\nc")], &["\"a\"", "a control character"]),
        ("NUL", vec![link("a", "b\0c")], &["\"a\"", "a control character"]),
        ("long", vec![link("a", &"l".repeat(2049))], &["\"a\"", "longer than 2048"]),
    ]);
}

#[test]
fn modes_and_kinds() {
    let world = World::new();
    let scene = Scene::new(&world);
    for mode in ["4755", "2755", "6755", "1777", "0755", "777", "600", "u+s", ""] {
        let shown = format!("has mode `{mode}`");
        scene.refused(&scene.evil(&[with(file("a"), "mode", json!(mode))]), 3, &["\"a\"", &shown]);
    }
    for kind in ["hardlink", "device", "fifo", "socket", "directory", "File", ""] {
        let shown = format!("unknown kind `{kind}`");
        scene.refused(&scene.evil(&[with(file("a"), "kind", json!(kind))]), 3, &["\"a\"", &shown]);
    }
    let sized_link = with(link("a", "b"), "size", json!(1));
    scene.refused(&scene.evil(&[sized_link]), 3, &["\"a\"", "wrong fields", "size"]);
    let numeric = with(file("a"), "mode", json!(0o4755));
    scene.refused(&scene.evil(&[numeric]), 3, &["file list"]);
}

#[test]
fn sums_and_names_other_than_signed() {
    let world = World::new();
    let scene = Scene::new(&world);
    let entries = [sized("a", 10), sized("b", 10)];

    let mut evil = scene.evil(&entries);
    evil.describe("/files/bytes", json!(19));
    scene.refused(&evil, 3, &["sum of file sizes is 20", "says 19"]);
    let mut evil = scene.evil(&entries);
    evil.describe("/files/entries", json!(1));
    scene.refused(&evil, 3, &["number of entries is 2", "says 1"]);
    let evil = scene.evil(&[sized("a", u64::MAX), sized("b", 2)]);
    scene.refused(&evil, 3, &["file list: bytes", "at most"]);

    for (field, value, words) in [
        ("product", json!("other"), "product is other"),
        ("version", json!("1.0.0"), "version is 1.0.0"),
        ("time", json!(TIME + 1), "time is 1700000001"),
    ] {
        let mut evil = scene.evil(&entries);
        let mut list = Evil::list_of(&evil.version, &entries);
        list[field] = value;
        evil.set_list(&serde_json::to_vec(&list).unwrap());
        scene.refused(&evil, 3, &["file list", words]);
    }
    let mut evil = scene.evil(&entries);
    let digest = cutover_formats::digest::Digest::of(b"").to_string();
    evil.describe("/files/sha256", json!(digest));
    scene.publish(&evil);
    // Under the name that is signed there is nothing.
    scene.install(&evil.version, 1 << 20).refused(4, &["files.json.zst"]);
}

#[test]
fn text() {
    let world = World::new();
    let scene = Scene::new(&world);
    let deep = format!("{{\"format\":\"cutover.files/1.0\",\"x\":{}", "[".repeat(100_000));
    let twice = "{\"format\":\"cutover.files/1.0\",\"product\":\"tiny\",\"product\":\"tiny\"}";
    let path = "{\"format\":\"cutover.files/1.0\",\"product\":\"../tiny\",\"version\":\"1.0.0\",\"time\":0,\"entries\":[]}";
    for json in [deep.as_str(), twice, path, "", "[]", "null", "\u{feff}{}"] {
        let mut evil = scene.evil(&[file("a"), file("b"), file("c"), file("d"), file("e")]);
        evil.set_list(json.as_bytes());
        scene.refused(&evil, 3, &["file list"]);
    }
}

#[test]
fn compression() {
    let world = World::new();
    let scene = Scene::new(&world);
    let put = |list: Vec<u8>, words: &str| {
        let mut evil = scene.evil(&[file("a")]);
        evil.list = list;
        evil.agree();
        scene.refused(&evil, 3, &["file list", words]);
    };
    let bomb = zstd::bulk::compress(&vec![b' '; 512 << 20], 1).unwrap();
    put(bomb.clone(), "larger than its entries can make it");
    // The same, but its header says that it is small.
    let mut lying = bomb;
    let at = lying.windows(4).position(|bytes| bytes == (512_u32 << 20).to_le_bytes()).unwrap();
    lying[at..at + 4].copy_from_slice(&1000_u32.to_le_bytes());
    put(lying, "it is corrupt");
    let silent = zstd::stream::encode_all(&vec![b' '; 64 << 20][..], 1).unwrap();
    put(silent, "does not say how large");
    let frame = zstd::bulk::compress(b"{}", 1).unwrap();
    put([&frame[..], b"garbage"].concat(), "not exactly one zstd frame");
    put([&frame[..], &frame[..]].concat(), "not exactly one zstd frame");
    put(frame[..frame.len() - 1].to_vec(), "not exactly one zstd frame");
    put(b"{}".to_vec(), "not exactly one zstd frame");
}

#[test]
fn a_window_of_the_signers_choice_costs_nothing() {
    let world = World::new();
    let scene = Scene::new(&world);
    let (mut evil, _) = scene.honest(&[("a", 10)]);
    let json = zstd::bulk::decompress(&evil.list, 1 << 20).unwrap();
    // One raw block in a frame that asks for a window of 2 GiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x80, 21 << 3];
    frame.extend((json.len() as u32).to_le_bytes());
    frame.extend(&((json.len() as u32) << 3 | 1).to_le_bytes()[..3]);
    frame.extend(json);
    evil.list = frame;
    evil.agree();
    scene.harmless(&evil);
}
