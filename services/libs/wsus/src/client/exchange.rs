//! One HTTP exchange: the seam below which another network can be put in place of the machine's.

use super::Error;
use super::proxy::Way;
use super::proxy::trouble::ProxyTrouble;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_ENCODING, WWW_AUTHENTICATE};
use reqwest::Certificate;
use std::sync::Arc;
use std::time::Duration;

/// How long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Carries a request to the upstream server and its answer back. What is asked, what an answer may be,
/// and what is tried again is decided above it.
pub trait Exchange: std::fmt::Debug + Send + Sync + 'static {
    /// Sends a request, whose address is a whole URL. Comes back when the head of the answer is there.
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>>;
}

/// The answer to a request.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// How the server lets one sign in (`WWW-Authenticate`), where it does not let this one in.
    pub challenges: Vec<String>,
    /// The length of its body, where the server announced one.
    pub announced: Option<u64>,
    /// How its body is packed (`Content-Encoding`), where it is.
    pub coding: Option<String>,
    /// Its body, as it comes in.
    pub body: BoxStream<'static, Result<Bytes, ExchangeError>>,
}

/// How an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No connection came about.
    Connecting,
    /// The server was silent for too long.
    TimedOut,
    /// The connection broke.
    Broken,
}

/// Why an exchange failed. Reads as its cause does.
#[derive(Debug)]
pub struct ExchangeError {
    /// How.
    pub trouble: Trouble,
    /// What is wrong at the proxy, where it is that.
    proxy: Option<Box<ProxyTrouble>>,
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl ExchangeError {
    /// An exchange that failed because of `cause`.
    pub fn new(
        trouble: Trouble,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            trouble,
            proxy: None,
            cause: cause.into(),
        }
    }

    /// The same, now that it is known that it happened at the proxy.
    pub(super) fn at_proxy(self, trouble: ProxyTrouble) -> Self {
        Self {
            proxy: Some(Box::new(trouble)),
            ..self
        }
    }

    /// Takes out what is wrong at the proxy.
    pub(super) fn take_proxy(&mut self) -> Option<Box<ProxyTrouble>> {
        self.proxy.take()
    }

    /// The cause itself.
    pub(super) fn cause(&self) -> &(dyn std::error::Error + 'static) {
        self.cause.as_ref()
    }
}

impl std::fmt::Display for ExchangeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.cause, f)
    }
}

impl std::error::Error for ExchangeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

impl From<reqwest::Error> for ExchangeError {
    fn from(error: reqwest::Error) -> Self {
        let trouble = if error.is_timeout() {
            Trouble::TimedOut
        } else if error.is_connect() {
            Trouble::Connecting
        } else {
            Trouble::Broken
        };
        // The address stands in the message of whoever tells of the error.
        Self::new(trouble, error.without_url())
    }
}

/// The machine's network. The proxy is the one that is set or none: the environment is not asked.
#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
    proxy: Option<Arc<Way>>,
}

/// What the machine's network has to know.
pub(super) struct HttpSettings<'a> {
    /// Root of the upstream server, for errors.
    pub root: &'a str,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Certificates, in PEM, to trust besides those of the system.
    pub ca_file_pem: Option<&'a [u8]>,
    /// How long the server may be silent.
    pub timeout: Duration,
    /// Proxy to reach it through.
    pub proxy: Option<Arc<Way>>,
}

impl Http {
    pub fn new(settings: HttpSettings<'_>) -> Result<Self, Error> {
        let setup = |reason: reqwest::Error| Error::Setup {
            url: settings.root.to_owned(),
            reason: with_causes(&reason),
        };
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("headwater/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(settings.timeout))
            .read_timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_gzip()
            .no_proxy();
        if let Some(way) = &settings.proxy {
            builder = builder.proxy(way.for_reqwest().map_err(setup)?);
        }
        if let Some(pem) = settings.ca_file_pem {
            builder = builder.tls_certs_merge(certificates(pem)?);
        } else if !settings.tls {
            // Nothing to trust, so a system without any certificates does no harm.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self {
            client: builder.build().map_err(setup)?,
            proxy: settings.proxy,
        })
    }
}

impl Exchange for Http {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        let client = self.client.clone();
        let proxy = self.proxy.clone();
        Box::pin(async move {
            let target = request.uri().clone();
            let answer = match client.execute(request.try_into()?).await {
                Ok(answer) => answer,
                Err(error) => {
                    let connecting = error.is_connect();
                    let error = ExchangeError::from(error);
                    return Err(match proxy {
                        Some(way) if connecting => way.explain(error, &target).await,
                        _ => error,
                    });
                }
            };
            let status = answer.status();
            if let Some(way) = proxy
                && let Some(trouble) = way.answered(&target, status, answer.headers())
            {
                let cause = format!("HTTP status {status}");
                return Err(ExchangeError::new(Trouble::Broken, cause).at_proxy(trouble));
            }
            let coding = answer.headers().get(CONTENT_ENCODING);
            let coding = coding.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
            let challenges = challenges.filter_map(|value| value.to_str().ok());
            Ok(Answer {
                status,
                challenges: challenges.map(str::to_owned).collect(),
                announced: answer.content_length(),
                coding,
                body: answer.bytes_stream().map_err(Into::into).boxed(),
            })
        })
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, Error> {
    let refuse = |reason: String| Error::CaFile { reason };
    let certificates =
        Certificate::from_pem_bundle(pem).map_err(|error| refuse(with_causes(&error)))?;
    if certificates.is_empty() {
        return Err(refuse("there is no BEGIN CERTIFICATE in it".to_owned()));
    }
    Ok(certificates)
}

/// An error and its causes on one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_the_name_of_its_setting() {
        for pem in [&b"hello"[..], b"", b"-----BEGIN CERTIFICATE-----\nAAAA"] {
            let error = certificates(pem).unwrap_err().to_string();
            assert!(error.contains("upstream-ca-file"), "{error}");
        }
    }
}
