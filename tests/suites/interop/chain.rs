//! Two hierarchies in a chain: the second synchronizes from a site of the first, and has chosen less.

use crate::downstream::{SERVES, address, generate, served};
use catalog::document::{self, CategoryType, PublicationState, Update, UpdateType};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId, codec};
use std::collections::{BTreeMap, BTreeSet};
use testkit::hierarchy::CENTRAL;
use testkit::{Database, Hierarchy};
use wire::v1::SiteReport;

const UPDATES: u32 = 400;

/// What a catalog holds: the documents, read.
type Held = BTreeMap<RevisionId, (String, Update)>;

/// What the second hierarchy has chosen.
#[derive(Debug, Clone)]
struct Chosen {
    products: BTreeSet<UpdateId>,
    classifications: BTreeSet<UpdateId>,
}

impl Chosen {
    /// Some of what a catalog offers: every third product that has updates, and every other classification.
    fn of(held: &Held) -> Self {
        let named = |kind: CategoryType| {
            let of_kind = |update: &Update| update.update_type == UpdateType::Category(kind);
            let all = held.values().filter(|(_, update)| of_kind(update));
            let all: BTreeSet<UpdateId> = all.map(|(_, update)| update.id.update_id).collect();
            let software = held
                .values()
                .filter(|(_, update)| !update.is_configuration());
            let used = software.flat_map(|(_, update)| update.category_clauses().flatten());
            let used: BTreeSet<UpdateId> = used.copied().collect();
            all.intersection(&used).copied().collect::<Vec<_>>()
        };
        let products = named(CategoryType::Product);
        let classifications = named(CategoryType::UpdateClassification);
        Self {
            products: products.into_iter().step_by(3).collect(),
            classifications: classifications.into_iter().step_by(2).collect(),
        }
    }

    fn settings(&self) -> String {
        let list = |ids: &BTreeSet<UpdateId>| {
            let quoted: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
            quoted.join(", ")
        };
        format!(
            "[products]\nproducts = [{}]\nclassifications = [{}]\n[approvals]\nrules = {{}}\n",
            list(&self.products),
            list(&self.classifications)
        )
    }

    fn has(&self, update: &Update) -> bool {
        let named = || update.category_clauses().flatten();
        named().any(|id| self.products.contains(id))
            && named().any(|id| self.classifications.contains(id))
    }
}

/// What somebody has who chose, computed from the documents alone: categories and detectoids, what was chosen,
/// and all that this bundles or requires, of each update the newest revision unless a bundle names another.
fn closure(held: &Held, chosen: &Chosen) -> BTreeSet<RevisionId> {
    let mut newest: BTreeMap<UpdateId, RevisionId> = BTreeMap::new();
    for &id in held.keys() {
        newest.insert(id.update_id, id);
    }
    let wanted = newest.values().filter(|id| {
        let (_, update) = &held[*id];
        update.is_configuration() || chosen.has(update)
    });
    let mut open: Vec<RevisionId> = wanted.copied().collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !found.insert(id) {
            continue;
        }
        let (_, update) = &held[&id];
        open.extend(update.bundled_revisions());
        open.extend(update.prerequisite_ids().map(|id| newest[&id]));
    }
    found
}

/// The catalog of a site that does not run.
async fn held(hierarchy: &Hierarchy, site: &str) -> Held {
    let database = Database::open(&hierarchy.data_dir(site)).await;
    let mut held = Held::new();
    for change in database.log().await.into_values() {
        let Ok(ItemKey::Revision(id)) = ItemKey::from_bytes(&change.key) else {
            continue;
        };
        if change.removed {
            continue;
        }
        let text = codec::decompress(&change.document).unwrap();
        let update = document::parse(&text).unwrap();
        RevisionHeader::from_bytes(&change.header).unwrap();
        held.insert(id, (text, update));
    }
    database.close().await;
    held
}

/// What the central site of a hierarchy served to WSUS servers, as its metrics say.
#[derive(Debug, Clone, Copy)]
struct Served {
    /// Requests for documents.
    documents: u64,
    /// Bytes of all answers.
    bytes: u64,
}

impl Served {
    async fn by(hierarchy: &Hierarchy) -> Self {
        let client = reqwest::Client::builder().danger_accept_invalid_certs(true);
        let client = client.no_proxy().build().unwrap();
        let url = format!("{}/metrics", hierarchy.url(CENTRAL));
        let answer = client.get(url).send().await.unwrap();
        let text = answer.error_for_status().unwrap().text().await.unwrap();
        let sum = |name: &str, label: &str| {
            let samples = text
                .lines()
                .filter(|line| line.starts_with(name) && line.contains(label));
            let values = samples.map(|line| line.rsplit_once(' ').unwrap().1);
            values.map(|value| value.parse::<u64>().unwrap()).sum()
        };
        const REQUESTS: &str = "headwater_wsus_server_requests_total{";
        Self {
            documents: sum(REQUESTS, "operation=\"GetUpdateData\""),
            bytes: sum("headwater_wsus_server_sent_bytes_total", ""),
        }
    }
}

