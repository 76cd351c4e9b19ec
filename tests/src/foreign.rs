//! What is done with foreign bytes, one function for each kind: whatever they are, nothing panics, nothing takes
//! memory beyond its caps, and what is accepted says the same after it was written and read again.
//!
//! `tests/fuzz` runs them with a fuzzer; `tests/tests/foreign.rs`, without one, over the corpus and some
//! thousands of its mutations.

use cutover_formats::bundle::{ExpectedFrames, FRAME, FrameTable, Layout, SeekTable, table_len};
use cutover_formats::channel::Pointer;
use cutover_formats::descriptor::Descriptor;
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, Expected, FileList, Kind};
use cutover_formats::keys::Signer;
use cutover_formats::minisign::Minisig;
use cutover_formats::name::{Channel, Product};
use cutover_formats::node_toml::NodeToml;
use cutover_formats::release_toml::ReleaseToml;
use cutover_formats::tuf::canonical::to_canonical;
use cutover_formats::tuf::draft::Draft;
use cutover_formats::tuf::json::Json;
use cutover_formats::tuf::metadata::envelope;
use cutover_formats::tuf::search::Search;
use cutover_formats::tuf::targets::Targets;
use cutover_formats::tuf::trusted::{Delegator, Roots, Timestamps, Trusted};
use cutover_formats::version::Version;
use cutover_http::terms::Terms;
use cutover_pack::lock::Lock;
use cutover_repo_server::condition::Condition;
use cutover_repo_server::confined::Asked;
use cutover_repo_server::name::Name;

const ROOT: &[u8] = include_bytes!("../../formats/tests/golden/root.json");
const TIMESTAMP: &[u8] = include_bytes!("../../formats/tests/golden/timestamp.json");
const SNAPSHOT: &[u8] = include_bytes!("../../formats/tests/golden/snapshot.json");
const TARGETS_FILE: &[u8] = include_bytes!("../../formats/tests/golden/targets.json");

/// A kind of foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// What is done with them.
    pub run: fn(&[u8]),
}

/// All kinds.
pub const TARGETS: [Target; 12] = [
    Target { name: "metadata", run: metadata },
    Target { name: "signed_metadata", run: signed_metadata },
    Target { name: "python_lock", run: python_lock },
    Target { name: "file_list", run: file_list },
    Target { name: "descriptor", run: descriptor },
    Target { name: "bundle", run: bundle },
    Target { name: "frame_table", run: frame_table },
    Target { name: "channel", run: channel },
    Target { name: "minisig", run: minisig },
    Target { name: "release_toml", run: release_toml },
    Target { name: "node_toml", run: node_toml },
    Target { name: "request", run: request },
];

/// A signature for `minisign`, which a repository server takes from whoever may publish.
pub fn minisig(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(signature) = text.parse::<Minisig>() {
        assert_eq!(signature.to_string().parse(), Ok(signature));
    }
}

fn timestamps() -> Timestamps {
    let now = "2030-01-01T00:00:00Z".parse().expect("it is a time");
    Roots::pinned(ROOT).and_then(|roots| roots.finish(now)).expect("the golden root is good")
}

fn trusted() -> Trusted {
    let (snapshots, _) = timestamps().accept(TIMESTAMP).expect("the golden timestamp is good");
    snapshots.accept(SNAPSHOT).expect("the golden snapshot is good")
}

/// Metadata, as each role of a repository.
pub fn metadata(bytes: &[u8]) {
    if let Ok(json) = Json::parse(bytes) {
        assert_eq!(Json::parse(&json.to_bytes()).ok().as_ref(), Some(&json));
        let again = Json::parse(&json.to_bytes()).map(|json| to_canonical(&json));
        assert_eq!(again.ok(), Some(to_canonical(&json)));
    }
    let _ = Roots::pinned(bytes);
    let _ = Roots::pinned(ROOT).map(|mut roots| roots.step(bytes));
    let _ = timestamps().floor(bytes);
    let _ = timestamps().accept(bytes);
    if let Ok((mut snapshots, _)) = timestamps().accept(TIMESTAMP) {
        let _ = snapshots.floor(bytes);
        let _ = snapshots.reuse(bytes);
        let _ = snapshots.accept(bytes);
    }
    let trusted = trusted();
    let _ = trusted.role("targets", Delegator::Root, bytes);
    let _ = trusted.successor(2, bytes);
}

