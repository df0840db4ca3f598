//! What every process needs: configuration, telemetry, signals and shutdown, time and randomness.
//!
//! Knows nothing of catalogs or sites.

pub mod ambient;
pub mod build_info;
pub mod clock;
pub mod config;
pub mod disk;
pub mod locale;
pub mod metrics;
pub mod paths;
pub mod places;
pub mod secret_file;
pub mod service_manager;
pub mod shutdown;
pub mod telemetry;
pub mod traces;

pub use ambient::Ambient;
pub use clock::{Clock, SystemClock};
pub use metrics::Metrics;
pub use places::Places;
pub use shutdown::{Exit, Shutdown, Signals};
pub use telemetry::Telemetry;
pub use traces::Traces;
