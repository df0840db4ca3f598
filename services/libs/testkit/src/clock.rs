//! A clock that moves only when a test says so.

use daemon::Clock;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Mutex, PoisonError};

/// A clock that stands still.
#[derive(Debug)]
pub struct StillClock(Mutex<Timestamp>);

impl StillClock {
    /// A clock that shows this time.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Moves it.
    pub fn advance(&self, by: SignedDuration) {
        let mut time = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *time += by;
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_told() {
        let clock = StillClock::at(Timestamp::UNIX_EPOCH);
        assert_eq!(clock.now(), Timestamp::UNIX_EPOCH);
        clock.advance(SignedDuration::from_secs(5));
        assert_eq!(clock.now().as_second(), 5);
    }
}
