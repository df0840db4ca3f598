//! A file that is under way.

use super::{Claim, Files, Kept, directory, quarantine, unless_missing};
use crate::blocking::blocking;
use crate::digest::{Digests, Mismatch};
use bytes::Bytes;
use catalog::content::ContentFile;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Bytes that are read at once of what is there already.
const STEP: usize = 1 << 20;

/// How often what lies at a place is opened, while others finish or remove it.
const MOST_OPENED: u32 = 4;

/// A file that is under way: its bytes come one after the other, and are there after a crash as far as they
/// came.
#[derive(Debug)]
pub struct Partial {
    files: Files,
    claim: Claim,
    file: ContentFile,
    path: PathBuf,
    /// None only while bytes are being written, or when that failed.
    open: Option<Open>,
    had: u64,
}

#[derive(Debug)]
struct Open {
    file: File,
    digests: Digests,
}

/// What became of a file whose last byte came.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// It lies in the store.
    Stored,
    /// It is not what the catalog says, and lies in quarantine.
    Quarantined(Mismatch),
}

impl Partial {
    pub(super) async fn open(files: Files, claim: Claim, file: ContentFile) -> io::Result<Self> {
        let path = files.partial_path(file.id());
        let (at, size) = (path.clone(), file.size);
        let open = blocking(move || resume(&at, size)).await?;
        Ok(Self {
            had: open.digests.bytes(),
            open: Some(open),
            files,
            claim,
            file,
            path,
        })
    }

    /// The file.
    pub fn file(&self) -> &ContentFile {
        &self.file
    }

    /// How many bytes are there.
    pub fn had(&self) -> u64 {
        self.had
    }

    /// Writes the next bytes.
    ///
    /// # Errors
    /// When the disk fails. Open it again to go on.
    pub async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        let broken = || io::Error::other("an earlier write failed");
        let mut open = self.open.take().ok_or_else(broken)?;
        let open = blocking(move || {
            open.file.write_all(&bytes)?;
            open.digests.update(&bytes);
            Ok(open)
        })
        .await?;
        self.had = open.digests.bytes();
        self.open = Some(open);
        Ok(())
    }

    /// Throws away what is there, to begin anew.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn begin_anew(&mut self) -> io::Result<()> {
        let path = self.path.clone();
        // Who has it keeps it: between letting it go and taking it again another process could begin to bring it.
        let open = self.open.take();
        let open = blocking(move || match open {
            Some(Open { file, .. }) => {
                file.set_len(0)?;
                let digests = Digests::default();
                Ok(Open { file, digests })
            }
            None => resume(&path, 0),
        })
        .await?;
        self.had = 0;
        self.open = Some(open);
        Ok(())
    }

    /// Compares the file with the catalog and brings it into the store, or into quarantine.
    ///
    /// # Errors
    /// When the store fails. What came stays where it is.
    pub async fn finish(mut self) -> io::Result<Finished> {
        let broken = || io::Error::other("an earlier write failed");
        let Open { file, digests } = self.open.take().ok_or_else(broken)?;
        let path = self.path.clone();
        if let Err(mismatch) = digests.check(&self.file) {
            drop(file);
            let (folder, id) = (self.files.inner.quarantine.clone(), self.claim.id());
            blocking(move || quarantine(&folder, id, &path)).await?;
            return Ok(Finished::Quarantined(mismatch));
        }
        match &self.files.inner.kept {
            Kept::Directory(directory) => {
                let target = directory.path(&self.file);
                blocking(move || {
                    file.sync_all()?;
                    directory::bring(&path, &target)
                })
                .await?;
                directory.forget(self.claim.id());
            }
            Kept::Bucket(bucket) => {
                bucket.bring(&self.file, &path).await?;
                blocking(move || unless_missing(std::fs::remove_file(&path))).await?;
            }
        }
        Ok(Finished::Stored)
    }
}

/// Opens what is there of a file and reads it, so that its digests can go on. What is longer than the file can
/// be begins anew.
fn resume(path: &Path, size: u64) -> io::Result<Open> {
    let mut file = open_alone(path, true)?;
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    let mut digests = Digests::default();
    let mut buffer = vec![0; STEP];
    loop {
        let count = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(Open { file, digests });
        };
        digests.update(bytes);
    }
}

/// Removes what is there of a file, unless somebody brings it.
pub(super) fn remove_unless_held(path: &Path) -> io::Result<()> {
    match open_alone(path, false) {
        Ok(_held) => unless_missing(std::fs::remove_file(path)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => unless_missing(Err(error)),
    }
}

/// Opens what is there of a file for this process alone.
fn open_alone(path: &Path, create: bool) -> io::Result<File> {
    let held = || {
        let why = "another process is bringing this file";
        io::Error::new(io::ErrorKind::WouldBlock, why)
    };
    for _ in 0..MOST_OPENED {
        let options = OpenOptions::new()
            .read(true)
            .append(true)
            .create(create)
            .open(path);
        let file = options?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held()),
            // A file system without locks has one user.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
        if is_at(&file, path)? {
            return Ok(file);
        }
    }
    Err(held())
}

/// Whether an open file is the one that lies at a place: who had it before may have finished or removed it.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let opened = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(lies) => Ok((opened.dev(), opened.ino()) == (lies.dev(), lies.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    // What is open there is neither renamed nor removed.
    Ok(true)
}