/// Metadata that is well signed, whatever it says: the bytes are what stands below the signature.
///
/// A change to a file with a signature only shows that signatures are checked; here what comes after
/// that is reached.
pub fn signed_metadata(bytes: &[u8]) {
    let Ok(signed) = Json::parse(bytes) else { return };
    let signer = Signer::from_seed([7; 32]);
    let file = envelope(signed.clone(), &[signer.sign(&to_canonical(&signed))]);
    metadata(&file);
    // As the role that comes next, where the ones before it are good.
    let next = trusted();
    if let Ok(targets) = next.role("targets", Delegator::Root, TARGETS_FILE) {
        for role in targets.delegated() {
            let _ = next.role(&role.name, Delegator::Role(&targets), &file);
        }
    }
    if let Ok(found) = next.role("targets", Delegator::Root, &file) {
        let draft = Draft::from_bytes(&file).expect("it was read before");
        assert_eq!(draft.read::<Targets>().ok().as_ref(), Some(&*found));
        // Written anew, where a publisher edits it, it says the same.
        assert_eq!(Draft::new(&*found).read::<Targets>().ok().as_ref(), Some(&*found));
        for path in found.targets.keys() {
            if let Ok(mut search) = Search::new(path) {
                let _ = search.step();
            }
        }
    }
    if let Ok(successor) = next.successor(2, &file) {
        assert_eq!(successor.head.version, 2);
    }
    if let Ok(roots) = Roots::pinned(&file) {
        let _ = roots.finish("2030-01-01T00:00:00Z".parse().expect("it is a time"));
    }
}

/// The lock of Python dependencies.
pub fn python_lock(bytes: &[u8]) {
    if let Ok(lock) = Lock::parse(bytes) {
        assert!(!lock.requirements.is_empty());
        let lines: String = lock.requirements.iter().map(ToString::to_string).collect();
        assert_eq!(Lock::parse(lines.as_bytes()).ok().as_ref(), Some(&lock));
    }
}

/// A file list: compressed, and as the JSON in it, under a descriptor that signs for it.
pub fn file_list(bytes: &[u8]) {
    read_list(bytes, &zstd::bulk::decompress(bytes, 1 << 20).unwrap_or_default());
    if let Ok(compressed) = zstd::bulk::compress(bytes, 1) {
        read_list(&compressed, bytes);
    }
}

fn read_list(compressed: &[u8], text: &[u8]) {
    let (product, version) = weave();
    for entries in 0..6 {
        let expected = Expected {
            product: &product,
            version: &version,
            time: 1_700_000_000,
            sha256: Digest::of(compressed),
            size: compressed.len() as u64,
            text_sha256: Digest::of(text),
            entries,
            bytes: 10,
        };
        if let Ok(list) = FileList::parse(compressed, &expected) {
            let bytes = list.to_bytes();
            let (sha256, size) = (Digest::of(&bytes), bytes.len() as u64);
            let text_sha256 = Digest::of(&list.to_json());
            let signed = Expected { sha256, size, text_sha256, ..expected };
            let again = FileList::parse(&bytes, &signed);
            assert_eq!(again.ok().as_ref(), Some(&list));
            let layout = Layout::new(&list);
            let parts: u64 = layout.parts(0..layout.total_len()).map(|part| part.len).sum();
            assert_eq!(parts, layout.total_len());
        }
    }
}

fn weave() -> (Product, Version) {
    ("weave".parse().expect("it is a name"), Version::new(1, 1, 4))
}

/// A descriptor.
pub fn descriptor(bytes: &[u8]) {
    if let Ok(descriptor) = Descriptor::parse(bytes) {
        let _ = descriptor.bundle();
        assert_eq!(Descriptor::parse(&descriptor.to_bytes()).ok().as_ref(), Some(&descriptor));
    }
}

