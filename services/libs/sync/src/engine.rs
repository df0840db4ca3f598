//! The engine of a site: waits for a reason to synchronize, does it, tells what happened, and tries
//! again later when it did not succeed. Several reasons during a run become one further run.

mod ending;
mod history;
mod policy;
mod request;
mod tell;
mod wait;

pub use policy::{Opens, Policy};
pub use request::Request;

use crate::run::{Counts, IllegalTransition, State, SyncRun, Trigger};
use crate::tally::Tally;
use crate::upstream::{Pace, RunHandle, Upstream};
use catalog::SiteKind;
use daemon::Ambient;
use history::History;
use jiff::Timestamp;
use journal::phrases;
use journal::{Journal, StatusId};
use request::Waiting;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use store::Store;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How the process paces the runs of a site.
#[derive(Debug, Clone, Default)]
pub struct EngineSettings {
    /// Wait after the first run that did not succeed, where it is not to be as [`Policy`] says.
    pub retry_first: Option<Duration>,
    /// Longest wait between runs that do not succeed, where it is not to be as [`Policy`] says.
    pub retry_most: Option<Duration>,
    /// The slow poll: how long a site waits for a reason before it looks by itself. None at a
    /// top-level site, whose schedule decides.
    pub poll: Option<Duration>,
}

/// What the engine does and did, as reports show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineState {
    /// The run under way, or the last one.
    pub run: Option<SyncRun>,
    /// When a run that did not succeed is tried again.
    pub next_attempt: Option<Timestamp>,
    /// End of the last run that completed.
    pub last_success: Option<Timestamp>,
    /// End of the last run that did not, and why.
    pub last_failure: Option<(Timestamp, String)>,
    /// Position that the site was last asked to reach.
    pub target: u64,
    /// Runs that completed since the process started, so that waiting for the next is possible.
    pub completed: u64,
    /// Runs that failed since the last one that did not.
    pub failed_in_a_row: u32,
}

impl EngineState {
    /// Whether a run is under way.
    pub fn running(&self) -> bool {
        self.run
            .as_ref()
            .is_some_and(|run| run.state.finished().is_none())
    }
}

pub(crate) struct Shared {
    pub(crate) journal: Journal,
    pub(crate) ambient: Ambient,
    state: watch::Sender<EngineState>,
    pending: Mutex<Waiting>,
    wake: Notify,
    cancel: Mutex<CancellationToken>,
    policy: watch::Sender<Policy>,
    /// What all runs add up to, where somebody counts.
    tally: OnceLock<Tally>,
}

impl Shared {
    /// The time now, to the millisecond: as the times of a run are stored and told.
    pub(crate) fn now(&self) -> Timestamp {
        let now = self.ambient.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Changes the run under way; false when its state does not allow it.
    pub(crate) fn change_run(
        &self,
        change: impl FnOnce(SyncRun) -> Result<SyncRun, IllegalTransition>,
    ) -> bool {
        self.state.send_if_modified(|state| {
            let Some(run) = state.run.clone() else {
                return false;
            };
            match change(run) {
                Ok(run) => {
                    state.run = Some(run);
                    true
                }
                Err(error) => {
                    tracing::debug!(%error, "a step of a run was passed over");
                    false
                }
            }
        })
    }

    /// Notes progress; whether the phase was already complete.
    pub(crate) fn progress(&self, processed: u64, total: u64) -> bool {
        let mut done_before = false;
        self.state.send_if_modified(|state| {
            let Some(run) = &mut state.run else {
                return false;
            };
            done_before = run.total > 0 && run.processed >= run.total;
            let changed = (run.processed, run.total) != (processed, total);
            (run.processed, run.total) = (processed, total);
            changed
        });
        done_before
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Counts)) {
        self.state.send_modify(|state| {
            if let Some(run) = &mut state.run {
                let before = run.counts;
                add(&mut run.counts);
                if let Some(tally) = self.tally.get() {
                    tally.came(&before, &run.counts);
                }
            }
        });
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // Each change of it is whole before the lock is given back.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cancel(&self) -> std::sync::MutexGuard<'_, CancellationToken> {
        self.cancel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks things of an engine. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    ambient: Ambient,
}

impl EngineHandle {
    /// Asks for a run: the run that will serve the request, and whether one was under way already.
    pub fn request(&self, mut request: Request) -> (Uuid, bool) {
        let mut pending = self.shared.pending();
        let run = request
            .run
            .or_else(|| pending.next.and_then(|waiting| waiting.run))
            .unwrap_or_else(|| self.ambient.new_id());
        request.run = Some(run);
        request.at = request.at.or_else(|| Some(self.shared.now()));
        pending.add(request);
        drop(pending);
        let mut queued = false;
        self.shared.state.send_if_modified(|state| {
            queued = state.running();
            raise(state, request.target)
        });
        self.shared.wake.notify_one();
        (run, queued)
    }

