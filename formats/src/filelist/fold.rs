//! When two names are one name on some file system.
//!
//! File systems that ignore case (APFS, NTFS, ext4 and f2fs with casefold) also ignore how
//! characters are composed, and some ignore characters that nobody sees. A release whose paths
//! differ only by case or composition can stand on some nodes and not on others; one whose paths differ
//! by what nobody sees is refused everywhere. Folding through upper case first makes one of `ß` and `ss`, `ſ` and `s`, `ς` and `σ`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use unicode_normalization::UnicodeNormalization as _;

/// Paths that were seen, by what they are where names are folded.
#[derive(Default)]
pub(super) struct Folded<'a>(HashMap<Cow<'a, str>, &'a str>);

/// How a path relates to those that were seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation<'a> {
    /// To none.
    Apart,
    /// It is this one where names are folded.
    Folds(&'a str),
    /// It differs from this one by what nobody sees.
    Unseen(&'a str),
}

impl<'a> Folded<'a> {
    /// Adds a path that was not seen before.
    pub(super) fn add(&mut self, path: &'a str) -> Relation<'a> {
        match self.0.entry(fold(path, Ignorable::Dropped)) {
            Entry::Vacant(place) => {
                place.insert(path);
                Relation::Apart
            }
            Entry::Occupied(place) => {
                let first = *place.get();
                if fold(first, Ignorable::Kept) == fold(path, Ignorable::Kept) {
                    Relation::Folds(first)
                } else {
                    Relation::Unseen(first)
                }
            }
        }
    }
}

/// Characters that nobody sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ignorable {
    Dropped,
    Kept,
}

/// Equal for paths that some file system takes for the same.
fn fold(path: &str, ignorable: Ignorable) -> Cow<'_, str> {
    if path.is_ascii() {
        return if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(path.to_ascii_lowercase())
        } else {
            Cow::Borrowed(path)
        };
    }
    let kept = |char: &char| ignorable == Ignorable::Kept || !is_ignorable(*char);
    let visible = path.chars().filter(kept);
    let folded: String =
        visible.nfd().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    // Lower case may itself hold composed characters, and a final sigma has two lower-case forms.
    Cow::Owned(folded.nfd().map(|char| if char == 'ς' { 'σ' } else { char }).collect())
}

/// `Default_Ignorable_Code_Point` of Unicode.
fn is_ignorable(char: char) -> bool {
    matches!(
        char,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name() {
        let pairs = [
            ("README", "readme"),
            ("stra\u{df}e", "STRASSE"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}", "cafe\u{301}"),
            ("\u{3a3}", "\u{3c2}"),
            ("\u{212a}", "k"),
            ("\u{17f}", "S"),
            ("a\u{200b}b", "ab"),
            ("\u{fb01}", "FI"),
        ];
        for (left, right) in pairs {
            let dropped = |path| fold(path, Ignorable::Dropped);
            assert_eq!(dropped(left), dropped(right), "{left} {right}");
        }
        for (left, right) in [("a", "b"), ("é", "e"), ("ı", "j"), ("a-b", "a_b")] {
            let dropped = |path| fold(path, Ignorable::Dropped);
            assert_ne!(dropped(left), dropped(right), "{left} {right}");
        }
    }

    #[test]
    fn relations() {
        let mut folded = Folded::default();
        assert_eq!(folded.add("README"), Relation::Apart);
        assert_eq!(folded.add("readme"), Relation::Folds("README"));
        assert_eq!(folded.add("read\u{200b}me"), Relation::Unseen("README"));
        assert_eq!(folded.add("a\u{200d}b"), Relation::Apart);
        assert_eq!(folded.add("A\u{200d}B"), Relation::Folds("a\u{200d}b"));
    }
}
