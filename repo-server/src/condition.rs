//! The condition of a publish: what must be at the path for the file to be taken.

use cutover_formats::digest::Digest;

use crate::name::Name;

/// What must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Absent,
    /// The file with this digest.
    Is(Digest),
}

/// Headers that make no condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unconditional {
    /// There is none.
    Missing(&'static str),
    /// They say something else.
    Malformed(&'static str),
}

impl Condition {
    /// What `If-None-Match` and `If-Match` say of a file that is called so.
    pub fn of(
        none_match: Option<&str>,
        if_match: Option<&str>,
        name: Name<'_>,
    ) -> Result<Self, Unconditional> {
        match (none_match, if_match) {
            (Some("*"), None) => Ok(Self::Absent),
            (None, Some(tag)) if name == Name::Timestamp => {
                let digest = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                let why = "If-Match takes the quoted sha256 of the file that is to be replaced";
                let digest = digest.and_then(|digest| digest.parse().ok());
                digest.map(Self::Is).ok_or(Unconditional::Malformed(why))
            }
            (None, Some(_)) => Err(Unconditional::Malformed(
                "only timestamp.json is ever replaced; use If-None-Match: *",
            )),
            (None, None) => Err(Unconditional::Missing(
                "say If-None-Match: *, or for timestamp.json If-Match: \"<sha256>\"",
            )),
            (Some(_), _) => Err(Unconditional::Malformed("If-None-Match takes only *, and alone")),
        }
    }
}
