//! One question to one member, with whatever it takes to be let in.

use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use cutover_formats::node_toml::{self, EtcdEndpoint, EtcdLogin};
use cutover_formats::secret::Secret;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Certificate, Client, Identity, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{EtcdError, code};
use super::wire::Refusal;
use super::{ANSWER, Etcd};

const AGENT: &str = concat!("cutover/", env!("CARGO_PKG_VERSION"));
const CONNECT: Duration = Duration::from_secs(2);
/// More than etcd stores under one key.
const LONGEST_ANSWER: usize = 8 * 1024 * 1024;

/// Who we are.
#[derive(Debug)]
pub(super) struct Login {
    user: String,
    password: Secret,
}

/// Why a member gave no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Another may.
    Here(String),
    /// None will.
    Everywhere(EtcdError),
}

#[derive(Serialize)]
struct Authenticate<'a> {
    name: &'a str,
    password: &'a str,
}

#[derive(Deserialize)]
struct Authenticated {
    token: String,
}

impl Login {
    /// Reads the password. It is not sent where it could be overheard.
    pub(super) fn read(
        login: &EtcdLogin,
        settings: &node_toml::Etcd,
        files: &Files<'_>,
    ) -> Result<Self, EtcdError> {
        let overheard = |endpoint: &&EtcdEndpoint| endpoint.is_plain() && !is_loopback(endpoint);
        if let Some(endpoint) = settings.endpoints.iter().find(overheard) {
            let (user, endpoint) = (login.user.clone(), endpoint.to_string());
            return Err(EtcdError::PlainPassword { user, endpoint });
        }
        let text = files.read(&login.password_file)?;
        let text = String::from_utf8_lossy(&text);
        let password = Secret::new(text.lines().next().unwrap_or_default().to_owned());
        Ok(Self { user: login.user.clone(), password })
    }
}

/// The files that the settings name.
pub(super) struct Files<'a> {
    /// Where relative paths are below.
    pub(super) folder: &'a Path,
    /// Reads one.
    pub(super) read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl Files<'_> {
    fn read(&self, file: &Path) -> Result<Vec<u8>, EtcdError> {
        let path = self.folder.join(file);
        (self.read)(&path).map_err(|error| EtcdError::File { path, error })
    }
}

