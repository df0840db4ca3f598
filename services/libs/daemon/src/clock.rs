//! The wall clock as an argument, so that a simulation can bring its own.

use jiff::Timestamp;

/// Tells the time of day. Waiting is done with `tokio::time`, never with this.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock comes in"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
