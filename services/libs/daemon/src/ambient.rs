//! Time, identifiers and randomness of a process, the room on its disks, and the collector of its traces, handed in
//! from outside: the same seed and the same clock give the same run.

use crate::clock::{Clock, SystemClock};
use crate::disk::{self, Room};
use crate::traces::Traces;
use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Tells the room of the file system that a folder is on, where it is known.
pub type Disk = Arc<dyn Fn(&Path) -> Option<Room> + Send + Sync>;

/// Where a process gets the time, new identifiers and random delays from, and the room on its disks, and where its
/// traces go. Cheap to clone.
#[derive(Clone)]
pub struct Ambient {
    traces: Traces,
    disk: Disk,
    clock: Arc<dyn Clock>,
    random: Arc<Mutex<StdRng>>,
}

impl std::fmt::Debug for Ambient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ambient")
    }
}

impl Ambient {
    /// The machine's clock, and randomness from the operating system.
    pub fn system() -> Self {
        let mut seed = [0; 32];
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place where the machine's randomness comes in"
        )]
        rand::rng().fill_bytes(&mut seed);
        Self {
            traces: Traces::default(),
            disk: Arc::new(disk::room),
            clock: Arc::new(SystemClock),
            random: Arc::new(Mutex::new(StdRng::from_seed(seed))),
        }
    }

    /// A given clock, randomness that a seed determines, and disks of which nothing is known.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            traces: Traces::default(),
            disk: Arc::new(|_| None),
            clock,
            random: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// The same with other disks.
    pub fn with_disk(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// The same with traces that go somewhere.
    pub fn with_traces(self, traces: Traces) -> Self {
        Self { traces, ..self }
    }

    /// Where traces go.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The room of the file system that a folder is on, where it is known.
    pub fn room(&self, folder: &Path) -> Option<Room> {
        (self.disk)(folder)
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock itself.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn random(&self) -> MutexGuard<'_, StdRng> {
        // A generator has no state that a panic could leave half changed.
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new identifier, ordered by time (UUID version 7).
    pub fn new_id(&self) -> Uuid {
        let milliseconds = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        let mut random = [0; 10];
        self.random().fill_bytes(&mut random);
        uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
    }

    /// A generator of its own, for what needs many random bytes.
    pub fn new_rng(&self) -> StdRng {
        let mut seed = [0; 32];
        self.random().fill_bytes(&mut seed);
        StdRng::from_seed(seed)
    }

    /// A delay between half of `longest` and `longest`, so that sites that failed together do not
    /// come back together.
    pub fn jitter(&self, longest: Duration) -> Duration {
        longest.mul_f64(self.random().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Still;
    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }
    }

    #[test]
    fn a_seed_determines_identifiers_and_delays() {
        let make = || Ambient::seeded(Arc::new(Still), 7);
        let (one, other) = (make(), make());
        assert_eq!(one.new_id(), other.new_id());
        let minute = Duration::from_secs(60);
        let delay = one.jitter(minute);
        assert_eq!(delay, other.jitter(minute));
        assert!(delay >= minute / 2 && delay <= minute);
        assert_ne!(one.new_id(), one.new_id());
    }
}
