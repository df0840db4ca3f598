//! Content over HTTP, as clients of WSUS ask for it.

use super::origin::Origin;
use super::support::{Site, at};
use bytes::Bytes;
use content::{Content, ContentFile};
use http::StatusCode;
use reqwest::{Client, Response};
use std::time::Duration;
use testkit::patience::LONG;
use testkit::until;

const SIZE: usize = (2 << 20) + 1000;

struct Served {
    site: Site,
    file: ContentFile,
    bytes: Bytes,
    root: String,
    client: Client,
}

async fn served() -> Served {
    served_by(SIZE, content::router).await
}

async fn served_by(size: usize, router: impl FnOnce(Content) -> axum::Router) -> Served {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, size);
    let site = Site::top().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until_done(1).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let root = format!("http://{}", listener.local_addr().unwrap());
    let router = router(site.content.clone());
    let serve = async move { axum::serve(listener, router).await.unwrap() };
    tokio_util::task::TaskTracker::new().spawn(serve);
    Served {
        site,
        file,
        bytes,
        root,
        client: Client::builder().no_proxy().build().unwrap(),
    }
}

impl Served {
    fn path(&self) -> String {
        format!(
            "/Content/{}/{}",
            self.file.folder(),
            self.file.stored_name()
        )
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = self.client.get(format!("{}{path}", self.root));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    let value = answer.headers().get(name);
    value.map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_it_and_parts_of_it_are_served() {
    let served = served().await;
    let path = served.path();
    let size = SIZE.to_string();
    let all = served.get(&path, &[]).await;
    assert_eq!(all.status(), StatusCode::OK);
    assert_eq!(header(&all, "content-length"), size);
    assert_eq!(header(&all, "accept-ranges"), "bytes");
    let tag = header(&all, "etag").to_owned();
    assert!(all.bytes().await.unwrap() == served.bytes);
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=1048570-1048590", 1_048_570, 1_048_590),
        ("bytes=2097152-", 2_097_152, SIZE - 1),
        ("bytes=-10", SIZE - 10, SIZE - 1),
    ] {
        for validator in [None, Some(tag.as_str())] {
            let mut headers = vec![("range", range)];
            headers.extend(validator.map(|tag| ("if-range", tag)));
            let part = served.get(&path, &headers).await;
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            let said = format!("bytes {first}-{last}/{SIZE}");
            assert_eq!(header(&part, "content-range"), said);
            let length = (last + 1 - first).to_string();
            assert_eq!(header(&part, "content-length"), length);
            assert!(part.bytes().await.unwrap() == served.bytes.slice(first..=last));
        }
    }
    let changed = [("range", "bytes=0-0"), ("if-range", "\"another\"")];
    let all = served.get(&path, &changed).await;
    assert_eq!(
        (all.status(), header(&all, "content-length")),
        (StatusCode::OK, size.as_str())
    );
    let beyond = served.get(&path, &[("range", "bytes=9999999-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{SIZE}"));
    let same = served.get(&path, &[("if-none-match", tag.as_str())]).await;
    assert_eq!(same.status(), StatusCode::NOT_MODIFIED);
    let head = served.client.head(format!("{}{path}", served.root));
    let head = head.header("range", "bytes=0-0").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(header(&head, "content-length"), size);
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_found_in_any_case_and_only_in_its_folder() {
    let served = served().await;
    let (folder, name) = (served.file.folder(), served.file.stored_name());
    let stem = name.split('.').next().unwrap();
    let other = if folder == "00" { "01" } else { "00" };
    let missing = format!("{}.cab", "0".repeat(40));
    for (path, status) in [
        (
            format!("/content/{}/{}", folder.to_lowercase(), name.to_lowercase()),
            200,
        ),
        (format!("//CONTENT//{folder}/{name}"), 200),
        (format!("/Content/{other}/{name}"), 404),
        (format!("/Content/{folder}/{stem}"), 403),
        (format!("/Content/{folder}/{missing}"), 404),
        (format!("/Content/{folder}/"), 404),
        (format!("/Content/{folder}"), 404),
        ("/Content/".to_owned(), 404),
        ("/Content/.partial/x".to_owned(), 403),
        (format!("/Content/{folder}/..%2f..%2fsite.db"), 404),
        (format!("/Content/%2e%2e/{name}"), 404),
        (format!("/Content/{folder}/%00.cab"), 404),
    ] {
        let answer = served.get(&path, &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{path}");
    }
    let put = served
        .client
        .put(format!("{}{}", served.root, served.path()));
    assert_eq!(
        put.send().await.unwrap().status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
    // What is no longer known is no longer served.
    let mut tx = served.site.store.begin().await.unwrap();
    tx.unwant_content(&[served.file.sha1]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        served.get(&served.path(), &[]).await.status(),
        StatusCode::OK
    );
    let removed = served.site.content.remove(&served.file).await;
    assert_eq!(removed.unwrap(), content::Removal::Removed);
    assert_eq!(
        served.get(&served.path(), &[]).await.status(),
        StatusCode::NOT_FOUND
    );
}

/// More than a connection holds between two who do not read.
const LARGE: usize = 48 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_too_many_are_served_is_told_when_to_come_back() {
    let long = Duration::from_secs(120);
    let bounded = move |content| content::router::router_with(content, 2, long);
    let served = served_by(LARGE, bounded).await;
    let path = served.path();
    // Two take their time.
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut answer = served.get(&path, &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.chunk().await.unwrap().is_some());
        slow.push(answer);
    }
    let refused = served.get(&path, &[("range", "bytes=0-9")]).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&refused, "retry-after"), "10");
    // What costs nothing is answered all the same.
    let head = served.client.head(format!("{}{path}", served.root));
    assert_eq!(head.send().await.unwrap().status(), StatusCode::OK);
    let missing = served.get("/Content/00/x.cab", &[]).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    // One goes, the other comes to its end: there are places again.
    drop(slow.pop());
    let rest = slow.pop().unwrap().bytes().await.unwrap();
    assert!(served.bytes.ends_with(&rest));
    until("there are places", LONG, || async {
        let mut held = Vec::new();
        for _ in 0..2 {
            let answer = served.get(&path, &[]).await;
            if answer.status() != StatusCode::OK {
                return Err(answer.status().to_string());
            }
            held.push(answer);
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_nothing_loses_the_place() {
    let soon = Duration::from_millis(300);
    let bounded = move |content| content::router::router_with(content, 1, soon);
    let served = served_by(LARGE, bounded).await;
    let path = served.path();
    let mut stuck = served.get(&path, &[]).await;
    assert_eq!(stuck.status(), StatusCode::OK);
    assert!(stuck.chunk().await.unwrap().is_some());
    until("another one is served", LONG, || async {
        let answer = served.get(&path, &[("range", "bytes=0-9")]).await;
        let status = answer.status();
        let is_served = status == StatusCode::PARTIAL_CONTENT;
        is_served.then_some(()).ok_or_else(|| status.to_string())
    })
    .await;
    // And does not get all of it any more.
    let mut came = 0;
    while let Ok(Some(piece)) = stuck.chunk().await {
        came += piece.len();
    }
    assert!(came < LARGE, "{came}");
}
