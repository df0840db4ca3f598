//! Appending, removing, applying, reading on, forgetting.

use super::support::{self, *};
use store::log::LogSlice;
use store::{Appended, ChangeRow, Error, NewItem, Store};
use uuid::Uuid;

async fn changes(store: &Store) -> Vec<ChangeRow> {
    let mut read = store.read().await.unwrap();
    read.changes_after(0, u64::MAX >> 1, usize::MAX, u64::MAX)
        .await
        .unwrap()
        .changes
}

fn change(position: u64, update: u128, text: &str) -> ChangeRow {
    let item = item(update, text);
    ChangeRow {
        position,
        key: item.key.to_bytes(),
        header: item.header,
        document: item.document,
        removed: false,
    }
}

fn removal(position: u64, update: u128) -> ChangeRow {
    ChangeRow {
        position,
        key: key(update).to_bytes(),
        header: Vec::new(),
        document: Vec::new(),
        removed: true,
    }
}

async fn apply(store: &Store, through: u64, changes: Vec<ChangeRow>) -> Result<u64, Error> {
    let mut tx = store.begin().await?;
    let applied = tx.apply(LogSlice { changes, through }, time(1)).await?;
    tx.commit().await?;
    Ok(applied.changes)
}

pub async fn each_new_item_gets_the_next_position(place: &Place) {
    let store = place.store().await;
    let appended = append(&store, items(1..4, "a")).await;
    assert_eq!((appended.added, store.positions().head), (3, 3));
    append(&store, items(4..5, "a")).await;
    let found = changes(&store).await;
    let expected: Vec<_> = (1..5).map(|n| change(n, n.into(), "a")).collect();
    assert_eq!(found, expected);
}

pub async fn appending_again_changes_nothing(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    let before = (store.positions(), changes(&store).await);
    let appended = append(&store, items(1..4, "a")).await;
    let expected = Appended {
        unchanged: 3,
        ..Appended::default()
    };
    assert_eq!(appended, expected);
    assert_eq!((store.positions(), changes(&store).await), before);
}

pub async fn a_changed_item_moves_to_the_end_and_the_others_keep_their_place(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    publish(&store, 1).await;
    let batch = vec![item(1, "a"), item(2, "b"), item(3, "a"), item(4, "a")];
    let appended = append(&store, batch).await;
    let expected = Appended {
        added: 1,
        changed: 1,
        unchanged: 2,
    };
    assert_eq!(appended, expected);
    publish(&store, 2).await;
    let expected = [
        change(1, 1, "a"),
        change(3, 3, "a"),
        change(4, 2, "b"),
        change(5, 4, "a"),
    ];
    assert_eq!(changes(&store).await, expected);
}

pub async fn one_item_twice_in_a_batch_is_held_once(place: &Place) {
    let store = place.store().await;
    let batch = vec![item(1, "a"), item(1, "b"), item(1, "b")];
    let appended = append(&store, batch).await;
    let expected = Appended {
        added: 1,
        changed: 1,
        unchanged: 1,
    };
    assert_eq!(appended, expected);
    assert_eq!(publish(&store, 1).await.claimed().items, 1);
    assert_eq!(changes(&store).await, [change(2, 1, "b")]);

    let copy = place.store().await;
    let twice = vec![change(1, 1, "a"), change(2, 1, "b"), removal(3, 1)];
    assert_eq!(apply(&copy, 3, twice).await.unwrap(), 3);
    assert_eq!(publish(&copy, 1).await.claimed().items, 0);
    assert_eq!(changes(&copy).await, [removal(3, 1)]);
}

pub async fn removing_leaves_one_tombstone(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    publish(&store, 1).await;
    assert_eq!(remove(&store, &[key(2), key(2), key(9)]).await, 1);
    assert_eq!(remove(&store, &[key(2)]).await, 0);
    assert_eq!(publish(&store, 2).await.claimed().items, 2);
    let expected = [change(1, 1, "a"), change(3, 3, "a"), removal(4, 2)];
    assert_eq!(changes(&store).await, expected);
    let mut tx = store.begin().await.unwrap();
    let mut held = tx.held(&[key(1), key(2), key(3), key(4)]).await.unwrap();
    held.sort();
    assert_eq!(held, [key(1), key(3)]);
}

