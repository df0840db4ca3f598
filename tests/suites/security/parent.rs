//! A parent that the test plays: a central site's authority, its link over real TLS, and a catalog of
//! which it can serve something else than what was signed.

mod service;

use self::service::{RawAttach, Service};
use crate::playground::PersonKey;
use crate::raw::Raw;
use bytes::Bytes;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{PointId, RevisionId, SiteKind, codec, document};
use daemon::Ambient;
use daemon::config::Period;
use journal::{Journal, JournalSettings};
use link::serve_compare::CompareServer;
use prost::Message as _;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Location, NewItem, Positions, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};
use trust::tls::HotCertificate;
use trust::token::{Invitation, JoinToken};
use trust::{Authority, HierarchyId, SiteIdentity, SiteKey, Statement};
use upstream::generator::{Generator, GeneratorSettings};
use uuid::Uuid;
use wire::v1::attach_request::Message as FromChild;
use wire::v1::attach_response::Message as ToChild;
use wire::v1::enrollment_service_server::{EnrollmentService, EnrollmentServiceServer};
use wire::v1::pull_response::Message;
use wire::v1::site_link_service_server::{SiteLinkService, SiteLinkServiceServer};
use wire::v1::{
    AttachRequest, AttachResponse, CancelRequest, Change, ChangeBatch, DescribeSiteRequest,
    DescribeSiteResponse, FetchItemsRequest, FetchItemsResponse, JoinRequest, JoinResponse,
    ListBucketsRequest, ListBucketsResponse, ListItemsRequest, ListItemsResponse, ListNodesRequest,
    ListNodesResponse, Moved, MovedSites, PullPlan, PullRequest, PullResponse,
    RenewCertificateRequest, RenewCertificateResponse, StatusAcknowledgement, StatusBatch,
    SyncRequest, Welcome,
};

/// Changes in a batch.
const BATCH: usize = 25;
/// How long certificates and statements are good.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What the first catalog holds, and what each change adds.
const FIRST: usize = 150;
const MORE: usize = 10;

/// The answer to a pull, before it is sent.
pub struct Offer {
    pub plan: Option<PullPlan>,
    pub batches: Vec<Vec<Change>>,
    /// Bytes that are sent as batches behind the others.
    pub garbage: Vec<Bytes>,
    pub statement: Option<Vec<u8>>,
    /// The stream stays open without a further word.
    pub hangs: bool,
    /// The statement waits for this to be told.
    pub gate: Option<CancellationToken>,
}

/// What is done to an answer.
pub type Lie = Arc<dyn Fn(&mut Offer) + Send + Sync>;

