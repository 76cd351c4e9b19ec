//! Files that are the node's own, seen from inside the prefix: linked, or rendered for it.

use serde::{Deserialize, Serialize};

use crate::path::RelPath;

/// A file that is seen inside the prefix as a symlink to somewhere outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub enum ConfigFile {
    /// One that the node's operator keeps.
    Linked {
        /// Where it lies on the node: absolute, or relative to `<root>/shared`.
        from: String,
        /// Whether an install is refused where the node has no such file.
        required: bool,
    },
    /// One that the node renders.
    Rendered {
        /// The template, a file of the release.
        template: RelPath,
    },
}

#[derive(Serialize, Deserialize)]
struct Raw {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    required: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template: Option<RelPath>,
}

/// Neither a link nor a template, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a [config] file has either `from` (and perhaps `required`) or `template`")]
pub struct InvalidConfigFile;

impl TryFrom<Raw> for ConfigFile {
    type Error = InvalidConfigFile;

    fn try_from(raw: Raw) -> Result<Self, InvalidConfigFile> {
        match (raw.from, raw.required, raw.template) {
            (Some(from), required, None) => {
                Ok(Self::Linked { from, required: required.unwrap_or_default() })
            }
            (None, None, Some(template)) => Ok(Self::Rendered { template }),
            _ => Err(InvalidConfigFile),
        }
    }
}

impl From<ConfigFile> for Raw {
    fn from(file: ConfigFile) -> Self {
        match file {
            ConfigFile::Linked { from, required } => {
                Self { from: Some(from), required: Some(required), template: None }
            }
            ConfigFile::Rendered { template } => {
                Self { from: None, required: None, template: Some(template) }
            }
        }
    }
}

impl ConfigFile {
    /// The template, where it is rendered.
    #[must_use]
    pub fn template(&self) -> Option<&RelPath> {
        match self {
            Self::Linked { .. } => None,
            Self::Rendered { template } => Some(template),
        }
    }

    /// The file of the node's that an install is refused without.
    #[must_use]
    pub fn required(&self) -> Option<&str> {
        match self {
            Self::Linked { from, required: true } => Some(from),
            Self::Linked { .. } | Self::Rendered { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_the_other() {
        for json in [r#"{"from":"a","required":true}"#, r#"{"template":"a.j2"}"#] {
            let file: ConfigFile = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&file).unwrap(), json);
        }
        let linked: ConfigFile = serde_json::from_str(r#"{"from":"a"}"#).unwrap();
        assert_eq!((linked.required(), linked.template()), (None, None));
        for json in [
            "{}",
            r#"{"required":true}"#,
            r#"{"from":"a","template":"b"}"#,
            r#"{"template":"b","required":true}"#,
        ] {
            let error = serde_json::from_str::<ConfigFile>(json).unwrap_err();
            assert!(error.to_string().contains("either `from`"), "{error}");
        }
    }
}
