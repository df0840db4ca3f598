//! Waiting for an event, with a deadline.

use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How long a test waits for anything that the product does within seconds. Far above what it takes, so
/// that a busy machine fails no test.
pub const LONG: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` finds what is waited for, and gives that. `look` says with an error why it is not
/// there yet.
///
/// # Panics
/// When it is not there after `most`; the message says what was waited for and what was there instead.
#[track_caller]
pub fn until<T, L, F>(what: &str, most: Duration, mut look: L) -> impl Future<Output = T>
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + most;
        loop {
            match look().await {
                Ok(found) => return found,
                Err(instead) => assert!(
                    Instant::now() < deadline,
                    "{place}: not after {most:?}: {what}; instead: {instead}"
                ),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
