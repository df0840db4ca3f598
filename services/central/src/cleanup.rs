//! The clean-up of a top-level site: updates are declined, unused revisions removed, old history forgotten.
//!
//! What it does to the catalog are changes of the log, so that every site takes them over in order; nothing
//! is deleted at one site alone, and no site has to be cleaned up before another. It is planned by the pure
//! rules of `catalog::cleanup`, done in bounded units of work, and goes on where it was when it is started
//! again. A plan is applied only to the log that it was made of: where something else came in between, it
//! is made anew.

mod report;

pub use report::{Entry, Report, Task};

use crate::decisions::{Decisions, ItemChange, put};
use crate::facts::Facts;
use crate::ingest::WsusUpstream;
use catalog::approval::{Approval, Cause, Record};
use catalog::cleanup::{self, DeclineRules, Reason};
use catalog::item::ItemKey;
use content::Content;
use content::cleanup::CleanError;
use daemon::Ambient;
use jiff::{SignedDuration, Timestamp};
use journal::{Journal, StatusId, phrases};
use settings::document::Cleanup;
use std::sync::Arc;
use std::time::Duration;
use store::{Error, Positions, Store};
use sync::EngineHandle;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Updates that one clean-up declines at most, and revisions that it removes.
const MOST: usize = match cfg!(feature = "simulation") {
    true => 60,
    false => 20_000,
};
/// Changes in one unit of work.
const CHANGES_PER_COMMIT: usize = match cfg!(feature = "simulation") {
    true => 20,
    false => 500,
};
/// Steps in which history is forgotten, at most.
const MOST_HISTORY_STEPS: u32 = 100;
/// How often a plan is made anew because the log went on meanwhile.
const MOST_PLANS: u32 = 5;
/// A clean-up starts by itself this long after the last one, though nothing was synchronized.
const AT_LEAST_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// Wait before a clean-up that was broken off is started again.
const RETRY: Duration = match cfg!(feature = "simulation") {
    true => Duration::from_secs(5),
    false => Duration::from_secs(10 * 60),
};
/// Name under which the last report is kept.
const REPORT: &str = "cleanup-report";
/// Who starts a clean-up that nobody asked for.
pub const BY_ITSELF: &str = "the site itself";

/// Cleans up. Cheap to clone.
#[derive(Clone)]
pub struct Cleaner {
    decisions: Decisions,
    upstream: Arc<WsusUpstream>,
    store: Store,
    ambient: Ambient,
    journal: Journal,
    /// One at a time.
    turn: Arc<Mutex<()>>,
    /// Told when a clean-up did not come to its end.
    unfinished: Arc<Notify>,
    /// The update files of the site, where it has any.
    content: Option<Content>,
}

/// What stopped a task.
enum Stopped {
    /// The log went on: what was planned is to be planned anew.
    Overtaken,
    Failed(Error),
    /// A file could not be removed.
    Files(CleanError),
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How far a task came.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    looked_at: u64,
    done: u64,
    left: u64,
}

impl Cleaner {
    /// The clean-up of a site.
    pub fn new(decisions: Decisions, upstream: Arc<WsusUpstream>, journal: Journal) -> Self {
        Self {
            store: upstream.store.clone(),
            ambient: upstream.ambient.clone(),
            decisions,
            upstream,
            journal,
            turn: Arc::default(),
            unfinished: Arc::default(),
            content: None,
        }
    }

    /// The same, with the update files of the site.
    #[must_use]
    pub fn with_content(self, content: Content) -> Self {
        Self {
            content: Some(content),
            ..self
        }
    }