    /// Notes that the parent now asks for a further position. A run that is under way is followed by
    /// another when it ends short of it.
    pub fn raise_target(&self, target: u64) {
        self.shared
            .state
            .send_if_modified(|state| raise(state, Some(target)));
    }

    /// Cancels the run under way, what waits behind it, and a retry that is planned. The run that was
    /// cancelled, if one was under way.
    pub fn cancel(&self) -> Option<Uuid> {
        {
            let mut pending = self.shared.pending();
            pending.give_up();
            self.shared.cancel().cancel();
        }
        // What was given up is told.
        self.shared.wake.notify_one();
        let state = self.shared.state.borrow();
        state
            .running()
            .then(|| state.run.as_ref().map(|run| run.id))
            .flatten()
    }

    /// Has the site start runs by itself like this from now on. A retry that waits is planned anew.
    pub fn follow(&self, policy: Policy) {
        self.shared.policy.send_replace(policy);
    }

    /// Whether a run was asked for that is still to begin, or begins right now.
    pub fn is_to_begin(&self, run: Uuid) -> bool {
        self.shared.pending().holds(run)
    }

    /// What the engine does, and every change of it.
    pub fn watch(&self) -> watch::Receiver<EngineState> {
        self.shared.state.subscribe()
    }

    /// What the engine does now.
    pub fn state(&self) -> EngineState {
        self.shared.state.borrow().clone()
    }
}

/// The run that a run is tried again as. That of a parent stays the same until it is done; a top-level site begins
/// another one.
fn again<U: Upstream>(upstream: &U, run: Option<Uuid>) -> Option<Uuid> {
    run.filter(|_| upstream.parent().is_some())
}

/// Notes the position that was asked for last. Whether it is another one.
fn raise(state: &mut EngineState, target: Option<u64>) -> bool {
    match target {
        Some(target) if target != state.target => {
            state.target = target;
            true
        }
        Some(_) | None => false,
    }
}

/// The engine of a site.
pub struct Engine<U> {
    upstream: Arc<U>,
    store: Store,
    ambient: Ambient,
    settings: EngineSettings,
    shared: Arc<Shared>,
    history: History,
    /// Kind of the site, as traces tell it.
    kind: Option<SiteKind>,
}

/// What the engine waited for.
enum Reason {
    /// A run, and what cancels it.
    Request(Request, CancellationToken),
    Stop,
}

impl<U: Upstream> Engine<U> {
    /// An engine that has not begun to work, with what the history says of the runs before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new(
        upstream: Arc<U>,
        store: Store,
        journal: Journal,
        ambient: Ambient,
        settings: EngineSettings,
    ) -> Result<Self, store::Error> {
        let mut state = EngineState::default();
        let mut interrupted = None;
        let (mut newest, success, unfinished) = {
            let mut read = store.read().await?;
            (
                read.runs(1).await?.into_iter().next(),
                read.last_success().await?,
                read.unfinished_runs().await?,
            )
        };
        state.last_success = success.and_then(|run| run.finished);
        for mut run in unfinished {
            run.finished = Some(ambient.now());
            State::FAILED.clone_into(&mut run.state);
            "the process ended during the run".clone_into(&mut run.error);
            let mut tx = store.begin().await?;
            tx.put_run(&run).await?;
            tx.commit().await?;
            // One that was begun before the newest was made up for by that.
            if newest
                .as_ref()
                .is_none_or(|newest| newest.started <= run.started)
            {
                newest = Some(run);
            }
        }
        // What was handed to the site has to be handed to it again.
        if let Some(run) = newest
            && run.state == State::FAILED
            && run.source.is_empty()
        {
            // It was to be tried again, or did not get so far.
            interrupted = Some(Request {
                run: again(upstream.as_ref(), Some(run.id)),
                full: run.full,
                ..Request::new(Trigger::Retry)
            });
            state.last_failure = run.finished.map(|at| (at, run.error));
        }
        let shared = Arc::new(Shared {
            journal,
            ambient: ambient.clone(),
            state: watch::Sender::new(state),
            pending: Mutex::new(Waiting {
                next: interrupted,
                ..Waiting::default()
            }),
            wake: Notify::new(),
            cancel: Mutex::new(CancellationToken::new()),
            policy: watch::Sender::default(),
            tally: OnceLock::new(),
        });
        Ok(Self {
            upstream,
            history: History::new(store.clone()),
            store,
            ambient,
            settings,
            shared,
            kind: None,
        })
    }

