//! What is hostile, or makes no sense: a clear answer each, and the server goes on.

use crate::downstream::{Downstream, everything, path_of, serving};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::{RevisionId, UpdateId};
use jiff::SignedDuration;
use testkit::hierarchy::CENTRAL;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wsus::anchor::Anchor;
use wsus::fault::{ErrorCode, Fault};
use wsus::message::{
    Cookie, DownloadFiles, GetDeployments, GetUpdateData, Operation, Request, Response,
};
use wsus::server::MAX_REQUEST_BYTES;

const SYNC: &str = "/ServerSyncWebService/ServerSyncWebService.asmx";
const REPORTING: &str = "/ReportingWebService/ReportingWebService.asmx";

#[track_caller]
fn check<T: std::fmt::Debug>(answer: Result<T, Fault>, code: ErrorCode, message: &str) {
    let fault = answer.unwrap_err();
    assert_eq!((fault.code, fault.message.as_str()), (code, message));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_in_gets_a_clear_answer_and_nobody_is_kept_waiting() {
    let mut hierarchy = serving(60).await;
    let server = Downstream::of(&mut hierarchy, CENTRAL).await;
    let cookie = server.session().await.unwrap();
    cookies(&server, &cookie).await;
    anchors(&server, &cookie).await;
    numbers(&server, &cookie).await;
    bodies(&server).await;
    doors(&server).await;
    // After all that it serves as before.
    let list = server.list(&cookie, everything(true, None)).await.unwrap();
    assert!(!list.revisions.is_empty());
    let rss = hierarchy.process(CENTRAL).id();
    let status = std::fs::read_to_string(format!("/proc/{rss}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: u64 = peak
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    assert!(peak < 600 << 10, "{peak} KiB at most");
}

async fn cookies(server: &Downstream, cookie: &Cookie) {
    let invalid = ErrorCode::InvalidCookie;
    let mut forged = cookie.clone();
    forged.encrypted_data[20] ^= 1;
    let of_nobody = Cookie {
        encrypted_data: vec![0; 12],
        ..cookie.clone()
    };
    let authorization = server.authorization().await.unwrap();
    let of_the_other_kind = Cookie {
        encrypted_data: authorization.cookie_data,
        ..cookie.clone()
    };
    for cookie in [forged, of_nobody, of_the_other_kind] {
        let answer = server.list(&cookie, everything(true, None)).await;
        check(answer, invalid.clone(), "");
    }
    // The time that a cookie shows is nothing that the server goes by.
    let prolonged = Cookie {
        expiration: "2000-01-01T00:00:00Z".parse().unwrap(),
        ..cookie.clone()
    };
    assert!(
        server
            .list(&prolonged, everything(true, None))
            .await
            .is_ok()
    );
    let answer = server.session_of("2.0", None).await;
    check(answer, ErrorCode::IncompatibleProtocolVersion, "");
    let answer = server.session_of("new", None).await;
    check(answer, ErrorCode::InvalidParameters, "protocolVersion");
    // An old cookie of another server is no obstacle.
    let foreign = Cookie {
        encrypted_data: vec![7; 89],
        ..cookie.clone()
    };
    assert!(server.session_of("1.8", Some(foreign)).await.is_ok());
}

/// A cookie of another site's is none here.
#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_of_another_site_is_none_here() {
    let (mut first, mut second) = (serving(20).await, serving(20).await);
    let first = Downstream::of(&mut first, CENTRAL).await;
    let cookie = first.session().await.unwrap();
    let second_server = Downstream::of(&mut second, CENTRAL).await;
    let answer = second_server.list(&cookie, everything(true, None)).await;
    check(answer, ErrorCode::InvalidCookie, "");
}

async fn anchors(server: &Downstream, cookie: &Cookie) {
    for absurd in ["x", "1", "1,yesterday", "1,2026-13-01 00:00:00.000", ","] {
        let filter = everything(false, Some(absurd));
        let answer = server.list(cookie, filter).await;
        check(answer, ErrorCode::InvalidParameters, "filter");
        let answer = server
            .ask(Request::GetDeployments(GetDeployments {
                cookie: Some(cookie.clone()),
                deployment_anchor: Some(absurd.to_owned()),
                sync_anchor: None,
            }))
            .await;
        check(answer, ErrorCode::InvalidParameters, "deploymentAnchor");
    }
    let list = everything(false, None);
    let list = server.list(cookie, list).await.unwrap();
    let all = list.revisions.len();
    let count = async |anchor: &str| {
        let filter = everything(false, Some(anchor));
        server.list(cookie, filter).await.unwrap().revisions.len()
    };
    assert_eq!(count("0,9999-01-01 00:00:00.000").await, 0, "the future");
    assert_eq!(count("0,1753-01-01 00:00:00.000").await, all, "long ago");
    assert_eq!(
        count("18446744073709551615,2001-01-01 00:00:00.000").await,
        all
    );
    assert_eq!(count(&list.anchor).await, 0, "it was handed out here");
    // What looks like one of ours was handed out by another server, which held other things then.
    let ours: Anchor = list.anchor.parse().unwrap();
    let millisecond = SignedDuration::from_millis(1);
    for other in [
        Anchor::new(ours.counter, ours.time + millisecond),
        Anchor::new(ours.counter, ours.time - millisecond),
        Anchor::new(ours.counter + 1, ours.time),
    ] {
        assert_eq!(count(&other.to_string()).await, all, "{other}");
    }
    let ahead = everything(false, Some("0,9999-01-01 00:00:00.000"));
    let ahead = server.list(cookie, ahead).await.unwrap();
    assert_eq!(ahead.anchor, "0,9999-01-01 00:00:00.000", "it stays so");
}

async fn numbers(server: &Downstream, cookie: &Cookie) {
    let known = server.list(cookie, everything(true, None)).await.unwrap();
    let known = known.revisions[0];
    let ids = vec![known; 101];
    check(
        server.updates(cookie, &ids).await,
        ErrorCode::InvalidParameters,
        "updateIds",
    );
    let ids = vec![known; 20_000];
    check(
        server.updates(cookie, &ids).await,
        ErrorCode::InvalidParameters,
        "updateIds",
    );
    let twice = server.updates(cookie, &[known, known]).await.unwrap();
    assert_eq!(twice.updates.len(), 2, "asked for twice, it comes twice");
    let unknown = RevisionId::new(UpdateId::from_u128(1), 1);
    check(
        server.updates(cookie, &[known, unknown]).await,
        ErrorCode::InternalServerError,
        "",
    );
    let files = Request::DownloadFiles(DownloadFiles {
        cookie: Some(cookie.clone()),
        file_digests: vec![vec![1; 20]],
    });
    let missing = STANDARD.encode([1; 20]);
    check(
        server.ask(files).await,
        ErrorCode::FileDigestsMissing,
        &missing,
    );
    let keys = server
        .ask(Request::GetUpdateDecryptionData(GetUpdateData {
            cookie: Some(cookie.clone()),
            update_ids: vec![known],
        }))
        .await;
    assert!(keys.is_ok());
}

async fn bodies(server: &Downstream) {
    let action = Operation::GetCookie.soap_action();
    let too_large = vec![b' '; MAX_REQUEST_BYTES + 1];
    assert_eq!(server.post(SYNC, &action, too_large).await.0, 413);
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">\
                <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><s:Envelope \
                xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><GetCookie>\
                <protocolVersion>&c;</protocolVersion></GetCookie></s:Body></s:Envelope>";
    let deep = "<a>".repeat(500_000);
    let attributes = format!("<s:Envelope {}/>", "a=\"b\" ".repeat(200_000));
    for body in ["", "\u{0}", "hello", bomb, &deep, &attributes] {
        let (status, text) = server.post(SYNC, &action, body.into()).await;
        assert_eq!(status, 500, "{text}");
        assert!(
            text.contains("<ErrorCode>InvalidParameters</ErrorCode>"),
            "{text}"
        );
        assert!(text.len() < 4096, "no more is said than what is wrong");
    }
    let action = "\"http://www.microsoft.com/SoftwareDistribution/RollupDownstreamServers\"";
    for body in [bomb, &deep] {
        let (status, text) = server.post(REPORTING, action, body.into()).await;
        assert_eq!(status, 500, "{text}");
    }
}

async fn doors(server: &Downstream) {
    assert_eq!(server.post("/", "", vec![]).await.0, 404);
    assert_eq!(server.post("/Content/3F/x.cab", "", vec![]).await.0, 405);
    let get = server.http.get(format!("{}{SYNC}", server.url));
    assert_eq!(get.send().await.unwrap().status(), 405);
    // A client that waits to be told to go on, on a path in capitals.
    let address = server.url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = Request::GetAuthConfig.encode(wsus::message::SoapVersion::V12);
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/soap+xml; charset=utf-8\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        path_of(Operation::GetAuthConfig).to_uppercase(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).await.unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(
        answer.contains("content-type: application/soap+xml"),
        "{answer}"
    );
    assert!(answer.contains("DssTargeting"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_https_and_packed_the_answers_are_the_same() {
    let mut hierarchy = testkit::Hierarchy::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str| hierarchy.folder().join(name).display().to_string();
    let (certificate, key) = (file("wsus.pem"), file("wsus.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    hierarchy.upstream(crate::downstream::generate(30)).await;
    hierarchy
        .central_with(|launch| {
            launch
                .with("--wsus-listen-tls")
                .with("127.0.0.1:0")
                .with("--wsus-certificate-file")
                .with(certificate)
                .with("--wsus-key-file")
                .with(key)
        })
        .await;
    hierarchy.synchronize().await;
    crate::downstream::served(&mut hierarchy, CENTRAL).await;
    const SAYS: &str = "serving WSUS servers on https://127.0.0.1:";
    let line = hierarchy.process(CENTRAL).says(SAYS).await;
    let (_, port) = line.split_once(SAYS).unwrap();
    let authority = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = || {
        let builder = reqwest::Client::builder().no_proxy();
        builder.tls_certs_only([authority.clone()])
    };
    let mut server = Downstream {
        url: format!("https://localhost:{}", port.trim()),
        id: uuid::Uuid::from_u128(1),
        name: "dss.example".to_owned(),
        http: client().no_gzip().build().unwrap(),
    };
    let cookie = server.session().await.unwrap();
    let plain = server.list(&cookie, everything(true, None)).await.unwrap();
    server.http = client().gzip(true).build().unwrap();
    let packed = server.list(&cookie, everything(true, None)).await.unwrap();
    assert_eq!(plain, packed);
    assert!(plain.revisions.len() > 100);
    let pong = server.ask(Request::Ping { level: 1 }).await.unwrap();
    assert!(matches!(pong, Response::Pong(pong) if pong.is_https));
    // That it was packed indeed.
    server.http = client().no_gzip().build().unwrap();
    let config = Request::GetConfigData(wsus::message::GetConfigData {
        cookie: Some(cookie),
        config_anchor: None,
    });
    let url = format!("{}{SYNC}", server.url);
    let body = config.encode(wsus::message::SoapVersion::V11);
    let mut bodies = Vec::new();
    for (accepted, coding) in [
        ("identity", None),
        ("gzip, deflate", Some("gzip")),
        ("xpress", Some("xpress")),
    ] {
        let request = server.http.post(&url).header("Accept-Encoding", accepted);
        let answer = request.body(body.clone()).send().await.unwrap();
        let told = answer.headers().get("content-encoding");
        assert_eq!(told.map(|told| told.to_str().unwrap()), coding);
        let length = answer.content_length();
        let body = answer.bytes().await.unwrap();
        assert_eq!(length, Some(body.len() as u64), "told beforehand");
        bodies.push(body);
    }
    let [plain, _, xpress] = bodies.as_slice() else {
        panic!("{bodies:?}")
    };
    assert!(
        xpress.len() * 2 < plain.len(),
        "{} of {}",
        xpress.len(),
        plain.len()
    );
    assert_eq!(wsus::xpress::unpack(xpress, 1 << 20).unwrap(), plain[..]);
}
