//! The operator's word that the site is closed, kept in a file so that it outlives the gate.

use std::io;

use jiff::Timestamp;

use super::protocol::Maintenance;
use super::record;
use crate::root::Root;

/// What the operator said last, if it still holds at `now`.
pub fn load(root: &Root, now: Timestamp) -> io::Result<Option<Maintenance>> {
    let maintenance: Option<Maintenance> = record::load(&root.maintenance())?;
    Ok(maintenance.filter(|maintenance| holds(maintenance, now)))
}

/// Closes the site. A gate that runs must be told as well: [`super::Session::maintenance_on`] does both.
pub fn save(root: &Root, maintenance: &Maintenance) -> io::Result<()> {
    record::save(&root.maintenance(), maintenance)
}

/// Opens the site.
pub fn clear(root: &Root) -> io::Result<()> {
    record::clear(&root.maintenance())
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
        assert_eq!(load(&root, Timestamp::from_second(999).unwrap()).unwrap(), Some(maintenance));
        assert_eq!(load(&root, end).unwrap(), None);
        clear(&root).unwrap();
        clear(&root).unwrap();
        assert_eq!(load(&root, Timestamp::UNIX_EPOCH).unwrap(), None);
    }
}
