//! The update client as a command of its own, as the public TUF conformance suite calls it:
//!
//! ```text
//! tuf-client --metadata-dir D init ROOT.json
//! tuf-client --metadata-dir D --metadata-url U refresh
//! tuf-client --metadata-dir D --metadata-url U --target-name T… --target-base-url B --target-dir TD download
//! ```
//!
//! Exits with 0 if all was well and with 1 otherwise.

use std::error::Error;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cutover_repository::client::Client;
use cutover_repository::location::Location;
use cutover_repository::open_read;
use cutover_repository::store::{Read, StoreError};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Metadata and targets, which the suite serves under two addresses.
struct Web {
    metadata: Box<dyn Read>,
    targets: Option<Box<dyn Read>>,
}

impl Web {
    fn place<'p>(&self, path: &'p str) -> Result<(&dyn Read, &'p str), StoreError> {
        let missing = || StoreError::NotFound { what: path.to_owned() };
        match path.split_once('/') {
            Some(("metadata", rest)) => Ok((self.metadata.as_ref(), rest)),
            Some((_, rest)) => Ok((self.targets.as_deref().ok_or_else(missing)?, rest)),
            None => Err(missing()),
        }
    }
}

impl Read for Web {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let (store, path) = self.place(path)?;
        store.get(path, cap)
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        let (store, path) = self.place(path)?;
        store.stream(path, from, cap)
    }

    fn describe(&self) -> String {
        self.metadata.describe()
    }
}

/// The command line: options by name, then the command and what it takes.
#[derive(Default)]
struct Line {
    options: Vec<(String, String)>,
    words: Vec<String>,
}

impl Line {
    fn read() -> Result<Self, Box<dyn Error>> {
        let (mut line, mut args) = (Self::default(), std::env::args().skip(1));
        while let Some(arg) = args.next() {
            match arg.strip_prefix("--") {
                Some(name) => {
                    let value = args.next().ok_or_else(|| format!("--{name} needs a value"))?;
                    line.options.push((name.to_owned(), value));
                }
                None => line.words.push(arg),
            }
        }
        Ok(line)
    }

    fn option(&self, name: &str) -> Result<&str, Box<dyn Error>> {
        Ok(self.all(name).next().ok_or_else(|| format!("--{name} is missing"))?)
    }

    fn all<'l>(&'l self, name: &str) -> impl Iterator<Item = &'l str> {
        let named = self.options.iter().filter(move |(option, _)| option == name);
        named.map(|(_, value)| value.as_str())
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let line = Line::read()?;
    let trust = PathBuf::from(line.option("metadata-dir")?);
    let words: Vec<_> = line.words.iter().map(String::as_str).collect();
    if let ["init", root] = words.as_slice() {
        return Ok(Client::init(trust, &fs::read(root)?)?);
    }
    let open =
        |url: &str| -> Result<_, Box<dyn Error>> { Ok(open_read(&url.parse::<Location>()?)?) };
    let targets = line.option("target-base-url").ok().map(open).transpose()?;
    let web = Web { metadata: open(line.option("metadata-url")?)?, targets };
    let mut client = Client::open(&web, trust, jiff::Timestamp::now())?;
    match words.as_slice() {
        ["refresh"] => Ok(client.refresh()?),
        ["download"] => {
            client.refresh()?;
            let folder = PathBuf::from(line.option("target-dir")?);
            line.all("target-name").try_for_each(|name| download(&mut client, name, &folder))
        }
        other => Err(format!("unknown command {other:?}").into()),
    }
}

fn download(client: &mut Client<'_>, name: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    let file = client.find(name)?.ok_or_else(|| format!("nobody vouches for {name}"))?;
    let place = folder.join(utf8_percent_encode(name, NON_ALPHANUMERIC).to_string());
    // What is there already, and right, need not be fetched.
    let mut present = Vec::new();
    let opened = fs::File::open(&place);
    let read = opened.and_then(|old| old.take(file.length() + 1).read_to_end(&mut present));
    if read.is_ok() && file.check(&present).is_ok() {
        return Ok(());
    }
    let bytes = client.read_target(&file, 64 << 20)?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(&bytes)?;
    new.persist(place)?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
