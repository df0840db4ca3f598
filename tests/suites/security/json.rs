//! The JSON form over HTTP: through real TLS, at a central site and at a primary one, it says what the RPC says, to
//! whom the RPC says it.

use crate::child::Child;
use crate::parent::{Parent, code};
use crate::playground::Playground;
use link::dial::TcpConnector;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::Request;
use tonic::transport::Channel;
use trust::tls::ServerTrust;
use trust::{AuthorityPin, Role};
use wire::v1::catalog_service_client::CatalogServiceClient;
use wire::v1::hierarchy_service_client::HierarchyServiceClient;
use wire::v1::settings_service_client::SettingsServiceClient;
use wire::v1::{GetSettingsRequest, ListSitesRequest, ListUpdatesRequest, SiteReport};

/// A site that is asked over HTTP and by gRPC.
struct Asked {
    url: String,
    http: reqwest::Client,
    channel: Channel,
    token: String,
}

impl Asked {
    async fn new(url: &str, pin: AuthorityPin, site: &str, token: String) -> Self {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let expected = Some(code(site));
        let trust = ServerTrust::Pin { pin, expected };
        let tls = trust::tls::client_config(None, trust, time).unwrap();
        let channel = link::dial::channel(url, Arc::new(tls.clone()), Arc::new(TcpConnector));
        Self {
            url: url.to_owned(),
            http: reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .build()
                .unwrap(),
            channel: channel.await.unwrap(),
            token,
        }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let answer = request.send().await.unwrap();
        let kind = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(kind, "application/json");
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap())
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}/api/v1/{path}", self.url))
    }

    /// Asks with the token.
    async fn get(&self, path: &str) -> (u16, Value) {
        let request = self.request(path).header("authorization", &self.token);
        self.send(request).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/api/v1/{path}", self.url));
        let request = request.header("authorization", &self.token);
        self.send(request.body(body.to_string())).await
    }

    fn call<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = self.token.parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        request
    }

    /// What every site answers alike.
    async fn check(&self) {
        let (status, document) = self.send(self.request("openapi.json")).await;
        assert_eq!((status, &document["openapi"]), (200, &json!("3.1.0")));

        let nobody = self.send(self.request("HierarchyService/ListSites")).await;
        assert_eq!(
            (nobody.0, &nobody.1["code"]),
            (401, &json!("UNAUTHENTICATED"))
        );
        let message = nobody.1["message"].as_str().unwrap();
        assert!(message.contains("needs an access token"), "{message}");

        let (status, unknown) = self.get("HierarchyService/ListSites?bogus=1").await;
        assert_eq!(status, 400);
        let message = unknown["message"].as_str().unwrap();
        assert!(message.contains("bogus"), "{message}");

        let changes = self.post("SyncService/StartSync", json!({})).await;
        assert_eq!((changes.0, &changes.1["code"]), (404, &json!("NOT_FOUND")));

        let request = self.call(ListSitesRequest {});
        let mut client = HierarchyServiceClient::new(self.channel.clone());
        let told = client.list_sites(request).await.unwrap().into_inner();
        let (status, shown) = self.get("HierarchyService/ListSites").await;
        assert_eq!(status, 200, "{shown}");
        let sites = shown["sites"].as_array().unwrap();
        assert_eq!(sites.len(), told.sites.len());
        for (shown, told) in sites.iter().zip(&told.sites) {
            check_site(shown, told);
        }

        let request = self.call(GetSettingsRequest::default());
        let mut client = SettingsServiceClient::new(self.channel.clone());
        let told = client.get_settings(request).await.unwrap().into_inner();
        let (_, shown) = self.get("SettingsService/GetSettings").await;
        assert_eq!(shown["document"], told.document);
        assert_eq!(shown["role"], told.role);
        assert_eq!(shown["version"], told.version.to_string());
    }
}

fn check_site(shown: &Value, told: &SiteReport) {
    assert_eq!(shown["siteCode"], told.site_code);
    assert_eq!(shown["siteKind"], told.site_kind);
    assert_eq!(shown["parent"], told.parent);
    assert_eq!(
        shown["verifiedPosition"],
        told.verified_position.to_string()
    );
    assert_eq!(shown["failedInARow"], told.failed_in_a_row);
    assert_eq!(shown["connected"], told.connected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_central_site_says_over_http_what_it_says_by_grpc() {
    let playground = Playground::start().await;
    let token = playground.token(Role::Viewer).await;
    let asked = Asked::new(&playground.url(), playground.pin(), "CAS", token).await;
    asked.check().await;
    // What a viewer may see at the top alone.
    let (status, versions) = asked
        .get("SettingsService/ListSettingsVersions?limit=5")
        .await;
    assert_eq!(status, 200, "{versions}");
    let (status, refused) = asked.get("HierarchyService/GetSource?siteCode=PR%21").await;
    assert_eq!(
        (status, &refused["code"]),
        (400, &json!("INVALID_ARGUMENT"))
    );
    // A token that is none.
    let request = asked.request("HierarchyService/ListSites");
    let (status, refused) = asked.send(request.bearer_auth("hwa1.x")).await;
    assert_eq!((status, &refused["code"]), (401, &json!("UNAUTHENTICATED")));
    let long = json!({ "text": "x".repeat(64 * 1024) });
    let (status, _) = asked.post("CatalogService/ListUpdates", long).await;
    assert_eq!(status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_site_shows_its_catalog_over_http_and_says_where_the_rest_is() {
    let parent = Parent::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let settings = |folder: &Path| parent.child_settings("PR1", folder);
    let primary = Child::start(settings, Some(listener)).await;
    primary.reaches(parent.positions().verified).await;
    let pin = primary.local_credential().authority_pin;
    let token = primary.token(pin, Role::Viewer).await;
    let asked = Asked::new(&url, pin, "PR1", token).await;
    asked.check().await;

    let mut client = CatalogServiceClient::new(asked.channel.clone());
    let request = asked.call(ListUpdatesRequest {
        page_size: 3,
        update_type: "category".to_owned(),
        ..ListUpdatesRequest::default()
    });
    let told = client.list_updates(request).await.unwrap().into_inner();
    assert_eq!(told.updates.len(), 3);
    let by_query = asked
        .get("CatalogService/ListUpdates?pageSize=3&updateType=category")
        .await;
    let by_body = asked
        .post(
            "CatalogService/ListUpdates",
            json!({ "pageSize": 3, "update_type": "category" }),
        )
        .await;
    assert_eq!(by_query, by_body);
    let (status, shown) = by_query;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown["nextPageToken"], told.next_page_token);
    for (shown, told) in shown["updates"]
        .as_array()
        .unwrap()
        .iter()
        .zip(&told.updates)
    {
        assert_eq!(shown["updateId"], told.update_id);
        assert_eq!(shown["title"], told.title);
        assert_eq!(shown["products"], json!(told.products));
    }

    let (status, refused) = asked.get("HierarchyService/GetSource?siteCode=PR1").await;
    assert_eq!(
        (status, &refused["code"]),
        (400, &json!("FAILED_PRECONDITION"))
    );
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("is a replica"), "{message}");
}
