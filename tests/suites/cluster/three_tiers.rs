//! A hierarchy of three tiers, from the first synchronization on.

use crate::documents::{check_documents, generate, sample};
use crate::logs;
use rustix::process::Signal;
use std::collections::BTreeMap;
use testkit::hierarchy::CENTRAL;
use testkit::{Database, Hierarchy, until};

const UPDATES: u32 = 600;
const SITES: [&str; 6] = [CENTRAL, "PR1", "PR2", "SE1", "SE2", "SE3"];

/// Central site, two primary and three secondary sites.
async fn three_tiers() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.join("SE2", "secondary", "PR1").await;
    hierarchy.join("SE3", "secondary", "PR2").await;
    hierarchy
}

#[tokio::test(flavor = "multi_thread")]
async fn three_tiers_hold_the_same_catalog_after_each_change() {
    let mut hierarchy = three_tiers().await;
    let first = hierarchy.synchronize().await;
    assert!(first.items >= u64::from(UPDATES));
    check_logs(&hierarchy);
    check_verbs(&hierarchy).await;
    check_probes(&hierarchy).await;

    hierarchy.evolve().await;
    let second = hierarchy.synchronize().await;
    assert!(second.verified_position > first.verified_position);
    assert_ne!(second.root, first.root);
    let nothing_new = hierarchy.synchronize().await;
    assert_eq!(nothing_new.root, second.root);
    assert_eq!(nothing_new.verified_position, second.verified_position);

    hierarchy.stop_all().await;
    check_databases(&hierarchy, &second.root).await;
}

/// The databases say the same as the reports did.
async fn check_databases(hierarchy: &Hierarchy, root: &[u8]) {
    let expected = sample(UPDATES, 7);
    let mut catalog = None;
    for site in SITES {
        let database = Database::open(&hierarchy.data_dir(site)).await;
        assert_eq!(database.root().await, root, "{site}");
        let positions = database.positions();
        assert_eq!(positions.head, positions.verified, "{site}");
        let log = database.log().await;
        let held = (positions.epoch, positions.verified, log);
        // The same changes at the same positions, byte for byte.
        assert!(
            *catalog.get_or_insert_with(|| held.clone()) == held,
            "{site}"
        );
        check_documents(&database, &expected).await;
        database.close().await;
    }
}

/// The story of a good run, as a viewer shows it.
fn check_logs(hierarchy: &Hierarchy) {
    for site in [CENTRAL, "PR1", "SE1"] {
        let log = hierarchy.log(site);
        let entries = logs::read(&log);
        assert_eq!(logs::coloured(&entries), [""; 0], "{site}");
    }
    let source = format!("for site {CENTRAL} to ");
    logs::check_order(
        &hierarchy.log(CENTRAL),
        &[
            "Wakeup by inbox drop",
            "Found local sync request file",
            "Starting Sync",
            "Performing sync on local request",
            "Read SUPs from SCF for ",
            "Found 1 SUPs",
            "Found active SUP ",
            "STATMSG: ID=6701 SEV=I",
            "STATMSG: ID=6704 SEV=I",
            "Synchronizing WSUS server ",
            "sync: Starting WSUS synchronization",
            "sync: WSUS synchronizing categories",
            "sync: WSUS synchronizing updates",
            "(100%)",
            "Done synchronizing WSUS Server ",
            &source,
            "STATMSG: ID=6705 SEV=I",
            "Synchronizing SMS database with WSUS server ",
            "Done synchronizing SMS with WSUS Server ",
            "STATMSG: ID=6702 SEV=I",
            "Sync succeeded. Setting sync alert to canceled state on site CAS",
            "Sync time: 0d00h",
        ],
    );
    for (site, parent) in [("PR1", CENTRAL), ("SE1", "PR1")] {
        let log = hierarchy.log(site);
        let notified = format!("Found parent sync notification file {parent}.SYN.");
        let source = format!("for site {site} to ");
        let succeeded =
            format!("Sync succeeded. Setting sync alert to canceled state on site {site}");
        let synced = format!("Successfully synced site with parent {parent}, version ");
        logs::check_order(
            &log,
            &[
                "Wakeup by inbox drop",
                &notified,
                "Starting Sync",
                "Performing sync on parent request",
                "Read SUPs from SCF for ",
                "STATMSG: ID=6701 SEV=I",
                "Synchronizing WSUS server ",
                "sync: Starting WSUS synchronization",
                "sync: WSUS synchronizing categories",
                "sync: WSUS synchronizing updates",
                "(100%)",
                "Done synchronizing WSUS Server ",
                &source,
                "STATMSG: ID=6702 SEV=I",
                &succeeded,
                &synced,
                "Sync time: 0d00h",
            ],
        );
        // The site database of a child is filled by its parent.
        assert!(!log.contains("ID=6705") && !log.contains("SMS synchronizing"));
    }
}

