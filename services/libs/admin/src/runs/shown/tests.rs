use super::*;
use store::site_runs::End;
use sync::SyncRun;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

fn id() -> Uuid {
    Uuid::from_u128(7)
}

/// A part that began at second 1, and ended in this state, if it did.
fn row(site: &str, state: &str) -> SiteRunRow {
    SiteRunRow {
        requested: Some(at(0)),
        first_begun: Some(at(1)),
        begun: Some((1, at(1))),
        ended: (!state.is_empty()).then(|| End {
            number: 2,
            at: at(9),
            state: state.to_owned(),
            error: match state == FAILED {
                true => "disk full".to_owned(),
                false => String::new(),
            },
        }),
        ..SiteRunRow::new(id(), code(site))
    }
}

/// A site that does, or did last, a run.
fn report(site: &str, run: Uuid, state: &str) -> SiteReport {
    let over = [COMPLETED, FAILED, CANCELLED].contains(&state);
    SiteReport {
        site_code: site.to_owned(),
        connected: true,
        run: Some(RunReport {
            id: run.as_bytes().to_vec(),
            state: state.to_owned(),
            started: Some(from_timestamp(at(1))),
            finished: over.then(|| from_timestamp(at(8))),
            ..RunReport::default()
        }),
        ..SiteReport::default()
    }
}

fn own(state: &str) -> RunRow {
    let ended = [COMPLETED, FAILED].contains(&state);
    RunRow {
        state: state.to_owned(),
        finished: ended.then(|| at(10)),
        ..requested(id(), at(0))
    }
}

fn asked() -> RunRow {
    RunRow {
        target: Some((code("PR1"), true)),
        finished: Some(at(0)),
        ..own(store::runs::ASKED)
    }
}

fn shown(row: RunRow, rows: Vec<SiteRunRow>, reports: &[SiteReport]) -> Shown {
    let parts = parts_of(id(), rows, &live_of(reports, id()));
    Shown::new(row, parts, &EngineState::default())
}

#[test]
fn a_run_counts_the_sites_that_took_part_and_those_that_completed() {
    let reports = [
        report("SE1", id(), "Verifying"),
        report("SE2", Uuid::nil(), ""),
    ];
    let rows = vec![
        row("CAS", COMPLETED),
        row("PR1", COMPLETED),
        row("PR2", FAILED),
    ];
    let shown = shown(own(COMPLETED), rows, &reports);
    let run = shown.run();
    assert_eq!((run.sites, run.completed), (4, 2));
    let sites: Vec<String> = shown
        .sites()
        .into_iter()
        .map(|site| format!("{} {} {}", site.site_code, site.state, site.error))
        .collect();
    assert_eq!(
        sites,
        [
            "CAS Completed ",
            "PR1 Completed ",
            "PR2 Failed disk full",
            "SE1 Verifying "
        ]
    );
}

#[test]
fn a_run_under_way_is_shown_as_this_site_does_it_now() {
    let mut run = SyncRun::requested(id(), Trigger::Manual, true, at(0));
    run.counts.added = 5;
    run.counts.quarantined = 2;
    let engine = EngineState {
        run: Some(run.enter(sync::Phase::SyncingUpdates, at(1)).unwrap()),
        ..EngineState::default()
    };
    let shown = Shown::new(own(REQUESTED), BTreeMap::new(), &engine).run();
    assert_eq!(
        (shown.state.as_str(), shown.added, shown.failed),
        ("SyncingUpdates", 5, 2)
    );
    assert!(shown.full && shown.manual && shown.finished.is_none());
}

#[test]
fn a_request_to_one_site_goes_as_the_sites_that_were_asked_say() {
    let state = |rows: Vec<SiteRunRow>| {
        let run = shown(asked(), rows, &[]).run();
        (run.state, run.finished.is_some(), run.error)
    };
    let said = |state: &str, over, error: &str| (state.to_owned(), over, error.to_owned());
    let waits = SiteRunRow {
        requested: Some(at(0)),
        ..SiteRunRow::new(id(), code("SE1"))
    };
    assert_eq!(state(vec![waits.clone()]), said(REQUESTED, false, ""));
    assert_eq!(
        state(vec![row("PR1", COMPLETED), waits.clone()]),
        said(RUNNING, false, "")
    );
    assert_eq!(
        state(vec![row("PR1", FAILED), row("SE1", COMPLETED)]),
        said(FAILED, true, "PR1: disk full")
    );
    assert_eq!(state(vec![row("PR1", CANCELLED)]).0, CANCELLED);
    assert_eq!(
        state(vec![row("PR1", COMPLETED)]),
        said(COMPLETED, true, "")
    );
    let run = shown(asked(), vec![], &[]).run();
    assert_eq!((run.site_code.as_str(), run.subtree), ("PR1", true));
}

#[test]
fn a_run_is_over_when_every_site_that_is_connected_is_done() {
    let awaited = |row: RunRow, rows: Vec<SiteRunRow>, reports: &[SiteReport], newest| {
        shown(row, rows, reports).awaited(code("CAS"), reports, newest)
    };
    let other = Uuid::from_u128(9);
    let done = || row("CAS", COMPLETED);
    // The site itself is at it.
    assert_eq!(awaited(own(RUNNING), vec![], &[], true), Awaited::Yes);
    // Everybody is done, or away, or was never asked.
    let mut away = report("PR1", other, COMPLETED);
    away.connected = false;
    assert_eq!(
        awaited(own(COMPLETED), vec![done()], &[away], true),
        Awaited::No
    );
    let idle = [report("PR1", other, COMPLETED)];
    let all = vec![done(), row("PR1", FAILED)];
    assert_eq!(awaited(own(COMPLETED), all, &idle, true), Awaited::No);
    assert_eq!(
        awaited(own(FAILED), vec![done()], &idle, true),
        Awaited::No,
        "nobody follows"
    );
    assert_eq!(
        awaited(own(COMPLETED), vec![done()], &idle, false),
        Awaited::No,
        "long past"
    );
    // Its request is on its way, it is busy with something else, it is at it.
    assert_eq!(
        awaited(own(COMPLETED), vec![done()], &idle, true),
        Awaited::Perhaps
    );
    let busy = [report("PR1", other, "Verifying")];
    assert_eq!(
        awaited(own(COMPLETED), vec![done()], &busy, true),
        Awaited::Yes
    );
    let at_it = [report("PR1", id(), "Verifying")];
    assert_eq!(
        awaited(own(COMPLETED), vec![done()], &at_it, false),
        Awaited::Yes
    );
    // Its messages are on their way, or it was interrupted in an older run.
    assert_eq!(
        awaited(own(COMPLETED), vec![row("PR1", "")], &busy, false),
        Awaited::Perhaps
    );
    // Of a request to one site, only who was asked.
    let waits = || {
        vec![SiteRunRow {
            requested: Some(at(0)),
            ..SiteRunRow::new(id(), code("PR1"))
        }]
    };
    assert_eq!(awaited(asked(), waits(), &idle, false), Awaited::Perhaps);
    assert_eq!(awaited(asked(), waits(), &busy, false), Awaited::Yes);
    let elsewhere = [report("PR2", other, "Verifying")];
    assert_eq!(
        awaited(asked(), vec![row("PR1", COMPLETED)], &elsewhere, false),
        Awaited::No
    );
}
