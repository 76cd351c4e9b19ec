//! A server that holds the online keys, and what it says of expiry.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cutover_formats::secret::Secret;
use cutover_publish::keyring::{KeyRole, Keyring, NewPassphrase, Protection};
use cutover_publish::{PATIENCE, Repo, init, refresh};
use cutover_repository::client::Client;
use cutover_repository::file::FileStore;
use cutover_repository::open_write;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::common::{SERVER, Server, TOKEN, wait_until};

const PASSPHRASE: &str = "open, sesame seeds";

/// A repository that was made some days ago, and its keys.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new(days_ago: i64, protection: &Protection<'_>) -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(scene.path("store")).unwrap();
        fs::write(scene.path("tokens"), TOKEN).unwrap();
        let keyring = scene.keyring("keys");
        keyring.create(protection).unwrap();
        let then = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
        init(&FileStore::open(&scene.path("store")).unwrap(), &keyring, then).unwrap();
        fs::create_dir(scene.path("online")).unwrap();
        for file in ["root.json", "snapshot.pem", "timestamp.pem"] {
            fs::copy(scene.path("keys").join(file), scene.path("online").join(file)).unwrap();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn keyring(&self, folder: &str) -> Keyring {
        Keyring::new(self.path(folder), Box::new(|| Ok(Secret::new(PASSPHRASE.to_owned()))))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(SERVER);
        command.arg("--store").arg(self.path("store")).args(["--listen", "127.0.0.1:0"]);
        command.arg("--tokens").arg(self.path("tokens")).env_remove("CUTOVER_PASSPHRASE");
        command
    }

    fn online(&self) -> Command {
        let mut command = self.command();
        command.arg("--online-keys").arg(self.path("online"));
        command
    }

    fn serve(&self, command: Command) -> Server {
        // The server's own folder is only for its log.
        Server::run(command, std::sync::Arc::new(tempfile::tempdir().unwrap()))
    }

    fn timestamp(&self) -> Vec<u8> {
        fs::read(self.path("store/metadata/timestamp.json")).unwrap()
    }

    /// The version of the snapshot, and how many days the timestamp holds, for a new node.
    fn seen(&self) -> (u64, i64) {
        let now = Timestamp::now();
        let trust = tempfile::tempdir().unwrap();
        let root = fs::read(self.path("keys/root.json")).unwrap();
        let store = FileStore::open(&self.path("store")).unwrap();
        Client::init(trust.path().to_owned(), &root).unwrap();
        let mut client = Client::open(&store, trust.path().to_owned(), now).unwrap();
        let trusted = client.trusted().unwrap();
        let left = trusted.timestamp().head.expires.duration_since(now);
        (trusted.snapshot().head.version, left.as_hours() / 24)
    }
}

#[test]
fn signs_anew_in_time_and_when_it_is_too_late() {
    // Due since five days ago, and expired since a week ago.
    for days_ago in [10, 21] {
        let scene = Scene::new(days_ago, &Protection::None);
        let before = scene.timestamp();
        let server = scene.serve(scene.online());
        wait_until("it has signed", || server.metric("cutover_online_signed_total") == Some(1));
        assert_ne!(scene.timestamp(), before);
        assert_eq!(scene.seen(), (2, 13));
        assert_eq!(server.metric("cutover_online_failed_total"), Some(0));
        assert!(!server.log().contains("does not belong"), "{}", server.log());
        // Now nothing is due: another server leaves it alone, though all keys lie there.
        drop(server);
        let signed = scene.timestamp();
        fs::copy(scene.path("keys/root.pem"), scene.path("online/root.pem")).unwrap();
        let mut talkative = scene.online();
        talkative.env("CUTOVER_LOG", "debug");
        let server = scene.serve(talkative);
        server.logs("the root key, which does not belong");
        server.logs("snapshot and timestamp are not due before");
        assert_eq!(server.metric("cutover_online_signed_total"), Some(0));
        assert_eq!(scene.timestamp(), signed);
    }
}

