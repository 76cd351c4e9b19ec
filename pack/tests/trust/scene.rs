//! A folder with keys, a repository and a tree to release, and nodes that look at it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_formats::exit::{Exit, Explain as _};
use cutover_repository::client::Client;
use cutover_repository::open_read;
use jiff::Timestamp;
use serde_json::Value;

/// A folder with keys, a repository, and a tree to release.
pub(crate) struct Scene(pub(crate) tempfile::TempDir);

pub(crate) struct Run {
    pub(crate) exit: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.exit, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn refused(self, exit: i32, words: &str) -> Self {
        assert_eq!(self.exit, exit, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(words), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "{}", self.stderr);
        self
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.done().stdout).unwrap()
    }
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.pack(&["keys", "new", "--unencrypted"]).done();
        scene.pack(&["repo", "init"]).done();
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pack"));
        command.args(args).current_dir(self.0.path()).stdin(Stdio::null());
        command.env("CUTOVER_REPO", "repository").env("CUTOVER_KEYS", "keys");
        command.env("XDG_CACHE_HOME", self.path("cache"));
        command
    }

    pub(crate) fn pack(&self, args: &[&str]) -> Run {
        run(&mut self.command(args))
    }

    pub(crate) fn release(&self, version: &str) -> Run {
        let tree = self.path("tree");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("release.toml"), "[release]\nproduct = 'weave'\n").unwrap();
        fs::write(tree.join("app"), version).unwrap();
        self.pack(&["release", "--tree", "tree", "--version", version])
    }

    /// Releases a version, and nodes that follow stable get it.
    #[track_caller]
    pub(crate) fn brings(&self, version: &str, nodes: &[&str]) {
        self.release(version).done();
        self.pack(&["promote", version, "stable"]).done();
        for node in nodes {
            assert_eq!(self.node(node).unwrap().as_deref(), Some(version));
        }
    }

    /// Moves the key file `from` to another folder of keys, as to another machine.
    pub(crate) fn hand(&self, from: &str, folder: &str) -> PathBuf {
        let folder = self.path(folder);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(from);
        fs::rename(self.path("keys").join(from), &file).unwrap();
        fs::copy(self.path("keys/root.json"), folder.join("root.json")).unwrap();
        file
    }

    /// A copy of the key file `from` in another folder of keys.
    pub(crate) fn steal(&self, from: &str, folder: &str) {
        let stolen = self.hand(from, folder);
        fs::copy(stolen, self.path("keys").join(from)).unwrap();
    }

    /// A key in a folder of its own: the public half, and where it is.
    pub(crate) fn key_of(&self, folder: &str, role: &str) -> String {
        self.pack(&["keys", "new", "--unencrypted", "--keys", folder]).done();
        fs::copy(self.path("keys/root.json"), self.path(folder).join("root.json")).unwrap();
        for file in fs::read_dir(self.path(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name != "root.json" && name != format!("{role}.pem") {
                fs::remove_file(path).unwrap();
            }
        }
        let shown = self.pack(&["keys", "show", "--keys", folder, "--json"]).json();
        shown["keys"][0]["public"].as_str().unwrap().to_owned()
    }

    /// The file of the change that waits.
    #[track_caller]
    pub(crate) fn pending(&self, run: Run) -> PathBuf {
        let run = run.refused(3, "not published yet");
        let words = "the change waits in ";
        let line = run.stderr.lines().find_map(|line| Some(line.split_once(words)?.1)).unwrap();
        self.path(line)
    }

    /// What waits is signed by others, and applied.
    #[track_caller]
    pub(crate) fn signed_by(&self, folders: &[&str], run: Run) {
        let file = self.pending(run);
        for keys in folders {
            self.pack(&["keys", "sign", text(&file), "--keys", keys]).done();
        }
        self.pack(&["repo", "apply", text(&file)]).done();
    }

    pub(crate) fn role(&self, name: &str) -> Value {
        let status = self.pack(&["repo", "status", "--json"]).json();
        let roles = status["roles"].as_array().unwrap();
        roles.iter().find(|role| role["role"] == name).unwrap().clone()
    }

    /// A node that trusts what `folder` holds, and looks now.
    pub(crate) fn node(&self, folder: &str) -> Result<Option<String>, (Exit, String)> {
        self.follow(folder, "stable")
    }

    /// The same, of another channel than stable.
    pub(crate) fn follow(
        &self,
        folder: &str,
        channel: &str,
    ) -> Result<Option<String>, (Exit, String)> {
        let trust = self.path(folder);
        let failed =
            |error: cutover_repository::client::TrustError| (error.exit(), error.to_string());
        if !trust.join("root.json").exists() {
            Client::init(trust.clone(), &fs::read(self.path("keys/root.json")).unwrap()).unwrap();
        }
        let address = self.path("repository").to_str().unwrap().parse().unwrap();
        let store = open_read(&address).unwrap();
        let mut client = Client::open(store.as_ref(), trust, Timestamp::now()).map_err(failed)?;
        client.refresh().map_err(failed)?;
        let pointer = client.channel(&channel.parse().unwrap(), &"weave".parse().unwrap());
        Ok(pointer.map_err(failed)?.map(|pointer| pointer.version.to_string()))
    }
}

pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let exit = output.status.code().unwrap();
    Run { exit, stdout: text(output.stdout), stderr: text(output.stderr) }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
