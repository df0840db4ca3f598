//! What is remembered of what was taken in beside the synchronization source.

use super::support::*;
use catalog::UpdateId;
use catalog::item::{ItemKey, approval_keys};
use std::collections::{HashMap, HashSet};
use store::NewItem;
use store::packages::{PackageMark, PackageSource};
use uuid::Uuid;

fn update(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

fn source(number: u128, position: u64) -> PackageSource {
    PackageSource {
        hierarchy: Uuid::from_u128(number),
        key: [7; 32],
        epoch: Uuid::from_u128(number + 1),
        position,
        issued: time(3),
        imported: time(4),
        history: (1..=position)
            .map(|position| PackageMark {
                position,
                issued: time(2),
                root: "ab12".to_owned(),
            })
            .collect(),
    }
}

pub async fn one_hierarchy_is_the_source_of_packages(place: &Place) {
    let store = place.store().await;
    assert_eq!(
        store.read().await.unwrap().package_source().await.unwrap(),
        None
    );
    for expected in [source(1, 5), source(1, 9), source(2, 3)] {
        let mut tx = store.begin().await.unwrap();
        tx.put_package_source(&expected).await.unwrap();
        assert_eq!(tx.package_source().await.unwrap(), Some(expected.clone()));
        tx.commit().await.unwrap();
        let held = store.read().await.unwrap().package_source().await.unwrap();
        assert_eq!(held, Some(expected));
    }
}

pub async fn what_was_imported_is_known_until_it_is_forgotten(place: &Place) {
    let store = place.store().await;
    let many: HashSet<UpdateId> = (1..=500).map(update).collect();
    let mut tx = store.begin().await.unwrap();
    tx.note_imported(&many, "wsusutil").await.unwrap();
    tx.note_imported(&HashSet::from([update(7)]), "another")
        .await
        .unwrap();
    // What was noted before stays.
    tx.note_also_imported(&HashSet::from([update(8), update(501)]), "third")
        .await
        .unwrap();
    tx.forget_imported(&HashSet::from([update(9)]))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let asked: Vec<UpdateId> = (0..=600).map(update).collect();
    let found = store.read().await.unwrap().imported(&asked).await.unwrap();
    let mut expected: HashMap<UpdateId, String> = many
        .into_iter()
        .map(|update| (update, "wsusutil".to_owned()))
        .collect();
    expected.insert(update(7), "another".to_owned());
    expected.insert(update(501), "third".to_owned());
    expected.remove(&update(9));
    assert_eq!(found, expected);
}

pub async fn records_are_given_out_as_they_are_verified(place: &Place) {
    let store = place.store().await;
    let record = |number: u128, text: &str| NewItem {
        key: ItemKey::Approval(update(number)),
        header: text.as_bytes().to_vec(),
        document: Vec::new(),
    };
    start_epoch(&store, Uuid::from_u128(1)).await;
    append(
        &store,
        vec![record(1, "one"), record(2, "two"), item(3, "x")],
    )
    .await;
    publish(&store, 1).await;
    append(&store, vec![record(2, "later"), record(4, "four")]).await;
    remove(&store, &[ItemKey::Approval(update(1))]).await;
    let mut read = store.read().await.unwrap();
    let rows = read
        .verified_records(approval_keys(), None, 10)
        .await
        .unwrap();
    let texts: Vec<_> = rows.iter().map(|row| row.record.as_slice()).collect();
    assert_eq!(texts, [b"one".as_slice(), b"two"]);
    let behind = Some(ItemKey::Approval(update(1)));
    let rows = read
        .verified_records(approval_keys(), behind, 10)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
}
