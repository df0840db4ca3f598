//! How often progress is told, and how long the rest will take.

use std::time::Duration;

/// Progress is told at most this often in the log, so that a fast run does not fill it.
pub const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// How long the rest of a phase will take at the pace so far; none before there is a pace.
pub fn remaining(processed: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    if processed == 0 || total <= processed {
        return None;
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "an estimate needs no more than 52 bits"
    )]
    let share = (total - processed) as f64 / processed as f64;
    Duration::try_from_secs_f64(elapsed.as_secs_f64() * share).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_takes_as_long_again() {
        let minute = Duration::from_secs(60);
        assert_eq!(remaining(5, 10, minute), Some(minute));
        assert_eq!(remaining(0, 10, minute), None);
        assert_eq!(remaining(10, 10, minute), None);
        assert_eq!(remaining(11, 10, minute), None);
        assert_eq!(remaining(1, u64::MAX, Duration::MAX), None);
    }
}
