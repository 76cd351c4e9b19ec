//! The node's root: every path that Cutover owns there, in one place.

use std::path::{Path, PathBuf};

use cutover_formats::name::StageName;
use cutover_formats::version::Version;

/// A node's root folder, e.g. `/srv/weave`. Only computes paths; touches nothing.
///
/// ```text
/// node.toml                      the operator's settings
/// releases/<version>/            a prefix, sealed; or what an install that was cut off brought of one
/// current -> releases/<version>  what runs: the one thing that a switch changes
/// shared/                        the node's own files, seen from inside the prefixes
/// config/<version>/<n>/          what was rendered for a release, the n-th time, with a record of it
/// config/<version>/current -> n  which of them is seen from inside its prefix
/// state/trust/                   trusted metadata, exactly as received
/// state/releases/<version>/      release.json, signed.json, files.json.zst, built.json, seal.json
/// state/cache/                   what package builders keep between builds
/// state/scratch/                 what they write for the time of one
/// state/journal                  the transaction under way, if any
/// state/lock                     held while a command changes the node
/// state/standings.json           which releases ran well here, which failed
/// state/once/<stage>@<version>.json  stages that run once, and did so here
/// state/withdrawn/<version>.json which releases were ever seen to be withdrawn
/// state/rehearsal/               a root in small, while a release is rehearsed
/// state/pool.json                how the node stood in its pool, while it is taken out of it
/// state/history.jsonl            every install that ended, one line each
/// state/receipts/<id>.json       what each did
/// run/                           sockets, process records, service output
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The root at `path`, which should be absolute.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The folders that whatever changes the node finds, or makes anew where somebody removed them. The
    /// trusted metadata is not among them: it cannot be made anew.
    #[must_use]
    pub fn folders(&self) -> [PathBuf; 6] {
        [
            self.releases(),
            self.shared(),
            self.configs(),
            self.records(),
            self.receipts(),
            self.run(),
        ]
    }

    /// `node.toml`.
    #[must_use]
    pub fn node_toml(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// The symlink that names what runs.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.0.join("current")
    }

    /// The folder of prefixes.
    #[must_use]
    pub fn releases(&self) -> PathBuf {
        self.0.join("releases")
    }

    /// The prefix of a version.
    #[must_use]
    pub fn prefix(&self, version: &Version) -> PathBuf {
        self.releases().join(version.to_string())
    }

    /// The node's own files.
    #[must_use]
    pub fn shared(&self) -> PathBuf {
        self.0.join("shared")
    }

    /// The folder of everything that was rendered.
    #[must_use]
    pub fn configs(&self) -> PathBuf {
        self.0.join("config")
    }

    /// What was rendered for a release.
    #[must_use]
    pub fn config(&self, version: &Version) -> PathBuf {
        self.configs().join(version.to_string())
    }

    /// The link to the rendering of a release that holds.
    #[must_use]
    pub fn rendering(&self, version: &Version) -> PathBuf {
        self.config(version).join("current")
    }

    /// The rendered files of a release, as its prefix links to them.
    #[must_use]
    pub fn rendered(&self, version: &Version) -> PathBuf {
        self.rendering(version).join("files")
    }

    /// Everything Cutover remembers.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// Trusted metadata.
    #[must_use]
    pub fn trust(&self) -> PathBuf {
        self.state().join("trust")
    }

    /// The folder of records of all releases.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.state().join("releases")
    }

    /// What is known of a release on this node: descriptor, file list, seal.
    #[must_use]
    pub fn record(&self, version: &Version) -> PathBuf {
        self.records().join(version.to_string())
    }

    /// The descriptor of a release on this node.
    #[must_use]
    pub fn descriptor(&self, version: &Version) -> PathBuf {
        self.record(version).join("release.json")
    }

    /// Who signed the descriptor of a release on this node.
    #[must_use]
    pub fn signed_by(&self, version: &Version) -> PathBuf {
        self.record(version).join("signed.json")
    }

    /// The file list of a release on this node.
    #[must_use]
    pub fn file_list(&self, version: &Version) -> PathBuf {
        self.record(version).join("files.json.zst")
    }

    /// What was built in the prefix, file by file.
    #[must_use]
    pub fn built(&self, version: &Version) -> PathBuf {
        self.record(version).join("built.json")
    }

    /// Written last: a prefix without it is not whole.
    #[must_use]
    pub fn seal(&self, version: &Version) -> PathBuf {
        self.record(version).join("seal.json")
    }

    /// What package builders keep between builds.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.state().join("cache")
    }

    /// What package builders write for the time of one build.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.state().join("scratch")
    }

    /// The transaction under way.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.state().join("journal")
    }

    /// The lock of whoever changes the node.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// What was learned of each release: good, bad, and which ran before.
    #[must_use]
    pub fn standings(&self) -> PathBuf {
        self.state().join("standings.json")
    }

    /// What ran once here.
    #[must_use]
    pub fn all_once(&self) -> PathBuf {
        self.state().join("once")
    }

    /// That a stage of a version, which runs once, did so here.
    #[must_use]
    pub fn once(&self, version: &Version, stage: &StageName) -> PathBuf {
        self.all_once().join(format!("{stage}@{version}.json"))
    }

    /// Which releases were ever seen to be withdrawn.
    #[must_use]
    pub fn all_withdrawn(&self) -> PathBuf {
        self.state().join("withdrawn")
    }

    /// That a release was seen to be withdrawn.
    #[must_use]
    pub fn withdrawn(&self, version: &Version) -> PathBuf {
        self.all_withdrawn().join(format!("{version}.json"))
    }

    /// Every install that ended.
    #[must_use]
    pub fn history(&self) -> PathBuf {
        self.state().join("history.jsonl")
    }

    /// Receipts.
    #[must_use]
    pub fn receipts(&self) -> PathBuf {
        self.state().join("receipts")
    }

    /// Where a release is rehearsed: a root like this one, for as long as that takes.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        Self(self.state().join("rehearsal"))
    }

    /// How the node stood in its pool before it was taken out.
    #[must_use]
    pub fn pool(&self) -> PathBuf {
        self.state().join("pool.json")
    }

    /// The command of the pool that is under way.
    #[must_use]
    pub fn pool_command(&self) -> PathBuf {
        self.run().join("pool-command.json")
    }

    /// The operator-held maintenance, which outlives the gate.
    #[must_use]
    pub fn maintenance(&self) -> PathBuf {
        self.state().join("maintenance.json")
    }

    /// What lives only as long as processes do.
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// The output of a release's service.
    #[must_use]
    pub fn service_log(&self, version: &Version) -> PathBuf {
        self.run().join(format!("service-{version}.log"))
    }

    /// Whose service's output a file in `run/` has, the one that is written or an older one.
    #[must_use]
    pub fn service_of_log(name: &str) -> Option<Version> {
        let written = match name.rsplit_once('.') {
            Some((before, number)) if number.parse::<u32>().is_ok() => before,
            _ => name,
        };
        written.strip_prefix("service-")?.strip_suffix(".log")?.parse().ok()
    }

    /// The gate's control socket.
    #[must_use]
    pub fn control(&self) -> PathBuf {
        self.run().join("gate.sock")
    }

    /// Held by the gate while it lives.
    #[must_use]
    pub fn gate_lock(&self) -> PathBuf {
        self.run().join("gate.lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_says_whose_it_is() {
        for (name, version) in [
            ("service-1.0.0.log", Some("1.0.0")),
            ("service-1.0.0.log.12", Some("1.0.0")),
            ("service-1.0.0-log.1.log", Some("1.0.0-log.1")),
            ("service-1.0.0-log.1.log.1", Some("1.0.0-log.1")),
            ("service-17.json", None),
            ("service-1.0.0.log.gz", None),
            ("stage-1.0.0.log", None),
        ] {
            let found = Root::service_of_log(name).map(|version| version.to_string());
            assert_eq!(found.as_deref(), version, "{name}");
        }
    }
}
