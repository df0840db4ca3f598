use super::*;
use crate::generator::GeneratorSettings;
use crate::load;
use catalog::document::{self, Update};
use catalog::well_known as known;
use catalog::{RevisionId, UpdateId};
use std::collections::HashSet;
use wsus::message::IdAndDelta;
use wsus::server::Session;

const START: &str = "2026-03-01T00:00:00Z";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn catalog(updates: u32) -> ServedCatalog {
    load::generated(GeneratorSettings { seed: 4, updates })
}

fn config() -> RevisionFilter {
    RevisionFilter {
        get_config: true,
        ..RevisionFilter::default()
    }
}

fn filter(categories: &[(UpdateId, bool)], classifications: &[(UpdateId, bool)]) -> RevisionFilter {
    let ids = |list: &[(UpdateId, bool)]| -> Vec<IdAndDelta> {
        list.iter()
            .map(|&(id, delta)| IdAndDelta { id, delta })
            .collect()
    };
    RevisionFilter {
        categories: Some(ids(categories)),
        classifications: Some(ids(classifications)),
        ..RevisionFilter::default()
    }
}

fn after(anchor: &str, mut filter: RevisionFilter) -> RevisionFilter {
    filter.anchor = Some(anchor.to_owned());
    filter
}

async fn list(catalog: &ServedCatalog, filter: RevisionFilter) -> RevisionList {
    catalog
        .revisions(&Session::newest(uuid::Uuid::nil()), &filter, at(START))
        .await
        .unwrap()
}

async fn documents(catalog: &ServedCatalog, ids: &[RevisionId]) -> Vec<Update> {
    let stored = catalog.updates(ids).await.unwrap();
    let texts = stored
        .into_iter()
        .map(|update| update.expect("listed revisions are held"));
    texts
        .map(|update| document::parse(&update.document).unwrap())
        .collect()
}

#[tokio::test]
async fn the_two_halves_of_a_synchronization_are_the_whole_catalog() {
    let catalog = catalog(500);
    let conditions = list(&catalog, config()).await.revisions;
    let updates = list(&catalog, RevisionFilter::default()).await.revisions;
    assert_eq!(updates.len(), 500);
    assert_eq!(conditions.len() + updates.len(), catalog.len());
    assert!(
        documents(&catalog, &conditions)
            .await
            .iter()
            .all(Update::is_configuration)
    );
    assert!(
        !documents(&catalog, &updates)
            .await
            .iter()
            .any(Update::is_configuration)
    );
}

#[tokio::test]
async fn both_lists_select_and_bring_all_members_along() {
    let catalog = catalog(2000);
    let windows = known::FAMILY_WINDOWS.id;
    let chosen = filter(&[(windows, false)], &[(known::SECURITY_UPDATES.id, false)]);
    let listed = list(&catalog, chosen).await.revisions;
    let updates = documents(&catalog, &listed).await;
    assert!(listed.len() > 100 && listed.len() < 2000);
    let held: HashSet<RevisionId> = listed.iter().copied().collect();
    assert_eq!(held.len(), listed.len());
    let mut met = HashSet::new();
    for update in &updates {
        assert!(
            update.bundled_revisions().all(|id| met.contains(&id)),
            "members come first"
        );
        met.insert(update.id);
    }
    let parents = updates.iter().filter(|update| update.explicitly_deployable);
    for parent in parents {
        let categories: Vec<UpdateId> = parent.category_clauses().flatten().copied().collect();
        assert!(
            categories.contains(&known::SECURITY_UPDATES.id),
            "{categories:?}"
        );
    }
}

#[tokio::test]
async fn one_list_alone_selects_nothing() {
    let catalog = catalog(200);
    let security = [(known::SECURITY_UPDATES.id, false)];
    assert!(
        list(&catalog, filter(&[], &security))
            .await
            .revisions
            .is_empty()
    );
    let windows = [(known::FAMILY_WINDOWS.id, false)];
    assert!(
        list(&catalog, filter(&windows, &[]))
            .await
            .revisions
            .is_empty()
    );
}

