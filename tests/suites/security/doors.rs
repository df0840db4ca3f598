//! Bad messages at the one port of a site, over real connections: each is refused with one short line, the
//! next good one is answered, and nothing of them is stored.

mod attached;

use crate::playground::Playground;
use crate::raw::Raw;
use prost::Message as _;
use std::sync::Arc;
use testkit::Door;
use testkit::mutate::{Mutant, cuts, damage};
use testkit::patience::LONG;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use trust::Role;
use wire::v1::{
    Approval, Assignments, CancelSyncRequest, ChangeSettingsRequest, CreateJoinTokenRequest,
    DecideUpdatesRequest, DescribeSiteRequest, FetchItemsRequest, GetCleanupReportRequest,
    GetSettingsRequest, GetSourceRequest, GetUpdateRequest, JoinRequest, ListBucketsRequest,
    ListCategoriesRequest, ListItemsRequest, ListNodesRequest, ListSettingsVersionsRequest,
    ListSitesRequest, ListStatusMessagesRequest, ListUpdatesRequest, PullRequest, ReadLogRequest,
    RemoveSiteRequest, RenewCertificateRequest, SetSecretRequest, StartSyncRequest,
    SwitchSourceRequest, VerifySiteRequest, WatchSyncRequest, change_settings_request::To,
};

/// Mutants of one message, beside its cuts.
const DAMAGED: usize = 250;

fn bad(good: &[u8], seed: u64) -> Vec<Mutant> {
    let mut all: Vec<Mutant> = cuts(good).step_by(3).collect();
    all.extend(damage(good, seed, DAMAGED));
    let field = |tag: &[u8]| [tag, b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"].concat();
    all.push(Mutant::new("an endless field", field(b"\x0A")));
    all.push(Mutant::new("groups in each other", [0x0B].repeat(100_000)));
    all.push(Mutant::new("fields in each other", b"\x0A\x7F".repeat(200)));
    all.push(Mutant::new(
        "wrong types",
        b"\x0D\xFF\xFF\xFF\xFF\x11\xFF\xFF".to_vec(),
    ));
    all.push(Mutant::new(
        "a text of control characters",
        b"\x0A\x05\x1B[2J\0".to_vec(),
    ));
    all
}

/// What is said to somebody who sent something bad.
fn told(status: &Status) -> Result<(), String> {
    let why = status.message().to_owned();
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::AlreadyExists => Err(why),
        // tonic's words for a message that is none.
        Code::Internal if why.starts_with("failed to decode Protobuf message") => Err(why),
        // Somebody changed it meanwhile, or the catalog is another one by now.
        Code::Aborted => Err(why),
        // The word of a mutant may ask for the log of a site that is not there now.
        Code::Unavailable if why.contains("is not connected") => Err(why),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => panic!("{status:?}"),
    }
}

/// Calls an RPC with the bytes of one message. Of a stream of answers only the beginning is awaited.
async fn call(
    channel: &Channel,
    rpc: &str,
    token: Option<&str>,
    bytes: &[u8],
) -> Result<(), Status> {
    let mut request = Request::new(tokio_stream::once(bytes.to_vec()));
    request.set_timeout(LONG);
    if let Some(token) = token {
        let token = token.parse().unwrap();
        request.metadata_mut().insert("authorization", token);
    }
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = format!("/headwater.v1.{rpc}").parse().unwrap();
    let mut answers = client.streaming(request, path, Raw).await?.into_inner();
    if matches!(rpc, "JournalService/ReadLog") {
        return Ok(());
    }
    answers.message().await.map(drop)
}

/// Settings that are asked for, in each of the ways to ask.
fn settings_asked_for() -> Vec<ChangeSettingsRequest> {
    let assigned = |set: &[&str], reset: &[&str]| {
        To::Assignments(Assignments {
            set: set.iter().map(|text| (*text).to_owned()).collect(),
            reset: reset.iter().map(|text| (*text).to_owned()).collect(),
        })
    };
    let document = settings::Settings::default().to_json();
    [
        To::Document(document),
        assigned(
            &[
                r#"schedule.when={"cron":"30 2 * * TUE"}"#,
                "products.everything=true",
            ],
            &["source.url"],
        ),
        To::Version(3),
    ]
    .into_iter()
    .map(|to| ChangeSettingsRequest {
        expected_version: 7_000,
        expects_version: true,
        dry_run: false,
        to: Some(to),
    })
    .collect()
}

