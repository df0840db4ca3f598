//! Reads an update document in one pass, without a tree.

mod content;
mod draft;

pub(super) use draft::Kind;

use super::value::Attributes;
use super::{Error, Update};
use crate::Problem;
use crate::codec::MAX_DOCUMENT_BYTES;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, NamespaceResolver, QName, ResolveResult};

/// Deepest nesting of elements that is accepted.
pub const MAX_DEPTH: usize = 256;
/// Most entries that any list of a document may have, and most entries of all its prerequisites or of
/// all its bundles together.
pub const MAX_LIST: usize = 65_536;
/// Longest single text or attribute that is kept, in bytes.
pub const MAX_TEXT_BYTES: usize = 256 << 10;

/// Namespace of the update document itself.
const UPDATE: &[u8] = b"http://schemas.microsoft.com/msus/2002/12/Update";
/// Namespace of what a category says about itself.
const CATEGORY: &[u8] = b"http://schemas.microsoft.com/msus/2002/12/UpdateHandlers/Category";

/// Reads an update document (WSUS-PROTOCOL section 5; MS-WSUSSS metadata).
///
/// Prefixes do not matter, namespaces do: what stands in another namespace is passed over, and so are
/// elements that this reader does not know. Rules of applicability are passed over without being read.
/// Memory is bounded by what is kept, not by the length of the document.
///
/// # Errors
/// The text is not well-formed, has a document type declaration, breaks one of the limits of this
/// module, or a value that Headwater works by is missing or not understood. See [`Error`].
pub fn parse(xml: &str) -> Result<Update, Error> {
    if xml.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::TooLarge {
            bytes: xml.len(),
            limit: MAX_DOCUMENT_BYTES,
        });
    }
    if let Some((offset, character)) = forbidden(xml) {
        return Err(Error::Character {
            character,
            offset: offset as u64,
        });
    }
    let mut parser = Parser {
        reader: Reader::from_str(xml.strip_prefix('\u{feff}').unwrap_or(xml)),
        names: NamespaceResolver::default(),
        depth: 0,
    };
    let root = parser.root()?;
    let draft = parser.update(&root)?;
    parser.end_of_document()?;
    draft.finish()
}

/// An element that was just opened.
struct Element<'a> {
    start: BytesStart<'a>,
    /// Written as `<x/>`: it has no content and no end tag.
    empty: bool,
    namespace: Known,
}

impl Element<'_> {
    /// The local name where the element stands in the update namespace, else nothing that matches.
    fn name(&self) -> &[u8] {
        match self.namespace {
            Known::Update => self.start.local_name().into_inner(),
            Known::Category | Known::Other => b"",
        }
    }
}

/// The namespaces that this reader knows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Update,
    Category,
    Other,
}

