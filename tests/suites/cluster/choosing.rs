//! Products, classifications and the source, as an administrator chooses them: by title, looked at before they
//! are saved, refused with a reason, and never at the cost of what is there.

use crate::documents::generate;
use catalog::document::parse;
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId, codec};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::{Database, Hierarchy};

const KEPT: &str = "The catalog is kept. The next synchronization asks the new source for everything and removes \
                    nothing; full ones after that remove what the new source does not have, if that is little.";
const DISCONNECTED: &str = "The top-level site is disconnected: the catalog is kept, and grows by imported packages \
                            only.";

fn set(hierarchy: &Hierarchy, words: &[&str]) -> testkit::Spoken {
    hierarchy.run(&[&["settings", "set"], words].concat())
}

/// Checks that a change is refused with this sentence, and not with more of them.
#[track_caller]
fn refused(hierarchy: &Hierarchy, assignment: &[&str], sentence: &str) {
    let told = set(hierarchy, assignment).refused(sentence);
    let sentence = format!("error: changing the settings failed: {sentence}");
    assert_eq!(told.trim(), sentence);
}

/// What the central site holds: revisions with their documents.
async fn held(hierarchy: &Hierarchy) -> BTreeMap<RevisionId, String> {
    let database = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    let mut held = BTreeMap::new();
    for change in database.log().await.into_values() {
        if let Ok(ItemKey::Revision(id)) = ItemKey::from_bytes(&change.key)
            && !change.removed
        {
            held.insert(id, codec::decompress(&change.document).unwrap());
        }
    }
    database.close().await;
    held
}

