//! People by their client certificates: who they are says the certificate, what they may do says the database, and
//! nobody is both a person and a site.

use crate::playground::{PersonKey, Playground};
use link::dial::TcpConnector;
use serde_json::Value;
use std::sync::Arc;
use tonic::transport::Channel;
use tonic::{Code, Request};
use trust::tls::ServerTrust;
use trust::{PersonCertificate, Role, SiteCertificate};
use wire::v1::access_service_client::AccessServiceClient;
use wire::v1::person_service_client::PersonServiceClient;
use wire::v1::site_link_service_client::SiteLinkServiceClient;
use wire::v1::sync_service_client::SyncServiceClient;
use wire::v1::{
    GetCallerRequest, IssueCertificateRequest, ListAccessTokensRequest, PullRequest,
    StartSyncRequest,
};

/// Name and role as the site sees them.
async fn caller(channel: &Channel) -> Result<(String, String), Code> {
    let answer = AccessServiceClient::new(channel.clone())
        .get_caller(GetCallerRequest {})
        .await;
    let caller = answer.map_err(|refused| refused.code())?.into_inner();
    Ok((caller.name, caller.role))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_known_by_the_certificate_until_it_is_revoked() {
    let playground = Playground::start().await;
    let ann = playground.person("ann", Role::Operator).await;
    let channel = playground.person_channel(&ann).await;
    let known = Ok(("ann".to_owned(), "operator".to_owned()));
    assert_eq!(caller(&channel).await, known);

    // The same over HTTP.
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(playground.person_tls(&ann))
        .build()
        .unwrap();
    let url = format!("{}/api/v1/AccessService/GetCaller", playground.url());
    let answer = http.get(&url).send().await.unwrap();
    let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(told["name"], "ann", "{told}");

    // What she does stands under her name, and she may not do more than her role.
    let mut sync = SyncServiceClient::new(channel.clone());
    sync.start_sync(StartSyncRequest::default()).await.unwrap();
    let mut access = AccessServiceClient::new(channel.clone());
    let refused = access.list_access_tokens(ListAccessTokensRequest {}).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(
        refused.message().contains("the client certificate of ann"),
        "{refused}"
    );

    // A token that is presented counts, and not the certificate beside it.
    let mut request = Request::new(GetCallerRequest {});
    let viewer = playground.token(Role::Viewer).await;
    let metadata = request.metadata_mut();
    metadata.insert("authorization", viewer.parse().unwrap());
    let as_viewer = access.get_caller(request).await.unwrap().into_inner();
    assert_eq!(as_viewer.role, "viewer");
    let mut request = Request::new(GetCallerRequest {});
    let metadata = request.metadata_mut();
    metadata.insert("authorization", "Bearer hwa1.x".parse().unwrap());
    let refused = access.get_caller(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    // Revoked, she is nobody, on the connection that is open and on others.
    playground.revoke("ann").await;
    assert_eq!(caller(&channel).await, Err(Code::Unauthenticated));
    assert_eq!(http.get(&url).send().await.unwrap().status().as_u16(), 401);
    let again = playground.person_channel(&ann).await;
    assert_eq!(caller(&again).await, Err(Code::Unauthenticated));
    let issued = playground.messages(9125).await;
    assert!(
        issued[0].starts_with("a client certificate for ann with the role operator"),
        "{issued:?}"
    );
    assert_eq!(playground.messages(9126).await.len(), 1);

    // Her name can be given to another key; the old one stays what it is.
    let other = playground.person("ann", Role::Administrator).await;
    let other = playground.person_channel(&other).await;
    assert_eq!(caller(&other).await.unwrap().1, "administrator");
    assert_eq!(caller(&channel).await, Err(Code::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_in_no_database_opens_nothing() {
    let playground = Playground::start().await;
    let known = playground.person("ann", Role::Administrator).await;
    // The authority signed it, for the name of somebody who may do everything.
    let made_up = playground.unknown_person("ann");
    let channel = playground.person_channel(&made_up).await;
    assert_eq!(caller(&channel).await, Err(Code::Unauthenticated));
    // The key of one name does not speak for another.
    let elsewhere = Playground::start().await;
    let foreign = elsewhere.person("ann", Role::Administrator).await;
    let (tls, url) = (foreign.tls(playground.pin(), "CAS"), playground.url());
    let refused = link::dial::channel(&url, Arc::new(tls), Arc::new(TcpConnector));
    // TLS 1.3 lets a client believe that it is in before the server has looked: the first call fails at the latest.
    if let Ok(channel) = refused.await {
        assert!(caller(&channel).await.is_err(), "of another hierarchy");
    }
    // One key is one person: who has a certificate gets no second name with it.
    let mut request = Request::new(IssueCertificateRequest {
        name: "second".to_owned(),
        role: "viewer".to_owned(),
        valid_seconds: 0,
        certificate_request: known.key.csr_pem().unwrap(),
    });
    let administrator = playground.token(Role::Administrator).await;
    let metadata = request.metadata_mut();
    metadata.insert("authorization", administrator.parse().unwrap());
    let mut people = PersonServiceClient::new(playground.channel(None).await);
    let refused = people.issue_certificate(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_both_a_person_and_a_site() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let named_so = playground.person("PR1", Role::Administrator).await;

    // A person whose name is the code of a child is no child.
    let channel = playground.person_channel(&named_so).await;
    assert_eq!(caller(&channel).await.unwrap().0, "PR1");
    let mut link = SiteLinkServiceClient::new(channel);
    let refused = link.pull(PullRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    // Nor does a site take the certificate for its own, or a client for that of the site that it dials.
    assert!(SiteCertificate::from_pem(&named_so.chain).is_err());

    // A child is no person, whatever it asks for.
    let channel = playground.channel(Some(child)).await;
    assert_eq!(caller(&channel).await, Err(Code::Unauthenticated));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_cannot_use_the_certificate_of_a_browser() {
    let playground = Playground::start().await;
    let ann = playground.person("ann", Role::Administrator).await;
    let channel = playground.person_channel(&ann).await;
    let start = |name: &'static str, value: &'static str| {
        let mut request = Request::new(StartSyncRequest::default());
        request.metadata_mut().insert(name, value.parse().unwrap());
        let mut sync = SyncServiceClient::new(channel.clone());
        async move {
            sync.start_sync(request)
                .await
                .map(drop)
                .map_err(|refused| refused.code())
        }
    };
    let refused = Err(Code::Unauthenticated);
    assert_eq!(start("sec-fetch-site", "cross-site").await, refused);
    assert_eq!(start("sec-fetch-site", "same-site").await, refused);
    assert_eq!(start("origin", "https://elsewhere.example").await, refused);
    assert_eq!(start("sec-fetch-site", "same-origin").await, Ok(()));
}

/// What the trust of a client says of a server that shows the certificate of a person.
#[test]
fn the_certificate_of_a_person_opens_no_port() {
    let ambient = daemon::Ambient::system();
    let hierarchy = trust::HierarchyId(uuid::Uuid::from_u128(1));
    let rng = &mut ambient.new_rng();
    let authority = trust::Authority::create(hierarchy, ambient.now(), rng).unwrap();
    let person = PersonKey::issued_by(&authority, "PR1", &ambient);
    let chain = trust::certificate::chain_from_pem(&person.chain).unwrap();
    assert!(PersonCertificate::of(&chain[0]).is_ok());
    let trust = ServerTrust::Pin {
        pin: authority.pin(),
        expected: None,
    };
    let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
    let tls = Arc::new(trust::tls::client_config(None, trust, time).unwrap());
    // A server with that certificate, and a client that dials it, in memory.
    let pem = person.key.to_secret_pem();
    let key = {
        use rustls::pki_types::pem::PemObject as _;
        use secrecy::ExposeSecret as _;
        rustls::pki_types::PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).unwrap()
    };
    let server = rustls::ServerConfig::builder_with_provider(trust::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(tls, name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    server.read_tls(&mut bytes.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut bytes = Vec::new();
    server.write_tls(&mut bytes).unwrap();
    let mut rest = bytes.as_slice();
    let mut seen = Ok(());
    while !rest.is_empty() && seen.is_ok() {
        client.read_tls(&mut rest).unwrap();
        seen = client.process_new_packets().map(drop);
    }
    assert!(seen.is_err(), "the client believes a person to be a site");
}
