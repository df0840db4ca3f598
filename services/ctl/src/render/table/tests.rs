use super::*;
use hierarchy::samples::{at, report, run, three_tiers};
use jiff::Timestamp;
use jiff::tz::TimeZone;

fn view() -> View {
    View {
        now: Timestamp::from_second(220).unwrap(),
        zone: TimeZone::UTC,
        colour: false,
        width: None,
    }
}

fn various() -> Hierarchy {
    let mut hierarchy = three_tiers();
    let mut running = report("PR1", "primary", "CAS");
    running.run = Some(run(2, "SyncingUpdates"));
    running.run.as_mut().unwrap().processed = 1_999;
    running.run.as_mut().unwrap().total = 4_000;
    running.verified_position = 4;
    running.position = 7;
    let mut failed = report("SE1", "secondary", "PR1");
    failed.run = Some(run(2, "Failed"));
    failed.verified_position = 0;
    failed.position = 0;
    failed.last_success = None;
    failed.last_failure = Some(at(150));
    failed.last_error = "PR1 does not answer".into();
    failed.next_attempt = Some(at(940));
    let mut offline = report("PR2", "primary", "CAS");
    offline.connected = false;
    hierarchy.absorb(vec![running, failed, offline]);
    hierarchy
}

#[test]
fn the_status_table_tells_every_site_in_tree_order() {
    let expected = "\
Site     Kind       Upstream  State                          Position       Behind by  Last success          Last error
----------------------------------------------------------------------------------------------------------------------------------
CAS      central    -         Completed                                 10  -          00:01:40 (2 min ago)  -
  PR1    primary    CAS       Synchronizing updates 49%      4 (applied 7)  6          00:01:40 (2 min ago)  -
    SE1  secondary  PR1       Failed, tries again in 12 min              0  10         never                 PR1 does not answer
  PR2    primary    CAS       Offline (last seen 2 min ago)             10  -          00:01:40 (2 min ago)  -
    SE2  secondary  PR2       Offline (PR2 is offline)                  10  -          00:01:40 (2 min ago)  -";
    let shown = status(&various(), &view());
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn the_list_of_sites_names_link_and_content() {
    let expected = "\
Site     Kind       Parent  Link                           Version  Items  Root digest
---------------------------------------------------------------------------------------------
CAS      central    -       -                              0.1.0        9  0101010101010101
  PR1    primary    CAS     Up                             0.1.0        9  0101010101010101
    SE1  secondary  PR1     Up                             0.1.0        9  0101010101010101
  PR2    primary    CAS     Offline (last seen 2 min ago)  0.1.0        9  0101010101010101
    SE2  secondary  PR2     Offline (PR2 is offline)       0.1.0        9  0101010101010101";
    let shown = sites(&various(), &view());
    assert_eq!(shown, expected, "\n{shown}");
}

#[test]
fn a_replica_stands_below_its_source_and_is_called_one() {
    let mut hierarchy = three_tiers();
    let replica = report("PR1-2", "primary", "PR1");
    hierarchy.absorb(vec![replica]);
    let shown = sites(&hierarchy, &view());
    let rows: Vec<Vec<&str>> = shown
        .lines()
        .skip(2)
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    assert_eq!(rows[1], ["PR1", "primary,", "source"], "{shown}");
    assert_eq!(rows[2], ["PR1-2", "primary,", "replica"], "{shown}");
    assert!(
        shown.contains("    PR1-2  primary, replica  PR1 "),
        "{shown}"
    );
    assert!(status(&hierarchy, &view()).contains("    PR1-2  primary, replica  "));
}

#[test]
fn a_narrow_terminal_folds_the_table_and_loses_nothing() {
    let narrow = View {
        width: Some(80),
        ..view()
    };
    let shown = status(&various(), &narrow);
    eprintln!("{shown}");
    assert!(
        shown.lines().all(|line| line.chars().count() <= 80),
        "{shown}"
    );
    for word in ["CAS", "SE2", "answer", "Offline"] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn colours_come_only_where_they_are_welcome() {
    let colourful = View {
        colour: true,
        ..view()
    };
    assert!(status(&various(), &colourful).contains('\x1b'));
    assert!(!status(&various(), &view()).contains('\x1b'));
}

#[test]
fn an_update_is_shown_with_what_an_administrator_looks_for() {
    let update = UpdateSummary {
        update_id: "e6cf1350-c01b-414d-a61f-263d14d133b4".into(),
        revision: 200,
        title: "2026-11 Cumulative Update".into(),
        kb_article_ids: vec!["5031455".into()],
        classification: "Security Updates".into(),
        products: ["Windows 11", "Windows 10", "Office"]
            .map(String::from)
            .into(),
        publication_state: "Published".into(),
        creation_date: Some(at(0)),
        decision: Some(wire::v1::Decision {
            approval: wire::v1::Approval::Install.into(),
            deadline: Some(at(86_400)),
            ..wire::v1::Decision::default()
        }),
        ..UpdateSummary::default()
    };
    let shown = updates(&[update], &view());
    let row = shown.lines().last().unwrap();
    let expected = "2026-11 Cumulative Update  5031455  Security Updates  Windows 11, Windows 10 and 1 more  1970-01-01  Published  install by 1970-01-02 00:00:00  e6cf1350-c01b-414d-a61f-263d14d133b4.200";
    assert_eq!(row, expected, "\n{shown}");
}
