//! `access-log`: where requests are written down.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::size::Size;

/// Files of one line for each request, which take each other's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "{ file = \"…\" }, perhaps with `size`, `files` and `queue`"
)]
pub struct AccessLog {
    /// The file that is written, absolute or relative to the node's root.
    pub file: PathBuf,
    /// How large one may become.
    #[serde(default = "default_size")]
    pub size: Size,
    /// How many are kept, the one that is written among them.
    #[serde(default = "default_files")]
    pub files: NonZeroU32,
    /// How much may wait to be written; further lines are lost.
    #[serde(default = "default_queue")]
    pub queue: Size,
}

fn default_queue() -> Size {
    Size::mebibytes(8)
}

fn default_size() -> Size {
    Size::mebibytes(64)
}

fn default_files() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(4)
}
