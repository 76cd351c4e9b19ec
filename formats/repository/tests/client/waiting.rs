//! Two clients of one folder: neither waits for the network of the other.

use std::fs;
use std::sync::Mutex;

use cutover_formats::layout;
use cutover_repository::client::Client;
use cutover_repository::store::{Read, StoreError};

use crate::{Mirror, Vendor};

/// A place that lets nobody have the timestamp before another client has been there.
struct Slow<'m> {
    mirror: &'m Mirror,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send + 'm>>>,
}

impl Read for Slow<'_> {
    fn get(&self, path: &str, cap: u64) -> Result<Vec<u8>, StoreError> {
        let answer = self.mirror.get(path, cap);
        let meanwhile = self.meanwhile.lock().unwrap().take_if(|_| path == layout::TIMESTAMP);
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        answer
    }

    fn stream(
        &self,
        path: &str,
        from: u64,
        cap: u64,
    ) -> Result<Box<dyn std::io::Read + Send + '_>, StoreError> {
        self.mirror.stream(path, from, cap)
    }

    fn describe(&self) -> String {
        self.mirror.describe()
    }
}

/// Nor does it take what that one has learned for a rollback.
#[test]
fn nobody_waits_for_the_network_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (mut vendor, mut old, mut new) = (Vendor::new(), Mirror::default(), Mirror::default());
    vendor.publish(&mut old);
    Client::init(folder.path().to_owned(), &vendor.root()).unwrap();
    (vendor.timestamp, vendor.snapshot) = (2, 2);
    vendor.publish(&mut old);
    vendor.publish(&mut new);
    (vendor.timestamp, vendor.snapshot) = (3, 3);
    vendor.publish(&mut new);
    let now: jiff::Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    let trust = || folder.path().to_owned();
    // The other one comes and goes while this one's question is under way.
    let other = || {
        Client::open(&old, trust(), now).unwrap().refresh().unwrap();
    };
    let slow = Slow { mirror: &old, meanwhile: Mutex::new(Some(Box::new(other))) };
    Client::open(&slow, trust(), now).unwrap().refresh().unwrap();
    // Where that one learns of something later, an older state is refused from then on.
    let later = || {
        Client::open(&new, trust(), now).unwrap().refresh().unwrap();
    };
    let slow = Slow { mirror: &old, meanwhile: Mutex::new(Some(Box::new(later))) };
    Client::open(&slow, trust(), now).unwrap().refresh().unwrap_err();
    let stored = fs::read(folder.path().join("timestamp.json")).unwrap();
    assert_eq!(stored, new.files[layout::TIMESTAMP]);
}
