//! Who signs whatever they like, and the node that they aim at.

use std::cell::Cell;
use std::fs;
use std::process::Command;
use std::time::Duration;

use cutover_formats::bundle::{FRAME, FrameTable, Layout, Piece};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Entry, FileList, Kind};
use cutover_formats::version::Version;
use cutover_publish::keyring::Keyring;
use cutover_publish::{ReleaseFiles, Repo, Upload, release};
use cutover_repository::location::Location;
use cutover_repository::open_write;
use cutover_tests::world::{NodeDir, Run, World, assert_same, inventory};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const TIME: u64 = 1_700_000_000;
/// Kilobytes of memory that `install` may take, whatever it is sent.
const MOST_MEMORY: u64 = 64 << 10;
/// Runs a command that may write no file longer than this, and says how much memory it took.
const MEASURED: &str = "import resource, subprocess, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
status = subprocess.call(sys.argv[2:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)";

/// A folder of a list.
pub(crate) fn folder(path: &str) -> Value {
    json!({ "path": path, "kind": "folder" })
}

/// An empty file of a list.
pub(crate) fn file(path: &str) -> Value {
    sized(path, 0)
}

/// A file of zeros.
pub(crate) fn sized(path: &str, size: u64) -> Value {
    let digest =
        if size < 64 << 20 { Digest::of(&vec![0; size as usize]) } else { Digest::of(b"") };
    json!({ "path": path, "kind": "file", "mode": "644", "size": size, "sha256": digest.to_string() })
}

/// A link of a list.
pub(crate) fn link(path: &str, target: &str) -> Value {
    json!({ "path": path, "kind": "link", "target": target })
}

/// A release before it is signed: whatever it says, its digests and lengths will be right.
pub(crate) struct Evil {
    pub(crate) version: Version,
    /// The compressed list.
    pub(crate) list: Vec<u8>,
    pub(crate) bundle: Vec<u8>,
    /// The frame table.
    pub(crate) frames: Vec<u8>,
    pub(crate) descriptor: Value,
}

impl Evil {
    /// Signs for exactly the list and the bundle that there are.
    pub(crate) fn agree(&mut self) {
        let named = |bytes: &[u8]| (json!(bytes.len()), json!(Digest::of(bytes).to_string()));
        let (files, bundle, frames) = (named(&self.list), named(&self.bundle), named(&self.frames));
        self.descriptor["files"]["size"] = files.0;
        self.descriptor["files"]["sha256"] = files.1;
        self.descriptor["carriers"][0]["size"] = bundle.0;
        self.descriptor["carriers"][0]["sha256"] = bundle.1;
        self.descriptor["carriers"][0]["frames"]["size"] = frames.0;
        self.descriptor["carriers"][0]["frames"]["sha256"] = frames.1;
    }

    /// The list, uncompressed, as text that says what `entries` say.
    pub(crate) fn list_of(version: &Version, entries: &[Value]) -> Value {
        json!({
            "format": "cutover.files/1.0", "product": "tiny", "version": version.to_string(), "time": TIME,
            "entries": entries,
        })
    }

    /// Puts another list in, as JSON.
    pub(crate) fn set_list(&mut self, json: &[u8]) {
        self.list = zstd::bulk::compress(json, 1).unwrap();
        self.descriptor["files"]["text_sha256"] = json!(Digest::of(json).to_string());
        self.agree();
    }

    /// Puts another bundle in.
    pub(crate) fn set_bundle(&mut self, bundle: Vec<u8>) {
        self.bundle = bundle;
        self.agree();
    }

    /// Puts these frames in, with the tables that belong to them.
    pub(crate) fn set_frames(&mut self, frames: Vec<u8>, table: &FrameTable) {
        self.frames = table.to_bytes();
        self.set_bundle([frames, table.seek_table()].concat());
    }

    /// What was changed in the descriptor.
    pub(crate) fn describe(&mut self, pointer: &str, value: Value) {
        *self.descriptor.pointer_mut(pointer).unwrap() = value;
    }
}

/// The tar of a list of empty files and files of zeros, as the honest would make it.
pub(crate) fn tar(list: &FileList) -> Vec<u8> {
    let layout = Layout::new(list);
    let mut tar = vec![0; layout.total_len() as usize];
    for part in layout.parts(0..layout.total_len()) {
        let bytes = match part.piece {
            Piece::Top { .. } => layout.top_bytes(),
            Piece::Header { member, .. } => layout.header_bytes(member),
            Piece::Contents { .. } | Piece::Zeros => continue,
        };
        tar[part.at as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    tar
}

/// The bundle of a tar: frames, and what lists them.
pub(crate) fn bundle(tar: &[u8]) -> (Vec<u8>, FrameTable) {
    let (mut bytes, mut table) = (Vec::new(), FrameTable::default());
    for frame in tar.chunks(FRAME as usize) {
        let packed = zstd::bulk::compress(frame, 1).unwrap();
        table.push(packed.len() as u32, frame.len() as u32, Digest::of(&packed));
        bytes.extend(packed);
    }
    (bytes, table)
}

/// A list that is acceptable.
pub(crate) fn honest(version: &Version, files: &[(&str, u64)]) -> FileList {
    let entry = |(path, size): &(&str, u64)| {
        let sha256 = Digest::of(&vec![0; *size as usize]);
        let kind = Kind::File { executable: false, size: *size, sha256 };
        Entry { path: path.parse().unwrap(), kind }
    };
    let entries = files.iter().map(entry).collect();
    FileList::new("tiny".parse().unwrap(), version.clone(), TIME, entries).unwrap()
}

/// A node that runs 1.0.0, and things beside it that nobody may touch.
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) node: NodeDir<'a>,
    keyring: Keyring,
    next: Cell<u64>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let _tree = world.release_tiny(&["1.0.0"]);
        let node = world.node(None);
        let _ = node.install(["1.0.0"]).ok();
        fs::create_dir(world.path("outside")).unwrap();
        fs::write(world.path("outside/keep"), b"keep").unwrap();
        let keyring =
            Keyring::new(world.path("keys"), Box::new(|| Err("nobody to ask".to_owned())));
        Self { world, node, keyring, next: Cell::new(0) }
    }

    /// A release of these entries, with a version of its own; its bundle has one frame, which is none.
    pub(crate) fn evil(&self, entries: &[Value]) -> Evil {
        self.next.set(self.next.get() + 1);
        let version = Version::new(2, 0, self.next.get());
        let sizes = entries.iter().filter_map(|entry| entry["size"].as_u64());
        let bytes = sizes.fold(0, u64::saturating_add).min(1 << 20);
        let descriptor = json!({
            "format": "cutover.release/1.3", "product": "tiny", "version": version.to_string(),
            "source": { "kind": "tree", "time": TIME },
            "files": { "file": "files.json.zst", "entries": entries.len(), "bytes": bytes },
            "carriers": [{ "kind": "bundle", "file": format!("tiny-{version}.tar.zst"),
                           "frames": { "file": "frames.bin" } }],
        });
        let list = serde_json::to_vec(&Evil::list_of(&version, entries)).unwrap();
        let (bundle, frames) = (Vec::new(), Vec::new());
        let mut evil = Evil { version, list: Vec::new(), bundle, frames, descriptor };
        evil.set_list(&list);
        let no_frame = b"no frame";
        let mut table = FrameTable::default();
        table.push(no_frame.len() as u32, 0, Digest::of(no_frame));
        evil.set_frames(no_frame.to_vec(), &table);
        evil
    }

    /// A release of acceptable files and their honest bundle.
    pub(crate) fn honest(&self, files: &[(&str, u64)]) -> (Evil, FileList) {
        let entries: Vec<Value> = files.iter().map(|(path, size)| sized(path, *size)).collect();
        let mut evil = self.evil(&entries);
        let list = honest(&evil.version, files);
        evil.describe("/files/bytes", json!(list.bytes()));
        let (frames, table) = bundle(&tar(&list));
        evil.set_frames(frames, &table);
        (evil, list)
    }

    /// A release of one file that holds `text`, and its honest bundle.
    pub(crate) fn with_text(&self, path: &str, text: &str) -> Evil {
        let (size, sha256) = (text.len() as u64, Digest::of(text.as_bytes()));
        let mut evil = self.evil(&[json!({
            "path": path, "kind": "file", "mode": "644", "size": size, "sha256": sha256.to_string(),
        })]);
        let kind = Kind::File { executable: false, size, sha256 };
        let entry = Entry { path: path.parse().unwrap(), kind };
        let product = "tiny".parse().unwrap();
        let list = FileList::new(product, evil.version.clone(), TIME, vec![entry]).unwrap();
        let mut whole = tar(&list);
        let at = Layout::new(&list).contents(0);
        whole[at.start as usize..at.end as usize].copy_from_slice(text.as_bytes());
        let (frames, table) = bundle(&whole);
        evil.set_frames(frames, &table);
        evil
    }

    /// Signs it and puts it into the repository, under the names that it should have.
    pub(crate) fn publish(&self, evil: &Evil) {
        let location = Location::Folder(self.world.repository());
        let store = open_write(&location, None).unwrap();
        let (now, patience) = (Timestamp::now(), Duration::ZERO);
        let repo =
            Repo { store: store.as_ref(), keyring: &self.keyring, now, patience, note: &|_| {} };
        let at = format!("releases/tiny/{}", evil.version);
        let upload = |name: &str, bytes: &[u8]| {
            let file = self.world.path("outside/upload").with_extension(name);
            fs::write(&file, bytes).unwrap();
            let sha256 = Digest::of(bytes);
            Upload {
                path: format!("targets/{at}/{sha256}.{name}"),
                file,
                size: bytes.len() as u64,
                sha256,
            }
        };
        let bundle = format!("tiny-{}.tar.zst", evil.version);
        let uploads = vec![
            upload("files.json.zst", &evil.list),
            upload("frames.bin", &evil.frames),
            upload(&bundle, &evil.bundle),
        ];
        let files = ReleaseFiles {
            product: "tiny".parse().unwrap(),
            version: evil.version.clone(),
            descriptor: serde_json::to_vec(&evil.descriptor).unwrap(),
            bundle: (format!("{at}/{bundle}"), evil.bundle.len() as u64, Digest::of(&evil.bundle)),
            uploads: uploads.clone(),
            minisigned: Vec::new(),
        };
        release(&repo, &files, None).unwrap();
        for upload in uploads {
            fs::remove_file(upload.file).unwrap();
        }
    }

    /// Everything there is, but what the repository holds and what a refusal writes down.
    fn inventory(&self) -> Vec<String> {
        let node = ["run", "state/trust", "state/lock", "state/receipts", "state/history.jsonl"];
        let mut except: Vec<String> = node.iter().map(|path| format!("node/{path}")).collect();
        except.push("repository".to_owned());
        let except: Vec<&str> = except.iter().map(String::as_str).collect();
        inventory(&self.world.path(""), &except)
    }

    /// Runs `install`, which may write no file longer than `most` bytes, in little memory.
    pub(crate) fn install(&self, version: &Version, most: u64) -> Run {
        let command = self.node.command();
        let mut measured = Command::new("python3");
        measured.args(["-c", MEASURED, &most.to_string()]);
        measured.arg(command.get_program()).arg(version.to_string());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => measured.env(name, value),
                None => measured.env_remove(name),
            };
        }
        measured.current_dir(self.world.path(""));
        let run = Run::of(&mut measured);
        let peak = run.stdout.lines().find_map(|line| line.strip_prefix("peak ")).unwrap();
        assert!(peak.parse::<u64>().unwrap() < MOST_MEMORY, "{run}");
        run
    }

    /// Publishes it; `install` refuses it with `status` and `words`, and nothing else happens.
    #[track_caller]
    pub(crate) fn refused(&self, evil: &Evil, status: i32, words: &[&str]) {
        // Its own records (journal, receipt, metadata) are small; all else is within what is signed.
        const RECORDS: u64 = 1 << 20;
        self.publish(evil);
        let signed = evil.descriptor["files"]["bytes"].as_u64().unwrap_or_default();
        let most = RECORDS.max(signed).max((evil.bundle.len() + evil.list.len()) as u64);
        let before = self.inventory();
        self.install(&evil.version, most).refused(status, words);
        assert_same(&before, &self.inventory());
        assert_eq!(fs::read(self.world.path("outside/keep")).unwrap(), b"keep");
        assert_eq!(self.node.current().as_deref(), Some("1.0.0"));
    }

    /// Publishes it; `install` takes it, without touching anything outside its prefix.
    #[track_caller]
    pub(crate) fn harmless(&self, evil: &Evil) {
        self.publish(evil);
        let elsewhere = |lines: Vec<String>| -> Vec<String> {
            lines.into_iter().filter(|line| !line.starts_with("node/")).collect()
        };
        let before = elsewhere(self.inventory());
        let _ = self.install(&evil.version, 64 << 20).ok();
        assert_same(&before, &elsewhere(self.inventory()));
        let _ = self.node.install(["verify", &evil.version.to_string()]).ok();
    }
}