pub async fn an_item_that_comes_back_counts_as_added(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..2, "a")).await;
    remove(&store, &[key(1)]).await;
    publish(&store, 1).await;
    assert_eq!(append(&store, items(1..2, "a")).await.added, 1);
    assert_eq!(publish(&store, 2).await.claimed().items, 1);
    assert_eq!(changes(&store).await, [change(3, 1, "a")]);
}

pub async fn many_items_in_one_batch_are_all_there(place: &Place) {
    let store = place.store().await;
    assert_eq!(append(&store, items(0..2345, "a")).await.added, 2345);
    let changed = append(&store, items(0..2345, "b")).await;
    assert_eq!(changed.changed, 2345);
    assert_eq!(publish(&store, 1).await.claimed().items, 2345);
    assert_eq!(append(&store, items(0..2345, "b")).await.unchanged, 2345);
    let keys: Vec<_> = (0..2345).map(key).collect();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.held(&keys).await.unwrap().len(), 2345);
}

pub async fn empty_and_large_documents_come_back_byte_for_byte(place: &Place) {
    let store = place.store().await;
    let large: Vec<u8> = (0..6_000_000u32)
        .map(|n| ((n * 31) >> 3).to_le_bytes()[0])
        .collect();
    let batch = vec![
        NewItem {
            key: key(1),
            header: Vec::new(),
            document: Vec::new(),
        },
        NewItem {
            key: key(2),
            header: vec![0; 1000],
            document: large.clone(),
        },
    ];
    append(&store, batch).await;
    let signed = publish(&store, 1).await;
    let copy = place.store().await;
    start_epoch(&copy, Uuid::nil()).await;
    pull(&store, &copy, u64::MAX >> 1, 10).await;
    accept(&copy, &signed).await.unwrap();
    let view = view(&copy).await;
    assert_eq!(view[&revision(1, 1)], (1, Vec::new(), Vec::new()));
    assert_eq!(view[&revision(2, 1)], (2, vec![0; 1000], large));
}

pub async fn changes_come_in_order_within_the_limits_asked_for(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..11, "a")).await;
    let size = (item(1, "a").header.len() + item(1, "a").document.len()) as u64;
    let mut read = store.read().await.unwrap();
    let mut positions = async |after, limit, most, bytes| {
        let slice = read.changes_after(after, limit, most, bytes).await.unwrap();
        let found: Vec<u64> = slice.changes.iter().map(|change| change.position).collect();
        (found, slice.through)
    };
    assert_eq!(positions(0, 100, 3, u64::MAX).await, (vec![1, 2, 3], 3));
    assert_eq!(positions(3, 100, 9, 2 * size).await, (vec![4, 5], 5));
    assert_eq!(positions(5, 100, 9, 1).await, (vec![6], 6), "one at least");
    assert_eq!(positions(6, 8, 9, u64::MAX).await, (vec![7, 8], 8));
    assert_eq!(positions(8, 8, 9, u64::MAX).await, (vec![], 8));
    assert_eq!(positions(10, 100, 9, u64::MAX).await, (vec![], 10));
    assert_eq!(read.count_after(3, 8).await.unwrap(), 5);
    assert_eq!(read.count_after(8, 3).await.unwrap(), 0);
}

pub async fn changes_that_are_held_already_are_passed_over(place: &Place) {
    let store = place.store().await;
    let slice = |range: std::ops::RangeInclusive<u64>| -> Vec<ChangeRow> {
        range.map(|n| change(n, n.into(), "a")).collect()
    };
    assert_eq!(apply(&store, 3, slice(1..=3)).await.unwrap(), 3);
    assert_eq!(apply(&store, 3, slice(1..=3)).await.unwrap(), 0);
    assert_eq!(apply(&store, 5, slice(2..=5)).await.unwrap(), 2);
    assert_eq!(apply(&store, 5, vec![]).await.unwrap(), 0);
    assert_eq!(changes(&store).await, slice(1..=5));
    // A gap in the positions is the parent's compaction, and its end may be one too.
    assert_eq!(apply(&store, 12, vec![change(9, 9, "a")]).await.unwrap(), 1);
    assert_eq!(store.positions().head, 12);
}

