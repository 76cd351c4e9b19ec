//! A fleet of one: this node's own records.

use std::time::Duration;

use jiff::Timestamp;

use super::{Key, Once, OnceError, Record, Turn, Worked};
use crate::disk;
use crate::root::Root;

/// This node, alone. Whoever works here holds its lock.
pub(super) struct Here {
    pub(super) root: Root,
    pub(super) name: String,
}

impl Once for Here {
    fn perform(
        &self,
        key: &Key,
        _: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        let path = self.root.once(&key.version, &key.stage);
        if let Some(record) = disk::read_json(&path)? {
            return Ok(Turn::Done(record));
        }
        if work() == Worked::Well {
            disk::ensure_folder(&self.root.all_once())?;
            let record = Record { node: self.name.clone(), done: Timestamp::now() };
            disk::write_json(&path, &record)?;
        }
        Ok(Turn::Ours)
    }

    fn take_back(
        &self,
        key: &Key,
        _: Duration,
        work: &mut dyn FnMut() -> Worked,
    ) -> Result<Turn, OnceError> {
        // Forgotten first: what was taken back half must not be held for done.
        disk::remove_file(&self.root.once(&key.version, &key.stage))?;
        if self.root.all_once().is_dir() {
            disk::sync_folder(&self.root.all_once())?;
        }
        work();
        Ok(Turn::Ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_done_until_it_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::new(folder.path().to_owned());
        std::fs::create_dir(root.state()).unwrap();
        let here = Here { root, name: "n".to_owned() };
        let key = Key {
            product: "weave".parse().unwrap(),
            version: "1.0.0-rc.1+b".parse().unwrap(),
            stage: "migrate".parse().unwrap(),
        };
        let run = |how: Worked| {
            let mut count = 0;
            let turn = here.perform(&key, Duration::ZERO, &mut || {
                count += 1;
                how
            });
            (turn.unwrap() == Turn::Ours, count)
        };
        assert_eq!(run(Worked::Badly), (true, 1));
        assert_eq!(run(Worked::Well), (true, 1));
        assert_eq!(run(Worked::Well), (false, 0));
        here.take_back(&key, Duration::ZERO, &mut || Worked::Badly).unwrap();
        assert_eq!(run(Worked::Well), (true, 1));
    }
}
