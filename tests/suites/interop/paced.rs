//! What one client is sent in a second: files and answers come whole, and no faster than that.

use crate::downstream::{Downstream, SERVES, served};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use tokio::time::Instant;
use wsus::message::{GetConfigData, Operation, Request, SoapVersion};

/// Bytes in a second, of which five seconds' worth may come at once.
const RATE: u32 = 65_536;
const AT_ONCE: Duration = Duration::from_secs(5);
/// Requests in a second, of which five seconds' worth may come at once.
const REQUESTS: u32 = 20;
/// Bytes of the file.
const SIZE: usize = 500_000;
/// Files that are sent to one client at the same time.
const FILES_AT_ONCE: usize = 32;
/// Answers that are asked for after the file.
const ANSWERS: usize = 20;

/// A document with one file.
fn document(bytes: &[u8]) -> String {
    let sha1 = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes));
    let sha256 = STANDARD.encode(digest(&SHA256, bytes));
    format!(
        r#"<Update xmlns="http://schemas.microsoft.com/msus/2002/12/Update"><UpdateIdentity UpdateID="b0000000-0000-4000-8000-000000000001" RevisionNumber="1"/><Properties UpdateType="Software" CreationDate="2026-01-01T00:00:00Z" DefaultPropertiesLanguage="en" ExplicitlyDeployable="true"/><LocalizedPropertiesCollection><LocalizedProperties><Language>en</Language><Title>One file</Title></LocalizedProperties></LocalizedPropertiesCollection><Files><File Digest="{sha1}" DigestAlgorithm="SHA1" FileName="one.cab" Size="{SIZE}" Modified="2026-01-01T00:00:00Z" PatchingType="SelfContained"><AdditionalDigest Algorithm="SHA256">{sha256}</AdditionalDigest></File></Files></Update>"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_answers_come_whole_and_no_faster_than_a_client_may_have_them() {
    let bytes: Vec<u8> = (0..SIZE).map(|number| number.to_le_bytes()[0]).collect();
    let mut hierarchy = Hierarchy::new();
    let folder = |name: &str| {
        let folder = hierarchy.folder().join(name);
        std::fs::create_dir(&folder).unwrap();
        folder
    };
    let (documents, seeds) = (folder("documents"), folder("seeds"));
    std::fs::write(documents.join("one.xml"), document(&bytes)).unwrap();
    std::fs::write(seeds.join("one.cab"), &bytes).unwrap();
    hierarchy
        .upstream(["--dir".to_owned(), documents.display().to_string()])
        .await;
    hierarchy
        .central_with(|launch| {
            let launch = launch.with(SERVES[0]).with(SERVES[1]);
            launch
                .with("--wsus-bytes-per-second")
                .with(RATE.to_string())
                .with("--wsus-requests-per-second")
                .with(REQUESTS.to_string())
                .with("--wsus-compress")
                .with("false")
        })
        .await;
    hierarchy.synchronize().await;
    served(&mut hierarchy, CENTRAL).await;
    let seeds = seeds.display().to_string();
    until("the file is taken in", LONG, || async {
        let taken = hierarchy
            .run(&["content", "import", &seeds, "--json"])
            .json();
        let held = taken["taken"]["files"] == 1 || taken["held"] == 1;
        held.then_some(()).ok_or_else(|| taken.to_string())
    })
    .await;
    let server = Downstream {
        // What comes is counted, and it comes as it is, whatever is asked for.
        http: reqwest::Client::builder()
            .no_proxy()
            .no_gzip()
            .default_headers(HeaderMap::from_iter([(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("gzip, xpress"),
            )]))
            .build()
            .unwrap(),
        ..Downstream::of(&mut hierarchy, CENTRAL).await
    };
    let cookie = server.session().await.unwrap();

    let sha1 = digest(&SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let sha1: String = sha1
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let url = format!("{}/Content/{}/{sha1}.cab", server.url, &sha1[38..]);
    let began = Instant::now();
    let answer = server.http.get(&url).send().await.unwrap();
    assert_eq!(answer.content_length(), Some(SIZE as u64));
    assert!(answer.bytes().await.unwrap()[..] == bytes, "the same bytes");
    let mut sent = SIZE;
    // At least so long, however fast the machine is.
    let at_least = |sent: usize| {
        let milliseconds = sent as u64 * 1_000 / u64::from(RATE);
        // A timer is no clock: a little less is no failure.
        Duration::from_millis(milliseconds - 100).saturating_sub(AT_ONCE)
    };
    assert!(at_least(sent) > Duration::from_secs(2));
    assert!(began.elapsed() >= at_least(sent), "{:?}", began.elapsed());

    let config = Request::GetConfigData(GetConfigData {
        cookie: Some(cookie),
        config_anchor: None,
    });
    let body = config.encode(SoapVersion::V11);
    let action = Operation::GetConfigData.soap_action();
    let path = "/ServerSyncWebService/ServerSyncWebService.asmx";
    for _ in 0..ANSWERS {
        let (status, text) = server.post(path, &action, body.clone().into()).await;
        assert_eq!(status, 200, "it waits, and is not refused");
        assert!(text.contains("GetConfigDataResponse"), "{text}");
        sent += text.len();
    }
    assert!(sent - SIZE > 100_000, "{sent}");
    assert!(began.elapsed() >= at_least(sent), "{:?}", began.elapsed());
    // A part of a file, and what there is to know of it, as ever.
    let part = server.http.get(&url).header("Range", "bytes=10-19");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), bytes[10..20]);
    let head = server.http.head(&url).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], SIZE.to_string());

    // So many files are on their way to one client at the same time, and no more.
    let get = async || server.http.get(&url).send().await.unwrap();
    let mut held = Vec::new();
    for _ in 0..FILES_AT_ONCE {
        let answer = get().await;
        assert_eq!(answer.status(), 200);
        held.push(answer);
    }
    let refused = get().await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let head = server.http.head(&url).send().await.unwrap();
    assert_eq!(head.status(), 200, "what sends nothing takes no place");
    held.pop();
    until("there is a place again", LONG, || async {
        let status = get().await.status();
        (status == 200)
            .then_some(())
            .ok_or_else(|| status.to_string())
    })
    .await;

    // What sends nothing, and what is not there, is within the rate of requests all the same.
    let missing = format!("{}/Content/00/{}.cab", server.url, "0".repeat(40));
    let began = Instant::now();
    let flood = 10 * REQUESTS;
    let heads = futures::stream::iter(0..flood).map(|_| async {
        let head = server.http.head(&missing).send().await.unwrap();
        assert_eq!(head.status(), 404, "it waits, and is not refused");
    });
    heads.buffer_unordered(16).collect::<()>().await;
    let at_least = Duration::from_millis(u64::from(flood / REQUESTS) * 1000 - 100);
    assert!(
        began.elapsed() >= at_least - AT_ONCE,
        "{:?}",
        began.elapsed()
    );
}
