//! The history of runs.

use super::support::*;
use store::Store;
use store::runs::{RUNS_KEPT, RunRow};
use uuid::Uuid;

fn run(number: u128, minute: i64, state: &str) -> RunRow {
    RunRow {
        id: Uuid::from_u128(number),
        started: time(minute),
        finished: None,
        state: state.to_owned(),
        full: true,
        manual: false,
        added: 1,
        revised: 2,
        expired: 3,
        removed: 4,
        position: 5,
        error: String::new(),
        failed: 0,
        target: None,
        source: "package".to_owned(),
    }
}

async fn put(store: &Store, run: &RunRow) {
    let mut tx = store.begin().await.unwrap();
    tx.put_run(run).await.unwrap();
    tx.commit().await.unwrap();
}

pub async fn a_run_is_kept_as_it_was_written_last(place: &Place) {
    let store = place.store().await;
    put(&store, &run(1, 0, "SyncingUpdates")).await;
    let done = RunRow {
        finished: Some(time(3)),
        state: "Failed".to_owned(),
        added: 100,
        revised: 0,
        expired: 7,
        removed: 8,
        position: 99,
        error: "cannot reach 'upstream'\nat all".to_owned(),
        ..run(1, 0, "")
    };
    put(&store, &done).await;
    put(&store, &done).await;
    let mut read = store.read().await.unwrap();
    assert_eq!(read.runs(10).await.unwrap(), [done]);
}

pub async fn the_newest_runs_come_first(place: &Place) {
    let store = place.store().await;
    for (number, minute) in [(3, 3), (1, 1), (2, 2)] {
        put(&store, &run(number, minute, "Completed")).await;
    }
    let mut read = store.read().await.unwrap();
    let found = read.runs(2).await.unwrap();
    let started: Vec<_> = found.iter().map(|run| run.started).collect();
    assert_eq!(started, [time(3), time(2)]);
}

pub async fn the_last_success_is_the_newest_completed_run(place: &Place) {
    let store = place.store().await;
    let last = async || store.read().await.unwrap().last_success().await.unwrap();
    assert_eq!(last().await, None);
    put(&store, &run(1, 1, "Completed")).await;
    put(&store, &run(2, 2, "Completed")).await;
    put(&store, &run(3, 3, "Failed")).await;
    assert_eq!(last().await, Some(run(2, 2, "Completed")));
}

pub async fn pruning_keeps_exactly_the_newest_runs(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for number in 0..u128::from(RUNS_KEPT) + 3 {
        // Many start at the same instant: none of the newest goes with the oldest.
        tx.put_run(&run(number, 0, "Completed")).await.unwrap();
    }
    assert_eq!(tx.prune_runs().await.unwrap(), 3);
    assert_eq!(tx.prune_runs().await.unwrap(), 0);
    tx.commit().await.unwrap();
    let kept = store.read().await.unwrap().runs(u32::MAX).await.unwrap();
    assert_eq!(kept.len() as u64, RUNS_KEPT);
}
