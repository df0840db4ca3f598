//! The layout of Headwater's own package (`.hwpkg`):
//!
//! ```text
//! magic      8 bytes
//! blocks     each compressed with zstd; their lengths and digests stand in the manifest
//! manifest   JSON, in the one form that it has
//! signature  64 bytes: of the hierarchy's key over the manifest
//! length     of the manifest, 8 bytes, little-endian
//! end        8 bytes
//! ```
//!
//! A block holds whole changes, one after the other, or pieces of update files ([`super::piece`]), behind all changes.
//! Nothing of it is used before the signature, and the digest
//! of its block, were found good.

use catalog::codec::MAX_DOCUMENT_BYTES;
use catalog::item::ItemKey;
use std::io::{self, Read, Write};
use store::log::MAX_HEADER_BYTES;
use trust::package::SIGNATURE_LEN;

/// How a package begins; the sixth byte is the version of the format.
pub const MAGIC: [u8; 8] = *b"HWPKG\x01\r\n";
/// How one begins that was made to carry update files.
pub const MAGIC_WITH_FILES: [u8; 8] = *b"HWPKG\x02\r\n";
/// How it ends.
pub const END: [u8; 8] = *b"HWPKGEND";
/// What follows the manifest: signature, length, end.
pub const FOOTER: u64 = SIGNATURE_LEN as u64 + 8 + 8;
/// Largest manifest, in bytes.
pub const MAX_MANIFEST_BYTES: u64 = 64 << 20;
/// A block is ended when it has so many bytes, unpacked.
pub const BLOCK_BYTES: usize = match cfg!(feature = "simulation") {
    true => 16 << 10,
    false => 4 << 20,
};
/// Longest key of an item.
const MAX_KEY_BYTES: usize = 64;
/// What precedes the parts of a change: whether it is a removal, and their lengths.
const HEAD_BYTES: usize = 1 + 1 + 4 + 4;
/// Largest block, unpacked: one that ends with the largest change there can be.
pub const MAX_BLOCK_BYTES: u64 =
    (BLOCK_BYTES + HEAD_BYTES + MAX_KEY_BYTES + MAX_HEADER_BYTES + MAX_DOCUMENT_BYTES) as u64;

/// A change of the catalog, without a position: the site that takes it in gives it one of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The item.
    pub key: ItemKey,
    /// Its content, or what is known of its document; empty on a removal.
    pub header: Vec<u8>,
    /// Its document in the stored form; empty where it has none.
    pub document: Vec<u8>,
    /// Whether it is gone.
    pub removed: bool,
}

impl Change {
    /// Bytes that it takes.
    pub fn len(&self) -> usize {
        HEAD_BYTES + MAX_KEY_BYTES + self.header.len() + self.document.len()
    }

    /// Whether it says nothing; never so.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes it behind others.
    ///
    /// # Errors
    /// When it is larger than a change can be, or cannot be written.
    pub fn write(&self, into: &mut impl Write) -> io::Result<()> {
        let too_long = |_| io::Error::other("a change is longer than the format allows");
        let key = self.key.to_bytes();
        into.write_all(&[u8::from(self.removed)])?;
        into.write_all(&[u8::try_from(key.len()).map_err(too_long)?])?;
        for part in [&self.header, &self.document] {
            let length = u32::try_from(part.len()).map_err(too_long)?;
            into.write_all(&length.to_le_bytes())?;
        }
        for part in [&key, &self.header, &self.document] {
            into.write_all(part)?;
        }
        Ok(())
    }

    /// Reads the next one; none at the end.
    ///
    /// # Errors
    /// What is wrong with it, or when it cannot be read.
    pub fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut head = [0; HEAD_BYTES];
        if from.read(&mut head[..1])? == 0 {
            return Ok(None);
        }
        from.read_exact(&mut head[1..])?;
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let removed = match head[0] {
            0 => false,
            1 => true,
            _ => return Err(bad("a change is neither there nor gone")),
        };
        let [_, key_length, h0, h1, h2, h3, d0, d1, d2, d3] = head;
        let header_length = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        let document_length = u32::from_le_bytes([d0, d1, d2, d3]) as usize;
        let key_length = usize::from(key_length);
        if key_length > MAX_KEY_BYTES
            || header_length > MAX_HEADER_BYTES
            || document_length > MAX_DOCUMENT_BYTES
        {
            return Err(bad("a change is longer than any can be"));
        }
        if removed && header_length + document_length > 0 {
            return Err(bad("a removal has content"));
        }
        let key = read_part(from, key_length)?;
        let key = ItemKey::from_bytes(&key).map_err(|error| bad(&error.to_string()))?;
        Ok(Some(Self {
            key,
            header: read_part(from, header_length)?,
            document: read_part(from, document_length)?,
            removed,
        }))
    }
}

/// Reads so many bytes; a length that lies takes no memory that nothing fills.
fn read_part(from: &mut impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    from.take(length as u64).read_to_end(&mut part)?;
    match part.len() == length {
        true => Ok(part),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::{RevisionId, UpdateId};
    use proptest::prelude::*;

    fn change(number: u128, header: &[u8], document: &[u8]) -> Change {
        Change {
            key: ItemKey::Revision(RevisionId::new(UpdateId::from_u128(number), 200)),
            header: header.to_vec(),
            document: document.to_vec(),
            removed: false,
        }
    }

    fn read_all(mut bytes: &[u8]) -> io::Result<Vec<Change>> {
        let mut changes = Vec::new();
        while let Some(change) = Change::read(&mut bytes)? {
            changes.push(change);
        }
        Ok(changes)
    }

    #[test]
    fn changes_are_read_as_they_were_written() {
        let mut changes = vec![change(1, b"header", b"document"), change(2, b"", b"")];
        changes.push(Change {
            removed: true,
            ..change(3, b"", b"")
        });
        changes.push(Change {
            key: ItemKey::Settings,
            ..change(0, b"settings", b"")
        });
        let mut bytes = Vec::new();
        for change in &changes {
            change.write(&mut bytes).unwrap();
        }
        assert_eq!(read_all(&bytes).unwrap(), changes);
        for cut in 1..bytes.len() {
            // Cut between two, the rest is missing and nothing else is wrong: the digest of the block tells.
            if let Ok(read) = read_all(&bytes[..cut]) {
                assert!(read.len() < changes.len() && read[..] == changes[..read.len()]);
            }
        }
    }

    #[test]
    fn absurd_lengths_are_refused_before_anything_is_read() {
        let mut bytes = Vec::new();
        change(1, b"h", b"d").write(&mut bytes).unwrap();
        for (place, what) in [(5, "longer"), (9, "longer"), (1, "longer"), (0, "neither")] {
            let mut bad = bytes.clone();
            bad[place] = 0xFF;
            let error = read_all(&bad).unwrap_err().to_string();
            assert!(error.contains(what), "{place}: {error}");
        }
        let mut removal = bytes.clone();
        removal[0] = 1;
        assert!(
            read_all(&removal)
                .unwrap_err()
                .to_string()
                .contains("content")
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_changes_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_all(&bytes);
        }
    }
}
