//! The parts of sites in runs.

use super::support::*;
use catalog::PointId;
use store::Store;
use store::runs::{ASKED, RunRow};
use store::site_runs::{End, SiteRunRow, Tally};
use uuid::Uuid;

fn run(number: u128, minute: i64) -> RunRow {
    RunRow {
        id: Uuid::from_u128(number),
        started: time(minute),
        finished: Some(time(minute + 1)),
        state: "Completed".to_owned(),
        full: false,
        manual: true,
        added: 1,
        revised: 2,
        expired: 3,
        removed: 4,
        failed: 5,
        position: 6,
        error: String::new(),
        target: None,
        source: String::new(),
    }
}

fn site(code: &str) -> PointId {
    code.parse().unwrap()
}

fn part(run: u128, code: &str) -> SiteRunRow {
    SiteRunRow {
        requested: Some(time(0)),
        first_begun: Some(time(1)),
        begun: Some((5, time(2))),
        ended: Some(End {
            number: 9,
            at: time(3),
            state: "Completed".to_owned(),
            error: "no error".to_owned(),
        }),
        told: Some((8, vec!["a".to_owned(), "\"b\"".to_owned()])),
        ..SiteRunRow::new(Uuid::from_u128(run), site(code))
    }
}

async fn put_run(store: &Store, run: &RunRow) {
    let mut tx = store.begin().await.unwrap();
    tx.put_run(run).await.unwrap();
    tx.commit().await.unwrap();
}

/// Whether it was taken.
async fn put(store: &Store, part: &SiteRunRow) -> bool {
    let mut tx = store.begin().await.unwrap();
    let add = |held: &mut SiteRunRow| held.clone_from(part);
    let taken = tx.add_to_site_run(part.run, part.site, add).await.unwrap();
    tx.commit().await.unwrap();
    taken
}

async fn parts(store: &Store, run: u128) -> Vec<SiteRunRow> {
    let mut read = store.read().await.unwrap();
    read.site_runs(Uuid::from_u128(run)).await.unwrap()
}