struct Parser<'a> {
    reader: Reader<&'a [u8]>,
    /// The prefixes that are bound where the parser stands.
    names: NamespaceResolver,
    /// How many elements are open.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn event(&mut self) -> Result<Event<'a>, Error> {
        match self.reader.read_event() {
            Ok(Event::DocType(_)) => Err(Error::Doctype),
            Ok(event) => Ok(event),
            Err(source) => Err(Error::Malformed {
                offset: self.reader.error_position(),
                source: Problem::new(source),
            }),
        }
    }

    fn malformed(&self, source: impl Into<quick_xml::Error>) -> Error {
        Error::Malformed {
            offset: self.reader.buffer_position(),
            source: Problem::new(source.into()),
        }
    }

    /// Enters an element: binds its prefixes and counts it.
    fn enter(&mut self, start: BytesStart<'a>, empty: bool) -> Result<Element<'a>, Error> {
        self.deeper()?;
        self.names
            .push(&start)
            .map_err(|error| self.malformed(error))?;
        let namespace = match self.names.resolve_element(start.name()).0 {
            ResolveResult::Bound(Namespace(UPDATE)) => Known::Update,
            ResolveResult::Bound(Namespace(CATEGORY)) => Known::Category,
            ResolveResult::Bound(_) | ResolveResult::Unbound | ResolveResult::Unknown(_) => {
                Known::Other
            }
        };
        Ok(Element {
            start,
            empty,
            namespace,
        })
    }

    fn deeper(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::TooDeep { limit: MAX_DEPTH });
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.names.pop();
        self.depth -= 1;
    }

    /// The root element; before it, declaration, comments and white space are passed over.
    fn root(&mut self) -> Result<Element<'a>, Error> {
        loop {
            let (start, empty) = match self.event()? {
                Event::Start(start) => (start, false),
                Event::Empty(start) => (start, true),
                Event::Text(text) if is_blank(&text) => continue,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) => continue,
                Event::Eof => return Err(Error::Truncated),
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::End(_)
                | Event::DocType(_) => {
                    return Err(Error::NotAnUpdate {
                        found: "text".to_owned(),
                    });
                }
            };
            let root = self.enter(start, empty)?;
            if root.name() != b"Update" {
                return Err(Error::NotAnUpdate {
                    found: shown(root.start.name()),
                });
            }
            return Ok(root);
        }
    }

    /// What may follow the root element: comments and white space.
    fn end_of_document(&mut self) -> Result<(), Error> {
        loop {
            let offset = self.reader.buffer_position();
            match self.event()? {
                Event::Eof => return Ok(()),
                Event::Text(text) if is_blank(&text) => {}
                Event::PI(_) | Event::Comment(_) => {}
                Event::Text(_)
                | Event::Start(_)
                | Event::Empty(_)
                | Event::End(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Decl(_)
                | Event::DocType(_) => return Err(Error::Trailing { offset }),
            }
        }
    }

    /// The next element inside `parent`, or `None` at the end of `parent`, which is then left.
    /// The caller takes the content of each child with `children`, `text` or `skip`.
    fn child(&mut self, parent: &Element<'a>) -> Result<Option<Element<'a>>, Error> {
        if parent.empty {
            self.leave();
            return Ok(None);
        }
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(start, false).map(Some),
                Event::Empty(start) => return self.enter(start, true).map(Some),
                Event::End(_) => {
                    self.leave();
                    return Ok(None);
                }
                Event::Eof => return Err(Error::Truncated),
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    /// Passes over the content of `element` and leaves it. Nothing inside is looked at but that it is
    /// well-formed, which is what makes long rules of applicability cheap.
    fn skip(&mut self, element: &Element<'a>) -> Result<(), Error> {
        if !element.empty {
            let floor = self.depth;
            while self.depth >= floor {
                match self.event()? {
                    Event::Start(_) => self.deeper()?,
                    Event::End(_) => self.depth -= 1,
                    Event::Eof => return Err(Error::Truncated),
                    Event::Empty(_)
                    | Event::Text(_)
                    | Event::CData(_)
                    | Event::GeneralRef(_)
                    | Event::Comment(_)
                    | Event::Decl(_)
                    | Event::PI(_)
                    | Event::DocType(_) => {}
                }
            }
            self.depth += 1;
        }
        self.leave();
        Ok(())
    }

    /// The text of `element`, which is then left. Elements inside it are passed over.
    fn text(&mut self, element: &Element<'a>, name: &'static str) -> Result<String, Error> {
        let mut text = String::new();
        if element.empty {
            self.leave();
            return Ok(text);
        }
        loop {
            match self.event()? {
                Event::Text(part) => {
                    let part = part
                        .xml10_content()
                        .map_err(|error| self.malformed(error))?;
                    append(&mut text, &part, name)?;
                }
                Event::CData(part) => {
                    let part = part
                        .xml10_content()
                        .map_err(|error| self.malformed(error))?;
                    append(&mut text, &part, name)?;
                }
                Event::GeneralRef(reference) => {
                    let character = self.character(&reference)?;
                    append(&mut text, character.encode_utf8(&mut [0; 4]), name)?;
                }
                Event::Start(start) => {
                    let inner = self.enter(start, false)?;
                    self.skip(&inner)?;
                }
                Event::Empty(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) | Event::DocType(_) => {}
                Event::End(_) => {
                    self.leave();
                    return Ok(text);
                }
                Event::Eof => return Err(Error::Truncated),
            }
        }
    }

    /// The character that a reference stands for.
    fn character(&self, reference: &BytesRef<'a>) -> Result<char, Error> {
        let resolved = reference
            .resolve_char_ref()
            .map_err(|error| self.malformed(error))?;
        if let Some(character) = resolved {
            return if is_allowed(character) {
                Ok(character)
            } else {
                let offset = self.reader.buffer_position();
                Err(Error::Character { character, offset })
            };
        }
        match &**reference {
            b"lt" => Ok('<'),
            b"gt" => Ok('>'),
            b"amp" => Ok('&'),
            b"quot" => Ok('"'),
            b"apos" => Ok('\''),
            other => Err(Error::Entity {
                name: shown(QName(other)),
            }),
        }
    }

    fn attributes<'e>(&self, element: &'e Element<'a>, name: &'static str) -> Attributes<'e> {
        Attributes::new(&element.start, name, self.reader.buffer_position())
    }
}

fn append(text: &mut String, part: &str, element: &'static str) -> Result<(), Error> {
    if text.len() + part.len() > MAX_TEXT_BYTES {
        return Err(Error::TooLong {
            element,
            limit: MAX_TEXT_BYTES,
        });
    }
    text.push_str(part);
    Ok(())
}

/// The first character that XML forbids (XML 1.0 section 2.2), and where it stands.
fn forbidden(xml: &str) -> Option<(usize, char)> {
    // Nearly every document is told good by its bytes alone: the others of these characters begin so.
    let suspicious =
        |byte: u8| (byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r')) || byte == 0xEF;
    if !xml.bytes().any(suspicious) {
        return None;
    }
    xml.char_indices().find(|(_, c)| !is_allowed(*c))
}

const fn is_allowed(character: char) -> bool {
    !matches!(
        character,
        '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}'
    )
}

fn is_blank(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_whitespace)
}

fn shown(name: QName<'_>) -> String {
    super::value::cut(&String::from_utf8_lossy(name.into_inner()))
}
