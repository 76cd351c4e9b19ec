//! python-tuf, the reference implementation, is content with what we publish.
//!
//! It refreshes from a folder that an ordinary web server serves, and downloads a descriptor, a
//! bundle and a channel's pointer, again after each kind of change. And the other way about: our client
//! downloads from a repository that python-tuf made. Needs `python3` with `venv`; the environment is made once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_formats::layout;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_publish::keyring::{Keyring, Protection};
use cutover_publish::{self as publish, Order, ReleaseFiles, Repo, Upload};
use cutover_repository::client::Client;
use cutover_repository::{open_new, open_read};
use jiff::Timestamp;

/// As pinned by the reference implementation's conformance suite.
const PACKAGES: [&str; 2] = ["tuf==7.0.0", "securesystemslib[crypto]==1.4.0"];

const CLIENT: &str = r#"
import os, sys
from tuf.ngclient import Updater

base, folder, root, targets = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
os.makedirs(folder + "/targets", exist_ok=True)
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

/// A repository with an ordinary delegation, two hash bins, an RSA and an ECDSA key.
const REPOSITORY: &str = r#"
import hashlib, os, sys
from datetime import datetime, timedelta, timezone
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import *

base = sys.argv[1]
expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=1)
keys = {
    "root": CryptoSigner.generate_rsa(),
    "timestamp": CryptoSigner.generate_ecdsa(),
    "snapshot": CryptoSigner.generate_ed25519(),
    "targets": CryptoSigner.generate_ed25519(),
    "bins": CryptoSigner.generate_ecdsa(),
}

def write(path, data):
    os.makedirs(os.path.dirname(base + "/" + path), exist_ok=True)
    with open(base + "/" + path, "wb") as file:
        file.write(data)

def publish(role, signed, key):
    metadata = Metadata(signed)
    metadata.sign(keys[key])
    prefix = "" if role == "timestamp" else "%d." % signed.version
    write("metadata/" + prefix + role + ".json", metadata.to_bytes())

def target(path, data):
    digest = hashlib.sha256(data).hexdigest()
    folder, name = os.path.split(path)
    write("targets/" + os.path.join(folder, digest + "." + name), data)
    return TargetFile.from_data(path, data, ["sha256", "sha512"])

root = Root(expires=expires)
for role in ("root", "timestamp", "snapshot", "targets"):
    root.add_key(keys[role].public_key, role)
top = Targets(expires=expires)
top.targets["top.txt"] = target("top.txt", b"top")
roles = {
    name: DelegatedRole(name, [keys["bins"].public_key.keyid], 1, False, None, prefixes)
    for name, prefixes in (("bin-low", list("01234567")), ("bin-high", list("89abcdef")))
}
roles["team/ü"] = DelegatedRole("team/ü", [keys["bins"].public_key.keyid], 1, True, ["team/*"])
key = keys["bins"].public_key
top.delegations = Delegations({key.keyid: key}, roles)
parts = {name: Targets(expires=expires) for name in roles}
for path in sys.argv[2:]:
    name = next(n for n, role in reversed(roles.items()) if role.is_delegated_path(path))
    parts[name].targets[path] = target(path, path.encode())
snapshot = Snapshot(expires=expires)
for name, signed in parts.items():
    # Clients encode the name, and a file server decodes it.
    publish(name, signed, "bins")
    snapshot.meta[name + ".json"] = MetaFile(1)
publish("root", root, "root")
publish("targets", top, "targets")
publish("snapshot", snapshot, "snapshot")
publish("timestamp", Timestamp(expires=expires), "timestamp")
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

/// The Python of an environment with python-tuf, made by whichever test comes first.
fn python() -> PathBuf {
    static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tuf-7.0.0");
        let python = environment.join("bin/python");
        // Another test program may be at it.
        let lock = fs::File::create(environment.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !environment.join("complete").exists() {
            let _ = fs::remove_dir_all(&environment);
            succeeds(Command::new("python3").args(["-m", "venv"]).arg(&environment));
            succeeds(
                Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES),
            );
            fs::write(environment.join("complete"), "").unwrap();
        }
        python
    });
    PYTHON.clone()
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
            minisigned: Vec::new(),
        };
        publish::release(repo, &files, Some((&channel, Order::Forward))).unwrap();
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
    // The same client each time: it holds what it has seen against what it sees.
    let follow = |current: &str| {
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
        let pointer = String::from_utf8_lossy(&files[1]);
        assert!(pointer.contains(&format!("\"version\": \"{current}\"")), "{pointer}");
        assert_eq!(files[2], bundle);
    };
    follow("1.2.0");
    let (product, channel) = ("weave".parse().unwrap(), "stable".parse().unwrap());
    publish::promote(&repo, &product, &Version::new(1, 1, 0), (&channel, Order::Any)).unwrap();
    follow("1.1.0");
    publish::refresh(&repo).unwrap();
    follow("1.1.0");
}

#[test]
fn our_client_downloads_what_python_tuf_publishes() {
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("repository");
    let paths = ["a.txt", "b/c d.txt", "b/e+f.txt", "b/g.txt", "h.bin", "team/x.txt"];
    succeeds(Command::new(python()).args(["-c", REPOSITORY]).arg(&repository).args(paths));
    let (_server, base) = serve(&repository);
    let store = open_read(&base.parse().unwrap()).unwrap();
    let trust = folder.path().join("trust");
    let root = fs::read(repository.join(layout::FIRST_ROOT)).unwrap();
    Client::init(trust.clone(), &root).unwrap();
    // The second time from what is stored.
    for _ in 0..2 {
        let mut client = Client::open(store.as_ref(), trust.clone(), Timestamp::now()).unwrap();
        for path in paths {
            let file = client.find(path).unwrap().expect(path);
            assert_eq!(client.read_target(&file, 1 << 10).unwrap(), path.as_bytes(), "{path}");
        }
        let top = client.find("top.txt").unwrap().expect("top.txt");
        assert_eq!(client.read_target(&top, 1 << 10).unwrap(), b"top");
        assert_eq!(client.find("team/nobody.txt").unwrap(), None);
        assert_eq!(client.find("b/nobody.txt").unwrap(), None);
    }
}
