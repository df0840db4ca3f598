//! A catalog in memory, a served one, and the folder of recorded data.

use catalog::{RevisionId, UpdateId};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
pub use testkit::shared_data::folder as shared_data;
use tokio::task::JoinSet;
use uuid::Uuid;
use wsus::anchor::Anchor;
use wsus::client::{Backoff, Client, ClientOptions, ClientSettings};
use wsus::message::{ConfigData, FileUrl, RevisionFilter, RevisionList};
use wsus::selection::{Candidate, Selection};
use wsus::server::{
    DownstreamServer, ServerIdentity, ServerSettings, Service, Session, Source, SourceError,
    StoredUpdate,
};

pub fn id(number: u128) -> RevisionId {
    RevisionId::new(UpdateId::from_u128(number), 200)
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub struct Clock(Arc<AtomicI64>);

impl Clock {
    pub fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_790_000_000)))
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::from_second(self.0.load(Ordering::SeqCst)).unwrap()
    }

    pub fn advance(&self, minutes: i64) {
        self.0.fetch_add(minutes * 60, Ordering::SeqCst);
    }

    pub fn read(&self) -> Arc<dyn Fn() -> Timestamp + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

pub const PRODUCT: UpdateId = UpdateId::from_u128(0xA);
pub const SECURITY: UpdateId = UpdateId::from_u128(0xB);

/// A catalog in memory: documents by revision, all in one product and classification.
#[derive(Default)]
pub struct Memory {
    pub documents: Mutex<HashMap<RevisionId, StoredUpdate>>,
    pub server_id: Mutex<Uuid>,
    pub seen: Mutex<Vec<DownstreamServer>>,
    pub read: AtomicUsize,
}

impl Memory {
    pub fn with(documents: impl IntoIterator<Item = (RevisionId, String)>) -> Self {
        let memory = Self::default();
        for (id, document) in documents {
            memory.put(id, &document, &[]);
        }
        memory
    }

    pub fn put(&self, id: RevisionId, document: &str, files: &[[u8; 20]]) {
        let file_urls = files.iter().map(|digest| FileUrl {
            digest: digest.to_vec(),
            mu_url: Some(format!("http://mu.example/{}.cab", digest[0])),
            uss_url: None,
        });
        let update = StoredUpdate {
            document: document.into(),
            file_digests: files.to_vec(),
            file_urls: file_urls.collect(),
        };
        self.documents.lock().unwrap().insert(id, update);
    }
}

impl Source for Memory {
    fn identity(&self) -> ServerIdentity {
        let server_id = *self.server_id.lock().unwrap();
        ServerIdentity { server_id }
    }

    async fn config(&self, _: Option<&str>, now: Timestamp) -> Result<ConfigData, SourceError> {
        Ok(ConfigData {
            lazy_sync: true,
            new_config_anchor: Anchor::new(1, now).to_string(),
            protocol_version: Some("1.20".into()),
            ..ConfigData::default()
        })
    }

    async fn revisions(
        &self,
        _: &Session,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        let selection =
            Selection::new(filter).map_err(|_| SourceError::InvalidParameter("filter"))?;
        let candidate = Candidate {
            is_config: false,
            changed: Clock::new().now() - SignedDuration::from_hours(1),
            categories: &[PRODUCT],
            classifications: &[SECURITY],
        };
        let mut revisions = vec![];
        if selection.applies(&candidate) {
            revisions.extend(self.documents.lock().unwrap().keys().copied());
            revisions.sort();
        }
        Ok(RevisionList {
            anchor: Anchor::new(1, now).to_string(),
            revisions,
        })
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        self.read.fetch_add(ids.len(), Ordering::SeqCst);
        let documents = self.documents.lock().unwrap();
        Ok(ids.iter().map(|id| documents.get(id).cloned()).collect())
    }

    async fn admit(&self, server: &DownstreamServer, _: Timestamp) -> Result<(), SourceError> {
        self.seen.lock().unwrap().push(server.clone());
        Ok(())
    }
}

pub fn settings(clock: &Clock) -> ServerSettings {
    let counter = AtomicU64::new(1);
    ServerSettings {
        cookie_key: [9; 32],
        cookie_lifetime: ServerSettings::COOKIE_LIFETIME,
        max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
        clock: clock.read(),
        new_id: Arc::new(move || {
            Uuid::from_u128(u128::from(counter.fetch_add(1, Ordering::SeqCst)))
        }),
    }
}

pub fn service(source: &Arc<Memory>, clock: &Clock) -> Service<Memory> {
    Service::new(Arc::clone(source), settings(clock))
}

/// A server on loopback; it ends when this is dropped.
pub struct Served {
    pub url: String,
    _tasks: JoinSet<()>,
}

pub async fn serve(router: axum::Router) -> Served {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    Served { url, _tasks: tasks }
}

pub fn client_settings(url: &str, clock: &Clock) -> ClientSettings {
    ClientSettings {
        url: url.to_owned(),
        account_name: "cas.example".into(),
        account_guid: Uuid::from_u128(0xC0FFEE),
        ca_file_pem: None,
        account: None,
        proxy: None,
        timeout: ClientSettings::TIMEOUT,
        parallel_requests: 4,
        clock: clock.read(),
    }
}

pub fn client(url: &str, clock: &Clock) -> Client {
    Client::with_options(client_settings(url, clock), quick()).unwrap()
}

/// Pauses that a test need not wait for.
pub fn quick() -> ClientOptions {
    ClientOptions {
        backoff: Backoff {
            first: Duration::from_micros(10),
            longest: Duration::from_millis(1),
        },
        exchange: None,
    }
}
