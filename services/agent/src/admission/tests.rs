use super::*;
use daemon::Clock;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::Location;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Streaming};
use wire::v1::site_link_service_server::{SiteLinkService, SiteLinkServiceServer};
use wire::v1::{
    AttachRequest, AttachResponse, FetchItemsRequest, FetchItemsResponse, ListBucketsRequest,
    ListBucketsResponse, ListItemsRequest, ListItemsResponse, ListNodesRequest, ListNodesResponse,
    PullRequest, PullResponse, RenewCertificateResponse,
};

const KEY: KeyHash = [1; 32];

/// A parent that knows SE1 and SE2, the second as removed, below PR1; and SE3 elsewhere.
#[derive(Clone, Default)]
struct Parent {
    asked: Arc<AtomicUsize>,
}

#[tonic::async_trait]
impl SiteLinkService for Parent {
    type AttachStream = ReceiverStream<Result<AttachResponse, Status>>;
    type PullStream = ReceiverStream<Result<PullResponse, Status>>;
    type FetchItemsStream = ReceiverStream<Result<FetchItemsResponse, Status>>;

    async fn attach(
        &self,
        _: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn pull(&self, _: Request<PullRequest>) -> Result<Response<Self::PullStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_nodes(
        &self,
        _: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_buckets(
        &self,
        _: Request<ListBucketsRequest>,
    ) -> Result<Response<ListBucketsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_items(
        &self,
        _: Request<ListItemsRequest>,
    ) -> Result<Response<ListItemsResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn fetch_items(
        &self,
        _: Request<FetchItemsRequest>,
    ) -> Result<Response<Self::FetchItemsStream>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn renew_certificate(
        &self,
        _: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        // An authority that hangs.
        std::future::pending().await
    }

    async fn describe_site(
        &self,
        request: Request<DescribeSiteRequest>,
    ) -> Result<Response<DescribeSiteResponse>, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let parent = match request.get_ref().site_code.as_str() {
            "SE1" | "SE2" => "PR1",
            "SE3" => "PR2",
            _ => return Err(Status::not_found("no such site")),
        };
        Ok(Response::new(DescribeSiteResponse {
            site_kind: "secondary".to_owned(),
            parent: parent.to_owned(),
            key_hash: KEY.to_vec(),
            removed: request.get_ref().site_code == "SE2",
            parent_url: "https://pr2:8540".to_owned(),
        }))
    }
}

struct Fixture {
    parent: Parent,
    upstream: Arc<ParentUpstream>,
    store: Store,
    _directory: tempfile::TempDir,
    _stop: DropGuard,
}

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

impl Fixture {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Directory(directory.path().into());
        let parent = Parent::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let service = SiteLinkServiceServer::new(parent.clone());
        TaskTracker::new().spawn(async move {
            Server::builder()
                .add_service(service)
                .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped)
                .await
        });
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let nowhere = tokio::sync::watch::channel(None).1;
        let upstream = ParentUpstream::new(code("CAS"), nowhere);
        upstream.set_channel(Some(endpoint.connect_lazy()));
        Self {
            parent,
            upstream,
            store: Store::open(&location).await.unwrap(),
            _directory: directory,
            _stop: stop.drop_guard(),
        }
    }

    async fn admission(&self, kind: SiteKind) -> AgentAdmission {
        AgentAdmission::load(
            code("PR1"),
            kind,
            self.store.clone(),
            Ambient::system(),
            Arc::clone(&self.upstream),
            Reports::default(),
            KeptParent::below("CAS", self._directory.path()),
        )
        .await
        .unwrap()
    }

    fn asked(&self) -> usize {
        self.parent.asked.load(Ordering::SeqCst)
    }
}

async fn refusal(admission: &AgentAdmission, child: &str, key: KeyHash) -> Status {
    admission.admit(code(child), key).await.unwrap_err()
}

#[tokio::test]
async fn a_site_that_lost_its_database_learns_its_children_from_its_parent() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    assert!(!admission.may_speak_for(code("SE1"), code("SE1")).await);
    for _ in 0..2 {
        admission.admit(code("SE1"), KEY).await.unwrap();
    }
    assert!(admission.may_speak_for(code("SE1"), code("SE1")).await);
    assert_eq!(fixture.asked(), 1);
    // Over a restart, and without a link.
    fixture.upstream.set_channel(None);
    let admission = fixture.admission(SiteKind::Primary).await;
    admission.admit(code("SE1"), KEY).await.unwrap();
    let status = refusal(&admission, "SE9", KEY).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn whom_the_parent_does_not_place_here_is_refused_without_asking_again() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    for (child, key, why) in [
        ("SE1", [9; 32], "another key"),
        ("SE2", KEY, "was removed"),
        ("SE3", KEY, "belongs below PR2"),
        ("SE9", KEY, "did not join below"),
    ] {
        let before = fixture.asked();
        for _ in 0..3 {
            let status = refusal(&admission, child, key).await;
            assert_eq!(status.code(), Code::PermissionDenied, "{status}");
            assert!(status.message().contains(why), "{status}");
        }
        assert_eq!(fixture.asked(), before + 1, "{child}");
    }
    // The other key was refused, and not the site.
    admission.admit(code("SE1"), KEY).await.unwrap();
}

