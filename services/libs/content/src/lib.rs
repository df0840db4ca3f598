//! The bytes of content files: where they are kept, how they are fetched, verified and handed on. Which files are
//! needed is decided elsewhere; what is needed stands in a table of the database ([`store::content`]).

pub use catalog::content::{ContentFile, ContentId};
