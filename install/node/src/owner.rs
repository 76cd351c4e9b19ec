//! Whose a node's root may be.
//!
//! What `node.toml` says is run: commands that print secrets, stages, checks. Whoever works in a folder
//! of somebody else would run what that user wrote there, with rights of their own. So a root is only
//! opened where it and its `node.toml` belong to root, to the user that runs the program, or to the one
//! that became root by `sudo`, and where not everybody can write to it. Root can except roots from that,
//! in a file that only root writes, as git has `safe.directory`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cutover_formats::exit::{Exit, Explain};
use cutover_repository::trusted_users::{Objection, TrustedUsers, Writers};
use cutover_terminal::quoted;
use nix::unistd::{Uid, User};

/// Roots that are opened whoever has them, one path a line.
pub const EXCEPTIONS: &str = "/etc/cutover/safe-roots";

/// A root that is not opened.
#[derive(Debug, thiserror::Error)]
#[error("{} {why}", path.display())]
pub struct Unsafe {
    /// The root, or the file in it.
    path: PathBuf,
    /// What is wrong with it.
    why: String,
    /// The root.
    root: PathBuf,
    /// Who has it, by name if there is one.
    owner: String,
}

impl Explain for Unsafe {
    fn exit(&self) -> Exit {
        Exit::NotTrusted
    }

    fn hints(&self) -> Vec<String> {
        let root = self.root.display();
        vec![
            "nothing was read, run or changed: its node.toml may have anything run as you"
                .to_owned(),
            format!(
                "work there as its owner (`sudo -u {}`), or have root add the line {root} to {EXCEPTIONS}",
                quoted(&self.owner)
            ),
        ]
    }
}

/// Refuses the folder `root`, or those of its `files` that are there, where somebody else can write to
/// them. What is not there is nobody's.
pub fn heed(root: &Path, files: &[&Path]) -> Result<(), Unsafe> {
    let trusted = TrustedUsers::of_this_process();
    let all = std::iter::once(root).chain(files.iter().copied());
    let refused = all.filter_map(|path| {
        let found = fs::metadata(path).ok()?;
        let owner = named(found.uid());
        let why = match trusted.objection(found.uid(), found.mode(), Writers::Group)? {
            Objection::Owner(_) => format!("belongs to {owner}, who is neither root nor you"),
            Objection::Writable(_) => "can be written to by everybody".to_owned(),
        };
        Some(Unsafe { path: path.to_owned(), why, root: root.to_owned(), owner })
    });
    match refused.into_iter().next() {
        Some(refused) if !is_excepted(root) => Err(refused),
        _ => Ok(()),
    }
}

fn named(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| format!("#{uid}"), |user| user.name)
}

/// Whether root has excepted it. A list that anybody else can write to says nothing.
fn is_excepted(root: &Path) -> bool {
    let list = Path::new(EXCEPTIONS);
    // Stricter than the rule for all else: what the caller of `sudo` wrote is no exception of root's.
    let kept = fs::metadata(list).is_ok_and(|it| it.uid() == 0 && it.mode() & 0o022 == 0);
    kept && fs::read_to_string(list).is_ok_and(|text| lists(&text, root))
}

/// Whether one of the lines is the folder, by whatever name.
fn lists(text: &str, root: &Path) -> bool {
    let real = |path: &Path| -> io::Result<PathBuf> { fs::canonicalize(path) };
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with('/'));
    let mut paths = lines.map(Path::new);
    paths.any(|line| {
        line == root || real(line).ok().zip(real(root).ok()).is_some_and(|(a, b)| a == b)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_excepted() {
        let folder = tempfile::tempdir().unwrap();
        let (node, link) = (folder.path().join("a node"), folder.path().join("link"));
        fs::create_dir(&node).unwrap();
        std::os::unix::fs::symlink(&node, &link).unwrap();
        let text = |path: &Path| format!("# roots of others\n\n  {}\n", path.display());
        assert!(lists(&text(&node), &node) && lists(&text(&link), &node));
        assert!(lists(&text(&node), &link));
        assert!(!lists(&text(folder.path()), &node), "what lies below it is not meant");
        assert!(!lists("*\n", &node) && !lists("", &node));
    }
}
