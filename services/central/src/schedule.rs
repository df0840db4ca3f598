//! Starts synchronizations when the schedule says so. A time that was missed, because the process or the
//! machine did not run, is made up for once.

use crate::in_force::InForce;
use daemon::Ambient;
use jiff::Timestamp;
use settings::document::SynchronizeAction;
use settings::schedule::Schedule;
use std::time::Duration;
use store::Store;
use sync::{EngineHandle, Request, Trigger};
use tokio_util::sync::CancellationToken;

/// The clock is looked at this often, however far away the next time is: somebody may set it, and a machine
/// may sleep.
const LOOK: Duration = Duration::from_secs(60);
/// A look that found a failing database is repeated after this time.
const AGAIN: Duration = Duration::from_secs(10);

/// What the schedule of a top-level site works with.
pub struct Scheduler {
    /// The settings.
    pub settings: InForce,
    /// Where the runs are written down.
    pub store: Store,
    /// What runs.
    pub engine: EngineHandle,
    /// The clock.
    pub ambient: Ambient,
    /// Decides the random offsets of the hierarchy.
    pub seed: u64,
}

/// What is remembered from one look to the next.
#[derive(Default)]
struct Seen {
    /// The schedule, and since when its times count.
    schedule: Option<(Schedule, Timestamp)>,
    /// When a run was asked for last; the history may not know of it yet.
    asked: Option<Timestamp>,
}

impl Scheduler {
    /// Starts runs until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut settings = self.settings.watch();
        let mut seen = Seen::default();
        loop {
            settings.mark_unchanged();
            let wait = match self.look(&mut seen).await {
                Ok(Look::Due) => {
                    self.engine.request(Request {
                        // Finds what the source withdrew, too (DESIGN section 4).
                        full: true,
                        ..Request::new(Trigger::Schedule)
                    });
                    Duration::ZERO
                }
                Ok(Look::Wait(wait)) => wait,
                Err(error) => {
                    tracing::error!(%error, "the schedule cannot be looked at");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&self, seen: &mut Seen) -> Result<Look, crate::in_force::Error> {
        let version = self.settings.refresh().await?;
        let now = self.ambient.now();
        let settings = self.settings.watch().borrow().clone();
        if settings.source.action == SynchronizeAction::DoNotSynchronize {
            // There is nothing to synchronize from, and nothing was missed.
            seen.schedule = None;
            return Ok(Look::Wait(LOOK));
        }
        let since = match seen.schedule.take() {
            Some((schedule, since)) if schedule == settings.schedule => since,
            // Times that passed before anybody made the schedule were not missed.
            Some(_) => now,
            None => version.unwrap_or(now),
        };
        seen.schedule = Some((settings.schedule.clone(), since));
        let newest = self.store.read().await?.runs(1).await?;
        let started = newest.first().map(|run| run.started);
        let look = decide(
            &settings.schedule,
            since,
            [started, seen.asked],
            now,
            self.seed,
        );
        if matches!(look, Look::Due) {
            seen.asked = Some(now);
        }
        Ok(look)
    }
}

/// What a look at the clock and the schedule came to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// A run has to start.
    Due,
    /// Look again after this time at the latest.
    Wait(Duration),
}

/// What there is to do `now`, where the schedule counts `since` and runs began at `starts`. A time from the
/// future says that the clock was wrong when it was written down: it counts for nothing.
fn decide(
    schedule: &Schedule,
    since: Timestamp,
    starts: [Option<Timestamp>; 2],
    now: Timestamp,
    seed: u64,
) -> Look {
    let starts = starts.into_iter().flatten();
    let last_start = starts.filter(|start| *start <= now).max();
    if schedule.is_due(last_start, since.min(now), now, seed) {
        return Look::Due;
    }
    let until = |at: Timestamp| Duration::try_from(at.duration_since(now)).ok();
    let next = schedule.next_after(now, seed).and_then(until);
    // What was missed waits for the end of the window that `now` is in.
    let opens = until(schedule.opens(now)).filter(|wait| !wait.is_zero());
    let wait = next.into_iter().chain(opens).min();
    Look::Wait(wait.map_or(LOOK, |wait| wait.min(LOOK)))
}

#[cfg(test)]
mod tests;
