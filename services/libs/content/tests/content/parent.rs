//! A parent that lies about its files, over gRPC: what it sends is refused or put aside, and nothing is lost.

use super::support::{Site, update};
use bytes::Bytes;
use content::source::ParentSource;
use content::{ContentFile, Patience};
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use link::pull::ParentUpstream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::patience::LONG;
use testkit::until;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use wire::v1::content_link_service_server::{ContentLinkService, ContentLinkServiceServer};
use wire::v1::fetch_content_response::Message;
use wire::v1::{FetchContentRequest, FetchContentResponse};

const SIZE: usize = (2 << 20) + 500_000;
/// Bytes in one message, as a parent sends them.
const PIECE: usize = 256 << 10;

/// What the parent answers in the place of the truth.
#[derive(Debug, Clone, Copy)]
enum Lie {
    /// Other bytes of the right length.
    OtherBytes,
    /// The bytes of another place in the file.
    OtherPlace,
    /// One byte more than it was asked for.
    OneMore,
    /// Bytes without an end.
    Endless,
    /// Another length of the file.
    OtherSize,
    /// Bytes, and no length of the file before them.
    NoSize,
    /// The length again and again.
    SizeAgain,
    /// Pieces without bytes, without an end.
    Empty,
    /// The length, and an end.
    Nothing,
    /// A message that is larger than any may be.
    Huge,
    /// A message that says nothing.
    Blank,
    /// The length, and then no word more.
    Silent,
    /// A byte now and then.
    Trickle,
    /// It does not have it.
    NotFound,
    /// It broke.
    Internal,
}

#[derive(Clone)]
struct Parent {
    bytes: Bytes,
    lie: Arc<Mutex<Option<Lie>>>,
    /// Calls, and bytes that the child took.
    calls: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
}

fn size(size: usize) -> Message {
    Message::Size(size as u64)
}

impl Parent {
    fn part(&self, offset: usize, length: usize) -> Vec<Message> {
        let end = (offset + length).min(self.bytes.len());
        let part = self.bytes.slice(offset.min(end)..end);
        let pieces = part.chunks(PIECE).map(Bytes::copy_from_slice);
        pieces.map(Message::Piece).collect()
    }

    fn answer(&self, offset: usize, length: usize) -> Result<BoxStream<'static, Message>, Status> {
        let all = self.bytes.len();
        let truth = |first: Message, part: Vec<Message>| {
            stream::iter(std::iter::once(first).chain(part)).boxed()
        };
        let Some(lie) = *self.lie.lock().unwrap() else {
            return Ok(truth(size(all), self.part(offset, length)));
        };
        let forever = |message: Message| {
            let first = stream::iter([size(all)]);
            first.chain(stream::repeat(message)).boxed()
        };
        Ok(match lie {
            Lie::OtherBytes => {
                let wrong = Bytes::from(vec![7; length.min(all - offset)]);
                let pieces = wrong.chunks(PIECE).map(Bytes::copy_from_slice);
                truth(size(all), pieces.map(Message::Piece).collect())
            }
            Lie::OtherPlace => {
                let place = if offset == 0 { 1 << 20 } else { 0 };
                truth(size(all), self.part(place, length.min(all - offset)))
            }
            Lie::OneMore => {
                let mut part = self.part(offset, length);
                part.push(Message::Piece(Bytes::from_static(b"x")));
                truth(size(all), part)
            }
            Lie::Endless => forever(Message::Piece(Bytes::from(vec![0; PIECE]))),
            Lie::OtherSize => truth(size(all + 1), self.part(offset, length)),
            Lie::NoSize => {
                let mut part = self.part(offset, length);
                truth(part.remove(0), part)
            }
            Lie::SizeAgain => forever(size(all)),
            Lie::Empty => forever(Message::Piece(Bytes::new())),
            Lie::Nothing => truth(size(all), Vec::new()),
            Lie::Huge => truth(
                size(all),
                vec![Message::Piece(Bytes::from(vec![0; 9 << 20]))],
            ),
            // Made below.
            Lie::Blank => truth(size(all), Vec::new()),
            Lie::Silent => {
                let first = stream::iter([size(all)]);
                first.chain(stream::pending()).boxed()
            }
            Lie::Trickle => {
                let slowly = stream::repeat(()).then(|()| async {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    Message::Piece(Bytes::from_static(b"x"))
                });
                stream::iter([size(all)]).chain(slowly).boxed()
            }
            Lie::NotFound => return Err(Status::not_found("who knows")),
            Lie::Internal => return Err(Status::internal("it broke")),
        })
    }

    fn tell(&self, lie: Option<Lie>) {
        *self.lie.lock().unwrap() = lie;
    }
}

#[tonic::async_trait]
impl ContentLinkService for Parent {
    type FetchContentStream = BoxStream<'static, Result<FetchContentResponse, Status>>;

