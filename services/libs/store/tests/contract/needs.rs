//! Which update needs which content file.

use super::support::*;
use catalog::content::ContentFile;
use catalog::needed::Reason;
use catalog::{RevisionId, UpdateId};
use store::Store;
use store::content::ContentState;
use store::needs::ContentPlan;

fn file(number: u8) -> ContentFile {
    ContentFile {
        sha1: [number; 20],
        sha256: Some([number; 32]),
        size: 1000 + u64::from(number),
        name: format!("{number}.cab"),
        url: Some(format!("http://source/{number}")),
    }
}

fn update(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

fn plan(of: u128, files: &[(u8, Reason)]) -> ContentPlan {
    ContentPlan {
        update: update(of),
        files: files
            .iter()
            .map(|(number, reason)| (file(*number), *reason))
            .collect(),
        awaited: Vec::new(),
    }
}

/// Takes plans over at a minute; how many files nothing needs any more.
async fn take(store: &Store, plans: &[ContentPlan], minute: i64) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let let_go = tx.plan_content(plans, time(minute)).await.unwrap();
    tx.commit().await.unwrap();
    let_go
}

async fn state(store: &Store, number: u8) -> Option<(ContentState, u8)> {
    let row = store.read().await.unwrap().content(&[number; 20]).await;
    row.unwrap().map(|row| (row.state, row.priority))
}

async fn unneeded(store: &Store, minute: i64) -> Vec<u8> {
    let mut read = store.read().await.unwrap();
    let found = read.content_unneeded_since(time(minute), 10).await.unwrap();
    found.into_iter().map(|found| found.sha1[0]).collect()
}