pub async fn what_does_not_continue_the_log_is_refused(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    let before = (store.positions(), changes(&store).await);
    let descending = vec![change(5, 5, "a"), change(4, 4, "a")];
    let twice = vec![change(4, 4, "a"), change(4, 5, "a")];
    for (through, slice) in [
        (5, descending),
        (5, twice),
        (4, vec![change(5, 5, "a")]),
        (2, vec![]),
    ] {
        let refused = apply(&store, through, slice).await.unwrap_err();
        assert!(matches!(refused, Error::OutOfOrder { .. }), "{refused:?}");
    }
    assert_eq!((store.positions(), changes(&store).await), before);
}

pub async fn malformed_changes_are_refused(place: &Place) {
    let store = place.store().await;
    let good = || change(1, 1, "a");
    let cases = [
        ChangeRow {
            key: vec![],
            ..good()
        },
        ChangeRow {
            key: vec![9; 21],
            ..good()
        },
        ChangeRow {
            key: vec![1; 22],
            ..good()
        },
        ChangeRow {
            header: vec![0; (1 << 20) + 1],
            ..good()
        },
        ChangeRow {
            removed: true,
            ..good()
        },
        ChangeRow {
            position: u64::MAX,
            ..good()
        },
    ];
    for case in cases {
        let refused = apply(&store, u64::MAX, vec![case]).await.unwrap_err();
        assert!(matches!(refused, Error::Malformed { .. }), "{refused:?}");
    }
    let absurd = apply(&store, u64::MAX, vec![good()]).await.unwrap_err();
    assert!(matches!(absurd, Error::OutOfOrder { .. }), "{absurd:?}");
    support::places(0, 0, store.positions());
    assert_eq!(apply(&store, 1, vec![good()]).await.unwrap(), 1);
}

pub async fn forgotten_removals_raise_the_floor(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..6, "a")).await;
    let mut tx = store.begin().await.unwrap();
    tx.remove(&[key(1), key(2)], time(10)).await.unwrap();
    tx.remove(&[key(3)], time(20)).await.unwrap();
    tx.commit().await.unwrap();
    let forget = async |minute| {
        let mut tx = store.begin().await.unwrap();
        let forgotten = tx.forget_removals(time(minute)).await.unwrap();
        tx.commit().await.unwrap();
        forgotten
    };
    let floor = async || store.read().await.unwrap().floor().await.unwrap();
    assert_eq!(forget(30).await, 0, "what no statement covers is kept");
    let before = publish(&store, 21).await;
    assert_eq!(forget(20).await, 2);
    assert_eq!(floor().await, 7);
    assert_eq!(forget(20).await, 0);
    assert_eq!(forget(30).await, 1);
    assert_eq!(floor().await, 8);
    assert_eq!(
        changes(&store).await,
        [change(4, 4, "a"), change(5, 5, "a")]
    );
    assert_eq!(
        publish(&store, 22).await.claimed().root,
        before.claimed().root
    );
    assert_eq!(append(&store, items(1..2, "a")).await.added, 1);
    assert_eq!(store.positions().head, 9);
}

pub async fn the_floor_only_rises(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (raised, expected) in [(5, 5), (3, 5), (9, 9)] {
        tx.raise_floor(raised).await.unwrap();
        let mut after = tx.state("floor").await.unwrap().unwrap();
        assert_eq!(after.pop(), Some(expected));
    }
}

pub async fn an_epoch_begins_with_nothing(place: &Place) {
    let store = place.store().await;
    start_epoch(&store, EPOCH).await;
    append(&store, items(1..4, "a")).await;
    publish(&store, 1).await;
    let generation = store.positions().generation;
    let other = Uuid::from_u128(2);
    start_epoch(&store, other).await;
    let positions = store.positions();
    assert_eq!(positions.epoch, other);
    assert!(positions.generation > generation);
    places(0, 0, positions);
    assert!(changes(&store).await.is_empty());
    assert!(view(&store).await.is_empty());
    assert_eq!(store.read().await.unwrap().statement().await.unwrap(), None);
    append(&store, items(2..3, "b")).await;
    assert_eq!(publish(&store, 2).await.claimed().items, 1);
}
