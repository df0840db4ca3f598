//! A catalog that differs from its parent's is compared, and only what differs is taken over.

use super::support::*;
use catalog::item::ItemKey;
use std::collections::BTreeMap;
use store::compare::Difference;
use store::{Error, Mismatch, Store};
use trust::SignedStatement;
use uuid::Uuid;

const END: u64 = u64::MAX >> 1;

/// Names what differs and gathers it, as the link does with a parent in another process; fetches at most
/// `most` items.
async fn gather(
    parent: &Store,
    child: &Store,
    signed: &SignedStatement,
    most: u32,
) -> (store::compare::Survey, Vec<(ItemKey, Difference)>, usize) {
    let mut survey = child.read().await.unwrap().survey(true).await.unwrap();
    let tree = parent.read().await.unwrap().tree().await.unwrap();
    let mut tree = catalog::merkle::Tree::clone(&tree);
    let root = tree.root();
    assert_eq!(root, signed.claimed().root);
    let buckets: Vec<u16> = survey
        .tree
        .differing_nodes(tree.nodes())
        .into_iter()
        .flat_map(|node| survey.tree.differing_buckets(&tree, node))
        .collect();
    let lists = {
        let mut read = parent.read().await.unwrap();
        read.list_buckets(&buckets).await.unwrap()
    };
    let mut tx = child.begin().await.unwrap();
    tx.begin_comparison(&root).await.unwrap();
    let differences = tx.note_listed(&lists, &survey.damaged).await.unwrap();
    tx.commit().await.unwrap();
    let wanted = {
        let mut read = child.read().await.unwrap();
        let wanted = read.unfetched(u32::MAX).await.unwrap();
        assert_eq!(read.count_unfetched().await.unwrap(), wanted.len() as u64);
        read.unfetched(most).await.unwrap()
    };
    let fetched = {
        let mut read = parent.read().await.unwrap();
        read.items_of(&wanted, u64::MAX).await.unwrap()
    };
    let count = fetched.len();
    let mut tx = child.begin().await.unwrap();
    tx.store_fetched(fetched).await.unwrap();
    tx.commit().await.unwrap();
    (survey, differences, count)
}

/// Compares to the end: how the child differed, and how many items were fetched.
async fn compare(
    parent: &Store,
    child: &Store,
    signed: &SignedStatement,
) -> (Vec<(ItemKey, Difference)>, usize) {
    let (survey, differences, fetched) = gather(parent, child, signed, u32::MAX).await;
    adopt(child, survey, signed).await.unwrap();
    assert_eq!(shown(child).await, shown(parent).await);
    let positions = child.positions();
    let stated = signed.claimed();
    assert_eq!(positions.epoch, stated.epoch);
    places(stated.position, stated.position, positions);
    assert_eq!(child.recompute_root().await.unwrap(), stated.root);
    let again = child.read().await.unwrap().survey(true).await.unwrap();
    assert_eq!((again.rows, again.damaged.len()), (stated.items, 0));
    let mut read = child.read().await.unwrap();
    assert_eq!(read.floor().await.unwrap(), stated.position);
    let tree = read.tree().await.unwrap();
    assert_eq!(catalog::merkle::Tree::clone(&tree).root(), stated.root);
    (differences, fetched)
}

async fn adopt(
    child: &Store,
    survey: store::compare::Survey,
    signed: &SignedStatement,
) -> Result<(), Error> {
    let mut tx = child.begin().await.unwrap();
    tx.adopt(survey, signed.claimed(), &signed.to_bytes())
        .await?;
    tx.commit().await
}

/// What a store shows, without the places.
async fn shown(store: &Store) -> BTreeMap<catalog::RevisionId, (Vec<u8>, Vec<u8>)> {
    let view = view(store).await.into_iter();
    view.map(|(id, (_, header, document))| (id, (header, document)))
        .collect()
}

/// A parent with `count` items, and a copy of it.
async fn pair(place: &Place, count: u128) -> (Store, Database, Store, SignedStatement) {
    let parent = place.store().await;
    start_epoch(&parent, EPOCH).await;
    append(&parent, items(1..count + 1, "a")).await;
    let signed = publish(&parent, 1).await;
    let database = place.database().await;
    let child = database.open().await;
    start_epoch(&child, EPOCH).await;
    pull(&parent, &child, END, 100).await;
    accept(&child, &signed).await.unwrap();
    (parent, database, child, signed)
}

