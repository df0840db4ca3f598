//! Packages: a catalog in a file, for sites that no network reaches. Both formats are read and written: the
//! `.cab` of `wsusutil` (crate `wsus`), unsigned, and Headwater's own, signed by the hierarchy.
//!
//! A package is uploaded to the site ([`spool`]), read as a whole before anything else ([`check`]), and taken in
//! as one unit of work within a run of its own ([`take_in`]): whatever is wrong with it, the catalog stays as it
//! is. Update files in it come into the content store afterwards, each if it is what the catalog says
//! ([`import_files`]). Headwater's own format is [`format`](mod@format) and [`manifest`]; whose packages are taken is decided by
//! [`origin`].

mod check;
mod error;
mod export;
mod export_files;
pub mod format;
mod import;
mod import_files;
pub mod manifest;
pub mod origin;
pub mod piece;
mod read;
mod spool;
mod staged;
mod take_in;
mod write;
mod wsusutil;

pub use check::{Checked, Question, check};
pub use error::Error;
pub use export::{Exported, Piece, Since, Wanted as ExportWanted};
pub use import::{Order, Packages, Parts, Report};
pub use import_files::FilesReport;
pub use spool::{MAX_PACKAGE_BYTES, Spool};
pub(crate) use take_in::{Taken, Taking};
pub use write::Writer;

/// How far a long step is: what it is, how much of it is done, and how much there is where that is known.
pub type Progress<'a> = dyn Fn(&'static str, u64, u64) + Send + Sync + 'a;
