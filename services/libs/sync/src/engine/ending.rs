//! How a run ends: in the history, in what is shown, in the metrics and in its trace.

use super::Engine;
use crate::run::State;
use crate::trace;
use crate::upstream::Upstream;

impl<U: Upstream> Engine<U> {
    /// Ends the run: written into the history first, then shown.
    pub(super) async fn end(&self, end: State, position: u64) {
        let Some(run) = self.shared.state.borrow().run.clone() else {
            return;
        };
        let run = match run.clone().end(end) {
            Ok(ended) => ended,
            Err(_) => run,
        };
        self.history.write(&run, position).await;
        self.shared.state.send_modify(|state| {
            match &run.state {
                State::Completed { at } => {
                    state.last_success = Some(*at);
                    state.last_failure = None;
                    state.completed += 1;
                    state.failed_in_a_row = 0;
                }
                State::Failed { at, error } => {
                    state.last_failure = Some((*at, error.clone()));
                    state.failed_in_a_row = state.failed_in_a_row.saturating_add(1);
                }
                State::Cancelled { .. } | State::Requested | State::Running { .. } => {}
            }
            state.run = Some(run.clone());
        });
        if let Some(tally) = self.shared.tally.get() {
            tally.ended(&run);
        }
        self.trace();
    }

    /// Tells what the run was, when it is over or left.
    pub(super) fn trace(&self) {
        let traces = self.ambient.traces();
        if !traces.wanted() {
            return;
        }
        let run = self.shared.state.borrow().run.clone();
        let (site, now) = (self.shared.journal.site(), self.ambient.now());
        for span in run
            .iter()
            .flat_map(|run| trace::spans(run, site, self.kind, now))
        {
            traces.tell(span);
        }
    }
}
