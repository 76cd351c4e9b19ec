//! The operator's word that the site is closed, kept in a file so that it outlives the gate.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::disk::{self, DiskError, record};
use crate::root::Root;

/// The operator's word that the site is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What people are told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the operator said last, if it still holds at `now`.
///
/// A record that cannot be read says that the site is closed, without an end: somebody had a reason
/// to close it. `tell` gets the words about such a record.
pub fn load(root: &Root, now: Timestamp, tell: impl FnOnce(&str)) -> Option<Maintenance> {
    let said =
        record::load(&root.maintenance()).unwrap_or_else(|DiskError { path, source, .. }| {
            let path = path.display();
            tell(&format!(
                "{path} cannot be read ({source}), so maintenance counts as on; \
             `install maintenance on` or `off` writes it anew"
            ));
            Some(Maintenance::default())
        });
    said.filter(|maintenance| holds(maintenance, now))
}

/// Closes the site. A gate that runs must be told as well: its session does both.
pub fn save(root: &Root, maintenance: &Maintenance) -> Result<(), DiskError> {
    record::save(&root.maintenance(), maintenance)
}

/// Opens the site, also where the power goes off in the next moment.
pub fn clear(root: &Root) -> Result<(), DiskError> {
    disk::remove_file(&root.maintenance())?;
    disk::sync_folder(&root.state())
}

/// Whether it has not ended by itself.
#[must_use]
pub fn holds(maintenance: &Maintenance, now: Timestamp) -> bool {
    maintenance.until.is_none_or(|until| now < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_outlives_the_gate_and_ends_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        std::fs::create_dir(root.state()).unwrap();
        let end = Timestamp::from_second(1000).unwrap();
        let maintenance = Maintenance { until: Some(end), message: Some("moving".to_owned()) };
        save(&root, &maintenance).unwrap();
        let silent = |words: &str| panic!("{words}");
        let before_the_end = Timestamp::from_second(999).unwrap();
        assert_eq!(load(&root, before_the_end, silent), Some(maintenance));
        assert_eq!(load(&root, end, silent), None);
        clear(&root).unwrap();
        clear(&root).unwrap();
        assert_eq!(load(&root, Timestamp::UNIX_EPOCH, silent), None);
    }

    #[test]
    fn what_cannot_be_read_counts_as_on_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_path_buf());
        std::fs::create_dir(root.state()).unwrap();
        std::fs::write(root.maintenance(), "{\"until\": ").unwrap();
        let mut told = String::new();
        let maintenance = load(&root, Timestamp::UNIX_EPOCH, |words| told.push_str(words));
        assert_eq!(maintenance, Some(Maintenance::default()));
        assert!(told.starts_with(&root.maintenance().display().to_string()), "{told}");
        assert!(told.contains("`install maintenance on` or `off`"), "{told}");
    }
}
