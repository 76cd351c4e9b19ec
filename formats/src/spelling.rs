//! What people may have meant by a word that means nothing.

use std::collections::BTreeSet;

/// What `{…}` can stand for, somewhere, in the words of `release.toml` and `node.toml`.
const PLACEHOLDERS: [&str; 9] =
    ["from", "gate", "listen", "port", "prefix", "product", "root", "socket", "version"];

/// How alike a word must be to another to be taken for a slip of it where it may as well be meant: a
/// shell and a service have uses of their own for braces, and releases have stages of their own.
const SLIP: f64 = 0.88;

/// Up to three of `candidates` that a person may have meant by `wanted`, nearest first.
#[must_use]
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut near: Vec<(f64, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(wanted, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.6)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(3);
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The one of `candidates` that `wanted` is a slip of, where it is very much like one.
#[must_use]
pub fn slip<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let meant = *nearest(wanted, candidates).first()?;
    (strsim::jaro_winkler(wanted, meant) > SLIP).then_some(meant)
}

/// The first `{word}` in a text that stands for nothing and looks like one that does, with that one:
/// `prefx`, `prefix`. It would reach the command as it is.
fn misspelt_placeholder(text: &str) -> Option<(&str, &'static str)> {
    text.split('{').skip(1).find_map(|rest| {
        let (word, _) = rest.split_once('}')?;
        let letters = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        if !letters || PLACEHOLDERS.contains(&word) {
            return None;
        }
        Some((word, slip(word, PLACEHOLDERS)?))
    })
}

/// What to say about the misspelt placeholders in `texts`, which stand in `place`.
pub fn slips<'a>(
    place: &str,
    texts: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = String> {
    texts.into_iter().filter_map(misspelt_placeholder).map(move |(word, meant)| {
        format!("`{{{word}}}` in {place} stands for nothing; perhaps `{{{meant}}}` is meant")
    })
}

/// What to say about a key (with its sections) that means nothing, by the specifications of those that
/// mean something.
pub(crate) fn perhaps(key: &str, specifications: &[&str]) -> Vec<String> {
    let own = key.rsplit('.').next().unwrap_or(key);
    let known: BTreeSet<&str> = specifications.iter().flat_map(|text| documented(text)).collect();
    match nearest(own, known).first() {
        Some(near) => vec![format!("perhaps `{near}` is meant")],
        None => Vec::new(),
    }
}

/// The keys and sections that stand in the examples of a specification.
fn documented(specification: &str) -> BTreeSet<&str> {
    let is_key = |c: char| c.is_ascii_lowercase() || c == '-';
    let mut found = BTreeSet::new();
    for line in specification.lines() {
        if let Some((names, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            found.extend(names.split(|c| !is_key(c)));
        }
        for (end, _) in line.match_indices(" =") {
            let start = line[..end].rfind(|c| !is_key(c)).map_or(0, |before| before + 1);
            found.extend(line.get(start..end));
        }
    }
    found.remove("");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names() {
        assert_eq!(nearest("stabel", ["next", "stable", "testing"])[0], "stable");
        assert!(nearest("zzz", ["next", "stable"]).is_empty());
    }

    #[test]
    fn slips_in_placeholders() {
        let meant = |text| misspelt_placeholder(text).map(|(_, meant)| meant);
        assert_eq!(misspelt_placeholder("{prefix}/{prefx}/x"), Some(("prefx", "prefix")));
        assert_eq!(meant("{lisen}"), Some("listen"));
        assert_eq!(meant("{verison}"), Some("version"));
        for fine in ["{prefix}", "${HOME}", "awk '{print}'", "{a,b}", "{", "{}", "é{é}", "{name}"]
        {
            assert_eq!(meant(fine), None, "{fine}");
        }
    }

    #[test]
    fn keys_of_a_specification() {
        let text = "prose\n[[check]]\n[vendor.python] # x\na-b = { c = 1, d = 2 }\n# e = 3\n";
        let found: Vec<_> = documented(text).into_iter().collect();
        assert_eq!(found, ["a-b", "c", "check", "d", "e", "python", "vendor"]);
    }
}
