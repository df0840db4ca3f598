//! The rules of the catalog: update documents, categories, relationships, selection, supersedence,
//! the items that are replicated and the digests over them.
//!
//! Everything here is pure: values in, values out. No clock, no file, no socket, no database.

pub mod identity;
pub mod site;

pub use identity::{RevisionId, UpdateId};
pub use site::{SiteCode, SiteKind};