/// What the verbs print for scripts.
async fn check_verbs(hierarchy: &Hierarchy) {
    let status = hierarchy.run(&["status", "--check", "--json"]).json();
    let sites = status["sites"].as_array().unwrap();
    let codes: Vec<_> = sites
        .iter()
        .map(|site| site["site_code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, [CENTRAL, "PR1", "SE1", "SE2", "PR2", "SE3"]);
    let central = &sites[0];
    for site in sites {
        assert_eq!(site["root"], central["root"]);
        assert_eq!(site["verified_position"], central["verified_position"]);
        assert_eq!(
            (&site["current"], &site["connected"]),
            (&true.into(), &true.into())
        );
        assert_eq!(site["last_error"], "");
        assert_eq!(site["run"]["state"], "Completed");
        // One run of the central site led to all of them.
        assert_eq!(site["run"]["id"], central["run"]["id"]);
    }
    let upstreams: BTreeMap<_, _> = sites
        .iter()
        .map(|site| {
            (
                site["site_code"].as_str().unwrap(),
                site["upstream"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        (upstreams["SE1"], upstreams["SE3"], upstreams["PR1"]),
        ("PR1", "PR2", CENTRAL)
    );

    let read = hierarchy
        .run(&["log", "--site", "SE1", "--last", "1000"])
        .good();
    let written = hierarchy.log("SE1");
    let same: Vec<_> = written.lines().map(str::trim_end).collect();
    assert_eq!(read.lines().map(str::trim_end).collect::<Vec<_>>(), same);
    let unknown = hierarchy.run(&["log", "--site", "SE9"]);
    unknown.refused("SE9");

    let (id, document) = sample(UPDATES, 97).pop().unwrap();
    let shown = hierarchy
        .run(&["update", "show", &id.to_string(), "--document", "--json"])
        .json();
    assert_eq!(shown["document"].as_str().unwrap(), document);
    assert_eq!(
        shown["update_id"].as_str().unwrap(),
        id.update_id.to_string()
    );
    let list = hierarchy
        .run(&["update", "list", "--limit", "5", "--json"])
        .good();
    assert!(list.contains("update_id"), "{list}");
}

/// Health, reflection and metrics, on the one port of the central site and of a primary site.
async fn check_probes(hierarchy: &Hierarchy) {
    for site in [CENTRAL, "PR1"] {
        let url = hierarchy.url(site);
        let channel = crate::refusals::anonymous_channel(hierarchy, site)
            .await
            .unwrap();
        let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
        let request = tonic_health::pb::HealthCheckRequest {
            service: "headwater.v1.SiteLinkService".to_owned(),
        };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status(),
            tonic_health::pb::health_check_response::ServingStatus::Serving
        );

        let services = reflected(channel).await;
        for service in [
            "headwater.v1.SiteLinkService",
            "headwater.v1.EnrollmentService",
        ] {
            assert!(services.iter().any(|name| name == service), "{services:?}");
        }

        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .build()
            .unwrap();
        let metrics = client.get(format!("{url}/metrics")).send().await.unwrap();
        assert!(metrics.status().is_success());
        let metrics = metrics.text().await.unwrap();
        assert!(metrics.contains("# TYPE headwater_"), "{metrics}");
    }
}

/// Names of the services that a site tells by reflection.
async fn reflected(channel: tonic::transport::Channel) -> Vec<String> {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await;
    let answer = answers
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    match answer.message_response {
        Some(MessageResponse::ListServicesResponse(list)) => list
            .service
            .into_iter()
            .map(|service| service.name)
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_during_a_run_become_one_further_run_and_a_cancelled_run_is_made_up_for() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(900)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;

    let cancelled = hierarchy.request_sync().await;
    until("the run is under way", testkit::patience::LONG, || async {
        let central = hierarchy.site(CENTRAL).await?;
        // At position 1 there are the settings.
        (central.position > 1)
            .then_some(())
            .ok_or("it has nothing yet".to_owned())
    })
    .await;
    hierarchy.proxy(testkit::hierarchy::UPSTREAM).stall();
    let answer = hierarchy.run(&["sync", "cancel", "--json"]).json();
    assert_eq!(answer["cancelled"], true);
    until("the run is cancelled", testkit::patience::LONG, || async {
        let central = hierarchy.site(CENTRAL).await?;
        let run = central.run.ok_or("there is no run")?;
        assert_eq!(run.id, cancelled);
        (run.state == "Cancelled").then_some(()).ok_or(run.state)
    })
    .await;
    hierarchy.message(CENTRAL, 9011, &["cancelled"]).await;
    assert_eq!(
        hierarchy.run(&["sync", "cancel", "--json"]).json()["cancelled"],
        false
    );
    let central = hierarchy.site(CENTRAL).await.unwrap();
    assert_eq!(central.next_attempt, None);
    // The settings are there, once more where the site that joined was told of before the run.
    assert!(central.verified_position <= 2, "{central:?}");
    // Nothing of a run that was cancelled is shown.
    let list = hierarchy
        .run(&["update", "list", "--type", "category", "--json"])
        .json();
    assert_eq!(list["updates"].as_array().unwrap().len(), 0, "{list}");

    // One run, and while it waits for its upstream, three more are asked for.
    let first = hierarchy.request_sync().await;
    until(
        "the next run has begun",
        testkit::patience::LONG,
        || async {
            let central = hierarchy.site(CENTRAL).await?;
            let run = central.run.ok_or("there is no run")?;
            (run.id == first).then_some(()).ok_or(run.state)
        },
    )
    .await;
    let asked: Vec<_> = (0..3)
        .map(|_| hierarchy.run(&["sync", "start", "--json"]).json())
        .collect();
    assert!(
        asked.iter().all(|answer| answer["queued"] == true),
        "{asked:?}"
    );
    assert!(
        asked.iter().all(|answer| answer["run"] == asked[0]["run"]),
        "{asked:?}"
    );
    hierarchy.proxy(testkit::hierarchy::UPSTREAM).free();
    let last = asked[0]["run"]
        .as_str()
        .unwrap()
        .parse::<uuid::Uuid>()
        .unwrap();
    hierarchy.converged(last.as_bytes()).await;
    hierarchy.process(CENTRAL).signal(Signal::TERM);
    hierarchy.stop_all().await;
    let database = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    let runs: Vec<_> = database
        .runs()
        .await
        .into_iter()
        .rev()
        .map(|run| run.state)
        .collect();
    assert_eq!(runs, ["Cancelled", "Completed", "Completed"]);
}
