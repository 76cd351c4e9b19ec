//! Where a repository is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use cutover_formats::exit::{Exit, Explain};
use reqwest::Url;

use crate::file::FileStore;
use crate::http::{HttpPublisher, HttpStore, shown};
use crate::store::{Read, StoreError, Swap};
use cutover_formats::secret::Secret;

/// The address of a repository. Shown without credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A folder: `file:///path` or a plain path.
    Folder(PathBuf),
    /// An HTTP server: `http://host/base` or `https://host/base`; always ends in `/`.
    Http(Url),
}

/// An address that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{location}` is not a repository address: {why}")]
pub struct InvalidLocation {
    location: String,
    why: String,
}

impl Explain for InvalidLocation {
    fn exit(&self) -> Exit {
        Exit::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["give a folder, file:///path, http://host/base or https://host/base".to_owned()]
    }
}

/// Opens the repository at `location` for reading.
pub fn open_read(location: &Location) -> Result<Box<dyn Read>, StoreError> {
    Ok(match location {
        Location::Folder(path) => Box::new(FileStore::open(path)?),
        Location::Http(url) => Box::new(HttpStore::open(url)?),
    })
}

/// Opens the repository at `location` for publishing; `token` is what an HTTP server asks for.
pub fn open_write(location: &Location, token: Option<Secret>) -> Result<Box<dyn Swap>, StoreError> {
    Ok(match location {
        Location::Folder(path) => {
            let store = FileStore::open(path)?;
            // A folder that cannot be swept can perhaps not be written; writing will say so.
            let _ = store.sweep();
            Box::new(store)
        }
        Location::Http(url) => Box::new(HttpPublisher::open(url, token)?),
    })
}

/// Like [`open_write`], for a repository that is about to be made: a folder may be missing, and
/// is created.
pub fn open_new(location: &Location, token: Option<Secret>) -> Result<Box<dyn Swap>, StoreError> {
    if let Location::Folder(path) = location {
        FileStore::make(path)?;
    }
    open_write(location, token)
}

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Self, InvalidLocation> {
        let Some((scheme, _)) = text.split_once("://") else {
            return match text {
                "" => Err(invalid(text, "it is empty")),
                path => Ok(Self::Folder(path.into())),
            };
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => folder(text),
            "http" | "https" => server(text),
            "s3" => Err(invalid(text, "s3:// is not supported yet")),
            other => Err(invalid(text, &format!("{other}:// is not supported"))),
        }
    }
}

fn folder(text: &str) -> Result<Location, InvalidLocation> {
    let url = parse(text)?;
    let path = url.to_file_path();
    path.map(Location::Folder)
        .map_err(|()| invalid(text, "file:// names an absolute path on this machine: file:///path"))
}

fn server(text: &str) -> Result<Location, InvalidLocation> {
    let mut url = parse(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(text, "it has a `?` or `#` part"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(Location::Http(url))
}

fn parse(text: &str) -> Result<Url, InvalidLocation> {
    Url::parse(text).map_err(|error| invalid(text, &error.to_string()))
}

/// What stands between `://` and the last `@` before the path may be a password: it is cut out.
fn invalid(text: &str, why: &str) -> InvalidLocation {
    let location = match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let host = rest[..authority].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", rest[host..].split(['?', '#']).next().unwrap_or_default())
        }
        None => text.to_owned(),
    };
    InvalidLocation { location, why: why.to_owned() }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Http(url) => f.write_str(shown(url).trim_end_matches('/')),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Location({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Location>().unwrap_err().to_string()
    }

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("/srv/repo", "/srv/repo"),
            ("repo", "repo"),
            ("file:///srv/my%20repo", "/srv/my repo"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("HTTPS://example.org/weave/", "https://example.org/weave"),
        ] {
            assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
        }
        assert!(refused("s3://bucket/x").contains("not supported yet"));
        assert!(refused("gopher://x").contains("gopher:// is not supported"));
        assert!(refused("file://host/path").contains("file:///path"));
        assert!(refused("").contains("empty"));
        assert!(refused("http://").contains("not a repository address"));
        assert!(refused("https://example.org/?x=1").contains("`?`"));
    }

    #[test]
    fn credentials_are_never_shown() {
        let location: Location = "https://user:hunter2@example.org/x".parse().unwrap();
        assert_eq!(location.to_string(), "https://example.org/x");
        assert!(!format!("{location:?}").contains("hunter2"));
        for bad in
            ["https://user:hunter2@:x/", "s3://user:hunter2@b", "http://a@hunter2@x/?k=hunter2"]
        {
            assert!(!refused(bad).contains("hunter2"), "{}", refused(bad));
        }
    }
}