#[test]
fn says_when_everything_expires() {
    // Root and all others expire in 20 days; the timestamp has expired long ago.
    let scene = Scene::new(5 * 365 - 20, &Protection::None);
    let server = scene.serve(scene.command());
    let now = Timestamp::now().as_second();
    for role in ["root", "targets", "channel-stable", "branches", "releases", "releases-ff"] {
        let name = format!("cutover_metadata_expires_seconds{{role=\"{role}\"}}");
        let left = server.metric(&name).expect(role) - now;
        assert!((19 * 86_400..=20 * 86_400).contains(&left), "{role}: {left}");
    }
    let timestamp = "cutover_metadata_expires_seconds{role=\"timestamp\"}";
    assert!(server.metric(timestamp).unwrap() < now);
    assert_eq!(server.metric("cutover_online_signed_total"), None);
    let page = server.get("/", &[]).text();
    let answered = "cutover_http_requests_total{method=\"GET\",status=\"200\"}";
    assert_eq!(server.metric(answered), Some(1));
    for words in ["Warning: root expires at", "timestamp has expired", "pack keys renew targets"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_eq!(page.matches("releases-").count(), 1, "one bin stands for all");
    wait_until("it is in the log", || server.log().contains("WARN root expires at"));
    // Who publishes changes what is said; nothing is cached too long.
    let store = FileStore::open(&scene.path("store")).unwrap();
    let (keyring, now) = (scene.keyring("keys"), Timestamp::now());
    let repo = Repo { store: &store, keyring: &keyring, now, patience: PATIENCE, note: &|_| {} };
    refresh(&repo).unwrap();
    assert!(server.metric(timestamp).unwrap() > now.as_second() + 13 * 86_400);
    assert!(!server.get("/", &[]).text().contains("timestamp has expired"));
}

#[test]
fn says_nothing_where_nothing_expires_soon() {
    let scene = Scene::new(1, &Protection::None);
    let server = scene.serve(scene.command());
    assert!(!server.get("/", &[]).text().contains("Warning"));
    let empty = Server::start();
    assert!(!empty.get("/", &[]).text().contains("Warning"));
    assert_eq!(empty.metric("cutover_metadata_version{role=\"root\"}"), None);
}

#[test]
fn keys_that_are_not_right_stop_it_at_once() {
    let secret = NewPassphrase::new(Secret::new(PASSPHRASE.to_owned())).unwrap();
    let scene = Scene::new(10, &Protection::Passphrase(&secret));
    let before = scene.timestamp();
    let fails = |command: &mut Command, words: &[&str]| {
        let Output { status, stderr, .. } = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(2), "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{stderr}");
    };
    fails(&mut scene.online(), &["no passphrase", "CUTOVER_PASSPHRASE is not set"]);
    fails(scene.online().env("CUTOVER_PASSPHRASE", "guess"), &["wrong passphrase", "online"]);
    fails(scene.command().args(["--online-keys", "/no/such"]), &["/no/such", "root.json"]);
    let key = scene.path("online/snapshot.pem");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    fails(&mut scene.online(), &["snapshot.pem can be read by others (mode 640)", "chmod 600"]);
    mode(0o600);
    let away = |file: &str, words: &[&str]| {
        let (here, there) = (scene.path("online").join(file), scene.path("away"));
        fs::rename(&here, &there).unwrap();
        fails(&mut scene.online(), words);
        fs::rename(there, here).unwrap();
    };
    away("timestamp.pem", &["the timestamp key is missing", "timestamp.pem"]);
    away("root.json", &["root.json"]);
    assert_eq!(scene.timestamp(), before, "nothing was signed");
    let mut right = scene.online();
    right.env("CUTOVER_PASSPHRASE", PASSPHRASE);
    let mut server = scene.serve(right);
    wait_until("it has signed", || server.metric("cutover_online_signed_total") == Some(1));
    assert!(!server.whole_log().contains(PASSPHRASE));
}

/// The server signs anew while others publish through it.
#[test]
fn meets_other_publishers() {
    let scene = Scene::new(10, &Protection::None);
    let server = scene.serve(scene.online());
    let publish = |number: usize| {
        let folder = format!("keys-{number}");
        fs::create_dir(scene.path(&folder)).unwrap();
        for role in [KeyRole::Snapshot, KeyRole::Timestamp] {
            let file = format!("{role}.pem");
            fs::copy(scene.path("keys").join(&file), scene.path(&folder).join(&file)).unwrap();
        }
        fs::copy(scene.path("keys/root.json"), scene.path(&folder).join("root.json")).unwrap();
        let token = Some(Secret::new(TOKEN.to_owned()));
        let store = open_write(&server.url().parse().unwrap(), token).unwrap();
        let keyring = scene.keyring(&folder);
        for _ in 0..5 {
            let now = Timestamp::now();
            let (store, keyring) = (store.as_ref(), &keyring);
            refresh(&Repo { store, keyring, now, patience: PATIENCE, note: &|_| {} }).unwrap();
        }
    };
    std::thread::scope(|scope| {
        for number in 0..3 {
            scope.spawn(move || publish(number));
        }
    });
    // Whoever was first: the server has nothing to complain of, and it holds.
    assert_eq!(server.metric("cutover_online_failed_total"), Some(0), "{}", server.log());
    let (snapshot, days) = scene.seen();
    assert!(snapshot >= 16 && days == 13, "{snapshot} {days}");
    assert!(is_quiet(&scene.path("store")));
}

/// Nothing half-done lies about.
fn is_quiet(store: &Path) -> bool {
    crate::common::names(&store.join(".incoming")).is_empty()
}

#[test]
fn tokens_that_others_can_change() {
    let scene = Scene::new(1, &Protection::None);
    let tokens = scene.path("tokens");
    let refused = |mode| {
        fs::set_permissions(&tokens, fs::Permissions::from_mode(mode)).unwrap();
        let Output { status, stderr, .. } = scene.command().output().unwrap();
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        assert_eq!(status.code(), Some(2), "{stderr}");
        let words = "tokens can be written to by others";
        assert!(stderr.contains(words) && stderr.contains("chmod go-w"), "{stderr}");
    };
    refused(0o602);
    refused(0o620);
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    let _server = scene.serve(scene.command());
}
