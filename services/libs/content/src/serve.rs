//! Handing files on to the children of a site.

use crate::CHUNK;
use crate::plane::{Content, Error};
use bytes::Bytes;
use catalog::PointId;
use catalog::content::ContentId;
use futures::{Stream, StreamExt as _};
use link::children::LinkService;
use link::cut_off::cut_off;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status};
use wire::v1::content_link_service_server::{ContentLinkService, ContentLinkServiceServer};
use wire::v1::fetch_content_response::Message;
use wire::v1::{FetchContentRequest, FetchContentResponse};

/// Parts that are being sent at the same time, to all children together. Who comes first is served first.
const MOST_SENDING: usize = 64;
/// Calls of one child at the same time.
const MOST_CALLS: usize = 40;
/// Bytes in one message.
const PIECE: usize = 256 << 10;
/// How long sending one part may take, so that a child that takes nothing keeps nobody waiting.
const SLOWEST_PART: Duration = Duration::from_secs(120);
/// How long a call waits for its turn to send.
const MOST_WAIT: Duration = Duration::from_secs(20);

/// Serves the content of a site to its children. Cheap to clone.
#[derive(Clone)]
pub struct ContentServer {
    content: Content,
    link: LinkService,
    sending: Arc<Semaphore>,
    calls: Calls,
    /// Tasks that give places back.
    places: TaskTracker,
}

/// How many calls each child makes just now.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<HashMap<PointId, usize>>>);

/// A call, until it is dropped.
struct Call {
    calls: Calls,
    child: PointId,
}

impl Calls {
    fn held(&self) -> MutexGuard<'_, HashMap<PointId, usize>> {
        // Numbers cannot be left half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, child: PointId) -> Option<Call> {
        let mut held = self.held();
        let count = held.entry(child).or_default();
        if *count >= MOST_CALLS {
            return None;
        }
        *count += 1;
        let calls = self.clone();
        Some(Call { calls, child })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let mut held = self.calls.held();
        if let Some(count) = held.get_mut(&self.child) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.child);
            }
        }
    }
}

impl ContentServer {
    /// The content of a site, for the children that its link admits.
    pub fn new(content: Content, link: LinkService) -> Self {
        Self {
            content,
            link,
            sending: Arc::new(Semaphore::new(MOST_SENDING)),
            calls: Calls::default(),
            places: TaskTracker::new(),
        }
    }

    /// As a service of the site's port.
    pub fn into_service(self) -> ContentLinkServiceServer<Self> {
        ContentLinkServiceServer::new(self)
    }
}

/// A stream of answers.
type Answers = Pin<Box<dyn Stream<Item = Result<FetchContentResponse, Status>> + Send>>;

#[tonic::async_trait]
impl ContentLinkService for ContentServer {
    type FetchContentStream = Answers;

    async fn fetch_content(
        &self,
        request: Request<FetchContentRequest>,
    ) -> Result<Response<Answers>, Status> {
        let (child, stop, removed) = self.link.admitted(&request).await?;
        let FetchContentRequest {
            sha1,
            offset,
            length,
        } = request.into_inner();
        let sha1 = <[u8; 20]>::try_from(sha1);
        let sha1 = sha1.map_err(|_| Status::invalid_argument("sha1: a SHA-1 has 20 bytes"))?;
        let call = self.calls.begin(child).ok_or_else(|| {
            Status::resource_exhausted(format!("{MOST_CALLS} calls at the same time are enough"))
        })?;
        let id = ContentId(sha1);
        let answer = self.content.hand_on(id, offset, length.min(CHUNK));
        let (size, bytes) = tokio::select! {
            answer = answer => answer.map_err(status)?,
            () = stop.cancelled() => return Err(Status::unavailable("the site is stopping")),
        };
        let permit = tokio::select! {
            permit = Arc::clone(&self.sending).acquire_owned() => {
                permit.map_err(|_| Status::unavailable("the site is stopping"))?
            }
            () = tokio::time::sleep(MOST_WAIT) => {
                return Err(Status::unavailable("this site sends as much as it may: ask again soon"));
            }
            () = stop.cancelled() => return Err(Status::unavailable("the site is stopping")),
        };
        // A child that takes nothing is not polled: its place is given back by the clock.
        let taken = CancellationToken::new();
        let until_taken = taken.clone().drop_guard();
        self.places.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = taken.cancelled() => {}
                () = tokio::time::sleep(SLOWEST_PART) => {}
            }
        });
        let pieces = futures::stream::iter(messages(size, bytes)).map(Ok);
        let too_slow = tokio::time::sleep(SLOWEST_PART);
        let pieces = pieces.take_until(Box::pin(too_slow)).inspect(move |_| {
            // Held until the last message was taken.
            let _ = (&call, &until_taken);
        });
        Ok(Response::new(Box::pin(cut_off(pieces, stop, removed))))
    }
}

fn messages(size: u64, mut bytes: Bytes) -> Vec<FetchContentResponse> {
    let mut messages = vec![Message::Size(size)];
    while !bytes.is_empty() {
        let piece = bytes.split_to(PIECE.min(bytes.len()));
        messages.push(Message::Piece(piece));
    }
    let message = |message| FetchContentResponse {
        message: Some(message),
    };
    messages.into_iter().map(message).collect()
}

/// What a child is told. Internals go to the log.
fn status(error: Error) -> Status {
    match error {
        Error::Unknown(_) => Status::not_found(error.to_string()),
        Error::NotYet(_) => Status::unavailable(error.to_string()),
        Error::Beyond(..) => Status::invalid_argument(error.to_string()),
        Error::Files { id, source } => {
            tracing::error!(error = %source, file = %id, "a content file cannot be read");
            Status::unavailable(format!(
                "the content store failed at {id}; the site's log says more"
            ))
        }
        Error::Store(error) => {
            tracing::error!(%error, "a content file could not be served");
            Status::internal("the site's database failed; its journal says more")
        }
    }
}
