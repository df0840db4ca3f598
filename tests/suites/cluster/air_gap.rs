//! Packages between hierarchies that no network connects, and the genuine export, by the verbs that people type.

use crate::documents::generate;
use catalog::RevisionId;
use catalog::item::{ItemKey, item_digest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use store::{Location, Store};
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, shared_data, until};

/// The revisions that a site shows, with the digest of each.
pub async fn revisions(hierarchy: &Hierarchy, code: &str) -> BTreeMap<RevisionId, [u8; 32]> {
    let location = Location::Directory(hierarchy.data_dir(code));
    let store = Store::open(&location).await.unwrap();
    let mut read = store.read().await.unwrap();
    let (verified, mut after) = (read.positions().verified, 0);
    let mut found = BTreeMap::new();
    loop {
        let slice = read
            .changes_after(after, verified, 1000, 32 << 20)
            .await
            .unwrap();
        if slice.changes.is_empty() {
            return found;
        }
        after = slice.through;
        for change in slice.changes.iter().filter(|change| !change.removed) {
            if let Some(id) = ItemKey::from_bytes(&change.key).unwrap().revision() {
                let digest = item_digest(&change.key, &change.header, &change.document);
                found.insert(id, digest);
            }
        }
    }
}

/// Waits until a central site says that it shows what the package made of its catalog, and the sites below it show the
/// same.
async fn fan_out(hierarchy: &Hierarchy, codes: &[&str], imported: &Value) {
    let position = imported["position"].as_u64().unwrap();
    until("the sites show the same catalog", LONG, || async {
        let sites = hierarchy.sites().await?;
        let shown = |code: &str| (sites[code].verified_position, sites[code].root.clone());
        let agree = codes.iter().all(|code| shown(code) == shown(CENTRAL));
        let all = sites[CENTRAL].verified_position >= position;
        (agree && all)
            .then_some(())
            .ok_or_else(|| format!("{sites:?}"))
    })
    .await;
}