    async fn fetch_content(
        &self,
        request: Request<FetchContentRequest>,
    ) -> Result<Response<Self::FetchContentStream>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let request = request.into_inner();
        let offset = usize::try_from(request.offset).unwrap();
        let length = usize::try_from(request.length).unwrap();
        let messages = self.answer(offset, length)?;
        let is_blank = matches!(*self.lie.lock().unwrap(), Some(Lie::Blank));
        let taken = Arc::clone(&self.taken);
        let answers = messages.map(move |message| {
            if let Message::Piece(piece) = &message {
                taken.fetch_add(piece.len() as u64, Ordering::SeqCst);
            }
            Ok(FetchContentResponse {
                message: Some(message).filter(|_| !is_blank),
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// A parent with one file, and a site below it.
async fn below(file: &ContentFile, bytes: &Bytes) -> (Parent, Site) {
    assert_eq!(file.size, bytes.len() as u64);
    let parent = Parent {
        bytes: bytes.clone(),
        lie: Arc::default(),
        calls: Arc::default(),
        taken: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = tonic::service::Routes::new(ContentLinkServiceServer::new(parent.clone()));
    let router = routes.prepare().into_axum_router();
    let serve = async move { axum::serve(listener, router).await.unwrap() };
    tokio_util::task::TaskTracker::new().spawn(serve);
    let channel: Channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let upstream = ParentUpstream::new("CAS".parse().unwrap(), watch::channel(None).1);
    upstream.set_channel(Some(channel));
    let site = Site::new(vec![Arc::new(ParentSource::new(upstream))]).await;
    (parent, site)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_lying_parent_sends_is_refused_and_nothing_is_lost() {
    let (file, bytes) = update(1, SIZE);
    const ELSE: &str = "it sent something else than the bytes asked for";
    for (lie, quarantined, said) in [
        (Lie::OtherBytes, true, "its SHA-1 is"),
        (Lie::OtherPlace, true, "its SHA-1 is"),
        (Lie::OneMore, false, ELSE),
        (Lie::Endless, false, ELSE),
        (Lie::OtherSize, false, "and the catalog says 2597152"),
        (Lie::NoSize, false, "it did not say how long the file is"),
        (Lie::SizeAgain, false, ELSE),
        (Lie::Empty, false, ELSE),
        (Lie::Nothing, false, "it sent nothing"),
        (Lie::Huge, false, "message"),
        (Lie::Blank, false, "it did not say how long the file is"),
        (Lie::Silent, false, "it fell silent"),
        (Lie::Trickle, false, "it is too slow"),
        (Lie::NotFound, false, "who knows"),
        (Lie::Internal, false, "it broke"),
    ] {
        let (parent, site) = below(&file, &bytes).await;
        parent.tell(Some(lie));
        let patience = Patience::default();
        let brief = Duration::from_millis(500);
        if matches!(lie, Lie::Silent) {
            site.content.set_patience(Patience {
                silence: brief,
                ..patience
            });
        } else if matches!(lie, Lie::Trickle) {
            site.content.set_patience(Patience {
                slowest_part: brief,
                ..patience
            });
        }
        site.begin();
        site.want(std::slice::from_ref(&file)).await;
        site.until(&format!("refused: {lie:?}"), |state| state.failing == 1)
            .await;
        let row = site.row(&file).await;
        let state = site.content.watch_state().borrow().clone();
        assert!(row.last_error.contains(said), "{lie:?}: {}", row.last_error);
        assert!(row.last_error.contains("parent CAS"), "{}", row.last_error);
        assert_eq!(state.quarantined, u64::from(quarantined), "{lie:?}");
        assert_eq!(row.present_since, None);
        assert!(!site.path(&file).exists());
        // No more of it was read or kept than a file has.
        let kept = site
            .content
            .files()
            .partial_length(file.id())
            .await
            .unwrap();
        assert!(kept <= file.size, "{lie:?}: {kept}");
        let calls = parent.calls.load(Ordering::SeqCst);
        assert!(calls <= 4, "{lie:?}: {calls} calls");

        parent.tell(None);
        site.content.set_patience(Patience::default());
        until(&format!("it comes after {lie:?}"), LONG, || async {
            site.later();
            let there = site.row(&file).await.present_since.is_some();
            there.then_some(()).ok_or_else(String::new)
        })
        .await;
        site.check(&file, &bytes).await;
        assert_eq!(site.content.files().partials().await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_lies_in_the_middle_of_a_file_costs_no_more_than_that_file() {
    let (file, bytes) = update(1, SIZE);
    let (parent, site) = below(&file, &bytes).await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until_done(1).await;
    let (other, _) = update(2, SIZE);
    // It sends the bytes of the first file for the second one, which is as long.
    site.want(std::slice::from_ref(&other)).await;
    site.until("refused", |state| state.quarantined == 1).await;
    site.check(&file, &bytes).await;
    assert!(!site.path(&other).exists());
    let before = parent.taken.load(Ordering::SeqCst);
    assert_eq!(before, 2 * file.size);
    // The bad parent goes on and on; each time it costs a file's bytes and no more, and a wait that grows.
    let mut waits = Vec::new();
    for _ in 0..3 {
        let row = site.row(&other).await;
        waits.push(row.next_attempt.duration_since(site.now()));
        let attempts = row.attempts;
        site.later();
        until("refused again", LONG, || async {
            let row = site.row(&other).await;
            (row.attempts > attempts)
                .then_some(())
                .ok_or_else(String::new)
        })
        .await;
    }
    assert!(waits.windows(2).all(|two| two[0] < two[1]), "{waits:?}");
    assert_eq!(parent.taken.load(Ordering::SeqCst), before + 3 * file.size);
    let aside = site.folder.path().join("WsusContent/.quarantine");
    assert!(std::fs::read_dir(aside).unwrap().count() <= content::files::MOST_QUARANTINED);
}
