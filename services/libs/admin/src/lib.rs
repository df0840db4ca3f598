//! What people and scripts ask of any site: who may ask, and everything that only reads. A site shows its own
//! verified catalog, itself and what is below it.
//!
//! The top-level site adds what changes anything; at every other site [`Replica`] refuses that and says where to
//! do it.

pub mod credential;
pub mod decisions_shown;
pub mod reading;
pub mod replica;
pub mod runs;
pub mod updates;

pub use reading::{Caller, Reading, internal};
pub use replica::Replica;
pub use updates::Catalog;
