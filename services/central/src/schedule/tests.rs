use super::*;
use crate::in_force::Fixed;
use crate::roll_out::Register;
use crate::settings::FirstSettings;
use daemon::Clock as _;
use jiff::SignedDuration;
use journal::{Journal, JournalSettings};
use link::reports::Reports;
use settings::schedule::{Blackout, When};
use std::sync::Arc;
use store::Location;
use sync::{Engine, EngineSettings, Failure, RunHandle, Upstream};
use testkit::clock::StillClock;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn nightly() -> Schedule {
    Schedule {
        when: When::Cron("0 3 * * *".to_owned()),
        ..Schedule::default()
    }
}

#[test]
fn a_night_that_was_missed_is_made_up_for_once() {
    let made = at("2026-11-01T12:00:00Z");
    let before = Some(at("2026-11-18T03:00:00Z"));
    // The machine was off for two nights.
    let now = at("2026-11-20T08:00:00Z");
    let look = |starts| decide(&nightly(), made, starts, now, 1);
    assert_eq!(look([before, None]), Look::Due);
    assert_eq!(look([before, Some(now)]), Look::Wait(LOOK));
    assert_eq!(look([Some(now), None]), Look::Wait(LOOK));
    // A run by hand after the time is as good.
    let by_hand = Some(at("2026-11-20T07:00:00Z"));
    assert_eq!(look([by_hand, None]), Look::Wait(LOOK));
}

#[test]
fn times_before_the_schedule_was_made_were_not_missed() {
    let made = at("2026-11-20T07:00:00Z");
    let now = at("2026-11-20T08:00:00Z");
    assert_eq!(
        decide(&nightly(), made, [None, None], now, 1),
        Look::Wait(LOOK)
    );
    let night = at("2026-11-21T03:00:00Z");
    assert_eq!(decide(&nightly(), made, [None, None], night, 1), Look::Due);
}

#[test]
fn a_clock_that_was_ahead_keeps_no_schedule_from_running() {
    let ahead = Some(at("2099-01-01T00:00:00Z"));
    let made = at("2099-01-01T00:00:00Z");
    let asked = Some(at("2026-11-20T03:00:00Z"));
    let look = |now| decide(&nightly(), made, [ahead, asked], at(now), 1);
    assert_eq!(look("2026-11-20T08:00:00Z"), Look::Wait(LOOK));
    let made = at("2026-11-01T12:00:00Z");
    let look = |now| decide(&nightly(), made, [ahead, asked], at(now), 1);
    assert_eq!(look("2026-11-21T03:00:00Z"), Look::Due);
}

#[test]
fn the_next_time_is_not_slept_through() {
    let made = at("2026-11-01T12:00:00Z");
    let last = Some(at("2026-11-20T03:00:00Z"));
    let look = decide(
        &nightly(),
        made,
        [last, None],
        at("2026-11-21T02:59:50Z"),
        1,
    );
    assert_eq!(look, Look::Wait(Duration::from_secs(10)));
}

/// Closed in the evening, across midnight.
fn with_window() -> Schedule {
    Schedule {
        blackout: vec![Blackout {
            from: "20:00".parse().unwrap(),
            to: "01:30".parse().unwrap(),
            ..Blackout::default()
        }],
        ..nightly()
    }
}

#[test]
fn a_night_that_was_missed_is_not_made_up_for_in_a_window() {
    let made = at("2026-11-01T12:00:00Z");
    let before = Some(at("2026-11-18T03:00:00Z"));
    let look = |now| decide(&with_window(), made, [before, None], at(now), 1);
    assert_eq!(look("2026-11-20T19:59:59Z"), Look::Due);
    assert_eq!(look("2026-11-20T20:00:00Z"), Look::Wait(LOOK));
    assert_eq!(look("2026-11-21T00:10:00Z"), Look::Wait(LOOK));
    // Its end is not slept through.
    let wait = Look::Wait(Duration::from_secs(10));
    assert_eq!(look("2026-11-21T01:29:50Z"), wait);
    assert_eq!(look("2026-11-21T01:30:00Z"), Look::Due);
}

/// What never runs.
struct Idle;

impl Upstream for Idle {
    fn name(&self) -> String {
        "idle".to_owned()
    }

    fn parent(&self) -> Option<catalog::PointId> {
        None
    }

    async fn sync(&self, _run: &RunHandle) -> Result<u64, Failure> {
        Ok(0)
    }
}

/// A scheduler that has just been started, on what an earlier one left behind.
async fn started(folder: &std::path::Path, clock: &Arc<StillClock>) -> (Scheduler, EngineHandle) {
    let ambient = Ambient::seeded(Arc::clone(clock) as _, 1);
    let store = Store::open(&Location::Directory(folder.into()))
        .await
        .unwrap();
    let site = "CAS".parse().unwrap();
    let journal = Journal::open(
        store.clone(),
        JournalSettings {
            site,
            has_parent: false,
            server: "cas".into(),
            directory: folder.join("logs"),
            max_log_bytes: 1 << 20,
            json_lines: false,
            merges: false,
        },
        ambient.clone(),
    )
    .unwrap();
    let engine = Engine::new(
        Arc::new(Idle),
        store.clone(),
        journal.clone(),
        ambient.clone(),
        EngineSettings::default(),
    )
    .await
    .unwrap();
    let settings = settings::Settings {
        schedule: with_window(),
        source: settings::document::Source {
            action: SynchronizeAction::MicrosoftUpdate,
            ..settings::document::Source::default()
        },
        ..settings::Settings::default()
    };
    let register = Register {
        store: store.clone(),
        reports: Reports::default(),
        top: site.site(),
        address: None,
        locale: None,
    };
    let settings = Box::pin(InForce::load(
        store.clone(),
        journal,
        ambient.clone(),
        Some(FirstSettings::Document(Box::new(settings))),
        Fixed::default(),
        register,
    ))
    .await
    .unwrap();
    let handle = engine.handle();
    let scheduler = Scheduler {
        settings,
        store,
        engine: handle.clone(),
        ambient,
        seed: 1,
    };
    (scheduler, handle)
}

#[tokio::test]
async fn a_site_that_is_started_in_a_window_makes_up_for_what_it_missed_after_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(StillClock::at(at("2026-11-18T12:00:00Z")));
    let (scheduler, engine) = started(folder.path(), &clock).await;
    let look = scheduler.look(&mut Seen::default()).await.unwrap();
    assert_eq!(look, Look::Wait(LOOK), "nothing was missed");
    drop((scheduler, engine));

    // Two nights later, in the evening.
    clock.advance("PT56H".parse().unwrap());
    let (scheduler, _engine) = started(folder.path(), &clock).await;
    let mut seen = Seen::default();
    assert_eq!(clock.now(), at("2026-11-20T20:00:00Z"));
    for _ in 0..2 {
        let look = scheduler.look(&mut seen).await.unwrap();
        assert_eq!(look, Look::Wait(LOOK), "it is closed");
    }
    clock.advance(SignedDuration::from_mins(330));
    assert_eq!(scheduler.look(&mut seen).await.unwrap(), Look::Due);
    let look = scheduler.look(&mut seen).await.unwrap();
    assert_eq!(look, Look::Wait(LOOK), "it was asked for");
}
