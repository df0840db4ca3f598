//! What an administrator chooses about synchronization: one typed document for the whole hierarchy, its
//! defaults and its limits.
//!
//! Everything here is pure: values in, values out. The document is kept by `store` and acted upon by `central`.
//! Secrets are not part of it.

mod alerts;
mod approvals;
pub mod change;
pub mod check;
pub mod consequence;
pub mod content;
pub mod document;
pub mod languages;
pub mod notifications;
pub mod reference;
pub mod roll_out;
pub mod schedule;

pub use document::Settings;
