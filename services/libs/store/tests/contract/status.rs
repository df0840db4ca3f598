//! Status messages and their outbox.

use super::support::*;
use catalog::PointId;
use store::Store;
use store::status::{STATUS_MESSAGES_KEPT, StatusPlace, StatusRow, StatusSpan};
use uuid::Uuid;

fn message(site: &str, number: u64, minute: i64) -> StatusRow {
    StatusRow {
        site: site.parse().unwrap(),
        number,
        time: time(minute),
        status_id: 6702,
        run: Some(Uuid::from_u128(7)),
        inserts: vec!["PR1".to_owned(), format!("message {number}")],
    }
}

async fn record(store: &Store, row: StatusRow, has_parent: bool) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let number = tx.record_status(row, has_parent).await.unwrap();
    tx.commit().await.unwrap();
    number
}

async fn relay(store: &Store, row: &StatusRow) -> bool {
    let mut tx = store.begin().await.unwrap();
    let new = tx.relay_status(row, true).await.unwrap();
    tx.commit().await.unwrap();
    new
}

/// The number of the first message of a database, when it happens at minute 0.
fn first_number() -> u64 {
    time(0).as_millisecond().try_into().unwrap()
}

pub async fn messages_are_numbered_from_the_first_ones_time(place: &Place) {
    let store = place.store().await;
    for (minute, number) in [(0, 0), (9, 1), (-9, 2)] {
        let given = record(&store, message("PR1", 99, minute), false).await;
        assert_eq!(given, first_number() + number);
    }
    let mut read = store.read().await.unwrap();
    let kept = read.status_messages(None, 10).await.unwrap();
    let expected = StatusRow {
        number: first_number() + 1,
        ..message("PR1", 99, 9)
    };
    assert_eq!(kept[0], expected);
    assert_eq!(read.outbox_length().await.unwrap(), 0, "it has no parent");
}

pub async fn a_site_that_lost_its_database_repeats_no_number(place: &Place) {
    let (lost, rebuilt) = (place.store().await, place.store().await);
    let mut last = 0;
    for _ in 0..50 {
        last = record(&lost, message("PR1", 0, 0), true).await;
    }
    assert!(record(&rebuilt, message("PR1", 0, 1), true).await > last);
}

pub async fn a_relayed_message_is_stored_once(place: &Place) {
    let store = place.store().await;
    assert!(relay(&store, &message("SE1", 5, 0)).await);
    assert!(!relay(&store, &message("SE1", 5, 9)).await);
    assert!(relay(&store, &message("SE2", 5, 0)).await);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.outbox_length().await.unwrap(), 2);
    let site: PointId = "SE1".parse().unwrap();
    let kept = read.status_messages(Some(site), 10).await.unwrap();
    assert_eq!(kept, [message("SE1", 5, 0)]);
}

pub async fn a_message_that_comes_back_is_passed_on_again(place: &Place) {
    let store = place.store().await;
    let own = record(&store, message("PR1-2", 0, 1), true).await;
    let mut tx = store.begin().await.unwrap();
    tx.acknowledge_status(u64::MAX >> 1).await.unwrap();
    tx.commit().await.unwrap();
    let length = async || store.read().await.unwrap().outbox_length().await.unwrap();
    assert_eq!(length().await, 0);
    // The parent that acknowledged it is below this point now, and has not passed it on.
    for _ in 0..2 {
        let mut tx = store.begin().await.unwrap();
        let row = message("PR1-2", own, 1);
        assert!(!tx.relay_status(&row, true).await.unwrap());
        let new = message("SE1", 7, 1);
        tx.relay_status(&new, true).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(length().await, 2);
    }
    let kept = store.read().await.unwrap().status_messages(None, 10).await;
    assert_eq!(kept.unwrap().len(), 2);
}

