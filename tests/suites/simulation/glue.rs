//! Where the product meets the simulated network and clock: everything that a run replaces is here.

use axum::serve::Listener;
use bytes::Bytes;
use daemon::{Ambient, Clock};
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};
use hyper::body::Body as _;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use link::dial::{Connector, Io};
use link::listen::Acceptor;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use turmoil::net::{TcpListener, TcpStream};
use wsus::client::{Answer, Exchange, ExchangeError, Trouble};

/// When every run begins: 2026-01-05.
const EPOCH: i64 = 1_767_571_200;
/// How long the upstream may be silent before the client gives up.
const SILENCE: Duration = Duration::from_secs(20);

/// What all hosts of a run share with the network: its clock, its trace, and its meters.
#[derive(Debug, Clone, Default)]
pub struct Network {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Microseconds since the run began, for whoever asks from outside of a host.
    now: AtomicU64,
    events: Mutex<Vec<Event>>,
    meters: Mutex<BTreeMap<(String, String), Meter>>,
}

/// What went over connections from one host to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meter {
    /// Connections that came about.
    pub connections: u64,
    /// Bytes that came back to the one who dialled.
    pub received: u64,
}

/// Something that happened in a run. Sizes are left out: keys and signatures are truly random, and not
/// always of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since the run began.
    pub at: u64,
    /// The host where it happened.
    pub host: Arc<str>,
    /// What.
    pub what: String,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Network {
    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        let outside = || Duration::from_micros(self.inner.now.load(Ordering::Relaxed));
        turmoil::sim_elapsed().unwrap_or_else(outside)
    }

    /// Tells how long the run has lasted.
    pub fn set_elapsed(&self, elapsed: Duration) {
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.inner.now.store(elapsed, Ordering::Relaxed);
    }

    /// Notes an event.
    pub fn note(&self, host: &Arc<str>, what: impl Into<String>) {
        let event = Event {
            at: u64::try_from(self.elapsed().as_micros()).unwrap_or(u64::MAX),
            host: Arc::clone(host),
            what: what.into(),
        };
        locked(&self.inner.events).push(event);
    }

    /// Everything that happened.
    pub fn events(&self) -> Vec<Event> {
        locked(&self.inner.events).clone()
    }

    /// What went from one host to another and back.
    pub fn meters(&self) -> BTreeMap<(String, String), Meter> {
        locked(&self.inner.meters).clone()
    }

    fn meter(&self, from: &str, to: &str, change: impl FnOnce(&mut Meter)) {
        let mut meters = locked(&self.inner.meters);
        change(meters.entry((from.to_owned(), to.to_owned())).or_default());
    }
}

/// A host's own clock: that of the run, and how far it is off.
#[derive(Debug)]
pub struct HostClock {
    network: Network,
    skew: Arc<AtomicI64>,
}

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.network.elapsed()).unwrap_or_default();
        let skew = SignedDuration::from_millis(self.skew.load(Ordering::Relaxed));
        Timestamp::from_second(EPOCH).unwrap() + elapsed + skew
    }
}

/// A host, as the product sees the world from it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name on the network.
    pub name: Arc<str>,
    /// The network.
    pub network: Network,
    /// How far its clock is off, in milliseconds.
    pub skew: Arc<AtomicI64>,
}

impl Host {
    /// A host whose clock is right.
    pub fn new(name: &str, network: &Network) -> Self {
        Self {
            name: name.into(),
            network: network.clone(),
            skew: Arc::default(),
        }
    }

    /// Time, identifiers and randomness.
    pub fn ambient(&self, seed: u64) -> Ambient {
        let clock = HostClock {
            network: self.network.clone(),
            skew: Arc::clone(&self.skew),
        };
        Ambient::seeded(Arc::new(clock), seed)
    }

    /// Notes an event of this host.
    pub fn note(&self, what: impl Into<String>) {
        self.network.note(&self.name, what);
    }

    /// Listens on a port.
    pub async fn listen(&self, port: u16) -> io::Result<SimulatedListener> {
        Ok(SimulatedListener {
            listener: TcpListener::bind(("0.0.0.0", port)).await?,
            host: self.clone(),
        })
    }