    /// Cleans up, or counts what there is to clean up. Waits for a clean-up that is under way to end.
    ///
    /// What was done stays when it is broken off; the report tells of both.
    pub async fn clean(&self, who: &str, dry_run: bool) -> Report {
        let _turn = self.turn.lock().await;
        let settings = self.upstream.settings.borrow().cleanup.clone();
        let mut report = Report {
            who: who.to_owned(),
            started: self.ambient.now(),
            finished: self.ambient.now(),
            dry_run,
            entries: Vec::new(),
            failure: String::new(),
        };
        for task in Task::ALL {
            let began = self.ambient.now();
            let mut tally = Tally::default();
            let enabled = is_enabled(task, &settings);
            let outcome = match enabled {
                true => self.run(task, &settings, dry_run, &mut tally).await,
                false => Ok(()),
            };
            let took = self.ambient.now().duration_since(began).as_millis();
            report.entries.push(Entry {
                task,
                enabled,
                looked_at: tally.looked_at,
                done: tally.done,
                left: tally.left,
                milliseconds: u64::try_from(took).unwrap_or(0),
            });
            match outcome {
                // A synchronization is at work; what is left is done after it.
                Ok(()) | Err(Stopped::Overtaken) => {}
                Err(Stopped::Failed(error)) => {
                    let why = sync::upstream::with_causes(&error);
                    report.failure = format!("{}: {why}", task.name());
                    break;
                }
                Err(Stopped::Files(error)) => {
                    let why = sync::upstream::with_causes(&error);
                    report.failure = format!("{}: {why}", task.name());
                    break;
                }
            }
        }
        report.finished = self.ambient.now();
        if !dry_run {
            self.tell(&report).await;
            if !report.is_complete() {
                self.unfinished.notify_one();
            }
        }
        report
    }

