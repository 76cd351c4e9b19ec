//! Where the node takes releases from: its repository, then the mirrors of it.

use cutover_formats::node_toml::NodeToml;
use cutover_repository::location::Location;
use cutover_repository::mirrors::Mirrors;
use cutover_repository::open_read;
use cutover_repository::store::Read;
use cutover_terminal::{Failure, Output};

/// The places, opened.
pub struct Places(Vec<Box<dyn Read>>);

impl Places {
    /// What `node.toml` names.
    pub fn of(settings: &NodeToml, output: &Output) -> Result<Self, Failure> {
        Self::open(&locations(&settings.repository, &settings.mirrors)?, output)
    }

    /// One that cannot be opened is passed over, as long as there is another.
    pub fn open(locations: &[Location], output: &Output) -> Result<Self, Failure> {
        let (mut stores, mut first) = (Vec::new(), None);
        for location in locations {
            match open_read(location) {
                Ok(store) => stores.push(store),
                Err(error) => {
                    if locations.len() > 1 {
                        output.warn(format!("passing over {location}: {error}"));
                    }
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) if stores.is_empty() => Err(error.into()),
            _ => Ok(Self(stores)),
        }
    }

    /// The same, to be asked one after the other.
    pub fn mirrors<'a>(&'a self, tell: &'a (dyn Fn(&str) + Sync)) -> Mirrors<'a> {
        Mirrors::new(self.0.iter().map(AsRef::as_ref).collect(), tell)
    }
}

/// A repository and its mirrors, as somebody wrote them.
pub fn locations(repository: &str, mirrors: &[String]) -> Result<Vec<Location>, Failure> {
    let named = std::iter::once(repository).chain(mirrors.iter().map(String::as_str));
    Ok(named.map(str::parse).collect::<Result<Vec<Location>, _>>()?)
}
