//! Since when things are held, records, and forgetting old history.

use super::support::*;
use catalog::UpdateId;
use catalog::item::{ItemKey, approval_keys, expiry_keys};
use store::runs::RunRow;
use store::{NewItem, Store};
use uuid::Uuid;

async fn note(store: &Store, position: u64, minute: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.note_arrival(position, time(minute)).await.unwrap();
    tx.commit().await.unwrap();
}

pub async fn an_arrival_is_never_told_too_early(place: &Place) {
    let store = place.store().await;
    let now = time(10_000);
    let since = async |position| {
        let arrivals = store.read().await.unwrap().arrivals().await.unwrap();
        arrivals.held_since(position, now)
    };
    assert_eq!(since(1).await, now);
    let hour = time(0).as_second().rem_euclid(3600) / 60;
    let begin = 60 - hour;
    note(&store, 10, begin).await;
    note(&store, 10, begin + 300).await;
    assert_eq!(since(1).await, time(begin));
    assert_eq!(since(10).await, time(begin));
    assert_eq!(since(11).await, now);
    // Within the hour the later time counts for all.
    note(&store, 12, begin + 59).await;
    assert_eq!(since(10).await, time(begin + 59));
    note(&store, 15, begin + 60).await;
    assert_eq!(since(12).await, time(begin + 59));
    assert_eq!(since(13).await, time(begin + 60));
    // Long after that the times of old ones are no longer told apart.
    let years = 3 * 366 * 24 * 60;
    note(&store, 20, years).await;
    assert_eq!(since(10).await, time(begin + 60));
    assert_eq!(since(15).await, time(begin + 60));
    assert_eq!(since(20).await, time(years));
}

fn item(key: ItemKey, record: &[u8]) -> NewItem {
    NewItem {
        key,
        header: record.to_vec(),
        document: Vec::new(),
    }
}

pub async fn records_are_listed_by_kind_and_key(place: &Place) {
    let store = place.store().await;
    let update = UpdateId::from_u128;
    let mut tx = store.begin().await.unwrap();
    let items = vec![
        item(ItemKey::Expiry(update(2)), b"two"),
        item(ItemKey::Approval(update(1)), b"approved"),
        item(ItemKey::Expiry(update(1)), b"one"),
        item(
            ItemKey::Revision(catalog::RevisionId::new(update(1), 1)),
            b"header",
        ),
        item(ItemKey::Expiry(update(3)), b"three"),
    ];
    tx.append(items, time(0)).await.unwrap();
    tx.remove(&[ItemKey::Expiry(update(3))], time(0))
        .await
        .unwrap();
    let again = item(ItemKey::Expiry(update(2)), b"again");
    tx.append(vec![again], time(0)).await.unwrap();
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let expiries = read.applied_records(expiry_keys(), None, 10).await.unwrap();
    let found: Vec<_> = expiries
        .iter()
        .map(|row| (row.key, row.position, row.record.as_slice()))
        .collect();
    let (one, two) = (ItemKey::Expiry(update(1)), ItemKey::Expiry(update(2)));
    assert_eq!(found, [(one, 3, &b"one"[..]), (two, 7, b"again")]);
    let paged = read.applied_records(expiry_keys(), Some(one), 10).await;
    assert_eq!(paged.unwrap(), expiries[1..]);
    let first = read.applied_records(expiry_keys(), None, 1).await;
    assert_eq!(first.unwrap(), expiries[..1]);
    let approvals = read.applied_records(approval_keys(), None, 10).await;
    assert_eq!(approvals.unwrap().len(), 1);
    // Nothing of it is shown before it is verified.
    assert!(read.contents(&[one]).await.unwrap().is_empty());
}

pub async fn of_the_dates_of_removed_revisions_the_earliest_counts(place: &Place) {
    let store = place.store().await;
    let update = UpdateId::from_u128;
    let note = async |dates: &[(u128, i64)]| {
        let dates = dates
            .iter()
            .map(|(id, minute)| (update(*id), time(*minute)));
        let mut tx = store.begin().await.unwrap();
        tx.note_creation_dates(&dates.collect()).await.unwrap();
        tx.commit().await.unwrap();
        store.read().await.unwrap().creation_dates().await.unwrap()
    };
    assert_eq!(note(&[]).await.len(), 0);
    note(&[(1, 10), (2, 10)]).await;
    let found = note(&[(1, 9), (2, 11), (3, -5)]).await;
    let expected = [(1, 9), (2, 10), (3, -5)];
    let expected = expected.map(|(id, minute)| (update(id), time(minute)));
    assert_eq!(found, expected.into());
}

fn run(number: u128, minute: i64, state: &str) -> RunRow {
    RunRow {
        id: Uuid::from_u128(number),
        started: time(minute),
        finished: Some(time(minute)),
        state: state.to_owned(),
        full: false,
        manual: false,
        added: 0,
        revised: 0,
        expired: 0,
        removed: 0,
        position: 1,
        error: String::new(),
        failed: 0,
        target: None,
        source: String::new(),
    }
}

pub async fn old_runs_are_forgotten_but_for_the_last_success(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (number, minute, state) in [
        (1, 1, "Completed"),
        (2, 2, "Completed"),
        (3, 3, "Failed"),
        (4, 9, "Failed"),
    ] {
        tx.put_run(&run(number, minute, state)).await.unwrap();
    }
    let mut under_way = run(5, 3, "SyncingUpdates");
    under_way.finished = None;
    tx.put_run(&under_way).await.unwrap();
    tx.commit().await.unwrap();
    let old = async |minute| {
        let mut read = store.read().await.unwrap();
        read.old_history(time(minute)).await.unwrap().runs
    };
    assert_eq!(old(9).await, (5, 2));
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.forget_runs(time(9)).await.unwrap(), 2);
    assert_eq!(tx.forget_runs(time(9)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(old(9).await, (3, 0));
    let left = store.read().await.unwrap().runs(10).await.unwrap();
    let left: Vec<u128> = left.iter().map(|run| run.id.as_u128()).collect();
    assert_eq!(left, [4, 5, 2]);
}

pub async fn old_messages_are_forgotten_once_they_were_delivered(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (minute, has_parent) in [(1, false), (2, true), (3, false), (20, false)] {
        let row = store::status::StatusRow {
            site: "PR1".parse().unwrap(),
            number: 0,
            time: time(minute),
            status_id: 6701,
            run: None,
            inserts: vec![],
        };
        tx.record_status(row, has_parent).await.unwrap();
    }
    let aside = |number| catalog::RevisionId::new(UpdateId::from_u128(number), 1);
    tx.quarantine(aside(1), "why", time(4)).await.unwrap();
    tx.quarantine(aside(2), "why", time(5)).await.unwrap();
    tx.commit().await.unwrap();
    let old = async || {
        let mut read = store.read().await.unwrap();
        read.old_history(time(5)).await.unwrap()
    };
    let before = old().await;
    assert_eq!((before.status, before.quarantined), ((4, 2), (2, 1)));
    assert_eq!((before.held(), before.old()), (6, 3));
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.forget_status(time(5)).await.unwrap(), 2);
    assert_eq!(tx.forget_quarantined(time(5)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(old().await.old(), 0);
    let mut read = store.read().await.unwrap();
    let left = read.status_messages(None, 10).await.unwrap();
    let left: Vec<_> = left.iter().map(|row| row.time).collect();
    assert_eq!(left, [time(20), time(2)]);
    assert_eq!(read.outbox_length().await.unwrap(), 1);
}