pub async fn the_outbox_keeps_its_order_until_it_is_acknowledged(place: &Place) {
    let store = place.store().await;
    record(&store, message("PR1", 0, 5), true).await;
    relay(&store, &message("SE2", 40, 1)).await;
    relay(&store, &message("SE1", 7, 9)).await;
    record(&store, message("PR1", 0, 2), true).await;
    let waiting = async |most| {
        let mut read = store.read().await.unwrap();
        let rows = read.outbox(most).await.unwrap();
        rows.into_iter()
            .map(|(sequence, row)| (sequence, row.site.to_string(), row.number))
            .collect::<Vec<_>>()
    };
    let expected = [
        (1, "PR1".to_owned(), first_number() + 5 * 60_000),
        (2, "SE2".to_owned(), 40),
        (3, "SE1".to_owned(), 7),
        (4, "PR1".to_owned(), first_number() + 5 * 60_000 + 1),
    ];
    assert_eq!(waiting(10).await, expected);
    assert_eq!(waiting(2).await, expected[..2]);
    for acknowledged in [3, 2, 3] {
        let mut tx = store.begin().await.unwrap();
        tx.acknowledge_status(acknowledged).await.unwrap();
        tx.commit().await.unwrap();
    }
    assert_eq!(waiting(10).await, expected[3..]);
    // A sequence is never given out twice, also when the outbox was empty in between.
    let mut tx = store.begin().await.unwrap();
    tx.acknowledge_status(4).await.unwrap();
    tx.commit().await.unwrap();
    relay(&store, &message("SE1", 8, 9)).await;
    assert_eq!(waiting(10).await, [(5, "SE1".to_owned(), 8)]);
}

pub async fn a_dropped_message_uses_up_no_number(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    let number = tx.record_status(message("PR1", 0, 0), true).await.unwrap();
    assert_eq!(number, first_number());
    drop(tx);
    let again = record(&store, message("PR1", 0, 0), true).await;
    assert_eq!(again, number);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.outbox_length().await.unwrap(), 1);
}

pub async fn the_newest_messages_come_first(place: &Place) {
    let store = place.store().await;
    for (site, number, minute) in [("SE1", 1, 30), ("SE2", 9, 10), ("SE1", 2, 20)] {
        relay(&store, &message(site, number, minute)).await;
    }
    let mut read = store.read().await.unwrap();
    let all = read.status_messages(None, 2).await.unwrap();
    assert_eq!(all, [message("SE1", 1, 30), message("SE1", 2, 20)]);
    let of_one = read
        .status_messages(Some("SE1".parse().unwrap()), 9)
        .await
        .unwrap();
    assert_eq!(of_one, [message("SE1", 2, 20), message("SE1", 1, 30)]);
}