impl std::ops::Sub for Served {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            documents: self.documents - before.documents,
            bytes: self.bytes - before.bytes,
        }
    }
}

/// A hierarchy that synchronizes from `url` and has chosen.
async fn second(url: &str, chosen: &Chosen) -> Hierarchy {
    let mut hierarchy = Hierarchy::new();
    let settings = hierarchy.folder().join("chosen.toml");
    std::fs::write(&settings, chosen.settings()).unwrap();
    let settings = settings.display().to_string();
    hierarchy
        .central_with(|mut launch| {
            let first = launch
                .arguments
                .iter()
                .position(|a| a == "--first-settings");
            launch.arguments[first.unwrap() + 1] = settings;
            launch.with("--upstream").with(url)
        })
        .await;
    hierarchy
}

/// The same revisions with the same bytes.
#[track_caller]
fn check(first: &Held, second: &Held, expected: &BTreeSet<RevisionId>) {
    let found: BTreeSet<RevisionId> = second.keys().copied().collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    let beyond: Vec<_> = found.difference(expected).collect();
    assert!(missing.is_empty(), "{} missing: {missing:?}", missing.len());
    assert!(beyond.is_empty(), "{} beyond: {beyond:?}", beyond.len());
    for (id, (text, _)) in second {
        assert!(*text == first[id].0, "{id} differs");
    }
}

/// Waits for the sites of `first` to serve what they have, then synchronizes `second`.
async fn follow(first: &mut Hierarchy, site: &str, second: &Hierarchy) -> SiteReport {
    served(first, site).await;
    second.synchronize().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_hierarchy_holds_what_it_chose_of_the_first_and_follows_it() {
    // What the first will hold is known beforehand, for what is generated follows from the seed.
    let mut rehearsal = crate::downstream::serving(UPDATES).await;
    rehearsal.stop_all().await;
    let before = held(&rehearsal, CENTRAL).await;
    drop(rehearsal);
    let chosen = Chosen::of(&before);
    let expected_first = closure(&before, &chosen);
    assert!(expected_first.len() < before.len(), "something is left out");

    let mut first = Hierarchy::new();
    first.upstream(generate(UPDATES)).await;
    first
        .central_with(|launch| launch.with(SERVES[0]).with(SERVES[1]))
        .await;
    first
        .join_with("PR1", "primary", CENTRAL, |launch| {
            launch.with(SERVES[0]).with(SERVES[1])
        })
        .await;
    first.synchronize().await;

    // One hangs on the central site, the other on a site below it.
    let url = format!("http://{}", address(first.process(CENTRAL)).await);
    let mut at_central = second(&url, &chosen).await;
    let url = format!("http://{}", address(first.process("PR1")).await);
    let mut at_agent = second(&url, &chosen).await;
    let full = follow(&mut first, CENTRAL, &at_central).await;
    let after_full = Served::by(&first).await;
    follow(&mut first, "PR1", &at_agent).await;
    assert!(full.items >= expected_first.len() as u64);

    // New updates, new revisions, withdrawals.
    first.evolve().await;
    first.synchronize().await;
    follow(&mut first, CENTRAL, &at_central).await;
    let after_delta = Served::by(&first).await;
    let delta = follow(&mut first, "PR1", &at_agent).await;
    // Nothing new: nothing changes, and no document is asked for.
    let same = follow(&mut first, "PR1", &at_agent).await;
    assert_eq!(same.verified_position, delta.verified_position);
    follow(&mut first, CENTRAL, &at_central).await;
    let after_same = Served::by(&first).await;
    let (delta, same) = (after_delta - after_full, after_same - after_delta);
    eprintln!("{after_full:?} at first, then {delta:?}, then {same:?}");
    assert!(delta.documents > 0 && delta.documents * 2 <= after_full.documents);
    assert!(delta.bytes * 2 <= after_full.bytes);
    assert_eq!(same.documents, 0);

    for hierarchy in [&mut first, &mut at_central, &mut at_agent] {
        hierarchy.stop_all().await;
    }
    let after = held(&first, CENTRAL).await;
    let mut expected = closure(&after, &chosen);
    assert!(!expected.is_subset(&expected_first), "something came");
    let withdrawn = |id: &&RevisionId| {
        after[*id].1.publication_state == PublicationState::Expired && !before.contains_key(*id)
    };
    assert!(
        expected.iter().any(|id| withdrawn(&id)),
        "something expired"
    );
    expected.extend(&expected_first);
    check(&after, &held(&at_central, CENTRAL).await, &expected);
    check(&after, &held(&at_agent, CENTRAL).await, &expected);
}
