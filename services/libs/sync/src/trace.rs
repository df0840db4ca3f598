//! One trace for each run, across all sites. Pure rules.
//!
//! The trace of a run is the run: its identifier has the 16 bytes of a trace identifier, is the same at every site,
//! and its last 62 bits are drawn by lot, as W3C Trace Context wants it. What else such a context says, the span
//! above, is one span identifier: it goes down the site link beside the run, in 8 bytes and not in the text form
//! `traceparent`, which would say the run a second time and could contradict it.
//!
//! The span of a run at a site follows from the run, the site and when the run began there. So a site that was
//! restarted still knows it, and a child that comes back after days joins the trace below the right span. A run that
//! is tried again is a further span of the same trace.
//!
//! Who is asked alone, by a person at the top, has no run above it: its span has no parent. A parent's word for its
//! span is taken for nothing but the place to which the child's own collector draws a line. One that is malformed is
//! left out.

use crate::run::{State, SyncRun};
use catalog::{PointId, SiteKind};
use daemon::traces::{Span, Value};
use jiff::Timestamp;
use uuid::Uuid;

/// Name of the span of a run at a site.
const RUN: &str = "sync run";
/// Outcome of a run that its process left, to go on with it after its next start.
const INTERRUPTED: &str = "Interrupted";

/// The span of a run at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The span of a run at a site, where it began at a time, to the millisecond.
    pub fn of(run: Uuid, site: PointId, began: Timestamp) -> Self {
        let began = began.as_millisecond().to_be_bytes();
        Self::from_parts(&[run.as_bytes(), site.as_str().as_bytes(), &began])
    }

    /// What another site says that it is; none where it cannot be one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = <[u8; 8]>::try_from(bytes).ok()?;
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// As it is said to another site.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    fn from_parts(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("headwater span of a sync run");
        for part in parts {
            hasher.update(&[u8::try_from(part.len()).unwrap_or(u8::MAX)]);
            hasher.update(part);
        }
        let mut id = [0; 8];
        hasher.finalize_xof().fill(&mut id);
        Self(if id == [0; 8] { [1; 8] } else { id })
    }

    /// A phase in it.
    fn phase(self, name: &str) -> Self {
        Self::from_parts(&[&self.0, name.as_bytes()])
    }
}

