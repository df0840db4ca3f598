//! The bytes of content files: where they are kept, how they are fetched, verified and handed on. What is needed
//! stands in a table of the database ([`store::content`]), which [`plan`] keeps in line with the catalog.

pub mod plan;

pub use catalog::content::{ContentFile, ContentId};
