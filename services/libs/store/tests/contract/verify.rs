//! A catalog is shown only if it is the one that was signed.

use super::support::*;
use store::{Error, Mismatch};
use trust::Statement;
use uuid::Uuid;

const END: u64 = u64::MAX >> 1;

pub async fn a_copy_of_the_log_is_accepted(place: &Place) {
    let (parent, child) = (place.store().await, place.store().await);
    start_epoch(&parent, EPOCH).await;
    start_epoch(&child, EPOCH).await;
    append(&parent, items(1..300, "a")).await;
    let signed = publish(&parent, 1).await;
    pull(&parent, &child, END, 50).await;
    accept(&child, &signed).await.unwrap();
    assert_eq!(view(&child).await, view(&parent).await);
    assert_eq!(child.recompute_root().await.unwrap(), signed.claimed().root);
    let mut read = child.read().await.unwrap();
    assert_eq!(read.statement().await.unwrap().unwrap(), signed.to_bytes());
}

/// What breaks a copy that is half verified and half applied. Positions 1 to 20 are verified.
const BREAKING: [&str; 8] = [
    "update item set digest = x'0000000000000000000000000000000000000000000000000000000000000000' \
     where position = 25",
    "update item set key = x'01000000000000000000000000000000ff00000001' where position = 25",
    "update item set bucket = bucket - 1 where position = 25 and bucket > 0",
    "delete from item where position = 25",
    "update item set superseded_by = 26 where position = 25",
    "update item set superseded_by = null where superseded_by is not null",
    "insert into item (position, bucket, key, digest) values (1000, 7, \
     x'01000000000000000000000000000000ff00000001', \
     x'0000000000000000000000000000000000000000000000000000000000000000')",
    // An item of the verified part that shares its bucket with a change.
    "update item set superseded_by = 21 where position = 2",
];

pub async fn an_altered_missing_or_added_row_is_refused(place: &Place) {
    let parent = place.store().await;
    start_epoch(&parent, EPOCH).await;
    append(&parent, items(1..21, "a")).await;
    let first = publish(&parent, 1).await;
    append(&parent, items(10..40, "b")).await;
    let second = publish(&parent, 2).await;
    for breaking in BREAKING {
        let database = place.database().await;
        let child = database.open().await;
        start_epoch(&child, EPOCH).await;
        pull(&parent, &child, 9, 100).await;
        let mut tx = child.begin().await.unwrap();
        tx.roll_back_unverified().await.unwrap();
        tx.commit().await.unwrap();
        let original = place.store().await;
        start_epoch(&original, EPOCH).await;
        append(&original, items(1..21, "a")).await;
        pull(&original, &child, END, 100).await;
        accept(&child, &first).await.unwrap();
        let shown = view(&child).await;
        pull(&parent, &child, END, 100).await;
        database.sql(breaking).await;
        let refused = accept(&child, &second).await.expect_err(breaking);
        assert!(
            matches!(refused, Error::Mismatch(_)),
            "{breaking}: {refused:?}"
        );
        places(50, 20, child.positions());
        if breaking.contains("position = 25") {
            assert_eq!(view(&child).await, shown, "nothing of it is shown");
        }
    }
}

pub async fn a_statement_that_does_not_fit_the_log_is_refused(place: &Place) {
    let store = place.store().await;
    start_epoch(&store, EPOCH).await;
    append(&store, items(1..10, "a")).await;
    let summary = store.begin().await.unwrap().summarize().await.unwrap();
    let (items, root) = (summary.items, summary.root);
    let mismatch = async |epoch, position, items, root| {
        let signed = state(epoch, position, items, root, 1);
        let refused = accept(&store, &signed).await;
        let Err(Error::Mismatch(mismatch)) = refused else {
            panic!("{refused:?}");
        };
        mismatch
    };
    assert_eq!(mismatch(Uuid::nil(), 9, items, root).await, Mismatch::Epoch);
    let short = mismatch(EPOCH, 8, items, root).await;
    assert_eq!(short, Mismatch::Position { stated: 8, held: 9 });
    let fewer = mismatch(EPOCH, 9, 8, root).await;
    assert_eq!(fewer, Mismatch::Items { stated: 8, held: 9 });
    assert_eq!(mismatch(EPOCH, 9, items, [1; 32]).await, Mismatch::Root);
    places(9, 0, store.positions());
    accept(&store, &state(EPOCH, 9, items, root, 1))
        .await
        .unwrap();
    places(9, 9, store.positions());
    let fork = mismatch(EPOCH, 9, items, [1; 32]).await;
    assert_eq!(fork, Mismatch::Root);
}

