//! Publishes as many synthetic releases as it is told to, one by one, as `pack release` would: real
//! descriptors, signed metadata, channel moves; only bundles and file lists are not there.
//!
//! For `tests/bench-updates`, which says what a node pays for looking at a repository so large.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use cutover_formats::digest::Digest;
use cutover_formats::name::{Channel, Product};
use cutover_formats::version::Version;
use cutover_publish::keyring::Keyring;
use cutover_publish::{Order, PATIENCE, ReleaseFiles, Repo, release};
use cutover_repository::file::FileStore;
use jiff::Timestamp;
use serde_json::json;

/// Third-party distributions of each release: as many as Kinto 26.4 has.
const VENDORED: u64 = 45;
/// How often the progress is told.
const STEP: u64 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [repository, keys, count] = arguments.as_slice() else {
        return fail("usage: releases REPOSITORY KEYS COUNT");
    };
    let Ok(count) = count.parse() else { return fail("COUNT is a number") };
    match publish(repository.into(), keys.into(), count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "a tool of the bench speaks to whoever runs it")]
fn fail(why: &str) -> ExitCode {
    eprintln!("error: {why}");
    ExitCode::FAILURE
}

#[expect(clippy::print_stderr, reason = "a tool of the bench speaks to whoever runs it")]
fn publish(
    repository: PathBuf,
    keys: PathBuf,
    count: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let store = FileStore::open(&repository)?;
    let keyring = Keyring::new(keys, Box::new(|| Err("the keys are not encrypted".to_owned())));
    let stable: Channel = "stable".parse()?;
    let began = Instant::now();
    for number in 0..count {
        let now = Timestamp::now();
        let repo =
            Repo { store: &store, keyring: &keyring, now, patience: PATIENCE, note: &|_| {} };
        release(&repo, &synthetic(number)?, Some((&stable, Order::Any)))?;
        if (number + 1).is_multiple_of(STEP) {
            eprintln!("{} releases after {:.0} s", number + 1, began.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

/// Release 1.`number`.0: what it says is well-formed, and of no other release.
fn synthetic(number: u64) -> Result<ReleaseFiles, Box<dyn std::error::Error>> {
    let (product, version): (Product, _) = ("weave".parse()?, Version::new(1, number, 0));
    let digest = |what: &str| Digest::of(format!("{what} of {number}").as_bytes());
    let vendored = (0..VENDORED).map(|one| {
        // Most distributions stay from one release to the next.
        let since = if one % 15 == number % 15 { number } else { number / 15 };
        let file = format!("distribution_{one}-4.{since}.1-py3-none-any.whl");
        json!({
            "kind": "python", "name": format!("distribution-{one}"), "version": format!("4.{since}.1"),
            "path": format!("vendor/python/{file}"), "sha256": Digest::of(file.as_bytes()).to_string(),
            "file": file, "size": 100_000 + 997 * one,
        })
    });
    let bundle = format!("{product}-{version}.tar.zst");
    let descriptor = json!({
        "format": "cutover.release/1.3", "product": "weave", "version": version.to_string(),
        "source": {
            "kind": "git", "commit": digest("commit").to_string()[..40], "tag": format!("v{version}"),
            "time": 1_700_000_000 + 3600 * number,
        },
        "files": {
            "file": "files.json.zst", "sha256": digest("list").to_string(), "size": 90_000,
            "text_sha256": digest("text").to_string(), "entries": 1_900, "bytes": 31_000_000,
        },
        "carriers": [{
            "kind": "bundle", "file": bundle, "sha256": digest("bundle").to_string(), "size": 12_000_000,
            "frames": { "file": "frames.bin", "sha256": digest("frames").to_string(), "size": 307 },
        }],
        "vendored": vendored.collect::<Vec<_>>(),
        "requires": { "commands": ["python3.11"] },
    });
    let mut descriptor = serde_json::to_vec_pretty(&descriptor)?;
    descriptor.push(b'\n');
    let bundle = (format!("releases/{product}/{version}/{bundle}"), 12_000_000, digest("bundle"));
    let uploads = Vec::new();
    let minisigned = Vec::new();
    Ok(ReleaseFiles { product, version, descriptor, uploads, bundle, minisigned })
}
