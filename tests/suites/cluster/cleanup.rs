//! Superseded updates expire and the catalog is cleaned up at the top: every site follows, also one that was
//! away meanwhile.

use crate::documents::generate;
use catalog::UpdateId;
use catalog::item::{ItemKey, expiry_keys};
use std::collections::{BTreeMap, BTreeSet};
use store::{Location, Store};
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

/// Waits until some sites show what the central site shows, which is not `before`. What that is.
async fn agree(hierarchy: &Hierarchy, codes: &[&str], before: u64) -> u64 {
    until("the sites show the same catalog", LONG, || async {
        let sites = hierarchy.sites().await?;
        let shown = |code: &str| (sites[code].verified_position, sites[code].root.clone());
        let central = shown(CENTRAL);
        let agree = codes.iter().all(|code| shown(code) == central);
        let moved = central.0 > before;
        (agree && moved)
            .then_some(central.0)
            .ok_or_else(|| format!("{sites:?}"))
    })
    .await
}

/// What each task of a clean-up did, by name.
fn done(hierarchy: &Hierarchy, arguments: &[&str]) -> BTreeMap<String, u64> {
    let report = hierarchy.run(arguments).json();
    assert_eq!(report["failure"], serde_json::Value::Null, "{report}");
    let tasks = report["tasks"].as_array().unwrap().iter();
    let task = |task: &serde_json::Value| {
        assert_eq!(task["left"], 0, "{report}");
        let name = task["name"].as_str().unwrap().to_owned();
        (name, task["done"].as_u64().unwrap())
    };
    tasks.map(task).collect()
}

/// The expired updates that a site shows, and its revisions.
async fn held(hierarchy: &Hierarchy, code: &str) -> (BTreeSet<ItemKey>, BTreeSet<(UpdateId, u32)>) {
    let location = Location::Directory(hierarchy.data_dir(code));
    let store = Store::open(&location).await.unwrap();
    let mut read = store.read().await.unwrap();
    let rows = read.applied_records(expiry_keys(), None, 100_000).await;
    let expired = rows.unwrap().into_iter().map(|row| row.key).collect();
    let rows = read.revisions_after(0, 100_000).await.unwrap();
    let revisions = rows.iter().map(|row| (row.id.update_id, row.id.revision));
    (expired, revisions.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_and_what_is_removed_is_so_at_every_site() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(400)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("PR2", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;
    hierarchy.evolve().await;
    hierarchy.synchronize().await;
    let before = agree(&hierarchy, &["PR1", "PR2", "SE1"], 0).await;
    hierarchy.stop("PR2").await;

    // Stricter rules need no synchronization.
    let rules = [
        "settings",
        "set",
        "supersedence.feature-updates=0",
        "supersedence.other-updates=0",
    ];
    let told = hierarchy.run(&rules).good();
    assert!(told.contains("looked at anew"), "{told}");
    hierarchy
        .message(
            CENTRAL,
            9047,
            &["superseded updates were flagged as expired"],
        )
        .await;
    let flagged = agree(&hierarchy, &["PR1", "SE1"], before).await;
    let list = ["update", "list", "--state", "expired-by-supersedence"];
    let list = [&list[..], &["--approval", "any", "--json"]].concat();
    let expired = hierarchy.run(&list).json();
    let expired = expired["updates"].as_array().unwrap().clone();
    let one = expired.first().expect("something is superseded");
    let id = one["update_id"].as_str().unwrap();
    let shown = hierarchy.run(&["update", "show", id]).good();
    let line = format!("by {}", one["expired_by"].as_str().unwrap());
    assert!(
        shown.contains("Expired (superseded)") && shown.contains(&line),
        "{shown}"
    );
    let deployable = expired.iter().find(|one| one["update_type"] == "Software");
    let id = deployable.unwrap()["update_id"].as_str().unwrap();
    let refused = hierarchy.run(&["update", "approve", id, "--for", "install"]);
    assert!(!refused.status.success());
    let why = "was expired by the supersedence rules and cannot be approved for install";
    assert!(refused.output.contains(why), "{}", refused.output);

    // A dry run changes nothing; the clean-up does what it said, once.
    let rules = [
        "settings",
        "set",
        "cleanup.days=0",
        "cleanup.remove-unused-revisions=true",
    ];
    hierarchy.run(&rules).good();
    let flagged = agree(&hierarchy, &["PR1", "SE1"], flagged).await;
    let dry = done(&hierarchy, &["cleanup", "--dry-run", "--json"]);
    assert_eq!(dry, done(&hierarchy, &["cleanup", "--dry-run", "--json"]));
    assert_eq!(
        hierarchy.site(CENTRAL).await.unwrap().verified_position,
        flagged
    );
    assert!(
        dry["decline-expired"] > 0 && dry["remove-unused-revisions"] > 0,
        "{dry:?}"
    );
    assert_eq!(done(&hierarchy, &["cleanup", "--json"]), dry);
    let again = done(&hierarchy, &["cleanup", "--json"]);
    assert!(again.values().all(|done| *done == 0), "{again:?}");
    let report = hierarchy.run(&["cleanup", "report"]).good();
    assert!(report.contains("decline-expired"), "{report}");
    let declined = format!("declined {} expired", dry["decline-expired"]);
    hierarchy.message(CENTRAL, 9045, &[declined.as_str()]).await;
    agree(&hierarchy, &["PR1", "SE1"], flagged).await;

    // Who was away takes the same over.
    hierarchy.start("PR2").await;
    agree(&hierarchy, &["PR1", "PR2", "SE1"], flagged).await;
    hierarchy.stop_all().await;
    let at_the_top = held(&hierarchy, CENTRAL).await;
    assert!(!at_the_top.0.is_empty() && !at_the_top.1.is_empty());
    for code in ["PR1", "PR2", "SE1"] {
        assert_eq!(held(&hierarchy, code).await, at_the_top, "{code}");
    }
}
