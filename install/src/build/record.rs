//! `RECORD`, which every package has in its `.dist-info`: its files with their digests, as whoever made
//! the package wrote them down. Installers take it along into the environment.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cutover_formats::digest::Digest;
use cutover_formats::path::RelPath;

use crate::audit::{Finding, Inventory, Problem};
use crate::disk::{DiskError, Folder};

/// More bytes than any `RECORD` has.
const LARGEST: u64 = 64 << 20;

/// What a package says of one of its files.
struct Line {
    /// Below the prefix.
    path: String,
    sha256: Digest,
}

/// The text of the `RECORD` at `path`; `None` where it is no text, which `install verify` tells of.
pub(crate) fn text(prefix: &Folder, path: &RelPath) -> Result<Option<String>, DiskError> {
    let mut text = String::new();
    let mut file = prefix.open_file(path)?.take(LARGEST);
    Ok(file.read_to_string(&mut text).is_ok().then_some(text))
}

/// The folder that the paths in the `RECORD` at `path` are relative to, and the name of its
/// `.dist-info`.
pub(crate) fn place(path: &RelPath) -> Option<(&str, &str)> {
    path.parent()?.rsplit_once('/')
}

/// Which file a line of a `RECORD` means, as a path below the prefix; relative to its `site`.
pub(crate) fn resolve(site: &str, line: &str) -> Option<String> {
    join(site, split(line)?.0)
}

/// What is gone from an environment that was just built, or is something else than the packages in it
/// say. Where several bring the same file, it is the one of any of them.
pub(crate) fn differing(built: &Inventory, prefix: &Path) -> Result<Vec<Finding>, DiskError> {
    let folder = Folder::open(prefix)?;
    let mut said: BTreeMap<String, BTreeSet<Digest>> = BTreeMap::new();
    for record in built.paths().filter(|path| path.file_name() == "RECORD") {
        let Some((site, info)) = place(record) else { continue };
        // Packages carry others within them, with records that nobody has kept true.
        if !info.ends_with(".dist-info") || !site.ends_with("/site-packages") {
            continue;
        }
        let Some(text) = text(&folder, record)? else { continue };
        for Line { path, sha256 } in text.lines().filter_map(|text| line(site, text)) {
            said.entry(path).or_default().insert(sha256);
        }
    }
    let there = built.digests();
    let problem = |path: &str, said: &BTreeSet<Digest>| match there.get(path) {
        Some(found) if said.contains(found) => None,
        Some(found) => {
            let expected = *said.first()?;
            Some(Problem::Changed { expected, found: *found })
        }
        None => Some(Problem::Missing),
    };
    let findings = said.iter().filter_map(|(path, said)| {
        Some(Finding { path: path.into(), problem: problem(path, said)? })
    });
    Ok(findings.collect())
}

/// A line with a digest; those of files that are made while installing have none.
fn line(site: &str, text: &str) -> Option<Line> {
    let (name, rest) = split(text)?;
    let digest = rest.split(',').next()?.strip_prefix("sha256=")?;
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(digest).ok()?.try_into().ok()?;
    Some(Line { path: join(site, name)?, sha256: bytes.into() })
}

/// The name in a line, and what comes after the comma.
fn split(line: &str) -> Option<(&str, &str)> {
    match line.strip_prefix('"') {
        // A quote in a quoted field is doubled; no path that we look for has one.
        Some(quoted) => {
            let (name, rest) = quoted.split_once('"')?;
            Some((name, rest.strip_prefix(',')?))
        }
        None => line.split_once(','),
    }
}

fn join(site: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = site.split('/').collect();
    for part in name.split('/') {
        match part {
            "" => return None,
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_record() {
        let site = "env/lib/python3.11/site-packages";
        let resolved = |line| resolve(site, line);
        let below = |path: &str| Some(format!("{site}/{path}"));
        assert_eq!(resolved("kinto/app.py,sha256=abc,12"), below("kinto/app.py"));
        assert_eq!(resolved("\"odd,name.py\",,"), below("odd,name.py"));
        assert_eq!(resolved("../../../bin/kinto,sha256=x,1").as_deref(), Some("env/bin/kinto"));
        assert_eq!(resolved("/usr/bin/x,,"), None);
        assert_eq!(resolved("../../../../../x,,"), None);
    }

    #[test]
    fn digests_of_a_record() {
        // Of nothing at all.
        let empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let found = line("env/s", &format!("a.py,sha256={empty},0")).unwrap();
        assert_eq!((found.path.as_str(), found.sha256), ("env/s/a.py", Digest::of(b"")));
        for none in ["a.py,,", "a.py,sha256=,0", "a.py,sha384=x,0", "a.py"] {
            assert!(line("env/s", none).is_none(), "{none}");
        }
    }
}
