//! The ports: HTTP, which is what WSUS servers speak among themselves as a rule, and HTTPS.

use crate::limits::Connections;
use crate::service::Served;
use crate::stall::Stalling;
use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use link::settings::wsus::{WsusSettings, WsusTls, content_port};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wsus::server::OverHttps;

/// Connections at a time, on each port.
const MAX_CONNECTIONS: usize = 1024;
/// How long a handshake, and the head of a request, may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long open calls may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Wait after an accept that did not succeed, for instance because files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes of a request's head that are read.
const MAX_HEAD: usize = 64 << 10;
/// How long a connection may last: whoever asks on opens another.
const MOST_TIME: Duration = Duration::from_secs(6 * 60 * 60);

/// Why a port cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be bound.
    #[error("cannot listen on {address} for WSUS servers; is another server running there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("the setting wsus.{setting}, {}", path.display())]
    Pem {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Certificate and key are no pair, or not usable.
    #[error(
        "the settings wsus.certificate-file and wsus.key-file do not make a usable certificate"
    )]
    Certificate(#[from] rustls::Error),
}

/// A port that is bound and does not serve yet.
pub struct Port {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

/// All ports of a site, bound.
pub struct Bound {
    pub(crate) ports: Vec<Port>,
    /// Address of the port for HTTP.
    pub http: Option<SocketAddr>,
    /// Address of the port for HTTPS.
    pub https: Option<SocketAddr>,
}

impl Bound {
    /// Binds the ports of the settings, and reads what they need.
    ///
    /// # Errors
    /// When an address is taken, or a file is not usable.
    pub async fn new(settings: &WsusSettings) -> Result<Self, Error> {
        let mut bound = Self {
            ports: Vec::new(),
            http: None,
            https: None,
        };
        if let Some(address) = settings.listen {
            let (port, address) = bind(address, None).await?;
            bound.http = Some(address);
            bound.ports.push(port);
        }
        if let Some(tls) = &settings.tls {
            let acceptor = TlsAcceptor::from(Arc::new(server_config(tls)?));
            let (port, address) = bind(tls.listen, Some(acceptor)).await?;
            bound.https = Some(address);
            bound.ports.push(port);
        }
        bound.warn_of_files();
        Ok(bound)
    }

    /// WSUS servers that synchronize over HTTPS fetch files over HTTP, from a port that follows from the other.
    fn warn_of_files(&self) {
        let Some(https) = self.https.map(|address| address.port()) else {
            return;
        };
        let content = content_port(https);
        if self.http.map(|address| address.port()) != Some(content) {
            tracing::warn!(
                "WSUS servers that synchronize over HTTPS on port {https} fetch the files of updates over HTTP on port \
                 {content}, where nothing listens here: set wsus.listen to that port, unless something in front of this \
                 site serves it"
            );
        }
    }

    /// The ports as URLs.
    pub fn urls(&self) -> impl Iterator<Item = String> {
        let url = |scheme: &str, address: Option<SocketAddr>| {
            address.map(|address| format!("{scheme}://{address}"))
        };
        let urls = [url("http", self.http), url("https", self.https)];
        urls.into_iter().flatten()
    }
}

async fn bind(address: SocketAddr, tls: Option<TlsAcceptor>) -> Result<(Port, SocketAddr), Error> {
    let failed = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((Port { listener, tls }, local))
}

fn server_config(tls: &WsusTls) -> Result<ServerConfig, Error> {
    let failed = |setting, path: &PathBuf| {
        let path = path.clone();
        move |source| Error::Pem {
            setting,
            path,
            source,
        }
    };
    let file = &tls.certificate_file;
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed("certificate-file", file))?;
    let file = &tls.key_file;
    let key = PrivateKeyDer::from_pem_file(file).map_err(failed("key-file", file))?;
    let mut config = ServerConfig::builder_with_provider(trust::tls::provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves a port until `stop` is told, then lets open calls end.
pub async fn serve(port: Port, served: Served, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = Connections::default();
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = port.listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection of a WSUS server could not be taken in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(share) = connections.take(peer.ip()) else {
            tracing::debug!(%peer, "a client has too many connections");
            continue;
        };
        stream.set_nodelay(true).ok();
        let (tls, served) = (port.tls.clone(), served.clone());
        let (watcher, stop) = (graceful.watcher(), stop.clone());
        tasks.spawn(async move {
            let (_place, _share) = (place, share);
            let talk = talk(stream, tls, peer, served, watcher);
            tokio::select! {
                talked = tokio::time::timeout(MOST_TIME, talk) => if talked.is_err() {
                    tracing::debug!(%peer, "a connection was open for too long");
                },
                () = async { stop.cancelled().await; tokio::time::sleep(DRAIN).await } => {}
            }
        });
    }
    tasks.close();
    let drain = async {
        graceful.shutdown().await;
        tasks.wait().await;
    };
    if tokio::time::timeout(DRAIN, drain).await.is_err() {
        tracing::debug!("some calls of WSUS servers did not end in time and were cut off");
    }
}

async fn talk(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    peer: SocketAddr,
    served: Served,
    watcher: Watcher,
) {
    let Some(tls) = tls else {
        return connection(stream, None, peer, served, watcher).await;
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => connection(stream, Some(OverHttps), peer, served, watcher).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a handshake did not succeed"),
        Err(_) => tracing::debug!(%peer, "a handshake took too long"),
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    https: Option<OverHttps>,
    peer: SocketAddr,
    served: Served,
    watcher: Watcher,
) {
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        if let Some(https) = https {
            request.extensions_mut().insert(https);
        }
        let served = served.clone();
        async move {
            let answer = served.answer(peer.ip(), request.map(Body::new)).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_TIMEOUT)
        .max_buf_size(MAX_HEAD);
    let connection = builder.serve_connection(TokioIo::new(Stalling::new(stream)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "a connection of a WSUS server ended");
    }
}
