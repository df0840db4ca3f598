//! Hierarchies of real processes: they synchronize, are killed, cut off and refused.
//!
//! Each test has a hierarchy of its own, in its own folder and on free ports. Processes are started few
//! times and looked at often.

#![expect(
    clippy::unwrap_used,
    clippy::large_futures,
    reason = "a test fails by panicking, and its future is the only one"
)]

mod away;
mod crashes;
mod documents;
mod logs;
mod package;
mod refusals;
mod three_tiers;
mod trouble;
