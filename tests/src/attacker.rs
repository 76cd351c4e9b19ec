//! A web server that attacks: it serves a repository, but for what it was told to answer otherwise.
//!
//! With it goes a [`Forger`], who holds whatever keys a test lets be stolen.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cutover_formats::digest::Digest;
use cutover_formats::keys::{Signer, file::read_plain};
use cutover_formats::tuf::canonical::to_canonical;
use cutover_formats::tuf::json::Json;
use cutover_formats::tuf::metadata::envelope;
use serde_json::{Value, json};

/// What is answered instead of the file.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Only a status.
    Status(u16),
    /// These bytes, then more without end.
    Endless(Vec<u8>),
    /// The head of an answer, then silence.
    Stall,
    /// One byte every so often, without end.
    Drip(Duration),
    /// So many of these bytes, then the end of the connection.
    Broken(Vec<u8>, usize),
    /// So many of these bytes, then silence.
    Silent(Vec<u8>, usize),
}

#[derive(Debug, Default)]
struct Told {
    answers: BTreeMap<String, Answer>,
    asked: Vec<String>,
    ranges: Vec<(String, u64)>,
}

/// The server. It ends with the process; its threads end with their connections.
#[derive(Debug)]
pub struct Attacker {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

impl Attacker {
    /// Serves `folder`.
    ///
    /// # Panics
    /// Where there is no free port.
    #[must_use]
    pub fn serve(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let told = Arc::new(Mutex::new(Told::default()));
        let (folder, shared) = (folder.to_owned(), Arc::clone(&told));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, shared) = (folder.clone(), Arc::clone(&shared));
                // A client that goes away in the middle is what some attacks are for.
                std::thread::spawn(move || drop(respond(&stream, &folder, &shared)));
            }
        });
        Self { address, told }
    }

    /// Its address, as a repository's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on answers `path` so.
    pub fn answer(&self, path: &str, answer: Answer) {
        lock(&self.told).answers.insert(path.to_owned(), answer);
    }

    /// Is an honest server again.
    pub fn relent(&self) {
        lock(&self.told).answers.clear();
    }

    /// From which byte on it was asked for a part of a file, since the last time.
    #[must_use]
    pub fn ranges(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut lock(&self.told).ranges)
    }

    /// What it was asked for since the last time.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.told).asked)
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

fn respond(mut stream: &TcpStream, folder: &Path, told: &Mutex<Told>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        let range = line.strip_prefix("range: bytes=").and_then(|range| range.split_once('-'));
        from = range.and_then(|(from, _)| from.parse().ok()).or(from);
    }
    let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let answer = {
        let mut told = lock(told);
        told.asked.push(path.clone());
        told.ranges.extend(from.map(|from| (path.clone(), from)));
        told.answers.get(&path).cloned()
    };
    let answer = answer.unwrap_or_else(|| match std::fs::read(folder.join(&path)) {
        Ok(bytes) => Answer::Bytes(bytes),
        Err(_) => Answer::Status(404),
    });
    let head = |status: u16, rest: &str| {
        format!("HTTP/1.1 {status} As told\r\nConnection: close\r\n{rest}\r\n")
    };
    let is_silent = matches!(answer, Answer::Silent(..));
    match answer {
        Answer::Bytes(bytes) => {
            let length = format!("Content-Length: {}\r\n", bytes.len());
            stream.write_all(head(200, &length).as_bytes())?;
            stream.write_all(&bytes)
        }
        Answer::Broken(bytes, most) | Answer::Silent(bytes, most) => {
            let length = format!("Content-Length: {}\r\n", bytes.len());
            stream.write_all(head(200, &length).as_bytes())?;
            stream.write_all(&bytes[..most])?;
            if is_silent {
                std::io::copy(&mut stream, &mut std::io::sink())?;
            }
            Ok(())
        }
        Answer::Status(status) => {
            stream.write_all(head(status, "Content-Length: 0\r\n").as_bytes())
        }
        Answer::Endless(bytes) => {
            stream.write_all(head(200, "").as_bytes())?;
            stream.write_all(&bytes)?;
            loop {
                stream.write_all(&[b' '; 4096])?;
            }
        }
        Answer::Stall => {
            stream.write_all(head(200, "Content-Length: 9\r\n").as_bytes())?;
            // Until the client has had enough.
            std::io::copy(&mut stream, &mut std::io::sink()).map(drop)
        }
        Answer::Drip(every) => {
            stream.write_all(head(200, "").as_bytes())?;
            loop {
                stream.write_all(b" ")?;
                std::thread::sleep(every);
            }
        }
    }
}

