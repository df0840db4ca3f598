//! What the settings of the hierarchy say about runs that a site starts by itself. It may change at any time.

use jiff::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Answers the first instant at or after another at which a run may start by itself.
pub type Opens = Arc<dyn Fn(Timestamp) -> Timestamp + Send + Sync>;

/// When a site starts runs by itself.
#[derive(Clone)]
pub struct Policy {
    /// Wait after the first run that did not succeed; doubles with each further one.
    pub retry_first: Duration,
    /// Longest wait between runs that do not succeed.
    pub retry_most: Duration,
    /// When runs may start; none: at any time, as at every site that has a parent.
    pub opens: Option<Opens>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retry_first: Duration::from_secs(15),
            retry_most: Duration::from_secs(60 * 60),
            opens: None,
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("retry_first", &self.retry_first)
            .field("retry_most", &self.retry_most)
            .field("opens", &self.opens.is_some())
            .finish()
    }
}

impl Policy {
    /// The first instant at or after `at` at which a run may start by itself.
    pub(super) fn opens(&self, at: Timestamp) -> Timestamp {
        self.opens.as_ref().map_or(at, |opens| opens(at).max(at))
    }

    /// Longest wait after so many failures in a row.
    pub(super) fn retry_delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1);
        let doubled = self
            .retry_first
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX));
        doubled.min(self.retry_most)
    }
}
