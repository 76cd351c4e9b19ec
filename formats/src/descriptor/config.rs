//! Files that belong to the node and are seen from inside the prefix.

use serde::{Deserialize, Serialize};

/// A file that belongs to the node, seen from inside the prefix as a symlink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Where it lies on the node: absolute, or relative to `<root>/shared`.
    pub from: String,
    /// Whether an install is refused where the node has no such file.
    #[serde(default)]
    pub required: bool,
}
