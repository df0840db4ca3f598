//! Who may call what: every RPC of every service, called by everybody there is, at a central site and at a
//! primary one.

use crate::child::Child;
use crate::parent::{Parent, code};
use crate::playground::Playground;
use crate::raw::Raw;
use link::dial::TcpConnector;
use prost::Message as _;
use std::path::Path;
use std::sync::Arc;
use testkit::patience::LONG;
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Code, Request};
use trust::Role;
use trust::tls::ServerTrust;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Who calls is not known.
    Unknown,
    /// Who calls may not.
    Denied,
    /// The call is looked at.
    Heard,
    /// Who calls might, at the top-level site.
    Elsewhere,
}
use Outcome::{Denied, Elsewhere, Heard, Unknown};

/// Who calls, in the order of the columns.
const CALLERS: [&str; 13] = [
    "nobody",
    "a site that never joined",
    "a child",
    "a site below a child",
    "a site that was removed",
    "a site whose code another machine has now",
    "a viewer",
    "an operator",
    "an administrator",
    "a person of whom the site knows nothing",
    "a person whose certificate was revoked",
    "a viewer by certificate",
    "an administrator by certificate",
];

/// Only children, and no site that is none any more. Tokens and certificates of people are worth nothing.
const CHILDREN: [Outcome; 13] = [
    Unknown, Denied, Heard, Denied, Denied, Denied, Unknown, Unknown, Unknown, Unknown, Unknown,
    Unknown, Unknown,
];
/// Everybody without the certificate of a site, and children. Who was shut out may come back without it.
const NEWCOMERS: [Outcome; 13] = [
    Heard, Denied, Heard, Denied, Denied, Denied, Heard, Heard, Heard, Heard, Heard, Heard, Heard,
];
/// Whoever has a token or is a person by a certificate; those of sites are worth nothing.
const VIEWERS: [Outcome; 13] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Heard, Heard, Heard, Unknown, Unknown,
    Heard, Heard,
];
const OPERATORS: [Outcome; 13] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Denied, Heard, Heard, Unknown, Unknown,
    Denied, Heard,
];
const ADMINISTRATORS: [Outcome; 13] = [
    Unknown, Unknown, Unknown, Unknown, Unknown, Unknown, Denied, Denied, Heard, Unknown, Unknown,
    Denied, Heard,
];

/// Every RPC, and what is expected. A new one belongs here.
const TABLE: &[(&str, [Outcome; 13])] = &[
    ("AccessService/CreateAccessToken", ADMINISTRATORS),
    ("AccessService/GetCaller", VIEWERS),
    ("AccessService/ListAccessTokens", ADMINISTRATORS),
    ("AccessService/RevokeAccessToken", ADMINISTRATORS),
    ("AlertService/AcknowledgeAlert", OPERATORS),
    ("AlertService/ListAlerts", VIEWERS),
    ("ApprovalService/DecideUpdates", OPERATORS),
    ("CatalogService/GetUpdate", VIEWERS),
    ("CatalogService/ListUpdates", VIEWERS),
    ("CleanupService/GetCleanupReport", VIEWERS),
    ("CleanupService/RunCleanup", OPERATORS),
    ("ContentLinkService/FetchContent", CHILDREN),
    ("ContentService/CleanContent", OPERATORS),
    ("ContentService/GetContentUsage", VIEWERS),
    ("ContentService/ImportContent", ADMINISTRATORS),
    ("ContentService/ListContent", VIEWERS),
    ("ContentService/RetryContent", OPERATORS),
    ("ContentService/VerifyContent", OPERATORS),
    ("DownstreamService/ListDownstreamServers", VIEWERS),
    ("DownstreamService/RemoveDownstreamServer", OPERATORS),
    ("EnrollmentService/Join", NEWCOMERS),
    ("HierarchyService/CreateJoinToken", ADMINISTRATORS),
    ("HierarchyService/GetSource", VIEWERS),
    ("HierarchyService/ListSites", VIEWERS),
    ("HierarchyService/RemoveSite", ADMINISTRATORS),
    ("HierarchyService/SwitchSource", ADMINISTRATORS),
    ("HierarchyService/VerifySite", OPERATORS),
    ("JournalService/ListStatusMessages", VIEWERS),
    ("JournalService/ReadLog", VIEWERS),
    ("NotificationService/TestNotifications", OPERATORS),
    ("PackageService/ExportPackage", OPERATORS),
    ("PackageService/ImportPackage", ADMINISTRATORS),
    ("PackageService/ImportUpdates", OPERATORS),
    ("PackageService/OfferPackage", ADMINISTRATORS),
    ("PackageService/UploadPackage", ADMINISTRATORS),
    ("PersonService/IssueCertificate", ADMINISTRATORS),
    ("RunService/GetRun", VIEWERS),
    ("RunService/ListRuns", VIEWERS),
    ("RunService/WatchRun", VIEWERS),
    ("SettingsService/ChangeSettings", ADMINISTRATORS),
    ("SettingsService/GetSettings", VIEWERS),
    ("SettingsService/ListCategories", VIEWERS),
    ("SettingsService/ListSettingsVersions", VIEWERS),
    ("SettingsService/SetSecret", ADMINISTRATORS),
    ("SiteLinkService/Attach", CHILDREN),
    ("SiteLinkService/DescribeSite", CHILDREN),
    ("SiteLinkService/FetchItems", CHILDREN),
    ("SiteLinkService/ListBuckets", CHILDREN),
    ("SiteLinkService/ListItems", CHILDREN),
    ("SiteLinkService/ListNodes", CHILDREN),
    ("SiteLinkService/Pull", CHILDREN),
    ("SiteLinkService/RenewCertificate", CHILDREN),
    ("SyncService/CancelSync", OPERATORS),
    ("SyncService/StartSync", OPERATORS),
    ("SyncService/WatchSync", VIEWERS),
];

