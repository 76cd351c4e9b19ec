//! python-tuf, the reference implementation, is content with what we publish.
//!
//! It refreshes from a folder that an ordinary web server serves, and downloads a descriptor, a
//! bundle and a channel's pointer. Needs `python3` with `venv`; the environment is made once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_pack::publish::keyring::{Keyring, Protection};
use cutover_pack::publish::{self, ReleaseFiles, Repo, Upload};
use cutover_repository::open_new;
use jiff::Timestamp;

/// As pinned by the reference implementation's conformance suite.
const PACKAGES: [&str; 2] = ["tuf==7.0.0", "securesystemslib[crypto]==1.4.0"];

const CLIENT: &str = r#"
import os, sys
from tuf.ngclient import Updater

base, folder, root, targets = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
os.makedirs(folder + "/targets")
updater = Updater(
    metadata_dir=folder + "/metadata",
    metadata_base_url=base + "/metadata/",
    target_base_url=base + "/targets/",
    target_dir=folder + "/targets",
    bootstrap=open(root, "rb").read(),
)
updater.refresh()
for path in targets:
    info = updater.get_targetinfo(path)
    assert info is not None, path
    print(updater.download_target(info))
assert updater.get_targetinfo("releases/weave/9.9.9/release.json") is None
assert updater.get_targetinfo("channels/nowhere/weave.json") is None
"#;

/// Ends when the test does.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(folder: &Path) -> (Server, String) {
    let mut child = Command::new("python3")
        .args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory"])
        .arg(folder)
        .arg("0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("python3 runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    // Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ...
    let port = line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    (Server(child), format!("http://127.0.0.1:{port}"))
}

/// The Python of an environment with python-tuf.
fn python() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tuf-7.0.0");
    let python = environment.join("bin/python");
    if !environment.join("complete").exists() {
        let _ = fs::remove_dir_all(&environment);
        succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
        fs::write(environment.join("complete"), "").unwrap();
    }
    python
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().expect("the program is there");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

fn publish_three(repo: &Repo<'_>, bundle: &[u8]) {
    let (product, channel): (Product, Channel) =
        ("weave".parse().unwrap(), "stable".parse().unwrap());
    for minor in 0..3 {
        let version = Version::new(1, minor, 0);
        let name = layout::bundle_name(&product, &version);
        let path = layout::release_file(&product, &version, &name);
        let (size, sha256) = (bundle.len() as u64, Digest::of(bundle));
        let file = repo.store.temp_file().unwrap();
        fs::write(file.path(), bundle).unwrap();
        let upload = Upload {
            path: layout::stored(&path, sha256),
            file: file.path().to_owned(),
            size,
            sha256,
        };
        let files = ReleaseFiles {
            product: product.clone(),
            descriptor: format!("descriptor of {version}").into_bytes(),
            version,
            uploads: vec![upload],
            bundle: (path, size, sha256),
        };
        publish::release(repo, &files, Some(&channel)).unwrap();
    }
}

#[test]
fn python_tuf_downloads_what_we_publish() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, keys) = (folder.path().join("repository"), folder.path().join("keys"));
    let keyring = Keyring::new(keys, Box::new(|| Err("nobody to ask".to_owned())));
    keyring.create(&Protection::None).unwrap();
    let store = open_new(&repository.to_str().unwrap().parse().unwrap(), None).unwrap();
    let now = Timestamp::now();
    publish::init(store.as_ref(), &keyring, now).unwrap();
    let root = fs::read(repository.join(layout::FIRST_ROOT)).unwrap();

    let patience = Duration::from_millis(100);
    let repo = Repo { store: store.as_ref(), keyring: &keyring, now, patience, note: &|_| {} };
    let bundle = vec![7; 300_000];
    publish_three(&repo, &bundle);

    let pinned = folder.path().join("pinned.json");
    fs::write(&pinned, root).unwrap();
    let (_server, base) = serve(&repository);
    let printed = succeeds(
        Command::new(python())
            .args(["-c", CLIENT, &base])
            .arg(folder.path().join("client"))
            .arg(&pinned)
            .args(["releases/weave/1.1.0/release.json", "channels/stable/weave.json"])
            .arg("releases/weave/1.1.0/weave-1.1.0.tar.zst"),
    );
    let files: Vec<_> = printed.lines().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(files[0], b"descriptor of 1.1.0");
    assert!(String::from_utf8_lossy(&files[1]).contains("\"version\": \"1.2.0\""));
    assert_eq!(files[2], bundle);
}
