//! All of a unit of work happens, or nothing, also when it is given up half-way.

use super::support::*;
use futures::FutureExt as _;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use store::Store;
use store::status::StatusRow;

pub async fn a_dropped_unit_leaves_nothing(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    publish(&store, 1).await;
    let before = (store.positions(), view(&store).await);
    {
        let mut tx = store.begin().await.unwrap();
        tx.append(items(2..9, "b"), time(1)).await.unwrap();
        tx.remove(&[key(1)], time(1)).await.unwrap();
        let summary = tx.summarize().await.unwrap();
        tx.publish(summary, b"never seen").await.unwrap();
        tx.start_epoch(EPOCH).await.unwrap();
        tx.put_state("kept", *b"no").await.unwrap();
    }
    assert_eq!((store.positions(), view(&store).await), before);
    assert_eq!(append(&store, items(4..5, "a")).await.added, 1);
    assert_eq!(publish(&store, 2).await.claimed().items, 4);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.state("kept").await.unwrap(), None);
}

pub async fn the_database_says_how_large_it_is_and_what_was_committed(place: &Place) {
    let store = place.store().await;
    let before = store.measures().await.unwrap();
    assert!(before.size > 0, "{before:?}");
    append(&store, items(1..2_000, "a")).await;
    drop(store.begin().await.unwrap());
    let after = store.measures().await.unwrap();
    assert!(after.size > before.size, "{before:?} {after:?}");
    assert_eq!(
        after.commits,
        before.commits + 1,
        "what was dropped is none"
    );
    assert!(after.commit_time > before.commit_time);
    assert_eq!(after.wal, before.wal.map(|_| after.wal.unwrap()));
}

pub async fn a_repeatable_unit_is_whole_and_mixes_with_others(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    start_epoch(&store, EPOCH).await;
    for round in 0..3_u64 {
        let mut tx = store.begin_repeatable().await.unwrap();
        let text = format!("round {round}");
        tx.append(items(1..50, &text), time(1)).await.unwrap();
        tx.commit().await.unwrap();
        let mut dropped = store.begin_repeatable().await.unwrap();
        dropped.append(items(1..50, "no"), time(1)).await.unwrap();
        drop(dropped);
        publish(&store, 1).await;
        assert_eq!(store.positions().verified, 49 * (round + 1));
    }
    let before = view(&store).await;
    store.tidy().await.unwrap();
    assert_eq!(view(&store).await, before);
    store.close().await;
    let store = database.open().await;
    assert_eq!(view(&store).await, before);
}

/// Polls a future so often and then drops it. Whether it came to its end.
async fn give_up_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.poll_unpin(context).map(Some)
    })
    .await
}

async fn one_unit(store: &Store, text: &str) {
    let mut tx = store.begin().await.unwrap();
    tx.append(items(1..200, text), time(1)).await.unwrap();
    let summary = tx.summarize().await.unwrap();
    tx.publish(summary, text.as_bytes()).await.unwrap();
    tx.commit().await.unwrap();
}

pub async fn a_unit_that_is_cancelled_at_any_point_leaves_the_store_usable(place: &Place) {
    let store = place.store().await;
    let mut done = 0;
    for polls in 0..60 {
        let text = format!("try {polls}");
        if give_up_after(polls, Box::pin(one_unit(&store, &text)))
            .await
            .is_some()
        {
            done += 1;
        }
        let view = view(&store).await;
        let documents: std::collections::BTreeSet<_> =
            view.values().map(|(_, _, document)| document).collect();
        assert!(documents.len() <= 1, "after {polls} polls it is torn");
        assert!(view.is_empty() || view.len() == 199);
    }
    assert!(done < 60);
    let known = store.positions();
    Box::pin(one_unit(&store, "last")).await;
    assert!(store.positions().head >= known.head + 199);
    let signed = publish(&store, 1).await;
    assert_eq!(signed.claimed().items, 199);
}

pub async fn a_commit_whose_answer_nobody_awaits_is_whole_or_nothing(place: &Place) {
    let store = place.store().await;
    for round in 0..20u128 {
        let mut tx = store.begin().await.unwrap();
        let before = tx.positions().head;
        tx.append(vec![item(round, "a")], time(1)).await.unwrap();
        drop(tx.commit().now_or_never());
        let tx = store.begin().await.unwrap();
        let head = tx.positions().head;
        drop(tx);
        assert!(head == before || head == before + 1);
        assert_eq!(
            store.positions().head,
            head,
            "what is known is what is there"
        );
        let mut read = store.read().await.unwrap();
        assert_eq!(
            read.count_after(before, u64::MAX >> 1).await.unwrap(),
            head - before
        );
    }
}

pub async fn positions_are_told_after_the_commit(place: &Place) {
    let store = place.store().await;
    let mut watched = store.watch_positions();
    watched.borrow_and_update();
    let mut tx = store.begin().await.unwrap();
    tx.append(items(1..4, "a"), time(1)).await.unwrap();
    assert_eq!(tx.positions().head, 3);
    assert!(!watched.has_changed().unwrap());
    assert_eq!(store.positions().head, 0);
    tx.commit().await.unwrap();
    assert!(watched.has_changed().unwrap());
    places(3, 0, *watched.borrow_and_update());
    publish(&store, 1).await;
    places(3, 3, *watched.borrow_and_update());
    append(&store, items(1..4, "a")).await;
    assert!(!watched.has_changed().unwrap(), "nothing changed");
}

pub async fn units_of_work_take_turns(place: &Place) {
    let store = place.store().await;
    let one = async |n: u128| {
        for step in 0..10 {
            append(&store, vec![item(n * 100 + step, "a")]).await;
        }
    };
    futures::future::join_all((0..8).map(one)).await;
    places(80, 0, store.positions());
    assert_eq!(publish(&store, 1).await.claimed().items, 80);
}

pub async fn everything_is_there_after_opening_again(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    start_epoch(&store, EPOCH).await;
    append(&store, items(1..500, "a")).await;
    let signed = publish(&store, 1).await;
    append(&store, items(5..10, "b")).await;
    let mut tx = store.begin().await.unwrap();
    let row = StatusRow {
        site: "CAS".parse().unwrap(),
        number: 0,
        time: time(1),
        status_id: 6701,
        run: None,
        inserts: vec![],
    };
    let number = tx.record_status(row.clone(), true).await.unwrap();
    tx.put_state("anchor", *b"opaque").await.unwrap();
    tx.commit().await.unwrap();
    let before = (store.positions(), view(&store).await);
    store.close().await;

    let store = database.open().await;
    assert_eq!((store.positions(), view(&store).await), before);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.statement().await.unwrap().unwrap(), signed.to_bytes());
    assert_eq!(read.state("anchor").await.unwrap().unwrap(), b"opaque");
    assert_eq!(read.outbox(9).await.unwrap().len(), 1);
    drop(read);
    // The tree is taken up from its nodes, and goes on from there.
    assert_eq!(publish(&store, 2).await.claimed().items, 499);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.record_status(row, true).await.unwrap(), number + 1);
}
