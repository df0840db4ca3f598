//! Listening: one TLS port for the site link, the admin API, health, reflection and plain HTTP.
//!
//! Whoever shows a certificate must have it from this hierarchy. What does not speak TLS is told so,
//! refused and journaled.

use crate::peer::{CertifiedSite, Peer};
use crate::refusals::Refusals;
use crate::site::BoxFuture;
use axum::Router;
use http::{HeaderMap, Method, Uri};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use journal::StatusId;
use rustls::ServerConfig;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;
use trust::PersonCertificate;
use trust::tls::HandshakeProblem;

use crate::dial::Io;
use crate::rewound::Rewound;

/// Connections at a time.
pub const MAX_CONNECTIONS: usize = 2048;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long open calls may go on after the signal to stop.
const DRAIN: Duration = Duration::from_secs(5);
/// Wait after an accept that did not succeed, for instance because files ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Bytes that a peer may send ahead of what was read, on a stream and on a connection.
const WINDOW: u32 = 1 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Streams at a time on a connection.
const MAX_STREAMS: u32 = 256;

/// The first byte of whoever speaks TLS.
const TLS_HANDSHAKE: [u8; 1] = [22];
/// Plain text that is read, and how long, so that the answer to it arrives.
const MOST_PLAIN_TEXT: u64 = 64 * 1024;
const PLAIN_TEXT_PATIENCE: Duration = Duration::from_secs(2);

/// What is said to someone who speaks HTTP without TLS.
const PLAIN_TEXT_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
Content-Length: 53\r\nConnection: close\r\n\r\nThis port speaks TLS only: use https in the address.\n";

/// Takes connections in: from TCP, or from a simulated network.
pub trait Acceptor: Send + 'static {
    /// The next connection, and where it comes from.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Io>, String)>>;
}

impl Acceptor for tokio::net::TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Io>, String)>> {
        Box::pin(async move {
            let (stream, address) = tokio::net::TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Io>, address.to_string()))
        })
    }
}

struct Context {
    router: Router,
    tls: Arc<ServerConfig>,
    refusals: Refusals,
}

/// Serves a router until `stop` is told, then lets open calls end.
pub async fn serve(
    mut acceptor: impl Acceptor,
    tls: Arc<ServerConfig>,
    router: Router,
    refusals: Refusals,
    stop: CancellationToken,
) {
    let context = Arc::new(Context {
        router,
        tls,
        refusals,
    });
    let tasks = TaskTracker::new();
    let graceful = Arc::new(GracefulShutdown::new());
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let context = Arc::clone(&context);
        let watcher = graceful.watcher();
        let stop = stop.clone();
        tasks.spawn(async move {
            let _place = place;
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake(&context, stream));
            let stream = tokio::select! {
                stream = handshake => stream,
                () = stop.cancelled() => return,
            };
            match stream {
                Ok(Ok(stream)) => connection(&context, stream, address, watcher).await,
                Ok(Err(problem)) => refuse(&context, &address, &problem).await,
                Err(_) => tracing::debug!(address, "a handshake took too long"),
            }
        });
    }
    tasks.close();
    let graceful = Arc::try_unwrap(graceful);
    let drain = async {
        if let Ok(graceful) = graceful {
            graceful.shutdown().await;
        }
        tasks.wait().await;
    };
    if tokio::time::timeout(DRAIN, drain).await.is_err() {
        tracing::debug!("some calls did not end in time and were cut off");
    }
}

type TlsStream = tokio_rustls::server::TlsStream<Box<dyn Io>>;

async fn handshake(
    context: &Context,
    mut stream: Box<dyn Io>,
) -> Result<TlsStream, HandshakeProblem> {
    let other = |error: io::Error| HandshakeProblem::from_io(&error);
    // Looked at before TLS has its turn, which would answer plain text with bytes of its own.
    let mut first = [0; 1];
    if stream.read(&mut first).await.map_err(other)? == 0 {
        return Err(HandshakeProblem::Closed);
    }
    if first != TLS_HANDSHAKE {
        answer_plain_text(stream).await;
        return Err(HandshakeProblem::PlainText);
    }
    let stream: Box<dyn Io> = Box::new(Rewound::new(first, stream));
    let acceptor = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let start = acceptor.await.map_err(other)?;
    start
        .into_stream(Arc::clone(&context.tls))
        .await
        .map_err(other)
}

