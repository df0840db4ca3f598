//! Reading and writing the XML of SOAP messages: pull parsing with bounds, direct writing into a string.
//!
//! Only what SOAP needs is understood: elements, text, CDATA, the five predefined entities and character
//! references. A document type declaration is refused, so there are no entities to expand.

mod error;
mod reader;
mod writer;

pub use error::DecodeError;

pub(crate) use reader::{XmlReader, parse_date_time};
pub(crate) use writer::{XmlWriter, push_base64, push_escaped};

/// Deepest nesting of elements that is followed.
pub const MAX_DEPTH: usize = 32;

/// Most elements in one message. A list of four million revisions has twelve million.
pub const MAX_ELEMENTS: usize = 16_000_000;