    /// The same engine, with the kind of its site, which its traces tell.
    pub fn of_kind(self, kind: SiteKind) -> Self {
        let kind = Some(kind);
        Self { kind, ..self }
    }

    /// The same engine, whose runs are counted. Who counts first stays.
    pub fn counted_by(self, tally: Tally) -> Self {
        let _ = self.shared.tally.set(tally);
        self
    }

    /// What asks things of this engine.
    pub fn handle(&self) -> EngineHandle {
        EngineHandle {
            shared: Arc::clone(&self.shared),
            ambient: self.ambient.clone(),
        }
    }

    /// Works until `stop` is told. A run that is under way then is left as it is and goes on at the
    /// next start.
    pub async fn work(self, stop: CancellationToken) {
        let mut failures: u32 = 0;
        let mut last = Request::new(Trigger::Poll);
        loop {
            let (request, cancel) = match self.wait(&mut failures, last, &stop).await {
                Reason::Request(request, cancel) => (request, cancel),
                Reason::Stop => return,
            };
            last = request;
            if request.trigger == Trigger::Manual {
                // Who asks does not inherit the wait of earlier failures.
                failures = 0;
            }
            let done = tokio::select! {
                done = self.run(request, cancel) => done,
                () = stop.cancelled() => {
                    self.trace();
                    return;
                }
            };
            failures = if done { 0 } else { failures.saturating_add(1) };
        }
    }

    /// Does one run; whether it needs no retry.
    async fn run(&self, request: Request, cancel: CancellationToken) -> bool {
        let now = self.shared.now();
        let id = request.run.unwrap_or_else(|| self.ambient.new_id());
        let run = SyncRun {
            requested: request.at.unwrap_or(now),
            alone: request.alone,
            source: request.source,
            parent_span: request.parent_span,
            ..SyncRun::requested(id, request.trigger, request.full, now)
        };
        self.history.write(&run, 0).await;
        self.shared.state.send_modify(|state| {
            state.run = Some(run);
            state.next_attempt = None;
        });
        self.tell_start(id, request).await;

        let handle = RunHandle {
            id,
            trigger: request.trigger,
            full: request.full,
            verify: request.verify,
            alone: request.alone,
            source: request.source,
            target: request.target,
            shared: Arc::clone(&self.shared),
            cancel: cancel.clone(),
            pace: Arc::new(Mutex::new(Pace::new())),
        };
        let target = self.shared.state.borrow().target;
        let outcome = tokio::select! {
            outcome = self.upstream.sync(&handle) => Some(outcome),
            () = cancel.cancelled() => None,
        };
        cancel.cancel();
        match outcome {
            Some(Ok(position)) => {
                let at = self.tell_success(id, position).await;
                self.end(State::Completed { at }, position).await;
                let raised = self.shared.state.borrow().target;
                if raised != target && raised > position {
                    let _ = self.handle().request(Request {
                        target: Some(raised),
                        ..Request::new(Trigger::Parent)
                    });
                }
                true
            }
            Some(Err(failure)) => {
                let at = self.tell_failure(id, &failure).await;
                let error = failure.message;
                self.end(State::Failed { at, error }, self.store.positions().verified)
                    .await;
                failure.until_asked
            }
            None => {
                self.shared
                    .journal
                    .line(Some(id), phrases::cancelled(self.shared.journal.site()));
                let by = vec!["request".to_owned()];
                let at = self.tell_end(id, vec![(StatusId::RunCancelled, by)]).await;
                self.end(State::Cancelled { at }, self.store.positions().verified)
                    .await;
                true
            }
        }
    }
}
