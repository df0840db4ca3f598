//! What a site begins by itself, while a window keeps it from it.

use super::{Fixture, LONG, fixture, fixture_paced, in_updates};
use daemon::Ambient;
use jiff::{SignedDuration, Timestamp};
use journal::StatusId;
use std::sync::Arc;
use std::time::Duration;
use sync::{EngineSettings, Policy, Request, Trigger};

/// Retries soon, and never before `end` by itself.
fn closed_until(end: Timestamp) -> Policy {
    Policy {
        retry_first: Duration::from_millis(20),
        opens: Some(Arc::new(move |at| at.max(end))),
        ..Policy::default()
    }
}

async fn fixture_closed(
    end: Timestamp,
    directory: Arc<tempfile::TempDir>,
    permits: usize,
    failures: u32,
) -> Fixture {
    let paced = (EngineSettings::default(), closed_until(end));
    fixture_paced(paced, None, directory, permits, failures).await
}

fn in_two_hours() -> Timestamp {
    Ambient::system().now() + SignedDuration::from_hours(2)
}

#[tokio::test]
async fn a_retry_waits_for_the_end_of_a_window_and_tells_when_that_is() {
    let end = in_two_hours();
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let site = fixture_closed(end, directory, 10, 1).await;
    // What a person asks for does not wait.
    site.ask();
    let state = site.until(|state| state.next_attempt.is_some()).await;
    assert_eq!(state.next_attempt, Some(end));
    site.ask();
    site.until(|state| state.completed == 1).await;
    assert_eq!(site.begun(), 2);
    let told = site.told().await;
    let retry = told
        .iter()
        .find(|row| row.status_id == StatusId::RetryScheduled.number());
    assert_eq!(retry.unwrap().inserts, ["120", "1"]);
}

#[tokio::test]
async fn a_retry_comes_by_itself_when_the_window_has_ended() {
    let end = Ambient::system().now() + SignedDuration::from_millis(300);
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let site = fixture_closed(end, directory, 10, 1).await;
    site.ask();
    let state = site.until(|state| state.completed == 1).await;
    assert!(state.run.unwrap().started.as_millisecond() >= end.as_millisecond());
}

#[tokio::test]
async fn a_retry_that_a_start_finds_waits_for_the_end_of_a_window_too() {
    let before = fixture(9, 1, LONG).await;
    before.ask();
    before.until(|state| state.next_attempt.is_some()).await;
    before.stop.cancel();
    before.tasks.wait().await;
    let end = in_two_hours();
    let after = fixture_closed(end, Arc::clone(&before.directory), 9, 0).await;
    let state = after.until(|state| state.next_attempt.is_some()).await;
    assert_eq!(state.next_attempt, Some(end));
    // Somebody takes the window away.
    after.engine.follow(Policy::default());
    after.until(|state| state.completed == 1).await;
    let state = after.engine.state();
    assert_eq!((after.begun(), state.next_attempt), (1, None));
}

#[tokio::test]
async fn cancelling_takes_back_a_retry_that_waits_since_the_start() {
    let before = fixture(9, 1, LONG).await;
    before.ask();
    before.until(|state| state.next_attempt.is_some()).await;
    before.stop.cancel();
    before.tasks.wait().await;
    let directory = Arc::clone(&before.directory);
    let after = fixture_closed(in_two_hours(), directory, 9, 0).await;
    after.until(|state| state.next_attempt.is_some()).await;
    assert_eq!(after.engine.cancel(), None);
    after.until(|state| state.next_attempt.is_none()).await;
    after.engine.follow(Policy::default());
    after.ask();
    after.until(|state| state.completed == 1).await;
    assert_eq!(after.begun(), 1);
}

#[tokio::test]
async fn what_the_schedule_asked_for_during_a_run_does_not_begin_in_a_window() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let site = fixture_closed(in_two_hours(), directory, 0, 0).await;
    site.ask();
    site.until(in_updates).await;
    let (by_schedule, queued) = site.engine.request(Request::new(Trigger::Schedule));
    assert!(queued);
    site.upstream.permits.add_permits(1);
    site.until(|state| state.completed == 1).await;
    assert_eq!(site.history().await, ["Completed"]);
    // A person's request takes it along, and does not wait.
    assert_eq!(site.ask(), by_schedule);
    site.upstream.permits.add_permits(1);
    let run = site.until(|state| state.completed == 2).await.run.unwrap();
    assert_eq!((run.id, run.trigger), (by_schedule, Trigger::Manual));
}

#[tokio::test]
async fn what_everything_else_waits_for_begins_in_a_window_too() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let site = fixture_closed(in_two_hours(), directory, 9, 0).await;
    let request = Request::new(Trigger::Poll);
    site.engine.request(request);
    site.engine.request(Request {
        urgent: true,
        ..request
    });
    site.until(|state| state.completed == 1).await;
}
