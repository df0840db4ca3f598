//! What the server answers to requests as they come over HTTP.

use crate::support::{Clock, Memory, id, service, settings};
use axum::body::Body;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;
use tower::ServiceExt as _;
use uuid::Uuid;
use wsus::fault::{ErrorCode, Fault};
use wsus::message::{
    AuthorizationCookie, Cookie, DownloadFiles, GetAuthorizationCookie, GetConfigData, GetCookie,
    GetRevisionIdList, GetUpdateData, Operation, Request, Response, RevisionFilter, SoapVersion,
};

const PATH: &str = "/ServerSyncWebService/ServerSyncWebService.asmx";

struct Server {
    router: axum::Router,
    source: Arc<Memory>,
    clock: Clock,
}

impl Server {
    fn new() -> Self {
        let (clock, source) = (Clock::new(), Arc::new(Memory::default()));
        let router = wsus::server::router(Arc::clone(&source), settings(&clock));
        Self {
            router,
            source,
            clock,
        }
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (StatusCode, HeaderMap, String) {
        let request = http::Request::post(path).header("Host", "uss.example:8530");
        let request = request.body(body.into()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (parts.status, parts.headers, text)
    }

    async fn ask(&self, request: Request) -> Result<Response, Fault> {
        let operation = request.operation();
        let (status, headers, text) = self.post(PATH, request.encode(SoapVersion::V11)).await;
        assert_eq!(headers["content-type"], "text/xml; charset=utf-8");
        let answer = Response::decode(text.as_bytes(), operation).unwrap();
        assert_eq!(status == StatusCode::OK, answer.is_ok());
        answer
    }

    async fn refused(&self, request: Request) -> (ErrorCode, String) {
        let fault = self.ask(request).await.unwrap_err();
        (fault.code, fault.message)
    }

    async fn authorization(&self) -> AuthorizationCookie {
        match self
            .ask(authorize(
                "dss.example",
                "6f1c2f6e-3f0b-4d3a-9b1e-0d2f6a1c5e12",
            ))
            .await
        {
            Ok(Response::AuthorizationCookie(cookie)) => cookie,
            other => panic!("{other:?}"),
        }
    }

    async fn cookie(&self) -> Option<Cookie> {
        match self
            .ask(open(vec![self.authorization().await], Some("1.20")))
            .await
        {
            Ok(Response::Cookie(cookie)) => Some(cookie),
            other => panic!("{other:?}"),
        }
    }
}

fn authorize(name: &str, guid: &str) -> Request {
    Request::GetAuthorizationCookie(GetAuthorizationCookie {
        account_name: name.into(),
        account_guid: guid.into(),
    })
}

fn open(auth_cookies: Vec<AuthorizationCookie>, version: Option<&str>) -> Request {
    Request::GetCookie(GetCookie {
        auth_cookies,
        old_cookie: None,
        protocol_version: version.map(Into::into),
    })
}

fn config(cookie: Option<Cookie>) -> Request {
    Request::GetConfigData(GetConfigData {
        cookie,
        config_anchor: None,
    })
}

fn list(cookie: Option<Cookie>, anchor: Option<&str>) -> Request {
    Request::GetRevisionIdList(GetRevisionIdList {
        cookie,
        filter: Some(RevisionFilter {
            anchor: anchor.map(Into::into),
            ..RevisionFilter::default()
        }),
    })
}

fn updates(cookie: Option<Cookie>, ids: impl IntoIterator<Item = u128>) -> Request {
    Request::GetUpdateData(GetUpdateData {
        cookie,
        update_ids: ids.into_iter().map(id).collect(),
    })
}

fn parameter(name: &str) -> (ErrorCode, String) {
    (ErrorCode::InvalidParameters, name.to_owned())
}

fn code(code: ErrorCode) -> (ErrorCode, String) {
    (code, String::new())
}

#[tokio::test]
async fn paths_are_served_in_any_case_and_with_doubled_slashes() {
    let server = Server::new();
    let body = Request::GetAuthConfig.encode(SoapVersion::V11);
    for path in [
        PATH,
        "//ServerSyncWebService//ServerSyncWebService.asmx",
        "/serversyncwebservice/serversyncwebservice.ASMX",
        "//DssAuthWebService/DssAuthWebService.asmx",
    ] {
        assert_eq!(
            server.post(path, body.clone()).await.0,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(server.post("/other", body).await.0, StatusCode::NOT_FOUND);
    let get = http::Request::get(PATH).body(Body::empty()).unwrap();
    let answer = server.router.clone().oneshot(get).await.unwrap();
    assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn soap_12_is_answered_in_soap_12() {
    let server = Server::new();
    let (status, headers, text) = server
        .post(PATH, Request::GetAuthConfig.encode(SoapVersion::V12))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        headers["content-type"],
        "application/soap+xml; charset=utf-8"
    );
    assert!(text.contains("http://www.w3.org/2003/05/soap-envelope"));
    let (status, headers, text) = server
        .post(PATH, config(None).encode(SoapVersion::V12))
        .await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        headers["content-type"],
        "application/soap+xml; charset=utf-8"
    );
    let fault = Response::decode(text.as_bytes(), Operation::GetConfigData)
        .unwrap()
        .unwrap_err();
    assert_eq!(fault.code, ErrorCode::InvalidCookie);
}

#[tokio::test]
async fn the_request_of_the_open_source_client_that_is_not_valid_is_accepted() {
    let server = Server::new();
    let body = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><GetAuthConfig xsi:nil=\"true\" \
        xmlns=\"http://www.microsoft.com/SoftwareDistribution\"/></s:Body></s:Envelope>";
    let (status, _, text) = server.post(PATH, body).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("<ServiceUrl>DssAuthWebService/DssAuthWebService.asmx</ServiceUrl>"));
}

#[tokio::test]
async fn a_fault_says_what_it_is_about() {
    let server = Server::new();
    let fault = server.ask(config(None)).await.unwrap_err();
    assert_eq!(
        fault.method,
        "\"http://www.microsoft.com/SoftwareDistribution/GetConfigData\""
    );
    assert_eq!(fault.actor, format!("http://uss.example:8530{PATH}"));
    assert!(fault.id.is_some_and(|id| !id.is_nil()));
}

#[tokio::test]
async fn accounts_are_checked() {
    const GUID: &str = "6F1C2F6E-3F0B-4D3A-9B1E-0D2F6A1C5E12";
    let server = Server::new();
    for (name, guid, expected) in [
        ("", GUID, "machineName"),
        ("a b", GUID, "machineName"),
        ("dss.example", "", "accountGuid"),
        ("dss.example", "6F1C", "accountGuid"),
    ] {
        assert_eq!(
            server.refused(authorize(name, guid)).await,
            parameter(expected)
        );
    }
    // One known client exchanges the two, or gives a GUID for both.
    server.ask(authorize(GUID, "dss.example")).await.unwrap();
    server.ask(authorize(GUID, GUID)).await.unwrap();
    let seen = server.source.seen.lock().unwrap();
    assert_eq!(seen[0].account_name, "dss.example");
    assert_eq!(seen[0].account_guid, GUID.parse::<Uuid>().unwrap());
}

#[tokio::test]
async fn a_session_needs_one_good_authorization_and_a_version() {
    let server = Server::new();
    let good = server.authorization().await;
    let bad = AuthorizationCookie {
        cookie_data: vec![1; 73],
        ..good.clone()
    };
    let one = || vec![good.clone()];
    for (request, expected) in [
        (open(vec![], Some("1.20")), parameter("authCookies")),
        (
            open(vec![good.clone(), good.clone()], Some("1.20")),
            parameter("authCookies"),
        ),
        (open(one(), None), parameter("protocolVersion")),
        (open(one(), Some("one")), parameter("protocolVersion")),
        (
            open(one(), Some("2.0")),
            code(ErrorCode::IncompatibleProtocolVersion),
        ),
        (
            open(vec![bad], Some("1.8")),
            code(ErrorCode::InvalidAuthorizationCookie),
        ),
    ] {
        assert_eq!(server.refused(request).await, expected);
    }
    for version in ["1.7", "1.8", "1.20"] {
        let Ok(Response::Cookie(cookie)) = server.ask(open(one(), Some(version))).await else {
            panic!("{version} is refused");
        };
        let lifetime = cookie.expiration.duration_since(server.clock.now());
        assert_eq!(lifetime.as_mins(), 240);
    }
}

#[tokio::test]
async fn a_cookie_is_valid_for_its_time_and_its_server() {
    let server = Server::new();
    let cookie = server.cookie().await;
    assert!(server.ask(config(cookie.clone())).await.is_ok());
    let mut forged = cookie.clone().unwrap();
    forged.encrypted_data[3] ^= 1;
    let session_of_authorization = Cookie {
        expiration: server.clock.now(),
        encrypted_data: server.authorization().await.cookie_data,
    };
    let invalid = code(ErrorCode::InvalidCookie);
    assert_eq!(server.refused(config(None)).await, invalid);
    assert_eq!(server.refused(config(Some(forged))).await, invalid);
    assert_eq!(
        server.refused(config(Some(session_of_authorization))).await,
        invalid
    );
    *server.source.server_id.lock().unwrap() = Uuid::from_u128(5);
    assert_eq!(
        server.refused(config(cookie.clone())).await,
        code(ErrorCode::ServerChanged)
    );
    *server.source.server_id.lock().unwrap() = Uuid::nil();
    server.clock.advance(241);
    assert_eq!(server.refused(config(cookie)).await, invalid);
}

#[tokio::test]
async fn parameters_are_checked() {
    let server = Server::new();
    let cookie = server.cookie().await;
    let files = |file_digests| {
        Request::DownloadFiles(DownloadFiles {
            cookie: cookie.clone(),
            file_digests,
        })
    };
    let no_filter = GetRevisionIdList {
        cookie: cookie.clone(),
        filter: None,
    };
    for (request, expected) in [
        (list(cookie.clone(), Some("garbage")), "filter"),
        (Request::GetRevisionIdList(no_filter), "filter"),
        (updates(cookie.clone(), []), "updateIds"),
        (updates(cookie.clone(), 0..101), "updateIds"),
        (files(vec![]), "fileDigestList"),
        (files(vec![vec![1; 20]; 101]), "fileDigestList"),
    ] {
        assert_eq!(server.refused(request).await, parameter(expected));
    }
    let unknown = server.refused(updates(cookie.clone(), [1])).await;
    assert_eq!(unknown, code(ErrorCode::InternalServerError));
    assert!(server.ask(list(cookie, None)).await.is_ok());
}

#[tokio::test]
async fn one_unknown_revision_fails_the_whole_call_and_one_asked_twice_comes_twice() {
    let server = Server::new();
    let cookie = server.cookie().await;
    server.source.put(id(1), "<Update/>", &[]);
    let unknown = server.refused(updates(cookie.clone(), [1, 2])).await;
    assert_eq!(unknown, code(ErrorCode::InternalServerError));
    let Ok(Response::UpdateData(data)) = server.ask(updates(cookie, [1, 1])).await else {
        panic!("refused");
    };
    assert_eq!(data.updates.len(), 2);
}

#[tokio::test]
async fn documents_go_out_plain_up_to_5120_bytes_of_utf_16_and_as_cabinets_above() {
    let server = Server::new();
    let cookie = server.cookie().await;
    for (length, compressed) in [(2_560, false), (2_561, true)] {
        server.source.put(id(1), &"x".repeat(length), &[]);
        let request = updates(cookie.clone(), [1]).encode(SoapVersion::V11);
        let (_, _, text) = server.post(PATH, request).await;
        assert_eq!(text.contains("<XmlUpdateBlobCompressed>TVNDRg"), compressed);
        assert_eq!(text.contains("<XmlUpdateBlob>x"), !compressed);
        assert!(text.contains("<fileUrls/>") && !text.contains("FileDigestList"));
    }
}

#[tokio::test]
async fn an_answer_is_cut_near_two_million_bytes_but_holds_one_update() {
    let server = Server::new();
    let cookie = server.cookie().await;
    server.source.put(id(0), &"x".repeat(3_000_000), &[]);
    for n in 1..100 {
        server.source.put(id(n), &"x".repeat(20_000), &[]);
    }
    let request = updates(cookie.clone(), 0..100).encode(SoapVersion::V11);
    let (_, _, text) = server.post(PATH, request).await;
    assert_eq!(text.matches("<ServerSyncUpdateData>").count(), 1);
    let request = updates(cookie, 1..100).encode(SoapVersion::V11);
    let (_, _, text) = server.post(PATH, request).await;
    assert_eq!(text.matches("<ServerSyncUpdateData>").count(), 37);
    assert!(
        text.len() < 2_000_000 && text.len() > 1_940_000,
        "{}",
        text.len()
    );
}

#[tokio::test]
async fn empty_lists_are_there_as_empty_elements() {
    let server = Server::new();
    let cookie = server.cookie().await;
    let (_, _, text) = server
        .post(PATH, list(cookie.clone(), None).encode(SoapVersion::V11))
        .await;
    assert!(text.contains("<NewRevisions/>"), "{text}");
    let (_, _, text) = server
        .post(PATH, config(cookie).encode(SoapVersion::V11))
        .await;
    assert!(text.contains("<LanguageUpdateList/>"), "{text}");
}

#[tokio::test]
async fn ping_and_related_revisions_are_answered() {
    let server = Server::new();
    let Ok(Response::Pong(pong)) = server.ask(Request::Ping { level: 1 }).await else {
        panic!("no answer");
    };
    assert!(pong.success && !pong.is_https);
    let ping = Request::Ping { level: 1 }.encode(SoapVersion::V11);
    let request = http::Request::post(PATH).extension(wsus::server::OverHttps);
    let request = request.body(Body::from(ping)).unwrap();
    let answer = server.router.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    let answer = Response::decode(&body.unwrap(), Operation::Ping).unwrap();
    assert!(matches!(answer, Ok(Response::Pong(pong)) if pong.is_https));
    let related = wsus::message::GetRelatedRevisions {
        cookie: server.cookie().await,
        update_ids: vec![id(1).update_id],
    };
    let related = server
        .ask(Request::GetRelatedRevisionsForUpdates(related))
        .await;
    assert_eq!(related, Ok(Response::RelatedRevisions(vec![])));
}

#[tokio::test]
async fn a_request_that_is_too_large_or_no_request_is_refused() {
    let server = Server::new();
    let large = vec![b' '; wsus::server::MAX_REQUEST_BYTES + 1];
    assert_eq!(
        server.post(PATH, large).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    for body in ["", "hello", "<a/>", "<!DOCTYPE a><a/>"] {
        let (status, _, text) = server.post(PATH, body).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        let fault = Response::decode(text.as_bytes(), Operation::Ping)
            .unwrap()
            .unwrap_err();
        assert_eq!(fault.code, ErrorCode::InvalidParameters, "{body}");
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_type_names_its_parameter() {
    let server = Server::new();
    let good = updates(server.cookie().await, [1]).encode(SoapVersion::V11);
    let (_, _, text) = server.post(PATH, good.replace(">200<", ">many<")).await;
    let fault = Response::decode(text.as_bytes(), Operation::GetUpdateData)
        .unwrap()
        .unwrap_err();
    assert_eq!((fault.code, fault.message), parameter("updateIds"));
    assert!(fault.reason.contains("\"many\""), "{}", fault.reason);
}

#[tokio::test]
async fn a_process_can_serve_the_services_among_others() {
    let (clock, source) = (Clock::new(), Arc::new(Memory::default()));
    let service = service(&source, &clock);
    let request = http::Request::post("/elsewhere")
        .body(Body::empty())
        .unwrap();
    assert!(!wsus::server::serves(request.uri().path()));
    assert_eq!(
        service.handle(request).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn reports_of_downstream_servers_are_accepted_and_no_details_are_asked_for() {
    let server = Server::new();
    let report = async |operation: &str, body: String| {
        let action = format!("\"http://www.microsoft.com/SoftwareDistribution/{operation}\"");
        let request = http::Request::post("//ReportingWebService/ReportingWebService.asmx");
        let request = request.header("SOAPAction", action).body(Body::from(body));
        let answer = server
            .router
            .clone()
            .oneshot(request.unwrap())
            .await
            .unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    let large = || "x".repeat(5 << 20);
    let (status, text) = report("GetRollupConfiguration", large()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("<DoDetailedRollup>false</DoDetailedRollup>"),
        "{text}"
    );
    let of_servers = format!(
        "<Envelope><Body><RollupDownstreamServers><downstreamServers><DownstreamServerRollupInfo>\
         <ServerId>{}</ServerId></DownstreamServerRollupInfo></downstreamServers>\
         </RollupDownstreamServers></Body></Envelope>",
        Uuid::from_u128(7)
    );
    let (status, text) = report("RollupDownstreamServers", of_servers).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("<RollupDownstreamServersResponse xmlns="),
        "{text}"
    );
    let refused = StatusCode::INTERNAL_SERVER_ERROR;
    assert_eq!(report("RollupDownstreamServers", large()).await.0, refused);
    assert_eq!(report("ReportEventBatch", large()).await.0, refused);
}