pub async fn a_part_is_kept_as_it_was_written_last(place: &Place) {
    let store = place.store().await;
    assert!(!put(&store, &part(1, "PR1")).await, "there is no such run");
    assert!(parts(&store, 1).await.is_empty());
    put_run(&store, &run(1, 0)).await;
    let nothing = SiteRunRow::new(Uuid::from_u128(1), site("SE1"));
    let asked = SiteRunRow {
        requested: Some(time(7)),
        ..nothing.clone()
    };
    for part in [&part(1, "PR2"), &asked, &part(1, "PR1")] {
        assert!(put(&store, part).await);
        assert!(put(&store, part).await, "once more");
    }
    let expected = [part(1, "PR1"), part(1, "PR2"), asked.clone()];
    assert_eq!(parts(&store, 1).await, expected);

    let mut tx = store.begin().await.unwrap();
    let id = Uuid::from_u128(1);
    tx.add_to_site_run(id, site("SE1"), |held| {
        assert_eq!(*held, asked, "what is held is added to");
        held.begun = Some((1, time(8)));
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let begun = Some((1, time(8)));
    assert_eq!(parts(&store, 1).await[2], SiteRunRow { begun, ..asked });
}

pub async fn the_parts_of_one_site_are_found_among_runs(place: &Place) {
    let store = place.store().await;
    for number in [1, 2, 3] {
        put_run(&store, &run(number, 0)).await;
        put(&store, &part(number, "PR2")).await;
    }
    put(&store, &part(1, "PR1")).await;
    put(&store, &part(3, "PR1")).await;
    let runs = [1, 2, 3, 4].map(Uuid::from_u128);
    let mut read = store.read().await.unwrap();
    let found = read.site_runs_of(site("PR1"), &runs[..3]).await.unwrap();
    let expected = [1, 3].map(|run| (Uuid::from_u128(run), part(run, "PR1")));
    assert_eq!(found, expected.into());
    let found = read.site_runs_of(site("PR2"), &runs[1..]).await.unwrap();
    assert_eq!(found.len(), 2, "of the runs that were asked for");
    assert!(
        read.site_runs_of(site("PR1"), &[])
            .await
            .unwrap()
            .is_empty()
    );
}

pub async fn sites_are_counted_by_how_their_parts_ended(place: &Place) {
    let store = place.store().await;
    for number in [1, 2, 3] {
        put_run(&store, &run(number, 0)).await;
    }
    let begun_again = SiteRunRow {
        begun: Some((10, time(4))),
        ..part(1, "PR2")
    };
    let mut failed = part(1, "PR3");
    failed.ended.as_mut().unwrap().state = "Failed".to_owned();
    let only_ended = SiteRunRow {
        begun: None,
        ..part(1, "PR4")
    };
    let asked = SiteRunRow::new(Uuid::from_u128(1), site("PR5"));
    for part in [
        part(1, "PR1"),
        begun_again,
        failed,
        only_ended,
        part(2, "PR1"),
    ] {
        put(&store, &part).await;
    }
    // It was asked, and that is all.
    put(&store, &asked).await;
    let ids = [1, 2, 3].map(Uuid::from_u128);
    let mut read = store.read().await.unwrap();
    let tallies = read.site_run_tallies(&ids, "Completed").await.unwrap();
    let tally = |sites, completed| Some(Tally { sites, completed });
    let found = ids.map(|id| tallies.get(&id).copied());
    assert_eq!(found, [tally(5, 2), tally(1, 1), None]);
}

pub async fn a_run_is_found_and_listed_with_what_was_asked_of_others(place: &Place) {
    let store = place.store().await;
    let asked = RunRow {
        state: ASKED.to_owned(),
        target: Some((site("PR1"), true)),
        ..run(4, 2)
    };
    for run in [&run(1, 0), &run(2, 1), &run(3, 1), &asked] {
        put_run(&store, run).await;
    }
    let mut read = store.read().await.unwrap();
    assert_eq!(
        read.run(Uuid::from_u128(4)).await.unwrap(),
        Some(asked.clone())
    );
    assert_eq!(read.run(Uuid::from_u128(9)).await.unwrap(), None);
    let own: Vec<Uuid> = read
        .runs(9)
        .await
        .unwrap()
        .iter()
        .map(|run| run.id)
        .collect();
    assert!(!own.contains(&asked.id), "it is no run of this site");
    // Page by page, each once, also those that began in the same moment.
    let mut before = None;
    let mut listed = Vec::new();
    loop {
        let page = read.runs_before(before, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.started, last.id));
        listed.extend(page.iter().map(|run| run.id.as_u128()));
    }
    assert_eq!(listed, [4, 3, 2, 1]);
}

pub async fn parts_go_with_their_runs(place: &Place) {
    let store = place.store().await;
    for number in [1, 2, 3] {
        put_run(&store, &run(number, i64::try_from(number).unwrap())).await;
        put(&store, &part(number, "PR1")).await;
    }
    let mut tx = store.begin().await.unwrap();
    // It ended at minute 2.
    assert_eq!(tx.forget_runs(time(3)).await.unwrap(), 1);
    tx.forget_run(Uuid::from_u128(3)).await.unwrap();
    tx.commit().await.unwrap();
    assert!(parts(&store, 1).await.is_empty());
    assert_eq!(parts(&store, 2).await.len(), 1);
    assert!(parts(&store, 3).await.is_empty());

    let kept = store::runs::RUNS_KEPT;
    let mut tx = store.begin().await.unwrap();
    for number in 0..u128::from(kept) {
        tx.put_run(&run(100 + number, 50)).await.unwrap();
    }
    assert_eq!(tx.prune_runs().await.unwrap(), 1);
    tx.commit().await.unwrap();
    assert!(parts(&store, 2).await.is_empty());
}
