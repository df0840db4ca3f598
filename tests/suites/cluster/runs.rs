//! What a synchronization did at every site, and synchronizing a part of the hierarchy.

use crate::documents::generate;
use serde_json::Value;
use std::collections::BTreeMap;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};
use uuid::Uuid;
use wire::v1::{SiteRun, WatchRunRequest};

async fn two_primaries() -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(300)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy
}

/// The run, as a verb shows it at a site.
fn show(hierarchy: &Hierarchy, at: &str, run: &str) -> Value {
    hierarchy
        .run_at(at, &["sync", "show", run, "--json"])
        .json()
}

/// State of each site's part.
fn states(shown: &Value) -> BTreeMap<String, String> {
    let sites = shown["sites"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    sites
        .map(|site| (text(&site["site_code"]), text(&site["state"])))
        .collect()
}

/// Waits until a run completed at these sites, and at no other.
async fn completed(hierarchy: &Hierarchy, at: &str, run: &str, sites: &[&str]) -> Value {
    let expected: BTreeMap<String, String> = sites
        .iter()
        .map(|site| ((*site).to_owned(), "Completed".to_owned()))
        .collect();
    until("the run is complete at every site", LONG, || {
        let shown = show(hierarchy, at, run);
        let complete = states(&shown) == expected && shown["run"]["completed"] == sites.len();
        let answer = complete.then(|| shown.clone()).ok_or(shown.to_string());
        std::future::ready(answer)
    })
    .await
}

/// What is told of a run until it is over: the last word about each site.
async fn watched(hierarchy: &Hierarchy, run: &[u8]) -> BTreeMap<String, SiteRun> {
    let client = hierarchy.client().await.unwrap();
    let request = WatchRunRequest { id: run.to_vec() };
    let mut told = client.runs().watch_run(request).await.unwrap().into_inner();
    let mut sites = BTreeMap::new();
    let all = async {
        while let Some(change) = told.message().await.unwrap() {
            assert_eq!(change.run.unwrap().id, run);
            let parts = change.sites.into_iter();
            sites.extend(parts.map(|part| (part.site_code.clone(), part)));
        }
    };
    tokio::time::timeout(LONG, all)
        .await
        .expect("the run is over in time");
    sites
}

/// The names of the phases of a site, each of which ends where the next begins.
fn phases(part: &Value) -> Vec<String> {
    let spans = part["phases"].as_array().unwrap();
    for pair in spans.windows(2) {
        assert_eq!(pair[0]["finished"], pair[1]["started"], "{part}");
    }
    let last = spans.last().unwrap();
    assert_eq!(last["finished"], part["finished"], "{part}");
    let names = spans.iter().map(|span| span["phase"].as_str().unwrap());
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_what_every_site_did_in_it_and_one_that_was_away_tells_later() {
    let mut hierarchy = two_primaries().await;
    hierarchy.stop("PR2").await;
    let id = hierarchy.request_sync().await;
    let run = Uuid::from_slice(&id).unwrap().to_string();
    let told = watched(&hierarchy, &id).await;
    for site in [CENTRAL, "PR1", "SE1"] {
        assert_eq!(told[site].state, "Completed", "{told:?}");
        assert!(told[site].items >= 300 && told[site].bytes > 0, "{told:?}");
    }
    assert!(!told.contains_key("PR2"), "it is away");

    let there = [CENTRAL, "PR1", "SE1"];
    let shown = completed(&hierarchy, CENTRAL, &run, &there).await;
    for part in shown["sites"].as_array().unwrap() {
        let names = phases(part);
        let expected = [
            "Connecting",
            "SyncingCategories",
            "SyncingUpdates",
            "Verifying",
        ];
        assert_eq!(names, expected, "{part}");
        let time = |name: &str| part[name].as_str().unwrap().parse::<jiff::Timestamp>();
        let [asked, began, ended] = ["requested", "started", "finished"].map(|n| time(n).unwrap());
        assert!(asked <= began && began <= ended, "{part}");
    }
    // The list, the status messages and the one run say the same.
    let history = hierarchy.run(&["sync", "history", "--json"]).json();
    assert_eq!(history["runs"][0], shown["run"]);
    assert_eq!(history["runs"][0]["sites"], 3);
    assert_eq!(history["runs"][0]["manual"], true);
    let central = hierarchy.site(CENTRAL).await.unwrap();
    assert_eq!(shown["run"]["position"], central.verified_position);
    hierarchy.message("SE1", 9078, &["SyncingUpdates"]).await;
    // By the beginning of its identifier, and by none for the newest.
    let text = hierarchy.run(&["sync", "show", &run[..13]]).good();
    for part in ["completed", CENTRAL, "PR1", "SE1", "█ verifying"] {
        assert!(text.contains(part), "{text}");
    }
    let newest = hierarchy.run(&["sync", "show", "--json"]).json();
    assert_eq!(newest, shown);
    hierarchy
        .run(&["sync", "show", "ffffffff"])
        .refused("no run begins with");
    // A site in between shows itself and what is below it.
    completed(&hierarchy, "PR1", &run, &["PR1", "SE1"]).await;

    // It comes back, and catches up as its part of the run that it missed.
    hierarchy.start("PR2").await;
    let all = [CENTRAL, "PR1", "PR2", "SE1"];
    let later = completed(&hierarchy, CENTRAL, &run, &all).await;
    assert_eq!(later["run"]["state"], "Completed");
    let history = hierarchy.run(&["sync", "history", "--json"]).json();
    assert_eq!(history["runs"][0]["sites"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_site_synchronizes_alone_or_with_those_below_it() {
    let mut hierarchy = two_primaries().await;
    hierarchy.synchronize().await;
    let before = hierarchy.sites().await.unwrap();
    let run_of = |sites: &BTreeMap<String, wire::v1::SiteReport>, code: &str| {
        sites[code].run.as_ref().unwrap().id.clone()
    };

    // Alone: nothing is new, and nobody else is asked.
    let answer = hierarchy.run(&["sync", "start", "--site", "PR1", "--wait", "--json"]);
    let lines = answer.good();
    let started: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(started["asked"], serde_json::json!(["PR1"]));
    let ended: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(ended["outcome"], "completed", "{lines}");
    let alone = started["run"].as_str().unwrap().to_owned();
    let shown = completed(&hierarchy, CENTRAL, &alone, &["PR1"]).await;
    assert_eq!(shown["run"]["site_code"], "PR1");
    assert_eq!(shown["run"]["state"], "Completed");
    hierarchy.message(CENTRAL, 9026, &["PR1 alone"]).await;

    // With the sites below it.
    let answer = hierarchy.run(&["sync", "start", "--site", "PR1", "--subtree", "--wait"]);
    let text = answer.good();
    assert!(text.contains("All 2 sites that were asked"), "{text}");
    let history = hierarchy.run(&["sync", "history", "--json"]).json();
    assert_eq!(history["runs"][0]["subtree"], true, "{history}");
    let both = history["runs"][0]["id"].as_str().unwrap().to_owned();
    completed(&hierarchy, CENTRAL, &both, &["PR1", "SE1"]).await;
    let after = hierarchy.sites().await.unwrap();
    for code in [CENTRAL, "PR2"] {
        assert_eq!(run_of(&after, code), run_of(&before, code), "{code}");
    }
    // The first of the two never came to SE1.
    let at_primary = show(&hierarchy, "PR1", &alone);
    let parts: Vec<String> = states(&at_primary).into_keys().collect();
    assert_eq!(parts, ["PR1"]);

    // Nothing is under way there to be cancelled, and a site that is away cannot be asked.
    let cancelled = hierarchy.run(&["sync", "cancel", "--site", "PR1", "--json"]);
    assert_eq!(cancelled.json()["cancelled"], false);
    hierarchy
        .run(&["sync", "start", "--site", "PR9"])
        .refused("there is no software update point PR9");
    hierarchy.stop("PR2").await;
    until("PR2 is away", LONG, || async {
        let site = hierarchy.site("PR2").await?;
        (!site.connected)
            .then_some(())
            .ok_or("it is not".to_owned())
    })
    .await;
    let refused = hierarchy.run(&["sync", "start", "--site", "PR2", "--wait"]);
    let refused = refused.refused("PR2 is not connected and was heard of last at");
    assert!(refused.contains("catches up by itself"), "{refused}");
    // At a site that is none of the top, as before.
    hierarchy
        .run_at("PR1", &["sync", "start", "--site", "SE1"])
        .refused("is a replica");
}
