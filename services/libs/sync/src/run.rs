//! A sync run: one attempt of one site to catch up with its upstream. Pure rules.

use crate::trace::SpanId;
use jiff::Timestamp;
use journal::run_part::{CANCELLED, COMPLETED, FAILED, REQUESTED, Told};
use uuid::Uuid;

/// Why a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// Someone asked at the top-level site.
    Manual,
    /// The schedule of the top-level site.
    Schedule,
    /// The parent has news.
    Parent,
    /// The run before did not succeed.
    Retry,
    /// The slow poll, the start of the process, or a link that came up.
    Poll,
}

/// What a run takes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Source {
    /// What the upstream has.
    #[default]
    Upstream,
    /// A package that was handed to the site.
    Package,
    /// Updates that were asked for one by one.
    Updates,
}

impl Source {
    /// The source's name, as history shows it; empty for the upstream.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upstream => "",
            Self::Package => "package",
            Self::Updates => "updates",
        }
    }
}

impl Trigger {
    /// Whether the site began by itself: nobody asked, neither a person nor the parent.
    pub const fn is_by_itself(self) -> bool {
        match self {
            Self::Schedule | Self::Retry | Self::Poll => true,
            Self::Manual | Self::Parent => false,
        }
    }

    /// The reason's name, as traces show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Schedule => "schedule",
            Self::Parent => "parent",
            Self::Retry => "retry",
            Self::Poll => "poll",
        }
    }
}

/// A part of a run. They follow each other; a run may pass over those that it has no work in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Reaching the upstream.
    Connecting,
    /// Categories and detectoids.
    SyncingCategories,
    /// Updates.
    SyncingUpdates,
    /// Content files.
    SyncingContent,
    /// Comparing the catalog with its statement, or making one.
    Verifying,
}

impl Phase {
    /// The phase's name, as reports and history show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::SyncingCategories => "SyncingCategories",
            Self::SyncingUpdates => "SyncingUpdates",
            Self::SyncingContent => "SyncingContent",
            Self::Verifying => "Verifying",
        }
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Asked for, not begun.
    Requested,
    /// Under way.
    Running {
        /// In which part.
        phase: Phase,
    },
    /// Ended well.
    Completed {
        /// When.
        at: Timestamp,
    },
    /// Ended badly.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        error: String,
    },
    /// Ended because someone wanted it to.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

impl State {
    /// Name of the state of a run that failed.
    pub const FAILED: &str = FAILED;

    /// The state's name, as reports and history show it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested => REQUESTED,
            Self::Running { phase } => phase.name(),
            Self::Completed { .. } => COMPLETED,
            Self::Failed { .. } => FAILED,
            Self::Cancelled { .. } => CANCELLED,
        }
    }

    /// When the run ended, if it has.
    pub const fn finished(&self) -> Option<Timestamp> {
        match self {
            Self::Requested | Self::Running { .. } => None,
            Self::Completed { at } | Self::Failed { at, .. } | Self::Cancelled { at } => Some(*at),
        }
    }
}

/// What a run did to the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Revisions of updates that were not there.
    pub added: u64,
    /// New revisions of updates that were there.
    pub revised: u64,
    /// Revisions by which a publisher withdrew an update.
    pub expired: u64,
    /// Items that are no longer there.
    pub removed: u64,
    /// Revisions that the upstream could not give in a usable form.
    pub quarantined: u64,
    /// Items that came, whatever was done with them.
    pub received: u64,
    /// Bytes of what came.
    pub bytes: u64,
}

impl Counts {
    /// Items that came or changed.
    pub const fn items(&self) -> u64 {
        self.added + self.revised + self.expired
    }
}

/// A step that a run in its state cannot take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sync run that is {from} cannot become {to}")]
pub struct IllegalTransition {
    from: &'static str,
    to: &'static str,
}

/// One attempt of one site to catch up with its upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRun {
    /// Its identifier; that of the top-level site's run where that one led to it.
    pub id: Uuid,
    /// Why it began.
    pub trigger: Trigger,
    /// Whether everything is compared, and not only what changed.
    pub full: bool,
    /// Whether it is for this site alone: sites below it are not asked to follow.
    pub alone: bool,
    /// What it takes in.
    pub source: Source,
    /// The span of the parent's run that led to it, where the parent told it.
    pub parent_span: Option<SpanId>,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When it was begun.
    pub started: Timestamp,
    /// The phases that it entered, in their order, and when.
    pub phases: Vec<(Phase, Timestamp)>,
    /// Where it stands.
    pub state: State,
    /// How far the phase is, in items.
    pub processed: u64,
    /// How many items the phase has, as far as is known.
    pub total: u64,
    /// What it did so far.
    pub counts: Counts,
}

impl SyncRun {
    /// A run that was asked for.
    pub fn requested(id: Uuid, trigger: Trigger, full: bool, now: Timestamp) -> Self {
        Self {
            id,
            trigger,
            full,
            alone: false,
            source: Source::Upstream,
            parent_span: None,
            requested: now,
            started: now,
            phases: Vec::new(),
            state: State::Requested,
            processed: 0,
            total: 0,
            counts: Counts::default(),
        }
    }