/// What is decided at the top-level site, and refused at every other to those who might do it there.
const AT_THE_TOP: [&str; 23] = [
    "AlertService/AcknowledgeAlert",
    "AlertService/ListAlerts",
    "ApprovalService/DecideUpdates",
    "CleanupService/GetCleanupReport",
    "CleanupService/RunCleanup",
    "HierarchyService/CreateJoinToken",
    "HierarchyService/GetSource",
    "HierarchyService/RemoveSite",
    "HierarchyService/SwitchSource",
    "HierarchyService/VerifySite",
    "NotificationService/TestNotifications",
    "PackageService/ExportPackage",
    "PackageService/ImportPackage",
    "PackageService/ImportUpdates",
    "PackageService/OfferPackage",
    "PackageService/UploadPackage",
    "PersonService/IssueCertificate",
    "SettingsService/ChangeSettings",
    "SettingsService/ListCategories",
    "SettingsService/ListSettingsVersions",
    "SettingsService/SetSecret",
    "SyncService/CancelSync",
    "SyncService/StartSync",
];

/// Calls an RPC with an empty message.
async fn call(channel: &Channel, rpc: &str, token: Option<&str>) -> Outcome {
    let mut request = Request::new(tokio_stream::once(Vec::new()));
    request.set_timeout(LONG);
    if let Some(token) = token {
        request
            .metadata_mut()
            .insert("authorization", token.parse().unwrap());
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/headwater.v1.{rpc}").parse().unwrap();
    let status = match client.streaming(request, path, Raw).await {
        Err(status) => Some(status),
        // The answer of a stream that was refused is its first message.
        Ok(answers) => answers.into_inner().message().await.err(),
    };
    match status {
        None => Heard,
        Some(status) => match status.code() {
            Code::Unauthenticated => Unknown,
            Code::PermissionDenied => Denied,
            // An empty message asks for nothing that there is, and is told so.
            Code::InvalidArgument | Code::NotFound | Code::Aborted => Heard,
            Code::FailedPrecondition => {
                let said = status.message();
                assert!(
                    said.contains("is a replica: settings, approvals and"),
                    "{rpc}: {said}"
                );
                Elsewhere
            }
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => panic!("{rpc}: {status}"),
        },
    }
}

/// What the proto files mark as only reading is what a viewer may call: those calls change nothing. By the marks
/// alone the JSON form knows what it may serve.
#[test]
fn exactly_what_a_viewer_may_call_is_marked_as_only_reading() {
    use prost_types::method_options::IdempotencyLevel::NoSideEffects;
    let described = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let services = described.file.iter().flat_map(|file| &file.service);
    let marked = services.flat_map(|service| {
        let only_reads = service.method.iter().filter(|method| {
            let options = method.options.as_ref();
            options.is_some_and(|options| options.idempotency_level() == NoSideEffects)
        });
        only_reads.map(move |method| format!("{}/{}", service.name(), method.name()))
    });
    let marked: std::collections::BTreeSet<_> = marked.collect();
    let viewers = TABLE.iter().filter(|(_, outcomes)| *outcomes == VIEWERS);
    let viewers = viewers.map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(marked, viewers);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_is_open_to_those_who_may_and_to_nobody_else() {
    // Every RPC that there is stands in the table.
    let described = prost_types::FileDescriptorSet::decode(wire::FILE_DESCRIPTOR_SET).unwrap();
    let ours = described
        .file
        .iter()
        .filter(|file| file.package() == "headwater.v1");
    let mut rpcs: Vec<String> = ours
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            let methods = service.method.iter();
            methods.map(move |method| format!("{}/{}", service.name(), method.name()))
        })
        .collect();
    rpcs.sort();
    let known: Vec<_> = TABLE.iter().map(|(rpc, _)| (*rpc).to_owned()).collect();
    assert_eq!(rpcs, known, "the table has to name every RPC");

    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let via = Some(Arc::clone(&child));
    let grandchild = playground.join("SE1", "secondary", "PR1", via).await;
    let removed = playground.join("PR2", "primary", "CAS", None).await;
    playground.remove("PR2").await;
    let replaced = playground.join("PR3", "primary", "CAS", None).await;
    playground.remove("PR3").await;
    playground.join("PR3", "primary", "CAS", None).await;
    let stranger = playground.stranger("XX9");

    let mut callers = Vec::new();
    for certificate in [
        None,
        Some(stranger),
        Some(child),
        Some(grandchild),
        Some(removed),
        Some(replaced),
    ] {
        callers.push((playground.channel(certificate).await, None));
    }
    for role in [Role::Viewer, Role::Operator, Role::Administrator] {
        callers.push((
            playground.channel(None).await,
            Some(playground.token(role).await),
        ));
    }
    let revoked = playground.person("gone", Role::Administrator).await;
    playground.revoke("gone").await;
    for person in [
        playground.unknown_person("nobody"),
        revoked,
        playground.person("vera", Role::Viewer).await,
        playground.person("ada", Role::Administrator).await,
    ] {
        callers.push((playground.person_channel(&person).await, None));
    }
    let mut wrong = Vec::new();
    for (rpc, expected) in TABLE {
        for (who, ((channel, token), expected)) in CALLERS.iter().zip(callers.iter().zip(expected))
        {
            let outcome = call(channel, rpc, token.as_deref()).await;
            if outcome != *expected {
                wrong.push(format!(
                    "{rpc} by {who}: {outcome:?} instead of {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");

    // Tokens that are none: made up, of another hierarchy, or sent in another way.
    let channel = playground.channel(None).await;
    let elsewhere = Playground::start().await;
    let foreign = elsewhere.token(Role::Administrator).await;
    let good = playground.token(Role::Administrator).await;
    for token in [
        "Bearer ",
        "Bearer hwa1.x",
        &foreign,
        &good[7..],
        &good.replace("Bearer", "Basic"),
    ] {
        let outcome = call(&channel, "HierarchyService/ListSites", Some(token)).await;
        assert_eq!(outcome, Unknown, "{}", &token[..8.min(token.len())]);
    }
    // What was refused for its certificate is in the journal, once for each site and reason.
    let refused = playground.messages(9003).await;
    for site in ["XX9", "PR2", "PR3", "SE1"] {
        let told = refused.iter().filter(|text| text.contains(site)).count();
        assert_eq!(told, 1, "{site}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_shows_what_it_has_and_changes_nothing_for_anybody() {
    let parent = Parent::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let settings = |folder: &Path| parent.child_settings("PR1", folder);
    let primary = Child::start(settings, Some(listener)).await;
    let pin = primary.local_credential().authority_pin;
    let dial = || async {
        let time = trust::tls::time_provider(|| daemon::Clock::now(&daemon::SystemClock));
        let expected = Some(code("PR1"));
        let trust = ServerTrust::Pin { pin, expected };
        let tls = trust::tls::client_config(None, trust, time).unwrap();
        let channel = link::dial::channel(&url, Arc::new(tls), Arc::new(TcpConnector));
        channel.await.unwrap()
    };
    let mut callers = vec![(dial().await, None, 0)];
    let roles = [Role::Viewer, Role::Operator, Role::Administrator];
    for (role, column) in roles.into_iter().zip(6..) {
        callers.push((dial().await, Some(primary.token(pin, role).await), column));
    }
    // A person whom the top-level site knows is known there, like one with a token of it.
    let person = parent.unknown_person("ann").tls(pin, "PR1");
    let person = link::dial::channel(&url, Arc::new(person), Arc::new(TcpConnector));
    callers.push((person.await.unwrap(), None, 9));
    let mut wrong = Vec::new();
    // Joining is no matter of tokens, and is for the top-level site to decide.
    let rpcs = TABLE
        .iter()
        .filter(|(rpc, _)| !rpc.starts_with("Enrollment"));
    for (rpc, expected) in rpcs {
        for (channel, token, column) in &callers {
            let mut expected = expected[*column];
            if expected == Heard && AT_THE_TOP.contains(rpc) {
                expected = Elsewhere;
            }
            let outcome = call(channel, rpc, token.as_deref()).await;
            if outcome != expected {
                let who = CALLERS[*column];
                wrong.push(format!(
                    "{rpc} by {who}: {outcome:?} instead of {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
