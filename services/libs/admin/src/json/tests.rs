use super::*;
use axum::body::to_bytes;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tonic::{Request as Call, Response as Said, Status};
use tower::ServiceExt as _;
use wire::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use wire::v1::journal_service_server::{JournalService, JournalServiceServer};
use wire::v1::{
    GetUpdateRequest, GetUpdateResponse, ListUpdatesRequest, ListUpdatesResponse, UpdateSummary,
};
use wire::v1::{
    ListStatusMessagesRequest, ListStatusMessagesResponse, ReadLogRequest, ReadLogResponse,
};

/// A service that tells what it was asked.
struct Echo;

#[tonic::async_trait]
impl CatalogService for Echo {
    async fn list_updates(
        &self,
        request: Call<ListUpdatesRequest>,
    ) -> Result<Said<ListUpdatesResponse>, Status> {
        let token = request.metadata().get("authorization");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        let asked = request.into_inner();
        if asked.state == "panic" {
            return Err(Status::failed_precondition(
                "SE1 is a replica; run this there",
            ));
        }
        Ok(Said::new(ListUpdatesResponse {
            updates: vec![UpdateSummary {
                title: format!("{asked:?}"),
                update_type: token.unwrap_or_default(),
                ..UpdateSummary::default()
            }],
            next_page_token: String::new(),
        }))
    }

    async fn get_update(
        &self,
        request: Call<GetUpdateRequest>,
    ) -> Result<Said<GetUpdateResponse>, Status> {
        let asked = request.into_inner();
        if asked.update_id.is_empty() {
            return Err(Status::not_found("there is no such update"));
        }
        Ok(Said::new(GetUpdateResponse {
            position: u64::MAX,
            files: vec![wire::v1::UpdateFile {
                sha1: vec![0xfb, 0xff],
                ..wire::v1::UpdateFile::default()
            }],
            summary: Some(UpdateSummary {
                creation_date: Some(prost_types_timestamp(1_700_000_000)),
                ..UpdateSummary::default()
            }),
            ..GetUpdateResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl JournalService for Echo {
    type ReadLogStream = futures::stream::BoxStream<'static, Result<ReadLogResponse, Status>>;

    /// Tells two lines and fails; refuses to follow.
    async fn read_log(
        &self,
        request: Call<ReadLogRequest>,
    ) -> Result<Said<Self::ReadLogStream>, Status> {
        let asked = request.into_inner();
        if asked.follow {
            return Err(Status::resource_exhausted("too many listen"));
        }
        let lines = |text: &str| {
            Ok(ReadLogResponse {
                lines: vec![format!("{} {text}", asked.site_code)],
            })
        };
        let told = vec![
            lines("one\ntwo"),
            lines(""),
            Err(Status::unavailable("the site is gone")),
        ];
        Ok(Said::new(Box::pin(futures::stream::iter(told))))
    }

    async fn list_status_messages(
        &self,
        _: Call<ListStatusMessagesRequest>,
    ) -> Result<Said<ListStatusMessagesResponse>, Status> {
        Ok(Said::new(ListStatusMessagesResponse::default()))
    }
}

fn prost_types_timestamp(seconds: i64) -> prost_reflect::prost_types::Timestamp {
    prost_reflect::prost_types::Timestamp { seconds, nanos: 0 }
}

fn echo() -> Router {
    router(crate::services(|routes| {
        routes.add_service(CatalogServiceServer::new(Echo));
        routes.add_service(JournalServiceServer::new(Echo));
    }))
    .unwrap()
}

async fn send(request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
    let response = echo().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let value = serde_json::from_slice(&body).unwrap();
    (parts.status, parts.headers, value)
}

async fn get(path: &str) -> (StatusCode, Value) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let (status, _, value) = send(request).await;
    (status, value)
}

async fn post(path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(path).body(body.into()).unwrap();
    let (status, _, value) = send(request).await;
    (status, value)
}

/// Checks that a call is refused in these words.
async fn check_refused(path: &str, status: u16, code: &str, words: &str) {
    let (found, answer) = get(path).await;
    let message = answer["message"].as_str().unwrap();
    assert_eq!(
        (found.as_u16(), answer["code"].as_str()),
        (status, Some(code)),
        "{answer}"
    );
    assert!(message.contains(words), "{path}: {message}");
}

#[tokio::test]
async fn the_query_becomes_the_request_and_the_token_goes_along() {
    let asked = ListUpdatesRequest {
        text: "a b&c+ä".to_owned(),
        page_size: 7,
        page_token: "x".to_owned(),
        ..ListUpdatesRequest::default()
    };
    let path = "/api/v1/CatalogService/ListUpdates";
    let query = "text=a%20b%26c%2B%C3%A4&pageSize=7&page_token=x";
    let request = Request::get(format!("{path}?{query}"))
        .header("authorization", "Bearer secret")
        .body(Body::empty())
        .unwrap();
    let (status, headers, answer) = send(request).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["updates"][0]["title"], format!("{asked:?}"));
    assert_eq!(answer["updates"][0]["updateType"], "Bearer secret");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["cache-control"], "no-store");

    let body = json!({ "text": asked.text, "pageSize": 7, "pageToken": "x" }).to_string();
    let (status, posted) = post(path, body).await;
    assert_eq!(status, StatusCode::OK, "{posted}");
    assert_eq!(posted["updates"][0]["title"], format!("{asked:?}"));
    let (_, empty) = post(path, " ").await;
    let nothing = ListUpdatesRequest::default();
    assert_eq!(empty["updates"][0]["title"], format!("{nothing:?}"));
}

#[tokio::test]
async fn an_answer_is_canonical_and_has_every_field_without_presence() {
    let path = "/api/v1/CatalogService/GetUpdate?updateId=x&withDocument=true";
    let (status, answer) = get(path).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["position"], "18446744073709551615");
    assert_eq!(answer["files"][0]["sha1"], "+/8=");
    assert_eq!(answer["summary"]["creationDate"], "2023-11-14T22:13:20Z");
    // Nothing is there as nothing of its kind; a single message is not there.
    assert_eq!(answer["summary"]["revision"], 0);
    assert_eq!(answer["languages"], json!([]));
    assert_eq!(answer.get("licence"), None);
}

#[tokio::test]
async fn a_stream_comes_as_lines_and_says_at_its_end_why_it_failed() {
    let path = "/api/v1/JournalService/ReadLog?siteCode=SE1";
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = echo().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let lines: Vec<Value> = std::str::from_utf8(&body)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            json!({ "lines": ["SE1 one\ntwo"] }),
            json!({ "lines": ["SE1 "] }),
            json!({ "code": "UNAVAILABLE", "message": "the site is gone" }),
        ]
    );
    // What is refused before it begins is refused as anywhere.
    let path = "/api/v1/JournalService/ReadLog?follow=true";
    check_refused(path, 429, "RESOURCE_EXHAUSTED", "too many listen").await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_by_name() {
    let updates = "/api/v1/CatalogService/ListUpdates";
    for (query, words) in [
        (
            "bogus=1",
            "there is no field \"bogus\"; there are text, classification",
        ),
        ("pageSize=many", "pageSize cannot be that"),
        ("pageSize=-1", "pageSize cannot be that"),
        ("pageSize=4294967296", "pageSize cannot be that"),
        ("text=a&text=b", "text is there twice"),
    ] {
        check_refused(
            &format!("{updates}?{query}"),
            400,
            "INVALID_ARGUMENT",
            words,
        )
        .await;
    }
    let get_update = "/api/v1/CatalogService/GetUpdate";
    let words = "withDocument cannot be that: true or false";
    let path = format!("{get_update}?withDocument=1");
    check_refused(&path, 400, "INVALID_ARGUMENT", words).await;
    let sites = "/api/v1/HierarchyService/ListSites?x=1";
    let words = "there is no field \"x\": this call takes none";
    check_refused(sites, 400, "INVALID_ARGUMENT", words).await;
    let many = format!("{updates}?{}", "text&".repeat(1001));
    check_refused(&many, 400, "INVALID_ARGUMENT", "text is there twice").await;
    // What the service says is said here.
    check_refused(get_update, 404, "NOT_FOUND", "there is no such update").await;
    let path = format!("{updates}?state=panic");
    check_refused(&path, 400, "FAILED_PRECONDITION", "run this there").await;
    // Of a service that this site has not.
    check_refused(
        "/api/v1/HierarchyService/ListSites",
        501,
        "UNIMPLEMENTED",
        "",
    )
    .await;
}

