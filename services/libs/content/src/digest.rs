//! Whether bytes are what the signed catalog says.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use catalog::content::{ContentFile, ContentId};
use std::fmt;

/// The digests of a file, as its bytes come.
#[derive(Clone)]
pub struct Digests {
    sha1: Context,
    sha256: Context,
    bytes: u64,
}

impl Default for Digests {
    fn default() -> Self {
        Self {
            sha1: Context::new(&SHA1_FOR_LEGACY_USE_ONLY),
            sha256: Context::new(&SHA256),
            bytes: 0,
        }
    }
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digests of {} bytes", self.bytes)
    }
}

/// Why a file is not what the catalog says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// Its length.
    #[error("it has {found} bytes, and the catalog says {expected}")]
    Length {
        /// What it has.
        found: u64,
        /// What the catalog says.
        expected: u64,
    },
    /// Its SHA-1.
    #[error("its SHA-1 is {0}, which is not what the catalog says")]
    Sha1(ContentId),
    /// Its SHA-256, though the SHA-1 is right.
    #[error("its SHA-256 is not what the catalog says, though its SHA-1 is: somebody made it so")]
    Sha256,
}

impl Digests {
    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.sha1.update(bytes);
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// SHA-1 and SHA-256 of some bytes.
    pub fn of(bytes: &[u8]) -> ([u8; 20], [u8; 32]) {
        let mut digests = Self::default();
        digests.update(bytes);
        let (mut sha1, mut sha256) = ([0; 20], [0; 32]);
        sha1.copy_from_slice(digests.sha1.finish().as_ref());
        sha256.copy_from_slice(digests.sha256.finish().as_ref());
        (sha1, sha256)
    }

    /// How many bytes there were.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether all of it is the file that the catalog describes.
    ///
    /// # Errors
    /// In what it differs.
    pub fn check(self, file: &ContentFile) -> Result<(), Mismatch> {
        if self.bytes != file.size {
            return Err(Mismatch::Length {
                found: self.bytes,
                expected: file.size,
            });
        }
        let sha1 = self.sha1.finish();
        if sha1.as_ref() != file.sha1 {
            let mut found = [0; 20];
            found.copy_from_slice(sha1.as_ref());
            return Err(Mismatch::Sha1(ContentId(found)));
        }
        match file.sha256 {
            Some(sha256) if self.sha256.finish().as_ref() != sha256 => Err(Mismatch::Sha256),
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> ContentFile {
        let (sha1, sha256) = Digests::of(bytes);
        ContentFile {
            sha1,
            sha256: Some(sha256),
            size: bytes.len() as u64,
            name: "a.cab".to_owned(),
            url: None,
        }
    }

    fn check(bytes: &[u8], file: &ContentFile) -> Result<(), Mismatch> {
        let mut digests = Digests::default();
        bytes.chunks(3).for_each(|part| digests.update(part));
        digests.check(file)
    }

    #[test]
    fn every_byte_counts() {
        let file = file(b"an update");
        assert_eq!(file.id().to_string().len(), 40);
        assert_eq!(check(b"an update", &file), Ok(()));
        assert!(matches!(check(b"an updatf", &file), Err(Mismatch::Sha1(_))));
        let short = Mismatch::Length {
            found: 8,
            expected: 9,
        };
        assert_eq!(check(b"an updat", &file), Err(short));
        let mut other = file.clone();
        other.sha256 = Some([0; 32]);
        assert_eq!(check(b"an update", &other), Err(Mismatch::Sha256));
        other.sha256 = None;
        assert_eq!(check(b"an update", &other), Ok(()));
    }
}
