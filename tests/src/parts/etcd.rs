//! An etcd cluster of one member or more.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::authority::{Authority, Certificate};
use crate::world::{Run, Running, free_address, wait_until};

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<Member>,
    arguments: Vec<String>,
    scheme: &'static str,
}

#[derive(Debug)]
struct Member {
    name: String,
    folder: PathBuf,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Running>,
}

impl Cluster {
    /// Starts a cluster of so many members in `folder`, and waits until it has a leader.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn start(folder: &Path, members: usize) -> Self {
        Self::with(folder, members, &[])
    }

    /// The same with more arguments for each member.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn with(folder: &Path, members: usize, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
        Self::start_on(folder, members, arguments, "http")
    }

    /// One member that speaks TLS, and only to those that have a certificate.
    ///
    /// # Panics
    /// Where it does not come up.
    #[must_use]
    pub fn secret(folder: &Path, authority: &Authority, itself: &Certificate) -> Self {
        let path = |path: &Path| path.display().to_string();
        let arguments = vec![
            "--client-cert-auth".to_owned(),
            "--cert-file".to_owned(),
            path(&itself.file),
            "--key-file".to_owned(),
            path(&itself.key),
            "--trusted-ca-file".to_owned(),
            path(&authority.file()),
        ];
        Self::start_on(folder, 1, arguments, "https")
    }

    fn start_on(
        folder: &Path,
        members: usize,
        arguments: Vec<String>,
        scheme: &'static str,
    ) -> Self {
        let member = |number: usize| Member {
            name: format!("n{number}"),
            folder: folder.join(format!("n{number}")),
            client: free_address(),
            peer: free_address(),
            process: None,
        };
        let mut cluster = Self { members: (0..members).map(member).collect(), arguments, scheme };
        for at in 0..members {
            cluster.spawn(at);
        }
        cluster.wait_for_leader();
        cluster
    }

    fn spawn(&mut self, at: usize) {
        let peers: Vec<String> = self
            .members
            .iter()
            .map(|member| format!("{}=http://{}", member.name, member.peer))
            .collect();
        let member = &self.members[at];
        let (client, peer) =
            (format!("{}://{}", self.scheme, member.client), format!("http://{}", member.peer));
        let mut command = Command::new("etcd");
        command.args(["--name", &member.name, "--data-dir"]).arg(&member.folder);
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"]);
        // A loaded machine must not cost elections.
        command.args(["--heartbeat-interval", "100", "--election-timeout", "1000"]);
        command.args(&self.arguments);
        let log = std::fs::File::create(member.folder.with_extension("log")).expect("a log");
        command.stdout(Stdio::null()).stderr(log);
        self.members[at].process = Some(Running::start(&mut command));
    }

    /// Where clients reach the members.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        let of = |member: &Member| format!("{}://{}", self.scheme, member.client);
        self.members.iter().map(of).collect()
    }

    /// The `[etcd]` of a node's settings.
    #[must_use]
    pub fn settings(&self) -> String {
        format!("[etcd]\nendpoints = {:?}\n", self.endpoints())
    }

    /// Runs etcdctl against the members that run.
    #[must_use]
    pub fn ctl(&self, arguments: &[&str]) -> Run {
        let running = |member: &&Member| member.process.is_some();
        let of = |member: &Member| format!("{}://{}", self.scheme, member.client);
        let endpoints: Vec<String> = self.members.iter().filter(running).map(of).collect();
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &endpoints.join(",")]);
        Run::of(command.args(arguments))
    }

    /// What a key says.
    ///
    /// # Panics
    /// Where etcdctl fails.
    #[must_use]
    pub fn value(&self, key: &str) -> String {
        self.ctl(&["get", "--print-value-only", key]).ok().stdout.trim().to_owned()
    }

    /// The member that leads.
    ///
    /// # Panics
    /// Where none does for too long.
    #[must_use]
    pub fn leader(&self) -> usize {
        let mut leader = None;
        wait_until("etcd has a leader", || {
            leader = (0..self.members.len()).find(|at| self.leads(*at));
            leader.is_some()
        });
        leader.expect("it was waited for")
    }

    fn leads(&self, at: usize) -> bool {
        let member = &self.members[at];
        if member.process.is_none() {
            return false;
        }
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("http://{}", member.client)]);
        let run = Run::of(command.args(["endpoint", "status", "--write-out", "json"]));
        let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_default();
        let status = &status[0]["Status"];
        status["leader"].is_u64() && status["leader"] == status["header"]["member_id"]
    }

    fn wait_for_leader(&self) {
        if self.scheme == "http" {
            let _ = self.leader();
        } else {
            // Only who has a certificate could ask; that it listens has to do.
            let client = self.members[0].client;
            wait_until("etcd listens", || std::net::TcpStream::connect(client).is_ok());
        }
    }

    /// Kills a member.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self, at: usize) {
        self.members[at].process.take().expect("it runs").kill();
    }

    /// Starts a member that was killed.
    pub fn start_again(&mut self, at: usize) {
        self.spawn(at);
        self.wait_for_leader();
    }

    /// Stops a member from doing anything, while its connections stay.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn freeze(&self, at: usize) {
        self.members[at].process.as_ref().expect("it runs").signal("STOP");
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn thaw(&self, at: usize) {
        self.members[at].process.as_ref().expect("it runs").signal("CONT");
    }
}