#[tokio::test]
async fn an_anchor_delivers_what_changed_after_it_and_nothing_else() {
    let catalog = catalog(3000);
    let first = list(&catalog, RevisionFilter::default()).await;
    let again = list(&catalog, after(&first.anchor, RevisionFilter::default())).await;
    assert!(again.revisions.is_empty());

    // The clock stands still, and yet the change comes after the list that was handed out.
    let published = catalog.publish_changes(1.0, at(START)).unwrap();
    assert!(published.at > at(START));
    let delta = list(&catalog, after(&again.anchor, RevisionFilter::default())).await;
    let changed = documents(&catalog, &delta.revisions).await;
    let known: HashSet<RevisionId> = first.revisions.iter().copied().collect();
    let new = changed
        .iter()
        .filter(|update| !known.contains(&update.id))
        .count();
    assert_eq!(new, published.added + published.revised + published.expired);
    // What is not new are members of bundles whose parents were revised.
    let parents: HashSet<RevisionId> = changed.iter().flat_map(Update::bundled_revisions).collect();
    assert!(
        changed
            .iter()
            .all(|update| !known.contains(&update.id) || parents.contains(&update.id))
    );
    let conditions = list(&catalog, after(&first.anchor, config())).await;
    assert!(conditions.revisions.is_empty());

    let last = list(&catalog, after(&delta.anchor, RevisionFilter::default())).await;
    assert!(last.revisions.is_empty());
}

#[tokio::test]
async fn only_the_newest_revision_is_listed_and_older_ones_are_still_delivered() {
    let catalog = catalog(400);
    let before = list(&catalog, RevisionFilter::default()).await.revisions;
    for _ in 0..5 {
        catalog.publish_changes(5.0, at(START)).unwrap();
    }
    let now = list(&catalog, RevisionFilter::default()).await.revisions;
    let updates: HashSet<UpdateId> = now.iter().map(|id| id.update_id).collect();
    assert_eq!(updates.len(), now.len());
    let still_listed: HashSet<RevisionId> = now.into_iter().collect();
    let replaced: Vec<RevisionId> = before
        .into_iter()
        .filter(|id| !still_listed.contains(id))
        .collect();
    assert!(!replaced.is_empty());
    assert_eq!(documents(&catalog, &replaced).await.len(), replaced.len());
}

#[tokio::test]
async fn an_id_without_delta_brings_everything_whatever_the_anchor() {
    let catalog = catalog(1000);
    let product = known::PRODUCTS[0].id;
    let classification = known::SECURITY_UPDATES.id;
    let all = list(
        &catalog,
        filter(&[(product, false)], &[(classification, false)]),
    )
    .await;
    assert!(!all.revisions.is_empty());
    let delta = filter(&[(product, true)], &[(classification, true)]);
    assert!(
        list(&catalog, after(&all.anchor, delta))
            .await
            .revisions
            .is_empty()
    );
    let added = filter(&[(product, false)], &[(classification, true)]);
    let added = list(&catalog, after(&all.anchor, added)).await;
    assert_eq!(added.revisions, all.revisions);
}

#[tokio::test]
async fn a_foreign_anchor_is_refused_and_a_future_one_brings_nothing() {
    let catalog = catalog(50);
    let foreign = after("yesterday", RevisionFilter::default());
    let refused = catalog
        .revisions(&Session::newest(uuid::Uuid::nil()), &foreign, at(START))
        .await;
    assert!(matches!(
        refused,
        Err(SourceError::InvalidParameter("filter"))
    ));
    let future = after("1,2999-01-01 00:00:00.000", RevisionFilter::default());
    assert!(list(&catalog, future).await.revisions.is_empty());
}

#[tokio::test]
async fn files_come_with_their_digests_and_addresses() {
    let catalog = catalog(300);
    let ids = list(&catalog, RevisionFilter::default()).await.revisions;
    let stored = catalog.updates(&ids).await.unwrap();
    let mut files = 0;
    for update in stored.into_iter().flatten() {
        for digest in &update.file_digests {
            let url = update.file_urls.iter().find(|url| url.digest == digest);
            let address = url
                .and_then(|url| url.mu_url.as_deref())
                .expect("every file has one");
            assert!(
                address.starts_with("http://download.windowsupdate.com/"),
                "{address}"
            );
            files += 1;
        }
    }
    assert!(files > 150);
}

#[tokio::test]
async fn a_revision_that_is_not_held_is_none() {
    let catalog = catalog(10);
    let stranger = RevisionId::new(UpdateId::from_u128(1), 1);
    assert_eq!(catalog.updates(&[stranger]).await.unwrap(), [None]);
}

#[test]
fn the_identity_follows_from_the_catalog() {
    assert_eq!(catalog(20).identity(), catalog(20).identity());
    assert_ne!(catalog(20).identity(), catalog(21).identity());
}

#[tokio::test]
async fn languages_come_once() {
    let catalog = catalog(1);
    let first = catalog.config(None, at(START)).await.unwrap();
    assert_eq!(first.languages.len(), 39);
    let anchor = Some(first.new_config_anchor.as_str());
    assert!(
        catalog
            .config(anchor, at(START))
            .await
            .unwrap()
            .languages
            .is_empty()
    );
}