#[tokio::test]
async fn a_secondary_site_takes_nobody_in() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Secondary).await;
    let status = refusal(&admission, "SE1", KEY).await;
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(fixture.asked(), 0);
}

#[tokio::test]
async fn a_removed_child_is_refused_and_what_it_says_is_not_taken() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    admission.admit(code("SE1"), KEY).await.unwrap();
    let mut tx = fixture.store.begin().await.unwrap();
    tx.put_site_report(code("SE1"), 1, vec![]).await.unwrap();
    tx.commit().await.unwrap();
    admission.removed(code("SE1")).await;
    let status = refusal(&admission, "SE1", KEY).await;
    assert!(status.message().contains("was removed"), "{status}");
    assert!(!admission.may_speak_for(code("SE1"), code("SE1")).await);
    assert_eq!(admission.removed_below(code("SE1")).await, [code("SE1")]);
    let mut read = fixture.store.read().await.unwrap();
    assert!(read.site_reports().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_request_that_is_handed_on_has_an_end() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    let began = daemon::SystemClock.now();
    // The link is up before time stands still.
    admission.admit(code("SE1"), KEY).await.unwrap();
    tokio::time::pause();
    let renewed = admission.renew(code("SE1"), "a request").await;
    let status = renewed.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("in time"), "{status}");
    let took = daemon::SystemClock.now().duration_since(began);
    assert!(took.as_secs() < 10, "nobody waited for it here");
}

fn moved(site: &str, kind: SiteKind, parent: &str) -> Moved {
    Moved {
        site: code(site),
        kind,
        parent: code(parent),
        parent_url: Some(format!("https://{}:8540", parent.to_lowercase())),
        key_hash: KEY,
    }
}

#[tokio::test]
async fn a_child_that_moved_is_sent_to_its_new_parent_and_let_in_again_when_it_is_back() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    admission.admit(code("SE1"), KEY).await.unwrap();
    let away = moved("SE1", SiteKind::Secondary, "PR1-2");
    admission.moved(&away).await;
    // Nobody can be asked: what was told last holds.
    fixture.upstream.set_channel(None);
    let status = refusal(&admission, "SE1", KEY).await;
    assert!(
        status.message().contains("SE1 belongs below PR1-2"),
        "{status}"
    );
    assert_eq!(moved::of_refusal(&status), [away]);
    assert!(!admission.may_speak_for(code("SE1"), code("SE1")).await);
    assert!(admission.spoke_for(code("SE1"), code("SE1")).await);
    let back = moved("SE1", SiteKind::Secondary, "PR1");
    admission.moved(&back).await;
    admission.admit(code("SE1"), KEY).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_becomes_the_source_lets_in_whom_it_is_told_of() {
    let fixture = Fixture::new().await;
    fixture.upstream.set_channel(None);
    let admission = fixture.admission(SiteKind::Primary).await;
    for told in [
        moved("SE1", SiteKind::Secondary, "PR1"),
        moved("PR1-2", SiteKind::Primary, "PR1"),
    ] {
        admission.moved(&told).await;
        admission.admit(told.site, KEY).await.unwrap();
    }
    // The other point of the site is told who is below this one, and hands on what it still holds.
    let told = admission.moved_around(code("PR1-2")).await;
    let told: Vec<PointId> = told.iter().map(|moved| moved.site).collect();
    assert_eq!(told, [code("SE1")]);
    assert!(admission.moved_around(code("SE1")).await.is_empty());
    assert!(admission.may_relay_for(code("PR1-2"), code("SE9")).await);
    assert!(!admission.may_speak_for(code("PR1-2"), code("SE1")).await);
    assert!(!admission.may_relay_for(code("SE1"), code("PR1-2")).await);
    // What has no place below a primary site is not taken in.
    admission
        .moved(&moved("PR2", SiteKind::Primary, "PR1"))
        .await;
    let status = refusal(&admission, "PR2", KEY).await;
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}

#[tokio::test]
async fn another_point_of_the_site_is_told_where_a_site_belongs() {
    let fixture = Fixture::new().await;
    let admission = fixture.admission(SiteKind::Primary).await;
    let known = admission
        .describe(code("PR1-2"), code("SE3"))
        .await
        .unwrap();
    assert_eq!(
        (known.parent.as_str(), known.parent_url.as_str()),
        ("PR2", "https://pr2:8540")
    );
    let status = admission
        .describe(code("SE1"), code("SE3"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "{status}");
}
