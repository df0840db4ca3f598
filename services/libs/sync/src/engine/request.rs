//! Reasons to synchronize, and what becomes of several that wait.

use crate::run::{Source, Trigger};
use crate::trace::SpanId;
use jiff::Timestamp;
use uuid::Uuid;

/// Runs that were asked for and are done by another one, of which that is told.
const MOST_JOINED: usize = 64;

/// A reason to synchronize.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The run that it shall become; a new one where none is named.
    pub run: Option<Uuid>,
    /// The span of the parent's run that led to it, where the parent told it.
    pub parent_span: Option<SpanId>,
    /// When it came; none before that.
    pub at: Option<Timestamp>,
    /// Why.
    pub trigger: Trigger,
    /// Whether everything is to be compared.
    pub full: bool,
    /// Whether every row is to be read and compared too.
    pub verify: bool,
    /// Whether it is for this site alone: sites below it are not asked to follow.
    pub alone: bool,
    /// What is to be taken in. Where several are asked for together, all of it and the upstream.
    pub source: Source,
    /// Position to reach, where the parent named one.
    pub target: Option<u64>,
    /// Whether it does not wait for the end of a window: without it nothing here goes on.
    pub urgent: bool,
}

impl Request {
    /// A reason without a run, a target, or the wish to compare everything.
    pub const fn new(trigger: Trigger) -> Self {
        Self {
            run: None,
            parent_span: None,
            at: None,
            trigger,
            full: false,
            verify: false,
            alone: false,
            source: Source::Upstream,
            target: None,
            urgent: false,
        }
    }

    /// Both reasons in one: the newer names the run, unless somebody waits for the older one's, and it
    /// compares everything if either does. What somebody asked for does not become what a site does by itself.
    fn join(self, newer: Self) -> Self {
        let waited_for = self.run.is_some() && self.verify;
        let named = match waited_for || newer.run.is_none() {
            true => self,
            false => newer,
        };
        Self {
            run: named.run,
            parent_span: named.parent_span,
            at: named.at,
            trigger: match newer.trigger.is_by_itself() && !self.trigger.is_by_itself() {
                true => self.trigger,
                false => newer.trigger,
            },
            full: self.full || newer.full,
            verify: self.verify || newer.verify,
            alone: self.alone && newer.alone,
            source: match self.source == newer.source {
                true => self.source,
                false => Source::Upstream,
            },
            target: self.target.max(newer.target),
            urgent: self.urgent || newer.urgent,
        }
    }
}

/// What waits for the run under way to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The run that is next.
    pub next: Option<Request>,
    /// Other runs that were asked for, and are done by that one.
    pub joined: Vec<Uuid>,
    /// Runs that were asked for, and will not be done.
    pub given_up: Vec<Uuid>,
    /// The run that was taken last, to be begun.
    pub taken: Option<Uuid>,
}

impl Waiting {
    /// Takes a reason in; the run that serves it.
    pub fn add(&mut self, request: Request) {
        let Some(waiting) = self.next else {
            self.next = Some(request);
            return;
        };
        let joined = waiting.join(request);
        let mut runs = [waiting.run, request.run].into_iter().flatten();
        if let Some(other) = runs.find(|run| Some(*run) != joined.run) {
            remember(&mut self.joined, other);
        }
        self.next = Some(joined);
    }

    /// Whether a run was asked for, and has not begun as far as this knows.
    pub fn holds(&self, run: Uuid) -> bool {
        let next = self.next.and_then(|request| request.run);
        next == Some(run) || self.taken == Some(run) || self.joined.contains(&run)
    }

    /// Gives up what waits.
    pub fn give_up(&mut self) {
        let next = self.next.take().and_then(|request| request.run);
        for run in self.joined.drain(..).chain(next) {
            remember(&mut self.given_up, run);
        }
    }
}

fn remember(runs: &mut Vec<Uuid>, run: Uuid) {
    if runs.len() < MOST_JOINED && !runs.contains(&run) {
        runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(run: u128) -> Request {
        Request {
            run: Some(Uuid::from_u128(run)),
            ..Request::new(Trigger::Parent)
        }
    }

    #[test]
    fn of_several_the_newest_names_the_run_and_the_others_are_remembered() {
        let mut waiting = Waiting::default();
        for run in [1, 2, 2, 3] {
            waiting.add(named(run));
        }
        assert_eq!(
            waiting.next.unwrap().run,
            Some(Uuid::from_u128(3)),
            "the newest"
        );
        assert_eq!(waiting.joined, [1, 2].map(Uuid::from_u128));
        waiting.give_up();
        assert_eq!((waiting.next, waiting.joined.len()), (None, 0));
        assert_eq!(waiting.given_up, [1, 2, 3].map(Uuid::from_u128));
    }

    #[test]
    fn what_somebody_waits_for_keeps_its_run() {
        let mut waiting = Waiting::default();
        waiting.add(Request {
            verify: true,
            ..named(1)
        });
        waiting.add(named(2));
        let next = waiting.next.unwrap();
        assert_eq!(next.run, Some(Uuid::from_u128(1)));
        assert!(next.verify);
        assert_eq!(waiting.joined, [Uuid::from_u128(2)]);
    }

    #[test]
    fn what_somebody_asked_for_stays_that_whatever_comes_later() {
        use Trigger::{Manual, Parent, Poll, Retry, Schedule};
        let joined = |first: Trigger, then: Trigger| {
            let mut waiting = Waiting::default();
            waiting.add(Request::new(first));
            waiting.add(Request::new(then));
            waiting.next.unwrap().trigger
        };
        for by_itself in [Schedule, Retry, Poll] {
            assert_eq!(joined(Manual, by_itself), Manual);
            assert_eq!(joined(by_itself, Manual), Manual);
            assert_eq!(joined(Parent, by_itself), Parent);
        }
        assert_eq!(joined(Parent, Manual), Manual);
        assert_eq!(joined(Retry, Schedule), Schedule);
    }

    #[test]
    fn of_different_sources_everything_is_taken_in() {
        let package = Request {
            source: Source::Package,
            ..named(1)
        };
        let mut waiting = Waiting::default();
        waiting.add(package);
        waiting.add(Request {
            run: None,
            ..package
        });
        assert_eq!(waiting.next.unwrap().source, Source::Package);
        waiting.add(named(2));
        assert_eq!(waiting.next.unwrap().source, Source::Upstream);
    }

    #[test]
    fn what_is_for_this_site_alone_is_so_only_if_all_of_it_is() {
        let alone = Request {
            alone: true,
            ..named(1)
        };
        let mut waiting = Waiting::default();
        waiting.add(alone);
        waiting.add(Request { run: None, ..alone });
        assert!(waiting.next.unwrap().alone);
        waiting.add(named(2));
        assert!(!waiting.next.unwrap().alone);
    }
}
