//! Bad requests to a server over real connections.

use crate::samples::request_texts;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use testkit::Door;
use testkit::mutate::{Mutant, cuts, damage, encodings, markup};
use testkit::patience::LONG;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;
use wsus::message::{
    ConfigData, Operation, Request, Response, RevisionFilter, RevisionList, SoapVersion,
};
use wsus::server::{
    DownstreamServer, ServerIdentity, ServerSettings, Session, Source, SourceError, StoredUpdate,
};

/// A catalog without updates that counts how often somebody is let in to it.
#[derive(Default)]
struct Counted {
    sessions: AtomicUsize,
    read: AtomicUsize,
}

impl Source for Counted {
    fn identity(&self) -> ServerIdentity {
        let server_id = Uuid::from_u128(1);
        ServerIdentity { server_id }
    }

    async fn config(&self, _: Option<&str>, _: jiff::Timestamp) -> Result<ConfigData, SourceError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        Ok(ConfigData::default())
    }

    async fn revisions(
        &self,
        _: &Session,
        _: &RevisionFilter,
        _: jiff::Timestamp,
    ) -> Result<RevisionList, SourceError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        Ok(RevisionList::default())
    }

    async fn updates(
        &self,
        ids: &[catalog::RevisionId],
    ) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        self.read.fetch_add(1, Ordering::SeqCst);
        Ok(vec![None; ids.len()])
    }

    async fn admit(&self, _: &DownstreamServer, _: jiff::Timestamp) -> Result<(), SourceError> {
        self.sessions.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn settings() -> ServerSettings {
    let now: jiff::Timestamp = "2026-10-04T16:00:00Z".parse().unwrap();
    ServerSettings {
        cookie_key: [9; 32],
        cookie_lifetime: ServerSettings::COOKIE_LIFETIME,
        max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
        clock: Arc::new(move || now),
        new_id: Arc::new(|| Uuid::from_u128(7)),
    }
}

/// Sends bytes as they are on a connection of their own; the status and the body of the answer.
/// With `hang_up` nothing more can be waited for.
async fn exchange(
    address: std::net::SocketAddr,
    bytes: &[u8],
    hang_up: bool,
) -> Option<(u16, Vec<u8>)> {
    let talk = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may answer, and close, before it has read everything.
        let sent = stream.write_all(bytes).await;
        if hang_up && sent.is_ok() {
            stream.shutdown().await.ok();
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        answer
    };
    let answer = tokio::time::timeout(LONG, talk).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some((status, answer[end + 4..].to_vec()))
}

fn post(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST /ServerSyncWebService/ServerSyncWebService.asmx HTTP/1.1\r\nHost: uss.example\r\n\
         Connection: close\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_over_real_connections_are_answered_with_a_fault() {
    let source = Arc::new(Counted::default());
    let router = wsus::server::router(Arc::clone(&source), settings());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });

    let mut door = Door::new("SOAP requests over real connections");
    for (seed, text) in (0..).zip(request_texts()) {
        let mut mutants: Vec<Mutant> = cuts(text.as_bytes()).step_by(40).collect();
        mutants.extend(damage(text.as_bytes(), seed + 100, 20));
        mutants.extend(markup::bombs(&text));
        mutants.extend(encodings(&text));
        for mutant in mutants {
            let answer = exchange(address, &post(&mutant.bytes), false).await;
            door.knock(&mutant, |_| {
                let (status, body) = answer.unwrap();
                let decoded = Operation::ALL
                    .into_iter()
                    .find_map(|operation| Response::decode(&body, operation).ok());
                match (status, decoded) {
                    (200, Some(Ok(_))) => Ok(()),
                    (500, Some(Err(fault))) => {
                        assert_eq!(testkit::door::unfit(&fault.reason), None);
                        Err(fault.to_string())
                    }
                    other => panic!("{other:?}: {}", String::from_utf8_lossy(&body)),
                }
            });
        }
    }
    // Heads that are none.
    let good = post(Request::GetAuthConfig.encode(SoapVersion::V11).as_bytes());
    let head = good
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    for mutant in damage(&good[..head], 7, 300) {
        let bytes = [mutant.bytes.as_slice(), &good[head..]].concat();
        let answer = exchange(address, &bytes, true).await;
        door.knock(&mutant, |_| match answer {
            Some((200, _)) => Ok(()),
            Some((status, _)) => Err(format!("HTTP status {status}")),
            None => Err("hung up".to_owned()),
        });
    }
    door.close(1_000);
    // Nobody was let in: none of the cookies is one of this server. And it is still there.
    assert_eq!(source.read.load(Ordering::SeqCst), 0);
    let (status, body) = exchange(address, &good, false).await.unwrap();
    let answer = Response::decode(&body, Operation::GetAuthConfig);
    assert!(status == 200 && matches!(answer, Ok(Ok(Response::AuthConfig(_)))));
}
