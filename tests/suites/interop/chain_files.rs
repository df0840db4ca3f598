//! Update files in a chain of two hierarchies: the second one reaches nobody but the first.

use crate::downstream::{SERVES, address, served};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, StatusCode, Uri, header};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const UPDATE: &str = "b0000000-0000-4000-8000-000000000001";
const SIZE: usize = 3_000_000;

/// A proxy that leads to one server only, and notes what it was asked for. It ends when dropped.
struct OnlyWay {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Way {
    to: SocketAddr,
    http: reqwest::Client,
    asked: Arc<Mutex<Vec<String>>>,
}

impl OnlyWay {
    async fn to(server: SocketAddr) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let way = Way {
            to: server,
            http: reqwest::Client::builder()
                .no_proxy()
                .no_gzip()
                .build()
                .unwrap(),
            asked: Arc::clone(&asked),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(pass).with_state(way);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        TaskTracker::new().spawn(async move {
            tokio::select! {
                served = axum::serve(listener, router) => served.unwrap(),
                () = stopped.cancelled() => {}
            }
        });
        Self {
            address,
            asked,
            _stop: stop.drop_guard(),
        }
    }

    /// What was asked for that contains this.
    fn asked(&self, part: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|line| line.contains(part)).count()
    }
}

async fn pass(
    State(way): State<Way>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let action = headers.get("SOAPAction");
    let action = action.map_or("", |action| action.to_str().unwrap());
    let line = format!("{method} {uri} {action}");
    way.asked.lock().unwrap().push(line);
    if uri.authority().map(ToString::to_string) != Some(way.to.to_string()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let request = way.http.request(method, uri.to_string());
    let answer = request.headers(headers).body(body).send().await.unwrap();
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    headers.remove(header::TRANSFER_ENCODING);
    let mut response = Response::new(Body::from(answer.bytes().await.unwrap()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A document with one file.
fn document(bytes: &[u8]) -> String {
    let sha1 = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes));
    let sha256 = STANDARD.encode(digest(&SHA256, bytes));
    format!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="{UPDATE}" RevisionNumber="1"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"/><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>One file</Title></LocalizedProperties></LocalizedPropertiesCollection><Files><File Digest="{sha1}" DigestAlgorithm="SHA1" FileName="one.cab" Size="{SIZE}" Modified="2026-01-01T00:00:00Z" PatchingType="SelfContained"><AdditionalDigest Algorithm="SHA256">{sha256}</AdditionalDigest></File></Files></Update>"#
    )
}

/// Where a file lies in a content store.
fn place(bytes: &[u8]) -> PathBuf {
    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let sha1 = sha1.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02X}").unwrap();
        text
    });
    PathBuf::from(&sha1[38..]).join(format!("{sha1}.cab"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_only_the_second_hierarchy_needs_comes_through_the_first() {
    let bytes: Vec<u8> = (0..SIZE).map(|number| number.to_le_bytes()[1]).collect();
    let place = place(&bytes);
    let mut first = Hierarchy::new();
    let documents = first.folder().join("documents");
    let published = documents.join("Content").join(&place);
    std::fs::create_dir_all(published.parent().unwrap()).unwrap();
    std::fs::write(documents.join("one.xml"), document(&bytes)).unwrap();
    std::fs::write(&published, &bytes).unwrap();
    first
        .upstream(["--dir".to_owned(), documents.display().to_string()])
        .await;
    first
        .central_with(|launch| launch.with(SERVES[0]).with(SERVES[1]))
        .await;
    first
        .run(&["settings", "set", "content.download=deferred"])
        .good();
    first.synchronize().await;
    served(&mut first, CENTRAL).await;
    let server = address(first.process(CENTRAL)).await;

    let way = OnlyWay::to(server).await;
    let mut second = Hierarchy::new();
    second.central().await;
    let set = [
        "settings",
        "set",
        "source.action=upstream-server",
        &format!("source.url=http://{server}"),
        &format!("proxy.host={}", way.address.ip()),
        &format!("proxy.port={}", way.address.port()),
        "proxy.use-for=synchronization-and-content",
        "content.download=deferred",
    ];
    second.run(&set).good();
    second.synchronize().await;
    assert!(
        !first
            .data_dir(CENTRAL)
            .join("WsusContent")
            .join(&place)
            .exists()
    );
    second.run(&["update", "approve", UPDATE]).good();

    let came = second.data_dir(CENTRAL).join("WsusContent").join(&place);
    until("the file came", LONG, || {
        let found = std::fs::read(&came).is_ok_and(|found| found == bytes);
        let asked = way.asked.lock().unwrap().clone();
        std::future::ready(found.then_some(()).ok_or_else(|| format!("{asked:?}")))
    })
    .await;
    // The first one fetched it because it was asked to, once.
    assert!(
        first
            .data_dir(CENTRAL)
            .join("WsusContent")
            .join(&place)
            .exists()
    );
    assert_eq!(way.asked("/DownloadFiles\""), 1);
    assert!(way.asked(&format!("http://{server}/Content/")) >= 2);
    let all = way.asked("http://");
    assert_eq!(way.asked(&format!("http://{server}/")), all, "nobody else");
    for hierarchy in [&mut first, &mut second] {
        hierarchy.stop_all().await;
    }
}
