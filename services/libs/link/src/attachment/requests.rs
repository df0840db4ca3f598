//! What becomes of a parent's request to catch up.

use super::Conversation;
use super::incoming::Order;
use sync::{Request, Trigger};

impl Conversation<'_> {
    /// Catches up, unless the run under way does that, or did.
    pub(super) fn take_sync(&self, order: Order) {
        let Order {
            run,
            span,
            target,
            full,
        } = order;
        let site = &self.attachment.site;
        let state = site.engine.state();
        let positions = site.store.positions();
        // A parent that is still pulling announces a run, and once more when it is done. A run that
        // follows the parent's to its end serves both.
        let same = state
            .run
            .as_ref()
            .filter(|held| Some(held.id) == run)
            .is_some_and(|held| match held.state {
                sync::State::Requested | sync::State::Running { .. } => true,
                sync::State::Completed { .. } => {
                    target.epoch == Some(positions.epoch) && positions.verified >= target.position
                }
                sync::State::Failed { .. } | sync::State::Cancelled { .. } => false,
            });
        if same {
            site.engine.raise_target(target.position);
            return;
        }
        site.engine.request(Request {
            run,
            parent_span: span,
            full,
            target: Some(target.position),
            ..Request::new(Trigger::Parent)
        });
    }
}
