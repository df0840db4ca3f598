//! Reading Headwater's own package: its end first, which says what all the rest has to be.

use super::format::{Change, END, FOOTER, MAGIC, MAGIC_WITH_FILES, MAX_MANIFEST_BYTES};
use super::manifest::{Block, BlockKind, Manifest};
use super::piece::Piece;
use super::{Error, Progress};
use std::collections::VecDeque;
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
        let with_files = magic[VERSION] == MAGIC_WITH_FILES[VERSION];
        if magic[VERSION] != MAGIC[VERSION] && !with_files {
            return Err(Error::UnknownVersion(magic[VERSION]));
        }
        if magic != MAGIC && magic != MAGIC_WITH_FILES {
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
        if manifest.contents.files.is_some() != with_files {
            return Err(Error::altered(
                "its first bytes are those of another package",
            ));
        }
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

    /// Reads all of it, each block once its digest was found good.
    ///
    /// # Errors
    /// When a block is not what was signed, or `visit` refuses what is in it.
    pub(super) fn read(
        &mut self,
        progress: &Progress<'_>,
        mut visit: impl FnMut(Part) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.file.seek(SeekFrom::Start(MAGIC.len() as u64))?;
        let total = self.manifest.packed().unwrap_or_default();
        let (mut done, mut files) = (0, false);
        for (number, block) in (1..).zip(&self.manifest.blocks) {
            match block.kind {
                BlockKind::Changes if files => {
                    return Err(Error::altered("there are changes behind the files"));
                }
                BlockKind::Changes => read_block(
                    &mut self.file,
                    number,
                    block,
                    |from| Change::read(from),
                    |change| visit(Part::Change(change)),
                )?,
                BlockKind::Files => {
                    files = true;
                    read_block(
                        &mut self.file,
                        number,
                        block,
                        |from| Piece::read(from),
                        |piece| visit(Part::Piece(piece)),
                    )?;
                }
            }
            done += block.packed;
            progress("reading the package", done, total);
        }
        Ok(())
    }

    /// The files in it, for who reads them once all of it was found good.
    pub(super) fn into_files(self) -> FileBlocks {
        let mut at = MAGIC.len() as u64;
        let mut blocks = VecDeque::new();
        for (number, block) in (1..).zip(self.manifest.blocks) {
            let begins = at;
            at += block.packed;
            if block.kind == BlockKind::Files {
                blocks.push_back((number, begins, block));
            }
        }
        FileBlocks {
            file: self.file,
            blocks,
        }
    }
}

/// What stands in a package.
pub(super) enum Part {
    Change(Change),
    Piece(Piece),
}

/// The blocks of a package that hold update files.
pub(super) struct FileBlocks {
    file: File,
    blocks: VecDeque<(usize, u64, Block)>,
}

impl FileBlocks {
    /// The pieces of the next block, some MiB at most; none at the end.
    ///
    /// # Errors
    /// When the block is no longer what was signed, or cannot be read.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Piece>>, Error> {
        let Some((number, at, block)) = self.blocks.pop_front() else {
            return Ok(None);
        };
        self.file.seek(SeekFrom::Start(at))?;
        let mut pieces = Vec::new();
        read_block(
            &mut self.file,
            number,
            &block,
            |from| Piece::read(from),
            |piece| {
                pieces.push(piece);
                Ok(())
            },
        )?;
        Ok(Some(pieces))
    }
}

fn read_block<T>(
    file: &mut File,
    number: usize,
    block: &Block,
    read: impl Fn(&mut Unpacked<'_>) -> io::Result<Option<T>>,
    mut visit: impl FnMut(T) -> Result<(), Error>,
) -> Result<(), Error> {
    let altered = |what: &dyn std::fmt::Display| match &block.file {
        None => Error::altered(format!("block {number}: {what}")),
        Some(begins) => Error::altered(format!(
            "block {number}, which begins with bytes of the file {begins}: {what}"
        )),
    };
    let mut packed = Vec::new();
    file.take(block.packed).read_to_end(&mut packed)?;
    if blake3::hash(&packed).to_hex().as_str() != block.digest {
        return Err(altered(&"it is not what was signed"));
    }
    let decoder = zstd::stream::read::Decoder::with_buffer(packed.as_slice())?;
    let mut unpacked = Counted {
        inner: decoder,
        left: block.unpacked,
    };
    loop {
        match read(&mut unpacked) {
            Ok(Some(part)) => visit(part)?,
            Ok(None) => break,
            Err(error) => return Err(altered(&error)),
        }
    }
    match unpacked.left {
        0 => Ok(()),
        _ => Err(altered(&"it unpacks to less than its manifest says")),
    }
}

/// A block as it is unpacked.
type Unpacked<'b> = Counted<zstd::stream::read::Decoder<'static, &'b [u8]>>;

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
