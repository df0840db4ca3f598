//! What is cleaned up after a synchronization: updates that are declined, and revisions that nothing uses.
//!
//! The conditions are those of the WSUS cleanup wizard, as far as they can be told without clients. A plan is
//! bounded, and applying it and planning again goes on where it ended: an interrupted cleanup is continued by
//! starting it.

mod decline;
mod revisions;

pub use decline::{Decline, DeclineFacts, DeclinePlan, DeclineRules, Reason, decline};
pub use revisions::{RemovalPlan, RevisionFacts, unused_revisions};

use jiff::{SignedDuration, Timestamp};

/// Whether `days` days of 24 hours have passed since `since`.
fn is_past(since: Timestamp, days: u16, now: Timestamp) -> bool {
    now.duration_since(since) >= SignedDuration::from_hours(24 * i64::from(days))
}

#[cfg(test)]
mod tests;
