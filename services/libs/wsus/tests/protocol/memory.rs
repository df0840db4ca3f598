//! Large documents that many ask for at once: how much is in memory at a time.

use crate::support::{self, Clock, id, settings};
use axum::body::Body;
use catalog::RevisionId;
use futures::future::join_all;
use jiff::Timestamp;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use wsus::fault::Fault;
use wsus::message::{
    ConfigData, Cookie, GetAuthorizationCookie, GetCookie, GetUpdateData, Operation, Request,
    Response, RevisionFilter, RevisionList, SoapVersion, UpdateData,
};
use wsus::server::{
    Held, Memory, ServerIdentity, Service, Session, Source, SourceError, StoredUpdate,
};

/// Bytes of a document.
const LARGE: usize = 1 << 20;
/// Bytes that answers may have in memory: one such document at a time while it is encoded, with what it becomes.
const MEMORY: usize = 8 << 20;
/// Who asks at once.
const CLIENTS: usize = 32;

/// A source of large documents, each in memory as long as somebody has it.
#[derive(Default)]
struct Large {
    source: support::Memory,
    alive: Mutex<Vec<Weak<str>>>,
    /// How many there were at most.
    most: AtomicUsize,
}

impl Source for Large {
    fn identity(&self) -> ServerIdentity {
        self.source.identity()
    }

    async fn config(&self, held: Option<&str>, now: Timestamp) -> Result<ConfigData, SourceError> {
        self.source.config(held, now).await
    }

    async fn revisions(
        &self,
        session: &Session,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        self.source.revisions(session, filter, now).await
    }

    fn document_bytes(&self, ids: &[RevisionId]) -> Vec<usize> {
        vec![LARGE; ids.len()]
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        let mut updates = Vec::new();
        for _ in ids {
            let document: Arc<str> = "x".repeat(LARGE).into();
            {
                let mut alive = self.alive.lock().unwrap();
                alive.retain(|document| document.strong_count() > 0);
                alive.push(Arc::downgrade(&document));
                self.most.fetch_max(alive.len(), Ordering::SeqCst);
            }
            updates.push(Some(StoredUpdate {
                document,
                file_digests: vec![],
                file_urls: vec![],
            }));
            tokio::task::yield_now().await;
        }
        Ok(updates)
    }
}

struct Server {
    service: Service<Large>,
    source: Arc<Large>,
    memory: Memory,
}

impl Server {
    fn new() -> Self {
        let source = Arc::new(Large::default());
        Self {
            service: Service::new(Arc::clone(&source), settings(&Clock::new())),
            source,
            memory: Memory::new(MEMORY),
        }
    }

    async fn ask(&self, request: Request) -> (Result<Response, Fault>, Held) {
        let operation = request.operation();
        let body = Body::from(request.encode(SoapVersion::V11));
        let post = http::Request::post("/ServerSyncWebService/ServerSyncWebService.asmx");
        let post = post.extension(self.memory.clone()).body(body).unwrap();
        let mut answer = self.service.handle(post).await;
        let held = answer.extensions_mut().remove().unwrap_or_default();
        let body = axum::body::to_bytes(answer.into_body(), 64 << 20).await;
        let answer = Response::decode(&body.unwrap(), operation);
        assert!(self.memory.held() <= MEMORY);
        (answer.unwrap(), held)
    }

    async fn cookie(&self) -> Cookie {
        let authorization = Request::GetAuthorizationCookie(GetAuthorizationCookie {
            account_name: "dss.example".to_owned(),
            account_guid: "6f1c2f6e-3f0b-4d3a-9b1e-0d2f6a1c5e12".to_owned(),
        });
        let Ok(Response::AuthorizationCookie(authorization)) = self.ask(authorization).await.0
        else {
            panic!("no authorization")
        };
        let session = Request::GetCookie(GetCookie {
            auth_cookies: vec![authorization],
            old_cookie: None,
            protocol_version: Some("1.20".to_owned()),
        });
        let Ok(Response::Cookie(cookie)) = self.ask(session).await.0 else {
            panic!("no session")
        };
        cookie
    }

    async fn updates(&self, cookie: &Cookie, update_ids: Vec<RevisionId>) -> (UpdateData, Held) {
        let cookie = Some(cookie.clone());
        let request = Request::GetUpdateData(GetUpdateData { cookie, update_ids });
        assert_eq!(request.operation(), Operation::GetUpdateData);
        let (Ok(Response::UpdateData(data)), held) = self.ask(request).await else {
            panic!("no updates")
        };
        (data, held)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_ask_for_large_documents_few_are_in_memory() {
    let server = Server::new();
    let cookie = server.cookie().await;
    let asks = (0..CLIENTS).map(|client| {
        let ids = match client % 2 {
            // The same again and again.
            0 => vec![id(7); 100],
            _ => (0..100).map(id).collect(),
        };
        server.updates(&cookie, ids)
    });
    let asks = asks.map(async |ask| {
        let (data, sent) = ask.await;
        drop(sent);
        data
    });
    for data in join_all(asks).await {
        assert_eq!(data.updates.len(), 1, "one goes, whatever its size");
        assert_eq!(data.updates[0].document.len(), LARGE);
    }
    let most = server.source.most.load(Ordering::SeqCst);
    assert!(most <= MEMORY / LARGE, "{most}");
    assert_eq!(server.memory.held(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_on_its_way_keeps_its_memory() {
    let server = Server::new();
    let cookie = server.cookie().await;
    let (_, first) = server.updates(&cookie, vec![id(1)]).await;
    let bytes = server.memory.held();
    assert!((LARGE..MEMORY).contains(&bytes), "{bytes}");
    let mut next = std::pin::pin!(server.updates(&cookie, vec![id(2)]));
    let soon = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(soon, &mut next).await.is_err());
    assert_eq!(server.source.most.load(Ordering::SeqCst), 1);
    drop(first);
    let (data, _) = next.await;
    assert_eq!(data.updates.len(), 1);
}
