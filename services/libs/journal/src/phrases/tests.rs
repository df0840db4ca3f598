//! Whole runs, read by a log viewer that others wrote.

use super::*;
use crate::log_line::{LogLine, SYNC_MANAGER};
use crate::status_id::StatusId;
use crate::status_message::{Origin, StatusMessage};
use cmtraceopen_parser::models::log_entry::{LogEntry, LogFormat, Severity};
use cmtraceopen_parser::parser::parse_content;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

const SERVER: &str = "cs1site.contoso.com";
const SOURCE: Uuid = Uuid::from_u128(0xC2D17964_BBDD_4339_B9F3_12D7205B39CC);

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

/// The log of one run, a second between lines.
struct Run {
    site: &'static str,
    time: Timestamp,
    text: String,
}

impl Run {
    fn new(site: &'static str) -> Self {
        let time = "2014-01-16T18:53:52.608Z".parse().unwrap();
        Self {
            site,
            time,
            text: String::new(),
        }
    }

    fn say(&mut self, line: impl AsRef<str>) {
        self.time += SignedDuration::from_secs(1);
        let line = LogLine {
            component: SYNC_MANAGER,
            text: line.as_ref(),
            time: self.time,
            thread: 3404,
        };
        self.text.push_str(&line.format());
    }

    fn say_all(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|line| self.say(line));
    }

    fn status(&mut self, id: StatusId, inserts: &[&str]) {
        let message = StatusMessage {
            site: code(self.site),
            number: 1,
            time: self.time,
            id: id.number(),
            severity: id.severity(),
            run: None,
            component: SYNC_MANAGER.to_owned(),
            inserts: inserts.iter().map(|insert| (*insert).to_owned()).collect(),
        };
        let origin = Origin {
            system: SERVER,
            process: 432,
            thread: 3404,
            result: None,
        };
        self.say(message.echo(origin));
    }

    fn work(&mut self, work: Work, total: u64) {
        self.say(synchronizing(work));
        self.say(progress(
            work,
            total / 2,
            total,
            Some(Duration::from_secs(3)),
        ));
        self.say(progress(work, total, total, Some(Duration::ZERO)));
    }

    fn upstream(&mut self, server: &str) {
        self.say_all(software_update_points(SERVER, &[SERVER]));
        self.status(StatusId::SyncStarted, &[]);
        self.status(StatusId::SyncingUpstream, &[]);
        self.say_all(upstream_started(server));
        self.say(full_run());
        self.work(Work::Categories, 223);
        self.work(Work::Updates, 130);
        self.work(Work::Content, 12);
        self.say(upstream_done(server));
        self.say(content_version(SOURCE, code(self.site), 33));
    }

    fn entries(&self) -> Vec<LogEntry> {
        let (result, _) = parse_content(&self.text, "wsyncmgr.log", self.text.len() as u64);
        assert_eq!(result.parse_errors, 0);
        assert_eq!(result.format_detected, LogFormat::Simple);
        assert_eq!(result.entries.len(), self.text.lines().count());
        result.entries
    }

    fn coloured(&self) -> Vec<(String, Severity)> {
        let coloured = self
            .entries()
            .into_iter()
            .filter(|entry| entry.severity != Severity::Info);
        coloured
            .map(|entry| (entry.message, entry.severity))
            .collect()
    }
}

#[test]
fn a_good_run_of_a_top_level_site_reads_plain() {
    let mut run = Run::new("CS1");
    run.say_all(started(Trigger::Schedule));
    run.upstream(SERVER);
    run.status(StatusId::SyncingDatabase, &[]);
    run.say(database_started(SERVER));
    run.work(Work::SiteCategories, 223);
    run.say(synchronizing_update(
        UpdateId::from_u128(7),
        Some("5012345"),
    ));
    run.work(Work::SiteUpdates, 5);
    run.say(database_done(SERVER));
    run.say(content_version(SOURCE, code("CS1"), 34));
    run.status(StatusId::SyncDone, &[]);
    run.say(succeeded(code("CS1")));
    run.say(updated(130, 34));
    run.say(verified(34, &[0xAB; 32]));
    run.say(sync_time(Duration::from_secs(233)));
    run.say(replicas_started());
    run.status(StatusId::SyncingReplica, &["replica.contoso.com"]);
    run.say_all(replica_started("replica.contoso.com"));
    run.work(Work::Replica, 4);
    run.say(upstream_done("replica.contoso.com"));
    run.say_all(children_notified(&[code("PS1"), code("PS2")]));
    run.say(cleanup_started());
    run.say(cleaned_up(100));
    run.say(cleanup_done(2995));
    assert_eq!(run.coloured(), []);

    let entries = run.entries();
    let first = &entries[0];
    assert_eq!(first.message, "Wakeup for scheduled regular sync");
    assert_eq!(first.component.as_deref(), Some(SYNC_MANAGER));
    assert_eq!(first.thread, Some(3404));
    let time: Timestamp = "2014-01-16T18:53:53.608Z".parse().unwrap();
    assert_eq!(first.timestamp, Some(time.as_millisecond()));
}

