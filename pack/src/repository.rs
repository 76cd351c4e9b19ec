//! The repository and the keys that the command line names, opened.

use std::path::PathBuf;

use cutover_formats::exit::Exit;
use cutover_formats::name::Product;
use cutover_pack::publish::keyring::Keyring;
use cutover_pack::publish::{PATIENCE, Repo, View};
use cutover_repository::location::Location;
use cutover_repository::open_write;
use cutover_repository::secret::Secret;
use cutover_repository::store::Swap;
use cutover_terminal::{Failure, Output};
use jiff::Timestamp;

use crate::cli::RepoArgs;
use crate::passphrase;

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
        Ok(Self { store, keyring, now: Timestamp::now() })
    }

    /// The same, for the functions that publish; what happens is told as `output` tells it.
    pub(crate) fn repo<'a>(&'a self, note: &'a (dyn Fn(&str) + Sync)) -> Repo<'a> {
        let (store, keyring, now) = (self.store.as_ref(), &self.keyring, self.now);
        Repo { store, keyring, now, patience: PATIENCE, note }
    }
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
