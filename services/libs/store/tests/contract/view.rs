//! What is shown is one whole verified catalog, at any moment.

use super::support::*;
use catalog::item::ItemKey;
use store::Store;

async fn sees_nothing(store: &Store) {
    assert!(view(store).await.is_empty());
    let mut read = store.read().await.unwrap();
    let id = revision(1, 1);
    assert_eq!(read.revision(id).await.unwrap(), None);
    assert!(
        read.revisions_of(id.update_id, true)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(read.statement().await.unwrap(), None);
}

pub async fn nothing_is_shown_before_a_statement(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    sees_nothing(&store).await;
    publish(&store, 1).await;
    assert_eq!(view(&store).await.len(), 3);
    let mut batch = items(1..2, "new");
    batch[0].key = ItemKey::Revision(revision(1, 2));
    append(&store, batch).await;
    publish(&store, 2).await;
    let mut read = store.read().await.unwrap();
    let update = revision(1, 1).update_id;
    let found = read.revisions_of(update, true).await.unwrap();
    let numbers: Vec<u32> = found.iter().map(|row| row.id.revision).collect();
    assert_eq!(numbers, [2, 1], "the newest first");
    assert_eq!(found[0].document, b"document new");
    let bare = read.revisions_of(update, false).await.unwrap();
    assert!(
        bare.iter()
            .all(|row| row.document.is_empty() && !row.header.is_empty())
    );
}

pub async fn the_verified_catalog_stays_whole_during_a_pull(place: &Place) {
    let (parent, child) = (place.store().await, place.store().await);
    start_epoch(&parent, EPOCH).await;
    start_epoch(&child, EPOCH).await;
    append(&parent, items(1..40, "a")).await;
    let first = publish(&parent, 1).await;
    pull(&parent, &child, 100, 7).await;
    sees_nothing(&child).await;
    accept(&child, &first).await.unwrap();
    let old = view(&parent).await;
    assert_eq!(view(&child).await, old);

    append(&parent, items(10..50, "b")).await;
    remove(&parent, &[key(1), key(20), key(45)]).await;
    assert_eq!(view(&parent).await, old, "the parent's own is whole too");
    let second = publish(&parent, 2).await;
    let limit = parent.positions().head;
    for limit in (child.positions().head..=limit).step_by(3) {
        pull(&parent, &child, limit, 2).await;
        assert_eq!(view(&child).await, old);
    }
    pull(&parent, &child, limit, 2).await;
    accept(&child, &second).await.unwrap();
    assert_ne!(view(&child).await, old);
    assert_eq!(view(&child).await, view(&parent).await);
}

pub async fn replaced_rows_go_with_the_statement_that_covers_the_replacement(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    append(&store, items(1..4, "a")).await;
    publish(&store, 1).await;
    append(&store, items(1..4, "b")).await;
    append(&store, items(1..2, "c")).await;
    remove(&store, &[key(2)]).await;
    assert_eq!(database.count_items("1 = 1").await, 8);
    assert_eq!(database.count_items("superseded_by is not null").await, 5);
    publish(&store, 2).await;
    assert_eq!(database.count_items("1 = 1").await, 3);
    assert_eq!(database.count_items("superseded_by is not null").await, 0);
}

pub async fn rolling_back_restores_the_verified_catalog_exactly(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    append(&store, items(1..20, "a")).await;
    remove(&store, &[key(3)]).await;
    let signed = publish(&store, 1).await;
    const DUMP: &str = "select cast(position as text), coalesce(cast(superseded_by as text), '-'), \
                        coalesce(cast(removed_at as text), '-') from item order by position";
    let before = (database.rows(DUMP).await, view(&store).await);
    let positions = store.positions();
    append(&store, items(1..9, "b")).await;
    append(&store, items(3..30, "c")).await;
    remove(&store, &[key(4), key(19), key(29)]).await;
    let mut tx = store.begin().await.unwrap();
    tx.roll_back_unverified().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!((database.rows(DUMP).await, view(&store).await), before);
    places(positions.head, positions.verified, store.positions());
    assert!(store.positions().generation > positions.generation);
    let again = publish(&store, 2).await;
    assert_eq!(again.claimed().root, signed.claimed().root);
    assert_eq!(append(&store, items(3..4, "a")).await.added, 1);
}

pub async fn a_reader_sees_one_moment(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..10, "a")).await;
    publish(&store, 1).await;
    let mut read = store.read().await.unwrap();
    append(&store, items(1..10, "b")).await;
    let newer = publish(&store, 2).await;
    places(9, 9, read.positions());
    assert_eq!(read.items().await.unwrap(), 9);
    let rows = read.revisions_after(0, 100).await.unwrap();
    assert_eq!(rows.len(), 9, "the rows that were replaced since are seen");
    for row in rows {
        let whole = read.revision(row.id).await.unwrap().unwrap();
        assert_eq!(whole.document, b"document a");
    }
    drop(read);
    let mut read = store.read().await.unwrap();
    places(18, 18, read.positions());
    assert_eq!(read.statement().await.unwrap().unwrap(), newer.to_bytes());
}

pub async fn an_approval_is_an_item_and_not_a_revision(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    let mut approvals = items(2..6, "b");
    for (item, update) in approvals.iter_mut().zip(2..) {
        item.key = ItemKey::Approval(revision(update, 0).update_id);
    }
    append(&store, approvals).await;
    append(&store, items(4..5, "a")).await;
    let signed = publish(&store, 1).await;
    assert_eq!(signed.claimed().items, 8);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.items().await.unwrap(), 8);
    for rows in [
        read.revisions_after(2, 2).await.unwrap(),
        read.applied_revisions_after(2, 2).await.unwrap(),
    ] {
        // Approvals between them do not make a page end early.
        let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
        assert_eq!(ids, [revision(3, 1), revision(4, 1)]);
    }
    let one = read.revisions_of(revision(3, 1).update_id, true).await;
    assert_eq!(one.unwrap().len(), 1);
    let mut tx = store.begin().await.unwrap();
    let update = |number| revision(number, 1).update_id;
    let known = tx.known_updates(&[update(1), update(5)]).await.unwrap();
    assert_eq!(known, [update(1)].into());
}

pub async fn readers_beside_a_writer_see_whole_catalogs(place: &Place) {
    const ITEMS: u64 = 30;
    let store = place.store().await;
    append(&store, items(0..ITEMS.into(), "0")).await;
    publish(&store, 0).await;
    let writer = async {
        for round in 1..15 {
            append(&store, items(0..ITEMS.into(), &round.to_string())).await;
            publish(&store, round).await;
        }
    };
    let reader = async || {
        loop {
            let last = store.positions().verified == 15 * ITEMS;
            let view = view(&store).await;
            let documents: std::collections::BTreeSet<_> = view
                .into_values()
                .map(|(_, _, document)| document)
                .collect();
            assert_eq!(documents.len(), 1, "a catalog of two statements was seen");
            if last {
                break;
            }
        }
    };
    futures::join!(writer, reader(), reader(), reader());
}