/// A client that knows the certificates of the settings.
pub(super) fn client(settings: &node_toml::Etcd, files: &Files<'_>) -> Result<Client, EtcdError> {
    // Another part of the program may have installed it before: just as good.
    let _ =
        rustls::crypto::CryptoProvider::install_default(rustls::crypto::ring::default_provider());
    let tls = |error: reqwest::Error| EtcdError::Tls(cause(&error));
    // A cluster is never behind a proxy.
    let mut builder =
        Client::builder().user_agent(AGENT).connect_timeout(CONNECT).http1_only().no_proxy();
    if settings.endpoints.iter().all(EtcdEndpoint::is_plain) {
        // So that a machine without certificates will do.
        builder = builder.tls_certs_only([]);
    } else if let Some(file) = &settings.tls.ca_file {
        let certificates = Certificate::from_pem_bundle(&files.read(file)?).map_err(tls)?;
        if certificates.is_empty() {
            return Err(EtcdError::Tls(format!("{} holds no certificate", file.display())));
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let Some(identity) = &settings.tls.identity {
        let mut pem = files.read(&identity.certificate_file)?;
        pem.push(b'\n');
        pem.extend(files.read(&identity.key_file)?);
        builder = builder.identity(Identity::from_pem(&pem).map_err(tls)?);
    }
    builder.build().map_err(tls)
}

impl Etcd {
    /// Asks one member, logged in where that is needed.
    pub(super) async fn ask<A: DeserializeOwned>(
        &self,
        endpoint: &EtcdEndpoint,
        method: &str,
        question: &impl Serialize,
    ) -> Result<A, Trouble> {
        let asking = async {
            let response = self.admitted(endpoint, method, question).await?;
            let bytes = whole(response).await?;
            serde_json::from_slice(&bytes)
                .map_err(|error| Trouble::Here(format!("it answered nonsense: {error}")))
        };
        tokio::time::timeout(ANSWER, asking)
            .await
            .unwrap_or_else(|_| Err(Trouble::Here(format!("no answer within {ANSWER:?}"))))
    }

    /// The same, up to the head of a good answer, whose body may be a stream.
    pub(super) async fn admitted(
        &self,
        endpoint: &EtcdEndpoint,
        method: &str,
        question: &impl Serialize,
    ) -> Result<Response, Trouble> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let token = match (token, &self.login) {
            (None, Some(login)) => self.log_in(endpoint, login).await?,
            (token, _) => token,
        };
        match (self.post(endpoint, method, question, token.as_deref()).await, &self.login) {
            (Err(Trouble::Everywhere(EtcdError::Refused { code, .. })), Some(login))
                if code == code::UNAUTHENTICATED =>
            {
                // Tokens end after some minutes.
                let token = self.log_in(endpoint, login).await?;
                self.post(endpoint, method, question, token.as_deref()).await
            }
            (answer, _) => answer,
        }
    }

    /// A new token; none where etcd lets everybody in.
    async fn log_in(
        &self,
        endpoint: &EtcdEndpoint,
        login: &Login,
    ) -> Result<Option<String>, Trouble> {
        let question = Authenticate { name: &login.user, password: login.password.reveal() };
        let token = match self.post(endpoint, "auth/authenticate", &question, None).await {
            Ok(response) => {
                let bytes = whole(response).await?;
                let answer: Authenticated = serde_json::from_slice(&bytes)
                    .map_err(|_| Trouble::Here("it answered nonsense to a login".to_owned()))?;
                Some(answer.token)
            }
            Err(Trouble::Everywhere(EtcdError::Refused { code, .. }))
                if code == code::FAILED_PRECONDITION =>
            {
                None
            }
            Err(trouble) => return Err(trouble),
        };
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&token);
        Ok(token)
    }

    async fn post(
        &self,
        endpoint: &EtcdEndpoint,
        method: &str,
        question: &impl Serialize,
        token: Option<&str>,
    ) -> Result<Response, Trouble> {
        let body =
            serde_json::to_vec(question).map_err(|error| Trouble::Here(error.to_string()))?;
        let mut request = self.client.post(format!("{endpoint}/v3/{method}")).body(body);
        if let Some(mut token) = token.and_then(|token| HeaderValue::from_str(token).ok()) {
            token.set_sensitive(true);
            request = request.header(AUTHORIZATION, token);
        }
        let response = request.send().await.map_err(|error| Trouble::Here(cause(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = whole(response).await?;
        match serde_json::from_slice::<Refusal>(&bytes) {
            Ok(refusal) => Err(refused(endpoint, method, refusal)),
            Err(_) => Err(Trouble::Here(format!("it answered {status}, as etcd does not"))),
        }
    }
}

/// What is wrong with the question is so everywhere; what is wrong with a member is not.
fn refused(endpoint: &EtcdEndpoint, method: &str, refusal: Refusal) -> Trouble {
    let Refusal { error, message, code } = refusal;
    let message = if message.is_empty() { error } else { message };
    match code {
        code::INVALID_ARGUMENT
        | code::NOT_FOUND
        | code::PERMISSION_DENIED
        | code::FAILED_PRECONDITION
        | code::OUT_OF_RANGE
        | code::UNAUTHENTICATED => Trouble::Everywhere(EtcdError::Refused {
            endpoint: endpoint.to_string(),
            method: method.to_owned(),
            code,
            message,
        }),
        _ => Trouble::Here(message),
    }
}

async fn whole(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::Here(cause(&error)))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(Trouble::Here("its answer has no end".to_owned()));
        }
    }
    Ok(bytes)
}

/// What lies at the bottom of an error: reqwest's own words only say that there was one.
pub(super) fn cause(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn is_loopback(endpoint: &EtcdEndpoint) -> bool {
    let url = Url::parse(endpoint.as_str()).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
