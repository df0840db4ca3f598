//! Synchronizing what is chosen.

use crate::documents::Documents;
use crate::fixture::{Fixture, choosing, everything};
use catalog::well_known::{
    CRITICAL_UPDATES, FAMILY_OFFICE, FAMILY_WINDOWS, LOCAL_PUBLISHER, MICROSOFT, PRODUCTS,
    SECURITY_UPDATES, UPDATES,
};
use catalog::{RevisionId, UpdateId};
use settings::document::Products;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use testkit::shared_data;
use upstream::generator::{Generator, GeneratorSettings};
use upstream::{ServedCatalog, load};
use wsus::message::{IdAndDelta, RevisionFilter};
use wsus::package::Package;

const SIZE: GeneratorSettings = GeneratorSettings {
    seed: 11,
    updates: 400,
};

fn source() -> ServedCatalog {
    load::generated(SIZE)
}

fn of(products: &[UpdateId], classifications: &[UpdateId]) -> Products {
    Products {
        everything: false,
        products: products.iter().copied().collect(),
        classifications: classifications.iter().copied().collect(),
    }
}

/// A product by its title.
fn product(title: &str) -> UpdateId {
    PRODUCTS.iter().find(|p| p.title == title).unwrap().id
}

async fn held(site: &Fixture) -> BTreeSet<RevisionId> {
    site.held().await.into_keys().collect()
}

fn chosen(documents: &Documents, products: &Products) -> BTreeSet<RevisionId> {
    documents.chosen(&products.products, &products.classifications)
}

fn selected(documents: &Documents, products: &Products) -> BTreeSet<RevisionId> {
    documents.selected(&products.products, &products.classifications)
}

#[track_caller]
fn check(held: &BTreeSet<RevisionId>, expected: &BTreeSet<RevisionId>) {
    let missing: Vec<_> = expected.difference(held).take(5).collect();
    let too_many: Vec<_> = held.difference(expected).take(5).collect();
    assert!(
        held == expected,
        "{} in place of {}: {missing:?} are missing, {too_many:?} are too many",
        held.len(),
        expected.len()
    );
}

/// The categories of a filter that has some.
fn categories(filter: &RevisionFilter) -> &[IdAndDelta] {
    filter.categories.as_deref().unwrap()
}

/// The classifications of a filter that has some.
fn classifications(filter: &RevisionFilter) -> &[IdAndDelta] {
    filter.classifications.as_deref().unwrap()
}