pub async fn a_walk_by_time_meets_every_message_once(place: &Place) {
    let store = place.store().await;
    // Several at one instant, some of one site, one that is late.
    let all = [
        message("SE1", 4, 30),
        message("SE2", 9, 20),
        message("SE1", 3, 20),
        message("SE1", 2, 20),
        message("PR1", 7, 20),
        message("SE1", 1, 10),
    ];
    for row in all.iter().rev() {
        relay(&store, row).await;
    }
    let mut read = store.read().await.unwrap();
    for step in 1..=7 {
        let (mut met, mut after) = (Vec::new(), None);
        loop {
            let part = read
                .status_by_time(StatusSpan::default(), after, step)
                .await
                .unwrap();
            assert!(part.len() <= step as usize);
            let Some(last) = part.last() else { break };
            after = Some(StatusPlace::of(last));
            met.extend(part);
        }
        assert_eq!(met, all, "{step} at a time");
    }
    let mut within = async |first: Option<i64>, last: Option<i64>| {
        let span = StatusSpan {
            first: first.map(time),
            last: last.map(time),
        };
        let met = read.status_by_time(span, None, 10).await.unwrap();
        met.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(within(Some(20), None).await, [4, 9, 3, 2, 7]);
    assert_eq!(within(None, Some(20)).await, [9, 3, 2, 7, 1]);
    assert_eq!(within(Some(11), Some(20)).await, [9, 3, 2, 7]);
    assert_eq!(within(Some(21), Some(29)).await, [0; 0]);
}

pub async fn the_messages_of_a_site_are_walked_by_number(place: &Place) {
    let store = place.store().await;
    for number in [1, 2, 3] {
        relay(&store, &message("SE1", number, 0)).await;
        relay(&store, &message("SE2", number, 0)).await;
    }
    let mut read = store.read().await.unwrap();
    let site: PointId = "SE1".parse().unwrap();
    let mut numbers = async |before, most| {
        let rows = read.status_of_site(site, before, most).await.unwrap();
        assert!(rows.iter().all(|row| row.site == site));
        rows.into_iter().map(|row| row.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(None, 2).await, [3, 2]);
    assert_eq!(numbers(Some(2), 2).await, [1]);
    assert_eq!(numbers(Some(1), 2).await, [0; 0]);
}

pub async fn pruning_keeps_the_newest_and_the_outbox(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    relay(&store, &message("SE1", 1, 0)).await;
    // All at one instant: the number decides which are the oldest.
    let numbers = STATUS_MESSAGES_KEPT + 5;
    let time = time(0).as_millisecond();
    database
        .sql(&format!(
            "with recursive n (n) as (select 1 union all select n + 1 from n where n < {numbers}) \
             insert into status_message (site, number, time, status_id, inserts) \
             select 'SE2', n, {time}, 6702, '[]' from n"
        ))
        .await;
    let mut tx = store.begin().await.unwrap();
    assert_eq!(
        tx.prune_status().await.unwrap(),
        5,
        "one of six waits for the parent"
    );
    assert_eq!(tx.prune_status().await.unwrap(), 0);
    tx.commit().await.unwrap();
    let oldest = database
        .rows("select cast(min(number) as text) from status_message where site = 'SE2'")
        .await;
    assert_eq!(oldest[0][0], "6");
    let mut read = store.read().await.unwrap();
    assert_eq!(read.outbox(9).await.unwrap()[0].1, message("SE1", 1, 0));
}

pub async fn a_new_parent_is_sent_what_the_one_before_acknowledged(place: &Place) {
    let store = place.store().await;
    let (site, code) = ("SE1".parse().unwrap(), |text: &str| text.parse().unwrap());
    let address = async |parent: &str| {
        let mut tx = store.begin().await.unwrap();
        let again = tx.address_outbox(site, code(parent)).await.unwrap();
        tx.commit().await.unwrap();
        again
    };
    let waiting = async || {
        let mut read = store.read().await.unwrap();
        let waiting = read.outbox(100).await.unwrap();
        let waiting = waiting
            .into_iter()
            .map(|(sequence, row)| (sequence, row.number));
        waiting.collect::<Vec<_>>()
    };
    // A site that joins has nothing to repeat.
    assert_eq!(address("PR1").await, 0);
    let first = record(&store, message("SE1", 0, 0), true).await;
    record(&store, message("SE1", 0, 1), true).await;
    relay(&store, &message("SE2", 5, 0)).await;
    let mut tx = store.begin().await.unwrap();
    tx.acknowledge_status(3).await.unwrap();
    tx.commit().await.unwrap();
    record(&store, message("SE1", 0, 2), true).await;
    assert_eq!(waiting().await, [(4, first + 2)]);
    // The same parent has them.
    assert_eq!(address("PR1").await, 0);
    // Another one may not; its own messages only, in their order, behind what waits already.
    assert_eq!(address("PR2").await, 2);
    let all = [(4, first + 2), (5, first), (6, first + 1)];
    assert_eq!(waiting().await, all);
    assert_eq!(address("PR2").await, 0);
    assert_eq!(waiting().await, all);
    // Back again: what waits is not put in twice.
    assert_eq!(address("PR1").await, 0);
    assert_eq!(waiting().await, all);
    record(&store, message("SE1", 0, 3), true).await;
    assert_eq!(waiting().await[3], (7, first + 3));
}

pub async fn any_text_is_kept(place: &Place) {
    let store = place.store().await;
    let mut row = message("SE1", 1, 0);
    row.inserts = vec![
        "\0 \u{1f} '\"; drop table item; -- \u{10ffff}".to_owned(),
        String::new(),
    ];
    relay(&store, &row).await;
    let mut read = store.read().await.unwrap();
    assert_eq!(read.status_messages(None, 1).await.unwrap(), [row]);
}
