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

/// What to say about a key (with its sections) of `file` that means nothing, by the specifications of
/// those that mean something: only what may stand in the same section.
pub(crate) fn perhaps(key: &str, file: &str, specifications: &[&str]) -> Vec<String> {
    let known: BTreeSet<Vec<&str>> =
        specifications.iter().flat_map(|text| documented(text, file)).collect();
    // Numbers are places in a list.
    let keys = key.split('.').filter(|key| key.parse::<usize>().is_err());
    let keys: Vec<&str> = keys.collect();
    let Some((own, section)) = keys.split_last() else { return Vec::new() };
    let below = |section: &[&str]| {
        let own = |path: &Vec<&str>| path.len() == section.len() + 1 && path.starts_with(section);
        known.iter().any(own)
    };
    // What a section of a name of one's own may have, is shown of another: `[stage.migrate]`.
    let alike = |path: &&Vec<&str>| match section {
        _ if below(section) => path.len() == section.len() + 1 && path.starts_with(section),
        [first, _, ..] => path.len() == 3 && path.first() == Some(first),
        _ => false,
    };
    let candidates = known.iter().filter(alike).filter_map(|path| path.last().copied());
    match nearest(own, candidates).first() {
        Some(near) => vec![format!("perhaps `{near}` is meant")],
        None => Vec::new(),
    }
}

/// The keys, with the sections that they are in, of the TOML examples in a specification. An example that
/// begins with the name of another file is about that.
fn documented<'t>(specification: &'t str, file: &str) -> BTreeSet<Vec<&'t str>> {
    let mut found = BTreeSet::new();
    for block in specification.split("```toml\n").skip(1) {
        let block = block.split("```").next().unwrap_or(block);
        let other = block.lines().next().and_then(|line| line.strip_prefix("# "));
        if other.is_some_and(|name| name.ends_with(".toml") && name != file) {
            continue;
        }
        let mut section: Vec<&str> = Vec::new();
        for line in block.lines() {
            // What is commented out is documented as well.
            let line = line.strip_prefix("# ").unwrap_or(line);
            if let Some((names, _)) = line.strip_prefix('[').and_then(|it| it.split_once(']')) {
                section = names.trim_start_matches('[').split('.').collect();
                found.extend((1..=section.len()).map(|end| section[..end].to_vec()));
            } else if let Some((name, value)) = line.split_once('=') {
                let name = name.trim().trim_matches('"');
                if !name.contains(' ') {
                    let path: Vec<&str> = section.iter().copied().chain([name]).collect();
                    let inner = inline(value).map(|key| [&path[..], &[key]].concat());
                    found.extend(inner);
                    found.insert(path);
                }
            }
        }
    }
    found
}

/// The keys of an inline table.
fn inline(value: &str) -> impl Iterator<Item = &str> {
    let table = value.trim_start().strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let table = table.map_or("", |(table, _)| table);
    let is_key = |c: char| c.is_ascii_lowercase() || c == '-';
    table.match_indices(" =").filter_map(move |(end, _)| {
        let start = table[..end].rfind(|c| !is_key(c)).map_or(0, |before| before + 1);
        table.get(start..end).filter(|key| !key.is_empty())
    })
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

    const SPECIFICATION: &str = "prose [x]\ny = 1\n```toml\ntop = 1\n[vendor.python] # x\n\
        # wheels = 'v'\n\"a/b\" = { from = 'c', required-by = 2 } # d = 3\n```\n\
        ```toml\n# a.toml\n[stage.x]\nafter = 'y'\n```\n```toml\n# b.toml\n[other]\nz = 1\n```\n";

    #[test]
    fn keys_of_a_specification() {
        let found = documented(SPECIFICATION, "a.toml");
        let found: Vec<_> = found.iter().map(|path| path.join(" ")).collect();
        let expected = [
            "stage",
            "stage x",
            "stage x after",
            "top",
            "vendor",
            "vendor python",
            "vendor python a/b",
            "vendor python a/b from",
            "vendor python a/b required-by",
            "vendor python wheels",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_may_stand_there_is_suggested() {
        let hint = |key| perhaps(key, "a.toml", &[SPECIFICATION]);
        assert_eq!(hint("topp"), ["perhaps `top` is meant"]);
        assert_eq!(hint("vendor.pyton"), ["perhaps `python` is meant"]);
        assert_eq!(hint("vendor.python.wheel"), ["perhaps `wheels` is meant"]);
        assert_eq!(hint("stage.mine.aftr"), ["perhaps `after` is meant"]);
        for elsewhere in ["wheels", "vendor.after", "vendor.python.top", "stage.mine.frm", "z"] {
            assert!(hint(elsewhere).is_empty(), "{elsewhere}: {:?}", hint(elsewhere));
        }
    }
}
