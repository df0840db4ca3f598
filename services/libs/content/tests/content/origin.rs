//! An HTTP server with content files, which counts what it sends and does wrong what it is told to.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, Uri, header};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes that are sent at once.
const PIECE: usize = 64 << 10;

/// What it does wrong, for one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Breaks off after so many bytes, once [`Origin::cut`] is told.
    Cut(usize),
    /// Answers this instead.
    Status(u16),
    /// Sends other bytes of the same length.
    WrongBytes,
    /// Sends all of the file, whatever is asked for.
    NoRanges,
    /// Announces and sends more bytes than the file has.
    TooLong,
    /// Sends more than it was asked for, without a length.
    Endless,
    /// Answers with another part than the one asked for.
    OtherRange,
    /// Sends to another address.
    Redirect(String),
    /// Says that the file is another one by now.
    Replaced,
    /// Nothing.
    Fine,
    /// Sends the part that it was asked for, and more behind it, without a length.
    EndlessPart,
    /// Sends a little at a time, for ever.
    Trickle,
    /// Sends the beginning and then nothing, until [`Origin::cut`] is told.
    Silent,
    /// Does not answer at all, until [`Origin::cut`] is told.
    Mute,
}

#[derive(Default)]
pub struct Counts {
    /// Bytes of files that were handed to the network.
    pub bytes: AtomicU64,
    pub requests: AtomicU64,
    now: AtomicUsize,
    /// What was asked for, in this order.
    pub order: Mutex<Vec<String>>,
    /// Most answers that were being sent at the same time.
    pub most_at_once: AtomicUsize,
}

#[derive(Clone)]
pub struct Origin {
    address: std::net::SocketAddr,
    files: Arc<Mutex<HashMap<String, Bytes>>>,
    faults: Arc<Mutex<HashMap<String, VecDeque<Fault>>>>,
    pub counts: Arc<Counts>,
    /// Told for each answer that is to be broken off now.
    pub cut: Arc<tokio::sync::Semaphore>,
    /// Holds every answer back until it is let go.
    pub gate: Arc<tokio::sync::RwLock<()>>,
}