/// What is done below the software, what it comes to, and how many items are fetched for it.
const DAMAGE: [(&str, &[Difference], usize); 16] = [
    (
        "delete from item where position = 7",
        &[Difference::Missing],
        1,
    ),
    (
        "update item set document = x'00' where position = 7",
        &[Difference::Altered],
        1,
    ),
    (
        "update item set header = null where position = 7",
        &[Difference::Altered],
        1,
    ),
    (
        "update item set digest = x'0000000000000000000000000000000000000000000000000000000000000000' \
         where position = 7",
        &[Difference::Altered],
        1,
    ),
    (
        "delete from item where position = 8; \
         insert into item (position, bucket, key, digest, header, document) \
         select 8, bucket, key, digest, header, document from item where position = 7",
        &[Difference::Missing, Difference::Doubled],
        1,
    ),
    (
        "insert into item (position, bucket, key, digest, header, document) \
         select -1, bucket, key, digest, header, document from item where position = 7",
        &[Difference::Doubled],
        0,
    ),
    (
        "update item set key = x'01000000000000000000000000000000ff00000001' where position = 7",
        &[Difference::Missing, Difference::Surplus],
        1,
    ),
    (
        "update item set bucket = case when bucket = 5 then 6 else 5 end where position = 7",
        &[Difference::Missing, Difference::Surplus],
        1,
    ),
    (
        "update item set position = 4000 where position = 7",
        &[Difference::Missing],
        1,
    ),
    (
        "update item set superseded_by = 9 where position = 7",
        &[Difference::Missing],
        1,
    ),
    (
        "update item set bucket = (bucket + 1) % 65536 where position = 7",
        &[Difference::Missing, Difference::Surplus],
        1,
    ),
    (
        "update item set bucket = -4 where position = 7",
        &[Difference::Missing],
        1,
    ),
    (
        "update item set digest = x'0102' where position = 7",
        &[Difference::Altered],
        1,
    ),
    (
        "insert into item (position, bucket, key, digest, header, document, superseded_by) \
         select -2, bucket, key, digest, header, document, 3 from item where position = 7",
        &[],
        0,
    ),
    ("delete from site_state where name = 'items'", &[], 0),
    (
        "delete from merkle_node; delete from item where position > 30",
        &[Difference::Missing; 9],
        9,
    ),
];

pub async fn whatever_was_done_to_rows_is_named_and_repaired(place: &Place) {
    for (damage, expected, fetched) in DAMAGE {
        eprintln!("{damage}");
        let (parent, database, child, signed) = pair(place, 39).await;
        database.sql(damage).await;
        let (mut differences, count) = compare(&parent, &child, &signed).await;
        differences.sort_by_key(|(_, difference)| *difference);
        let kinds: Vec<Difference> = differences.into_iter().map(|(_, kind)| kind).collect();
        assert_eq!((&kinds[..], count), (expected, fetched), "{damage}");
        // And it goes on from there.
        append(&parent, items(30..50, "b")).await;
        let signed = publish(&parent, 2).await;
        pull(&parent, &child, END, 100).await;
        accept(&child, &signed).await.unwrap();
        assert_eq!(shown(&child).await, shown(&parent).await, "{damage}");
    }
}

pub async fn nothing_is_fetched_where_nothing_differs(place: &Place) {
    let (parent, _, child, signed) = pair(place, 200).await;
    let before = view(&child).await;
    let (differences, fetched) = compare(&parent, &child, &signed).await;
    assert_eq!((differences.len(), fetched), (0, 0));
    assert_eq!(view(&child).await, before);
}

