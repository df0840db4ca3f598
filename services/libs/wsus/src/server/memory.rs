//! How much memory answers take until they are sent, of all clients together and of each: who asks for more waits.

use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that are counted as one.
const UNIT: usize = 1 << 10;
/// Answers up to this are not counted: there are no more of them than connections.
const SMALL: usize = 64 << 10;

/// Bytes that answers may have in memory. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Memory {
    levels: Arc<[Level]>,
}

#[derive(Debug, Clone)]
struct Level {
    units: Arc<Semaphore>,
    most: usize,
}

/// The bytes that one answer has in memory; they are free again when the last clone is dropped.
#[derive(Debug, Clone, Default)]
pub struct Held {
    permits: Arc<Mutex<Vec<OwnedSemaphorePermit>>>,
}

impl Memory {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            levels: [Level::new(bytes)].into(),
        }
    }

    /// So many bytes of these: for one client.
    pub fn share(&self, bytes: usize) -> Self {
        let own = std::iter::once(Level::new(bytes));
        Self {
            levels: own.chain(self.levels.iter().cloned()).collect(),
        }
    }

    /// Bytes that are held.
    pub fn held(&self) -> usize {
        let of = |level: &Level| (level.most - level.units.available_permits()) * UNIT;
        self.levels.iter().map(of).max().unwrap_or(0)
    }

    /// Waits for the bytes of an answer. One that has more than there are takes all that are there for its client, and
    /// half of what is there for all: others who take their time must not keep it from coming.
    pub(super) async fn take(&self, bytes: usize) -> Held {
        let mut permits = Vec::new();
        if bytes > SMALL {
            for (place, level) in self.levels.iter().enumerate() {
                let most = match place {
                    0 => level.most,
                    _ => level.most.div_ceil(2),
                };
                let units = u32::try_from(bytes.div_ceil(UNIT).min(most));
                let units = units.unwrap_or(u32::MAX);
                let permit = Arc::clone(&level.units).acquire_many_owned(units).await;
                permits.extend(permit);
            }
        }
        Held {
            permits: Arc::new(Mutex::new(permits)),
        }
    }
}

impl Level {
    fn new(bytes: usize) -> Self {
        let most = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            units: Arc::new(Semaphore::new(most)),
            most,
        }
    }
}

impl Held {
    /// Gives back what is beyond so many bytes.
    pub fn shrink(&self, bytes: usize) {
        let keep = match bytes > SMALL {
            true => bytes.div_ceil(UNIT),
            false => 0,
        };
        let permits = self.permits.lock();
        let mut permits = permits.unwrap_or_else(PoisonError::into_inner);
        for permit in permits.iter_mut() {
            let beyond = permit.num_permits().saturating_sub(keep);
            drop(permit.split(beyond));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BYTES: usize = 1 << 20;

    async fn waits(memory: &Memory, bytes: usize) -> bool {
        let take = memory.take(bytes);
        tokio::time::timeout(Duration::from_secs(1), take)
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_waits_for_its_bytes_and_a_small_one_does_not() {
        let memory = Memory::new(BYTES);
        let first = memory.take(BYTES / 4 * 3).await;
        assert_eq!(memory.held(), BYTES / 4 * 3);
        assert!(waits(&memory, BYTES / 2).await);
        assert!(!waits(&memory, BYTES / 4).await);
        assert!(!waits(&memory, SMALL).await);
        first.shrink(BYTES / 2);
        let second = memory.take(BYTES / 2).await;
        assert_eq!(memory.held(), BYTES);
        assert!(
            !waits(&memory, 1).await,
            "nothing is left, and it needs nothing"
        );
        drop((first, second));
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_larger_than_all_takes_all() {
        let memory = Memory::new(BYTES);
        let large = memory.take(BYTES * 100).await;
        assert_eq!(memory.held(), BYTES);
        large.shrink(BYTES * 50);
        assert_eq!(memory.held(), BYTES, "it still is");
        large.clone().shrink(10);
        assert_eq!(memory.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_its_time_keeps_no_large_answer_from_others() {
        let memory = Memory::new(BYTES);
        let (slow, other) = (memory.share(BYTES / 4), memory.share(BYTES / 4));
        let held = slow.take(BYTES / 4).await;
        let large = tokio::time::timeout(Duration::from_secs(1), other.take(BYTES * 10));
        let large = large.await.expect("it comes");
        assert_eq!(memory.held(), BYTES / 4 * 3);
        drop((held, large));
    }

    #[tokio::test(start_paused = true)]
    async fn one_client_takes_no_more_than_its_share() {
        let memory = Memory::new(BYTES);
        let (one, other) = (memory.share(BYTES / 4), memory.share(BYTES / 4));
        let held = one.take(BYTES / 4).await;
        assert!(waits(&one, BYTES / 4).await);
        let others = other.take(BYTES / 4).await;
        assert_eq!(memory.held(), BYTES / 2);
        drop((held, others));
        // One answer of a client may be larger than its share.
        let large = one.take(BYTES / 2).await;
        assert_eq!(memory.held(), BYTES / 2);
        drop(large);
    }
}
