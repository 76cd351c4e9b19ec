//! Names of roles and of their files.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::json::{Json, Object};

/// The four roles that root itself appoints.
pub const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// Everything but what RFC 3986 calls unreserved, as Python's `quote(name, "")` does it: a role's
/// name can then never leave the folder its file is in.
const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The field in which root and delegations say what their keys are called: names by key id. For
/// listings only.
pub const KEY_NAMES: &str = "x-cutover-names";

/// What a key is called, by the `unknown` fields of root or of delegations.
#[must_use]
pub fn of_key<'a>(unknown: &'a Object, id: &str) -> Option<&'a str> {
    let Some(Json::Object(names)) = unknown.get(KEY_NAMES) else { return None };
    match names.get(id) {
        Some(Json::String(name)) => Some(name),
        _ => None,
    }
}

/// The file of a role in a trust store.
#[must_use]
pub fn file(role: &str) -> String {
    format!("{}.json", utf8_percent_encode(role, QUOTED))
}

/// The file of a version of a role in a repository with consistent snapshots.
#[must_use]
pub fn versioned(role: &str, version: u64) -> String {
    format!("{version}.{}", file(role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(file("root"), "root.json");
        assert_eq!(file("../a b/ü"), "..%2Fa%20b%2F%C3%BC.json");
        assert_eq!(file("releases-0f"), "releases-0f.json");
        assert_eq!(file("~x_y.z"), "~x_y.z.json");
        assert_eq!(versioned("releases", 7), "7.releases.json");
    }
}