    /// The last clean-up that was not a dry run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last(&self) -> Result<Option<Report>, Error> {
        let kept = self.store.read().await?.state(REPORT).await?;
        Ok(kept.and_then(|kept| serde_json::from_slice(&kept).ok()))
    }

    /// Does a task, planning anew where something came in between.
    async fn run(
        &self,
        task: Task,
        settings: &Cleanup,
        dry_run: bool,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        for _ in 0..MOST_PLANS {
            let outcome = match task {
                Task::DeclineExpired | Task::DeclineSuperseded => {
                    self.decline(task, settings, dry_run, tally).await
                }
                Task::RemoveUnusedRevisions => self.remove(settings, dry_run, tally).await,
                Task::History => self.forget(settings, dry_run, tally).await,
                Task::UnneededContent => self.remove_files(settings, dry_run, tally).await,
            };
            match outcome {
                Err(Stopped::Overtaken) => {}
                Ok(()) | Err(Stopped::Failed(_) | Stopped::Files(_)) => return outcome,
            }
        }
        Err(Stopped::Overtaken)
    }

    async fn decline(
        &self,
        task: Task,
        settings: &Cleanup,
        dry_run: bool,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let facts = Facts::read(&self.store).await?;
        let now = self.ambient.now();
        let updates = facts.for_declining(now);
        let superseded = task == Task::DeclineSuperseded;
        // What is expired, too, is declined as expired where that is switched on.
        let rules = DeclineRules {
            expired: !superseded || settings.decline_expired,
            superseded,
            days: settings.days,
            undeployed_days: settings.undeployed_days,
        };
        let mut declines = cleanup::decline(&updates, rules, None, usize::MAX, now).declines;
        declines.retain(|decline| match decline.reason {
            Reason::Expired { .. } => !superseded,
            Reason::Superseded { .. } => superseded,
        });
        tally.looked_at = updates.len() as u64;
        tally.left = declines.len() as u64;
        if dry_run {
            tally.done = std::mem::take(&mut tally.left);
            return Ok(());
        }
        declines.truncate(self.most(tally, dry_run));
        let changes = declines.iter().filter_map(|decline| {
            let held = facts.approvals.get(&decline.id);
            let record = Record {
                approval: Approval::Declined,
                revision: facts.newest(decline.id)?.revision,
                cause: Cause::Cleanup,
                changed_at: now,
                accepted_licence: held.and_then(|record| record.accepted_licence.clone()),
            };
            Some(ItemChange::Put {
                key: ItemKey::Approval(decline.id),
                content: record.to_bytes(),
            })
        });
        self.commit(changes.collect(), facts.positions, tally).await
    }

    async fn remove(
        &self,
        settings: &Cleanup,
        dry_run: bool,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let facts = Facts::read(&self.store).await?;
        let now = self.ambient.now();
        let revisions = facts.for_removing(now);
        let most = self.most(tally, dry_run);
        let plan = cleanup::unused_revisions(&revisions, settings.days, most, now);
        tally.looked_at = revisions.len() as u64;
        tally.left = (plan.revisions.len() + plan.left) as u64;
        if dry_run {
            tally.done = std::mem::take(&mut tally.left);
            return Ok(());
        }
        if plan.revisions.is_empty() {
            return Ok(());
        }
        let changes = plan.revisions.into_iter().map(ItemKey::Revision);
        let changes = changes.map(ItemChange::Remove).collect();
        let done = self.commit(changes, facts.positions, tally).await;
        self.upstream.forget_categories().await;
        done
    }

    /// How many changes there may still be.
    fn most(&self, tally: &Tally, dry_run: bool) -> usize {
        match dry_run {
            true => usize::MAX,
            false => MOST.saturating_sub(usize::try_from(tally.done).unwrap_or(MOST)),
        }
    }

    /// Puts changes into the log that were planned at some positions, a bounded number at a time.
    async fn commit(
        &self,
        changes: Vec<ItemChange>,
        mut expected: Positions,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let place = |positions: Positions| (positions.epoch, positions.generation, positions.head);
        for chunk in changes.chunks(CHANGES_PER_COMMIT) {
            let mut tx = self.decisions.begin().await?;
            if place(tx.positions()) != place(expected) {
                return Err(Stopped::Overtaken);
            }
            let changed = put(&mut tx, chunk.to_vec(), self.ambient.now()).await?;
            expected = tx.positions();
            let committed = self.decisions.finish(tx).await?;
            // The statement may have taken a place of its own.
            expected.head = expected.head.max(committed.position);
            tally.done += changed;
            tally.left = tally.left.saturating_sub(changed);
        }
        Ok(())
    }

    async fn forget(
        &self,
        settings: &Cleanup,
        dry_run: bool,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let Some(before) = days_before(self.ambient.now(), settings.history_days) else {
            return Ok(());
        };
        let history = self.store.read().await?.old_history(before).await?;
        tally.looked_at = history.held();
        if dry_run {
            tally.done = history.old();
            return Ok(());
        }
        let forgotten = self
            .store
            .forget_history(before, MOST_HISTORY_STEPS)
            .await?;
        tally.done = forgotten.total();
        tally.left = history.old().saturating_sub(tally.done);
        Ok(())
    }

    /// Removes update files of this site that nothing needs. Those for which it is too early are not left over.
    async fn remove_files(
        &self,
        settings: &Cleanup,
        dry_run: bool,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let Some(content) = &self.content else {
            return Ok(());
        };
        let days = settings.content_days;
        let outcome =
            content::cleanup::clean(&self.store, content, &self.ambient, days, dry_run).await;
        let outcome = outcome.map_err(|error| match error {
            CleanError::Store(error) => Stopped::Failed(error),
            CleanError::Files { .. } => Stopped::Files(error),
        })?;
        tally.done = outcome.removed.files;
        tally.looked_at = outcome.removed.files + outcome.kept.files;
        Ok(())
    }

    /// Keeps the report, and tells of it where there is something to tell.
    async fn tell(&self, report: &Report) {
        let updates = report.entries.first().map_or(0, |entry| entry.looked_at);
        let declined = report.done(Task::DeclineExpired) + report.done(Task::DeclineSuperseded);
        let removed = report.done(Task::RemoveUnusedRevisions);
        self.journal
            .line(None, phrases::cleanup_processed(updates, declined, removed));
        let kept = async {
            let mut tx = self.store.begin().await?;
            let text = serde_json::to_vec(report).unwrap_or_default();
            tx.put_state(REPORT, text).await?;
            tx.commit().await
        };
        if let Err(error) = kept.await {
            tracing::error!(%error, "the report of a clean-up could not be kept");
        }
        if report.all_done() > 0 || report.who != BY_ITSELF {
            let mut inserts = vec![report.who.clone()];
            let told = [
                Task::DeclineExpired,
                Task::DeclineSuperseded,
                Task::RemoveUnusedRevisions,
                Task::History,
            ];
            inserts.extend(told.map(|task| report.done(task).to_string()));
            inserts.push(report.all_left().to_string());
            inserts.push(report.done(Task::UnneededContent).to_string());
            self.journal
                .record(StatusId::CleanupDone, None, inserts)
                .await;
        }
        if !report.failure.is_empty() {
            let inserts = vec![report.who.clone(), report.failure.clone()];
            self.journal
                .record(StatusId::CleanupFailed, None, inserts)
                .await;
        }
    }

    /// Cleans up after each synchronization that completed, and once a day, until `stop` is told.
    pub async fn keep(self, engine: EngineHandle, stop: CancellationToken) {
        let mut states = engine.watch();
        let mut completed = states.borrow().completed;
        let mut due = Instant::now() + self.first_wait().await;
        let mut cleaned = None;
        loop {
            let alarm = due;
            tokio::select! {
                () = tokio::time::sleep_until(alarm) => {}
                done = states.wait_for(|state| state.completed > completed && !state.running()) => {
                    match done {
                        Ok(state) => completed = state.completed,
                        Err(_) => return,
                    }
                }
                () = self.unfinished.notified() => {
                    due = due.min(Instant::now() + RETRY);
                    cleaned = None;
                    continue;
                }
                () = stop.cancelled() => return,
            }
            if Instant::now() < due && cleaned == Some(self.subject()) {
                // A synchronization that brought nothing leaves nothing to clean up.
                continue;
            }
            if self.decisions.is_halfway() {
                due = Instant::now() + RETRY;
                continue;
            }
            let report = tokio::select! {
                report = self.clean(BY_ITSELF, false) => report,
                // What was done stays, and the next start goes on.
                () = stop.cancelled() => return,
            };
            let is_complete = report.is_complete();
            cleaned = is_complete.then(|| self.subject());
            due = Instant::now()
                + match is_complete {
                    true => AT_LEAST_EVERY,
                    false => RETRY,
                };
        }
    }

    /// What a clean-up depends on, besides the time.
    fn subject(&self) -> (Positions, Cleanup) {
        let settings = self.upstream.settings.borrow().cleanup.clone();
        (self.store.positions(), settings)
    }

    /// How long until a clean-up is due that was not done in time, or not to its end.
    async fn first_wait(&self) -> Duration {
        let Ok(last) = self.last().await else {
            return RETRY;
        };
        match last {
            None => AT_LEAST_EVERY,
            Some(last) if !last.is_complete() => RETRY,
            Some(last) => {
                let since = self.ambient.now().duration_since(last.finished);
                let since = Duration::try_from(since).unwrap_or(Duration::ZERO);
                AT_LEAST_EVERY.saturating_sub(since).max(RETRY)
            }
        }
    }
}

fn is_enabled(task: Task, settings: &Cleanup) -> bool {
    match task {
        Task::DeclineExpired => settings.decline_expired,
        Task::DeclineSuperseded => settings.decline_superseded,
        Task::RemoveUnusedRevisions => settings.remove_unused_revisions,
        Task::UnneededContent => settings.unneeded_content,
        Task::History => true,
    }
}

/// The time some days of 24 hours before another.
fn days_before(time: Timestamp, days: u16) -> Option<Timestamp> {
    time.checked_sub(SignedDuration::from_hours(24 * i64::from(days)))
        .ok()
}
