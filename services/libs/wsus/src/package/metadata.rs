//! `metadata.txt`: records `<guid>,<revision>,<length>,<document>` CR LF, numbers in eight hexadecimal
//! digits, the length in UTF-16 code units though the file is UTF-8. Documents hold line breaks, so
//! records are read by length.

use super::{Error, METADATA};
use crate::blob::MAX_DOCUMENT_CHARS;
use catalog::{RevisionId, UpdateId};
use std::io::{self, BufRead, Read};

/// GUID, revision and length, with a comma after each.
const HEADER_BYTES: usize = 36 + 1 + 8 + 1 + 8 + 1;

/// Most bytes of UTF-8 that stand for one UTF-16 code unit.
const MOST_BYTES_PER_UNIT: usize = 3;

/// Reads record after record.
pub(super) struct Records<R> {
    input: R,
    count: usize,
}

impl<R: BufRead> Records<R> {
    pub fn new(input: R) -> Self {
        Self { input, count: 0 }
    }

    /// Number of the record last read, from 1.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The next record; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<(RevisionId, String)>, Error> {
        if self.count == 0 {
            self.skip_byte_order_mark()?;
        }
        if self.fill()?.is_empty() {
            return Ok(None);
        }
        self.count += 1;
        let mut header = [0; HEADER_BYTES];
        let read = self.read_up_to(&mut header)?;
        if read < HEADER_BYTES {
            return Err(self.refuse(None, "the file ends in the middle of the record's header"));
        }
        let Some((id, length)) = parse_header(&header) else {
            let shown: String = String::from_utf8_lossy(&header).chars().take(64).collect();
            let problem = format!(
                "expected a GUID, a revision and a length, but found {shown:?}; the length of the record \
                 before may be wrong"
            );
            return Err(self.refuse(None, &problem));
        };
        if length > MAX_DOCUMENT_CHARS {
            let problem = format!("the document is longer than {MAX_DOCUMENT_CHARS} characters");
            return Err(self.refuse(Some(id), &problem));
        }
        let document = self.document(id, length)?;
        self.line_end(id)?;
        Ok(Some((id, document)))
    }

    /// Reads text of `length` UTF-16 code units. A character has at least as many bytes here as units, so
    /// reading as many bytes as units are still due never reads too far.
    fn document(&mut self, id: RevisionId, length: usize) -> Result<String, Error> {
        let mut bytes: Vec<u8> = Vec::new();
        let mut units = 0;
        while units < length {
            let start = bytes.len();
            self.append(&mut bytes, length - units)?;
            if bytes.len() == start {
                return Err(self.refuse(Some(id), "the file ends in the middle of the document"));
            }
            units += bytes[start..].iter().copied().map(units_of).sum::<usize>();
            if bytes.len() > length * MOST_BYTES_PER_UNIT {
                return Err(self.refuse(Some(id), "the document is not UTF-8"));
            }
        }
        let due = continuation_bytes_due(&bytes);
        self.append(&mut bytes, due)?;
        if units > length {
            return Err(self.refuse(
                Some(id),
                "the length of the document ends in the middle of a character",
            ));
        }
        String::from_utf8(bytes).map_err(|_| self.refuse(Some(id), "the document is not UTF-8"))
    }

    fn line_end(&mut self, id: RevisionId) -> Result<(), Error> {
        let mut end = [0; 2];
        match self.read_up_to(&mut end[..1])? {
            0 => return Ok(()), // the last record of a tool that writes no line end there
            _ if end[0] == b'\n' => return Ok(()),
            _ => {}
        }
        self.read_up_to(&mut end[1..])?;
        if &end == b"\r\n" {
            return Ok(());
        }
        Err(self.refuse(
            Some(id),
            "the document is not followed by a line end, so its length is wrong",
        ))
    }

    fn skip_byte_order_mark(&mut self) -> Result<(), Error> {
        const MARK: &[u8] = b"\xEF\xBB\xBF";
        if self.fill()?.starts_with(MARK) {
            self.input.consume(MARK.len());
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<&[u8], Error> {
        self.input.fill_buf().map_err(unreadable)
    }

    fn append(&mut self, bytes: &mut Vec<u8>, count: usize) -> Result<(), Error> {
        let mut part = (&mut self.input).take(count as u64);
        part.read_to_end(bytes).map(drop).map_err(unreadable)
    }

    fn read_up_to(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.input.read(&mut buffer[filled..]).map_err(unreadable)? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn refuse(&self, id: Option<RevisionId>, problem: &str) -> Error {
        Error::Record {
            record: self.count,
            id,
            problem: problem.to_owned(),
        }
    }
}

fn unreadable(source: io::Error) -> Error {
    Error::Member {
        member: METADATA,
        source,
    }
}

fn parse_header(header: &[u8; HEADER_BYTES]) -> Option<(RevisionId, usize)> {
    let text = std::str::from_utf8(header).ok()?;
    let (guid, rest) = text.split_at_checked(36)?;
    let rest = rest.strip_prefix(',')?.strip_suffix(',')?;
    let (revision, length) = rest.split_once(',')?;
    let hex = |digits: &str| {
        let valid = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        valid
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    };
    let update_id: UpdateId = guid.parse().ok()?;
    let id = RevisionId::new(update_id, hex(revision)?);
    Some((id, usize::try_from(hex(length)?).ok()?))
}

/// UTF-16 code units of the character that begins with this byte; none for its further bytes.
fn units_of(byte: u8) -> usize {
    match byte {
        0x80..=0xBF => 0,
        0xF0..=0xFF => 2,
        _ => 1,
    }
}

/// How many bytes are missing from the last character.
fn continuation_bytes_due(bytes: &[u8]) -> usize {
    let tail = bytes
        .iter()
        .rev()
        .take_while(|b| (0x80..=0xBF).contains(*b))
        .count();
    let needed: usize = match bytes.len().checked_sub(tail + 1).map(|at| bytes[at]) {
        Some(0xC0..=0xDF) => 1,
        Some(0xE0..=0xEF) => 2,
        Some(0xF0..=0xFF) => 3,
        _ => 0,
    };
    needed.saturating_sub(tail)
}