    async fn connect(self, to: String, port: u16) -> io::Result<Watched> {
        let connected = TcpStream::connect((to.as_str(), port)).await;
        self.note(match &connected {
            Ok(_) => format!("connected to {to}"),
            Err(error) => format!("not connected to {to}: {}", error.kind()),
        });
        let stream = connected?;
        self.network
            .meter(&self.name, &to, |meter| meter.connections += 1);
        Ok(Watched {
            stream,
            host: self,
            dialled: Some(to),
        })
    }
}

impl Connector for Host {
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let connecting = Self::connect(self.clone(), host, port);
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn Io>) })
    }
}

/// A listener in the simulated network.
pub struct SimulatedListener {
    listener: TcpListener,
    host: Host,
}

impl SimulatedListener {
    async fn next(&mut self) -> io::Result<(Watched, SocketAddr)> {
        let (stream, address) = self.listener.accept().await?;
        self.host.note(format!("accepted {address}"));
        let host = self.host.clone();
        let dialled = None;
        let stream = Watched {
            stream,
            host,
            dialled,
        };
        Ok((stream, address))
    }
}

impl Acceptor for SimulatedListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Box<dyn Io>, String)>> {
        Box::pin(async move {
            let (stream, address) = self.next().await?;
            Ok((Box::new(stream) as Box<dyn Io>, address.to_string()))
        })
    }
}

impl Listener for SimulatedListener {
    type Io = Watched;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        self.next().await.unwrap()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A stream whose every turn is in the trace, and whose bytes are counted.
pub struct Watched {
    stream: TcpStream,
    host: Host,
    /// The host that was dialled, at the end that dialled.
    dialled: Option<String>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let bytes = buffer.filled().len() - before;
        if bytes == 0 {
            self.host.note(if read.is_ok() { "end" } else { "broken" });
        }
        if let Some(to) = &self.dialled {
            let network = &self.host.network;
            network.meter(&self.host.name, to, |meter| meter.received += bytes as u64);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.host.note(match (&written, &self.dialled) {
            (Ok(_), Some(to)) => format!("wrote to {to}"),
            (Ok(_), None) => "answered".to_owned(),
            (Err(error), _) => format!("could not write: {}", error.kind()),
        });
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// SOAP over the simulated network: a connection for each exchange.
#[derive(Debug, Clone)]
pub struct SimulatedHttp {
    /// The host that asks.
    pub host: Host,
}

impl Exchange for SimulatedHttp {
    fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> BoxFuture<'static, Result<Answer, ExchangeError>> {
        Box::pin(exchange(self.host.clone(), request))
    }
}

async fn exchange(host: Host, request: http::Request<Vec<u8>>) -> Result<Answer, ExchangeError> {
    let failed = |trouble| move |error: io::Error| ExchangeError::new(trouble, error);
    let broken = |error: hyper::Error| ExchangeError::new(Trouble::Broken, error);
    let silent = |_| ExchangeError::new(Trouble::TimedOut, "the upstream is silent");
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().unwrap().clone();
    let port = authority.port_u16().unwrap_or(80);
    let stream = timeout(SILENCE, Host::connect(host, authority.host().into(), port))
        .await
        .map_err(silent)?
        .map_err(failed(Trouble::Connecting))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    TaskTracker::new().spawn(connection);
    let host = http::HeaderValue::from_str(authority.as_str()).unwrap();
    parts.headers.insert(http::header::HOST, host);
    parts.uri = parts.uri.path().parse().unwrap();
    let request = http::Request::from_parts(parts, axum::body::Body::from(body));
    let answer = timeout(SILENCE, sender.send_request(request))
        .await
        .map_err(silent)?
        .map_err(broken)?;
    let status = answer.status();
    let coding = answer.headers().get(http::header::CONTENT_ENCODING);
    let coding = coding.map(|coding| coding.to_str().unwrap().to_owned());
    let body = answer.into_body();
    Ok(Answer {
        status,
        challenges: Vec::new(),
        announced: body.size_hint().exact(),
        coding,
        body: stream::unfold(body, |mut body| async move {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let chunk = match timeout(SILENCE, frame).await {
                Ok(None) => return None,
                Ok(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_else(|_| Bytes::new())),
                Ok(Some(Err(error))) => Err(ExchangeError::new(Trouble::Broken, error)),
                Err(_) => Err(ExchangeError::new(
                    Trouble::TimedOut,
                    "the upstream is silent",
                )),
            };
            Some((chunk, body))
        })
        .boxed(),
    })
}
