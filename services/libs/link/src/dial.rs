//! Dialling a site: a gRPC channel over TLS to an address. The address is only a locator; which site
//! answers is decided by its certificate.

use crate::site::BoxFuture;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use trust::tls::HandshakeProblem;

/// How long connecting and the handshake may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// An idle connection is asked for a sign of life this often.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// How long a sign of life may take.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Bytes that a peer may send ahead of what was read, on a stream and on a connection.
const WINDOW: u32 = 4 << 20;
/// Port where an address names none.
const DEFAULT_PORT: u16 = 8540;

/// A byte stream to a peer.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Opens byte streams: over TCP, or over a simulated network.
pub trait Connector: Send + Sync + 'static {
    /// A stream to a host and port.
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Io>>>;
}

/// Opens TCP connections.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// An address that cannot be dialled, or a site that could not be reached there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address.
    #[error("{0:?} is not the address of a site: use https://host:port")]
    Address(String),
    /// Plain text is not spoken between sites.
    #[error("{0:?} is a plain-text address: sites speak TLS only, use https://")]
    PlainText(String),
    /// Nobody answered, or not as a site does.
    #[error("cannot reach {url}: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why, for people.
        why: String,
    },
    /// Somebody answered who is not, or does not take us for, what was expected. Dialling again does
    /// not help.
    #[error("{url} is not the site that was dialled: {why}")]
    Refused {
        /// The address.
        url: String,
        /// Why, for people.
        why: String,
    },
}

/// Host and port of an address.
///
/// # Errors
/// When it is none, or a plain-text one.
pub fn host_and_port(url: &str) -> Result<(String, u16), Error> {
    let bad = || Error::Address(url.to_owned());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") => return Err(Error::PlainText(url.to_owned())),
        _ => return Err(bad()),
    }
    let host = uri.host().ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host.to_owned(), uri.port_u16().unwrap_or(DEFAULT_PORT)))
}

/// A channel to a site, connected. It connects again by itself when it has to.
///
/// # Errors
/// When the address is none, or the site cannot be reached there.
pub async fn channel(
    url: &str,
    tls: Arc<ClientConfig>,
    connector: Arc<dyn Connector>,
) -> Result<Channel, Error> {
    let (host, port) = host_and_port(url)?;
    let endpoint = Endpoint::from_static("http://site")
        .origin(Uri::from_static("https://site"))
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let dial = tower::service_fn(move |_: Uri| {
        let (host, tls, connector) = (host.clone(), Arc::clone(&tls), Arc::clone(&connector));
        async move {
            let handshake = connect_tls(host, port, tls, connector);
            let stream = tokio::time::timeout(CONNECT_TIMEOUT, handshake)
                .await
                .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "nobody answered"))??;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    endpoint
        .connect_with_connector(dial)
        .await
        .map_err(|error| {
            let (url, why) = (url.to_owned(), explain(&error));
            if is_refusal(&error) {
                Error::Refused { url, why }
            } else {
                Error::Unreachable { url, why }
            }
        })
}

/// Whether a handshake ended because of who the two sides are.
fn is_refusal(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let problem = error
            .downcast_ref::<io::Error>()
            .and_then(|io| io.get_ref())
            .and_then(|inner| inner.downcast_ref::<HandshakeProblem>());
        if let Some(problem) = problem {
            return match problem {
                HandshakeProblem::PlainText
                | HandshakeProblem::Incompatible
                | HandshakeProblem::OtherHierarchy
                | HandshakeProblem::Refused(_)
                | HandshakeProblem::BadCertificate(_)
                | HandshakeProblem::OurCertificateExpired
                | HandshakeProblem::OurCertificateForeign
                | HandshakeProblem::OurCertificateRefused(_) => true,
                HandshakeProblem::Expired(_)
                | HandshakeProblem::NotValidYet(_)
                | HandshakeProblem::Closed
                | HandshakeProblem::NoTime
                | HandshakeProblem::Other(_) => false,
            };
        }
        cause = error.source();
    }
    false
}

async fn connect_tls(
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    connector: Arc<dyn Connector>,
) -> io::Result<tokio_rustls::client::TlsStream<Box<dyn Io>>> {
    let name = ServerName::try_from(host.clone())
        .or_else(|_| ServerName::try_from("site"))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let stream = connector.connect(host, port).await?;
    let stream = TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(handshake_failed)?;
    if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
        return Err(io::Error::other("the other side does not speak HTTP/2"));
    }
    Ok(stream)
}

fn handshake_failed(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), HandshakeProblem::from_io(&error))
}

/// Words of rustls for a connection that ended without its last message.
const NO_CLOSE_NOTIFY: &str = "without sending TLS close_notify";
/// What is said of a connection that ended without a word.
const CLOSED_ABRUPTLY: &str = "the other side closed the connection without a word: it, or something in \
                               between, may have been stopped";

/// The innermost cause of a failure, which is the one that says something.
pub fn explain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    let text = match innermost.downcast_ref::<io::Error>() {
        // A TLS alert that arrives after the handshake shows only here.
        Some(io) if io.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
            HandshakeProblem::from_io(io).to_string()
        }
        Some(_) | None => innermost.to_string(),
    };
    // HTTP/2 keeps the words of rustls alone, and with them an address of its documentation.
    match text.contains(NO_CLOSE_NOTIFY) {
        true => CLOSED_ABRUPTLY.to_owned(),
        false => text,
    }
}

/// What a call that failed says to people: the other side's words, or why it was not reached.
pub fn explain_status(status: &tonic::Status) -> String {
    let source = std::error::Error::source(status);
    match source {
        Some(source) => explain(source),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_cut_is_told_in_our_own_words() {
        let of_rustls = "peer closed connection without sending TLS close_notify: \
                         https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html";
        let cut = io::Error::new(io::ErrorKind::UnexpectedEof, of_rustls);
        let cut = tonic::Status::from_error(Box::new(cut));
        assert_eq!(explain_status(&cut), CLOSED_ABRUPTLY);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::UnexpectedEof, of_rustls));
        let told = explain(&wrapped);
        assert!(!told.contains("docs.rs"), "{told}");
    }

    #[test]
    fn an_address_is_https_with_a_host() {
        assert_eq!(
            host_and_port("https://cas.example:9000").unwrap(),
            ("cas.example".to_owned(), 9000)
        );
        assert_eq!(host_and_port("https://cas").unwrap().1, DEFAULT_PORT);
        assert_eq!(host_and_port("https://[::1]:1").unwrap().0, "::1");
        assert!(matches!(
            host_and_port("http://cas:8540"),
            Err(Error::PlainText(_))
        ));
        for text in ["", "cas", "ftp://cas", "https://"] {
            assert!(
                matches!(host_and_port(text), Err(Error::Address(_))),
                "{text}"
            );
        }
    }
}
