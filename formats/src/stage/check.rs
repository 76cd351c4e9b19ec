//! `[[check]]`: what must hold before or after a stage.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::command::CommandLine;
use crate::name::StageName;
use crate::period::Period;
use crate::send_headers::SendHeaders;

/// On which side of its stage a check stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The stage is not begun where it fails.
    Before,
    /// The stage counts as failed where it fails.
    #[default]
    After,
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::After => "after",
        })
    }
}

/// What must hold before or after a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawCheck", into = "RawCheck")]
pub struct Check {
    /// Which stage.
    pub stage: StageName,
    /// Before or after it.
    pub when: When,
    /// What is looked at.
    pub probe: Probe,
    /// How long one try may take.
    pub timeout: Option<Period>,
    /// How often to try again.
    pub retries: u32,
    /// How long to wait before another try.
    pub pause: Option<Period>,
}

impl Check {
    /// How long one try may take where nothing is said.
    pub const DEFAULT_TIMEOUT: Period = Period::seconds(10);
}

/// What a check looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A command ends with status 0.
    Command(CommandLine),
    /// A `GET` is answered as expected.
    Http(HttpCheck),
    /// A TCP connection can be made to `host:port`.
    Tcp(String),
    /// A file is there.
    File(FileCheck),
    /// A metric lies within bounds.
    Metric(MetricCheck),
}

/// Whom a check asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The release, at this path: the newcomer itself until requests go to it, then the gate.
    Path(String),
    /// Anybody.
    Url {
        /// The `http://` or `https://` address.
        url: String,
        /// Who may vouch for an `https` server, in PEM, in place of the system's authorities. Absolute,
        /// after `{prefix}` and its like are filled in.
        ca_file: Option<String>,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(text) | Self::Url { url: text, .. } => f.write_str(text),
        }
    }
}

/// How a `GET` must be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawHttp", into = "RawHttp")]
pub struct HttpCheck {
    /// Whom it asks.
    pub target: Target,
    /// The status; where it is missing, any from 200 to 399.
    pub expect: Option<u16>,
    /// What the body must contain.
    pub contains: Option<String>,
    /// Headers that must be there, by name, and what each must contain.
    pub headers: BTreeMap<String, String>,
    /// Fields of the request beside, or in place of, those that it always has.
    pub send_headers: SendHeaders,
}

/// What a file must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileCheck {
    /// Where it lies: absolute, after `{prefix}` and its like are filled in.
    pub path: String,
    /// Its permission bits, in octal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What it must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

/// What a metric of a Prometheus text endpoint must be. Every sample that has the name and the labels
/// must lie within the bounds, and there must be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawMetric", into = "RawMetric")]
pub struct MetricCheck {
    /// Whom it asks.
    pub target: Target,
    /// The metric.
    pub name: String,
    /// Labels that a sample must have; it may have others.
    pub labels: BTreeMap<String, String>,
    /// The least that is good.
    pub min: Option<Bound>,
    /// The most that is good.
    pub max: Option<Bound>,
    /// Fields of the request beside, or in place of, those that it always has.
    pub send_headers: SendHeaders,
}

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Bound(f64);

/// A check that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCheck(String);

impl Eq for Bound {}

impl TryFrom<f64> for Bound {
    type Error = InvalidCheck;

    fn try_from(number: f64) -> Result<Self, InvalidCheck> {
        if number.is_finite() { Ok(Self(number)) } else { Err(refuse("a bound must be finite")) }
    }
}

impl From<Bound> for f64 {
    fn from(bound: Bound) -> Self {
        bound.0
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn refuse(why: impl Into<String>) -> InvalidCheck {
    InvalidCheck(why.into())
}

/// What a probe looks at, for people.
impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => write!(f, "command {command}"),
            Self::Http(http) => write!(f, "http {}", http.target),
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::File(file) => write!(f, "file {}", file.path),
            Self::Metric(metric) => write!(f, "metric {}", metric.name),
        }
    }
}

/// A check as it is written: one key for what it looks at.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawCheck {
    stage: StageName,
    #[serde(default)]
    when: When,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<CommandLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metric: Option<MetricCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Period>,
    #[serde(default, skip_serializing_if = "is_zero")]
    retries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pause: Option<Period>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TryFrom<RawCheck> for Check {
    type Error = InvalidCheck;

    fn try_from(raw: RawCheck) -> Result<Self, InvalidCheck> {
        let probes = [
            raw.command.map(Probe::Command),
            raw.http.map(Probe::Http),
            raw.tcp.map(Probe::Tcp),
            raw.file.map(Probe::File),
            raw.metric.map(Probe::Metric),
        ];
        let mut probes = probes.into_iter().flatten();
        let (Some(probe), None) = (probes.next(), probes.next()) else {
            return Err(refuse("a check has one of command, http, tcp, file and metric"));
        };
        probe.check()?;
        let RawCheck { stage, when, timeout, retries, pause, .. } = raw;
        Ok(Self { stage, when, probe, timeout, retries, pause })
    }
}