pub fn export(hierarchy: &Hierarchy, file: &Path, more: &[&str]) -> Value {
    let file = file.display().to_string();
    hierarchy
        .run(&[&["export", &file, "--json"], more].concat())
        .json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disconnected_hierarchy_lives_from_packages() {
    let mut a = Hierarchy::new();
    a.upstream(generate(150)).await;
    a.central().await;
    a.synchronize().await;
    let folder = a.folder().to_owned();
    let path = |name: &str| folder.join(name);
    let text = |name: &str| path(name).display().to_string();
    let full = export(&a, &path("full.hwpkg"), &["--approvals", "--settings"]);
    a.run(&["export", &text("full.hwpkg")])
        .refused("exists already");

    let mut b = Hierarchy::new();
    b.central().await;
    b.join("PR1", "primary", CENTRAL).await;
    b.join("SE1", "secondary", "PR1").await;
    let full_name = text("full.hwpkg");
    b.run(&["import", &full_name])
        .refused("took no package before");
    b.run_at("PR1", &["import", &full_name, "--trust"])
        .refused("run this there");
    let key = full["key"].as_str().unwrap();
    let log = text("import.log");
    let dry = b.run(&[
        "import",
        &full_name,
        &log,
        "--key",
        key,
        "--dry-run",
        "--json",
    ]);
    let dry = dry.json();
    assert_eq!(
        (dry["added"].as_u64() > Some(150), dry["run"].is_null()),
        (true, true),
        "{dry}"
    );
    assert!(
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("Nothing was changed")
    );
    let report = b.run(&[
        "import",
        &full_name,
        "--key",
        key,
        "--approvals",
        "--settings",
        "--json",
    ]);
    fan_out(&b, &["PR1", "SE1"], &report.json()).await;
    let history = b.run(&["sync", "history", "--json"]).json();
    let runs = history["runs"].as_array().unwrap();
    assert!(
        runs.iter().any(|run| run["source"] == "package"),
        "{history}"
    );
    b.message(CENTRAL, 9020, &["full.hwpkg", "was imported"])
        .await;

    // What changed.
    a.evolve().await;
    a.synchronize().await;
    export(&a, &path("one.hwpkg"), &["--since", "last"]);
    let report = b.run(&["import", &text("one.hwpkg"), "--json"]).json();
    fan_out(&b, &["PR1", "SE1"], &report).await;

    // One that was altered, one of the wrong order, one of another hierarchy: refused by name, and the next that is
    // good is taken.
    a.evolve().await;
    a.synchronize().await;
    export(&a, &path("two.hwpkg"), &["--since", "last"]);
    a.evolve().await;
    a.synchronize().await;
    export(&a, &path("three.hwpkg"), &["--since", "last"]);
    let position = b.site(CENTRAL).await.unwrap().verified_position;
    b.run(&["import", &text("three.hwpkg")])
        .refused("of the wrong order");
    let mut altered = std::fs::read(path("two.hwpkg")).unwrap();
    let middle = altered.len() / 3;
    altered[middle] ^= 1;
    std::fs::write(path("altered.hwpkg"), &altered).unwrap();
    b.run(&["import", &text("altered.hwpkg")])
        .refused("altered");
    std::fs::write(path("cut.hwpkg"), &altered[..middle]).unwrap();
    b.run(&["import", &text("cut.hwpkg")]).refused("cut off");
    b.run(&["import", &text("full.hwpkg")])
        .refused("older than what is here");
    let mut c = Hierarchy::new();
    c.upstream(generate(5)).await;
    c.central().await;
    c.synchronize().await;
    export(&c, &path("other.hwpkg"), &[]);
    b.run(&["import", &text("other.hwpkg"), "--trust"])
        .refused("of another hierarchy");
    b.message(CENTRAL, 9021, &["other.hwpkg", "another hierarchy"])
        .await;
    let after = b.site(CENTRAL).await.unwrap().verified_position;
    assert_eq!(after, position);
    let told = b.run(&["import", &text("two.hwpkg")]);
    let begins = "Imported: what changed after position";
    assert!(told.good().starts_with(begins));
    let report = b.run(&["import", &text("three.hwpkg"), "--json"]).json();
    fan_out(&b, &["PR1", "SE1"], &report).await;
    let spool = b.data_dir(CENTRAL).join("packages");
    // What only has to be allowed waits for that: the package of the other hierarchy.
    assert!(std::fs::read_dir(spool).unwrap().count() <= 1);
    for hierarchy in [&mut a, &mut b, &mut c] {
        hierarchy.stop_all().await;
    }
    let expected = revisions(&a, CENTRAL).await;
    for code in [CENTRAL, "PR1", "SE1"] {
        assert!(revisions(&b, code).await == expected, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_genuine_export_goes_through_two_hierarchies() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    let genuine = data.join("wsusutil/export-2024-06-19.cab");
    let genuine = genuine.display().to_string();
    let (mut a, mut b) = (Hierarchy::new(), Hierarchy::new());
    a.central().await;
    b.central().await;
    a.run(&["import", &genuine]).refused("--trust");
    let report = a.run(&["import", &genuine, "--trust", "--json"]).json();
    assert_eq!(report["revisions"], 4125, "{report}");
    let again = a.folder().join("again.cab");
    let exported = export(&a, &again, &[]);
    assert_eq!(exported["revisions"], 4125, "{exported}");
    let again = again.display().to_string();
    b.run(&["import", &again, "--trust"]).good();
    // All of it is here: nothing is new.
    let report = b.run(&["import", &genuine, "--trust", "--json"]).json();
    assert_eq!(
        (&report["held"], &report["added"]),
        (&4125.into(), &0.into()),
        "{report}"
    );
    a.stop_all().await;
    b.stop_all().await;
    let (ours, theirs) = (revisions(&a, CENTRAL).await, revisions(&b, CENTRAL).await);
    assert_eq!(ours.len(), 4125);
    assert!(ours == theirs);
}
