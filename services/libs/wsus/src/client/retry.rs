//! Pauses between attempts: exponential, with jitter, bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// How often a call is tried before its error is given back.
pub const MAX_ATTEMPTS: u32 = 6;

/// How pauses between attempts grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause; each further one is twice as long.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Default for Backoff {
    /// From one second to one minute.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        }
    }
}

/// Gives out pauses. The jitter is a sequence of its own for each account, so that many servers that
/// lost the same upstream do not come back at the same moment, and a run can be replayed.
pub(super) struct Retries {
    backoff: Backoff,
    sequence: AtomicU64,
}

impl Retries {
    pub fn new(backoff: Backoff, account: Uuid) -> Self {
        let (high, low) = account.as_u64_pair();
        Self {
            backoff,
            sequence: AtomicU64::new(high ^ low),
        }
    }

    /// The pause after the failure of attempt number `attempt`, from half of the full length up to it.
    pub fn pause(&self, attempt: u32) -> Duration {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let state = self.sequence.fetch_add(GOLDEN, Ordering::Relaxed);
        let doubled = 2u32.saturating_pow(attempt.saturating_sub(1));
        let full = self
            .backoff
            .first
            .saturating_mul(doubled)
            .min(self.backoff.longest);
        let jitter = u32::try_from(mix(state) >> 48).unwrap_or(0);
        full / 2 + full / 2 * jitter / 0x1_0000
    }
}

/// The finalizer of SplitMix64.
fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let backoff = Backoff::default();
        let retries = Retries::new(backoff, Uuid::from_u128(5));
        for attempt in 1..20 {
            let full = backoff
                .first
                .saturating_mul(1 << (attempt - 1).min(10))
                .min(backoff.longest);
            let pause = retries.pause(attempt);
            assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause:?}");
        }
        assert_ne!(retries.pause(1), retries.pause(1));
    }
}