    /// Goes over to a phase. Entering the phase it is in changes nothing; going back is not possible.
    ///
    /// # Errors
    /// When the run has ended or is in a later phase.
    pub fn enter(mut self, phase: Phase, now: Timestamp) -> Result<Self, IllegalTransition> {
        let to = State::Running { phase };
        match &self.state {
            State::Running { phase: current } if *current == phase => return Ok(self),
            State::Running { phase: current } if *current > phase => {
                return Err(self.refuse(&to));
            }
            State::Completed { .. } | State::Failed { .. } | State::Cancelled { .. } => {
                return Err(self.refuse(&to));
            }
            State::Requested | State::Running { .. } => {}
        }
        self.state = to;
        self.phases.push((phase, now));
        self.processed = 0;
        self.total = 0;
        Ok(self)
    }

    /// Ends the run. Ending it again in the same way changes nothing, the time included.
    ///
    /// # Errors
    /// When it has ended in another way, or completes without having begun.
    pub fn end(mut self, end: State) -> Result<Self, IllegalTransition> {
        if end.finished().is_none() {
            return Err(self.refuse(&end));
        }
        match &self.state {
            State::Requested if matches!(end, State::Completed { .. }) => Err(self.refuse(&end)),
            State::Requested | State::Running { .. } => {
                self.state = end;
                Ok(self)
            }
            ended if ended.name() == end.name() => Ok(self),
            State::Completed { .. } | State::Failed { .. } | State::Cancelled { .. } => {
                Err(self.refuse(&end))
            }
        }
    }

    /// What it did when, as it is told.
    pub fn told(&self) -> Told {
        let phases = self.phases.iter();
        Told {
            requested: Some(self.requested),
            started: Some(self.started),
            phases: phases
                .map(|(phase, began)| (phase.name().to_owned(), *began))
                .collect(),
            items: self.counts.received,
            bytes: self.counts.bytes,
        }
    }

    fn refuse(&self, to: &State) -> IllegalTransition {
        IllegalTransition {
            from: self.state.name(),
            to: to.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run() -> SyncRun {
        SyncRun::requested(
            Uuid::from_u128(1),
            Trigger::Manual,
            false,
            Timestamp::UNIX_EPOCH,
        )
    }

    fn completed() -> State {
        State::Completed {
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn entering_a_phase_twice_changes_nothing() {
        let mut once = run()
            .enter(Phase::SyncingUpdates, Timestamp::UNIX_EPOCH)
            .unwrap();
        once.processed = 7;
        assert_eq!(
            once.clone()
                .enter(Phase::SyncingUpdates, Timestamp::UNIX_EPOCH)
                .unwrap(),
            once
        );
    }

    #[test]
    fn a_run_never_goes_back() {
        let run = run()
            .enter(Phase::Verifying, Timestamp::UNIX_EPOCH)
            .unwrap();
        let error = run
            .enter(Phase::SyncingUpdates, Timestamp::UNIX_EPOCH)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "a sync run that is Verifying cannot become SyncingUpdates"
        );
    }

    #[test]
    fn what_did_not_begin_cannot_complete() {
        assert!(run().end(completed()).is_err());
        let cancelled = State::Cancelled {
            at: Timestamp::UNIX_EPOCH,
        };
        assert!(run().end(cancelled).is_ok());
    }

    #[test]
    fn a_run_ends_once() {
        let done = run()
            .enter(Phase::Connecting, Timestamp::UNIX_EPOCH)
            .unwrap()
            .end(completed())
            .unwrap();
        let later = State::Completed {
            at: Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(5),
        };
        assert_eq!(done.clone().end(later).unwrap(), done);
        assert!(
            done.clone()
                .enter(Phase::Verifying, Timestamp::UNIX_EPOCH)
                .is_err()
        );
        let failed = State::Failed {
            at: Timestamp::UNIX_EPOCH,
            error: "x".into(),
        };
        assert!(done.end(failed).is_err());
    }

    fn phases() -> impl Strategy<Value = Phase> {
        prop_oneof![
            Just(Phase::Connecting),
            Just(Phase::SyncingCategories),
            Just(Phase::SyncingUpdates),
            Just(Phase::SyncingContent),
            Just(Phase::Verifying),
        ]
    }

    proptest! {
        #[test]
        fn phases_only_go_forward(steps in proptest::collection::vec(phases(), 0..12)) {
            let mut run = run();
            let mut furthest = None;
            for phase in steps {
                match run.clone().enter(phase, Timestamp::UNIX_EPOCH) {
                    Ok(next) => {
                        prop_assert!(furthest <= Some(phase));
                        furthest = Some(phase);
                        run = next;
                    }
                    Err(_) => prop_assert!(furthest > Some(phase)),
                }
            }
        }
    }
}
