//! Items that are no revisions: what was decided at the top-level site.

use super::support::*;
use catalog::UpdateId;
use catalog::item::ItemKey;
use store::log::LogSlice;
use store::{Applied, NewItem, Store};
use uuid::Uuid;

fn approval(update: u128, text: &str) -> NewItem {
    NewItem {
        key: approval_key(update),
        header: text.as_bytes().to_vec(),
        document: Vec::new(),
    }
}

fn approval_key(update: u128) -> ItemKey {
    ItemKey::Approval(revision(update, 0).update_id)
}

async fn is_unsigned(store: &Store) -> bool {
    let mut read = store.read().await.unwrap();
    read.has_unsigned_decisions().await.unwrap()
}

/// The whole log: position, key, header, whether removed.
async fn log(store: &Store) -> Vec<(u64, ItemKey, String, bool)> {
    let mut read = store.read().await.unwrap();
    let slice = read.changes_after(0, u64::MAX >> 1, 100, 1 << 20).await;
    let changes = slice.unwrap().changes.into_iter();
    let row = |change: store::ChangeRow| {
        let key = ItemKey::from_bytes(&change.key).unwrap();
        let header = String::from_utf8(change.header).unwrap();
        (change.position, key, header, change.removed)
    };
    changes.map(row).collect()
}

pub async fn a_decision_is_held_once_at_its_last_change(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..3, "a")).await;
    append(&store, vec![approval(1, "install"), approval(2, "install")]).await;
    publish(&store, 1).await;
    append(&store, vec![approval(1, "declined")]).await;
    assert_eq!(
        append(&store, vec![approval(2, "install")]).await.unchanged,
        1
    );
    assert_eq!(remove(&store, &[approval_key(2)]).await, 1);
    // What is shown is whole until the statement covers the change.
    let texts: Vec<_> = log(&store).await.into_iter().map(|row| row.2).collect();
    assert_eq!(texts[2..], ["install", "install", "declined", ""]);
    let signed = publish(&store, 2).await;
    assert_eq!(signed.claimed().items, 3);
    let kept = log(&store).await;
    let approvals = [
        (5, approval_key(1), "declined".to_owned(), false),
        (6, approval_key(2), String::new(), true),
    ];
    assert_eq!(kept[2..], approvals);
}

pub async fn what_was_decided_and_not_signed_is_noticed(place: &Place) {
    let store = place.store().await;
    assert!(!is_unsigned(&store).await);
    append(&store, items(1..4, "a")).await;
    assert!(!is_unsigned(&store).await, "revisions are no decisions");
    append(&store, vec![approval(2, "install")]).await;
    append(&store, items(4..6, "a")).await;
    assert!(is_unsigned(&store).await);
    publish(&store, 1).await;
    assert!(!is_unsigned(&store).await);
    remove(&store, &[approval_key(2)]).await;
    assert!(is_unsigned(&store).await, "taking one out is one too");
}

/// The approvals after a position: of which update, and what.
fn told(rows: Vec<(u64, UpdateId, Vec<u8>)>) -> Vec<(u64, UpdateId, String)> {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let rows = rows.into_iter();
    rows.map(|(position, update, bytes)| (position, update, text(bytes)))
        .collect()
}

pub async fn what_is_held_and_what_is_shown_are_told_apart(place: &Place) {
    let store = place.store().await;
    let update = |number| revision(number, 0).update_id;
    append(&store, items(1..4, "a")).await;
    append(&store, vec![approval(1, "install"), approval(2, "install")]).await;
    publish(&store, 1).await;
    // Update 1 is revised, 3 goes, 5 is new; 1 is decided about anew, and 5 for the first time.
    let item = |id| NewItem {
        key: ItemKey::Revision(id),
        header: b"newer".to_vec(),
        document: Vec::new(),
    };
    let newer = revision(1, 900);
    append(&store, vec![item(newer), item(revision(5, 1))]).await;
    remove(&store, &[key(3)]).await;
    append(
        &store,
        vec![approval(1, "declined"), approval(5, "removal")],
    )
    .await;

    let mut tx = store.begin().await.unwrap();
    let asked = [1, 2, 3, 5, 9].map(update);
    let found = tx.held_updates(&asked).await.unwrap();
    let one = &found[&update(1)];
    assert_eq!(one.newest.id, newer);
    assert_ne!(one.shown.as_ref().unwrap().id, newer);
    let two = &found[&update(2)];
    assert_eq!(two.shown.as_ref(), Some(&two.newest));
    assert!(found[&update(5)].shown.is_none());
    assert!(!found.contains_key(&update(3)), "nothing of it is applied");
    assert!(!found.contains_key(&update(9)));

    let keys = [1, 2, 5, 9].map(approval_key);
    let applied = tx.contents(&keys).await.unwrap();
    let text = |number| applied.get(&approval_key(number)).map(Vec::as_slice);
    assert_eq!(text(1), Some(&b"declined"[..]));
    assert_eq!(text(2), Some(&b"install"[..]));
    assert_eq!((text(5), text(9)), (Some(&b"removal"[..]), None));
    let all = told(tx.approvals_after(0, 10).await.unwrap());
    let words: Vec<_> = all
        .iter()
        .map(|(_, id, what)| (*id, what.as_str()))
        .collect();
    assert_eq!(
        words,
        [
            (update(2), "install"),
            (update(1), "declined"),
            (update(5), "removal")
        ]
    );
    let rest = told(tx.approvals_after(all[0].0, 1).await.unwrap());
    assert_eq!(rest, all[1..2]);
    drop(tx);

    let mut read = store.read().await.unwrap();
    let shown = read.contents(&keys).await.unwrap();
    assert_eq!(shown.len(), 2);
    assert_eq!(shown[&approval_key(1)], b"install");
    let shown = told(read.approvals_after(0, 10).await.unwrap());
    let words: Vec<_> = shown
        .iter()
        .map(|(_, id, what)| (*id, what.as_str()))
        .collect();
    assert_eq!(words, [(update(1), "install"), (update(2), "install")]);
}

