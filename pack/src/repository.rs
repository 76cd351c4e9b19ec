//! The repository and the keys that the command line names, opened.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::Exit;
use cutover_formats::name::Product;
use cutover_formats::secret::Secret;
use cutover_formats::tuf::pending::Pending;
use cutover_publish::keyring::{Keyring, TrustFolder};
use cutover_publish::{PATIENCE, PublishError, Repo, View};
use cutover_repository::location::Location;
use cutover_repository::open_write;
use cutover_repository::patience::Patient;
use cutover_repository::store::{Read, Swap};
use cutover_terminal::{Failure, Output, OutputArgs, quoted};
use jiff::Timestamp;

use crate::passphrase;

/// Which repository, and with whose keys.
#[derive(Debug, clap::Args)]
pub(crate) struct RepoArgs {
    /// The repository: a path, file:///path, or http(s)://.
    #[arg(long, env = "CUTOVER_REPO", hide_env_values = true, value_name = "URL")]
    pub(crate) repo: String,
    /// The folder of signing keys and of the trusted root.json.
    #[arg(long, env = "CUTOVER_KEYS", value_name = "DIR")]
    pub(crate) keys: PathBuf,
}

impl RepoArgs {
    /// The bearer token for publishing over HTTP, from `CUTOVER_TOKEN` and nowhere else: what is
    /// typed on a command line can be read by every process on the machine.
    #[expect(clippy::unused_self, reason = "belongs to how the repository is reached")]
    pub(crate) fn token(&self) -> Option<String> {
        std::env::var("CUTOVER_TOKEN").ok().filter(|token| !token.is_empty())
    }
}

/// What a publishing command works with, for as long as it runs.
pub(crate) struct Opened {
    store: Box<dyn Swap>,
    keyring: Keyring,
    now: Timestamp,
}

impl Opened {
    /// Opens what `args` names.
    pub(crate) fn new(args: &RepoArgs) -> Result<Self, Failure> {
        let keyring = keyring(args.keys.clone())?;
        let store = open_write(&location(&args.repo)?, args.token().map(Secret::new))?;
        let warn = |line: &str| OutputArgs::default().output().warn(line);
        let store = Box::new(Patient::new(store, Box::new(warn)));
        Ok(Self { store, keyring, now: Timestamp::now() })
    }

    /// The keys.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The same, for the functions that publish; what happens is told as `output` tells it.
    pub(crate) fn repo<'a>(&'a self, note: &'a (dyn Fn(&str) + Sync)) -> Repo<'a> {
        let (store, keyring, now) = (self.store.as_ref(), &self.keyring, self.now);
        Repo { store, keyring, now, patience: PATIENCE, note }
    }
}

/// What was published. Where signatures are missing that is a failure, because nothing is done yet;
/// but the change is in a file then, to be carried to those who sign.
pub(crate) fn published<T>(result: Result<T, PublishError>) -> Result<T, Failure> {
    let error = match result {
        Ok(done) => return Ok(done),
        Err(error) => error,
    };
    let message = error.to_string();
    let PublishError::Incomplete { pending, .. } = error else { return Err(error.into()) };
    let file = write_pending(&pending)?;
    let shown = file.display();
    let file = quoted(&file);
    let message = format!("not published yet: {}: {message}", pending.says);
    Err(Failure::new(Exit::NotTrusted, message)
        .hint(format!("the change waits in {shown}"))
        .hint(format!(
            "`pack keys sign {file} --keys DIR` where the missing keys are, in any order"
        ))
        .hint(format!(
            "then `pack repo apply {file}`, with all signed copies, where the snapshot and \
             timestamp keys are"
        )))
}

/// Writes the change beside nothing of the same name: `release-weave-1.1.0.pending.json`.
fn write_pending(pending: &Pending) -> Result<PathBuf, Failure> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    let name: String = pending.says.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    for number in 1.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let path = PathBuf::from(format!("{name}{suffix}.pending.json"));
        let made = fs::OpenOptions::new().write(true).create_new(true).open(&path);
        match made.and_then(|mut file| file.write_all(&pending.to_bytes())) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                let message = format!("cannot write {}: {error}", path.display());
                return Err(Failure::new(Exit::of_io(&error), message)
                    .hint("nothing was published; the current folder takes the pending change"));
            }
        }
    }
    unreachable!("there are enough numbers")
}

/// Tells what happens on stderr.
pub(crate) fn notes(output: &Output) -> impl Fn(&str) + Sync {
    |line| output.note(line)
}

/// The address, read.
pub(crate) fn location(repo: &str) -> Result<Location, Failure> {
    Ok(repo.parse::<Location>()?)
}

/// The keys in `folder`, which must be there.
pub(crate) fn keyring(folder: PathBuf) -> Result<Keyring, Failure> {
    if !folder.is_dir() {
        let message = format!("there is no folder of keys at {}", folder.display());
        return Err(Failure::new(Exit::Usage, message).hint("`pack keys new` makes one"));
    }
    Ok(Keyring::new(folder, passphrase::asker()))
}

/// What is trusted: the root as given, or that of the keys; `None` where neither is named.
pub(crate) fn trusted_folder(
    root: Option<&Path>,
    keys: Option<&Path>,
    store: &dyn Read,
) -> Result<Option<TrustFolder>, Failure> {
    if let Some(path) = root {
        let root = fs::read(path).map_err(|error| {
            Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display()))
        })?;
        return Ok(Some(TrustFolder::temporary(&root)?));
    }
    let Some(keys) = keys else { return Ok(None) };
    Ok(Some(keyring(keys.to_owned())?.trust_folder(&store.describe())?))
}

/// The only product in the repository.
pub(crate) fn only_product(view: &mut View<'_>) -> Result<Product, Failure> {
    let releases = view.client.releases(None).map_err(Failure::from)?;
    let mut products: Vec<_> = releases.into_iter().map(|entry| entry.product).collect();
    products.dedup();
    match products.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::new(Exit::NotFound, "the repository holds no release yet")),
        several => {
            let names: Vec<_> = several.iter().map(Product::as_str).collect();
            let message = "the repository holds several products";
            let hint = format!("say which by --product: {}", names.join(", "));
            Err(Failure::new(Exit::Usage, message).hint(hint))
        }
    }
}
