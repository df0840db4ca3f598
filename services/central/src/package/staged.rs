//! The changes of a package that were found good, in a file that nobody else sees and that goes with the process.

use super::format::Change;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write as _};
use std::path::Path;

/// Takes changes.
pub(super) struct Staging {
    file: BufWriter<File>,
    changes: u64,
}

impl Staging {
    /// Nothing yet, in a folder.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile_in(folder)?),
            changes: 0,
        })
    }

    pub(super) fn push(&mut self, change: &Change) -> io::Result<()> {
        self.changes += 1;
        change.write(&mut self.file)
    }

    pub(super) fn finish(mut self) -> io::Result<Staged> {
        self.file.flush()?;
        let file = self
            .file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        Ok(Staged {
            file,
            changes: self.changes,
        })
    }
}

/// Changes that were found good.
pub(crate) struct Staged {
    file: File,
    changes: u64,
}

impl Staged {
    /// How many there are.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Reads them from the beginning.
    pub(super) fn read(&mut self) -> io::Result<Batches<'_>> {
        self.file.seek(SeekFrom::Start(0))?;
        Ok(Batches {
            file: BufReader::with_capacity(1 << 20, &mut self.file),
        })
    }
}

/// Changes that are looked at together.
const AT_ONCE: usize = match cfg!(feature = "simulation") {
    true => 25,
    false => 500,
};
/// Their bytes, unless one alone has more.
const BYTES_AT_ONCE: usize = 8 << 20;

/// Reads changes, some at a time.
pub(super) struct Batches<'s> {
    file: BufReader<&'s mut File>,
}

impl Batches<'_> {
    /// The next ones; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Vec<Change>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < AT_ONCE && bytes < BYTES_AT_ONCE {
            let Some(change) = Change::read(&mut self.file)? else {
                break;
            };
            bytes += change.len();
            batch.push(change);
        }
        Ok(batch)
    }
}
