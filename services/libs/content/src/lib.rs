//! The bytes of content files: where they are kept, how they are fetched, verified and handed on.
//!
//! Which files are needed is decided elsewhere; what is needed stands in a table of the database
//! ([`store::content`]). Nothing is kept here that is not, byte for byte, what the signed catalog says; what is
//! handed on to children before it is whole, they compare with the catalog themselves.

mod blocking;
mod chunks;
mod engine;
mod hold;
mod plane;
mod room;
mod transfers;
mod wish;

pub mod cleanup;
pub mod digest;
pub mod files;
pub mod import;
pub mod intake;
pub mod limits;
pub mod plan;
pub mod router;
pub mod serve;
pub mod source;
pub mod verify;

pub use catalog::content::{ContentFile, ContentId};
pub use files::{ContentStore, Files};
pub use hold::Hold;
pub use limits::{Limits, Patience, Window};
pub use plane::{Content, Error, Parts, Removal};
pub use router::router;
pub use wish::Wishes;

/// Bytes that are asked for at once, of any source. What a crash costs is less than that, for each file that
/// was under way.
pub const CHUNK: u64 = 1 << 20;
