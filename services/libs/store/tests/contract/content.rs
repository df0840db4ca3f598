//! Content files that a site wants or holds.

use super::support::*;
use catalog::content::ContentFile;
use store::Store;
use store::content::{
    ContentFailure, ContentRow, ContentState, ContentTotals, PRIORITY_AHEAD, PRIORITY_APPROVED,
    PRIORITY_ASKED, PRIORITY_LICENCE,
};

fn file(number: u8, size: u64) -> ContentFile {
    ContentFile {
        sha1: [number; 20],
        sha256: Some([number; 32]),
        size,
        name: format!("kb{number}.cab"),
        url: Some(format!("http://origin/{number}")),
    }
}

async fn want(store: &Store, files: &[ContentFile], priority: u8, now: i64) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let wanted = tx.want_content(files, priority, time(now)).await.unwrap();
    tx.commit().await.unwrap();
    wanted
}

async fn unwant(store: &Store, numbers: &[u8]) -> u64 {
    let ids: Vec<_> = numbers.iter().map(|number| [*number; 20]).collect();
    let mut tx = store.begin().await.unwrap();
    let unwanted = tx.unwant_content(&ids).await.unwrap();
    tx.commit().await.unwrap();
    unwanted
}

async fn came(store: &Store, number: u8, now: i64) {
    let mut tx = store.begin().await.unwrap();
    tx.content_came(&[number; 20], time(now)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn failed(store: &Store, number: u8, had: u64, next: i64, quarantined: bool) {
    let failure = ContentFailure {
        why: "no answer",
        had,
        next_attempt: time(next),
        quarantined,
        counts: true,
    };
    let mut tx = store.begin().await.unwrap();
    tx.content_failed(&[number; 20], &failure).await.unwrap();
    tx.commit().await.unwrap();
}

async fn row(store: &Store, number: u8) -> Option<ContentRow> {
    let mut read = store.read().await.unwrap();
    read.content(&[number; 20]).await.unwrap()
}

async fn state(store: &Store, number: u8) -> ContentState {
    row(store, number).await.unwrap().state
}

/// First bytes of what is to be fetched, in this order.
async fn to_fetch(store: &Store, now: i64) -> Vec<u8> {
    let mut read = store.read().await.unwrap();
    let rows = read.content_to_fetch(100, time(now)).await.unwrap();
    rows.iter().map(|row| row.file.sha1[0]).collect()
}

async fn totals(store: &Store) -> ContentTotals {
    let mut read = store.read().await.unwrap();
    read.content_totals().await.unwrap()
}

pub async fn a_file_is_kept_as_the_catalog_describes_it(place: &Place) {
    let database = place.database().await;
    let store = database.open().await;
    let bare = ContentFile {
        sha256: None,
        url: None,
        ..file(2, u64::from(u32::MAX) * 8)
    };
    let files = [file(1, 10), bare.clone()];
    assert_eq!(want(&store, &files, PRIORITY_APPROVED, 5).await, 2);
    store.close().await;
    let store = database.open().await;
    let expected = ContentRow {
        file: bare,
        state: ContentState::Wanted,
        priority: PRIORITY_APPROVED,
        had: 0,
        attempts: 0,
        next_attempt: time(5),
        last_error: String::new(),
        present_since: None,
    };
    assert_eq!(row(&store, 2).await, Some(expected));
    assert_eq!(row(&store, 3).await, None);
}

pub async fn wanting_again_changes_only_what_was_not_known(place: &Place) {
    let store = place.store().await;
    let bare = ContentFile {
        sha256: None,
        url: None,
        ..file(1, 10)
    };
    // The same file twice at once, as two updates have it.
    let twice = [bare.clone(), bare.clone()];
    assert_eq!(want(&store, &twice, PRIORITY_AHEAD, 5).await, 1);
    failed(&store, 1, 4, 50, false).await;
    assert_eq!(want(&store, &[file(1, 10)], PRIORITY_ASKED, 6).await, 0);
    assert_eq!(want(&store, &[bare], PRIORITY_AHEAD, 7).await, 0);
    let now = row(&store, 1).await.unwrap();
    assert_eq!(now.file, file(1, 10));
    assert_eq!(
        (now.priority, now.had, now.attempts),
        (PRIORITY_ASKED, 4, 1)
    );
    assert_eq!(now.next_attempt, time(50));
    came(&store, 1, 60).await;
    assert_eq!(want(&store, &[file(1, 99)], PRIORITY_APPROVED, 70).await, 0);
    let now = row(&store, 1).await.unwrap();
    assert_eq!((now.state, now.file.size), (ContentState::Present, 10));
    assert_eq!(
        (now.attempts, now.last_error.as_str(), now.had),
        (0, "", 10)
    );
}

pub async fn the_most_urgent_files_whose_time_has_come_go_first(place: &Place) {
    let store = place.store().await;
    want(
        &store,
        &[file(1, 30), file(2, 10), file(3, 20)],
        PRIORITY_APPROVED,
        5,
    )
    .await;
    want(&store, &[file(4, 99)], PRIORITY_ASKED, 5).await;
    want(&store, &[file(5, 1)], PRIORITY_AHEAD, 9).await;
    assert_eq!(to_fetch(&store, 4).await, Vec::<u8>::new());
    assert_eq!(to_fetch(&store, 5).await, [4, 2, 3, 1]);
    assert_eq!(to_fetch(&store, 9).await, [4, 2, 3, 1, 5]);
    failed(&store, 2, 0, 20, false).await;
    came(&store, 4, 10).await;
    unwant(&store, &[3]).await;
    assert_eq!(to_fetch(&store, 10).await, [1, 5]);
    // What failed before comes after what was never tried.
    assert_eq!(to_fetch(&store, 20).await, [1, 2, 5]);
    let mut read = store.read().await.unwrap();
    assert_eq!(read.content_to_fetch(1, time(20)).await.unwrap().len(), 1);
    assert_eq!(read.next_content_attempt().await.unwrap(), Some(time(5)));
    let failing = read.failing_content(10).await.unwrap();
    assert_eq!(failing.len(), 1);
    drop(read);
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.retry_content(time(11)).await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert_eq!(to_fetch(&store, 11).await, [1, 2, 5]);
}

pub async fn a_synchronization_has_only_licence_terms_tried_again(place: &Place) {
    let store = place.store().await;
    want(&store, &[file(1, 10)], PRIORITY_LICENCE, 5).await;
    want(&store, &[file(2, 10), file(3, 10)], PRIORITY_APPROVED, 5).await;
    // A text that is the file of an approved update as well stays one.
    want(&store, &[file(4, 10)], PRIORITY_APPROVED, 5).await;
    want(&store, &[file(4, 10)], PRIORITY_LICENCE, 5).await;
    for number in [1, 2, 4] {
        failed(&store, number, 0, 50, false).await;
    }
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.retry_licence_terms(time(11)).await.unwrap(), 2);
    assert_eq!(tx.retry_licence_terms(time(11)).await.unwrap(), 0);
    tx.commit().await.unwrap();
    assert_eq!(to_fetch(&store, 11).await, [1, 4, 3]);
}

pub async fn what_claims_to_be_larger_than_any_file_is_not_counted_as_bytes(place: &Place) {
    let store = place.store().await;
    let most = catalog::content::MAX_FILE_BYTES;
    let files = [
        file(1, most),
        file(2, most + 1),
        file(3, u64::MAX),
        file(4, u64::MAX),
    ];
    assert_eq!(want(&store, &files, PRIORITY_APPROVED, 5).await, 4);
    let mut read = store.read().await.unwrap();
    let totals = read.content_totals().await.unwrap();
    assert_eq!((totals.files_to_go(), totals.bytes_to_go()), (4, most));
}

pub async fn what_is_no_longer_needed_stays_until_it_is_forgotten(place: &Place) {
    let store = place.store().await;
    want(&store, &[file(1, 10), file(2, 20)], PRIORITY_APPROVED, 5).await;
    came(&store, 1, 6).await;
    assert_eq!(unwant(&store, &[1, 2, 3]).await, 2);
    assert_eq!(unwant(&store, &[1]).await, 0);
    let mut read = store.read().await.unwrap();
    let unneeded = read.unneeded_content(10).await.unwrap();
    assert_eq!(unneeded.len(), 2);
    drop(read);
    // One that was there is there at once when it is needed again; the other is fetched.
    assert_eq!(
        want(&store, &[file(1, 10), file(2, 20)], PRIORITY_AHEAD, 9).await,
        2
    );
    assert_eq!(state(&store, 1).await, ContentState::Present);
    assert_eq!(state(&store, 2).await, ContentState::Wanted);
    assert_eq!(row(&store, 2).await.unwrap().priority, PRIORITY_AHEAD);
    let mut tx = store.begin().await.unwrap();
    assert!(!tx.forget_content(&[1; 20]).await.unwrap());
    tx.unwant_content(&[[1; 20]]).await.unwrap();
    assert!(tx.forget_content(&[1; 20]).await.unwrap());
    assert!(!tx.forget_content(&[1; 20]).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(row(&store, 1).await, None);
    // One that came when nobody needed it any more stays unneeded.
    unwant(&store, &[2]).await;
    came(&store, 2, 10).await;
    let now = row(&store, 2).await.unwrap();
    assert_eq!(
        (now.state, now.present_since),
        (ContentState::Unneeded, Some(time(10)))
    );
}

pub async fn what_became_of_a_file_is_counted(place: &Place) {
    let store = place.store().await;
    assert_eq!(totals(&store).await, ContentTotals::default());
    let files: Vec<_> = (1..=5).map(|number| file(number, 100)).collect();
    want(&store, &files, PRIORITY_APPROVED, 5).await;
    came(&store, 1, 6).await;
    failed(&store, 2, 40, 50, false).await;
    failed(&store, 3, 0, 50, true).await;
    came(&store, 4, 6).await;
    unwant(&store, &[4, 5]).await;
    let now = totals(&store).await;
    assert_eq!(
        (now.files_to_go(), now.bytes_to_go(), now.failing),
        (2, 160, 2)
    );
    assert_eq!((now.present.files, now.present.bytes), (1, 100));
    // What nobody needs and nobody has does not count.
    assert_eq!((now.unneeded.files, now.quarantined.files), (1, 1));
    // What was refused stays so until it comes.
    failed(&store, 3, 7, 60, false).await;
    assert_eq!(state(&store, 3).await, ContentState::Quarantined);
    came(&store, 3, 70).await;
    assert_eq!(state(&store, 3).await, ContentState::Present);
    let mut tx = store.begin().await.unwrap();
    tx.content_lost(&[3; 20], "it is gone", time(80))
        .await
        .unwrap();
    tx.content_lost(&[4; 20], "it is gone", time(80))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let lost = row(&store, 3).await.unwrap();
    assert_eq!((lost.state, lost.had), (ContentState::Wanted, 0));
    assert_eq!(
        (lost.present_since, lost.last_error.as_str()),
        (None, "it is gone")
    );
    assert_eq!(state(&store, 4).await, ContentState::Unneeded);
    // Nothing that fails is noted about what is there.
    failed(&store, 1, 0, 90, true).await;
    assert_eq!(state(&store, 1).await, ContentState::Present);
}

pub async fn all_files_are_walked_through_in_their_order(place: &Place) {
    let store = place.store().await;
    let files: Vec<_> = (0..250).map(|number| file(number, 1)).collect();
    assert_eq!(want(&store, &files, PRIORITY_AHEAD, 5).await, 250);
    let mut seen = Vec::new();
    loop {
        let mut read = store.read().await.unwrap();
        let last = seen.last().map(|number| [*number; 20]);
        let page = read.content_after(last.as_ref(), 100).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page.iter().map(|row| row.file.sha1[0]));
    }
    assert_eq!(seen, (0..250).collect::<Vec<u8>>());
    let all: Vec<u8> = (0..250).collect();
    assert_eq!(unwant(&store, &all).await, 250);
}
