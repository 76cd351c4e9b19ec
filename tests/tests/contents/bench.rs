//! A source tree, a bundle and a prefix in a scratch folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::bundle::{ExpectedFrames, FrameTable, Layout, table_len};
use cutover_formats::digest::Digest;
use cutover_formats::filelist::{Expected, FileList};
use cutover_install::contents::{ContentsError, Job, Leftover, Plan, Stock, plan};
use cutover_install::fetch::LocalBundle;
use cutover_pack::bundle::{
    BundleError, Contents, Options, Source, SourceEntry, WrittenBundle, write,
};
use tempfile::TempDir;

pub(crate) const TIME: u64 = 1_700_000_000;

/// A scratch folder with a source tree, a bundle and a prefix in it.
pub(crate) struct Bench {
    pub(crate) scratch: TempDir,
    pub(crate) entries: Vec<SourceEntry>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        fs::create_dir(scratch.path().join("source")).unwrap();
        Self { scratch, entries: Vec::new() }
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.scratch.path().join("bundle.tar.zst")
    }

    /// The file of the bundle's frame table.
    pub(crate) fn frames(&self) -> PathBuf {
        self.scratch.path().join("frames.bin")
    }

    /// The table, of the bundle that it is signed for.
    pub(crate) fn table(&self, list: &FileList) -> FrameTable {
        let bytes = fs::read(self.frames()).unwrap();
        let layout = Layout::new(list);
        let header = bytes.len() - 36 * layout.frames() as usize;
        let (entries, _) = bytes[header..].as_chunks::<36>();
        let length =
            |entry: &[u8; 36]| u64::from(u32::from_le_bytes(*entry.first_chunk().unwrap()));
        let bundle = entries.iter().map(length).sum::<u64>() + table_len(layout.frames());
        let expected =
            ExpectedFrames { sha256: Digest::of(&bytes), size: bytes.len() as u64, bundle };
        FrameTable::parse(&bytes, &expected, &layout).unwrap()
    }

    pub(crate) fn prefix(&self) -> PathBuf {
        self.scratch.path().join("prefix")
    }

    pub(crate) fn add(&mut self, path: &str, kind: Source) -> &mut Self {
        self.entries.push(SourceEntry { path: path.parse().unwrap(), kind });
        self
    }

    pub(crate) fn file(&mut self, path: &str, contents: &[u8]) -> &mut Self {
        let source = self.source().join(format!("{}", self.entries.len()));
        fs::write(&source, contents).unwrap();
        let (executable, size) = (path.ends_with("run"), contents.len() as u64);
        self.add(path, Source::File { executable, size, source })
    }

    pub(crate) fn folder(&mut self, path: &str) -> &mut Self {
        self.add(path, Source::Folder)
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) -> &mut Self {
        self.add(path, Source::Link { target: target.to_owned() })
    }

    pub(crate) fn contents(&self) -> Contents {
        Contents {
            product: "weave".parse().unwrap(),
            version: "1.1.4".parse().unwrap(),
            time: TIME,
            entries: self.entries.clone(),
        }
    }

    pub(crate) fn write(&self, options: Options) -> Result<WrittenBundle, BundleError> {
        write(&self.contents(), options, &mut File::create(self.bundle()).unwrap(), &|_| ())
    }

    pub(crate) fn pack(&self) -> FileList {
        let written = self.write(Options::default()).unwrap();
        let bytes = fs::read(self.bundle()).unwrap();
        assert_eq!(written.size, bytes.len() as u64);
        assert_eq!(written.sha256, Digest::of(&bytes));
        fs::write(self.frames(), written.frames.to_bytes()).unwrap();
        signed(&written.list)
    }

    pub(crate) fn unpack(&self, list: &FileList) -> Result<Plan, ContentsError> {
        let table = self.table(list);
        let leftover = Leftover::look(list, &self.prefix())?;
        let stock = Stock { leftover, ..Stock::default() };
        let plan = plan(list, &stock.have(), &table);
        let (bundle, file) = (self.bundle(), File::open(self.bundle()).unwrap());
        let job = Job { list, table: &table, stock: &stock, plan: &plan, progress: &|_| () };
        let _ = job.create(&self.prefix(), |_| LocalBundle::new(&file, &bundle, &table))?;
        Ok(plan)
    }

    /// What is in the scratch folder outside the prefix.
    pub(crate) fn outside(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = tree(self.scratch.path());
        found.retain(|path, _| !path.starts_with("prefix"));
        found
    }
}

/// The list as a node gets it: through its bytes.
fn signed(list: &FileList) -> FileList {
    let bytes = list.to_bytes();
    let expected = Expected {
        product: list.product(),
        version: list.version(),
        time: list.time(),
        sha256: Digest::of(&bytes),
        size: bytes.len() as u64,
        text_sha256: Digest::of(&list.to_json()),
        entries: list.entries().len() as u64,
        bytes: list.bytes(),
    };
    let parsed = FileList::parse(&bytes, &expected).unwrap();
    assert_eq!(&parsed, list);
    parsed
}

/// Every path below `top` with mode and contents.
pub(crate) fn tree(top: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![top.to_owned()];
    while let Some(folder) = ahead.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let mut what = format!("{:o} ", meta.mode()).into_bytes();
            if meta.is_dir() {
                ahead.push(path.clone());
            } else if meta.is_symlink() {
                what.extend(fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else {
                what.extend(fs::read(&path).unwrap());
            }
            found.insert(path.strip_prefix(top).unwrap().to_owned(), what);
        }
    }
    found
}

/// Bytes that do not compress, without a source of randomness.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
