//! A child site: pulls the catalog from its parent, verifies it, hands it on to its own children, and
//! reports its status up.

pub mod admission;
pub mod in_force;
pub mod membership;
pub mod renewal;
pub mod run;
pub mod settings;

pub use run::{Agent, execute, run};
pub use settings::{Command, Settings};
