//! Several software update points at a site: the source is switched by hand and by itself, and removed.

use crate::documents::generate;
use std::time::Duration;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use wire::v1::SiteReport;

const UPDATES: u32 = 3_000;
/// How long each piece is held back that PR1 and its children say to each other, so that a pull takes seconds.
const SLOW: Duration = Duration::from_millis(40);

/// Central site, PR1 with a second software update point, and two secondary sites below it.
async fn two_points(updates: u32) -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(updates)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR1-2", "primary", "PR1").await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.join("SE2", "secondary", "PR1").await;
    hierarchy
}

/// Waits until sites have these parents.
async fn parents(hierarchy: &Hierarchy, expected: &[(&str, &str)]) {
    until("every site has its parent", LONG * 2, || async move {
        let sites = hierarchy.sites().await?;
        for (site, parent) in expected {
            let report = sites.get(*site).ok_or(format!("no {site}"))?;
            if report.parent != *parent || !report.connected {
                let (held, connected) = (&report.parent, report.connected);
                return Err(format!("{site} is below {held}, connected: {connected}"));
            }
        }
        Ok(())
    })
    .await;
}

/// Waits until a site has pulled something, and not all.
async fn in_the_middle(hierarchy: &Hierarchy, site: &str) -> SiteReport {
    until("a pull is under way", LONG, || async move {
        let report = hierarchy.site(site).await?;
        let running = report
            .run
            .as_ref()
            .is_some_and(|run| run.finished.is_none());
        let some = report.position > report.verified_position;
        (running && some)
            .then_some(report)
            .ok_or("it is not".to_owned())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_switched_while_its_children_synchronize_and_nothing_is_sent_twice() {
    let mut hierarchy = two_points(UPDATES).await;
    let alone = hierarchy.run(&["site", "source", "PR1"]).good();
    assert_eq!(
        alone.trim(),
        "Synchronization source: PR1; replicas: PR1-2."
    );

    hierarchy.proxy("PR1").delay(SLOW);
    let run = hierarchy.request_sync().await;
    for site in ["PR1-2", "SE1", "SE2"] {
        in_the_middle(&hierarchy, site).await;
    }
    let told = hierarchy.run(&["site", "source", "PR1", "PR1-2"]);
    assert!(
        told.errors.contains("PR1 was the source before"),
        "{told:?}"
    );
    assert_eq!(
        told.good().trim(),
        "Synchronization source: PR1-2; replicas: PR1."
    );
    // Again: it is that already.
    let again = hierarchy.run(&["site", "source", "PR1", "PR1-2", "--json"]);
    assert_eq!(again.json()["switched"], false);
    hierarchy.proxy("PR1").delay(Duration::ZERO);
    let central = hierarchy.converged(&run).await;
    parents(
        &hierarchy,
        &[
            ("PR1-2", CENTRAL),
            ("PR1", "PR1-2"),
            ("SE1", "PR1-2"),
            ("SE2", "PR1-2"),
        ],
    )
    .await;
    let sites = hierarchy.sites().await.unwrap();
    for site in ["PR1", "PR1-2", "SE1", "SE2"] {
        let received = sites[site].received_changes;
        assert_eq!(received, central.items, "{site} was sent something twice");
    }
    hierarchy
        .message(
            CENTRAL,
            9035,
            &["source of site PR1 is PR1-2", "no longer PR1"],
        )
        .await;
    hierarchy
        .message("SE1", 9036, &["with PR1-2", "with PR1"])
        .await;
    check_views(&hierarchy);

    // What is new goes the new way, and nothing else is fetched.
    hierarchy.evolve().await;
    let changed = hierarchy.synchronize().await;
    let before = sites["SE1"].received_bytes;
    let after = hierarchy.site("SE1").await.unwrap();
    assert_eq!(after.root, changed.root);
    assert!(after.received_bytes - before < before / 2, "{after:?}");

    // A restart finds the new parent, wherever the command line leads.
    hierarchy.kill("SE1");
    hierarchy.start("SE1").await;
    hierarchy.stop("PR1").await;
    hierarchy.evolve().await;
    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["PR1"]).await;
}

/// A replica is a row of its own, with its log and its messages.
fn check_views(hierarchy: &Hierarchy) {
    let shown = hierarchy.run(&["status"]).good();
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    assert_eq!(rows[1], ["PR1-2", "primary,", "source"], "{shown}");
    assert_eq!(rows[2], ["PR1", "primary,", "replica"], "{shown}");
    let list = hierarchy.run(&["site", "list", "--json"]).json();
    let sites = list["sites"].as_array().unwrap();
    let role = |code: &str| {
        let site = sites.iter().find(|site| site["site_code"] == code);
        site.unwrap()["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (role("PR1-2"), role("PR1"), role("SE1")),
        ("source".into(), "replica".into(), "only".into())
    );
    let log = hierarchy.run(&["log", "--site", "PR1-2", "--last", "500"]);
    assert!(log.good().contains("Sync succeeded"));
    let messages = hierarchy.run(&["message", "list", "--site", "PR1-2", "--json"]);
    assert!(messages.good().contains("\"PR1-2\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_gone_is_switched_by_itself_where_that_is_set() {
    let mut hierarchy = two_points(200).await;
    hierarchy.synchronize().await;
    let set = hierarchy.run(&["settings", "set", "failures.switch-source-after=1"]);
    set.good();
    hierarchy.kill("PR1");
    hierarchy
        .message(CENTRAL, 9035, &["by itself", "PR1 was not connected"])
        .await;
    parents(
        &hierarchy,
        &[("PR1-2", CENTRAL), ("SE1", "PR1-2"), ("SE2", "PR1-2")],
    )
    .await;
    hierarchy.evolve().await;
    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["PR1"]).await;
    // The one that was gone comes back as a replica.
    hierarchy.start("PR1").await;
    parents(&hierarchy, &[("PR1", "PR1-2")]).await;
    hierarchy.synchronize().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_removed_when_another_takes_its_place_and_the_last_disables_the_site() {
    let mut hierarchy = two_points(200).await;
    hierarchy.synchronize().await;
    let refused = hierarchy.run(&["site", "remove", "PR1", "--yes"]);
    refused.refused("headwater site remove PR1 --new-source PR1-2");
    let refused = hierarchy.run(&["site", "remove", "PR1", "--yes", "--new-source", "SE1"]);
    refused.refused("SE1 is not another software update point of site PR1");
    let refused = hierarchy.run(&["site", "source", CENTRAL, "CAS-2"]);
    refused.refused("it alone writes the catalog");
    let refused = hierarchy.run(&["site", "token", "SE1-2"]);
    refused.refused("SE1 is a secondary site, which has one software update point");
    let refused = hierarchy.run(&["site", "token", "PR2-2"]);
    refused.refused("headwater site token PR2 --kind primary");
    let refused = hierarchy.run(&["site", "source", "PR1", "PR1-3"]);
    refused.refused("headwater site token PR1-3");

    // One that is not there is no source, unless it is meant.
    hierarchy.stop("PR1-2").await;
    until("nobody heard of PR1-2", LONG, || async {
        let connected = hierarchy.site("PR1-2").await?.connected;
        (!connected).then_some(()).ok_or_else(String::new)
    })
    .await;
    let refused = hierarchy.run(&["site", "source", "PR1", "PR1-2"]);
    refused.refused("PR1-2 is not connected, and was not heard of in the last 5 minutes");
    let refused = hierarchy.run(&["site", "remove", "PR1", "--yes", "--new-source", "PR1-2"]);
    refused.refused("--force");
    let forced = hierarchy.run(&["site", "source", "PR1", "PR1-2", "--force"]);
    forced.good();
    hierarchy.start("PR1-2").await;
    let back = hierarchy.run(&["site", "source", "PR1", "PR1", "--force"]);
    back.good();
    let below = [
        ("PR1", CENTRAL),
        ("PR1-2", "PR1"),
        ("SE1", "PR1"),
        ("SE2", "PR1"),
    ];
    parents(&hierarchy, &below).await;

    let removed = hierarchy.run(&["site", "remove", "PR1", "--yes", "--new-source", "PR1-2"]);
    assert_eq!(removed.good().trim(), "Removed: PR1.");
    let below = [("PR1-2", CENTRAL), ("SE1", "PR1-2"), ("SE2", "PR1-2")];
    parents(&hierarchy, &below).await;
    hierarchy.evolve().await;
    hierarchy.synchronize().await;

    let removed = hierarchy.run(&["site", "remove", "PR1-2", "--yes"]);
    assert!(
        removed
            .errors
            .contains("Site PR1 has no software update point left"),
        "{removed:?}"
    );
    assert_eq!(removed.good().trim(), "Removed: PR1-2, SE1, SE2.");
    let sites = hierarchy.sites().await.unwrap();
    assert_eq!(sites.keys().collect::<Vec<_>>(), [CENTRAL]);
}