pub async fn an_older_catalog_is_refused_also_after_starting_over(place: &Place) {
    let (parent, child) = (place.store().await, place.store().await);
    start_epoch(&parent, EPOCH).await;
    start_epoch(&child, EPOCH).await;
    append(&parent, items(1..10, "a")).await;
    let old = publish(&parent, 1).await;
    let old_log = place.store().await;
    start_epoch(&old_log, EPOCH).await;
    append(&old_log, items(1..10, "a")).await;
    append(&parent, items(5..20, "b")).await;
    let new = publish(&parent, 2).await;
    pull(&parent, &child, END, 100).await;
    accept(&child, &new).await.unwrap();
    let refused = accept(&child, &old).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Older {
                offered: 9,
                held: 24
            }
        ),
        "{refused:?}"
    );

    // A parent that was broken into says that the log begins anew, and offers what it was before.
    start_epoch(&child, EPOCH).await;
    pull(&old_log, &child, END, 100).await;
    let refused = accept(&child, &old).await.unwrap_err();
    assert!(matches!(refused, Error::Older { .. }), "{refused:?}");
    let mut tx = child.begin().await.unwrap();
    tx.roll_back_unverified().await.unwrap();
    tx.commit().await.unwrap();
    pull(&parent, &child, END, 100).await;
    accept(&child, &new).await.unwrap();
    assert_eq!(view(&child).await, view(&parent).await);

    // Another epoch follows only if its statement is the later one.
    let other = Uuid::from_u128(77);
    start_epoch(&child, other).await;
    pull(&old_log, &child, END, 100).await;
    let Statement { items, root, .. } = *old.claimed();
    let before = accept(&child, &state(other, 9, items, root, 2)).await;
    assert!(matches!(before, Err(Error::Older { .. })), "{before:?}");
    accept(&child, &state(other, 9, items, root, 3))
        .await
        .unwrap();
}

pub async fn accepting_the_same_again_changes_nothing(place: &Place) {
    let store = place.store().await;
    start_epoch(&store, EPOCH).await;
    accept(&store, &publish(&store, 0).await).await.unwrap();
    append(&store, items(1..10, "a")).await;
    let signed = publish(&store, 1).await;
    let before = (store.positions(), view(&store).await);
    accept(&store, &signed).await.unwrap();
    accept(&store, &signed).await.unwrap();
    assert_eq!((store.positions(), view(&store).await), before);
    assert_eq!(
        publish(&store, 2).await.claimed().root,
        signed.claimed().root
    );
}

pub async fn a_log_that_ends_in_forgotten_removals_reaches_its_statement(place: &Place) {
    let (parent, child) = (place.store().await, place.store().await);
    start_epoch(&parent, EPOCH).await;
    start_epoch(&child, EPOCH).await;
    append(&parent, items(1..10, "a")).await;
    remove(&parent, &[key(8), key(9)]).await;
    publish(&parent, 1).await;
    let mut tx = parent.begin().await.unwrap();
    assert_eq!(tx.forget_removals(time(9)).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let signed = publish(&parent, 2).await;
    pull(&parent, &child, END, 100).await;
    assert_eq!(child.positions().head, 7);
    accept(&child, &signed).await.unwrap();
    places(11, 11, child.positions());
    assert_eq!(view(&child).await, view(&parent).await);
    append(&parent, items(9..12, "b")).await;
    let signed = publish(&parent, 3).await;
    pull(&parent, &child, END, 100).await;
    accept(&child, &signed).await.unwrap();
    assert_eq!(view(&child).await, view(&parent).await);
}

pub async fn a_pull_that_is_overtaken_ends_at_the_newer_statement(place: &Place) {
    let (parent, child) = (place.store().await, place.store().await);
    start_epoch(&parent, EPOCH).await;
    start_epoch(&child, EPOCH).await;
    append(&parent, items(1..30, "a")).await;
    publish(&parent, 1).await;
    pull(&parent, &child, 15, 4).await;
    // What the child has not pulled yet is replaced, moved and removed meanwhile.
    append(&parent, items(10..25, "b")).await;
    remove(&parent, &[key(2), key(28)]).await;
    let signed = publish(&parent, 2).await;
    pull(&parent, &child, END, 4).await;
    accept(&child, &signed).await.unwrap();
    assert_eq!(view(&child).await, view(&parent).await);
}

pub async fn the_summary_does_not_depend_on_what_is_remembered(place: &Place) {
    let database = place.database().await;
    let mut store = database.open().await;
    for round in 0..6u32 {
        let first = u128::from(round) * 150;
        append(&store, items(first..first + 200, &round.to_string())).await;
        remove(&store, &[key(first + 10), key(first + 20)]).await;
        // A unit that is dropped after it looked at the tree leaves no trace in it.
        let mut tx = store.begin().await.unwrap();
        tx.remove(&[key(first)], time(1)).await.unwrap();
        let summary = tx.summarize().await.unwrap();
        tx.publish(summary, b"dropped").await.unwrap();
        drop(tx);
        publish(&store, i64::from(round)).await;
        if round % 2 == 0 {
            store.close().await;
            store = database.open().await;
        }
    }
    // More than half of the buckets: read in one go instead of one by one.
    append(&store, items(10_000..20_000, "many")).await;
    publish(&store, 9).await;
}
