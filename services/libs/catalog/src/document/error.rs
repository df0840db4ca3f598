//! Why a text is not an update document.

/// Why a text is not an update document. Names the element and attribute, and what is wrong with it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is longer than any document may be.
    #[error("the update document has {bytes} bytes, more than the {limit} that are accepted")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// Longest that is accepted.
        limit: usize,
    },
    /// The text is not well-formed XML.
    #[error("the update document is not well-formed at byte {offset}")]
    Malformed {
        /// Where the parser stopped.
        offset: u64,
        /// What it found.
        source: crate::Problem,
    },
    /// A character that no XML document may hold.
    #[error(
        "the update document holds the character U+{:04X} at byte {offset}, which XML forbids",
        u32::from(*character)
    )]
    Character {
        /// The character.
        character: char,
        /// Where it stands, or where the reference to it ends.
        offset: u64,
    },
    /// The text ends inside an element, or before the first.
    #[error("the update document ends before it is complete")]
    Truncated,
    /// There is something after the root element.
    #[error("the update document goes on after its end, at byte {offset}")]
    Trailing {
        /// Where the surplus begins.
        offset: u64,
    },
    /// There is a document type declaration.
    #[error("the update document has a document type declaration, which is not allowed")]
    Doctype,
    /// A reference to an entity that XML does not define.
    #[error("the update document refers to the entity {name:?}, which is not defined")]
    Entity {
        /// The name, cut where long.
        name: String,
    },
    /// The root element is another one.
    #[error("the document begins with {found:?}, not with Update of the Windows Update namespace")]
    NotAnUpdate {
        /// The name found, cut where long.
        found: String,
    },
    /// Elements are nested too deep.
    #[error("elements of the update document are nested more than {limit} deep")]
    TooDeep {
        /// Deepest that is accepted.
        limit: usize,
    },
    /// An element that must be there is not.
    #[error("the update document has no {element}")]
    MissingElement {
        /// The element.
        element: &'static str,
    },
    /// An element that may occur once is there again.
    #[error("the update document has {element} more than once")]
    Repeated {
        /// The element.
        element: &'static str,
    },
    /// An attribute that must be there is not.
    #[error("{element} has no {attribute}")]
    MissingAttribute {
        /// The element.
        element: &'static str,
        /// The attribute.
        attribute: &'static str,
    },
    /// A value is not what it must be.
    #[error("{element} {attribute} is {value:?}, which is not {expected}")]
    Value {
        /// The element.
        element: &'static str,
        /// The attribute, or `text` for the element's text.
        attribute: &'static str,
        /// The value, cut where long.
        value: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value or text is too long.
    #[error("the text of {element} is longer than the {limit} bytes that are accepted")]
    TooLong {
        /// The element.
        element: &'static str,
        /// Longest that is accepted, in bytes.
        limit: usize,
    },
    /// There are too many of something.
    #[error("the update document has more than {limit} of {element}")]
    TooMany {
        /// The element.
        element: &'static str,
        /// Most that are accepted.
        limit: usize,
    },
}