#[tokio::test]
async fn what_changes_something_is_not_served() {
    for (path, words) in [
        ("SyncService/StartSync", "does more than read"),
        ("SiteLinkService/Attach", "does more than read"),
        ("SiteLinkService/Pull", "does more than read"),
        ("SiteLinkService/ListNodes", "does more than read"),
        ("CatalogService/listUpdates", "lists them"),
        ("headwater.v1.CatalogService/ListUpdates", "lists them"),
        ("CatalogService/ListUpdates/", "lists them"),
        ("..%2f", "lists them"),
    ] {
        check_refused(&format!("{PREFIX}{path}"), 404, "NOT_FOUND", words).await;
    }
    let request = Request::delete("/api/v1/CatalogService/ListUpdates");
    let (status, headers, _) = send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers["allow"], "GET, HEAD, POST");
}

#[tokio::test]
async fn a_body_is_bounded_and_read_strictly() {
    let path = "/api/v1/CatalogService/ListUpdates";
    let (status, answer) = post(path, r#"{"bogus": 1}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("bogus"), "{message}");
    for bad in ["[]", "{", r#"{"text": 1}"#, "{} {}", "\u{1}"] {
        let (status, answer) = post(path, bad).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {answer}");
    }
    let long = |bytes: usize| format!("{{\"text\": \"{}\"}}", "x".repeat(bytes - 12));
    let (status, _) = post(path, long(MAX_BODY_BYTES)).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = post(path, long(MAX_BODY_BYTES + 1)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = post(&format!("{path}?text=x"), "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[test]
fn the_calls_of_the_site_link_are_not_among_them() {
    let pool = DescriptorPool::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let served = methods(&pool);
    assert!(served.contains_key("CatalogService/GetUpdate"));
    assert!(served.keys().all(|name| !name.starts_with("SiteLink")));
    // Every request can be asked in a query, so far.
    for (name, method) in &served {
        for field in method.input().fields() {
            assert!(query::fits(&field), "{name}: {}", field.name());
        }
    }
}

#[test]
fn a_query_takes_an_identifier_as_people_see_it_and_as_json_has_it() {
    let pool = DescriptorPool::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let input = methods(&pool)["RunService/GetRun"].input();
    let id = uuid::Uuid::from_u128(0xfb_u128 << 100);
    let base64 = STANDARD.encode(id.as_bytes());
    let encoded: String = form_urlencoded::byte_serialize(base64.as_bytes()).collect();
    for text in [id.to_string(), encoded] {
        let asked = query::message(input.clone(), &format!("id={text}"));
        let asked = asked.unwrap_or_else(|_| panic!("{text}"));
        let held = asked.get_field_by_name("id").unwrap();
        assert_eq!(held.as_bytes().unwrap().as_ref(), id.as_bytes(), "{text}");
    }
    for bad in ["id=%21%21", "id=AA&id=AA"] {
        let asked = query::message(input.clone(), bad);
        assert!(asked.is_err(), "{bad}");
    }
}
