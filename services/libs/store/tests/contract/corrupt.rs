//! A row that our rules forbid is an error that says so.

use super::support::*;
use store::status::StatusRow;
use store::{Error, Store};

fn is_corrupt<T: std::fmt::Debug>(result: Result<T, Error>, why: &str) {
    assert!(
        matches!(result, Err(Error::Corrupt { .. })),
        "{why}: {result:?}"
    );
}

/// A database with a verified part, an applied part and something in every table.
async fn filled(place: &Place) -> (Database, Store) {
    let database = place.database().await;
    let store = database.open().await;
    start_epoch(&store, EPOCH).await;
    append(&store, items(1..6, "a")).await;
    publish(&store, 1).await;
    append(&store, items(6..8, "b")).await;
    (database, store)
}

pub async fn a_broken_position_is_an_error(place: &Place) {
    for (name, value) in [
        ("head", "000000"),
        ("head", "ffffffffffffffff"),
        ("head", ""),
        ("verified", "0000000000000099"),
        ("epoch", "00112233"),
        ("generation", "01"),
    ] {
        let (database, store) = filled(place).await;
        let sql = format!("update site_state set value = x'{value}' where name = '{name}'");
        database.sql(&sql).await;
        is_corrupt(store.begin().await.map(drop), name);
        is_corrupt(store.read().await.map(drop), name);
        is_corrupt(Store::open(&database.location).await.map(drop), name);
    }
    let (database, store) = filled(place).await;
    database
        .sql("update site_state set value = x'0000000000000000' where name = 'items'")
        .await;
    let mut tx = store.begin().await.unwrap();
    tx.remove(&[key(1), key(2), key(3)], time(1)).await.unwrap();
    is_corrupt(tx.summarize().await, "fewer items than were removed");
    drop(tx);
    database
        .sql("insert into site_state (name, value) values ('newest-statement', x'0102')")
        .await;
    let signed = state(EPOCH, 7, 7, [0; 32], 9);
    is_corrupt(accept(&store, &signed).await, "newest statement");
    database
        .sql("insert into site_state (name, value) values ('floor', x'00')")
        .await;
    is_corrupt(store.read().await.unwrap().floor().await, "floor");
}

pub async fn a_broken_item_is_an_error(place: &Place) {
    for breaking in [
        "update item set digest = x'0102' where position = 6",
        "update item set bucket = 70000 where position = 6",
        "update item set bucket = -1 where position = 6",
    ] {
        let (database, store) = filled(place).await;
        database.sql(breaking).await;
        let mut tx = store.begin().await.unwrap();
        is_corrupt(tx.summarize().await, breaking);
    }
    let (database, store) = filled(place).await;
    database
        .sql("update item set key = x'09' where position = 2")
        .await;
    let mut read = store.read().await.unwrap();
    is_corrupt(read.revisions_after(0, 10).await, "an unknown kind of key");
    drop(read);
    let (database, store) = filled(place).await;
    database
        .sql("update item set digest = x'01' where position = 7")
        .await;
    let mut tx = store.begin().await.unwrap();
    is_corrupt(tx.append(items(7..8, "c"), time(1)).await, "a short digest");
    is_corrupt(tx.held(&[key(7)]).await, "a short digest");
}

pub async fn a_broken_tree_is_an_error(place: &Place) {
    for breaking in [
        "update merkle_node set buckets = x'010203'",
        "update merkle_node set node = 300 where node = 255",
        "update merkle_node set node = -1 where node = 255",
    ] {
        let (database, store) = filled(place).await;
        store.close().await;
        database.sql(breaking).await;
        let store = database.open().await;
        let mut tx = store.begin().await.unwrap();
        is_corrupt(tx.summarize().await, breaking);
    }
}

pub async fn a_broken_message_is_an_error(place: &Place) {
    for breaking in [
        "update status_message set inserts = 'no list'",
        "update status_message set site = 'far away'",
        "update status_message set run = x'0102'",
        "update status_message set status_id = -5",
        "update status_message set time = 9223372036854775807",
        "update status_message set number = -2",
    ] {
        let (database, store) = filled(place).await;
        let mut tx = store.begin().await.unwrap();
        let row = StatusRow {
            site: "PR1".parse().unwrap(),
            number: 0,
            time: time(0),
            status_id: 6701,
            run: None,
            inserts: vec![],
        };
        tx.record_status(row, true).await.unwrap();
        tx.commit().await.unwrap();
        database.sql(breaking).await;
        let mut read = store.read().await.unwrap();
        is_corrupt(read.status_messages(None, 9).await, breaking);
    }
}

pub async fn a_broken_row_elsewhere_is_an_error(place: &Place) {
    let (database, store) = filled(place).await;
    database
        .sql(
            "insert into sync_run values (x'01', 1, null, 'Completed', 0, 0, 0, 0, 0, 0, 0, '', 0, '', 0, ''); \
             insert into site_run values (x'00112233445566778899aabbccddeeff', 'PR1', null, null, -1, 0, null, null, \
             '', '', null, '[]'), (x'10112233445566778899aabbccddeeff', 'PR1', null, null, null, null, null, null, \
             '', '', 1, 'no list'); \
             insert into site values ('PR1', 'branch', 'CAS', 0, null, x'', '[]'); \
             insert into join_token values (x'01', 'PR1', 'primary', 'nowhere', 0, null, null); \
             insert into site_report values ('PR1', -1, x''); \
             insert into quarantine values (x'01', 1, 0, ''); \
             insert into wanted values (x'00112233445566778899aabbccddeeff', -1)",
        )
        .await;
    let mut read = store.read().await.unwrap();
    is_corrupt(read.runs(9).await, "run");
    is_corrupt(read.last_success().await, "run");
    for run in ["00", "10"] {
        let run = format!("{run}112233445566778899aabbccddeeff");
        is_corrupt(read.site_runs(run.parse().unwrap()).await, "part");
    }
    is_corrupt(read.sites().await, "site");
    is_corrupt(read.site_reports().await, "report");
    is_corrupt(read.quarantined(9).await, "quarantine");
    drop(read);
    let mut tx = store.begin().await.unwrap();
    is_corrupt(tx.join_token(&[1]).await, "join token");
    is_corrupt(tx.wanted(9).await, "wanted");
}