impl Origin {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            files: Arc::default(),
            faults: Arc::default(),
            counts: Arc::default(),
            cut: Arc::new(tokio::sync::Semaphore::new(0)),
            gate: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(origin.clone());
        let serve = async move { axum::serve(listener, router).await.unwrap() };
        tokio_util::task::TaskTracker::new().spawn(serve);
        origin
    }

    /// Puts a file up; its address.
    pub fn put(&self, name: &str, bytes: Bytes) -> String {
        let path = format!("/{name}");
        self.files.lock().unwrap().insert(path.clone(), bytes);
        format!("http://{}{path}", self.address)
    }

    /// Does wrong what comes next about a file.
    pub fn fault(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut held = self.faults.lock().unwrap();
        held.entry(format!("/{name}")).or_default().extend(faults);
    }

    /// Does nothing wrong any more about a file.
    pub fn forgive(&self, name: &str) {
        self.faults.lock().unwrap().remove(&format!("/{name}"));
    }

    pub fn bytes(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    pub fn most_at_once(&self) -> usize {
        self.counts.most_at_once.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

fn range(headers: &HeaderMap, size: usize) -> Option<(usize, usize)> {
    let text = headers.get(header::RANGE)?.to_str().unwrap();
    let (first, last) = text
        .strip_prefix("bytes=")
        .unwrap()
        .split_once('-')
        .unwrap();
    let last: usize = last.parse().unwrap();
    Some((first.parse().unwrap(), (last + 1).min(size)))
}

/// Counts an answer as long as it is being sent.
struct Sending(Arc<Counts>);

impl Sending {
    fn begin(counts: &Arc<Counts>) -> Self {
        let now = counts.now.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most_at_once.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(counts))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A byte now and then.
fn trickle(headers: &HeaderMap, size: usize) -> Response {
    let (first, end) = range(headers, size).unwrap_or((0, size));
    let pieces = futures::stream::repeat(()).then(|()| async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        Ok::<_, io::Error>(Bytes::from_static(b"x"))
    });
    Response::builder()
        .status(StatusCode::PARTIAL_CONTENT)
        .header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{size}", end - 1),
        )
        .body(Body::from_stream(pieces))
        .unwrap()
}

async fn answer(State(origin): State<Origin>, uri: Uri, headers: HeaderMap) -> Response {
    let counts = Arc::clone(&origin.counts);
    let sending = Sending::begin(&counts);
    drop(origin.gate.read().await);
    counts.requests.fetch_add(1, Ordering::SeqCst);
    let path = uri.path().to_owned();
    counts.order.lock().unwrap().push(path.clone());
    let fault = {
        let mut faults = origin.faults.lock().unwrap();
        faults.get_mut(&path).and_then(VecDeque::pop_front)
    };
    let file = origin.files.lock().unwrap().get(&path).cloned();
    let plain = |status: u16| {
        let answer = Response::builder().status(status);
        answer.body(Body::empty()).unwrap()
    };
    let Some(mut file) = file else {
        return plain(404);
    };
    let mut tag = "\"one\"";
    let mut part = range(&headers, file.len());
    let mut cut = None;
    let mut endless = false;
    match fault {
        None | Some(Fault::Fine) => {}
        Some(Fault::EndlessPart) => endless = true,
        Some(Fault::Trickle) => return trickle(&headers, file.len()),
        Some(Fault::Silent) => cut = Some(1000),
        Some(Fault::Mute) => {
            origin.cut.acquire().await.unwrap().forget();
            return plain(500);
        }
        Some(Fault::Cut(after)) => cut = Some(after),
        Some(Fault::Status(status)) => return plain(status),
        Some(Fault::WrongBytes) => file = file.iter().map(|byte| !byte).collect(),
        Some(Fault::NoRanges) => part = None,
        Some(Fault::TooLong) => {
            part = None;
            file = [file, Bytes::from_static(b"and more")].concat().into();
        }
        Some(Fault::Endless) => {
            part = None;
            endless = true;
        }
        Some(Fault::OtherRange) => part = part.map(|(first, last)| (first + 1, last)),
        Some(Fault::Redirect(to)) => {
            let answer = Response::builder().status(302).header(header::LOCATION, to);
            return answer.body(Body::empty()).unwrap();
        }
        Some(Fault::Replaced) => {
            tag = "\"two\"";
            part = None;
        }
    }
    let size = file.len();
    let (status, (first, end)) = match part {
        Some(part) => (StatusCode::PARTIAL_CONTENT, part),
        None => (StatusCode::OK, (0, size)),
    };
    let mut answer = Response::builder().status(status).header(header::ETAG, tag);
    if part.is_some() {
        let range = format!("bytes {first}-{}/{size}", end - 1);
        answer = answer.header(header::CONTENT_RANGE, range);
    }
    if !endless {
        answer = answer.header(header::CONTENT_LENGTH, end - first);
    }
    let mut pieces: Vec<io::Result<Bytes>> = Vec::new();
    let mut body = file.slice(first..end);
    if let Some(cut) = cut {
        body.truncate(cut);
    }
    while !body.is_empty() {
        pieces.push(Ok(body.split_to(PIECE.min(body.len()))));
    }
    let told = Arc::clone(&origin.cut);
    let end = futures::stream::iter(cut).then(move |_| {
        let told = Arc::clone(&told);
        async move {
            told.acquire().await.unwrap().forget();
            Err(io::Error::other("broken off on purpose"))
        }
    });
    let more = std::iter::repeat_with(|| Ok(Bytes::from_static(&[0; 1024]))).take(match endless {
        true => 1_000_000,
        false => 0,
    });
    let pieces = futures::stream::iter(pieces.into_iter().chain(more));
    let pieces = pieces.chain(end).map(move |piece| {
        let _ = &sending;
        if let Ok(piece) = &piece {
            counts.bytes.fetch_add(piece.len() as u64, Ordering::SeqCst);
        }
        piece
    });
    answer.body(Body::from_stream(pieces)).unwrap()
}
