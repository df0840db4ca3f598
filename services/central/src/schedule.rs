//! Starts synchronizations when the schedule says so. A time that was missed, because the process or the
//! machine did not run, is made up for once.

use crate::in_force::InForce;
use daemon::Ambient;
use jiff::Timestamp;
use settings::Settings;
use std::sync::Arc;
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

impl Scheduler {
    /// Starts runs until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut settings = self.settings.watch();
        // Runs that were asked for, and of which the history may not know yet.
        let mut asked = None;
        loop {
            let current = Arc::clone(&settings.borrow_and_update());
            let wait = match self.look(&current, asked).await {
                Ok(Look::Due(now)) => {
                    asked = Some(now);
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

    async fn look(
        &self,
        settings: &Settings,
        asked: Option<Timestamp>,
    ) -> Result<Look, crate::in_force::Error> {
        let schedule = &settings.schedule;
        let now = self.ambient.now();
        let version = self.settings.version(None).await?;
        // Nothing was missed before anybody made a schedule.
        let created = version.time.unwrap_or(now);
        let newest = self.store.read().await?.runs(1).await?;
        let started = newest.first().map(|run| run.started);
        let last_start = started.max(asked);
        if schedule.is_due(last_start, created, now, self.seed) {
            return Ok(Look::Due(now));
        }
        let next = schedule.next_after(now, self.seed);
        let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
        Ok(Look::Wait(wait.map_or(LOOK, |wait| wait.min(LOOK))))
    }
}

/// What a look at the clock and the schedule came to.
enum Look {
    /// A run has to start, as of this time.
    Due(Timestamp),
    /// Look again after this time at the latest.
    Wait(Duration),
}
