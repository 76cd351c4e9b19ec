//! What the tests need: a server of their own, and a client that says exactly what it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_formats::digest::Digest;
use cutover_formats::secret::Secret;
use cutover_publish::keyring::{Keyring, Protection};
use cutover_publish::{PATIENCE, Repo, init, refresh};
use cutover_repository::file::FileStore;
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The binary under test.
pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_repo-server");
/// A token that every test's server knows.
pub(crate) const TOKEN: &str = "open-sesame";

/// A server on a free port, ended when dropped.
pub(crate) struct Server {
    child: Child,
    /// `127.0.0.1:<port>`.
    pub(crate) address: String,
    /// The same for its metrics.
    metrics: String,
    folder: Arc<TempDir>,
}

impl Server {
    /// An empty repository that takes uploads.
    pub(crate) fn start() -> Self {
        Self::start_by(|command| command)
    }

    /// The same, started by another command than the plain one.
    pub(crate) fn start_by(adapt: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        std::fs::write(folder.path().join("tokens"), format!("# who\nci {TOKEN}\n")).unwrap();
        let (store, tokens) = (folder.path().join("store"), folder.path().join("tokens"));
        let mut command = Command::new(SERVER);
        command.arg("--store").arg(store).arg("--tokens").arg(tokens);
        adapt(command.args(["--listen", "127.0.0.1:0"]));
        Self::run(command, Arc::new(folder))
    }

    /// An empty repository with no options but these.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let mut command = Command::new(SERVER);
        command.arg("--store").arg(folder.path().join("store"));
        command.args(["--listen", "127.0.0.1:0"]).args(options);
        Self::run(command, Arc::new(folder))
    }

    /// Another server for the same repository.
    pub(crate) fn restarted(&self) -> Self {
        self.restarted_with(&[])
    }

    /// The same with other options.
    pub(crate) fn restarted_with(&self, options: &[&str]) -> Self {
        let mut command = Command::new(SERVER);
        command.arg("--store").arg(self.store()).args(["--listen", "127.0.0.1:0"]);
        command.arg("--tokens").arg(self.folder.path().join("tokens")).args(options);
        Self::run(command, self.folder.clone())
    }

    /// Starts it; its log lies in `folder`.
    pub(crate) fn run(mut command: Command, folder: Arc<TempDir>) -> Self {
        command.args(["--metrics", "127.0.0.1:0"]);
        let stderr = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let mut next = |before: &str, after: &str| {
            let line = lines.next().unwrap().unwrap();
            let address = line.strip_prefix(before).and_then(|line| line.strip_suffix(after));
            address.unwrap_or_else(|| panic!("{line}")).to_owned()
        };
        let address = next("listening on http://", "");
        let metrics = next("metrics on http://", "/metrics");
        Self { child, address, metrics, folder }
    }

    /// The repository's folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// What the server said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Waits until the log says this; lines are written by a thread of their own.
    pub(crate) fn logs(&self, words: &str) {
        wait_until(&format!("the log says {words:?}"), || self.log().contains(words));
    }

    /// Everything that was logged, of a server that has been told to end and has ended.
    pub(crate) fn whole_log(&mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        self.log()
    }

    /// The repository's URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Puts a file into the store, past the server.
    pub(crate) fn place(&self, path: &str, contents: &[u8]) {
        let path = self.store().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, contents).unwrap();
    }

    /// Sends a request and reads the whole answer.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        Answer::read(&mut self.send(method, path, headers, body))
    }

    /// Sends a request, whose answer is still to be read.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[&str],
        body: &[u8],
    ) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        if !body.is_empty() || method == "PUT" {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // A server that refuses may stop listening to the rest.
        let _ = stream.write_all(body);
        stream
    }

    /// The page with the server's numbers.
    pub(crate) fn metrics(&self) -> Answer {
        let mut stream = TcpStream::connect(&self.metrics).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        Answer::read(&mut stream)
    }

    /// One of them.
    pub(crate) fn metric(&self, name: &str) -> Option<i64> {
        let page = self.metrics();
        assert_eq!(page.status, 200);
        assert!(page.header("content-type").starts_with("text/plain; version=0.0.4"));
        let page = page.text();
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// A GET.
    pub(crate) fn get(&self, path: &str, headers: &[&str]) -> Answer {
        self.ask("GET", path, headers, b"")
    }

    /// A PUT with the right token.
    pub(crate) fn put(&self, path: &str, condition: &str, body: &[u8]) -> Answer {
        self.ask("PUT", path, &[&format!("Authorization: Bearer {TOKEN}"), condition], body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A repository that was really made, and the timestamps that it has had.
pub(crate) struct Made {
    folder: TempDir,
    /// Each names the snapshot of its own number, from 1.
    pub(crate) timestamps: Vec<Vec<u8>>,
}

impl Made {
    /// One that was signed anew so often since it was made, `days_ago`.
    pub(crate) fn new(refreshes: usize, days_ago: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("store")).unwrap();
        let mut made = Self { folder, timestamps: Vec::new() };
        let (store, keyring) = (made.open(), made.keyring());
        keyring.create(&Protection::None).unwrap();
        let now = Timestamp::now() - SignedDuration::from_hours(24 * days_ago);
        init(&store, &keyring, now).unwrap();
        made.timestamps.push(made.file("metadata/timestamp.json"));
        for _ in 0..refreshes {
            made.refresh();
        }
        made
    }

    /// Signs snapshot and timestamp anew.
    pub(crate) fn refresh(&mut self) {
        let (store, keyring, now) = (self.open(), self.keyring(), Timestamp::now());
        let repo =
            Repo { store: &store, keyring: &keyring, now, patience: PATIENCE, note: &|_| {} };
        refresh(&repo).unwrap();
        self.timestamps.push(self.file("metadata/timestamp.json"));
    }

    /// Its folder.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A file of it.
    pub(crate) fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.store().join(path)).unwrap()
    }

    pub(crate) fn open(&self) -> FileStore {
        FileStore::open(&self.store()).unwrap()
    }

    pub(crate) fn keyring(&self) -> Keyring {
        let keys = self.folder.path().join("keys");
        Keyring::new(keys, Box::new(|| Ok(Secret::new("open".to_owned()))))
    }

    /// Puts all of it but its timestamp into a server's store, past the server.
    pub(crate) fn give(&self, server: &Server) {
        for entry in std::fs::read_dir(self.store().join("metadata")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name != "timestamp.json" {
                let path = format!("metadata/{name}");
                server.place(&path, &self.file(&path));
            }
        }
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    /// E.g. 200.
    pub(crate) status: u16,
    head: String,
    /// What follows the headers.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads until the server closes the connection.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    /// The value of a header, or an empty text.
    pub(crate) fn header(&self, name: &str) -> &str {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        found.next().map_or("", |(_, value)| value)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `targets/<folder>/<sha256 of contents>.<file>`.
pub(crate) fn target(folder: &str, file: &str, contents: &[u8]) -> String {
    format!("targets/{folder}/{}.{file}", Digest::of(contents))
}

/// Waits until something holds, for a minute at the most.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The names in a folder, without what always is in `.incoming`.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kept = ["lock", "uncommitted"];
    let mut names: Vec<_> = names.filter(|name| !kept.contains(&&**name)).collect();
    names.sort();
    names
}
