//! A bounded pull reader over one message.

use super::{DecodeError, MAX_DEPTH, MAX_ELEMENTS};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::Problem;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use std::borrow::Cow;
use uuid::Uuid;

/// Longest part of a rejected value that an error repeats, in characters.
const SHOWN: usize = 64;

type Result<T> = std::result::Result<T, DecodeError>;

/// Longest element name that is told apart. The longest of the protocol has 45 bytes.
const MAX_NAME_BYTES: usize = 47;

/// Most elements that an error names as its place, and how many of either end where there are more.
const SHOWN_DEPTH: usize = 10;
const SHOWN_AT_ENDS: usize = 4;

/// A start tag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    name: [u8; MAX_NAME_BYTES],
    length: u8,
    /// Whether it is marked `xsi:nil="true"`.
    pub nil: bool,
}

impl Element {
    fn new(local_name: &[u8], nil: bool) -> Self {
        let length = local_name.len().min(MAX_NAME_BYTES);
        let mut name = [0; MAX_NAME_BYTES];
        name[..length].copy_from_slice(&local_name[..length]);
        Self {
            name,
            length: u8::try_from(length).unwrap_or(u8::MAX),
            nil,
        }
    }

    /// Name without prefix.
    pub fn name(&self) -> &[u8] {
        &self.name[..usize::from(self.length)]
    }
}

/// A pull reader over a message. It stands inside an element; [`XmlReader::child`] enters the next child
/// or leaves the element.
pub(crate) struct XmlReader<'a> {
    inner: Reader<&'a [u8]>,
    path: Vec<Element>,
    elements: usize,
    scratch: String,
}

