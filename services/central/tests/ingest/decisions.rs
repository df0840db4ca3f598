//! What is decided beside synchronization: in force at once, or with the end of the run that is under way,
//! however it ends.

use crate::fixture::{Fixture, PATIENCE, fixture};
use catalog::UpdateId;
use catalog::item::ItemKey;
use central::decisions::{Committed, Decisions, ItemChange, put};
use std::sync::Arc;
use sync::{Request, State, Trigger};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const UPDATES: u32 = 60;

fn decision(update: u128, text: &str) -> ItemChange {
    ItemChange::Put {
        key: ItemKey::Approval(UpdateId::from_u128(update)),
        content: text.into(),
    }
}

/// What the verified catalog says of an update.
async fn shown(site: &Fixture, update: u128) -> Option<String> {
    let key = ItemKey::Approval(UpdateId::from_u128(update)).to_bytes();
    let mut read = site.store.read().await.unwrap();
    let verified = read.positions().verified;
    let slice = read.changes_after(0, verified, 100_000, 1 << 30).await;
    let mut rows = slice.unwrap().changes.into_iter();
    let row = rows.rfind(|row| row.key == key && !row.removed);
    row.map(|row| String::from_utf8(row.header).unwrap())
}

async fn until_verified(site: &Fixture, position: u64) {
    let mut positions = site.store.watch_positions();
    let reached = positions.wait_for(|positions| positions.verified >= position);
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("what was decided is signed in time")
        .unwrap();
}

/// A run that hangs at the source, until the token is told; then it fails.
async fn begin_a_run_that_fails(site: &Fixture) -> CancellationToken {
    let hold = CancellationToken::new();
    site.source
        .catalog
        .publish_changes(20.0, site.ambient.now())
        .unwrap();
    {
        let mut moods = site.moods();
        moods.hold = Some(hold.clone());
        moods.break_after = Some(0);
    }
    site.engine.request(Request::new(Trigger::Manual));
    let mut states = site.engine.watch();
    let running = states.wait_for(sync::EngineState::running);
    tokio::time::timeout(PATIENCE, running)
        .await
        .expect("the run begins in time")
        .unwrap();
    hold
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_in_force_at_once_and_the_same_again_changes_nothing() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let before = site.store.positions();
    let committed = site.decisions.commit(vec![decision(7, "install")]).await;
    let expected = Committed {
        position: before.head + 1,
        in_force: true,
    };
    assert_eq!(committed.unwrap(), expected);
    assert_eq!(shown(&site, 7).await.as_deref(), Some("install"));
    let again = site.decisions.commit(vec![decision(7, "install")]).await;
    assert_eq!(again.unwrap(), expected);
    let gone = ItemChange::Remove(ItemKey::Approval(UpdateId::from_u128(7)));
    site.decisions.commit(vec![gone]).await.unwrap();
    assert_eq!(shown(&site, 7).await, None);
    assert_eq!(site.store.positions().verified, before.head + 2);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_before_the_first_run_begins_the_log() {
    let site = fixture(UPDATES).await;
    let committed = site.decisions.commit(vec![decision(7, "install")]).await;
    assert_eq!(committed.unwrap().position, 1);
    let epoch = site.store.positions().epoch;
    assert!(!epoch.is_nil());
    site.complete(false).await;
    assert_eq!(site.store.positions().epoch, epoch);
    assert_eq!(shown(&site, 7).await.as_deref(), Some("install"));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_during_a_run_is_in_force_with_its_end_though_the_source_fails() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let hold = begin_a_run_that_fails(&site).await;
    let committed = site.decisions.commit(vec![decision(7, "declined")]).await;
    let committed = committed.unwrap();
    assert!(!committed.in_force);
    assert_eq!(shown(&site, 7).await, None, "nothing unsigned is shown");
    hold.cancel();
    until_verified(&site, committed.position).await;
    assert_eq!(shown(&site, 7).await.as_deref(), Some("declined"));
    let ended = site.engine.state().run.unwrap().state;
    assert!(matches!(ended, State::Failed { .. }), "{ended:?}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_during_a_run_that_is_cancelled_is_in_force_then() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let _hold = begin_a_run_that_fails(&site).await;
    let committed = site.decisions.commit(vec![decision(7, "detection")]).await;
    site.engine.cancel();
    until_verified(&site, committed.unwrap().position).await;
    assert_eq!(shown(&site, 7).await.as_deref(), Some("detection"));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_before_a_restart_is_signed_after_it() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    // As after the end of a process in the middle of a run: stored, and not signed.
    let mut tx = site.store.begin().await.unwrap();
    let changes = vec![decision(7, "install"), decision(8, "install")];
    assert_eq!(put(&mut tx, changes, site.ambient.now()).await.unwrap(), 2);
    let head = tx.positions().head;
    tx.commit().await.unwrap();
    assert!(site.store.positions().verified < head);
    let (stop, upstream) = (CancellationToken::new(), Arc::clone(&site.upstream));
    let keep = Decisions::new(upstream, site.engine.clone(), site.journal.clone());
    let keep = keep.keep(stop.clone());
    let keep = TaskTracker::new().spawn(keep);
    until_verified(&site, head).await;
    assert_eq!(shown(&site, 8).await.as_deref(), Some("install"));
    stop.cancel();
    keep.await.unwrap();
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_a_synchronization_without_a_decision_waits_for_the_other_half() {
    let site = fixture(UPDATES).await;
    site.moods().break_after = Some(70);
    site.run(false).await;
    let positions = site.store.positions();
    assert_eq!(positions.verified, 0);
    site.moods().break_after = None;
    site.complete(false).await;
    assert!(site.store.positions().verified > positions.head);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_signed_while_rows_are_lost() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let mut tx = site.store.begin().await.unwrap();
    tx.put_state("rows-lost", *b"1").await.unwrap();
    tx.commit().await.unwrap();
    let verified = site.store.positions().verified;
    let waits = site.decisions.commit(vec![decision(7, "install")]).await;
    assert!(!waits.unwrap().in_force);
    assert_eq!(site.store.positions().verified, verified);
    site.complete(true).await;
    assert_eq!(shown(&site, 7).await.as_deref(), Some("install"));
    site.end().await;
}