pub async fn a_file_is_wanted_as_long_as_an_update_needs_it(place: &Place) {
    use Reason::{Approved, Immediate, LicenceTerms};
    let store = place.store().await;
    let both = [
        plan(1, &[(1, Approved), (2, LicenceTerms)]),
        plan(2, &[(1, Immediate), (3, Immediate)]),
    ];
    for _ in 0..2 {
        // Planning again changes nothing.
        assert_eq!(take(&store, &both, 1).await, 0);
        assert_eq!(state(&store, 1).await, Some((ContentState::Wanted, 10)));
        assert_eq!(state(&store, 2).await, Some((ContentState::Wanted, 30)));
        assert_eq!(state(&store, 3).await, Some((ContentState::Wanted, 0)));
    }
    let needs = async |number: u8| {
        let mut read = store.read().await.unwrap();
        let needs = read.content_needs(&[number; 20], 10).await.unwrap();
        needs
            .into_iter()
            .map(|need| (need.update.unwrap(), need.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        needs(1).await,
        [(update(1), Approved), (update(2), Immediate)]
    );
    // One of the two does not need it any more.
    assert_eq!(take(&store, &[plan(1, &[(2, LicenceTerms)])], 2).await, 0);
    assert_eq!(state(&store, 1).await, Some((ContentState::Wanted, 10)));
    assert_eq!(take(&store, &[plan(2, &[(3, Immediate)])], 3).await, 1);
    assert_eq!(state(&store, 1).await.unwrap().0, ContentState::Unneeded);
    assert_eq!(needs(1).await, []);
    assert_eq!(unneeded(&store, 2).await, [0_u8; 0]);
    assert_eq!(unneeded(&store, 3).await, [1]);
    // Needed again, and not: the time begins anew.
    take(&store, &[plan(1, &[(1, Approved)])], 4).await;
    assert_eq!(unneeded(&store, 100).await, [2]);
    assert_eq!(state(&store, 1).await.unwrap().0, ContentState::Wanted);
    take(&store, &[plan(1, &[])], 5).await;
    assert_eq!(unneeded(&store, 4).await, [2]);
    assert_eq!(unneeded(&store, 5).await, [2, 1]);
    let mut read = store.read().await.unwrap();
    let with = read.updates_with_content(None, 10).await.unwrap();
    assert_eq!(with, [update(2)]);
    assert!(
        read.updates_with_content(Some(update(2)), 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn a_package_carries_what_is_needed_and_here(place: &Place) {
    let store = place.store().await;
    let needs = [
        (1, Reason::Approved),
        (2, Reason::LicenceTerms),
        (3, Reason::Approved),
    ];
    take(
        &store,
        &[plan(1, &needs), plan(2, &[(2, Reason::Approved)])],
        1,
    )
    .await;
    let mut tx = store.begin().await.unwrap();
    for number in [1, 2] {
        tx.content_came(&[number; 20], time(2)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let present = async |read: &mut store::Read<'_>, last: Option<u8>| {
        let last = last.map(|last| [last; 20]);
        let rows = read.present_content_after(last.as_ref(), 10).await.unwrap();
        rows.iter().map(|row| row.file.sha1[0]).collect::<Vec<_>>()
    };
    assert_eq!(present(&mut read, None).await, [1, 2]);
    assert_eq!(present(&mut read, Some(1)).await, [2]);
    let found = read.needs_of(&[[1; 20], [2; 20], [9; 20]]).await.unwrap();
    assert_eq!(found.len(), 2);
    let of = |number: u8| {
        let needs = found[&[number; 20]].iter();
        let mut needs: Vec<_> = needs
            .map(|need| (need.update.unwrap(), need.reason))
            .collect();
        needs.sort_unstable();
        needs
    };
    assert_eq!(of(1), [(update(1), Reason::Approved)]);
    let expected = [
        (update(1), Reason::LicenceTerms),
        (update(2), Reason::Approved),
    ];
    assert_eq!(of(2), expected);
    drop(read);
    // What nothing needs any more is not carried, though it is here.
    take(&store, &[plan(1, &[])], 3).await;
    let mut read = store.read().await.unwrap();
    assert_eq!(present(&mut read, None).await, [2]);
}

pub async fn licence_terms_that_are_missing_are_told(place: &Place) {
    let store = place.store().await;
    let needs = plan(1, &[(1, Reason::LicenceTerms), (2, Reason::Approved)]);
    let others = plan(2, &[(1, Reason::LicenceTerms)]);
    take(&store, &[needs, others], 1).await;
    let missing = async || {
        let mut read = store.read().await.unwrap();
        let missing = read.missing_licence_terms().await.unwrap();
        (missing.files, missing.updates, missing.untried)
    };
    assert_eq!(missing().await, (1, 2, 1));
    let mut tx = store.begin().await.unwrap();
    tx.content_came(&[1; 20], time(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(missing().await, (0, 0, 0));
}

pub async fn what_waits_for_a_member_is_found_by_it(place: &Place) {
    let store = place.store().await;
    let member = RevisionId::new(update(9), 7);
    let waiting = ContentPlan {
        awaited: vec![member],
        ..plan(1, &[])
    };
    take(&store, std::slice::from_ref(&waiting), 1).await;
    let found = async |id| {
        let mut read = store.read().await.unwrap();
        read.updates_awaiting(&[id]).await.unwrap()
    };
    assert_eq!(found(member).await, [update(1)]);
    assert!(found(RevisionId::new(update(9), 8)).await.is_empty());
    take(&store, &[plan(1, &[(1, Reason::Approved)])], 2).await;
    assert!(found(member).await.is_empty());
}

pub async fn a_downstream_server_asks_for_what_the_catalog_names(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    tx.name_content(&[file(1), file(2), file(1)]).await.unwrap();
    let wishes = [[1; 20], [7; 20], [1; 20]];
    let unknown = tx.ask_for_content(&wishes, time(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(unknown, [[7; 20]]);
    assert_eq!(state(&store, 1).await, Some((ContentState::Wanted, 5)));
    assert_eq!(state(&store, 7).await, None);
    {
        let mut read = store.read().await.unwrap();
        let needs = read.content_needs(&[1; 20], 10).await.unwrap();
        assert_eq!((needs[0].update, needs[0].reason), (None, Reason::Asked));
        let named = read.named_content(&[[1; 20], [7; 20]]).await.unwrap();
        assert_eq!(named.len(), 1);
        assert_eq!(named[&[1; 20]], file(1));
    }
    let forget = async |before: i64| {
        let mut tx = store.begin().await.unwrap();
        let forgotten = tx.forget_asked(time(before), 10, time(50)).await.unwrap();
        tx.commit().await.unwrap();
        forgotten
    };
    assert_eq!(forget(1).await, 0);
    assert_eq!(forget(2).await, 1);
    assert_eq!(state(&store, 1).await.unwrap().0, ContentState::Unneeded);
    assert_eq!(unneeded(&store, 50).await, [1]);
}

pub async fn the_clean_up_counts_what_nothing_needs(place: &Place) {
    let store = place.store().await;
    let needs: Vec<_> = (1..4).map(|number| (number, Reason::Approved)).collect();
    take(&store, &[plan(1, &needs)], 1).await;
    let mut tx = store.begin().await.unwrap();
    tx.content_came(&[1; 20], time(1)).await.unwrap();
    tx.content_came(&[2; 20], time(1)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(take(&store, &[plan(1, &needs[1..])], 2).await, 1);
    assert_eq!(take(&store, &[plan(1, &needs[2..])], 5).await, 1);
    let count = async |minute: i64| {
        let mut read = store.read().await.unwrap();
        let (old, all) = read.count_unneeded_content(time(minute)).await.unwrap();
        ((old.files, old.bytes), (all.files, all.bytes))
    };
    assert_eq!(count(2).await, ((1, 1001), (2, 2003)));
    assert_eq!(count(5).await, ((2, 2003), (2, 2003)));
    let mut tx = store.begin().await.unwrap();
    assert!(tx.forget_content(&[1; 20]).await.unwrap());
    assert_eq!(tx.note_unneeded_content(time(9)).await.unwrap(), 0);
    tx.unwant_content(&[[3; 20]]).await.unwrap();
    // Nobody said since when.
    assert_eq!(tx.note_unneeded_content(time(9)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(unneeded(&store, 8).await, [2]);
    assert_eq!(unneeded(&store, 9).await, [2, 3]);
}
