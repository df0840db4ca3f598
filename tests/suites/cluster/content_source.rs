//! A source of updates within the test, which counts what it hands out of their files.

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use daemon::Ambient;
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use upstream::{SourceSettings, Upstream, UpstreamSettings};

/// Bytes that are handed to the network at once.
const PIECE: usize = 64 << 10;

/// What was handed out.
#[derive(Default)]
struct Counts {
    bytes: AtomicU64,
    through_proxy: AtomicU64,
    past_proxy: AtomicU64,
}

/// A stand-in over a folder of documents with content files. It ends when dropped.
pub struct Source {
    /// Its address.
    pub url: String,
    counts: Arc<Counts>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Shelf {
    folder: PathBuf,
    counts: Arc<Counts>,
}

impl Source {
    /// Serves a folder.
    pub async fn start(folder: PathBuf) -> Self {
        let settings = UpstreamSettings {
            source: SourceSettings::Directory(folder.clone()),
            evolve: None,
            evolve_percent: 0.0,
        };
        let upstream = Upstream::open(settings, Ambient::system()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let content = folder.join("Content");
        assert!(upstream.catalog().offer_content(&content, &url).unwrap() > 0);
        let counts = Arc::new(Counts::default());
        let shelf = Shelf {
            folder: content,
            counts: Arc::clone(&counts),
        };
        let files = axum::Router::new()
            .route("/Content/{below}/{name}", axum::routing::get(serve))
            .with_state(shelf);
        let router = upstream.router().merge(files);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self {
            url,
            counts,
            _stop: stop.drop_guard(),
        }
    }

    /// Bytes of files that were handed out.
    pub fn sent(&self) -> u64 {
        self.counts.bytes.load(Ordering::SeqCst)
    }

    /// Questions for files that came through an HTTP proxy.
    pub fn through_proxy(&self) -> u64 {
        self.counts.through_proxy.load(Ordering::SeqCst)
    }

    /// Questions for files that came straight.
    pub fn past_proxy(&self) -> u64 {
        self.counts.past_proxy.load(Ordering::SeqCst)
    }
}

async fn serve(
    State(shelf): State<Shelf>,
    Path((below, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let counts = shelf.counts;
    match headers.contains_key(header::VIA) {
        true => counts.through_proxy.fetch_add(1, Ordering::SeqCst),
        false => counts.past_proxy.fetch_add(1, Ordering::SeqCst),
    };
    let Ok(bytes) = std::fs::read(shelf.folder.join(below).join(name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let size = bytes.len();
    let range = headers.get(header::RANGE).map(|range| {
        let range = range.to_str().unwrap().strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let last: usize = last.parse().unwrap();
        (first.parse::<usize>().unwrap(), (last + 1).min(size))
    });
    let (first, end) = range.unwrap_or((0, size));
    let mut part = Bytes::from(bytes).slice(first..end);
    let mut pieces = Vec::new();
    while !part.is_empty() {
        pieces.push(part.split_to(PIECE.min(part.len())));
    }
    let pieces = futures::stream::iter(pieces).map(move |piece| {
        counts.bytes.fetch_add(piece.len() as u64, Ordering::SeqCst);
        Ok::<_, std::io::Error>(piece)
    });
    let answer = Response::builder().header(header::CONTENT_LENGTH, end - first);
    let answer = match range {
        Some(_) => answer.status(StatusCode::PARTIAL_CONTENT).header(
            header::CONTENT_RANGE,
            format!("bytes {first}-{}/{size}", end - 1),
        ),
        None => answer.status(StatusCode::OK),
    };
    answer.body(Body::from_stream(pieces)).unwrap()
}