fn updates(held: &BTreeMap<RevisionId, String>) -> BTreeSet<UpdateId> {
    held.keys().map(|id| id.update_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_by_title_comes_as_the_preview_said() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    hierarchy.upstream(generate(300)).await;
    let url = format!("source.url={}", hierarchy.url(UPSTREAM));
    let nothing = [
        "products.everything=false",
        "products.products=",
        "products.classifications=",
    ];
    set(&hierarchy, &nothing).good();

    // The twelve classifications are known before anything was synchronized.
    let listed = hierarchy.run(&["settings", "products", "--json"]).json();
    let listed: Vec<(&str, &str)> = listed["categories"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["kind"].as_str().unwrap(),
                entry["title"].as_str().unwrap(),
            )
        })
        .collect();
    let twelve = [
        "Applications",
        "Critical Updates",
        "Definition Updates",
        "Driver Sets",
        "Drivers",
        "Feature Packs",
        "Security Updates",
        "Service Packs",
        "Tools",
        "Update Rollups",
        "Updates",
        "Upgrades",
    ];
    assert_eq!(listed, twelve.map(|title| ("UpdateClassification", title)));

    let told = set(&hierarchy, &["source.action=upstream-server", &url]).good();
    assert!(told.lines().any(|line| line == KEPT), "{told}");
    hierarchy.run(&["sync", "start", "--wait"]).good();
    let categories = held(&hierarchy).await;

    // A title that is none, and one that two products have.
    refused(
        &hierarchy,
        &["products.products+=Windows 12"],
        "the catalog has no product \"Windows 12\": see headwater settings products",
    );
    refused(
        &hierarchy,
        &["products.products+=Windows Server 2019"],
        "several categories have the title Windows Server 2019: name one by its GUID: \
         6e56e6da-f22f-47c9-97b4-510153a06740 (Microsoft / Developer Tools, Runtimes, and Redistributables / Windows \
         Server 2019), f702a48c-919b-45d6-9aef-ca4248d50397 (Microsoft / Windows / Windows Server 2019)",
    );

    let choice = [
        "products.products+=Windows 11",
        "products.classifications+=Security Updates",
        "--json",
    ];
    let dry_run = [choice.as_slice(), &["--dry-run"]].concat();
    let tried = set(&hierarchy, &dry_run).json();
    let made = set(&hierarchy, &choice).json();
    assert_eq!(tried["dry_run"], true);
    assert_eq!(tried["changes"], made["changes"]);
    assert_eq!(
        tried["version"].as_u64().unwrap() + 1,
        made["version"].as_u64().unwrap()
    );
    let adds = tried["preview"]["adds"].as_u64().unwrap();
    let told = format!(
        "The source has {adds} updates for the new choice that are not here, parts of bundles counted; 0 that are \
         here are no longer kept up to date, bundles counted as one."
    );
    assert!(
        tried["consequences"]
            .as_array()
            .unwrap()
            .contains(&Value::from(told)),
        "{tried}"
    );

    hierarchy.run(&["sync", "start", "--wait"]).good();
    let chosen = held(&hierarchy).await;
    let (before, after) = (updates(&categories), updates(&chosen));
    assert!(before.is_subset(&after));
    let came: BTreeSet<UpdateId> = after.difference(&before).copied().collect();
    assert_eq!(came.len() as u64, adds);
    // As the preview says, what bundles hold is counted with them.
    let parts: BTreeSet<UpdateId> = chosen
        .values()
        .flat_map(|text| parse(text).unwrap().bundled_revisions().collect::<Vec<_>>())
        .map(|id| id.update_id)
        .collect();
    assert!(parts.is_subset(&came) && !parts.is_empty() && parts.len() < came.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_takes_nothing_away() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    hierarchy.upstream(generate(60)).await;
    let url = format!("source.url={}", hierarchy.url(UPSTREAM));
    set(&hierarchy, &["source.action=upstream-server", &url]).good();
    hierarchy.run(&["sync", "start", "--wait"]).good();
    let before = updates(&held(&hierarchy).await);

    let told = set(&hierarchy, &["source.action=do-not-synchronize"]).good();
    assert!(told.lines().any(|line| line == DISCONNECTED), "{told}");
    assert_eq!(updates(&held(&hierarchy).await), before);

    let mut other = Hierarchy::new();
    other.upstream(generate(5)).await;
    let url = format!("source.url={}", other.url(UPSTREAM));
    let told = set(&hierarchy, &["source.action=upstream-server", &url]).good();
    assert!(told.lines().any(|line| line == KEPT), "{told}");
    hierarchy.run(&["sync", "start", "--wait"]).good();
    assert_eq!(updates(&held(&hierarchy).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_cannot_be_is_refused_with_its_reason() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.central().await;
    refused(
        &hierarchy,
        &["proxy.host=proxy.example", "proxy.user=anna"],
        "the setting proxy.allow-basic-authentication: signing in otherwise (NTLM, Negotiate) is not supported, and the password \
         is not sent in the clear unasked: set it to true, or take proxy.user out",
    );
    let shown = || {
        let shown = hierarchy.run(&["settings", "show", "source.reporting-events", "--json"]);
        shown.json()["settings"].clone()
    };
    for events in ["all", "status", "none"] {
        set(&hierarchy, &[&format!("source.reporting-events={events}")]).good();
        assert_eq!(shown(), events);
    }
    refused(
        &hierarchy,
        &["source.reporting-events=some"],
        "the setting source.reporting-events: it takes none, status, all, not some",
    );
    assert_eq!(shown(), "none");

    // All four secrets are told of, and what belongs to one name only is found by it.
    let all = hierarchy.run(&["settings", "show"]).good();
    for secret in settings::reference::SECRETS {
        let told = |text: &str| {
            let words = |line: &str| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            };
            text.lines()
                .any(|line| words(line) == [secret.name, "not", "set"])
        };
        assert!(told(&all), "{all}");
        let one = hierarchy.run(&["settings", "show", secret.name]).good();
        assert!(told(&one), "{one}");
    }

    // The examples of the help work as they stand there, but for that of a site which is not here.
    let help = hierarchy.run(&["settings", "set", "--help"]).good();
    let examples: Vec<String> = help
        .replace("\\\n", "")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("headwater settings set "))
        .filter(|example| !example.contains("SE1"))
        .map(str::to_owned)
        .collect();
    assert_eq!(examples.len(), 7, "{help}");
    for example in examples {
        let words = words(&example);
        let words = words.iter().map(String::as_str);
        let words: Vec<&str> = words.filter(|word| *word != "--dry-run").collect();
        set(&hierarchy, &[&words, ["--dry-run"].as_slice()].concat()).good();
    }
}

/// Words as a shell takes them: apart from each other but in single quotes, until a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut is_quoted) = (Vec::new(), String::new(), false);
    for character in line.chars().chain([' ']) {
        match character {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted && word.is_empty() => {}
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            '#' if !is_quoted && word.is_empty() => return words,
            other => word.push(other),
        }
    }
    words
}
