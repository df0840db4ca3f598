//! The engine: one state machine for the sync runs of every site, whatever its upstream.
//!
//! [`run`] holds the rules, pure. [`engine`] drives them: it waits for a reason to run, runs, tells the
//! journal, and tries again later when a run failed. What an upstream is, is a trait with two
//! implementations: the WSUS protocol at the top-level site, the parent at every other.

pub mod engine;
pub mod progress;
pub mod run;
pub mod tally;
pub mod trace;
pub mod upstream;

pub use engine::{Engine, EngineHandle, EngineSettings, EngineState, Opens, Policy, Request};
pub use run::{Counts, Phase, Source, State, SyncRun, Trigger};
pub use tally::Tally;
pub use trace::SpanId;
pub use upstream::{Failure, RunHandle, Upstream};
