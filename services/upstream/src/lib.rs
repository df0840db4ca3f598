//! The stand-in for Microsoft Update, for demonstrations, tests and measurements: serves a generated
//! catalog, an exported package or a folder of documents over MS-WSUSSS.
//!
//! It owns the generator and the catalog in memory. It serves metadata and no content files: the addresses
//! that it gives are of the form of Microsoft's, and those of invented files lead nowhere. It answers
//! everybody, so it must not be reachable from outside of a test network.

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