impl<'a> XmlReader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
        let mut inner = Reader::from_reader(input);
        let config = inner.config_mut();
        config.expand_empty_elements = true;
        config.check_end_names = true;
        Self {
            inner,
            path: Vec::with_capacity(MAX_DEPTH),
            elements: 0,
            scratch: String::new(),
        }
    }

    /// The elements around the current position, for errors: the outermost and the innermost where there
    /// are more than any message of the protocol has.
    pub fn path(&self) -> String {
        let left_out = match self.path.len() {
            0..=SHOWN_DEPTH => 0..0,
            depth => SHOWN_AT_ENDS..depth - SHOWN_AT_ENDS,
        };
        let mut path = String::new();
        for (at, element) in self.path.iter().enumerate() {
            if left_out.contains(&at) {
                if at == left_out.start {
                    path.push_str("/…");
                }
                continue;
            }
            if !path.is_empty() {
                path.push('/');
            }
            // A name may hold anything but blanks and brackets.
            let name = String::from_utf8_lossy(element.name());
            path.push_str(&Problem::new(name).to_string());
        }
        if path.is_empty() {
            path.push_str("the message");
        }
        path
    }

    fn event(&mut self) -> Result<Event<'a>> {
        match self.inner.read_event() {
            Ok(Event::DocType(_)) => Err(DecodeError::DocumentType),
            Ok(Event::Eof) if !self.path.is_empty() => {
                Err(DecodeError::Truncated { path: self.path() })
            }
            Ok(event) => Ok(event),
            Err(source) => Err(DecodeError::Syntax {
                position: self.inner.error_position(),
                path: self.path(),
                source: Problem::new(source),
            }),
        }
    }

    fn enter(&mut self, start: &BytesStart<'a>) -> Result<Element> {
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(DecodeError::TooMany {
                what: "elements",
                limit: MAX_ELEMENTS,
            });
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let nil = !start.attributes_raw().is_empty() && is_nil(start);
        let element = Element::new(start.name().local_name().into_inner(), nil);
        self.path.push(element);
        Ok(element)
    }

    /// Enters the next child element, or leaves the current one and gives `None`. At the outermost level,
    /// `None` means the end of the document. Text between elements has to be white space.
    pub fn child(&mut self) -> Result<Option<Element>> {
        loop {
            match self.event()? {
                Event::Start(start) => return self.enter(&start).map(Some),
                Event::End(_) => {
                    self.path.pop();
                    return Ok(None);
                }
                Event::Eof => return Ok(None),
                Event::Text(text) if !text.iter().all(u8::is_ascii_whitespace) => {
                    return Err(DecodeError::Content { path: self.path() });
                }
                Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(DecodeError::Content { path: self.path() });
                }
                Event::Text(_)
                | Event::Comment(_)
                | Event::PI(_)
                | Event::Decl(_)
                | Event::Empty(_)
                | Event::DocType(_) => {}
            }
        }
    }

    /// Leaves the current element, whatever it holds.
    pub fn skip(&mut self) -> Result<()> {
        let depth = self.path.len();
        while self.path.len() >= depth && depth > 0 {
            let event = self.event()?;
            if let Event::Start(start) = event {
                self.enter(&start)?;
            } else if matches!(event, Event::End(_)) {
                self.path.pop();
            }
        }
        Ok(())
    }

    /// Appends the text of the current element to `text` and leaves the element.
    pub fn text_into(&mut self, text: &mut String) -> Result<()> {
        loop {
            match self.event()? {
                Event::Text(part) => push_normalized(text, self.plain(&part)?),
                Event::CData(part) => push_normalized(text, self.plain(&part)?),
                Event::GeneralRef(reference) => text.push(self.resolve(&reference)?),
                Event::End(_) => {
                    self.path.pop();
                    return Ok(());
                }
                Event::Start(_) | Event::Empty(_) | Event::Eof => {
                    return Err(DecodeError::Content { path: self.path() });
                }
                Event::Comment(_) | Event::PI(_) | Event::Decl(_) | Event::DocType(_) => {}
            }
        }
    }

    fn plain<'t>(&self, part: &'t [u8]) -> Result<&'t str> {
        let part =
            std::str::from_utf8(part).map_err(|_| DecodeError::NotUtf8 { path: self.path() })?;
        if part.contains('\0') {
            return Err(DecodeError::Nul { path: self.path() });
        }
        Ok(part)
    }

    fn resolve(&self, reference: &BytesRef<'_>) -> Result<char> {
        let name: &[u8] = reference;
        let resolved = match name {
            b"lt" => Some('<'),
            b"gt" => Some('>'),
            b"amp" => Some('&'),
            b"quot" => Some('"'),
            b"apos" => Some('\''),
            _ => reference.resolve_char_ref().ok().flatten(),
        };
        resolved
            .filter(|&c| c != '\0')
            .ok_or_else(|| DecodeError::Entity {
                name: String::from_utf8_lossy(name).chars().take(SHOWN).collect(),
                path: self.path(),
            })
    }

    /// The text of the current element; leaves it.
    pub fn text(&mut self) -> Result<String> {
        let mut text = String::new();
        self.text_into(&mut text)?;
        Ok(text)
    }

    /// The text of the current element read as `T`; leaves the element.
    fn value<T>(
        &mut self,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let element = self.path.last().copied();
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        self.text_into(&mut text)?;
        let value = parse(text.trim()).ok_or_else(|| {
            self.path.extend(element);
            DecodeError::Value {
                path: self.path(),
                value: text.chars().take(SHOWN).collect(),
                expected,
            }
        });
        self.scratch = text;
        value
    }

    pub fn boolean(&mut self) -> Result<bool> {
        self.value("true or false", |text| match text {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        })
    }

    pub fn int(&mut self) -> Result<i32> {
        self.value("a number of 32 bits", |text| text.parse().ok())
    }

    /// A number that must not be negative.
    pub fn count(&mut self) -> Result<u32> {
        self.value("a number from 0 to 2147483647", |text| {
            text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok())
        })
    }

    pub fn guid(&mut self) -> Result<Uuid> {
        self.value("a GUID", |text| {
            (text.len() == 36)
                .then(|| Uuid::try_parse(text).ok())
                .flatten()
        })
    }

    pub fn date_time(&mut self) -> Result<Timestamp> {
        self.value("a date and time", parse_date_time)
    }

    /// The base64 of the current element, decoded; leaves it. White space is ignored.
    pub fn base64(&mut self) -> Result<Vec<u8>> {
        self.value("base64", |text| {
            let text: Cow<'_, str> = if text.bytes().any(|b| b.is_ascii_whitespace()) {
                text.split_ascii_whitespace().collect::<String>().into()
            } else {
                text.into()
            };
            STANDARD.decode(text.as_bytes()).ok()
        })
    }

    /// Reads the children of the current element, an array whose items are named `item`, with `read`;
    /// leaves it. Items marked nil and elements of other names are passed over.
    pub fn list<T>(
        &mut self,
        item: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut items = Vec::new();
        while let Some(element) = self.child()? {
            if element.nil || element.name() != item.as_bytes() {
                self.skip()?;
                continue;
            }
            if items.len() >= limit {
                return Err(DecodeError::TooMany { what: item, limit });
            }
            items.push(read(self)?);
        }
        Ok(items)
    }

    /// The element that the reader stands in, to be named by [`XmlReader::missing_in`] after it was left.
    pub fn enclosing(&self) -> Option<Element> {
        self.path.last().copied()
    }

    /// The error that `inside`, which was just left, has no `element`.
    pub fn missing_in(&mut self, inside: Option<Element>, element: &'static str) -> DecodeError {
        self.path.extend(inside);
        self.missing(element)
    }

    /// The error that the element being read has no `element`.
    pub fn missing(&self, element: &'static str) -> DecodeError {
        DecodeError::Missing {
            path: self.path(),
            element,
        }
    }
}

