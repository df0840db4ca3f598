//! Client against server.

use crate::support::{
    Clock, Memory, PRODUCT, SECURITY, Served, client, client_settings, id, quick, serve, service,
    settings,
};
use axum::body::Body;
use catalog::RevisionId;
use futures::StreamExt;
use http::{Response as HttpResponse, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use uuid::Uuid;
use wsus::client::{Client, Error, Fetched, MAX_ATTEMPTS, MAX_REFUSED_IN_A_ROW};
use wsus::fault::{ErrorCode, Fault};
use wsus::message::{IdAndDelta, Operation, Request, RevisionFilter, SoapVersion};

/// Everything that a fetch brought.
#[derive(Debug, Default, PartialEq)]
struct Brought {
    documents: BTreeMap<RevisionId, usize>,
    refused: BTreeMap<RevisionId, String>,
    missing: BTreeSet<RevisionId>,
    unasked: BTreeSet<RevisionId>,
    error: Option<String>,
    batches: usize,
}

async fn fetch(client: &Client, ids: Vec<RevisionId>) -> Brought {
    let mut stream = pin!(client.fetch(ids));
    let mut brought = Brought::default();
    while let Some(item) = stream.next().await {
        match item {
            Ok(Fetched::Batch(data)) => {
                brought.batches += 1;
                for update in data.updates {
                    let before = brought.documents.insert(update.id, update.document.len());
                    assert_eq!(before, None, "{} came twice", update.id);
                }
            }
            Ok(Fetched::Refused { id, reason }) => {
                brought.refused.insert(id, reason.to_string());
            }
            Ok(Fetched::Missing(id)) => {
                brought.missing.insert(id);
            }
            Ok(Fetched::Unasked(id)) => {
                brought.unasked.insert(id);
            }
            Err(error) => brought.error = Some(error.to_string()),
        }
    }
    brought
}

fn documents(count: u128) -> Vec<(RevisionId, String)> {
    let document = |n| {
        (
            id(n),
            format!("<Update n=\"{n}\">{}\r\n</Update>", "text ".repeat(800)),
        )
    };
    (0..count).map(document).collect()
}

/// A server whose requests pass through `tamper`, which may answer in its place.
async fn serve_tampered(
    source: &Arc<Memory>,
    clock: &Clock,
    tamper: impl Fn(&mut Request) -> Option<HttpResponse<Body>> + Clone + Send + Sync + 'static,
) -> Served {
    let service = service(source, clock);
    let router = axum::Router::new().fallback(move |request: http::Request<Body>| {
        let (service, tamper) = (service.clone(), tamper.clone());
        async move {
            let (mut parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let (version, mut request) = Request::decode(&body).unwrap();
            if let Some(answer) = tamper(&mut request) {
                return answer;
            }
            parts.headers.remove(http::header::CONTENT_LENGTH);
            let body = Body::from(request.encode(version));
            service.handle(http::Request::from_parts(parts, body)).await
        }
    });
    serve(router).await
}

fn fault(code: ErrorCode) -> HttpResponse<Body> {
    let body = Fault::new(code, "").encode(SoapVersion::V11);
    HttpResponse::builder()
        .status(500)
        .body(Body::from(body))
        .unwrap()
}

fn status(status: StatusCode, body: &'static str) -> HttpResponse<Body> {
    HttpResponse::builder()
        .status(status)
        .body(Body::from(body))
        .unwrap()
}

#[tokio::test]
async fn a_downstream_server_synchronizes_from_an_upstream_server() {
    let clock = Clock::new();
    let source = Arc::new(Memory::with(documents(250)));
    source.put(id(1000), "<Update>with file</Update>", &[[7; 20], [8; 20]]);
    source.put(id(1001), "<Update>with the same file</Update>", &[[7; 20]]);
    let served = serve(wsus::server::router(Arc::clone(&source), settings(&clock))).await;
    let client = client(&served.url, &clock);
    let config = client.config_data(None).await.unwrap();
    assert_eq!(config.max_updates_per_request, 100);
    let entry = |id, delta| Some(vec![IdAndDelta { id, delta }]);
    let mut filter = RevisionFilter {
        categories: entry(PRODUCT, false),
        classifications: entry(SECURITY, false),
        ..RevisionFilter::default()
    };
    let list = client.revision_list(&filter).await.unwrap();
    assert_eq!(list.revisions.len(), 252);
    let brought = fetch(&client, list.revisions).await;
    assert_eq!(brought.documents.len(), 252);
    assert_eq!(brought.error, None);
    let anchor = list.anchor.clone();
    filter.anchor = Some(list.anchor);
    filter.categories = entry(PRODUCT, true);
    filter.classifications = entry(SECURITY, true);
    assert_eq!(client.revision_list(&filter).await.unwrap().revisions, []);
    let data = client.update_data(&[id(1000), id(1001)]).await.unwrap();
    assert_eq!(data.updates[0].file_digests, [[7; 20], [8; 20]]);
    assert_eq!(data.file_urls.len(), 2, "no digest is named twice");
    assert_eq!(
        client
            .decryption_data(&[id(1)])
            .await
            .unwrap()
            .revisions
            .len(),
        1
    );
    assert_eq!(
        client
            .deployments(None, &anchor)
            .await
            .unwrap()
            .groups
            .len(),
        2
    );
    client.download_files(&[[1; 20]]).await.unwrap();
    let seen = source.seen.lock().unwrap();
    assert_eq!(seen.len(), 1, "one authorization was enough");
    assert_eq!(seen[0].account_name, "cas.example");
    assert_eq!(seen[0].account_guid, Uuid::from_u128(0xC0FFEE));
}

#[tokio::test]
async fn a_thousand_documents_come_in_parallel_one_of_them_large() {
    let clock = Clock::new();
    let mut all = documents(1000);
    all[500].1 = format!("<Update>{}</Update>", "large ä\r\n".repeat(500_000));
    let expected: BTreeMap<_, _> = all.iter().map(|(id, text)| (*id, text.len())).collect();
    let source = Arc::new(Memory::with(all));
    let served = serve(wsus::server::router(source, settings(&clock))).await;
    let client = client(&served.url, &clock);
    let brought = fetch(&client, expected.keys().copied().collect()).await;
    assert!(brought.documents == expected);
    assert!(brought.refused.is_empty() && brought.missing.is_empty() && brought.error.is_none());
}

#[tokio::test]
async fn a_session_is_renewed_when_it_ends_in_the_middle_of_a_run() {
    let clock = Clock::new();
    let source = Arc::new(Memory::with(documents(3)));
    let cookies = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&cookies);
    let served = serve_tampered(&source, &clock, move |request| {
        count.fetch_add(
            usize::from(request.operation() == Operation::GetCookie),
            Ordering::SeqCst,
        );
        None
    })
    .await;
    let client = client(&served.url, &clock);
    for (minutes, sessions) in [(0, 1), (237, 1), (2, 2), (200, 2), (60, 3), (30 * 60, 5)] {
        clock.advance(minutes);
        client.update_data(&[id(0)]).await.unwrap();
        // The last renewal takes two: the authorization of the day before is refused first.
        assert_eq!(
            cookies.load(Ordering::SeqCst),
            sessions,
            "after {minutes} minutes"
        );
    }
    assert_eq!(source.seen.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_session_that_the_server_does_not_accept_is_opened_again_once() {
    let (clock, clock_of_server) = (Clock::new(), Clock::new());
    let source = Arc::new(Memory::with(documents(300)));
    let served = serve(wsus::server::router(
        Arc::clone(&source),
        settings(&clock_of_server),
    ))
    .await;
    let client = client(&served.url, &clock);
    client.config_data(None).await.unwrap();
    clock_of_server.advance(23 * 60);
    let brought = fetch(&client, (0..300).map(id).collect()).await;
    assert_eq!((brought.documents.len(), brought.error), (300, None));
    assert_eq!(
        source.seen.lock().unwrap().len(),
        2,
        "one handshake for all parallel calls"
    );
}

#[tokio::test]
async fn a_server_that_never_accepts_a_session_is_asked_twice() {
    let clock = Clock::new();
    let source = Arc::new(Memory::default());
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let served = serve_tampered(&source, &clock, move |request| {
        if request.operation() != Operation::GetConfigData {
            return None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        Some(fault(ErrorCode::InvalidCookie))
    })
    .await;
    let error = client(&served.url, &clock)
        .config_data(None)
        .await
        .unwrap_err();
    assert_eq!(error.fault_code(), Some(&ErrorCode::InvalidCookie));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_was_replaced_is_told_apart_from_other_errors() {
    let clock = Clock::new();
    let source = Arc::new(Memory::default());
    let served = serve(wsus::server::router(Arc::clone(&source), settings(&clock))).await;
    let client = client(&served.url, &clock);
    client.config_data(None).await.unwrap();
    *source.server_id.lock().unwrap() = Uuid::from_u128(2);
    let error = client.config_data(None).await.unwrap_err();
    assert!(matches!(error, Error::ServerChanged { .. }), "{error}");
    client
        .config_data(None)
        .await
        .expect("the session was opened anew");
}

#[tokio::test]
async fn short_answers_are_asked_for_the_rest() {
    let clock = Clock::new();
    let document = |n| {
        (
            id(n),
            format!("<Update n=\"{n}\">{}</Update>", "x".repeat(200_000)),
        )
    };
    let source = Arc::new(Memory::with((0..30).map(document)));
    let served = serve(wsus::server::router(source, settings(&clock))).await;
    let brought = fetch(&client(&served.url, &clock), (0..30).map(id).collect()).await;
    assert_eq!((brought.documents.len(), brought.error), (30, None));
    // A document of 200,000 characters takes 533,000 bytes of an answer: three fit.
    assert_eq!(brought.batches, 10);
}

#[tokio::test]
async fn one_revision_that_the_server_does_not_know_is_found_and_the_rest_goes_on() {
    let clock = Clock::new();
    let source = Arc::new(Memory::with(documents(250)));
    let served = serve(wsus::server::router(source, settings(&clock))).await;
    let mut ids: Vec<_> = (0..250).map(id).collect();
    ids.insert(37, id(9_001));
    ids.insert(200, id(9_002));
    ids.push(id(5)); // asked for twice, fetched once
    let brought = fetch(&client(&served.url, &clock), ids).await;
    assert_eq!((brought.documents.len(), brought.error), (250, None));
    let refused: Vec<_> = brought.refused.keys().copied().collect();
    assert_eq!(refused, [id(9_001), id(9_002)]);
    assert_eq!(
        brought.refused[&id(9_001)],
        "the upstream server refuses it with InternalServerError"
    );
}

#[tokio::test]
async fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let clock = Clock::new();
    let source = Arc::new(Memory::default());
    let served = serve(wsus::server::router(Arc::clone(&source), settings(&clock))).await;
    let brought = fetch(&client(&served.url, &clock), (0..10_000).map(id).collect()).await;
    assert!(brought.error.unwrap().contains("one after the other"));
    assert!(brought.refused.len() < MAX_REFUSED_IN_A_ROW);
}

#[tokio::test]
async fn what_an_answer_leaves_out_for_good_is_missing_and_what_was_not_asked_is_reported() {
    let clock = Clock::new();
    let source = Arc::new(Memory::with(documents(20)));
    let served = serve_tampered(&source, &clock, |request| {
        if let Request::GetUpdateData(request) = request {
            request
                .update_ids
                .retain(|asked| *asked != id(3) && *asked != id(4));
            request.update_ids.push(id(19));
        }
        None
    })
    .await;
    let brought = fetch(&client(&served.url, &clock), (0..10).map(id).collect()).await;
    assert_eq!(brought.documents.len(), 8);
    assert_eq!(brought.missing, BTreeSet::from([id(3), id(4)]));
    assert_eq!(brought.unasked, BTreeSet::from([id(19)]));
    assert_eq!(brought.error, None);
}

#[tokio::test]
async fn what_passes_is_tried_again_and_what_does_not_is_not() {
    let clock = Clock::new();
    let cases: [(HttpAnswer, bool); 6] = [
        (|| fault(ErrorCode::ServerBusy), true),
        (|| fault(ErrorCode::Other(String::new())), true),
        (|| status(StatusCode::SERVICE_UNAVAILABLE, "busy"), true),
        (|| fault(ErrorCode::InvalidParameters), false),
        (|| status(StatusCode::NOT_FOUND, "nothing here"), false),
        (|| status(StatusCode::OK, "<html>Welcome</html>"), false),
    ];
    for (index, (answer, transient)) in cases.into_iter().enumerate() {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let source = Arc::new(Memory::default());
        let served = serve_tampered(&source, &clock, move |request| {
            let config = request.operation() == Operation::GetConfigData;
            (config && count.fetch_add(1, Ordering::SeqCst) < 2).then(answer)
        })
        .await;
        let outcome = client(&served.url, &clock).config_data(None).await;
        assert_eq!(outcome.is_ok(), transient, "case {index}");
        assert_eq!(
            calls.load(Ordering::SeqCst),
            if transient { 3 } else { 1 },
            "case {index}"
        );
    }
}

type HttpAnswer = fn() -> HttpResponse<Body>;

#[tokio::test]
async fn attempts_have_an_end() {
    let clock = Clock::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let served = serve_tampered(&Arc::new(Memory::default()), &clock, move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some(status(StatusCode::BAD_GATEWAY, ""))
    })
    .await;
    let error = client(&served.url, &clock)
        .config_data(None)
        .await
        .unwrap_err();
    assert_eq!(calls.load(Ordering::SeqCst), MAX_ATTEMPTS as usize);
    let text = error.to_string();
    assert!(text.contains("GetAuthConfig at http://127.0.0.1"), "{text}");
    assert!(text.contains("502 Bad Gateway"), "{text}");
}

#[tokio::test]
async fn dropping_a_fetch_stops_asking() {
    let clock = Clock::new();
    let source = Arc::new(Memory::with(documents(2_000)));
    let served = serve(wsus::server::router(Arc::clone(&source), settings(&clock))).await;
    let client = client(&served.url, &clock);
    let mut stream = Box::pin(client.fetch((0..2_000).map(id).collect()));
    assert!(matches!(stream.next().await, Some(Ok(Fetched::Batch(_)))));
    let in_flight = 4;
    drop(stream);
    client.config_data(None).await.unwrap();
    assert!(source.read.load(Ordering::SeqCst) <= (1 + 2 * in_flight) * 100);
}

#[tokio::test]
async fn nothing_to_fetch_asks_nothing() {
    let clock = Clock::new();
    let client = client("http://127.0.0.1:1", &clock);
    assert_eq!(fetch(&client, vec![]).await, Brought::default());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_what_to_check() {
    let clock = Clock::new();
    let error = client("http://127.0.0.1:1", &clock)
        .config_data(None)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "GetAuthConfig at http://127.0.0.1:1/ServerSyncWebService/ServerSyncWebService.asmx failed: no \
         connection to the server; check the address, name resolution, firewall and proxy"
    );
}

#[tokio::test]
async fn an_authorization_service_elsewhere_is_not_called() {
    let clock = Clock::new();
    let served = serve_tampered(&Arc::new(Memory::default()), &clock, |_| {
        use wsus::message::{AuthConfig, AuthPlugIn, Response};
        let config = Response::AuthConfig(AuthConfig {
            last_change: jiff::Timestamp::UNIX_EPOCH,
            plug_ins: vec![AuthPlugIn {
                service_url: "http://metadata.internal/latest".into(),
                ..AuthPlugIn::default()
            }],
        });
        let body = Body::from(config.encode(SoapVersion::V11));
        Some(HttpResponse::new(body))
    })
    .await;
    let error = client(&served.url, &clock)
        .config_data(None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ForeignService { .. }), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_given_up_after_the_time_limit() {
    let clock = Clock::new();
    let router = axum::Router::new().fallback(|| async {
        std::future::pending::<()>().await;
    });
    let served = serve(router).await;
    let mut settings = client_settings(&served.url, &clock);
    settings.timeout = std::time::Duration::from_millis(20);
    let client = Client::with_options(settings, quick()).unwrap();
    let error = client.config_data(None).await.unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_announced_too_large_is_not_read() {
    let clock = Clock::new();
    let served = serve_tampered(&Arc::new(Memory::default()), &clock, |_| {
        let body = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let answer = HttpResponse::builder().header("Content-Length", "300000000");
        Some(answer.body(body).unwrap())
    })
    .await;
    let error = client(&served.url, &clock)
        .config_data(None)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let clock = Clock::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let served = serve_tampered(&Arc::new(Memory::default()), &clock, move |request| {
        if request.operation() != Operation::GetConfigData
            || count.fetch_add(1, Ordering::SeqCst) > 0
        {
            return None;
        }
        let part: Result<Vec<u8>, std::io::Error> = Ok(b"<soap:Envelope>".to_vec());
        let broken = Err(std::io::Error::other("the server went away"));
        Some(HttpResponse::new(Body::from_stream(futures::stream::iter(
            [part, broken],
        ))))
    })
    .await;
    client(&served.url, &clock).config_data(None).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}