/// A top-level site that was restored knows less than its children; then the same and other changes come.
pub async fn a_restored_parent_is_followed_and_only_differences_move(place: &Place) {
    let (parent, _, child, _) = pair(place, 100).await;
    let ahead = place.store().await;
    start_epoch(&ahead, EPOCH).await;
    append(&ahead, items(1..101, "a")).await;
    append(&ahead, items(91..131, "b")).await;
    remove(&ahead, &[key(3), key(4)]).await;
    let signed = publish(&ahead, 2).await;
    pull(&ahead, &child, END, 100).await;
    accept(&child, &signed).await.unwrap();

    let mut tx = parent.begin().await.unwrap();
    tx.append(items(500..510, "lost"), time(2)).await.unwrap();
    tx.commit().await.unwrap();
    let epoch = Uuid::from_u128(0xEA);
    let mut tx = parent.begin().await.unwrap();
    tx.continue_in_epoch(epoch, time(3)).await.unwrap();
    tx.commit().await.unwrap();
    places(100, 100, parent.positions());
    append(&parent, items(111..141, "b")).await;
    let signed = publish(&parent, 3).await;

    let before = view(&child).await;
    let (survey, _, fetched) = gather(&parent, &child, &signed, u32::MAX).await;
    assert_eq!(
        view(&child).await,
        before,
        "nothing is shown before all is there"
    );
    // 91 to 100 as they were, 131 to 140, and the two that had been removed.
    assert_eq!(fetched, 10 + 10 + 2);
    adopt(&child, survey, &signed).await.unwrap();
    assert_eq!(shown(&child).await, shown(&parent).await);
    assert_eq!(child.positions().epoch, epoch);

    // A site below follows it, and so does a new one.
    let new = place.store().await;
    start_epoch(&new, epoch).await;
    pull(&child, &new, END, 100).await;
    accept(&new, &signed).await.unwrap();
    assert_eq!(shown(&new).await, shown(&parent).await);
}

/// The same items at other places: every place is taken by something else.
pub async fn a_replaced_parent_is_followed_whatever_its_places(place: &Place) {
    let (_, _, child, _) = pair(place, 300).await;
    let parent = place.store().await;
    let epoch = Uuid::from_u128(0xEB);
    start_epoch(&parent, epoch).await;
    let mut backwards = items(101..301, "a");
    backwards.reverse();
    append(&parent, backwards).await;
    append(&parent, items(290..320, "b")).await;
    let signed = publish(&parent, 5).await;
    let (_, fetched) = compare(&parent, &child, &signed).await;
    assert_eq!(fetched, 30);
    let new = place.store().await;
    start_epoch(&new, epoch).await;
    pull(&child, &new, END, 7).await;
    accept(&new, &signed).await.unwrap();
    assert_eq!(shown(&new).await, shown(&parent).await);
}

pub async fn what_was_fetched_is_not_fetched_again(place: &Place) {
    let (parent, database, child, signed) = pair(place, 60).await;
    database.sql("delete from item where position > 20").await;
    let (_, _, fetched) = gather(&parent, &child, &signed, 15).await;
    assert_eq!(fetched, 15);
    child.close().await;
    let child = database.open().await;
    let (_, _, fetched) = gather(&parent, &child, &signed, 10).await;
    assert_eq!(fetched, 10);
    // The parent goes on meanwhile.
    append(&parent, items(100..105, "b")).await;
    let signed = publish(&parent, 2).await;
    let (_, fetched) = compare(&parent, &child, &signed).await;
    assert_eq!(fetched, 40 - 25 + 5);
}

pub async fn what_was_not_listed_is_not_taken(place: &Place) {
    let (parent, database, child, signed) = pair(place, 60).await;
    database.sql("delete from item where position = 20").await;
    let wanted = {
        let mut read = parent.read().await.unwrap();
        read.items_of(&[key(20), key(21)], u64::MAX).await.unwrap()
    };
    let (survey, _, _) = gather(&parent, &child, &signed, 0).await;
    let mut altered = wanted[0].clone();
    altered.document.push(0);
    let mut tx = child.begin().await.unwrap();
    tx.store_fetched(vec![wanted[0].clone()]).await.unwrap();
    let twice = tx.store_fetched(vec![wanted[0].clone()]).await.unwrap_err();
    assert!(matches!(twice, Error::Malformed { .. }), "{twice}");
    drop(tx);
    let mut removed = wanted[0].clone();
    removed.removed = true;
    for item in [altered, removed, wanted[1].clone()] {
        let mut tx = child.begin().await.unwrap();
        let refused = tx.store_fetched(vec![item]).await.unwrap_err();
        assert!(matches!(refused, Error::Malformed { .. }), "{refused}");
    }
    // And nothing is adopted before all of it is there.
    let refused = adopt(&child, survey, &signed).await.unwrap_err();
    assert!(
        matches!(refused, Error::Mismatch(Mismatch::Items { .. })),
        "{refused}"
    );
    let (_, fetched) = compare(&parent, &child, &signed).await;
    assert_eq!(fetched, 1);
}

