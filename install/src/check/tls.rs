//! The `s` of a check's `https`: whose word for a server is taken, and what is wrong with a certificate
//! that does not do. There is no way to go without one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::disk::{DiskError, read};

/// How one server is known.
pub(super) struct Tls {
    name: ServerName<'static>,
    ca_file: Option<PathBuf>,
    connector: TlsConnector,
}

/// A server that cannot be spoken to in secret, or is not who it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// No certificate can be for it.
    #[error("`{0}` can be no certificate's name")]
    Name(String, #[source] InvalidDnsNameError),
    /// The file with authorities cannot be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file with authorities is something else.
    #[error("{} {why}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system has none.
    #[error("this machine knows no authority that could vouch for the server")]
    NoAuthority,
    /// Its certificate does not do.
    #[error("its certificate {}", blame(.why, .ca_file.as_deref()))]
    Certificate {
        /// What is wrong with it.
        why: CertificateError,
        /// Who could have vouched for it, where the check says so.
        ca_file: Option<PathBuf>,
    },
    /// It speaks something else, or broke off.
    #[error("TLS with it failed: {0}")]
    Speech(io::Error),
}

impl Tls {
    /// The server at `host`, for which the authorities in `ca_file` may vouch, or those of the system.
    pub(super) fn new(host: &str, ca_file: Option<PathBuf>) -> Result<Self, TlsError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|error| TlsError::Name(host.to_owned(), error))?;
        let roots = match &ca_file {
            Some(file) => authorities_in(file)?,
            None => authorities_of_system()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS needs")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { name, ca_file, connector: Arc::new(config).into() })
    }

    /// The same connection, in secret and with whom it should be.
    pub(super) async fn on(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let connected = self.connector.connect(self.name.clone(), stream).await;
        connected.map_err(|error| {
            match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(rustls::Error::InvalidCertificate(why)) => {
                    TlsError::Certificate { why: why.clone(), ca_file: self.ca_file.clone() }
                }
                _ => TlsError::Speech(error),
            }
        })
    }
}

fn authorities_in(path: &Path) -> Result<RootCertStore, TlsError> {
    let pem = read(path)?;
    let wrong = |why: String| TlsError::File { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|it| roots.add(it).map_err(|error| error.to_string()))
            .map_err(|why| wrong(format!("holds a certificate that cannot be read: {why}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("holds no certificate".to_owned()));
    }
    Ok(roots)
}

fn authorities_of_system() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "not among the system's authorities");
    }
    let mut roots = RootCertStore::empty();
    let _ = roots.add_parsable_certificates(found.certs);
    if roots.is_empty() { Err(TlsError::NoAuthority) } else { Ok(roots) }
}

/// What is wrong with a certificate.
fn blame(why: &CertificateError, ca_file: Option<&Path>) -> String {
    match why {
        // Signed badly is signed by somebody else of that name, such as the same authority anew.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => match ca_file {
            Some(file) => format!("comes from nobody that {} names", file.display()),
            None => "comes from an authority that this machine does not know".to_owned(),
        },
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("expired at {}", moment(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("holds only from {} on", moment(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| plain(name)).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("is for {names}, and not for {}", expected.to_str())
        }
        CertificateError::Other(other) => format!("does not do: {}", other.0),
        why => format!("does not do: {why}"),
    }
}

/// `DnsName("a.example")` without what is around it.
fn plain(name: &str) -> &str {
    let inside = name.split_once('(').map_or(name, |(_, inside)| inside.trim_end_matches(')'));
    inside.trim_matches('"')
}

fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).ok();
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "no time at all".to_owned(), |time| time.to_string())
}

impl TlsError {
    /// What to do about it.
    pub(super) fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::Name(..) => "ask it by the name that its certificate has",
            Self::Disk(_) | Self::File { .. } => {
                "`ca-file` of a check names authorities in PEM: `-----BEGIN CERTIFICATE-----`"
            }
            Self::NoAuthority => {
                "install the system's authorities (Debian: `ca-certificates`), or name some in the check: \
                 `ca-file`"
            }
            Self::Certificate { why, ca_file } => advice(why, ca_file.as_deref()),
            Self::Speech(_) => {
                "is it a TLS server at this port? A plain one has an `http://` address"
            }
        };
        vec![hint.to_owned()]
    }
}

fn advice(why: &CertificateError, ca_file: Option<&Path>) -> &'static str {
    match (why, ca_file) {
        (CertificateError::UnknownIssuer | CertificateError::BadSignature, None) => {
            "name its authority in the check, `ca-file = \"/path/ca.pem\"`, or make it one of the system's; a \
             server must also show the authorities between"
        }
        (CertificateError::UnknownIssuer | CertificateError::BadSignature, Some(_)) => {
            "put the certificate of its authority into that file; a server must also show the authorities \
             between"
        }
        (
            CertificateError::ExpiredContext { .. } | CertificateError::NotValidYetContext { .. },
            _,
        ) => "renew the server's certificate, or set this machine's clock, whichever is wrong",
        (CertificateError::NotValidForNameContext { .. }, _) => {
            "ask it by a name that its certificate has, or have that name put into it as a subjectAltName"
        }
        _ => {
            "a server's certificate is issued to it by an authority, for `serverAuth`, and is no authority's \
             itself"
        }
    }
}