/// Who can sign whatever they like, with the keys of a folder.
#[derive(Clone, Debug)]
pub struct Forger {
    repository: PathBuf,
    keys: PathBuf,
}

impl Forger {
    /// For a repository in a folder, whose keys lie unencrypted in another.
    #[must_use]
    pub fn new(repository: PathBuf, keys: PathBuf) -> Self {
        Self { repository, keys }
    }

    /// The key of a role, by the name of its file.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn key(&self, role: &str) -> Signer {
        let path = self.keys.join(format!("{role}.pem"));
        let pem = std::fs::read_to_string(&path).expect("the key is there");
        read_plain(&pem).expect("the key is not encrypted")
    }

    /// A key that nobody trusts.
    #[must_use]
    pub fn stranger(&self) -> Signer {
        Signer::from_seed([66; 32])
    }

    /// The signed part of a file of the repository.
    ///
    /// # Panics
    /// Where there is no such file.
    #[must_use]
    pub fn signed(&self, path: &str) -> Value {
        let bytes = std::fs::read(self.repository.join(path)).expect("the file is there");
        let mut file: Value = serde_json::from_slice(&bytes).expect("metadata is JSON");
        file["signed"].take()
    }

    /// The file that these keys make of a signed part.
    ///
    /// # Panics
    /// Where it cannot be signed at all, as numbers with a fraction cannot.
    #[must_use]
    pub fn sign(&self, signed: &Value, signers: &[&Signer]) -> Vec<u8> {
        let bytes = serde_json::to_vec(signed).expect("a value is JSON");
        let signed = Json::parse(&bytes).expect("it can be signed");
        let message = to_canonical(&signed);
        let signatures: Vec<_> = signers.iter().map(|signer| signer.sign(&message)).collect();
        envelope(signed, &signatures)
    }

    /// The number of the newest snapshot.
    ///
    /// # Panics
    /// Where the timestamp is not as we make it.
    #[must_use]
    pub fn version(&self) -> u64 {
        let timestamp = self.signed("metadata/timestamp.json");
        timestamp["meta"]["snapshot.json"]["version"].as_u64().expect("a number")
    }

    /// The version that the newest snapshot names of a role.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    pub fn role_version(&self, role: &str) -> u64 {
        let snapshot = self.signed(&format!("metadata/{}.snapshot.json", self.version()));
        snapshot["meta"][format!("{role}.json")]["version"].as_u64().expect("a number")
    }

    /// What who has stolen the online keys can serve: a snapshot, changed, `ahead` of the newest one,
    /// and the timestamp that names it.
    #[must_use]
    pub fn online(&self, ahead: u64, change: impl FnOnce(&mut Value)) -> Vec<(String, Vec<u8>)> {
        let version = self.version();
        let mut snapshot = self.signed(&format!("metadata/{version}.snapshot.json"));
        snapshot["version"] = json!(version + ahead);
        change(&mut snapshot);
        let snapshot = self.sign(&snapshot, &[&self.key("snapshot")]);
        let mut timestamp = self.signed("metadata/timestamp.json");
        timestamp["version"] = json!(timestamp["version"].as_u64().unwrap_or_default() + ahead);
        timestamp["meta"]["snapshot.json"] = json!({
            "version": version + ahead,
            "length": snapshot.len(),
            "hashes": { "sha256": Digest::of(&snapshot).to_string() },
        });
        let timestamp = self.sign(&timestamp, &[&self.key("timestamp")]);
        vec![
            (format!("metadata/{}.snapshot.json", version + ahead), snapshot),
            ("metadata/timestamp.json".to_owned(), timestamp),
        ]
    }
}
