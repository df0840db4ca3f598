//! The history of runs, as far as the database takes it: the end of a run that it does not take is
//! written later.

use crate::run::{State, SyncRun, Trigger};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;
use store::runs::RunRow;

/// Wait before what was not taken is written again.
pub(super) const WRITE_AGAIN: Duration = Duration::from_secs(15);
/// Ends of runs that wait, at most; the oldest go first.
const MOST_WAITING: usize = 100;

/// Writes runs down.
pub(super) struct History {
    store: Store,
    /// Ends of runs that the database did not take; oldest first.
    waiting: Mutex<Vec<RunRow>>,
}

impl History {
    pub fn new(store: Store) -> Self {
        Self {
            store,
            waiting: Mutex::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<RunRow>> {
        // Each change is one insertion, or takes all.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the end of a run is still to be written.
    pub fn is_behind(&self) -> bool {
        !self.waiting().is_empty()
    }

    /// Writes a run down. A failure to do so ends no run.
    pub async fn write(&self, run: &SyncRun, position: u64) {
        self.write_rows(Some(row(run, position))).await;
    }

    /// Writes what was not taken.
    pub async fn write_again(&self) {
        self.write_rows(None).await;
    }

    async fn write_rows(&self, newest: Option<RunRow>) {
        let mut rows = std::mem::take(&mut *self.waiting());
        rows.extend(newest);
        let written = async {
            // The beginning of a run may be forgotten in a loss of power, its end may not.
            let mut tx = match rows.iter().any(|row| row.finished.is_some()) {
                false => self.store.begin_repeatable().await?,
                true => self.store.begin().await?,
            };
            for row in &rows {
                tx.put_run(row).await?;
            }
            if rows.iter().any(|row| row.finished.is_some()) {
                tx.prune_runs().await?;
                tx.prune_status().await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            tracing::error!(%error, "a run could not be written into the history");
            rows.retain(|row| row.finished.is_some());
            let surplus = rows.len().saturating_sub(MOST_WAITING);
            self.waiting().extend(rows.into_iter().skip(surplus));
        }
    }
}

fn row(run: &SyncRun, position: u64) -> RunRow {
    let error = match &run.state {
        State::Failed { error, .. } => error.clone(),
        State::Requested
        | State::Running { .. }
        | State::Completed { .. }
        | State::Cancelled { .. } => String::new(),
    };
    RunRow {
        id: run.id,
        started: run.started,
        finished: run.state.finished(),
        state: run.state.name().to_owned(),
        full: run.full,
        manual: run.trigger == Trigger::Manual,
        added: run.counts.added,
        revised: run.counts.revised,
        expired: run.counts.expired,
        removed: run.counts.removed,
        failed: run.counts.quarantined,
        position,
        error,
        target: None,
        source: run.source.name().to_owned(),
    }
}
