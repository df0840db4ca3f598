//! The stand-in for Microsoft Update, for demonstrations, tests and measurements: serves a generated
//! catalog, an exported package or a folder of documents over MS-WSUSSS.
//!
//! It owns the generator and the catalog in memory, and makes the content files of a generated catalog when they are
//! asked for. It answers everybody, so it must not be reachable from outside of a test network.

mod command;
pub mod generator;
pub mod load;
mod process;
mod serve;
mod source;

pub use command::Command;
pub use process::execute;
pub use serve::{Error, SourceSettings, Upstream, UpstreamSettings, run};
pub use source::{Published, ServedCatalog};