/// The newest version of the settings.
async fn settings_version(playground: &Playground) -> u64 {
    let store = &playground.central.site.store;
    let held = store.read().await.unwrap().settings(None).await.unwrap();
    held.map_or(0, |row| row.version)
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_about_settings_and_runs_are_refused_or_do_no_harm() {
    let playground = Playground::start().await;
    playground.join("PR1", "primary", "CAS", None).await;
    let administrator = playground.token(Role::Administrator).await;
    let token = Some(administrator.as_str());
    let people = playground.channel(None).await;
    let changes = settings_asked_for();
    let changes = changes
        .iter()
        .map(|change| ("SettingsService/ChangeSettings", change.encode_to_vec()));
    let others = [
        (
            "SettingsService/SetSecret",
            SetSecretRequest {
                name: "proxy.password".to_owned(),
                secret: "x".repeat(40),
            }
            .encode_to_vec(),
        ),
        (
            "SettingsService/GetSettings",
            GetSettingsRequest {
                version: 1 << 40,
                site_code: "PR1".to_owned(),
            }
            .encode_to_vec(),
        ),
        (
            "SettingsService/ListSettingsVersions",
            ListSettingsVersionsRequest { limit: 1 << 30 }.encode_to_vec(),
        ),
        (
            "SettingsService/ListCategories",
            ListCategoriesRequest {}.encode_to_vec(),
        ),
        (
            "HierarchyService/VerifySite",
            VerifySiteRequest {
                site_code: "ZZ9".to_owned(),
            }
            .encode_to_vec(),
        ),
        (
            "HierarchyService/ListSites",
            ListSitesRequest {}.encode_to_vec(),
        ),
        (
            "SyncService/StartSync",
            StartSyncRequest {
                full: true,
                ..StartSyncRequest::default()
            }
            .encode_to_vec(),
        ),
        (
            "SyncService/CancelSync",
            CancelSyncRequest::default().encode_to_vec(),
        ),
        ("SyncService/WatchSync", WatchSyncRequest {}.encode_to_vec()),
        (
            "ApprovalService/DecideUpdates",
            DecideUpdatesRequest {
                update_ids: vec!["e6cf1350-c01b-414d-a61f-263d14d133b4".to_owned(); 3],
                approval: Approval::Install.into(),
                deadline: Some(prost_types::Timestamp {
                    seconds: 1_790_000_000,
                    nanos: 5,
                }),
                accept_licence: true,
                dry_run: false,
            }
            .encode_to_vec(),
        ),
        (
            "CleanupService/GetCleanupReport",
            GetCleanupReportRequest {}.encode_to_vec(),
        ),
        (
            "HierarchyService/GetSource",
            GetSourceRequest {
                site_code: "PR1".to_owned(),
            }
            .encode_to_vec(),
        ),
        (
            "HierarchyService/SwitchSource",
            SwitchSourceRequest {
                site_code: "PR1".to_owned(),
                source: "PR1-2".to_owned(),
                force: false,
            }
            .encode_to_vec(),
        ),
    ];
    let before = state(&playground).await;
    let mut version = settings_version(&playground).await;
    let mut door = Door::new("settings and runs over real connections");
    for (seed, (rpc, good)) in (100..).zip(changes.chain(others)) {
        for mutant in bad(&good, seed) {
            let outcome = call(&people, rpc, token, &mutant.bytes).await;
            // Only what still was a good request has changed anything, and it has made one version.
            let now = settings_version(&playground).await;
            let changed = rpc == "SettingsService/ChangeSettings" && outcome.is_ok();
            let most = version + u64::from(changed);
            assert!(now == version || now == most, "{rpc}: {}", mutant.what);
            version = now;
            let named = Mutant::new(format!("{rpc}: {}", mutant.what), mutant.bytes);
            door.knock(&named, |_| outcome.as_ref().map_or_else(told, |()| Ok(())));
        }
    }
    door.close(3_000);
    assert_eq!(state(&playground).await, before);
    // What is in force can be read and changed as ever.
    call(&people, "SettingsService/GetSettings", token, &[])
        .await
        .unwrap();
    let good = ChangeSettingsRequest {
        to: settings_asked_for().swap_remove(1).to,
        ..ChangeSettingsRequest::default()
    };
    let change = "SettingsService/ChangeSettings";
    call(&people, change, token, &good.encode_to_vec())
        .await
        .unwrap();
    assert_eq!(settings_version(&playground).await, version + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_of_a_child_that_compares_are_refused() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let link = playground.channel(Some(child)).await;
    let root = vec![3; 32];
    let by_child = [
        (
            "SiteLinkService/ListNodes",
            ListNodesRequest {}.encode_to_vec(),
        ),
        (
            "SiteLinkService/ListBuckets",
            ListBucketsRequest {
                root: root.clone(),
                nodes: vec![0, 7, 255],
            }
            .encode_to_vec(),
        ),
        (
            "SiteLinkService/ListItems",
            ListItemsRequest {
                root: root.clone(),
                buckets: vec![0, 300, 65_535],
            }
            .encode_to_vec(),
        ),
        (
            "SiteLinkService/FetchItems",
            FetchItemsRequest {
                root,
                keys: vec![vec![1; 21], vec![1; 21]],
            }
            .encode_to_vec(),
        ),
    ];
    let before = state(&playground).await;
    let mut door = Door::new("comparisons over real connections");
    for (seed, (rpc, good)) in (200..).zip(by_child) {
        for mutant in bad(&good, seed) {
            let outcome = call(&link, rpc, None, &mutant.bytes).await;
            let named = Mutant::new(format!("{rpc}: {}", mutant.what), mutant.bytes);
            door.knock(&named, |_| outcome.as_ref().map_or_else(told, |()| Ok(())));
        }
    }
    door.close(1_000);
    assert_eq!(state(&playground).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_at_every_rpc_are_refused_and_change_nothing() {
    let playground = Playground::start().await;
    let child = playground.join("PR1", "primary", "CAS", None).await;
    let administrator = playground.token(Role::Administrator).await;
    let key = trust::SiteKey::generate().unwrap();
    let request = key.csr_pem().unwrap();
    let update = "e6cf1350-c01b-414d-a61f-263d14d133b4.200".to_owned();
    let by_child: [(&str, Vec<u8>); 3] = [
        (
            "SiteLinkService/Pull",
            PullRequest {
                epoch: vec![7; 16],
                after_position: 1 << 40,
                verified_position: 3,
            }
            .encode_to_vec(),
        ),
        (
            "SiteLinkService/RenewCertificate",
            RenewCertificateRequest {
                certificate_request: request.clone(),
                site_code: "PR1".to_owned(),
            }
            .encode_to_vec(),
        ),
        (
            "SiteLinkService/DescribeSite",
            DescribeSiteRequest {
                site_code: "SE1".to_owned(),
            }
            .encode_to_vec(),
        ),
    ];
    let by_people: [(&str, Vec<u8>); 7] = [
        (
            "EnrollmentService/Join",
            JoinRequest {
                token: format!("hwj1.{}", "A".repeat(132)),
                certificate_request: request,
                version: "0.1.0".to_owned(),
            }
            .encode_to_vec(),
        ),
        (
            "HierarchyService/CreateJoinToken",
            CreateJoinTokenRequest {
                site_code: "PR1".to_owned(),
                site_kind: "secondary".to_owned(),
                parent: "ZZ9".to_owned(),
                valid_seconds: 600,
            }
            .encode_to_vec(),
        ),
        (
            "HierarchyService/RemoveSite",
            RemoveSiteRequest {
                site_code: "ZZ9".to_owned(),
                ..RemoveSiteRequest::default()
            }
            .encode_to_vec(),
        ),
        (
            "CatalogService/ListUpdates",
            ListUpdatesRequest {
                text: "Security".to_owned(),
                classification: "Security Updates".to_owned(),
                product: "Windows 11".to_owned(),
                update_type: "Software".to_owned(),
                page_size: 50,
                page_token: "12".to_owned(),
                approval: "approved".to_owned(),
                state: "expired".to_owned(),
                cve: "CVE-2024-21351".to_owned(),
                created_since: Some(Default::default()),
                created_before: Some(Default::default()),
            }
            .encode_to_vec(),
        ),
        (
            "CatalogService/GetUpdate",
            GetUpdateRequest {
                update_id: update,
                with_document: true,
                with_relations: true,
            }
            .encode_to_vec(),
        ),
        (
            "JournalService/ReadLog",
            ReadLogRequest {
                site_code: "CAS".to_owned(),
                last: 5,
                follow: false,
                merged: false,
            }
            .encode_to_vec(),
        ),
        (
            "JournalService/ListStatusMessages",
            ListStatusMessagesRequest {
                site_code: "PR1".to_owned(),
                limit: 10,
                ..ListStatusMessagesRequest::default()
            }
            .encode_to_vec(),
        ),
    ];
    let before = state(&playground).await;
    let link = playground.channel(Some(Arc::clone(&child))).await;
    let people = playground.channel(None).await;
    let mut door = Door::new("RPCs over real connections");
    let by_child = by_child.iter().map(|(rpc, good)| (rpc, good, &link, None));
    let token = Some(administrator.as_str());
    let by_people = by_people
        .iter()
        .map(|(rpc, good)| (rpc, good, &people, token));
    for (seed, (rpc, good, channel, token)) in (0..).zip(by_child.chain(by_people)) {
        for mutant in bad(good, seed) {
            let outcome = call(channel, rpc, token, &mutant.bytes).await;
            let named = Mutant::new(format!("{rpc}: {}", mutant.what), mutant.bytes);
            door.knock(&named, |_| outcome.as_ref().map_or_else(told, |()| Ok(())));
        }
    }
    door.close(2_500);
    // The site is up and says the same as before.
    assert_eq!(state(&playground).await, before);
    call(&people, "HierarchyService/ListSites", token, &[])
        .await
        .unwrap();
    // A pull of everything begins with its plan.
    call(&link, "SiteLinkService/Pull", None, &[])
        .await
        .unwrap();
}

/// What must not change: the catalog, and who belongs to the hierarchy.
async fn state(playground: &Playground) -> (store::Positions, Vec<String>) {
    let store = &playground.central.site.store;
    let sites = store.read().await.unwrap().sites().await.unwrap();
    let sites = sites.iter().map(|site| format!("{site:?}")).collect();
    (store.positions(), sites)
}