#[test]
fn a_good_run_of_a_child_reads_plain() {
    let mut run = Run::new("PS1");
    run.say_all(started(Trigger::ParentRequest {
        parent: code("CS1"),
    }));
    run.upstream("ps1site.contoso.com");
    run.status(StatusId::SyncDone, &[]);
    run.say(succeeded(code("PS1")));
    run.say(synced_with_parent(code("CS1"), 34));
    run.say(sync_time(Duration::from_secs(177)));
    run.say_all(children_notified(&[code("SS1")]));
    assert_eq!(run.coloured(), []);
    let messages: Vec<String> = run
        .entries()
        .into_iter()
        .map(|entry| entry.message)
        .collect();
    assert_eq!(messages[1], "Found parent sync notification file CS1.SYN.");
    assert!(messages.contains(&"Successfully synced site with parent CS1, version 34".to_owned()));
    assert!(!run.text.contains("SMS synchronizing"));
}

#[test]
fn a_run_that_fails_is_coloured_where_it_fails() {
    let mut run = Run::new("CS1");
    run.say_all(started(Trigger::Retry));
    run.upstream(SERVER);
    run.say(update_failed(
        UpdateId::from_u128(7),
        "The Microsoft Software License Terms have not been completely downloaded and\r\ncannot be accepted",
        "LicenseAgreement.GetById",
    ));
    run.say(failed(
        "HTTP 503 from the source",
        "AdminProxy.createUpdateServer",
    ));
    run.status(
        StatusId::SyncFailed,
        &["AdminProxy.createUpdateServer", "HTTP 503"],
    );
    run.say(will_retry(Duration::from_secs(3600)));
    let coloured = run.coloured();
    assert_eq!(coloured.len(), 3);
    assert!(
        coloured
            .iter()
            .all(|(_, severity)| *severity == Severity::Error)
    );
    assert_eq!(
        coloured[1].0,
        "Sync failed: HTTP 503 from the source. Source: AdminProxy.createUpdateServer"
    );
    assert_eq!(coloured[2].0, "Sync failed. Will retry in 60 minutes");
}

#[test]
fn every_trigger_and_the_end_by_a_person_read_plain() {
    let mut run = Run::new("PS1");
    for trigger in [Trigger::LocalRequest, Trigger::Retry, Trigger::Poll] {
        run.say_all(started(trigger));
        run.say(delta_run("2011-03-29T19:44:37Z"));
        run.say(cancelled(code("PS1")));
        run.status(StatusId::RunCancelled, &["an operator"]);
    }
    assert_eq!(run.coloured(), []);
}

#[test]
fn progress_is_rounded_down_and_ends_without_a_time() {
    let eta = Some(Duration::from_secs(3));
    assert_eq!(
        progress(Work::Updates, 122, 130, eta),
        "sync: WSUS synchronizing updates, processed 122 out of 130 items (93%), ETA in 00:00:03"
    );
    assert_eq!(
        progress(Work::Updates, 130, 130, eta),
        "sync: WSUS synchronizing updates, processed 130 out of 130 items (100%)"
    );
    assert!(progress(Work::Updates, 9999, 10000, None).ends_with("(99%)"));
    assert!(progress(Work::Updates, 0, 0, eta).ends_with("processed 0 out of 0 items (100%)"));
    let long = Some(Duration::from_secs(3600 + 61));
    assert!(progress(Work::Replica, 1, 4, long).ends_with("ETA in 01:01:01"));
}

#[test]
fn times_read_as_administrators_know_them() {
    assert_eq!(
        sync_time(Duration::from_secs(233)),
        "Sync time: 0d00h03m53s"
    );
    assert_eq!(
        sync_time(Duration::from_secs(90_061)),
        "Sync time: 1d01h01m01s"
    );
    assert_eq!(
        will_retry(Duration::from_secs(61)),
        "Sync failed. Will retry in 2 minutes"
    );
    assert_eq!(
        content_version(SOURCE, code("CS1"), 33),
        "Set content version of update source {C2D17964-BBDD-4339-B9F3-12D7205B39CC} for site CS1 to 33"
    );
    assert_eq!(children_notified(&[]), None);
}

#[test]
fn words_of_a_catalog_do_not_reach_an_informational_line() {
    let id = UpdateId::from_u128(7);
    let plain = "Synchronizing update 00000000-0000-0000-0000-000000000007";
    assert_eq!(synchronizing_update(id, Some("Critical Update")), plain);
    assert_eq!(synchronizing_update(id, Some("")), plain);
    assert_eq!(synchronizing_update(id, Some("12345678901")), plain);
    assert_eq!(
        synchronizing_update(id, Some("5012345")),
        format!("{plain} - KB5012345")
    );
}

#[test]
fn our_rule_of_colours_is_that_of_the_viewers() {
    use cmtraceopen_parser::parser::severity::detect_severity_from_text as viewer;
    for text in [
        "Critical Updates",
        "failover done",
        "Failed",
        "forewarned",
        "plain",
        "0x8 ERROR",
    ] {
        assert_eq!(is_coloured(text), viewer(text) != Severity::Info, "{text}");
    }
}

proptest! {
    #[test]
    fn progress_never_reaches_100_before_the_end(done: u64, total: u64, seconds in proptest::option::of(any::<u64>())) {
        let line = progress(Work::Updates, done, total, seconds.map(Duration::from_secs));
        prop_assert_eq!(line.contains("(100%)"), done >= total);
        prop_assert!(!line.contains("ETA") || done < total);
        prop_assert!(!is_coloured(&line));
    }

    #[test]
    fn an_update_line_is_plain(id: u128, kb in proptest::option::of(any::<String>())) {
        prop_assert!(!is_coloured(&synchronizing_update(UpdateId::from_u128(id), kb.as_deref())));
    }
}
