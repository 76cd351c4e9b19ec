//! Somebody with the guide before them, and a thief.

use std::fs;
use std::path::Path;
use std::process::Command;

use cutover_tests::world::{NodeDir, Run, World, program, source};

/// Which keys lie on the machine that is on.
pub(crate) const ONLINE: [&str; 2] = ["snapshot", "timestamp"];

/// Somebody with the guide before them.
pub(crate) struct Keeper<'w> {
    world: &'w World,
    guide: String,
}

impl<'w> Keeper<'w> {
    pub(crate) fn of(world: &'w World) -> Self {
        Self { world, guide: guide() }
    }

    /// Runs what stands in the guide, with its placeholders filled in.
    #[track_caller]
    pub(crate) fn tries(&self, documented: &str, filled: &[(&str, &str)]) -> Run {
        let in_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let stands = in_one_line(&self.guide).contains(&in_one_line(documented));
        assert!(stands, "the guide does not say `{documented}`");
        let fill = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
        self.shell(&filled.iter().fold(documented.to_owned(), fill))
    }

    /// The same, which works.
    #[track_caller]
    pub(crate) fn does(&self, documented: &str, filled: &[(&str, &str)]) -> Run {
        self.tries(documented, filled).ok()
    }

    /// The block of shell lines that holds `words`, without comments; each line stands in the guide.
    #[track_caller]
    pub(crate) fn block(&self, words: &str) -> Vec<String> {
        let blocks =
            self.guide.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        let mut found = blocks.filter(|block| block.contains(words));
        let block = found.next().unwrap_or_else(|| panic!("no block with `{words}`"));
        let code = |line: &str| line.split(" #").next().unwrap_or_default().trim().to_owned();
        block.lines().map(code).collect()
    }

    pub(crate) fn shell(&self, line: &str) -> Run {
        let programs = program("pack").parent().unwrap().display().to_string();
        let mut command = self.world.command("pack");
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(self.world.path(""));
        for (name, value) in command.env("CUTOVER_REPO", self.world.repository()).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
        // New keys are encrypted, as they are without a word about it.
        shell.env("PATH", path).env("CUTOVER_KEYS", self.world.path("keys"));
        Run::of(shell.env("CUTOVER_PASSPHRASE", "over the hills").env("XDG_STATE_HOME", "xdg"))
    }

    /// A role gets another key, and the old one is no more.
    #[track_caller]
    pub(crate) fn rotates(&self, role: &str) {
        let _ = self.does(&format!("pack keys rotate {role}"), &[]);
        self.destroys(role);
    }

    /// A key file is no more.
    pub(crate) fn destroys(&self, role: &str) {
        fs::remove_file(self.world.path("keys").join(format!("{role}.pem"))).unwrap();
    }

    /// The keys of a role, as `pack repo status` has them: id and, where it is said, whose.
    pub(crate) fn keys_of(&self, role: &str) -> Vec<String> {
        let status = self.does("pack repo status", &[("status", "status --json")]).json();
        let roles = status["roles"].as_array().unwrap();
        let role = roles.iter().find(|one| one["role"] == role).unwrap();
        let ids = role["keys"].as_array().unwrap().iter();
        ids.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn public_key_in(&self, folder: &str) -> String {
        let shown = self.shell(&format!("pack keys show --json --keys {folder}")).ok().json();
        shown["keys"][0]["public"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn guide() -> String {
    fs::read_to_string(source("../formats/docs/trust.md")).unwrap()
}

/// Copies of a role's key and of the online keys are in the folder `stolen`, with the root that
/// everybody has.
pub(crate) fn steal(world: &World, role: &str) {
    let stolen = world.path("stolen");
    fs::create_dir_all(&stolen).unwrap();
    let files = [role, ONLINE[0], ONLINE[1]].map(|role| format!("{role}.pem"));
    for file in files.into_iter().chain(["root.json".to_owned()]) {
        fs::copy(world.path("keys").join(&file), stolen.join(&file)).unwrap();
    }
}

/// `pack`, as the thief runs it.
pub(crate) fn thief<'a>(world: &World, arguments: impl IntoIterator<Item = &'a str>) -> Run {
    Run::of(world.packer().env("CUTOVER_KEYS", world.path("stolen")).args(arguments))
}

pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

#[track_caller]
pub(crate) fn installs(node: &NodeDir<'_>, what: &str, version: &str) {
    let _ = node.install([what]).ok();
    assert_eq!(node.current().as_deref(), Some(version));
}

/// Two releases, and a node that follows stable.
pub(crate) fn scene(world: &World) -> (Keeper<'_>, NodeDir<'_>) {
    let _tree = world.release_tiny(&["1.0.0", "1.1.0"]);
    let node = world.node(None);
    installs(&node, "stable", "1.1.0");
    (Keeper::of(world), node)
}