pub async fn a_new_epoch_keeps_what_was_decided_in_the_old_one(place: &Place) {
    let store = place.store().await;
    start_epoch(&store, Uuid::from_u128(1)).await;
    append(&store, items(1..3, "a")).await;
    append(&store, vec![approval(1, "install"), approval(2, "install")]).await;
    publish(&store, 1).await;
    // A run was broken off, and three decisions were made beside it, one of them twice.
    append(&store, items(3..5, "lost")).await;
    append(&store, vec![approval(1, "removal"), approval(3, "install")]).await;
    append(&store, vec![approval(1, "declined")]).await;
    remove(&store, &[approval_key(2)]).await;

    let mut tx = store.begin().await.unwrap();
    let epoch = Uuid::from_u128(2);
    tx.continue_in_epoch(epoch, time(2)).await.unwrap();
    let wanted = tx.wanted(10).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(wanted, [revision(3, 1), revision(4, 1)]);
    assert_eq!(store.positions().epoch, epoch);
    let signed = publish(&store, 2).await;
    assert_eq!(signed.claimed().items, 4);
    let decided: Vec<_> = log(&store).await.split_off(2);
    let text = |text: &str| text.to_owned();
    let expected = [
        (5, approval_key(3), text("install"), false),
        (6, approval_key(1), text("declined"), false),
        (7, approval_key(2), text(""), true),
    ];
    assert_eq!(decided, expected);
}

pub async fn revisions_are_counted_apart_from_other_changes(place: &Place) {
    let store = place.store().await;
    append(&store, items(1..4, "a")).await;
    append(&store, vec![approval(2, "install")]).await;
    publish(&store, 1).await;
    remove(&store, &[key(3), approval_key(2)]).await;
    let copy = place.store().await;
    let changes = {
        let mut read = store.read().await.unwrap();
        let slice = read.changes_after(0, u64::MAX >> 1, 100, 1 << 20).await;
        slice.unwrap().changes
    };
    let mut tx = copy.begin().await.unwrap();
    let slice = LogSlice {
        through: changes.last().unwrap().position,
        changes,
    };
    let applied = tx.apply(slice, time(1)).await.unwrap();
    let expected = Applied {
        changes: 6,
        revisions: 3,
        removed: 1,
    };
    assert_eq!(applied, expected);
}

pub async fn settings_are_shown_as_far_as_they_are_verified(place: &Place) {
    let store = place.store().await;
    let settings = |text: &str| NewItem {
        key: ItemKey::Settings,
        header: text.as_bytes().to_vec(),
        document: Vec::new(),
    };
    async fn held(store: &Store) -> (Option<String>, Option<String>) {
        let text = |content: Option<Vec<u8>>| content.map(|c| String::from_utf8(c).unwrap());
        let mut read = store.read().await.unwrap();
        let shown = read.rolled_out_settings().await.unwrap();
        (text(shown), text(read.applied_settings().await.unwrap()))
    }
    let both = |shown: Option<&str>, applied: Option<&str>| {
        (shown.map(str::to_owned), applied.map(str::to_owned))
    };
    assert_eq!(held(&store).await, both(None, None));
    append(&store, items(1..3, "a")).await;
    append(&store, vec![settings("one")]).await;
    assert_eq!(held(&store).await, both(None, Some("one")));
    publish(&store, 1).await;
    append(&store, vec![settings("two"), approval(1, "install")]).await;
    assert_eq!(held(&store).await, both(Some("one"), Some("two")));
    publish(&store, 2).await;
    assert_eq!(held(&store).await, both(Some("two"), Some("two")));
    // They are no revision, and are not listed among them.
    let mut read = store.read().await.unwrap();
    assert_eq!(read.revisions_after(0, 10).await.unwrap().len(), 2);
}
