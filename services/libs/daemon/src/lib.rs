//! What every process needs: configuration, telemetry, signals and shutdown, time and randomness.
//!
//! Knows nothing of catalogs or sites.

pub mod ambient;
pub mod clock;

pub use ambient::Ambient;
pub use clock::{Clock, SystemClock};
