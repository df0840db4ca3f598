//! Two stores on one database, as two processes have them: neither can spoil the other's work.

use super::support::*;

pub async fn two_stores_on_one_database_take_turns(place: &Place) {
    let database = place.database().await;
    let (left, right) = (database.open().await, database.open().await);
    for round in 0..6i64 {
        let first = u128::try_from(round).unwrap() * 10;
        append(&left, items(first..first + 5, "left")).await;
        append(&right, items(first + 3..first + 8, "right")).await;
        // Both keep a tree in memory, and each makes the other's out of date.
        publish(&right, 2 * round).await;
        append(&left, items(first..first + 1, "again")).await;
        publish(&left, 2 * round + 1).await;
    }
    assert_eq!(left.positions().head, 6 * 11);
    let beside = async |store: &store::Store, first: u128| {
        for update in first..first + 10 {
            append(store, items(update..update + 1, "beside")).await;
        }
    };
    futures::join!(beside(&left, 1000), beside(&right, 2000));
    let signed = publish(&left, 99).await;
    assert_eq!(signed.claimed().position, 6 * 11 + 20);
    assert_eq!(view(&left).await, view(&right).await);
    // A unit that is dropped does not keep the other one waiting.
    drop(left.begin().await.unwrap());
    drop(right.begin().await.unwrap());
    drop(left.begin().await.unwrap());
}

pub async fn a_store_follows_what_another_one_published(place: &Place) {
    let database = place.database().await;
    let (writer, reader) = (database.open().await, database.open().await);
    append(&writer, items(1..5, "a")).await;
    publish(&writer, 1).await;
    assert_eq!(view(&reader).await.len(), 4);
    places(4, 4, reader.read().await.unwrap().positions());
    let generation = reader.positions().generation;
    append(&writer, items(5..6, "a")).await;
    let mut tx = writer.begin().await.unwrap();
    tx.roll_back_unverified().await.unwrap();
    tx.commit().await.unwrap();
    append(&writer, items(6..7, "a")).await;
    assert!(reader.read().await.unwrap().positions().generation > generation);
}
