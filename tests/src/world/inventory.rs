//! What lies in a folder, to be compared before and after.

use std::path::Path;
use std::process::Command;

use super::Run;

/// Every path below `folder` with its kind, size and link target, but those below `except`.
///
/// # Panics
/// Where it cannot be read.
#[must_use]
pub fn inventory(folder: &Path, except: &[&str]) -> Vec<String> {
    let mut command = Command::new("find");
    command.arg(folder).args(["-mindepth", "1"]);
    for path in except {
        command.args(["-path", &folder.join(path).display().to_string(), "-prune", "-o"]);
    }
    command.args(["-printf", "%P %y %m %s %l\\n"]);
    let mut lines: Vec<String> =
        Run::of(&mut command).ok().stdout.lines().map(str::to_owned).collect();
    // A folder's own size says nothing.
    for line in &mut lines {
        let words: Vec<&str> = line.split(' ').collect();
        if words.get(1) == Some(&"d") {
            *line = format!("{} d {}", words[0], words[2]);
        }
    }
    lines.sort();
    lines
}

/// Two inventories are the same.
///
/// # Panics
/// Where they are not, with the lines that only one of them has.
#[track_caller]
pub fn assert_same(before: &[String], after: &[String]) {
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (gone, new) = (only(before, after), only(after, before));
    assert!(gone.is_empty() && new.is_empty(), "gone: {gone:#?}\nnew: {new:#?}");
}
