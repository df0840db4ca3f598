//! An upstream server that hosts files, asked before the update's own address.

use super::origin::{Fault, Origin};
use super::support::{Site, at, update};
use bytes::Bytes;
use content::ContentFile;
use content::source::{FileServer, HttpSource, Order, OrderError, ServerSource};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use store::content::ContentState;
use testkit::patience::LONG;
use testkit::until;

/// An upstream server, and what it was asked to fetch.
struct Server {
    origin: Origin,
    ordered: Arc<Mutex<Vec<Vec<[u8; 20]>>>>,
    source: Arc<ServerSource>,
}

impl Server {
    async fn start(answer: Result<(), OrderError>) -> Self {
        let origin = Origin::start().await;
        let ordered: Arc<Mutex<Vec<Vec<[u8; 20]>>>> = Arc::default();
        let noted = Arc::clone(&ordered);
        let order: Order = Arc::new(move |_, mut files| {
            files.sort_unstable();
            noted.lock().unwrap().push(files);
            let answer = answer.clone();
            Box::pin(async { answer })
        });
        let source = Arc::new(ServerSource::new(order));
        source.set(Some(&at_address(&origin)), None).unwrap();
        Self {
            origin,
            ordered,
            source,
        }
    }

    /// A site that asks it first, and then the addresses of the catalog.
    async fn site(&self) -> Site {
        let http = Arc::new(HttpSource::new(None).unwrap());
        Site::new(vec![Arc::clone(&self.source) as _, http]).await
    }

    fn has(&self, file: &ContentFile, bytes: &Bytes) {
        self.origin.put(&place(file), bytes.clone());
    }

    fn ordered(&self) -> Vec<Vec<[u8; 20]>> {
        self.ordered.lock().unwrap().clone()
    }
}

fn at_address(origin: &Origin) -> FileServer {
    let url = origin.put("anything", Bytes::new());
    FileServer {
        url: url.trim_end_matches("anything").to_owned(),
        ca_pem: None,
    }
}