/// A list of two files, which fill two frames.
fn two_frames() -> FileList {
    let (product, version) = weave();
    let entry = |path: &str, size| Entry {
        path: path.parse().expect("it is a path"),
        kind: Kind::File { executable: false, size, sha256: Digest::of(b"") },
    };
    let entries = vec![entry("a", 1000), entry("b", FRAME)];
    FileList::new(product, version, 0, entries).expect("it is a good list")
}

/// A frame table, under a descriptor that signs for it, for a bundle of two frames.
pub fn frame_table(bytes: &[u8]) {
    let list = two_frames();
    let layout = Layout::new(&list);
    let (sha256, size, bundle) = (Digest::of(bytes), bytes.len() as u64, 3000 + table_len(2));
    let expected = ExpectedFrames { sha256, size, bundle };
    let Ok(table) = FrameTable::parse(bytes, &expected, &layout) else { return };
    let entries =
        |bytes: &[u8]| bytes.iter().position(|byte| *byte == b'\n').map(|at| bytes[at..].to_vec());
    assert_eq!(entries(&table.to_bytes()), entries(bytes));
    assert_eq!((table.frames().len(), table.end()), (2, 3000));
    assert!(table.verify(1, bytes).is_err());
}

/// A bundle: the seek table at its end, and the frames that it names, for a list of two files.
pub fn bundle(bytes: &[u8]) {
    let list = two_frames();
    let layout = Layout::new(&list);
    let len = table_len(layout.frames()) as usize;
    let tail = &bytes[bytes.len().saturating_sub(len)..];
    let Ok(table) = SeekTable::parse(tail, bytes.len() as u64, &layout) else { return };
    assert_eq!(table.to_bytes(), tail);
    for frame in table.frames() {
        let packed = &bytes[frame.at as usize..][..frame.compressed as usize];
        if let Ok(tar) = zstd::bulk::decompress(packed, frame.decompressed as usize) {
            assert!(tar.len() <= frame.decompressed as usize);
        }
    }
}

/// The pointer of a channel.
pub fn channel(bytes: &[u8]) {
    let (product, _) = weave();
    let channel: Channel = "stable".parse().expect("it is a name");
    if let Ok(pointer) = Pointer::parse(bytes, &channel, &product) {
        let again = Pointer::parse(&pointer.to_bytes(), &channel, &product);
        assert_eq!(again.ok().as_ref(), Some(&pointer));
    }
}

/// `release.toml`.
pub fn release_toml(bytes: &[u8]) {
    let _ = str::from_utf8(bytes).map(ReleaseToml::parse);
}

/// `node.toml`.
pub fn node_toml(bytes: &[u8]) {
    let _ = str::from_utf8(bytes).map(NodeToml::parse);
}

/// What a request names: the path of a file to read or publish, and a `Range`.
pub fn request(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    for size in [0, 1, 10, u64::MAX] {
        if let Terms::Part(part) = Terms::of_range(text, size) {
            assert!(part.start < part.end && part.end <= size);
        }
    }
    // A publish request is a path and a condition: `*` or a quoted digest, in one header or the other.
    for name in [Name::Timestamp, Name::Metadata] {
        let (none_match, if_match) = text.split_once('\n').unwrap_or((text, ""));
        let given = |text: &'_ str| if text.is_empty() { None } else { Some(text.to_owned()) };
        let (none_match, if_match) = (given(none_match), given(if_match));
        match Condition::of(none_match.as_deref(), if_match.as_deref(), name) {
            Ok(Condition::Absent) => assert_eq!(none_match.as_deref(), Some("*")),
            Ok(Condition::Is(digest)) => {
                assert_eq!(name, Name::Timestamp);
                assert_eq!(if_match, Some(format!("\"{digest}\"")));
            }
            Err(_) => {}
        }
    }
    if let Some(asked) = Asked::parse(text) {
        let confined = |part: &str| !part.is_empty() && !part.starts_with('.');
        assert!(asked.path.is_empty() || asked.path.split('/').all(confined), "{asked:?}");
        let _ = Name::of(&asked.path);
    }
}
