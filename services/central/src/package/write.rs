//! Writing Headwater's own package, block by block: what is written is never needed again.

use super::Error;
use super::format::{BLOCK_BYTES, Change, END, MAGIC, MAGIC_WITH_FILES};
use super::manifest::{Block, BlockKind, Carried, Contents, FilesKind, Manifest, to_hex};
use super::piece::{MAX_FILES, Piece};
use catalog::item::ItemKey;
use jiff::Timestamp;
use store::packages::PackageMark;
use trust::{Authority, SignedStatement};

/// How strongly blocks are compressed. Documents in them are so already.
const LEVEL: i32 = 3;
/// The same of update files, which nearly always are so already.
const FILES_LEVEL: i32 = 1;

/// Makes a package. What its functions give back is appended to the file in order.
pub struct Writer {
    block: Vec<u8>,
    /// SHA-1 of the file that the block begins with; none where it holds changes.
    file: Option<String>,
    blocks: Vec<Block>,
    contents: Contents,
    /// The packages that were made before it.
    earlier: Vec<PackageMark>,
    bytes: u64,
}

impl Writer {
    /// A package with nothing in it, and its first bytes.
    pub fn begin() -> (Self, Vec<u8>) {
        let writer = Self {
            block: Vec::new(),
            file: None,
            blocks: Vec::new(),
            contents: Contents::default(),
            earlier: Vec::new(),
            bytes: MAGIC.len() as u64,
        };
        (writer, MAGIC.to_vec())
    }

    /// The same of one that carries update files.
    pub fn begin_with(kind: FilesKind) -> (Self, Vec<u8>) {
        let (mut writer, _) = Self::begin();
        writer.contents.files = Some(Carried {
            kind,
            files: 0,
            bytes: 0,
        });
        (writer, MAGIC_WITH_FILES.to_vec())
    }

    /// Notes that approvals are in it, if only none.
    pub fn with_approvals(&mut self) {
        self.contents.approvals.get_or_insert(0);
    }

    /// Notes which packages were made before it, the newest last.
    pub fn comes_after(&mut self, earlier: Vec<PackageMark>) {
        self.earlier = earlier;
    }

    /// What is in it so far.
    pub fn contents(&self) -> Contents {
        self.contents
    }

    /// Bytes of it so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a change; the bytes of a block that it ended.
    ///
    /// # Errors
    /// When the change is larger than one can be.
    pub fn push(&mut self, change: &Change) -> Result<Option<Vec<u8>>, Error> {
        match (change.key, change.removed) {
            (ItemKey::Revision(_), false) => self.contents.revisions += 1,
            (ItemKey::Revision(_), true) => self.contents.removals += 1,
            (ItemKey::Approval(_), _) => *self.contents.approvals.get_or_insert(0) += 1,
            (ItemKey::Settings, _) => self.contents.settings = true,
            (ItemKey::Expiry(_), _) => {}
        }
        change.write(&mut self.block)?;
        match self.block.len() >= BLOCK_BYTES {
            true => self.end_block().map(Some),
            false => Ok(None),
        }
    }

    /// Adds the next piece of an update file, behind all changes; the bytes of blocks that it ended.
    ///
    /// # Errors
    /// When it was not begun to carry files, or carries more than a package can.
    pub fn push_piece(&mut self, piece: &Piece) -> Result<Vec<u8>, Error> {
        let mut ended = Vec::new();
        if self.file.is_none() && !self.block.is_empty() {
            ended = self.end_block()?;
        }
        let carried = self.contents.files.as_mut();
        let carried = carried.ok_or_else(|| Error::altered("it was begun without files"))?;
        if piece.is_last() {
            carried.files += 1;
            carried.bytes += piece.size;
        }
        if carried.files > MAX_FILES {
            return Err(Error::TooManyFiles { most: MAX_FILES });
        }
        self.file.get_or_insert_with(|| piece.file.to_string());
        piece.write(&mut self.block)?;
        if self.block.len() >= BLOCK_BYTES {
            ended.extend(self.end_block()?);
        }
        Ok(ended)
    }

    /// Counts update files that are not written, as large as they are: what is compressed already stays so.
    pub fn count_files(&mut self, files: u64, bytes: u64) {
        if let Some(carried) = &mut self.contents.files {
            carried.files += files;
            carried.bytes += bytes;
            self.bytes += bytes;
        }
    }

    fn end_block(&mut self) -> Result<Vec<u8>, Error> {
        let file = self.file.take();
        let (kind, level) = match file {
            None => (BlockKind::Changes, LEVEL),
            Some(_) => (BlockKind::Files, FILES_LEVEL),
        };
        let packed = zstd::bulk::compress(&self.block, level)?;
        self.blocks.push(Block {
            kind,
            file,
            packed: packed.len() as u64,
            unpacked: self.block.len() as u64,
            digest: blake3::hash(&packed).to_hex().to_string(),
        });
        self.block.clear();
        self.bytes += packed.len() as u64;
        Ok(packed)
    }

    /// Ends the package, which holds what changed after `base` up to a statement; its last bytes.
    ///
    /// # Errors
    /// When there is more in it than a package can hold.
    pub fn finish(
        &mut self,
        authority: &Authority,
        site: &str,
        base: u64,
        statement: &SignedStatement,
        made: Timestamp,
    ) -> Result<Vec<u8>, Error> {
        let mut last = match self.block.is_empty() {
            true => Vec::new(),
            false => self.end_block()?,
        };
        let stated = statement.claimed();
        let manifest = Manifest {
            hierarchy: stated.hierarchy.0,
            site: site.to_owned(),
            key: authority.statement_key().to_string(),
            made,
            epoch: stated.epoch,
            base,
            position: stated.position,
            statement: to_hex(&statement.to_bytes()),
            earlier: std::mem::take(&mut self.earlier),
            contents: self.contents,
            blocks: std::mem::take(&mut self.blocks),
        };
        let manifest = manifest.to_bytes()?;
        let before = last.len();
        last.extend(&manifest);
        last.extend(authority.sign_package(&manifest));
        last.extend((manifest.len() as u64).to_le_bytes());
        last.extend(END);
        self.bytes += (last.len() - before) as u64;
        Ok(last)
    }
}