fn is_nil(start: &BytesStart<'_>) -> bool {
    start.attributes().flatten().any(|attribute| {
        attribute.key.local_name().as_ref() == b"nil" && matches!(&*attribute.value, b"true" | b"1")
    })
}

/// Appends text as XML 1.0 sees it: a carriage return, alone or before a line feed, is a line feed.
fn push_normalized(text: &mut String, part: &str) {
    let mut rest = part;
    while let Some(at) = rest.find('\r') {
        text.push_str(&rest[..at]);
        text.push('\n');
        rest = &rest[at + 1..];
        rest = rest.strip_prefix('\n').unwrap_or(rest);
    }
    text.push_str(rest);
}

/// A `dateTime` with `Z`, with an offset, or with neither (then it is UTC), and up to nine fractional
/// digits. What lies beyond the range of a timestamp, as the year 9999 of "never" does, is its end.
pub(crate) fn parse_date_time(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let civil = text.strip_suffix('Z').unwrap_or(text);
    let civil: DateTime = civil.parse().ok()?;
    Some(match TimeZone::UTC.to_timestamp(civil) {
        Ok(time) => time,
        Err(_) if civil.year() > 0 => Timestamp::MAX,
        Err(_) => Timestamp::MIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(xml: &str) -> Result<String> {
        let mut reader = XmlReader::new(xml.as_bytes());
        reader.child()?;
        reader.text()
    }

    #[test]
    fn text_is_unescaped_and_line_ends_are_normalized() {
        let xml = "<a>1 &lt;&gt;&amp;&quot;&apos; &#65;&#x42;\r\n2\r3&#xD;\n<![CDATA[<&>]]></a>";
        assert_eq!(text_of(xml).unwrap(), "1 <>&\"' AB\n2\n3\r\n<&>");
    }

    #[test]
    fn an_unknown_entity_is_refused_by_name() {
        let error = text_of("<a>&nbsp;</a>").unwrap_err();
        assert_eq!(error.to_string(), "unknown entity \"nbsp\" in a");
        for text in [
            "&#0;",
            "&#xD800;",
            "&#x110000;",
            "&#99999999999;",
            "&#;",
            "&;",
        ] {
            assert!(text_of(&format!("<a>{text}</a>")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_nul_is_refused_however_it_is_written() {
        for text in [
            "<a>x\0</a>",
            "<a><![CDATA[\0]]></a>",
            "<a>&#0;</a>",
            "<a>&#x0;</a>",
        ] {
            assert!(text_of(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_document_type_is_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        let mut reader = XmlReader::new(bomb.as_bytes());
        assert!(matches!(reader.child(), Err(DecodeError::DocumentType)));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let xml = "<a>".repeat(100_000);
        let mut reader = XmlReader::new(xml.as_bytes());
        reader.child().unwrap();
        assert!(matches!(reader.skip(), Err(DecodeError::TooDeep)));
    }

    #[test]
    fn a_cut_message_says_that_it_was_cut() {
        let mut reader = XmlReader::new(b"<a><b>text");
        reader.child().unwrap();
        reader.child().unwrap();
        let error = reader.text().unwrap_err().to_string();
        assert!(error.contains("a/b"), "{error}");
    }

    #[test]
    fn date_times_are_read_in_every_form_seen() {
        for (text, expected) in [
            ("2026-10-04T20:33:26.65455Z", "2026-10-04T20:33:26.65455Z"),
            ("2026-10-04T20:33:26", "2026-10-04T20:33:26Z"),
            (
                "2026-10-04T20:33:26.1234567",
                "2026-10-04T20:33:26.1234567Z",
            ),
            ("2026-10-04T12:33:26-08:00", "2026-10-04T20:33:26Z"),
            ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(parse_date_time(text).unwrap().to_string(), expected);
        }
        for text in [
            "9999-12-31T23:59:59.9999999",
            "9999-12-31T23:59:59.9999999Z",
        ] {
            assert_eq!(parse_date_time(text), Some(Timestamp::MAX), "{text}");
        }
        assert_eq!(parse_date_time("yesterday"), None);
    }

    #[test]
    fn base64_may_be_broken_into_lines() {
        let mut reader = XmlReader::new(b"<a> TWFu\r\n TWFu </a>");
        reader.child().unwrap();
        assert_eq!(reader.base64().unwrap(), b"ManMan");
        let mut reader = XmlReader::new(b"<a>TWF?</a>");
        reader.child().unwrap();
        assert!(reader.base64().unwrap_err().to_string().contains("base64"));
    }
}
