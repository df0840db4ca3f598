//! Alerts, and what receivers have to be told of them.

use super::support::*;
use store::Store;
use store::alerts::{AlertRow, ENDED_KEPT};
use store::deliveries::{DeliveryRow, MOST_WAITING};
use uuid::Uuid;

fn alert(number: u32, kind: &str, site: &str) -> AlertRow {
    AlertRow {
        id: Uuid::from_u128(number.into()),
        kind: kind.to_owned(),
        site: site.parse().unwrap(),
        subject: String::new(),
        since: time(number.into()),
        raised: Some(time(i64::from(number) + 5)),
        ended: None,
        status_id: 9060,
        inserts: vec![site.to_owned(), "why".to_owned()],
        mark: "7".to_owned(),
        acknowledged: None,
    }
}

async fn put(store: &Store, rows: &[AlertRow]) {
    let mut tx = store.begin().await.unwrap();
    for row in rows {
        tx.put_alert(row).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn open(store: &Store) -> Vec<AlertRow> {
    store.begin().await.unwrap().open_alerts().await.unwrap()
}

async fn listed(store: &Store, ended: bool) -> Vec<AlertRow> {
    let mut read = store.read().await.unwrap();
    read.alerts(ended, 100).await.unwrap()
}

pub async fn an_alert_is_kept_as_it_was_written_last(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    let condition = AlertRow {
        raised: None,
        ..alert(3, "site-silent", "PR1")
    };
    let behind = alert(1, "site-behind", "PR1");
    put(&store, &[condition.clone(), behind.clone()]).await;
    store.close().await;
    let store = database.open().await;
    assert_eq!(open(&store).await, [behind.clone(), condition.clone()]);
    // What is none yet is not shown, and nobody can know of it.
    assert_eq!(listed(&store, true).await, std::slice::from_ref(&behind));
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.alert(condition.id).await.unwrap(), None);
    drop(tx);
    let known = AlertRow {
        acknowledged: Some(("anna".to_owned(), time(9))),
        ended: Some(time(10)),
        ..behind.clone()
    };
    let silent = AlertRow {
        raised: Some(time(8)),
        mark: String::new(),
        ..condition
    };
    put(&store, &[known.clone(), silent.clone()]).await;
    assert_eq!(open(&store).await, std::slice::from_ref(&silent));
    assert_eq!(listed(&store, false).await, std::slice::from_ref(&silent));
    assert_eq!(listed(&store, true).await, [silent.clone(), known.clone()]);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.alert(known.id).await.unwrap(), Some(known));
    // An alert does not go like a condition.
    tx.remove_alert(silent.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(open(&store).await, [silent]);
}

pub async fn of_a_kind_one_alert_is_open_at_a_site(place: &Place) {
    let store = place.store().await;
    let first = alert(1, "disk-low", "PR1");
    put(&store, std::slice::from_ref(&first)).await;
    let mut tx = store.begin().await.unwrap();
    assert!(tx.put_alert(&alert(2, "disk-low", "PR1")).await.is_err());
    drop(tx);
    let other = AlertRow {
        subject: "D".to_owned(),
        ..alert(3, "disk-low", "PR1")
    };
    put(&store, &[other, alert(4, "disk-low", "PR2")]).await;
    let ended = AlertRow {
        ended: Some(time(50)),
        ..first
    };
    put(&store, &[ended, alert(2, "disk-low", "PR1")]).await;
    assert_eq!(open(&store).await.len(), 3);
    let many: Vec<_> = (10..1_200)
        .map(|number| AlertRow {
            subject: number.to_string(),
            ..alert(number, "category-vanished", "CAS")
        })
        .collect();
    put(&store, &many).await;
    assert_eq!(open(&store).await.len(), 3 + many.len());
}

pub async fn a_condition_that_went_leaves_nothing(place: &Place) {
    let store = place.store().await;
    let condition = AlertRow {
        raised: None,
        ..alert(1, "site-silent", "PR1")
    };
    put(&store, std::slice::from_ref(&condition)).await;
    let mut tx = store.begin().await.unwrap();
    tx.remove_alert(condition.id).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(open(&store).await, []);
}

pub async fn old_alerts_are_forgotten_and_open_ones_stay(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    let ended = |number: u32| AlertRow {
        ended: Some(time(i64::from(number) + 10)),
        ..alert(number, "sync-failed", "PR1")
    };
    put(
        &store,
        &[ended(1), ended(2), ended(3), alert(4, "sync-failed", "PR1")],
    )
    .await;
    let mut read = store.read().await.unwrap();
    let old = read.old_history(time(12)).await.unwrap();
    assert_eq!((old.alerts, old.held(), old.old()), ((3, 1), 3, 1));
    drop(read);
    assert_eq!(store.forget_history(time(12), 9).await.unwrap().alerts, 1);
    let left: Vec<u128> = listed(&store, true)
        .await
        .iter()
        .map(|row| row.id.as_u128())
        .collect();
    assert_eq!(left, [4, 3, 2]);
    // Beyond the bound the oldest that ended go.
    let sql = match place.is_postgres() {
        true => {
            "insert into alert select cast(lpad(cast(n as text), 16, '0') as bytea), 'k', 'PR1', '', n, n, 99999999999999 + n, 1, '[]', '', '', null from generate_series(100, 10098) n"
        }
        false => {
            "with recursive c(n) as (select 100 union all select n + 1 from c where n < 10098) \
                  insert into alert select cast(printf('%016d', n) as blob), 'k', 'PR1', '', n, n, 99999999999999 + n, 1, '[]', '', '', null from c"
        }
    };
    database.sql(sql).await;
    put(&store, &[ended(5)]).await;
    let held = async || {
        let count = "select cast(count(*) as text) from alert where ended is not null";
        database.rows(count).await[0][0].parse::<u64>().unwrap()
    };
    assert_eq!(held().await, ENDED_KEPT);
    let left: Vec<u128> = open(&store)
        .await
        .iter()
        .map(|row| row.id.as_u128())
        .collect();
    assert_eq!(left, [4]);
}

async fn queue(store: &Store, about: &AlertRow, receivers: &[&str], minute: i64) {
    let receivers: Vec<String> = receivers.iter().map(|name| (*name).to_owned()).collect();
    let mut tx = store.begin().await.unwrap();
    let body = format!("{{\"minute\":{minute}}}");
    tx.queue_delivery(&receivers, about, &body, time(minute))
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn next(store: &Store) -> Vec<DeliveryRow> {
    store.read().await.unwrap().next_deliveries().await.unwrap()
}

pub async fn nothing_overtakes_on_its_way_to_a_receiver(place: &Place) {
    let store = place.store().await;
    let about = alert(1, "site-silent", "PR1");
    queue(&store, &about, &["one", "two"], 1).await;
    queue(&store, &about, &["one"], 2).await;
    let first = next(&store).await;
    let told: Vec<_> = first
        .iter()
        .map(|row| (row.receiver.as_str(), row.created))
        .collect();
    assert_eq!(told, [("one", time(1)), ("two", time(1))]);
    let mut tx = store.begin().await.unwrap();
    tx.postpone_delivery(first[0].sequence, time(30))
        .await
        .unwrap();
    tx.remove_delivery(first[1].sequence).await.unwrap();
    tx.commit().await.unwrap();
    let waiting = next(&store).await;
    assert_eq!(waiting.len(), 1);
    let expected = DeliveryRow {
        attempts: 1,
        next_attempt: time(30),
        ..first[0].clone()
    };
    assert_eq!(waiting, [expected]);
    let mut tx = store.begin().await.unwrap();
    tx.remove_delivery(first[0].sequence).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(next(&store).await[0].body, "{\"minute\":2}");
}

pub async fn what_a_receiver_did_not_take_for_long_goes_at_once(place: &Place) {
    let store = place.store().await;
    let about = alert(1, "site-silent", "PR1");
    for minute in 1..=4 {
        queue(&store, &about, &["one", "two"], minute).await;
    }
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.remove_deliveries("one", time(3)).await.unwrap(), 3);
    assert_eq!(tx.remove_deliveries("one", time(3)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    let waiting = next(&store).await;
    let waiting: Vec<_> = waiting
        .iter()
        .map(|row| (row.receiver.as_str(), row.created))
        .collect();
    assert_eq!(waiting, [("two", time(1)), ("one", time(4))]);
}

pub async fn what_waits_for_receivers_is_bounded(place: &Place) {
    let store = place.store().await;
    let ended = AlertRow {
        ended: Some(time(9)),
        ..alert(2, "site-silent", "PR1")
    };
    put(&store, &[alert(1, "site-behind", "PR1"), ended.clone()]).await;
    let receivers: Vec<String> = (0..MOST_WAITING).map(|number| number.to_string()).collect();
    let mut tx = store.begin().await.unwrap();
    let open = alert(1, "site-behind", "PR1");
    tx.queue_delivery(&receivers, &open, "open", time(1))
        .await
        .unwrap();
    assert_eq!(tx.bound_deliveries().await.unwrap(), []);
    tx.queue_delivery(&receivers[..1], &ended, "ended", time(2))
        .await
        .unwrap();
    tx.queue_delivery(&receivers[..1], &open, "open again", time(3))
        .await
        .unwrap();
    let dropped = tx.bound_deliveries().await.unwrap();
    let dropped: Vec<&str> = dropped.iter().map(|row| row.body.as_str()).collect();
    assert_eq!(dropped, ["ended", "open"]);
    assert_eq!(tx.bound_deliveries().await.unwrap(), []);
    tx.commit().await.unwrap();
    assert_eq!(next(&store).await.len() as u64, MOST_WAITING);
}
