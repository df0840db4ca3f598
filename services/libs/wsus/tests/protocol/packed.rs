//! Answers that come packed as `xpress`, as Windows servers send them where they are asked.

use crate::support::{Clock, Memory, Served, client, id, serve, service};
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wsus::client::Error;
use wsus::message::RevisionFilter;
use wsus::xpress;

/// What a server does to the body of an answer, and how it says that it is packed.
type Packs = fn(&[u8]) -> (&'static str, Vec<u8>);

/// How many answers went out packed, and what was asked for in each request.
#[derive(Default)]
struct Seen {
    packed: AtomicUsize,
    accepted: Mutex<Vec<bool>>,
}

/// A server that packs every answer, where the client takes it so.
async fn packing(packs: Packs) -> (Served, Arc<Seen>) {
    let document = |n: u128| {
        (
            id(n),
            format!("<Update n=\"{n}\">{}</Update>", "text ".repeat(900)),
        )
    };
    let source = Arc::new(Memory::with((0..20).map(document)));
    let service = service(&source, &Clock::new());
    let seen: Arc<Seen> = Arc::default();
    let saw = Arc::clone(&seen);
    let router = axum::Router::new().fallback(move |request: Request<Body>| {
        let (service, seen) = (service.clone(), Arc::clone(&saw));
        async move {
            let takes = takes_xpress(request.headers());
            seen.accepted.lock().unwrap().push(takes);
            let (mut parts, body) = service.handle(request).await.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            if !takes {
                return Response::from_parts(parts, Body::from(body));
            }
            seen.packed.fetch_add(1, Ordering::SeqCst);
            let (name, packed) = packs(&body);
            let name = HeaderValue::from_static(name);
            parts.headers.insert(header::CONTENT_ENCODING, name);
            Response::from_parts(parts, Body::from(packed))
        }
    });
    (serve(router).await, seen)
}

fn takes_xpress(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT_ENCODING)
        .is_some_and(|value| value == "xpress")
}

/// Twenty documents come, and this many of the answers were packed; whether packed ones were asked for to the end.
async fn check(packs: Packs, to_the_end: bool) {
    let (server, seen) = packing(packs).await;
    let client = client(&server.url, &Clock::new());
    let ids: Vec<_> = (0..20).map(id).collect();
    let data = client.update_data(&ids).await.unwrap();
    assert_eq!(data.updates.len(), 20);
    assert!(
        data.updates
            .iter()
            .all(|update| update.document.len() > 4_500)
    );
    let accepted = seen.accepted.lock().unwrap();
    assert!(accepted[0], "it is asked for");
    assert_eq!(accepted.last(), Some(&to_the_end));
    let packed = seen.packed.load(Ordering::SeqCst);
    assert_eq!(packed, if to_the_end { accepted.len() } else { 1 });
}

#[tokio::test]
async fn packed_answers_are_asked_for_and_read() {
    check(|body| ("xpress", xpress::pack(body)), true).await;
    check(|body| ("XPRESS", xpress::pack(body)), true).await;
    check(|body| ("identity", body.to_vec()), true).await;
}

#[tokio::test]
async fn who_packs_in_another_way_is_asked_for_answers_as_they_are() {
    let cut = |body: &[u8]| {
        let mut packed = xpress::pack(body);
        packed.pop();
        ("xpress", packed)
    };
    check(cut, false).await;
    check(|body| ("xpress", body.to_vec()), false).await;
    check(|body| ("br", body.to_vec()), false).await;
    let other = |_: &[u8]| ("xpress", xpress::pack(&[b' '; 5_000]));
    check(other, false).await;
}

/// A body of 300 MiB in a few kilobytes.
#[tokio::test]
async fn a_bomb_is_not_unpacked() {
    let bomb = |_: &[u8]| {
        let block = xpress::pack(&[b' '; 16_352]);
        ("xpress", block.repeat((300 << 20) / 16_352))
    };
    let (server, _) = packing(bomb).await;
    let client = client(&server.url, &Clock::new());
    let error = client.revision_list(&RevisionFilter::default()).await;
    assert!(matches!(error, Err(Error::TooLarge { .. })), "{error:?}");
}
