//! The engine with an upstream that does what the test says.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod windows;

use catalog::PointId;
use daemon::Ambient;
use jiff::SignedDuration;
use journal::run_part::{COMPLETED, FAILED, Part};
use journal::{Journal, JournalSettings, StatusId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::status::StatusRow;
use store::{Location, Store};
use sync::{
    Engine, EngineHandle, EngineSettings, EngineState, Failure, Phase, Policy, Request, RunHandle,
    State, Trigger, Upstream,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest that a test waits for something.
const PATIENCE: Duration = Duration::from_secs(30);

/// An upstream whose runs wait for permission to end, and of which the first fail.
struct Scripted {
    permits: Semaphore,
    begun: AtomicU32,
    full: AtomicU32,
    failures: AtomicU32,
    parent: Option<PointId>,
}

impl Upstream for Scripted {
    fn name(&self) -> String {
        "scripted".to_owned()
    }

    fn parent(&self) -> Option<PointId> {
        self.parent
    }

    async fn sync(&self, run: &RunHandle) -> Result<u64, Failure> {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        self.full.fetch_add(u32::from(run.full()), Ordering::SeqCst);
        run.enter(Phase::SyncingUpdates);
        run.progress(1, 2);
        self.permits.acquire().await.unwrap().forget();
        if begun <= self.failures.load(Ordering::SeqCst) {
            return Err(Failure::message("Test", "the upstream is away"));
        }
        run.enter(Phase::Verifying);
        Ok(7)
    }
}

struct Fixture {
    upstream: Arc<Scripted>,
    store: Store,
    engine: EngineHandle,
    stop: CancellationToken,
    tasks: TaskTracker,
    directory: Arc<tempfile::TempDir>,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn fixture(permits: usize, failures: u32, retry_first: Duration) -> Fixture {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    fixture_in(directory, permits, failures, retry_first).await
}

async fn fixture_in(
    directory: Arc<tempfile::TempDir>,
    permits: usize,
    failures: u32,
    retry_first: Duration,
) -> Fixture {
    fixture_below(None, directory, permits, failures, retry_first).await
}

/// A site below a parent, or one at the top.
async fn fixture_below(
    parent: Option<&str>,
    directory: Arc<tempfile::TempDir>,
    permits: usize,
    failures: u32,
    retry_first: Duration,
) -> Fixture {
    let process = EngineSettings {
        retry_first: Some(retry_first),
        ..EngineSettings::default()
    };
    let paced = (process, Policy::default());
    fixture_paced(paced, parent, directory, permits, failures).await
}

/// A site that is paced like this by its process and by the settings of the hierarchy.
async fn fixture_paced(
    (process, policy): (EngineSettings, Policy),
    parent: Option<&str>,
    directory: Arc<tempfile::TempDir>,
    permits: usize,
    failures: u32,
) -> Fixture {
    let ambient = Ambient::system();
    let store = Store::open(&Location::Directory(directory.path().into()))
        .await
        .unwrap();
    let journal = Journal::open(
        store.clone(),
        JournalSettings {
            site: "CAS".parse().unwrap(),
            has_parent: false,
            server: "cas".into(),
            directory: directory.path().join("logs"),
            max_log_bytes: 1 << 20,
            json_lines: false,
            merges: false,
        },
        ambient.clone(),
    )
    .unwrap();
    let upstream = Arc::new(Scripted {
        permits: Semaphore::new(permits),
        begun: AtomicU32::new(0),
        full: AtomicU32::new(0),
        failures: AtomicU32::new(failures),
        parent: parent.map(|parent| parent.parse().unwrap()),
    });
    let engine = Engine::new(
        Arc::clone(&upstream),
        store.clone(),
        journal,
        ambient,
        process,
    )
    .await
    .unwrap();
    let handle = engine.handle();
    handle.follow(policy);
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(engine.work(stop.clone()));
    tasks.close();
    Fixture {
        upstream,
        store,
        engine: handle,
        stop,
        tasks,
        directory,
    }
}

impl Fixture {
    async fn until(&self, what: impl FnMut(&EngineState) -> bool) -> EngineState {
        let mut states = self.engine.watch();
        tokio::time::timeout(PATIENCE, states.wait_for(what))
            .await
            .expect("it happens in time")
            .unwrap()
            .clone()
    }

    fn ask(&self) -> uuid::Uuid {
        self.engine.request(Request::new(Trigger::Manual)).0
    }

    fn begun(&self) -> u32 {
        self.upstream.begun.load(Ordering::SeqCst)
    }

    async fn history(&self) -> Vec<String> {
        let mut read = self.store.read().await.unwrap();
        let runs = read.runs(10).await.unwrap();
        runs.into_iter().map(|run| run.state).collect()
    }

    async fn messages(&self) -> Vec<u32> {
        let rows = self.told().await.into_iter();
        rows.map(|row| row.status_id).collect()
    }

    /// The status messages, oldest first.
    async fn told(&self) -> Vec<StatusRow> {
        let mut read = self.store.read().await.unwrap();
        let mut rows = read.status_messages(None, 100).await.unwrap();
        rows.reverse();
        rows
    }

    /// How a run went here, as the messages tell it.
    async fn part(&self, run: uuid::Uuid) -> Part {
        let mut read = self.store.read().await.unwrap();
        let rows = read.site_runs(run).await.unwrap();
        Part::new(rows.first().expect("a part"), None)
    }
}

fn in_updates(state: &EngineState) -> bool {
    state.run.as_ref().is_some_and(|run| {
        run.state
            == State::Running {
                phase: Phase::SyncingUpdates,
            }
            && run.processed == 1
    })
}

const LONG: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_run_tells_its_steps_and_its_end() {
    let site = fixture(1, 0, LONG).await;
    let run = site.ask();
    let state = site.until(|state| state.completed == 1).await;
    assert_eq!(state.run.unwrap().id, run);
    assert!(state.last_success.is_some() && state.last_failure.is_none());
    let numbers = [
        StatusId::SyncStarted,
        StatusId::SyncingUpstream,
        StatusId::SyncingDatabase,
        StatusId::RunPart,
        StatusId::SyncDone,
    ]
    .map(StatusId::number);
    assert_eq!(site.messages().await, numbers);
}

#[tokio::test]
async fn reasons_that_come_during_a_run_become_one_further_run() {
    let site = fixture(0, 0, LONG).await;
    let first = site.ask();
    site.until(in_updates).await;
    let waiting: Vec<_> = (0..5).map(|_| site.ask()).collect();
    let full = site.engine.request(Request {
        full: true,
        ..Request::new(Trigger::Manual)
    });
    assert!(full.1, "a run is under way");
    assert!(waiting.iter().all(|run| *run == full.0 && *run != first));
    site.upstream.permits.add_permits(10);
    let state = site.until(|state| state.completed == 2).await;
    assert_eq!(state.run.unwrap().id, full.0);
    assert_eq!(site.begun(), 2);
    assert_eq!(site.upstream.full.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_run_that_failed_is_tried_again_by_itself() {
    let site = fixture(10, 2, Duration::from_millis(20)).await;
    site.ask();
    site.until(|state| state.failed_in_a_row == 2).await;
    let state = site.until(|state| state.completed == 1).await;
    assert_eq!((site.begun(), state.failed_in_a_row), (3, 0));
    assert!(state.last_failure.is_none() && state.next_attempt.is_none());
    let messages = site.messages().await;
    let count = |id: StatusId| messages.iter().filter(|m| **m == id.number()).count();
    assert_eq!(count(StatusId::SyncFailed), 2);
    assert_eq!(count(StatusId::RetryScheduled), 2);
}

#[tokio::test]
async fn a_retry_that_waits_is_shown_and_a_request_does_not_wait_for_it() {
    let site = fixture(10, 1, LONG).await;
    site.ask();
    let state = site.until(|state| state.next_attempt.is_some()).await;
    let (_, error) = state.last_failure.unwrap();
    assert_eq!(error, "the upstream is away");
    site.ask();
    site.until(|state| state.completed == 1).await;
}

#[tokio::test]
async fn a_cancelled_run_ends_as_such_and_the_next_one_runs() {
    let site = fixture(0, 0, LONG).await;
    let run = site.ask();
    site.until(in_updates).await;
    assert_eq!(site.engine.cancel(), Some(run));
    site.until(|state| !state.running()).await;
    assert_eq!(site.history().await, ["Cancelled"]);
    assert_eq!(site.engine.cancel(), None, "nothing is under way");
    site.upstream.permits.add_permits(1);
    site.ask();
    site.until(|state| state.completed == 1).await;
    assert!(
        site.messages()
            .await
            .contains(&StatusId::RunCancelled.number())
    );
}

#[tokio::test]
async fn cancelling_takes_back_a_retry_that_waits() {
    let site = fixture(10, 1, LONG).await;
    site.ask();
    site.until(|state| state.next_attempt.is_some()).await;
    assert_eq!(site.engine.cancel(), None);
    site.until(|state| state.next_attempt.is_none()).await;
    assert_eq!(site.begun(), 1);
}

#[tokio::test]
async fn a_retry_that_the_process_did_not_survive_is_done_at_the_next_start() {
    let before = fixture(9, 1, LONG).await;
    let _ = before.engine.request(Request {
        full: true,
        ..Request::new(Trigger::Manual)
    });
    before.until(|state| state.next_attempt.is_some()).await;
    before.stop.cancel();
    before.tasks.wait().await;
    let after = fixture_in(Arc::clone(&before.directory), 9, 0, LONG).await;
    after.until(|state| state.completed == 1).await;
    assert_eq!(after.upstream.full.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn every_run_that_did_not_end_is_ended_at_the_next_start() {
    let before = fixture(9, 0, Duration::ZERO).await;
    let _ = before.engine.request(Request::new(Trigger::Manual));
    before.until(|state| state.completed == 1).await;
    before.stop.cancel();
    before.tasks.wait().await;
    // As when the ends of two runs could not be written down, and the newest completed.
    let completed = before.store.read().await.unwrap().runs(1).await.unwrap();
    let mut tx = before.store.begin().await.unwrap();
    for hours in [1, 2] {
        let mut run = completed[0].clone();
        run.id = uuid::Uuid::from_u128(hours);
        run.started -= jiff::SignedDuration::from_hours(i64::try_from(hours).unwrap());
        run.finished = None;
        tx.put_run(&run).await.unwrap();
    }
    tx.commit().await.unwrap();

    let after = fixture_in(Arc::clone(&before.directory), 9, 0, Duration::ZERO).await;
    let left = after.store.read().await.unwrap().unfinished_runs().await;
    assert!(left.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_the_process_did_not_survive_is_done_at_the_next_start() {
    let site = fixture(0, 0, LONG).await;
    site.ask();
    site.until(in_updates).await;
    site.stop.cancel();
    site.tasks.wait().await;
    assert_eq!(site.history().await, ["Requested"]);
    let directory = Arc::clone(&site.directory);
    drop(site);

    let site = fixture_in(directory, 1, 0, LONG).await;
    site.until(|state| state.completed == 1).await;
    assert_eq!(site.history().await, ["Completed", "Failed"]);
}

#[tokio::test]
async fn the_messages_of_a_run_tell_which_phase_took_how_long() {
    let site = fixture(1, 0, LONG).await;
    let run = site.ask();
    site.until(|state| state.completed == 1).await;
    let part = site.part(run).await;
    assert_eq!(part.state, COMPLETED);
    let phases: Vec<&str> = part.phases.iter().map(|span| span.phase.as_str()).collect();
    assert_eq!(phases, ["SyncingUpdates", "Verifying"]);
    assert!(part.requested <= part.started && part.started <= part.finished);
    assert!(part.phases.iter().all(|span| span.finished.is_some()));
}

#[tokio::test]
async fn what_is_tried_again_below_a_parent_is_the_same_run_and_at_the_top_another() {
    for (parent, same) in [(Some("CAS"), true), (None, false)] {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let soon = Duration::from_millis(20);
        let site = fixture_below(parent, directory, 10, 1, soon).await;
        let run = site.ask();
        let state = site.until(|state| state.completed == 1).await;
        assert_eq!(state.run.unwrap().id == run, same);
        let part = site.part(run).await;
        assert_eq!(part.state, if same { COMPLETED } else { FAILED });
    }
}

#[tokio::test]
async fn a_run_below_a_parent_that_the_process_did_not_survive_goes_on_as_the_same() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let site = fixture_below(Some("CAS"), Arc::clone(&directory), 0, 0, LONG).await;
    let run = site.ask();
    site.until(in_updates).await;
    site.stop.cancel();
    site.tasks.wait().await;
    drop(site);
    let site = fixture_below(Some("CAS"), directory, 1, 0, LONG).await;
    let state = site.until(|state| state.completed == 1).await;
    assert_eq!(state.run.unwrap().id, run);
    assert_eq!(site.history().await, ["Completed"]);
    assert_eq!(site.part(run).await.state, COMPLETED);
}

#[tokio::test]
async fn who_asks_does_not_inherit_the_wait_of_earlier_failures() {
    let site = fixture(10, 2, LONG).await;
    for _ in 0..2 {
        let asked = site.ask();
        let failed = |state: &EngineState| {
            let of_it = state.run.as_ref().is_some_and(|run| run.id == asked);
            of_it && state.next_attempt.is_some()
        };
        site.until(failed).await;
    }
    // What was to be told before it is told by the time that the next run is done.
    site.ask();
    site.until(|state| state.completed == 1).await;
    let told = site.told().await;
    let retries: Vec<&str> = told
        .iter()
        .filter(|row| row.status_id == StatusId::RetryScheduled.number())
        .map(|row| row.inserts[1].as_str())
        .collect();
    assert_eq!(retries, ["1", "1"]);
}

#[tokio::test]
async fn a_run_that_another_does_too_or_that_is_cancelled_before_it_began_is_told_of() {
    let named = |number: u128| Request {
        run: Some(uuid::Uuid::from_u128(number)),
        ..Request::new(Trigger::Parent)
    };
    let site = fixture(0, 0, LONG).await;
    let first = site.ask();
    site.until(in_updates).await;
    for number in [1, 2] {
        assert!(site.engine.request(named(number)).1);
    }
    assert!(site.engine.is_to_begin(uuid::Uuid::from_u128(1)));
    site.upstream.permits.add_permits(1);
    let second = |state: &EngineState| {
        let run = state.run.as_ref().map(|run| run.id);
        run == Some(uuid::Uuid::from_u128(2)) && in_updates(state)
    };
    site.until(second).await;
    let _ = site.engine.request(named(3));
    assert!(site.engine.cancel().is_some());
    site.until(|state| !state.running()).await;
    let of = |id: StatusId, number: u128| {
        let run = Some(uuid::Uuid::from_u128(number));
        move |row: &StatusRow| row.status_id == id.number() && row.run == run
    };
    // It is told of by the time that the next run is under way.
    let next = site.ask();
    site.until(|state| state.run.as_ref().is_some_and(|run| run.id == next))
        .await;
    let told = site.told().await;
    let joined = told.iter().find(|row| of(StatusId::RunJoined, 1)(row));
    let two = uuid::Uuid::from_u128(2).to_string();
    assert_eq!(joined.unwrap().inserts, [two]);
    assert!(told.iter().any(of(StatusId::RunCancelled, 2)));
    assert!(told.iter().any(of(StatusId::RunCancelled, 3)));
    assert!(told.iter().any(|row| row.run == Some(first)));
}

#[tokio::test]
async fn the_wait_is_that_of_the_hierarchy_unless_the_process_has_its_own() {
    let slow = Policy {
        retry_first: LONG,
        ..Policy::default()
    };
    let at_process = EngineSettings {
        retry_first: Some(Duration::from_millis(20)),
        ..EngineSettings::default()
    };
    let directory = || Arc::new(tempfile::tempdir().unwrap());
    let own = fixture_paced((at_process, slow.clone()), None, directory(), 9, 1).await;
    own.ask();
    own.until(|state| state.completed == 1).await;

    let paced = (EngineSettings::default(), slow);
    let common = fixture_paced(paced, None, directory(), 9, 1).await;
    common.ask();
    let state = common.until(|state| state.next_attempt.is_some()).await;
    let wait = state
        .next_attempt
        .unwrap()
        .duration_since(Ambient::system().now());
    assert!(wait > SignedDuration::from_mins(20), "{wait}");
    // What is changed then holds for the retry that waits, too.
    common.engine.follow(Policy {
        retry_first: Duration::from_millis(20),
        ..Policy::default()
    });
    common.until(|state| state.completed == 1).await;
}
