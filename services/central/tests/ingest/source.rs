//! Sources that misbehave.

use crate::fixture::{Moods, fixture};
use catalog::RevisionId;
use std::collections::BTreeSet;
use sync::State;

const UPDATES: u32 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_holds_everything_and_a_second_fetches_nothing() {
    let site = fixture(UPDATES).await;
    let state = site.complete(false).await;
    let all = site.all_ids().await;
    assert_eq!(
        site.held().await.keys().copied().collect::<BTreeSet<_>>(),
        all
    );
    assert_eq!(state.run.unwrap().counts.items(), all.len() as u64);

    let served = site.moods().served.len();
    let position = site.store.positions();
    site.complete(false).await;
    assert_eq!(site.moods().served.len(), served);
    assert_eq!(site.store.positions(), position);
    let anchors = site.moods().anchors.clone();
    assert!(anchors[0].is_none() && anchors[1].is_some(), "{anchors:?}");
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_source_come_as_a_delta_and_are_counted() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let before = site.moods().served.len();
    let published = site
        .source
        .catalog
        .publish_changes(5.0, site.ambient.now())
        .unwrap();
    let state = site.complete(false).await;
    let counts = state.run.unwrap().counts;
    assert!(
        counts.added > 0 && counts.revised > 0 && counts.expired > 0,
        "{counts:?}"
    );
    let fetched = site.moods().served.len() - before;
    assert!(
        fetched > 0 && fetched < before / 2,
        "{fetched} after {published:?}"
    );
    assert!(
        site.all_ids()
            .await
            .is_subset(&site.held().await.keys().copied().collect())
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_update_is_put_aside_and_the_run_goes_on() {
    let site = fixture(UPDATES).await;
    let all = site.all_ids().await;
    let faulty = *all.iter().nth(17).unwrap();
    let garbled = *all.iter().nth(90).unwrap();
    site.moods().faulty.insert(faulty);
    site.moods().garbled.insert(garbled);
    let state = site.complete(false).await;
    assert_eq!(state.run.unwrap().counts.quarantined, 2);
    let held = site.held().await;
    assert_eq!(held.len(), all.len() - 2);
    assert!(!held.contains_key(&faulty) && !held.contains_key(&garbled));
    let aside = site
        .store
        .read()
        .await
        .unwrap()
        .quarantined(10)
        .await
        .unwrap();
    let ids: BTreeSet<RevisionId> = aside.iter().map(|row| row.id).collect();
    assert_eq!(ids, BTreeSet::from([faulty, garbled]));

    // Mended at the source: the next full run brings them, and they leave quarantine.
    *site.moods() = Moods::default();
    site.complete(true).await;
    assert_eq!(site.held().await.len(), all.len());
    assert!(
        site.store
            .read()
            .await
            .unwrap()
            .quarantined(10)
            .await
            .unwrap()
            .is_empty()
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundle_refers_to_is_fetched_though_no_list_names_it() {
    let probe = fixture(UPDATES).await;
    probe.complete(false).await;
    let (_, member) = probe.bundle().await;
    probe.end().await;

    let site = fixture(UPDATES).await;
    site.moods().unlisted.insert(member.update_id);
    site.complete(false).await;
    assert!(site.held().await.contains_key(&member));
    // Nor does a full run take it for withdrawn.
    site.complete(true).await;
    assert!(site.held().await.contains_key(&member));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_broken_off_goes_on_where_it_was() {
    let site = fixture(2000).await;
    site.moods().break_after = Some(1500);
    let state = site.run(false).await;
    assert!(matches!(state.run.unwrap().state, State::Failed { .. }));
    let kept = site.store.positions().head;
    assert!(kept >= 500, "{kept}");
    assert_eq!(site.held().await.len(), 0, "nothing unverified is shown");

    site.moods().break_after = None;
    site.moods().served.clear();
    site.complete(false).await;
    let all = site.all_ids().await;
    assert_eq!(site.held().await.len(), all.len());
    let fetched: BTreeSet<RevisionId> = site.moods().served.iter().copied().collect();
    assert_eq!(fetched.len() as u64, all.len() as u64 - kept);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_replaced_voids_the_anchors_only() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let served = site.moods().served.len();
    site.moods().server_changed = 1;
    site.moods().anchors.clear();
    site.complete(false).await;
    assert_eq!(site.moods().anchors.last(), Some(&None));
    assert_eq!(
        site.moods().served.len(),
        served,
        "what is held is not fetched again"
    );
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_run_removes_what_is_no_longer_listed_but_believes_no_empty_list() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let held = site.held().await;
    let (bundle, _) = site.bundle().await;
    site.moods().unlisted.insert(bundle.update_id);
    site.complete(false).await;
    assert!(
        site.held().await.contains_key(&bundle),
        "a delta run removes nothing"
    );
    let state = site.complete(true).await;
    assert!(!site.held().await.contains_key(&bundle));
    assert!(state.run.unwrap().counts.removed >= 1);

    let left = site.held().await.len();
    site.moods().unlisted = held.keys().map(|id| id.update_id).collect();
    site.complete(true).await;
    assert_eq!(site.held().await.len(), left);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_is_named_in_the_failure() {
    let site = fixture(10).await;
    site.moods().break_after = Some(0);
    let state = site.run(false).await;
    let (_, error) = state.last_failure.expect("the run failed");
    assert!(error.contains("127.0.0.1"), "{error}");
    assert!(state.next_attempt.is_some() || site.engine.state().run.is_some());
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_files_are_to_be_had_from_a_source_is_what_it_said_last() {
    let site = fixture(20).await;
    for hosts_files in [false, true, true, false] {
        site.moods().hosts_files = hosts_files;
        site.complete(false).await;
        let mut read = site.store.read().await.unwrap();
        let host = read.state("wsus-files-from").await.unwrap();
        assert_eq!(host.is_some(), hosts_files);
    }
    site.end().await;
}
