//! Writing elements straight into one string.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use std::fmt::{Display, Write as _};
use uuid::Uuid;

/// Writes elements into a string that grows.
#[derive(Default)]
pub(crate) struct XmlWriter {
    out: String,
}

impl XmlWriter {
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: String::with_capacity(bytes),
        }
    }

    pub fn finish(self) -> String {
        self.out
    }

    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Appends markup as it is.
    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    pub fn open(&mut self, name: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
    }

    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element with what `content` writes; written as an empty element where it writes nothing.
    pub fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name);
        let start = self.out.len();
        content(self);
        if self.out.len() == start {
            self.out.truncate(start - 1);
            self.out.push_str("/>");
        } else {
            self.close(name);
        }
    }

    /// An element with text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.element(name, |w| push_escaped(&mut w.out, text));
    }

    /// An element with text, where there is any.
    pub fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// An element with a value whose text needs no escaping: a number, a GUID, `true`.
    pub fn value(&mut self, name: &str, value: impl Display) {
        self.open(name);
        let _ = write!(self.out, "{value}");
        self.close(name);
    }

    pub fn guid(&mut self, name: &str, guid: Uuid) {
        let mut buffer = [0; uuid::fmt::Hyphenated::LENGTH];
        self.open(name);
        self.out
            .push_str(guid.hyphenated().encode_lower(&mut buffer));
        self.close(name);
    }

    pub fn date_time(&mut self, name: &str, time: Timestamp) {
        self.value(name, time);
    }

    pub fn base64(&mut self, name: &str, bytes: &[u8]) {
        self.element(name, |w| push_base64(&mut w.out, bytes));
    }

    pub fn buffer(&mut self) -> &mut String {
        &mut self.out
    }
}

/// Appends the base64 of `bytes`.
pub(crate) fn push_base64(out: &mut String, bytes: &[u8]) {
    STANDARD.encode_string(bytes, out);
}

/// Appends `text` escaped as element content. A carriage return is written as a reference, because a
/// parser makes a line feed of a bare one.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let reference = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            b'\r' => "&#xD;",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        out.push_str(reference);
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::XmlReader;
    use proptest::prelude::*;

    #[test]
    fn an_element_without_content_is_written_short() {
        let mut writer = XmlWriter::default();
        writer.element("a", |w| {
            w.text("b", "");
            w.text("c", "x<y&z>\r\n");
        });
        assert_eq!(writer.finish(), "<a><b/><c>x&lt;y&amp;z&gt;&#xD;\n</c></a>");
    }

    proptest! {
        #[test]
        fn text_is_read_as_it_was_written(text in "[^\\x00]{0,200}") {
            let mut writer = XmlWriter::default();
            writer.text("a", &text);
            let xml = writer.finish();
            let mut reader = XmlReader::new(xml.as_bytes());
            reader.child().unwrap();
            prop_assert_eq!(reader.text().unwrap(), text);
        }
    }
}
