//! What the runs of a site add up to since its process started, as its metrics show it.

use crate::run::{Counts, State, SyncRun};
use daemon::metrics::{
    HistogramVec, IntCounter, IntCounterVec, Metrics, MetricsError, RUN_SECONDS,
};

/// The ways in which a run can end.
const OUTCOMES: [&str; 3] = ["completed", "failed", "cancelled"];

/// Counts the runs of a site.
#[derive(Debug, Clone)]
pub struct Tally {
    runs: IntCounterVec,
    durations: HistogramVec,
    items: IntCounter,
    bytes: IntCounter,
}

impl Tally {
    /// Begins at nothing, as part of `metrics`.
    ///
    /// # Errors
    /// When one of its numbers is there already.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let tally = Self {
            runs: metrics.counters(
                "sync_runs_total",
                "Runs that ended since the process started, by outcome.",
                &["outcome"],
            )?,
            durations: metrics.histograms(
                "sync_run_duration_seconds",
                "How long runs took, from their beginning to their end, by outcome.",
                &RUN_SECONDS,
                &["outcome"],
            )?,
            items: metrics.counter(
                "sync_items_total",
                "Items that came in runs since the process started.",
            )?,
            bytes: metrics.counter(
                "sync_bytes_total",
                "Bytes of what came in runs since the process started.",
            )?,
        };
        for outcome in OUTCOMES {
            // There from the beginning, so that the first one is seen as a change.
            tally.runs.with_label_values(&[outcome]);
            tally.durations.with_label_values(&[outcome]);
        }
        Ok(tally)
    }

    /// Adds what came in a run between two moments.
    pub(crate) fn came(&self, before: &Counts, after: &Counts) {
        self.items
            .inc_by(after.received.saturating_sub(before.received));
        self.bytes.inc_by(after.bytes.saturating_sub(before.bytes));
    }

    /// Adds a run that ended. Its length is that which its history tells.
    pub(crate) fn ended(&self, run: &SyncRun) {
        let (outcome, at) = match &run.state {
            State::Completed { at } => ("completed", at),
            State::Failed { at, .. } => ("failed", at),
            State::Cancelled { at } => ("cancelled", at),
            State::Requested | State::Running { .. } => return,
        };
        self.runs.with_label_values(&[outcome]).inc();
        let took = at.duration_since(run.started).as_secs_f64();
        self.durations
            .with_label_values(&[outcome])
            .observe(took.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Phase, Trigger};
    use jiff::Timestamp;
    use uuid::Uuid;

    #[test]
    fn runs_are_counted_by_how_they_ended_and_how_long_they_took() {
        let metrics = Metrics::new().unwrap();
        let tally = Tally::new(&metrics).unwrap();
        let time = |second| Timestamp::from_second(second).unwrap();
        let run = SyncRun::requested(Uuid::from_u128(1), Trigger::Poll, false, time(10));
        tally.ended(&run);
        let run = run.enter(Phase::Connecting, time(10)).unwrap();
        tally.ended(&run.clone().end(State::Completed { at: time(13) }).unwrap());
        tally.ended(&run.end(State::Cancelled { at: time(9) }).unwrap());
        let before = Counts::default();
        let after = Counts {
            received: 5,
            bytes: 700,
            ..before
        };
        tally.came(&before, &after);
        tally.came(&after, &after);
        let text = metrics.render().unwrap();
        for line in [
            "headwater_sync_runs_total{outcome=\"completed\"} 1",
            "headwater_sync_runs_total{outcome=\"failed\"} 0",
            "headwater_sync_runs_total{outcome=\"cancelled\"} 1",
            "headwater_sync_run_duration_seconds_sum{outcome=\"completed\"} 3",
            "headwater_sync_run_duration_seconds_sum{outcome=\"cancelled\"} 0",
            "headwater_sync_items_total 5",
            "headwater_sync_bytes_total 700",
        ] {
            assert!(text.lines().any(|held| held == line), "{line}: {text}");
        }
    }
}
