//! Reading Headwater's own package: its end first, which says what all the rest has to be.

use super::format::{Change, END, FOOTER, MAGIC, MAX_MANIFEST_BYTES};
use super::manifest::{Block, Manifest};
use super::{Error, Progress};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use trust::Statement;

/// Place of the version in the magic.
const VERSION: usize = 5;

/// A package whose manifest was read and is what its key signed.
pub(super) struct Package {
    file: File,
    pub(super) manifest: Manifest,
    pub(super) statement: Statement,
}

impl Package {
    /// Reads the manifest.
    ///
    /// # Errors
    /// When the package is none, was cut off, or its manifest is not what was signed.
    pub(super) fn open(mut file: File) -> Result<Self, Error> {
        let size = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        file.seek(SeekFrom::Start(0))?;
        file.read_exact(&mut magic).map_err(|_| Error::Truncated)?;
        if magic[..VERSION] != MAGIC[..VERSION] {
            return Err(Error::NotAPackage);
        }
        if magic[VERSION] != MAGIC[VERSION] {
            return Err(Error::UnknownVersion(magic[VERSION]));
        }
        if magic != MAGIC {
            return Err(Error::altered("its first bytes are not those of a package"));
        }
        let rest = size.checked_sub(MAGIC.len() as u64 + FOOTER);
        let rest = rest.ok_or(Error::Truncated)?;
        file.seek(SeekFrom::Start(size - FOOTER))?;
        let mut signature = [0; 64];
        let mut length = [0; 8];
        let mut end = [0; 8];
        for part in [&mut signature[..], &mut length[..], &mut end[..]] {
            file.read_exact(part)?;
        }
        if end != END {
            return Err(Error::Truncated);
        }
        let length = u64::from_le_bytes(length);
        if length > MAX_MANIFEST_BYTES || length > rest {
            return Err(Error::altered("its manifest is longer than it can be"));
        }
        file.seek(SeekFrom::Start(size - FOOTER - length))?;
        let mut bytes = Vec::new();
        (&mut file).take(length).read_to_end(&mut bytes)?;
        let (manifest, statement) = Manifest::open(&bytes, &signature)?;
        if manifest.packed() != Some(rest - length) {
            return Err(Error::altered(
                "its blocks are not as long as its manifest says",
            ));
        }
        Ok(Self {
            file,
            manifest,
            statement,
        })
    }

    /// Reads all changes, each block once its digest was found good.
    ///
    /// # Errors
    /// When a block is not what was signed, or `visit` refuses a change.
    pub(super) fn read(
        &mut self,
        progress: &Progress<'_>,
        mut visit: impl FnMut(Change) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        let total = self.manifest.packed().unwrap_or_default();
        let mut done = 0;
        for (number, block) in (1..).zip(&self.manifest.blocks) {
            read_block(&mut self.file, number, block, &mut visit)?;
            done += block.packed;
            progress("reading the package", done, total);
        }
        Ok(())
    }
}

fn read_block(
    file: &mut File,
    number: usize,
    block: &Block,
    visit: &mut impl FnMut(Change) -> Result<(), Error>,
) -> Result<(), Error> {
    let altered = |what: &dyn std::fmt::Display| Error::altered(format!("block {number}: {what}"));
    let mut packed = Vec::new();
    file.take(block.packed).read_to_end(&mut packed)?;
    if blake3::hash(&packed).to_hex().as_str() != block.digest {
        return Err(altered(&"it is not what was signed"));
    }
    let decoder = zstd::stream::read::Decoder::new(packed.as_slice())?;
    let mut unpacked = Counted {
        inner: decoder,
        left: block.unpacked,
    };
    loop {
        match Change::read(&mut unpacked) {
            Ok(Some(change)) => visit(change)?,
            Ok(None) => break,
            Err(error) => return Err(altered(&error)),
        }
    }
    match unpacked.left {
        0 => Ok(()),
        _ => Err(altered(&"it unpacks to less than its manifest says")),
    }
}

/// Gives up to so many bytes, then an error.
struct Counted<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left =
            left.ok_or_else(|| io::Error::other("it unpacks to more than its manifest says"))?;
        Ok(read)
    }
}
