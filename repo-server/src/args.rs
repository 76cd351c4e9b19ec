//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use cutover_http::pace::Rules;
use cutover_terminal::Verbosity;

use crate::uncommitted::Bounds;

/// Serve a Cutover repository over HTTP, and take releases from those who have a token
///
/// Prints the address it listens on once it does. Stops on SIGTERM or SIGINT when the requests
/// under way have ended.
#[derive(Debug, Clone, Parser)]
#[command(name = "repo-server", version)]
pub struct Args {
    /// Folder of the repository
    #[arg(long, value_name = "DIR", required_unless_present = "write_documents")]
    pub store: Option<PathBuf>,

    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub listen: String,

    /// Who may publish: one token a line, or `sha256:` and the digest of one; a name may stand
    /// before it; `#` begins a comment. Without this option nobody may
    #[arg(long, value_name = "FILE")]
    pub tokens: Option<PathBuf>,

    /// Folder with the repository's root.json and the snapshot and timestamp keys, mode 0600: the
    /// server signs anew by itself before they expire. The passphrase comes from CUTOVER_PASSPHRASE
    #[arg(long, value_name = "DIR")]
    pub online_keys: Option<PathBuf>,

    /// Largest file that is taken, e.g. `500MiB`
    #[arg(long, value_name = "SIZE", default_value = "16GiB", value_parser = size)]
    pub max_upload: u64,

    /// Address of a reverse proxy before this server, e.g. `127.0.0.1`; may be given more than once. What it
    /// says in `X-Forwarded-For` counts: limits for a client then hold for the address that it names
    #[arg(long, value_name = "ADDR")]
    pub behind: Vec<IpAddr>,
    /// Address on which `/metrics` is answered, and nothing else; without this option there are none
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<String>,
    /// Most connections at once; more wait
    #[arg(long, value_name = "N", default_value_t = 4096)]
    pub max_connections: u32,
    /// Most connections of one client (an IPv4 address, or an IPv6 network of 64 bits), and most requests at once
    /// for one that a proxy speaks for; more are answered with 429 [default: an eighth of --max-connections]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections_per_client: Option<u32>,
    /// Most uploads at once; more wait
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_uploads: u32,
    /// Most uploads at once with the same token; more wait
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub max_uploads_per_token: u32,
    /// What a client has to take or send on average, a second
    #[arg(long, value_name = "SIZE", default_value = "1KiB", value_parser = size)]
    pub min_rate: u64,
    /// How many seconds a client may be slower than --min-rate before its connection is closed
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub stall: u64,
    /// Most memory for files that are kept compressed; beyond it they are sent as they are
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    pub coded_memory: u64,

    /// Most bytes of uploads with one token that no commit has named yet
    #[arg(long, value_name = "SIZE", default_value = "64GiB", value_parser = size)]
    pub max_uncommitted: u64,
    /// Days after which an upload that no commit has named is removed
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = clap::value_parser!(u64).range(..=36500))]
    pub keep_uncommitted: u64,
    /// Log only what needs attention, not every request
    #[arg(long)]
    pub quiet: bool,

    /// Write manual page and completions (for packaging)
    #[arg(long, value_name = "DIR", hide = true)]
    pub write_documents: Option<PathBuf>,
}

impl Args {
    /// How much is logged.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }

    /// How fast a client has to be.
    pub(crate) fn rules(&self) -> Rules {
        Rules { patience: Duration::from_secs(self.stall), rate: self.min_rate }
    }

    /// What may wait for a commit.
    pub(crate) fn bounds(&self) -> Bounds {
        let keep = Duration::from_secs(24 * 3600 * self.keep_uncommitted);
        Bounds { bytes: self.max_uncommitted, keep }
    }

    /// What one client may have of connections.
    pub(crate) fn share(&self) -> u32 {
        self.max_connections_per_client.unwrap_or(self.max_connections / 8).max(1)
    }
}

fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(format!("`{unit}` is not B, KiB, MiB, GiB or TiB")),
    };
    let number: u64 = number.parse().map_err(|_| "it does not begin with a number".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("16GiB"), Ok(16 << 30));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(size("1M"), Ok(1 << 20));
        for bad in ["", "GiB", "1.5GiB", "-1", "1 GB", "99999999TiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn is_consistent() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }
}