impl From<Check> for RawCheck {
    fn from(check: Check) -> Self {
        let Check { stage, when, probe, timeout, retries, pause } = check;
        let (mut command, mut http, mut tcp, mut file, mut metric) = (None, None, None, None, None);
        match probe {
            Probe::Command(it) => command = Some(it),
            Probe::Http(it) => http = Some(it),
            Probe::Tcp(it) => tcp = Some(it),
            Probe::File(it) => file = Some(it),
            Probe::Metric(it) => metric = Some(it),
        }
        Self { stage, when, command, http, tcp, file, metric, timeout, retries, pause }
    }
}

impl Probe {
    /// Whether only the running release can answer it.
    #[must_use]
    pub fn asks_release(&self) -> bool {
        match self {
            Self::Http(http) => matches!(http.target, Target::Path(_)),
            Self::Metric(metric) => matches!(metric.target, Target::Path(_)),
            Self::Command(_) | Self::Tcp(_) | Self::File(_) => false,
        }
    }

    fn check(&self) -> Result<(), InvalidCheck> {
        match self {
            Self::Command(_) | Self::Http(_) | Self::Metric(_) => Ok(()),
            Self::Tcp(address) => match address.rsplit_once(':') {
                Some((host, port)) if !host.is_empty() && is_port(port) => Ok(()),
                _ if address == "{listen}" => Ok(()),
                _ => Err(refuse(format!("tcp has `{address}`: it is written host:port"))),
            },
            Self::File(file) => {
                let octal =
                    |mode: &String| u32::from_str_radix(mode, 8).is_ok_and(|bits| bits <= 0o7777);
                absolute("file path", &file.path)?;
                match &file.mode {
                    Some(mode) if !octal(mode) => {
                        Err(refuse(format!("file mode `{mode}` is not octal, such as \"0640\"")))
                    }
                    _ => Ok(()),
                }
            }
        }
    }
}

/// A path may begin with something that is filled in.
fn absolute(what: &str, path: &str) -> Result<(), InvalidCheck> {
    match path.starts_with(['/', '{']) {
        true => Ok(()),
        false => Err(refuse(format!("{what} `{path}` is not absolute"))),
    }
}

fn is_port(text: &str) -> bool {
    text == "{port}" || text.parse::<u16>().is_ok()
}

impl Target {
    fn new(
        path: Option<String>,
        url: Option<String>,
        ca_file: Option<String>,
    ) -> Result<Self, InvalidCheck> {
        let plain = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let secure = url.as_ref().is_some_and(|url| url.starts_with("https://"));
        if let Some(file) = &ca_file {
            absolute("ca-file", file)?;
            if !secure {
                return Err(refuse("ca-file is for a url that begins with `https://`"));
            }
        }
        match (path, url) {
            (Some(path), None) if path.starts_with('/') && plain(&path) => Ok(Self::Path(path)),
            (Some(path), None) => Err(refuse(format!("path `{path}` must begin with `/`"))),
            (None, Some(url)) if (secure || url.starts_with("http://")) && plain(&url) => {
                Ok(Self::Url { url, ca_file })
            }
            (None, Some(url)) => {
                Err(refuse(format!("url `{url}` must begin with `http://` or `https://`")))
            }
            _ => Err(refuse("one of path and url must be there")),
        }
    }

    /// `path`, `url` and `ca-file`.
    fn parts(self) -> (Option<String>, Option<String>, Option<String>) {
        match self {
            Self::Path(path) => (Some(path), None, None),
            Self::Url { url, ca_file } => (None, Some(url), ca_file),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawHttp {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expect: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contains: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "SendHeaders::is_empty")]
    send_headers: SendHeaders,
}

impl TryFrom<RawHttp> for HttpCheck {
    type Error = InvalidCheck;

    fn try_from(raw: RawHttp) -> Result<Self, InvalidCheck> {
        if let Some(status) = raw.expect.filter(|status| !(100..600).contains(status)) {
            return Err(refuse(format!("expect has {status}, which is no HTTP status")));
        }
        let RawHttp { path, url, ca_file, expect, contains, headers, send_headers } = raw;
        let target = Target::new(path, url, ca_file)?;
        Ok(Self { target, expect, contains, headers, send_headers })
    }
}

impl From<HttpCheck> for RawHttp {
    fn from(check: HttpCheck) -> Self {
        let HttpCheck { target, expect, contains, headers, send_headers } = check;
        let (path, url, ca_file) = target.parts();
        Self { path, url, ca_file, expect, contains, headers, send_headers }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawMetric {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
    name: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Bound>,
    #[serde(default, skip_serializing_if = "SendHeaders::is_empty")]
    send_headers: SendHeaders,
}

impl TryFrom<RawMetric> for MetricCheck {
    type Error = InvalidCheck;

    fn try_from(raw: RawMetric) -> Result<Self, InvalidCheck> {
        let RawMetric { path, url, ca_file, name, labels, min, max, send_headers } = raw;
        if min.is_none() && max.is_none() {
            return Err(refuse("a metric needs min, max or both"));
        }
        let target = Target::new(path, url, ca_file)?;
        Ok(Self { target, name, labels, min, max, send_headers })
    }
}

impl From<MetricCheck> for RawMetric {
    fn from(check: MetricCheck) -> Self {
        let MetricCheck { target, name, labels, min, max, send_headers } = check;
        let (path, url, ca_file) = target.parts();
        Self { path, url, ca_file, name, labels, min, max, send_headers }
    }
}