fn place(file: &ContentFile) -> String {
    format!("Content/{}/{}", file.folder(), file.stored_name())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_server_does_not_have_yet_it_is_asked_to_fetch_and_then_gives() {
    let (server, publisher) = (Server::start(Ok(())).await, Origin::start().await);
    // One that its publisher has, too, and one that was published locally.
    let (public, public_bytes) = at(&publisher, 1, 3_000_000);
    let (local, local_bytes) = update(2, 1000);
    let site = server.site().await;
    site.begin();
    for file in [&public, &local] {
        site.want(std::slice::from_ref(file)).await;
        until("asked", LONG, || async {
            let row = site.row(file).await;
            let asked = row.last_error.contains("DownloadFiles");
            asked.then_some(()).ok_or_else(|| format!("{row:?}"))
        })
        .await;
        let row = site.row(file).await;
        // It is no failure.
        assert_eq!((row.state, row.attempts), (ContentState::Wanted, 0));
    }
    assert_eq!(server.ordered()[0], [public.sha1]);
    let state = site.content.watch_state().borrow().clone();
    assert_eq!(
        (state.failing, state.waits.as_str()),
        (0, ""),
        "nothing pauses"
    );
    server.has(&public, &public_bytes);
    server.has(&local, &local_bytes);
    site.later();
    site.until_done(2).await;
    site.check(&public, &public_bytes).await;
    site.check(&local, &local_bytes).await;
    assert_eq!(publisher.requests(), 0, "the publisher is left alone");
    let ordered = server.ordered().concat();
    let times = |file: &ContentFile| ordered.iter().filter(|sha1| **sha1 == file.sha1).count();
    assert_eq!((times(&public), times(&local).min(1)), (1, times(&local)));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_that_are_not_there_yet_keep_nobody_waiting() {
    let server = Server::start(Ok(())).await;
    let missing: Vec<ContentFile> = (1..=150).map(|number| update(number, 500).0).collect();
    // It has its turn behind all of them.
    let (large, bytes) = update(999, 5000);
    server.has(&large, &bytes);
    let site = server.site().await;
    site.want(&missing).await;
    site.want(std::slice::from_ref(&large)).await;
    site.begin();
    site.until("the large one there", |state| state.files == 1)
        .await;
    site.check(&large, &bytes).await;
    let ordered = server.ordered();
    assert!(ordered.iter().all(|files| files.len() <= 100));
    let all: Vec<_> = ordered.into_iter().flatten().collect();
    let once: HashSet<_> = all.iter().copied().collect();
    assert_eq!(once.len(), all.len(), "each is asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_long_is_not_the_only_one_asked_for_ever() {
    let (server, publisher) = (Server::start(Ok(())).await, Origin::start().await);
    let (file, bytes) = at(&publisher, 1, 1000);
    let site = server.site().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    for turn in 1..=8 {
        until("asked", LONG, || async {
            let row = site.row(&file).await;
            let asked = server.origin.requests() == turn;
            let done = asked && (row.present_since.is_some() || row.next_attempt > site.now());
            done.then_some(()).ok_or_else(|| format!("{turn}: {row:?}"))
        })
        .await;
        assert_eq!(publisher.requests(), u64::from(turn == 8));
        site.later();
    }
    site.until_done(1).await;
    site.check(&file, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_a_file_or_takes_no_orders_leaves_it_to_the_publisher() {
    let publisher = Origin::start().await;
    let (file, bytes) = at(&publisher, 1, 1000);
    let refused = OrderError::Refused("not implemented".to_owned());
    for answer in [OrderError::Unknown(vec![file.sha1]), refused.clone()] {
        let server = Server::start(Err(answer)).await;
        let site = server.site().await;
        site.begin();
        site.want(std::slice::from_ref(&file)).await;
        site.until_done(1).await;
        site.check(&file, &bytes).await;
    }
    // Where there is no publisher's address somebody has to know.
    let server = Server::start(Err(refused)).await;
    let site = server.site().await;
    site.begin();
    let (local, _) = update(2, 1000);
    site.want(std::slice::from_ref(&local)).await;
    site.until("failing", |state| state.failing == 1).await;
    let why = site.row(&local).await.last_error;
    assert!(why.contains("not implemented"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_server_fails_at_comes_from_the_publisher() {
    let (server, publisher) = (Server::start(Ok(())).await, Origin::start().await);
    let elsewhere = Origin::start().await;
    for (number, fault) in [
        (1, Fault::Status(503)),
        (2, Fault::Status(401)),
        (3, Fault::WrongBytes),
        (4, Fault::TooLong),
        // It is the only host that is asked that way.
        (5, Fault::Redirect(elsewhere.put("x", Bytes::new()))),
    ] {
        let (file, bytes) = at(&publisher, number, 300_000);
        server.has(&file, &bytes);
        server.origin.fault(&place(&file), [fault.clone()]);
        let site = server.site().await;
        site.begin();
        site.want(std::slice::from_ref(&file)).await;
        site.until_done(1).await;
        site.check(&file, &bytes).await;
        let aside = site.folder.path().join("WsusContent/.quarantine");
        let aside = std::fs::read_dir(aside)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let aside: Vec<_> = aside.filter(|path| !path.ends_with("clock")).collect();
        let is_wrong = matches!(fault, Fault::WrongBytes);
        assert_eq!(aside.len(), usize::from(is_wrong), "{fault:?}: {aside:?}");
    }
    assert_eq!((publisher.requests(), elsewhere.requests()), (5, 0));
    assert_eq!(server.ordered(), Vec::<Vec<[u8; 20]>>::new());
    // Where there is no publisher's address it is a failure, and is tried again.
    let (local, bytes) = update(9, 1000);
    server.has(&local, &bytes);
    server.origin.fault(&place(&local), [Fault::Status(503)]);
    let site = server.site().await;
    site.begin();
    site.want(std::slice::from_ref(&local)).await;
    site.until("failing", |state| state.failing == 1).await;
    assert!(site.row(&local).await.last_error.contains("503"));
    site.later();
    site.until_done(1).await;
    site.check(&local, &bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hosts_no_files_is_not_asked_and_another_is_at_once() {
    let (server, other) = (Server::start(Ok(())).await, Origin::start().await);
    let publisher = Origin::start().await;
    let (file, bytes) = at(&publisher, 1, 1000);
    let (local, local_bytes) = update(2, 1000);
    server.has(&file, &bytes);
    server.source.set(None, None).unwrap();
    let site = server.site().await;
    site.begin();
    site.want(&[file.clone(), local.clone()]).await;
    site.until("one there, one failing", |state| {
        (state.files, state.failing) == (1, 1)
    })
    .await;
    assert_eq!((server.origin.requests(), publisher.requests()), (0, 1));
    // While its proxy cannot be used it waits, and says why.
    let held = at_address(&other);
    server.source.hold(Some(&held), "no proxy".to_owned());
    site.later();
    site.until("waiting", |state| state.waits.contains("no proxy"))
        .await;
    other.put(&place(&local), local_bytes.clone());
    server.source.set(Some(&held), None).unwrap();
    site.content.try_now();
    site.later();
    site.until_done(2).await;
    site.check(&local, &local_bytes).await;
    assert_eq!(server.origin.requests(), 0);
}
