//! A pull as a site does it, with the site's own certificate, where every change of direction on the
//! connection is counted: how many round trips it takes is seen, not believed.

use crate::figures::median;
use daemon::{Clock as _, SystemClock};
use link::dial::{self, Connector, Io};
use link::site::BoxFuture;
use secrecy::SecretString;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use trust::tls::{self, HotCertificate, ServerTrust};
use trust::{SiteCertificate, SiteKey};
use wire::v1::PullRequest;
use wire::v1::pull_response::Message;
use wire::v1::site_link_service_client::SiteLinkServiceClient;

/// Pulls that the median is taken of.
const REPEATS: usize = 51;

/// What pulls with nothing to do cost.
pub struct NothingToDo {
    /// Median, in milliseconds.
    pub milliseconds: f64,
    /// Most round trips that any of them took.
    pub round_trips: u32,
}

/// Turns of a conversation: how often we began to send after we had received.
#[derive(Default)]
struct Turns {
    count: AtomicU32,
    sending: AtomicBool,
}

/// A stream that counts the turns on it.
struct Counted {
    stream: TcpStream,
    turns: Arc<Turns>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.turns.sending.store(false, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        let sent = matches!(polled, Poll::Ready(Ok(1..)));
        if sent && !self.turns.sending.swap(true, Ordering::Relaxed) {
            self.turns.count.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

struct CountingConnector(Arc<Turns>);

impl Connector for CountingConnector {
    fn connect(&self, host: String, port: u16) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let turns = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Counted { stream, turns }) as Box<dyn Io>)
        })
    }
}

/// Pulls from a parent as the site of a data directory, at the position that the parent is at.
pub async fn nothing_to_do(
    parent: &str,
    data_dir: &Path,
    position: u64,
) -> anyhow::Result<NothingToDo> {
    let key = std::fs::read_to_string(data_dir.join("site.key"))?;
    let key = SiteKey::from_secret_pem(&SecretString::from(key))?;
    let certificate = std::fs::read_to_string(data_dir.join("site.pem"))?;
    let certificate = SiteCertificate::from_pem(&certificate)?;
    let authority = certificate.chain().last();
    let trust = ServerTrust::Hierarchy {
        authority: authority.expect("a chain ends in the authority").clone(),
        hierarchy: certificate.identity().hierarchy,
        expected: None,
    };
    let hot = HotCertificate::new(&certificate, &key)?;
    let time = tls::time_provider(|| SystemClock.now());
    let tls = Arc::new(tls::client_config(Some(hot), trust, time)?);
    let turns = Arc::new(Turns::default());
    let connector = Arc::new(CountingConnector(Arc::clone(&turns)));
    let channel = dial::channel(parent, tls, connector).await?;
    let mut client = SiteLinkServiceClient::new(channel);

    let epoch = epoch_of(data_dir).await?;
    let mut times = Vec::with_capacity(REPEATS);
    let mut round_trips = 0;
    for repeat in 0..=REPEATS {
        let request = PullRequest {
            epoch: epoch.clone(),
            after_position: position,
            verified_position: position,
        };
        let before = turns.count.load(Ordering::Relaxed);
        let began = Instant::now();
        let mut stream = client.pull(request).await?.into_inner();
        let mut stated = false;
        while let Some(answer) = stream.message().await? {
            anyhow::ensure!(
                !matches!(answer.message, Some(Message::Batch(_))),
                "there was something to do"
            );
            stated |= matches!(answer.message, Some(Message::Statement(_)));
        }
        anyhow::ensure!(stated, "the parent gave no statement");
        // The first one meets what belongs to the connection.
        if repeat > 0 {
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            round_trips = round_trips.max(turns.count.load(Ordering::Relaxed) - before);
        }
    }
    Ok(NothingToDo {
        milliseconds: median(&times),
        round_trips,
    })
}

async fn epoch_of(data_dir: &Path) -> anyhow::Result<Vec<u8>> {
    let store = store::Store::open(&store::Location::Directory(data_dir.to_owned())).await?;
    let epoch = store.positions().epoch;
    store.close().await;
    Ok(epoch.as_bytes().to_vec())
}