pub async fn only_the_signed_catalog_is_adopted(place: &Place) {
    let (parent, database, child, signed) = pair(place, 60).await;
    let stated = signed.claimed().clone();
    database
        .sql("update item set document = x'01' where position = 20")
        .await;
    let other = |root, items, position| state(EPOCH, position, items, root, 9);
    let (_, _, _) = gather(&parent, &child, &signed, u32::MAX).await;
    for wrong in [
        other([7; 32], stated.items, stated.position + 1),
        other(stated.root, stated.items + 1, stated.position + 1),
        other(stated.root, u64::MAX, stated.position + 1),
        other(stated.root, stated.items, u64::MAX),
        other(stated.root, stated.items, stated.position - 1),
    ] {
        let survey = child.read().await.unwrap().survey(true).await.unwrap();
        let refused = adopt(&child, survey, &wrong).await.unwrap_err();
        assert!(
            matches!(refused, Error::Mismatch(_) | Error::Older { .. }),
            "{refused}"
        );
        places(60, 60, child.positions());
    }
    compare(&parent, &child, &signed).await;
}

/// A site that was away while its parent forgot removals.
pub async fn a_site_that_was_away_for_too_long_loses_what_was_removed(place: &Place) {
    let (parent, _, child, _) = pair(place, 60).await;
    remove(&parent, &[key(5), key(6)]).await;
    append(&parent, items(70..80, "c")).await;
    let signed = publish(&parent, 2).await;
    let mut tx = parent.begin().await.unwrap();
    assert_eq!(tx.forget_removals(time(100)).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let (differences, fetched) = compare(&parent, &child, &signed).await;
    assert_eq!((differences.len(), fetched), (12, 10));
}

/// At the top nobody can be asked: what is damaged goes, and comes from the source again.
pub async fn a_top_level_site_drops_what_is_damaged(place: &Place) {
    let (_, database, site, signed) = pair(place, 60).await;
    database
        .sql(
            "update item set document = x'00' where position = 7; \
             delete from item where position = 8; \
             insert into item (position, bucket, key, digest, header, document) \
             select -1, bucket, key, digest, header, document from item where position = 9",
        )
        .await;
    let survey = site.read().await.unwrap().survey(true).await.unwrap();
    // A run was interrupted before: some is applied and not verified.
    append(&site, items(100..103, "a")).await;
    append(&site, items(11..13, "c")).await;
    let mut tx = site.begin().await.unwrap();
    assert_eq!(tx.drop_damaged(&survey.damaged).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let appended = append(&site, items(1..11, "a")).await;
    assert_eq!((appended.added, appended.unchanged), (2, 8));
    let again = publish(&site, 3).await;
    assert_eq!(again.claimed().items, 63);
    let fresh = place.store().await;
    start_epoch(&fresh, EPOCH).await;
    pull(&site, &fresh, END, 7).await;
    accept(&fresh, &again).await.unwrap();
    assert_ne!(again.claimed().root, signed.claimed().root);
}

/// A row that was lost and came again is not counted twice.
pub async fn what_is_signed_is_counted(place: &Place) {
    let (_, database, site, _) = pair(place, 60).await;
    database
        .sql("delete from item where position in (8, 9)")
        .await;
    append(&site, items(1..61, "a")).await;
    // One is gone, and others come: what is signed can be pulled.
    database.sql("delete from item where position = 12").await;
    append(&site, items(9..10, "d")).await;
    let mut tx = site.begin().await.unwrap();
    let summary = tx.summarize_to_sign().await.unwrap();
    assert_eq!((summary.items, summary.position), (59, 63));
    let signed = state(EPOCH, summary.position, summary.items, summary.root, 5);
    tx.publish(summary, &signed.to_bytes()).await.unwrap();
    tx.commit().await.unwrap();
    let fresh = place.store().await;
    start_epoch(&fresh, EPOCH).await;
    pull(&site, &fresh, END, 7).await;
    accept(&fresh, &signed).await.unwrap();
    // Rows that are lost and do not come again take a position of their own.
    database.sql("delete from item where position = 30").await;
    let survey = site.read().await.unwrap().survey(true).await.unwrap();
    let mut tx = site.begin().await.unwrap();
    tx.drop_damaged(&survey.damaged).await.unwrap();
    let summary = tx.summarize_to_sign().await.unwrap();
    assert_eq!((summary.items, summary.position), (58, 64));
}
