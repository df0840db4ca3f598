//! Update documents inside cabinet files (`XmlUpdateBlobCompressed`, WSUS-PROTOCOL 6.1).
//!
//! Reading takes LZX, MSZIP and stored cabinets. Writing makes LZX cabinets of uncompressed blocks:
//! the type that Windows writes, at the cost of a copy.

mod stored;

pub use stored::encode_lzx_stored;

use std::io::{Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Most characters (bytes of UTF-8) of one document. The largest known has 47 million.
pub const MAX_DOCUMENT_CHARS: usize = 64 << 20;

/// Why a cabinet gave no document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a cabinet, or a broken one.
    #[error("the compressed document is not a readable cabinet file: {0}")]
    Cabinet(String),
    /// No member.
    #[error("the cabinet file of the compressed document is empty")]
    Empty,
    /// Larger than allowed.
    #[error("the document unpacks to more than {limit} characters")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Half a character at the end, or half a surrogate pair anywhere.
    #[error("the unpacked document is not UTF-16")]
    NotUtf16,
    /// Fewer bytes than the cabinet's directory says.
    #[error("the cabinet file holds {found} of {expected} bytes: it is truncated or damaged")]
    Truncated {
        /// Bytes that could be unpacked.
        found: u64,
        /// Bytes that the directory promises.
        expected: u64,
    },
}

/// Unpacks the first member of a cabinet, whatever its name, and decodes it from UTF-16LE; a byte order
/// mark is dropped. `limit` is in bytes of UTF-8.
///
/// Memory grows with what is really there, not with what the cabinet claims.
pub fn decode(cabinet: &[u8], limit: usize) -> Result<String, Error> {
    // What stands before a member has to be unpacked to reach it.
    if begins_behind(cabinet, limit.saturating_mul(2)) {
        return Err(Error::TooLarge { limit });
    }
    guarded(|| {
        let mut archive = cab::Cabinet::new(Cursor::new(cabinet)).map_err(cabinet_error)?;
        let Some((name, size)) = archive
            .folder_entries()
            .flat_map(|folder| folder.file_entries())
            .map(|file| (file.name().to_owned(), file.uncompressed_size()))
            .next()
        else {
            return Err(Error::Empty);
        };
        // A character of UTF-8 comes from at least one byte of UTF-16 pairs: two bytes give at most three.
        if u64::from(size) > (limit as u64).saturating_mul(2).saturating_add(2) {
            return Err(Error::TooLarge { limit });
        }
        let reader = archive.read_file(&name).map_err(cabinet_error)?;
        decode_utf16(reader, u64::from(size), limit)
    })
    .unwrap_or_else(|| Err(Error::Cabinet("the compressed data is damaged".into())))
}

/// Whether a member of the cabinet begins behind `limit` bytes of unpacked data. A directory that cannot be
/// read is for the decompressor to complain of.
fn begins_behind(cabinet: &[u8], limit: usize) -> bool {
    // MS-CAB 2.1: in the header the place and number of the members; a member is its size, its place in
    // the unpacked data, twelve bytes with its attributes, and its name, which ends in NUL.
    let number = |at: usize| {
        let bytes = cabinet.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    };
    let count = cabinet.get(28..).and_then(|rest| rest.first_chunk());
    let count = count.map_or(0, |count| u16::from_le_bytes(*count));
    let Some(mut at) = number(16) else {
        return false;
    };
    for _ in 0..count {
        let Some(begin) = number(at.saturating_add(4)) else {
            return false;
        };
        if begin > limit {
            return true;
        }
        let name = cabinet.get(at + 16..).unwrap_or_default();
        let Some(length) = name.iter().position(|byte| *byte == 0) else {
            return false;
        };
        at += 16 + length + 1;
    }
    false
}

/// Runs the decompressor, which asserts on some malformed streams instead of giving an error; `None`
/// where it did. Nothing that it worked on is used afterwards.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// A reader whose source asserts in places where it should give an error; see [`guarded`].
pub(crate) struct Guarded<R> {
    /// Taken away when it failed that way.
    inner: Option<R>,
}

impl<R> Guarded<R> {
    pub fn new(inner: R) -> Self {
        Self { inner: Some(inner) }
    }
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let damaged = || {
            let kind = std::io::ErrorKind::InvalidData;
            std::io::Error::new(kind, "the compressed data is damaged")
        };
        let mut inner = self.inner.take().ok_or_else(damaged)?;
        let (inner, result) = guarded(|| {
            let result = inner.read(buffer);
            (inner, result)
        })
        .ok_or_else(damaged)?;
        self.inner = Some(inner);
        result
    }
}

fn cabinet_error(error: std::io::Error) -> Error {
    Error::Cabinet(error.to_string())
}

fn decode_utf16(mut reader: impl Read, size: u64, limit: usize) -> Result<String, Error> {
    const CHUNK: usize = 32 << 10;
    const FIRST_GUESS: u64 = 1 << 20;
    let guess = usize::try_from((size / 2).min(FIRST_GUESS)).unwrap_or(0);
    let mut text = String::with_capacity(guess);
    let mut chunk = [0; CHUNK];
    let mut units = Vec::with_capacity(CHUNK / 2 + 1);
    let (mut filled, mut total) = (0, 0);
    loop {
        let read = reader.read(&mut chunk[filled..]).map_err(cabinet_error)?;
        total += read as u64;
        filled += read;
        let whole = filled - filled % 2;
        push_utf16(&mut text, &mut units, &chunk[..whole])?;
        if text.len() > limit {
            return Err(Error::TooLarge { limit });
        }
        chunk.copy_within(whole..filled, 0);
        filled -= whole;
        if read == 0 {
            break;
        }
    }
    if total != size {
        return Err(Error::Truncated {
            found: total,
            expected: size,
        });
    }
    if filled != 0 || !units.is_empty() {
        return Err(Error::NotUtf16);
    }
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// Appends UTF-16LE; a high surrogate at the end stays in `units` for the next call.
fn push_utf16(text: &mut String, units: &mut Vec<u16>, bytes: &[u8]) -> Result<(), Error> {
    let pending = units.len();
    units.extend(
        bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]])),
    );
    if pending == 0 && units.iter().all(|&unit| unit < 0x80) {
        text.extend(
            units
                .drain(..)
                .map(|unit| char::from(unit.to_le_bytes()[0])),
        );
        return Ok(());
    }
    let tail = units
        .last()
        .copied()
        .filter(|unit| (0xD800..0xDC00).contains(unit));
    if tail.is_some() {
        units.pop();
    }
    for character in char::decode_utf16(units.drain(..)) {
        text.push(character.map_err(|_| Error::NotUtf16)?);
    }
    units.extend(tail);
    Ok(())
}

/// Whether `document` takes at most `limit` bytes in UTF-16.
pub(crate) fn utf16_bytes_at_most(document: &str, limit: usize) -> bool {
    // A character takes no fewer bytes in UTF-8 than it takes units in UTF-16, and at most three times
    // as many, so most documents need no counting.
    if document.len() * 2 <= limit {
        return true;
    }
    if document.len() * 2 / 3 > limit {
        return false;
    }
    document.encode_utf16().count() * 2 <= limit
}

#[cfg(test)]
mod tests;
