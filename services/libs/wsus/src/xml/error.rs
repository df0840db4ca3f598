//! Why a message is not one.

use super::MAX_DEPTH;
use catalog::Problem;

/// Why a message could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not well-formed XML.
    #[error("not well-formed XML at byte {position}, in {path}")]
    Syntax {
        /// Byte offset.
        position: u64,
        /// Elements around it.
        path: String,
        /// What the parser says.
        #[source]
        source: Problem,
    },
    /// The document ends inside an element.
    #[error("the message ends in the middle, in {path}: it was cut off on its way")]
    Truncated {
        /// Elements around it.
        path: String,
    },
    /// Not in UTF-8.
    #[error("text in {path} is not UTF-8")]
    NotUtf8 {
        /// Elements around it.
        path: String,
    },
    /// A NUL, which no text of XML holds and not every database stores.
    #[error("text in {path} holds a NUL")]
    Nul {
        /// Elements around it.
        path: String,
    },
    /// A document type declaration.
    #[error("the message has a document type declaration, which SOAP forbids")]
    DocumentType,
    /// An entity other than the predefined ones.
    #[error("unknown entity {name:?} in {path}")]
    Entity {
        /// Name of the entity.
        name: String,
        /// Elements around it.
        path: String,
    },
    /// Nested deeper than is followed.
    #[error("elements are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// More than a message may hold.
    #[error("more than {limit} {what} in one message")]
    TooMany {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A value that is not of its type.
    #[error("{path} holds {value:?}, which is not {expected}")]
    Value {
        /// The element.
        path: String,
        /// Beginning of the value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A child element where there should be text only, or text where there should be elements.
    #[error("unexpected content in {path}")]
    Content {
        /// The element.
        path: String,
    },
    /// An element that has to be there.
    #[error("{path} has no {element}")]
    Missing {
        /// The element around it.
        path: String,
        /// What is missing.
        element: &'static str,
    },
    /// Not a SOAP message at all.
    #[error("not a SOAP message: the document starts with {root:?}")]
    NotSoap {
        /// Name of the outermost element.
        root: String,
    },
    /// A SOAP message of another operation.
    #[error("the message is {found:?} where {expected} was expected")]
    Unexpected {
        /// Name of the element in the body.
        found: String,
        /// Name of the element expected.
        expected: String,
    },
}

impl DecodeError {
    /// The parameter of the operation that the error lies in (`filter`, `updateIds`), where there is one:
    /// what a fault `InvalidParameters` names.
    pub fn parameter(&self) -> Option<&str> {
        let path = match self {
            Self::Syntax { path, .. }
            | Self::Truncated { path }
            | Self::NotUtf8 { path }
            | Self::Nul { path }
            | Self::Entity { path, .. }
            | Self::Value { path, .. }
            | Self::Content { path }
            | Self::Missing { path, .. } => path,
            Self::DocumentType
            | Self::TooDeep
            | Self::TooMany { .. }
            | Self::NotSoap { .. }
            | Self::Unexpected { .. } => return None,
        };
        path.split('/')
            .nth(3)
            .filter(|name| !name.trim().is_empty())
    }
}
