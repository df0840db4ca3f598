//! How an update document is stored and travels: compressed once, where it enters the hierarchy, and
//! handed on in that form by every site.
//!
//! The first byte names the codec, so that a later form can stand beside this one. A codec, once
//! shipped, never changes: sites hold documents that were written with it.

use std::cell::RefCell;
use std::sync::LazyLock;

/// A document in zstd with the dictionary of this file. What most documents consist of is the
/// schema's recurring text, which the dictionary holds: a document of 4 KB shrinks to about a tenth.
const ZSTD_DICTIONARY_1: u8 = 1;

/// The schema's recurring text, the most frequent last, where zstd reaches it most cheaply.
const DICTIONARY_1: &[u8] = include_bytes!("codec/dictionary-1.txt");

/// Compression level: the fastest that already gains nearly all that the dictionary has to give.
const LEVEL: i32 = 3;

/// Longest document that is accepted, in bytes of UTF-8. The largest one known is 47 MB.
pub const MAX_DOCUMENT_BYTES: usize = 128 << 20;

static ENCODER: LazyLock<zstd::dict::EncoderDictionary<'static>> =
    LazyLock::new(|| zstd::dict::EncoderDictionary::copy(DICTIONARY_1, LEVEL));
static DECODER: LazyLock<zstd::dict::DecoderDictionary<'static>> =
    LazyLock::new(|| zstd::dict::DecoderDictionary::copy(DICTIONARY_1));

/// A stored document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first byte names no codec of this version.
    #[error(
        "the stored document uses codec {0}, which this version does not know: update Headwater"
    )]
    UnknownCodec(u8),
    /// There are no bytes.
    #[error("the stored document is empty")]
    Empty,
    /// The compressed bytes do not decompress, or not to text.
    #[error("the stored document is damaged: {0}")]
    Damaged(String),
    /// More than [`MAX_DOCUMENT_BYTES`].
    #[error("the document is larger than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
}

thread_local! {
    static COMPRESSOR: RefCell<Option<zstd::bulk::Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The stored form of a document.
///
/// # Errors
/// When the document is larger than [`MAX_DOCUMENT_BYTES`], or memory ran out.
pub fn compress(document: &str) -> Result<Vec<u8>, Error> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(Error::TooLarge);
    }
    let damaged = |error: std::io::Error| Error::Damaged(error.to_string());
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(
                zstd::bulk::Compressor::with_prepared_dictionary(&ENCODER).map_err(damaged)?,
            ),
        };
        let compressed = compressor.compress(document.as_bytes()).map_err(damaged)?;
        let mut stored = Vec::with_capacity(compressed.len() + 1);
        stored.push(ZSTD_DICTIONARY_1);
        stored.extend_from_slice(&compressed);
        Ok(stored)
    })
}

/// The document of a stored form, byte for byte as it was published.
///
/// # Errors
/// When the stored form is damaged or of a later version.
pub fn decompress(stored: &[u8]) -> Result<String, Error> {
    let (&codec, compressed) = stored.split_first().ok_or(Error::Empty)?;
    if codec != ZSTD_DICTIONARY_1 {
        return Err(Error::UnknownCodec(codec));
    }
    let damaged = |error: std::io::Error| Error::Damaged(error.to_string());
    let length = zstd::zstd_safe::get_frame_content_size(compressed)
        .ok()
        .flatten()
        .ok_or_else(|| Error::Damaged("no length in the frame".to_owned()))?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_DOCUMENT_BYTES)
        .ok_or(Error::TooLarge)?;
    let bytes = DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(
                zstd::bulk::Decompressor::with_prepared_dictionary(&DECODER).map_err(damaged)?,
            ),
        };
        decompressor.decompress(compressed, length).map_err(damaged)
    })?;
    String::from_utf8(bytes).map_err(|_| Error::Damaged("not UTF-8".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_schema_costs_next_to_nothing() {
        let document = concat!(
            r#"<upd:Update xmlns:upd="http://schemas.microsoft.com/msus/2002/12/Update">"#,
            r#"<upd:UpdateIdentity UpdateID="0fa1201d-4330-4fa8-8ae9-b877473b6441" RevisionNumber="100" />"#,
            r#"<upd:Properties DefaultPropertiesLanguage="en" UpdateType="Detectoid" />"#,
            r#"<upd:LocalizedPropertiesCollection></upd:LocalizedPropertiesCollection></upd:Update>"#
        );
        let stored = compress(document).unwrap();
        assert!(stored.len() * 3 < document.len(), "{}", stored.len());
    }

    #[test]
    fn a_damaged_form_is_an_error() {
        let stored = compress("<a>some text</a>").unwrap();
        assert_eq!(decompress(&[]), Err(Error::Empty));
        assert_eq!(decompress(&[9, 9]), Err(Error::UnknownCodec(9)));
        for cut in 1..stored.len() {
            assert!(decompress(&stored[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_claimed_length_is_not_believed() {
        // A frame header that claims 2^40 bytes.
        let mut bomb = vec![ZSTD_DICTIONARY_1, 0x28, 0xb5, 0x2f, 0xfd, 0xe0];
        bomb.extend_from_slice(&(1u64 << 40).to_le_bytes());
        assert_eq!(decompress(&bomb), Err(Error::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_stored_comes_back(document in ".{0,400}") {
            prop_assert_eq!(decompress(&compress(&document).unwrap()).unwrap(), document);
        }

        #[test]
        fn any_bytes_are_text_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decompress(&bytes));
        }
    }
}
