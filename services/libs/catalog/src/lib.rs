//! The rules of the catalog: update documents, categories, relationships, selection, supersedence,
//! approvals, what expires and what is cleaned up, the items that are replicated and the digests over
//! them.
//!
//! Everything here is pure: values in, values out. No clock, no file, no socket, no database.

pub mod approval;
pub mod category;
pub mod cleanup;
pub mod codec;
pub mod content;
pub mod document;
pub mod expiry;
pub mod header;
pub mod identity;
pub mod item;
pub mod language;
pub mod merkle;
mod millisecond;
pub mod needed;
pub mod order;
mod problem;
pub mod relations;
pub mod selection;
pub mod site;
pub mod supersedence;
pub mod well_known;

pub use identity::{RevisionId, UpdateId};
pub use problem::Problem;
pub use site::{PointId, SiteCode, SiteKind, may_be_below};