/// The last filter for updates that came to the source.
fn asked(site: &Fixture) -> RevisionFilter {
    site.moods().filters.last().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_comes_with_its_members_and_nothing_else_does() {
    let documents = Documents::of(&source()).await;
    let choices = [
        of(
            &[FAMILY_WINDOWS.id],
            &[SECURITY_UPDATES.id, CRITICAL_UPDATES.id],
        ),
        of(&[product("Windows 11")], &[SECURITY_UPDATES.id]),
        of(&[MICROSOFT.id], &[UPDATES.id]),
        of(
            &[product("Windows 10"), FAMILY_OFFICE.id],
            &[UPDATES.id, SECURITY_UPDATES.id],
        ),
    ];
    for choice in choices {
        let site = choosing(source(), choice.clone()).await;
        site.complete(false).await;
        let expected = chosen(&documents, &choice);
        check(&held(&site).await, &expected);
        let updates = selected(&documents, &choice).len();
        assert!(updates > 0 && documents.configuration().len() + updates < expected.len());
        assert!(expected.len() < documents.0.len(), "some are left out");

        let filter = asked(&site);
        assert!(filter.anchor.is_none());
        assert!(choice.products.len() <= categories(&filter).len());
        assert_eq!(choice.classifications.len(), classifications(&filter).len());
        // Only what was chosen is served: nothing is fetched and thrown away.
        let served = site.moods().served.iter().copied().collect();
        check(&served, &expected);
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_list_empty_the_categories_come_and_no_update_is_asked_for() {
    let documents = Documents::of(&source()).await;
    for choice in [
        of(&[], &[]),
        of(&[MICROSOFT.id], &[]),
        of(&[], &[SECURITY_UPDATES.id]),
    ] {
        let site = choosing(source(), choice).await;
        site.complete(false).await;
        check(&held(&site).await, &documents.configuration());
        assert!(site.moods().filters.is_empty());
        // And what is chosen then comes as it does the first time.
        let later = of(&[FAMILY_OFFICE.id], &[SECURITY_UPDATES.id]);
        site.choose(later.clone());
        site.complete(false).await;
        check(&held(&site).await, &chosen(&documents, &later));
        site.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_in_addition_is_added_and_the_rest_not_asked_for_again() {
    let documents = Documents::of(&source()).await;
    let (windows, office) = (FAMILY_WINDOWS.id, FAMILY_OFFICE.id);
    let site = choosing(source(), of(&[windows], &[SECURITY_UPDATES.id])).await;
    site.complete(false).await;
    let first = held(&site).await;

    let more = of(&[windows, office], &[SECURITY_UPDATES.id]);
    site.choose(more.clone());
    site.moods().served.clear();
    site.complete(false).await;
    let expected = chosen(&documents, &more);
    check(&held(&site).await, &expected);
    assert_eq!(site.moods().served.len(), expected.len() - first.len());
    let filter = asked(&site);
    assert!(filter.anchor.is_some());
    let delta = |id: UpdateId| categories(&filter).iter().find(|entry| entry.id == id);
    assert!(delta(windows).unwrap().delta && !delta(office).unwrap().delta);
    assert!(classifications(&filter)[0].delta);

    // Another classification of all of it, and in the end everything.
    let more = of(&[windows, office], &[SECURITY_UPDATES.id, UPDATES.id]);
    site.choose(more.clone());
    site.complete(false).await;
    check(&held(&site).await, &chosen(&documents, &more));
    site.choose(everything());
    site.complete(false).await;
    let filter = asked(&site);
    assert!(filter.anchor.is_none() && filter.categories.is_none());
    assert!(filter.classifications.is_none());
    check(&held(&site).await, &site.all_ids().await);
    // Nothing is new then.
    site.complete(false).await;
    assert!(asked(&site).anchor.is_some());
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_chosen_stays_and_gets_nothing_new_also_in_a_full_run() {
    let wide = of(&[FAMILY_WINDOWS.id], &[SECURITY_UPDATES.id, UPDATES.id]);
    let narrow = of(&[product("Windows 11")], &[SECURITY_UPDATES.id]);
    let site = choosing(source(), wide.clone()).await;
    site.complete(false).await;
    let before = held(&site).await;

    site.choose(narrow.clone());
    let changes = site
        .source
        .catalog
        .publish_changes(30.0, site.ambient.now());
    assert!(changes.unwrap().added > 10);
    let now = Documents::of(&site.source.catalog).await;
    site.complete(false).await;
    let filter = asked(&site);
    assert!(filter.anchor.is_some() && categories(&filter).iter().all(|entry| entry.delta));
    let mut expected = before.clone();
    expected.extend(chosen(&now, &narrow));
    assert!(expected.len() > before.len() && !expected.is_superset(&chosen(&now, &wide)));
    check(&held(&site).await, &expected);

    let state = site.complete(true).await;
    check(&held(&site).await, &expected);
    assert_eq!(state.run.unwrap().counts.removed, 0);

    // The source withdraws one of each: only of the one that is chosen does its list tell.
    let parents = |choice: &Products| -> Vec<RevisionId> {
        let bundles = selected(&now, choice).into_iter();
        bundles
            .filter(|id| before.contains(id) && !now.0[id].bundles.is_empty())
            .collect()
    };
    let still = parents(&narrow);
    let gone = still[0];
    let kept = parents(&wide).into_iter().find(|id| !still.contains(id));
    let kept = kept.unwrap();
    for withdrawn in [gone, kept] {
        let members = now.0[&withdrawn].bundles.iter();
        let ids = members.map(|id| id.update_id).chain([withdrawn.update_id]);
        site.moods().unlisted.extend(ids);
    }
    site.complete(true).await;
    let after = held(&site).await;
    let of_gone: BTreeSet<UpdateId> = now.0[&gone].bundles.iter().map(|id| id.update_id).collect();
    let left =
        |id: &&RevisionId| id.update_id != gone.update_id && !of_gone.contains(&id.update_id);
    check(&after, &expected.iter().filter(left).copied().collect());
    assert!(after.contains(&kept) && !after.contains(&gone));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_something_kept_requires_is_not_removed() {
    let choice = of(&[FAMILY_WINDOWS.id], &[SECURITY_UPDATES.id]);
    let documents = Documents::of(&source()).await;
    let site = choosing(source(), choice.clone()).await;
    site.complete(false).await;
    let before = held(&site).await;
    let required: BTreeSet<UpdateId> = before
        .iter()
        .flat_map(|id| documents.0[id].requires.iter().copied())
        .collect();
    let detectoids = || documents.0.values().filter(|d| d.kind == "Detectoid");
    let needed = detectoids().find(|d| required.contains(&d.id.update_id));
    let unneeded = detectoids().find(|d| !required.contains(&d.id.update_id));
    let (needed, unneeded) = (needed.unwrap().id, unneeded.unwrap().id);
    site.moods()
        .unlisted
        .extend([needed.update_id, unneeded.update_id]);
    site.complete(true).await;
    let mut expected = before;
    expected.remove(&unneeded);
    check(&held(&site).await, &expected);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_categories_without_any_update_takes_no_update_away() {
    let documents = Documents::of(&source()).await;
    let choice = of(&[product("Windows 11")], &[SECURITY_UPDATES.id]);
    let site = choosing(source(), choice.clone()).await;
    site.complete(false).await;
    let all = chosen(&documents, &choice);
    check(&held(&site).await, &all);
    for id in selected(&documents, &choice) {
        let members = documents.0[&id].bundles.iter().chain([&id]);
        site.moods().unlisted.extend(members.map(|id| id.update_id));
    }
    site.complete(true).await;
    check(&held(&site).await, &all);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_source_that_lists_more_than_was_asked_for_only_what_is_chosen_is_kept() {
    let documents = Documents::of(&source()).await;
    let choice = of(&[FAMILY_WINDOWS.id], &[UPDATES.id]);
    let site = choosing(source(), choice.clone()).await;
    site.moods().lists_everything = true;
    site.complete(false).await;
    check(&held(&site).await, &chosen(&documents, &choice));
    site.complete(true).await;
    check(&held(&site).await, &chosen(&documents, &choice));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_aside_and_is_no_longer_chosen_is_not_tried_again() {
    let documents = Documents::of(&source()).await;
    let office = of(&[FAMILY_OFFICE.id], &[SECURITY_UPDATES.id]);
    let windows = of(&[FAMILY_WINDOWS.id], &[SECURITY_UPDATES.id]);
    let faulty = *selected(&documents, &office).first().unwrap();
    let site = choosing(source(), office.clone()).await;
    site.moods().faulty.insert(faulty);
    site.complete(false).await;
    // Nor are its members kept: nothing bundles them.
    let mut expected = chosen(&documents, &office);
    let members = &documents.0[&faulty].bundles;
    expected.retain(|id| *id != faulty && !members.contains(id));
    check(&held(&site).await, &expected);

    site.moods().faulty.clear();
    site.choose(windows.clone());
    site.complete(true).await;
    expected.extend(chosen(&documents, &windows));
    check(&held(&site).await, &expected);
    let mut read = site.store.read().await.unwrap();
    assert!(read.quarantined(10).await.unwrap().is_empty());
    drop(read);

    site.choose(office.clone());
    site.complete(false).await;
    expected.extend(chosen(&documents, &office));
    check(&held(&site).await, &expected);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_appears_below_a_chosen_family_joins_with_all_of_its_updates() {
    let documents = Documents::of(&source()).await;
    let choice = of(&[FAMILY_WINDOWS.id], &[SECURITY_UPDATES.id]);
    let appearing = product("Windows 10");
    let site = choosing(source(), choice.clone()).await;
    site.moods().unlisted.insert(appearing);
    site.complete(false).await;
    let first = held(&site).await;
    let without = Documents::of(&source()).await.without(appearing);
    check(&first, &chosen(&without, &choice));

    let all = chosen(&documents, &choice);
    let category = documents.0.keys().find(|id| id.update_id == appearing);
    site.moods().unlisted.clear();
    site.moods().appear.push(*category.unwrap());
    site.complete(false).await;
    check(&held(&site).await, &all);
    assert!(all.len() > first.len() + 1);
    let filter = asked(&site);
    assert!(filter.anchor.is_some());
    for entry in categories(&filter) {
        assert_eq!(entry.delta, entry.id != appearing);
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_tells_what_a_changed_choice_would_do_and_changes_nothing() {
    let documents = Documents::of(&source()).await;
    let old = of(&[product("Windows 11")], &[SECURITY_UPDATES.id]);
    let mut new = of(
        &[FAMILY_OFFICE.id, product("Windows 11")],
        &[UPDATES.id, CRITICAL_UPDATES.id],
    );
    new.products.insert(LOCAL_PUBLISHER.id);
    let site = choosing(source(), old.clone()).await;
    site.complete(false).await;
    let before = held(&site).await;
    let asked_before = asked(&site);

    let preview = site.upstream.preview(&new).await.unwrap();
    assert_eq!(preview.categories_unknown, [LOCAL_PUBLISHER.id]);
    let updates = |ids: &BTreeSet<RevisionId>| -> BTreeSet<UpdateId> {
        ids.iter().map(|id| id.update_id).collect()
    };
    let held_updates = updates(&before);
    let adds = updates(&chosen(&documents, &new));
    assert_eq!(preview.adds, adds.difference(&held_updates).count() as u64);
    let (was, is) = (selected(&documents, &old), selected(&documents, &new));
    let left = updates(&was).difference(&updates(&is)).count() as u64;
    assert_eq!(preview.no_longer_kept_up, left);
    assert!(preview.adds > 0 && preview.no_longer_kept_up > 0);

    let nothing = site.upstream.preview(&of(&[], &[])).await.unwrap();
    assert_eq!(
        (nothing.adds, nothing.no_longer_kept_up),
        (0, was.len() as u64)
    );
    let all = site.upstream.preview(&everything()).await.unwrap();
    let missing = documents.0.len() - before.len();
    assert_eq!((all.adds, all.no_longer_kept_up), (missing as u64, 0));

    check(&held(&site).await, &before);
    // The anchor still stands for the choice that was made.
    site.choose(new.clone());
    site.complete(false).await;
    assert!(asked_before.anchor.is_none() && asked(&site).anchor.is_none());
    let mut expected = before;
    expected.extend(chosen(&documents, &new));
    check(&held(&site).await, &expected);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_in_the_genuine_tree_of_categories_selects_as_its_documents_say() {
    let Some(data) = shared_data::folder() else {
        return;
    };
    // The genuine categories and detectoids, and generated updates, which name real products.
    let folder = tempfile::tempdir().unwrap();
    let put = |id: RevisionId, text: &str| {
        let name = format!("{}-{}.xml", id.update_id, id.revision);
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    let package = Package::open(data.join("wsusutil/export-2024-06-19.cab")).unwrap();
    let mut genuine = 0;
    package
        .read(|update, text| {
            genuine += 1;
            put(update.id, &text);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(genuine, 4125);
    let generator = Generator::new(SIZE);
    let updates = generator.recipes();
    for recipe in updates.filter(|recipe| !generator.is_configuration(recipe)) {
        put(generator.id(&recipe), &generator.document(&recipe));
    }
    let source = load::directory(folder.path()).unwrap();
    let documents = Documents::of(&source).await;
    assert_eq!(documents.configuration().len(), genuine);
    let products = documents.0.values();
    let products = products.filter(|d| d.category.as_deref() == Some("Product"));
    assert!(products.count() > 300);

    let family = of(&[FAMILY_WINDOWS.id], &[SECURITY_UPDATES.id, UPDATES.id]);
    let site = choosing(source, family.clone()).await;
    site.complete(false).await;
    check(&held(&site).await, &chosen(&documents, &family));
    assert!(
        categories(&asked(&site)).len() > 50,
        "the family is written out"
    );
    let more = of(
        &[MICROSOFT.id],
        &[SECURITY_UPDATES.id, UPDATES.id, CRITICAL_UPDATES.id],
    );
    site.choose(more.clone());
    site.complete(false).await;
    check(&held(&site).await, &chosen(&documents, &more));
    site.end().await;
}
