//! What a top-level site remembers between its runs.

use super::support::*;
use store::ingest::QuarantineRow;

pub async fn quarantine_keeps_the_first_time_and_the_newest_reason(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    assert!(
        tx.quarantine(revision(1, 1), "timed out", time(1))
            .await
            .unwrap()
    );
    assert!(
        tx.quarantine(revision(2, 7), "not XML\0", time(2))
            .await
            .unwrap()
    );
    assert!(
        !tx.quarantine(revision(1, 1), "too large", time(3))
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let row = |id, minute, reason: &str| QuarantineRow {
        id,
        since: time(minute),
        reason: reason.to_owned(),
    };
    let expected = [
        row(revision(1, 1), 1, "too large"),
        row(revision(2, 7), 2, "not XML\u{fffd}"),
    ];
    let found = store.read().await.unwrap().quarantined(10).await.unwrap();
    assert_eq!(found, expected);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.release(revision(1, 1)).await.unwrap());
    assert!(!tx.release(revision(1, 1)).await.unwrap());
    tx.commit().await.unwrap();
    let left = store.read().await.unwrap().quarantined(10).await.unwrap();
    assert_eq!(left, expected[1..]);
}

pub async fn wanted_revisions_are_listed_once(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    tx.want(&[]).await.unwrap();
    let all: Vec<_> = (0..250).map(|n| revision(n, 3)).collect();
    tx.want(&all).await.unwrap();
    tx.want(&all[5..7]).await.unwrap();
    assert_eq!(tx.wanted(1000).await.unwrap(), all);
    assert_eq!(tx.wanted(2).await.unwrap(), all[..2]);
    tx.no_longer_want(&all[..249]).await.unwrap();
    tx.no_longer_want(&all[..2]).await.unwrap();
    assert_eq!(tx.wanted(1000).await.unwrap(), all[249..]);
}