/// A run that is over, as spans: the run itself, and within it the phases, each of which ends where the next begins.
pub fn spans(run: &SyncRun, site: PointId, kind: Option<SiteKind>, at: Timestamp) -> Vec<Span> {
    let id = SpanId::of(run.id, site, run.started);
    let ended = run.state.finished().unwrap_or(at);
    let (outcome, error) = match &run.state {
        State::Failed { error, .. } => (run.state.name(), Some(error.clone())),
        State::Completed { .. } | State::Cancelled { .. } => (run.state.name(), None),
        State::Requested | State::Running { .. } => (INTERRUPTED, None),
    };
    let whose = |attributes: Vec<(&'static str, Value)>| {
        let mut all: Vec<(&'static str, Value)> =
            vec![("headwater.site.code", site.as_str().into())];
        all.extend(kind.map(|kind| ("headwater.site.kind", kind.name().into())));
        all.extend(attributes);
        all
    };
    let mode = if run.full { "full" } else { "delta" };
    let counts = &run.counts;
    let whole = Span {
        trace: run.id.into_bytes(),
        id: id.0,
        parent: run.parent_span.map(SpanId::to_bytes),
        parent_is_remote: run.parent_span.is_some(),
        name: RUN,
        began: run.started,
        ended,
        attributes: whose(vec![
            ("headwater.run.id", Value::Text(run.id.to_string())),
            ("headwater.run.mode", mode.into()),
            ("headwater.run.trigger", run.trigger.name().into()),
            ("headwater.run.outcome", outcome.into()),
            ("headwater.run.items", counts.received.into()),
            ("headwater.run.bytes", counts.bytes.into()),
            ("headwater.run.new", counts.added.into()),
            ("headwater.run.revised", counts.revised.into()),
            ("headwater.run.expired", counts.expired.into()),
            ("headwater.run.failed", counts.quarantined.into()),
        ]),
        error,
    };
    let ends = run.phases.iter().skip(1).map(|(_, began)| *began);
    let phases = run.phases.iter().zip(ends.chain([ended]));
    let phases = phases.map(|((phase, began), ended)| Span {
        trace: whole.trace,
        id: id.phase(phase.name()).0,
        parent: Some(id.0),
        parent_is_remote: false,
        name: phase.name(),
        began: *began,
        ended,
        attributes: whose(vec![]),
        error: None,
    });
    let phases: Vec<Span> = phases.collect();
    [whole].into_iter().chain(phases).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Phase, Trigger};

    fn site(code: &str) -> PointId {
        code.parse().unwrap()
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run() -> SyncRun {
        let id = Uuid::from_u128(7);
        let run = SyncRun::requested(id, Trigger::Parent, true, time(10));
        let run = run.enter(Phase::Connecting, time(11)).unwrap();
        let run = run.enter(Phase::Verifying, time(13)).unwrap();
        SyncRun {
            parent_span: SpanId::read(&[9; 8]),
            ..run
        }
    }

    #[test]
    fn a_run_is_a_span_below_that_of_the_parent_and_its_phases_follow_each_other_in_it() {
        let run = run().end(State::Completed { at: time(17) }).unwrap();
        let spans = spans(&run, site("PR1"), Some(SiteKind::Primary), time(99));
        let own = SpanId::of(run.id, site("PR1"), time(10)).to_bytes();
        let shape = spans.iter().map(|span| {
            let times = [span.began, span.ended].map(|time| time.as_second());
            (span.name, span.parent, times)
        });
        let expected = [
            ("sync run", Some([9; 8]), [10, 17]),
            ("Connecting", Some(own), [11, 13]),
            ("Verifying", Some(own), [13, 17]),
        ];
        assert!(shape.eq(expected), "{spans:?}");
        assert!(spans.iter().all(|span| span.trace == run.id.into_bytes()));
        assert_eq!(spans[0].id, own);
        let says = |key: &str, value: Value| {
            let attributes = &spans[0].attributes;
            assert!(
                attributes.iter().any(|held| *held == (key, value.clone())),
                "{key}: {attributes:?}"
            );
        };
        says("headwater.site.code", "PR1".into());
        says("headwater.site.kind", "primary".into());
        says("headwater.run.mode", "full".into());
        says("headwater.run.outcome", "Completed".into());
    }

    #[test]
    fn a_run_that_failed_says_why_and_one_that_was_left_says_that() {
        let error = "the parent does not answer".to_owned();
        let at = time(17);
        let failed = run().end(State::Failed { at, error }).unwrap();
        let told = spans(&failed, site("PR1"), None, time(99));
        assert_eq!(told[0].error.as_deref(), Some("the parent does not answer"));
        let left = spans(&run(), site("PR1"), None, time(99));
        assert_eq!(left[0].ended, time(99));
        assert!(
            left[0]
                .attributes
                .contains(&("headwater.run.outcome", INTERRUPTED.into()))
        );
    }

    #[test]
    fn every_attempt_site_and_run_has_a_span_of_its_own() {
        let one = SpanId::of(Uuid::from_u128(7), site("PR1"), time(10));
        for other in [
            SpanId::of(Uuid::from_u128(8), site("PR1"), time(10)),
            SpanId::of(Uuid::from_u128(7), site("PR1-2"), time(10)),
            SpanId::of(Uuid::from_u128(7), site("PR1"), time(11)),
        ] {
            assert_ne!(one, other);
        }
        // What history keeps of the time is enough.
        let finer = time(10) + jiff::SignedDuration::from_micros(300);
        assert_eq!(one, SpanId::of(Uuid::from_u128(7), site("PR1"), finer));
    }

    #[test]
    fn what_cannot_be_a_span_is_none() {
        for bad in [&[][..], &[1; 7], &[1; 9], &[0; 8], &[1; 100_000]] {
            assert_eq!(SpanId::read(bad), None);
        }
        assert_eq!(SpanId::read(&[1; 8]).map(SpanId::to_bytes), Some([1; 8]));
    }
}