/// Tells someone who does not speak TLS to do so.
async fn answer_plain_text(mut stream: Box<dyn Io>) {
    // The other side may be gone already.
    stream.write_all(PLAIN_TEXT_ANSWER).await.ok();
    stream.shutdown().await.ok();
    // What was not read when a connection is closed would take the answer back.
    let (mut rest, mut nowhere) = (stream.take(MOST_PLAIN_TEXT), tokio::io::sink());
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    tokio::time::timeout(PLAIN_TEXT_PATIENCE, read).await.ok();
}

async fn refuse(context: &Context, address: &str, problem: &HandshakeProblem) {
    let (id, inserts) = match problem {
        HandshakeProblem::PlainText => (StatusId::PlainTextRefused, vec![address.to_owned()]),
        HandshakeProblem::Closed => return,
        HandshakeProblem::Incompatible
        | HandshakeProblem::Expired(_)
        | HandshakeProblem::NotValidYet(_)
        | HandshakeProblem::OtherHierarchy
        | HandshakeProblem::Refused(_)
        | HandshakeProblem::BadCertificate(_)
        | HandshakeProblem::OurCertificateExpired
        | HandshakeProblem::OurCertificateForeign
        | HandshakeProblem::OurCertificateRefused(_)
        | HandshakeProblem::NoTime
        | HandshakeProblem::Other(_) => (
            StatusId::CertificateRefused,
            vec![address.to_owned(), problem.to_string()],
        ),
    };
    tracing::warn!(address, %problem, "a connection was refused");
    context.refusals.record(id, inserts).await;
}

async fn connection(
    context: &Context,
    stream: TlsStream,
    address: String,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let (site, person) = match stream.get_ref().1.peer_certificates() {
        None | Some([]) => (None, None),
        // It names a site or a person, and never both.
        Some([certificate, ..]) => match CertifiedSite::of(certificate) {
            Ok(site) => (Some(site), None),
            Err(error) => match PersonCertificate::of(certificate) {
                Ok(person) => (None, Some(person)),
                Err(_) => {
                    let problem = HandshakeProblem::BadCertificate(error.to_string());
                    refuse(context, &address, &problem).await;
                    return;
                }
            },
        },
    };
    let peer = Peer {
        address: address.clone(),
        site,
    };
    let router = context.router.clone();
    let service = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(person) = &person
            && is_meant(request.method(), request.headers(), request.uri())
        {
            request.extensions_mut().insert(person.clone());
        }
        router.clone().oneshot(request.map(axum::body::Body::new))
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(MAX_STREAMS);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(address, error = %error, "a connection ended");
    }
}

/// Whether the person meant the request. A browser shows a certificate to whoever's page makes it ask: what another
/// site's page sends does not count as that person's, unless it only reads, and then that page does not see the answer.
fn is_meant(method: &Method, headers: &HeaderMap, uri: &Uri) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return false;
    }
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| text("host"));
    // What no browser sends has no origin.
    text("origin").is_none_or(|origin| host.is_some() && origin.strip_prefix("https://") == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_page_sends_is_not_meant() {
        let meant = |method: &Method, pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let value = http::HeaderValue::from_bytes(value.as_bytes());
                headers.insert(*name, value.unwrap());
            }
            let uri = Uri::from_static("https://cas:8540/headwater.v1.SyncService/StartSync");
            is_meant(method, &headers, &uri)
        };
        let post = &Method::POST;
        assert!(meant(post, &[]), "a program");
        assert!(meant(
            post,
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://cas:8540")
            ]
        ));
        for site in ["cross-site", "same-site", "\u{e9}"] {
            assert!(!meant(post, &[("sec-fetch-site", site)]), "{site}");
        }
        for origin in [
            "https://cas:8541",
            "http://cas:8540",
            "null",
            "https://evil",
        ] {
            assert!(!meant(post, &[("origin", origin)]), "{origin}");
        }
        assert!(meant(&Method::GET, &[("sec-fetch-site", "cross-site")]));
    }

    #[test]
    fn the_answer_to_plain_text_has_the_length_that_it_states() {
        let text = std::str::from_utf8(PLAIN_TEXT_ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
}
