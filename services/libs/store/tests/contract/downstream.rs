//! What is kept for servers that synchronize from a site.

use super::support::*;
use jiff::SignedDuration;
use store::downstream::{
    DownstreamServerRow, MAX_DOWNSTREAM_SERVERS, POSITIONS_KEPT, PositionNote,
};
use uuid::Uuid;

fn server(number: u128) -> DownstreamServerRow {
    let seen = i64::try_from(number).unwrap();
    DownstreamServerRow {
        id: Uuid::from_u128(number),
        name: format!("dss{number:05}.example"),
        parent: Uuid::nil(),
        address: "192.0.2.1".to_owned(),
        version: "10.0.26100.1".to_owned(),
        replica: true,
        first_seen: time(seen),
        last_seen: time(seen),
        last_sync: Some(time(1)),
        last_rollup: None,
        counts: vec![1, 2, 3],
    }
}

async fn note(store: &store::Store, position: u64, floor: u64, at: i64) -> PositionNote {
    let mut tx = store.begin().await.unwrap();
    let held = (EPOCH, position);
    let note = tx.note_downstream_position(held, floor, time(at)).await;
    tx.commit().await.unwrap();
    note.unwrap()
}

pub async fn the_time_of_a_note_stands_for_its_position_and_no_other_time_does(place: &Place) {
    let store = place.database().await.open().await;
    let first = note(&store, 10, 0, 100).await;
    assert_eq!((first.time, first.position), (time(100), 10));
    assert_eq!(note(&store, 10, 0, 500).await, first, "noted once");
    // Each is later than the one before, also where the clock was set back.
    let second = note(&store, 20, 0, 50).await;
    assert!(second.time > first.time);
    let third = note(&store, 20, 20, 60).await;
    assert!(third.time > second.time, "another floor is another note");
    let at = async |at| {
        store
            .read()
            .await
            .unwrap()
            .downstream_position(at)
            .await
            .unwrap()
    };
    assert_eq!(at(time(99)).await, None);
    assert_eq!(at(first.time).await, Some(first));
    assert_eq!(at(second.time).await, Some(second));
    assert_eq!(at(third.time).await, Some(third));
    // A time between two notes, or after all of them, is none that was handed out here.
    let later = note(&store, 30, 20, 100_000).await;
    let millisecond = SignedDuration::from_millis(1);
    let others = [
        third.time + millisecond,
        later.time - millisecond,
        later.time + millisecond,
    ];
    for other in others {
        assert_eq!(at(other).await, None, "{other}");
    }
    assert_eq!(at(later.time).await, Some(later));
    // What is told of a catalog that was compared since.
    assert!(!first.is_continued_by(EPOCH, 20) && !second.is_continued_by(EPOCH, 20));
    assert!(third.is_continued_by(EPOCH, 20) && second.is_continued_by(EPOCH, 19));
    assert!(!third.is_continued_by(Uuid::from_u128(8), 20));
}

pub async fn old_notes_are_forgotten(place: &Place) {
    let store = place.database().await.open().await;
    let most = i64::try_from(POSITIONS_KEPT).unwrap();
    let mut tx = store.begin().await.unwrap();
    for at in 0..most + 5 {
        let position = u64::try_from(at).unwrap();
        let noted = tx
            .note_downstream_position((EPOCH, position), 0, time(at))
            .await;
        noted.unwrap();
    }
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(read.downstream_position(time(4)).await.unwrap(), None);
    assert!(read.downstream_position(time(5)).await.unwrap().is_some());
}

pub async fn a_server_is_kept_as_it_was_heard_of_last(place: &Place) {
    let store = place.database().await.open().await;
    let mut tx = store.begin().await.unwrap();
    tx.put_downstream_server(&server(2)).await.unwrap();
    tx.put_downstream_server(&server(1)).await.unwrap();
    let changed = DownstreamServerRow {
        last_seen: time(9),
        last_rollup: Some(time(9)),
        first_seen: time(9),
        ..server(2)
    };
    tx.put_downstream_server(&changed).await.unwrap();
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let held = read.downstream_servers(10).await.unwrap();
    let kept = DownstreamServerRow {
        first_seen: time(2),
        ..changed
    };
    assert_eq!(held, [server(1), kept]);
    drop(read);
    let mut tx = store.begin().await.unwrap();
    assert!(tx.remove_downstream_server(server(1).id).await.unwrap());
    assert!(!tx.remove_downstream_server(server(1).id).await.unwrap());
    assert_eq!(tx.downstream_server(server(1).id).await.unwrap(), None);
}

pub async fn however_many_servers_come_their_number_is_bounded(place: &Place) {
    let store = place.database().await.open().await;
    let mut tx = store.begin().await.unwrap();
    let most = u128::from(MAX_DOWNSTREAM_SERVERS);
    for number in 0..most + 3 {
        tx.put_downstream_server(&server(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let held = read.downstream_servers(u32::MAX).await.unwrap();
    assert_eq!(held.len() as u128, most);
    assert_eq!(held[0], server(3), "the least recently seen went");
}

pub async fn only_what_is_verified_is_read_for_downstream_servers(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    let changes = async || {
        let mut read = store.read().await.unwrap();
        let changes = read.shown_changes_after(0, 100).await.unwrap();
        let ids = [revision(1, 1), revision(2, 1), revision(9, 1)];
        let documents = read.shown_documents(&ids).await.unwrap();
        (changes, documents)
    };
    let (before, documents) = changes().await;
    assert!(before.is_empty() && documents.is_empty());
    publish(&store, 1).await;
    let (first, documents) = changes().await;
    assert_eq!(first.len(), 3);
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[&revision(1, 1)].document, b"document a");
    // What is changed and removed and not verified yet is there as it was.
    append(&store, items(2..3, "b")).await;
    remove(&store, &[key(1)]).await;
    assert_eq!(changes().await, (first, documents));
    publish(&store, 2).await;
    let (second, documents) = changes().await;
    let told: Vec<_> = second
        .iter()
        .map(|change| (change.key, change.header.is_some()))
        .collect();
    assert_eq!(told, [(key(3), true), (key(2), true), (key(1), false)]);
    assert_eq!(documents[&revision(2, 1)].document, b"document b");
    assert_eq!(documents.len(), 1);
}
