//! What is released.

use std::path::PathBuf;
use std::process::Command;

use super::Run;

/// A source tree under git.
#[derive(Debug)]
pub struct Tree {
    /// Where it lies.
    pub folder: PathBuf,
}

impl Tree {
    /// Runs git in it.
    ///
    /// # Panics
    /// Where git fails.
    pub fn git<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        command.args(["-c", "user.name=T", "-c", "user.email=t@example.org"]).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        let _ = Run::of(&mut command).ok();
    }

    /// Writes a file.
    ///
    /// # Panics
    /// Where it cannot.
    pub fn write(&self, path: &str, text: &str) {
        std::fs::write(self.folder.join(path), text).expect("the tree is writable");
    }

    /// Changes text in a file.
    ///
    /// # Panics
    /// Where the file does not hold `from`.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.join(path)).expect("the file is there");
        assert!(text.contains(from), "{path} does not hold {from}");
        self.write(path, &text.replace(from, to));
    }

    /// Has the tiny application read a rendered file when it starts, which holds the secret `token`, if
    /// the node has one, and the input `word`. It does not start where that is `broken`.
    ///
    /// # Panics
    /// Where it is not the tiny application's tree.
    pub fn configured(&self) {
        self.replace("release.toml", "env = { ", "env = { TINY_CONFIG = \"{prefix}/etc/a.ini\", ");
        let toml = std::fs::read_to_string(self.folder.join("release.toml")).expect("it is there");
        let inputs = "[config]\n\"etc/a.ini\" = { template = \"a.j2\" }\n[inputs.word]\n\
                      default = \"first\"\n[inputs.token]\nsecret = true\nrequired = false\n";
        self.write("release.toml", &format!("{toml}\n{inputs}"));
        self.write("a.j2", "word = {{ word }}{% if token %}, token = {{ token }}{% endif %}");
    }

    /// Commits everything and tags it `v<version>`.
    pub fn tag(&self, version: &str) {
        self.write("VERSION", version);
        self.git(["add", "--all"]);
        self.git(["commit", "--quiet", "--message", version]);
        self.git(["tag", &format!("v{version}")]);
    }
}
