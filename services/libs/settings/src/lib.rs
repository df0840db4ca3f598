//! What an administrator chooses about synchronization: one typed document for the whole hierarchy, its
//! defaults, its limits, and where each setting may be made.
//!
//! Everything here is pure: values in, values out. The document is kept by `store`, travels in the log of the
//! catalog, and is acted upon by `central` and `agent`. Secrets are not part of it.

pub mod change;
pub mod check;
pub mod consequence;
pub mod document;
pub mod reference;
pub mod schedule;

pub use document::Settings;