/// An answer to a child that compares, before it is sent.
pub enum Answer<'a> {
    Nodes(&'a mut ListNodesResponse),
    Buckets(&'a mut ListBucketsResponse),
    Items(&'a mut ListItemsResponse),
    Fetched(&'a mut Vec<FetchItemsResponse>),
}

/// What is done to such an answer.
pub type LieAboutDigests = Arc<dyn Fn(Answer<'_>) + Send + Sync>;

/// What goes to the child, in bytes.
type Outbound = mpsc::Sender<Result<Vec<u8>, Status>>;

/// How comparisons are answered.
#[derive(Clone, Default)]
enum Compared {
    /// Not at all.
    #[default]
    Never,
    With(Option<LieAboutDigests>),
}

struct Inner {
    authority: Authority,
    ambient: Ambient,
    store: Store,
    lie: Mutex<Option<Lie>>,
    compared: Mutex<Compared>,
    child: Mutex<Option<Outbound>>,
    /// What is said in the place of a welcome.
    greeting: Mutex<Option<Vec<u8>>>,
    /// When conversations began.
    attached: Mutex<Vec<Instant>>,
    /// The newest statement last.
    statements: Mutex<Vec<Vec<u8>>>,
    documents: Mutex<VecDeque<(RevisionId, String)>>,
}

/// The parent. It ends when dropped.
pub struct Parent {
    inner: Arc<Inner>,
    address: SocketAddr,
    _stop: DropGuard,
    _folder: TempDir,
}

pub fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

impl Parent {
    /// A certificate of this authority for a person of whom no site knows anything.
    pub fn unknown_person(&self, name: &str) -> PersonKey {
        PersonKey::issued_by(&self.inner.authority, name, &self.inner.ambient)
    }

    /// A central site with a catalog, which listens.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ambient = Ambient::system();
        let location = Location::Directory(folder.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        let (now, hierarchy) = (ambient.now(), HierarchyId(ambient.new_id()));
        let authority = Authority::create(hierarchy, now, &mut ambient.new_rng()).unwrap();
        let mut tx = store.begin().await.unwrap();
        tx.start_epoch(ambient.new_id()).await.unwrap();
        tx.commit().await.unwrap();
        let generator = Generator::new(GeneratorSettings {
            seed: 3,
            updates: 300,
        });
        let documents = generator
            .recipes()
            .map(|recipe| (generator.id(&recipe), generator.document(&recipe)))
            .collect();

        let key = SiteKey::generate().unwrap();
        let identity = SiteIdentity::new(hierarchy, code("CAS"));
        let certificate = authority
            .self_issue(&key, &identity, &[], DAY, now, &mut ambient.new_rng())
            .and_then(|issued| issued.to_site_certificate())
            .unwrap();
        let clock = ambient.clone();
        let tls = trust::tls::server_config(
            HotCertificate::new(&certificate, &key).unwrap(),
            &[authority.certificate_der().clone()],
            trust::tls::time_provider(move || clock.now()),
        )
        .unwrap();
        let journal = Journal::open(
            store.clone(),
            JournalSettings {
                site: code("CAS"),
                has_parent: false,
                server: "parent".to_owned(),
                directory: folder.path().join("logs"),
                max_log_bytes: 1 << 20,
                json_lines: false,
                merges: false,
            },
            ambient.clone(),
        )
        .unwrap();
        let inner = Arc::new(Inner {
            authority,
            ambient,
            store,
            lie: Mutex::default(),
            compared: Mutex::default(),
            child: Mutex::default(),
            greeting: Mutex::default(),
            attached: Mutex::default(),
            statements: Mutex::default(),
            documents: Mutex::new(documents),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut routes = tonic::service::RoutesBuilder::default();
        routes
            .add_service(SiteLinkServiceServer::new(Service(Arc::clone(&inner))))
            .add_service(EnrollmentServiceServer::new(Service(Arc::clone(&inner))));
        let stop = CancellationToken::new();
        // What it says to a child may be no message at all.
        let speaks = RawAttach(Arc::clone(&inner));
        let attach = axum::routing::post(move |request: axum::extract::Request| async move {
            let mut server = tonic::server::Grpc::new(Raw);
            let answer = server.streaming(speaks, request).await;
            answer.map(axum::body::Body::new)
        });
        let router = routes.routes().into_axum_router();
        let router = router.route("/headwater.v1.SiteLinkService/Attach", attach);
        let serve = link::listen::serve(
            listener,
            Arc::new(tls),
            router,
            link::refusals::Refusals::new(journal),
            stop.clone(),
        );
        TaskTracker::new().spawn(serve);
        let parent = Self {
            inner,
            address,
            _stop: stop.drop_guard(),
            _folder: folder,
        };
        parent.add(FIRST, None).await;
        parent
    }

    /// Settings of a site that joins below this parent.
    pub fn child_settings(&self, site: &str, data_dir: &Path) -> agent::Settings {
        let url = format!("https://{}", self.address);
        self.settings_at(&url, (site, SiteKind::Primary, "CAS"), data_dir)
    }

    /// Settings of a site that joins at an address: its code, its kind, and the site above it.
    pub fn settings_at(
        &self,
        url: &str,
        (site, kind, parent): (&str, SiteKind, &str),
        data_dir: &Path,
    ) -> agent::Settings {
        use secrecy::ExposeSecret as _;
        let inner = &self.inner;
        let invitation = Invitation {
            hierarchy: inner.authority.hierarchy(),
            site: code(site),
            kind,
            parent: code(parent),
            expires: inner.ambient.now() + DAY,
            authority_pin: inner.authority.pin(),
        };
        let token = JoinToken::new(invitation, &mut inner.ambient.new_rng()).encode();
        // What is refused is asked for again soon.
        let period = |milliseconds| Some(Period(Duration::from_millis(milliseconds)));
        agent::Settings::load(agent::Command {
            site: link::settings::SiteFlags {
                data_dir: Some(data_dir.to_owned()),
                retry_first: period(200),
                retry_most: period(400),
                ..Default::default()
            },
            parent: Some(url.to_owned()),
            join_token: Some(token.expose_secret().to_owned()),
            ..Default::default()
        })
        .unwrap()
    }

    async fn add(&self, number: usize, remove: Option<RevisionId>) {
        let inner = &self.inner;
        let items: Vec<NewItem> = {
            let mut documents = inner.documents.lock().unwrap();
            let next = documents.drain(..number);
            next.map(|(id, text)| {
                let update = document::parse(&text).unwrap();
                NewItem {
                    key: ItemKey::Revision(id),
                    header: RevisionHeader::new(&text, &update, vec![]).to_bytes(),
                    document: codec::compress(&text).unwrap(),
                }
            })
            .collect()
        };
        let now = inner.ambient.now();
        let mut tx = inner.store.begin().await.unwrap();
        if let Some(id) = remove {
            assert_eq!(tx.remove(&[ItemKey::Revision(id)], now).await.unwrap(), 1);
        }
        tx.append(items, now).await.unwrap();
        let summary = tx.summarize().await.unwrap();
        let statement = Statement {
            hierarchy: inner.authority.hierarchy(),
            epoch: tx.positions().epoch,
            position: summary.position,
            items: summary.items,
            root: summary.root,
            issued: now,
            stale_after: now + DAY,
        };
        let signed = inner.authority.sign(statement).to_bytes();
        tx.publish(summary, &signed).await.unwrap();
        tx.commit().await.unwrap();
        inner.statements.lock().unwrap().push(signed.to_vec());
    }

    /// Publishes a change: the oldest revision goes, some come.
    pub async fn publish(&self) {
        let oldest = {
            let mut read = self.inner.store.read().await.unwrap();
            read.revisions_after(0, 1).await.unwrap().remove(0).id
        };
        self.add(MORE, Some(oldest)).await;
    }

    /// Serves what `lie` makes of the truth; the truth without one.
    pub fn tell(&self, lie: Option<Lie>) {
        *self.inner.lie.lock().unwrap() = lie;
    }

    /// Answers comparisons with what `lie` makes of the truth; with the truth without one.
    pub fn compare(&self, lie: Option<LieAboutDigests>) {
        *self.inner.compared.lock().unwrap() = Compared::With(lie);
    }

    /// Begins a new epoch and publishes a change in it.
    pub async fn begin_anew(&self) {
        let mut tx = self.inner.store.begin().await.unwrap();
        let epoch = self.inner.ambient.new_id();
        tx.continue_in_epoch(epoch, self.inner.ambient.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.publish().await;
    }

    pub fn store(&self) -> &Store {
        &self.inner.store
    }

    pub fn positions(&self) -> Positions {
        self.inner.store.positions()
    }

    /// The statement before the newest one before … : 0 is the newest.
    pub fn statement(&self, back: usize) -> Vec<u8> {
        let statements = self.inner.statements.lock().unwrap();
        statements[statements.len() - 1 - back].clone()
    }

    /// A statement like the newest, changed, and signed as only the authority can.
    pub fn signed(&self, change: impl FnOnce(&mut Statement)) -> Vec<u8> {
        sign(&self.inner.authority, &self.statement(0), change)
    }

    /// The same, signed by the authority of another hierarchy.
    pub fn forged(&self, change: impl FnOnce(&mut Statement)) -> Vec<u8> {
        let ambient = &self.inner.ambient;
        let other = HierarchyId(ambient.new_id());
        let other = Authority::create(other, ambient.now(), &mut ambient.new_rng()).unwrap();
        sign(&other, &self.statement(0), change)
    }

    /// Says something to the child.
    pub fn send(&self, message: ToChild) {
        self.say(encoded(message));
    }

    /// Says something to the child that may be no message.
    pub fn say(&self, bytes: Vec<u8>) {
        let child = self.inner.child.lock().unwrap();
        child.as_ref().unwrap().try_send(Ok(bytes)).unwrap();
    }

    /// From now on, says this in the place of a welcome; with none, welcome.
    pub fn greet(&self, bytes: Option<Vec<u8>>) {
        *self.inner.greeting.lock().unwrap() = bytes;
    }

    /// When the conversations with the child began.
    pub fn attached(&self) -> Vec<Instant> {
        self.inner.attached.lock().unwrap().clone()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Tells the child that it belongs below another point, at an address.
    pub fn send_elsewhere(&self, site: PointId, parent: &str, url: &str) {
        let moved = Moved {
            site_code: site.to_string(),
            site_kind: "primary".to_owned(),
            parent: parent.to_owned(),
            parent_url: url.to_owned(),
            key_hash: vec![1; 32],
        };
        self.send(ToChild::Moved(MovedSites { sites: vec![moved] }));
    }

    /// Asks the child to catch up; the run's identifier.
    pub fn request_sync(&self) -> Uuid {
        let run = self.inner.ambient.new_id();
        let positions = self.positions();
        self.send(ToChild::Sync(SyncRequest {
            run: run.as_bytes().to_vec(),
            epoch: positions.epoch.as_bytes().to_vec(),
            target_position: positions.verified,
            full: false,
            // No span: it is passed over.
            span: vec![5; 3],
        }));
        run
    }

    /// Tells the child that the run is over.
    pub fn cancel(&self, run: Uuid) {
        let run = run.as_bytes().to_vec();
        self.send(ToChild::Cancel(CancelRequest { run }));
    }
}

/// A message to a child as bytes.
pub fn encoded(message: ToChild) -> Vec<u8> {
    let message = Some(message);
    AttachResponse { message }.encode_to_vec()
}

fn sign(authority: &Authority, like: &[u8], change: impl FnOnce(&mut Statement)) -> Vec<u8> {
    let signed = trust::SignedStatement::from_bytes(like).unwrap();
    let mut statement = signed.claimed().clone();
    change(&mut statement);
    authority.sign(statement).to_bytes().to_vec()
}

impl Inner {
    fn comparisons(&self) -> CompareServer {
        CompareServer::new(self.store.clone())
    }

    fn compared(&self) -> Result<LieAboutDigests, Status> {
        match self.compared.lock().unwrap().clone() {
            Compared::Never => Err(Status::unimplemented("not in this play")),
            Compared::With(lie) => Ok(lie.unwrap_or_else(|| Arc::new(|_| ()))),
        }
    }

    /// The truth, for someone who has everything up to `after`.
    async fn offer(&self, request: &PullRequest) -> Offer {
        let mut read = self.store.read().await.unwrap();
        let positions = read.positions();
        let compare = !request.epoch.is_empty() && request.epoch != positions.epoch.as_bytes();
        let mut after = request.after_position;
        let limit = positions.verified;
        let statement = read.statement().await.unwrap().unwrap();
        let plan = PullPlan {
            epoch: positions.epoch.as_bytes().to_vec(),
            target_position: limit,
            changes: read.count_after(after, limit).await.unwrap(),
            compare,
            ..PullPlan::default()
        };
        let mut batches = Vec::new();
        while after < limit && !compare {
            let slice = read
                .changes_after(after, limit, BATCH, u64::MAX)
                .await
                .unwrap();
            if slice.changes.is_empty() {
                break;
            }
            after = slice.through;
            let changes = slice.changes.into_iter().map(|change| Change {
                position: change.position,
                key: change.key.into(),
                header: change.header.into(),
                document: change.document.into(),
                removed: change.removed,
            });
            batches.push(changes.collect());
        }
        Offer {
            plan: Some(plan),
            batches,
            garbage: vec![],
            statement: Some(statement).filter(|_| !compare),
            hangs: false,
            gate: None,
        }
    }

    async fn converse(&self, mut inbound: Streaming<Vec<u8>>, child: Outbound) {
        while let Ok(Some(bytes)) = inbound.message().await {
            let AttachRequest { message } = AttachRequest::decode(bytes.as_slice()).unwrap();
            let positions = self.store.positions();
            let answer = match message {
                Some(FromChild::Hello(_)) => ToChild::Welcome(Welcome {
                    version: link::VERSION.to_owned(),
                    site_code: "CAS".to_owned(),
                    epoch: positions.epoch.as_bytes().to_vec(),
                    position: positions.verified,
                    ..Welcome::default()
                }),
                Some(FromChild::Status(batch)) => {
                    let through = StatusBatch::decode(batch.as_slice()).unwrap().through;
                    ToChild::Acknowledgement(StatusAcknowledgement { through })
                }
                Some(FromChild::Report(_) | FromChild::LogLines(_)) | None => continue,
            };
            let greeting = match answer {
                ToChild::Welcome(_) => self.greeting.lock().unwrap().clone(),
                ToChild::Sync(_)
                | ToChild::Cancel(_)
                | ToChild::Acknowledgement(_)
                | ToChild::LogRequest(_)
                | ToChild::Removed(_)
                | ToChild::Verify(_)
                | ToChild::Moved(_)
                | ToChild::Uplink(_)
                | ToChild::SyncSite(_)
                | ToChild::CancelSite(_) => None,
            };
            let answer = greeting.unwrap_or_else(|| encoded(answer));
            if child.send(Ok(answer)).await.is_err() {
                return;
            }
        }
    }
}
