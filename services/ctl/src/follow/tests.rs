//! Against a site that plays a script over real gRPC.

use super::*;
use crate::follow::Verdict;
use hierarchy::samples::{report, run};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use wire::v1::hierarchy_service_server::{HierarchyService, HierarchyServiceServer};
use wire::v1::sync_service_server::{SyncService, SyncServiceServer};
use wire::v1::*;

const RUN: [u8; 16] = [5; 16];

/// What one conversation says, and whether it then breaks off or goes on in silence.
struct Conversation {
    says: Vec<Vec<SiteReport>>,
    breaks_off: bool,
}

#[derive(Clone)]
struct FakeSite {
    sites: Vec<SiteReport>,
    conversations: Arc<Mutex<VecDeque<Conversation>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeSite {
    fn note<T>(&self, call: &str, request: &Request<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization");
        let token = token
            .and_then(|value| value.to_str().ok())
            .unwrap_or("none");
        self.seen.lock().unwrap().push(format!("{call} {token}"));
        if token == "Bearer hwa1.good" {
            Ok(())
        } else {
            Err(Status::unauthenticated("unknown token"))
        }
    }
}

#[tonic::async_trait]
impl SyncService for FakeSite {
    async fn start_sync(
        &self,
        request: Request<StartSyncRequest>,
    ) -> Result<Response<StartSyncResponse>, Status> {
        self.note("start", &request)?;
        let run = RUN.to_vec();
        Ok(Response::new(StartSyncResponse {
            run,
            ..StartSyncResponse::default()
        }))
    }

    async fn cancel_sync(
        &self,
        _: Request<CancelSyncRequest>,
    ) -> Result<Response<CancelSyncResponse>, Status> {
        Err(Status::unimplemented("not played"))
    }

    type WatchSyncStream = futures::stream::BoxStream<'static, Result<WatchSyncResponse, Status>>;

    async fn watch_sync(
        &self,
        request: Request<WatchSyncRequest>,
    ) -> Result<Response<Self::WatchSyncStream>, Status> {
        use futures::StreamExt;
        self.note("watch", &request)?;
        let conversation = self.conversations.lock().unwrap().pop_front();
        let conversation = conversation.ok_or_else(|| Status::unavailable("the play is over"))?;
        let says = conversation.says.into_iter();
        let says = futures::stream::iter(says.map(|sites| Ok(WatchSyncResponse { sites })));
        let end = if conversation.breaks_off {
            futures::stream::iter([Err(Status::unavailable("restarting"))]).boxed()
        } else {
            futures::stream::pending().boxed()
        };
        Ok(Response::new(futures::StreamExt::chain(says, end).boxed()))
    }
}

#[tonic::async_trait]
impl HierarchyService for FakeSite {
    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        self.note("list", &request)?;
        Ok(Response::new(ListSitesResponse {
            sites: self.sites.clone(),
            hierarchy: vec![1; 16],
        }))
    }

    async fn create_join_token(
        &self,
        _: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        Err(Status::failed_precondition(
            "site SE1 needs a primary site above it",
        ))
    }

    async fn verify_site(
        &self,
        _: Request<VerifySiteRequest>,
    ) -> Result<Response<VerifySiteResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn remove_site(
        &self,
        _: Request<RemoveSiteRequest>,
    ) -> Result<Response<RemoveSiteResponse>, Status> {
        Err(Status::not_found("there is no site SE9"))
    }

    async fn get_source(
        &self,
        _: Request<GetSourceRequest>,
    ) -> Result<Response<GetSourceResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn switch_source(
        &self,
        _: Request<SwitchSourceRequest>,
    ) -> Result<Response<SwitchSourceResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

/// A client of a site that plays these conversations, one after the other.
async fn play(token: &str, conversations: Vec<Conversation>) -> (Client, FakeSite) {
    let site = FakeSite {
        sites: vec![
            report("CAS", "central", ""),
            report("PR1", "primary", "CAS"),
        ],
        conversations: Arc::new(Mutex::new(conversations.into())),
        seen: Arc::default(),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(SyncServiceServer::new(site.clone()))
        .add_service(HierarchyServiceServer::new(site.clone()))
        .serve_with_incoming(TcpListenerStream::new(listener));
    #[expect(
        clippy::disallowed_methods,
        reason = "it ends with the runtime of the test"
    )]
    tokio::spawn(server);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = channel.connect().await.unwrap();
    let client = Client::over(channel, "https://cas:8540", token).unwrap();
    (client, site)
}

fn reached(code: &str, kind: &str, parent: &str) -> SiteReport {
    let mut site = report(code, kind, parent);
    site.run = Some(run(5, "Completed"));
    site.verified_position = 20;
    site.root = vec![2; 32];
    site
}

const GOOD: &str = "hwa1.good";

#[tokio::test]
async fn a_synchronization_is_followed_over_a_break_to_its_end() {
    let mut running = report("CAS", "central", "");
    running.run = Some(run(5, "SyncingUpdates"));
    let conversations = vec![
        Conversation {
            says: vec![vec![running, report("PR1", "primary", "CAS")]],
            breaks_off: true,
        },
        Conversation {
            says: vec![
                vec![
                    reached("CAS", "central", ""),
                    report("PR1", "primary", "CAS"),
                ],
                vec![
                    reached("CAS", "central", ""),
                    reached("PR1", "primary", "CAS"),
                ],
            ],
            breaks_off: false,
        },
    ];
    let (client, site) = play(GOOD, conversations).await;
    let started = start(&client, true).await.unwrap();
    let mut pictures = Vec::new();
    let (hierarchy, verdict) = follow(&client, &started, None, |hierarchy, progress| {
        pictures.push((hierarchy.len(), progress.sites["PR1"].clone()));
        Ok(())
    })
    .await
    .unwrap();
    assert!(matches!(verdict, Verdict::Converged { goal } if goal.position == 20));
    assert_eq!(hierarchy.site("PR1").unwrap().verified_position, 20);
    assert_eq!(pictures.last().unwrap(), &(2, SiteOutcome::Converged));
    let calls = ["list", "start", "watch", "watch"].map(|call| format!("{call} Bearer {GOOD}"));
    assert_eq!(*site.seen.lock().unwrap(), calls);
}

#[tokio::test]
async fn waiting_ends_when_the_time_is_over() {
    let conversations = vec![Conversation {
        says: vec![vec![
            reached("CAS", "central", ""),
            report("PR1", "primary", "CAS"),
        ]],
        breaks_off: false,
    }];
    let (client, _site) = play(GOOD, conversations).await;
    let started = start(&client, false).await.unwrap();
    let (_, verdict) = follow(&client, &started, Some(TICK), |_, _| Ok(()))
        .await
        .unwrap();
    let missing = [("PR1".to_owned(), SiteOutcome::Pending)].into();
    assert_eq!(verdict, Verdict::TimedOut { missing });
}

#[tokio::test]
async fn a_refused_token_is_explained() {
    let (client, _site) = play("hwa1.bad", Vec::new()).await;
    let error = format!("{:#}", start(&client, false).await.err().unwrap());
    for part in [
        "listing the sites failed",
        "https://cas:8540",
        "access token",
        "unknown token",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_the_site_says_reaches_the_person() {
    let (client, _site) = play(GOOD, Vec::new()).await;
    let request = CreateJoinTokenRequest {
        site_code: "SE1".into(),
        ..CreateJoinTokenRequest::default()
    };
    let error = crate::site::join_token(&client, request).await.unwrap_err();
    let expected = "making a join token for SE1 failed: site SE1 needs a primary site above it";
    assert_eq!(format!("{error:#}"), expected);
}
