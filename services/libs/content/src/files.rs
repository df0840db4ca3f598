//! Where content files lie: a directory in the layout of WSUS, or a bucket of an S3-compatible store. What is
//! under way lies apart, and so does what was not what the catalog says.

mod bucket;
mod directory;
mod partial;

pub use bucket::BucketError;
pub use link::settings::ContentStore;
pub use partial::{Finished, Partial};

use crate::blocking::blocking;
use crate::digest::{Digests, Mismatch};
use bucket::Bucket;
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use directory::Directory;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Folder of files that are under way.
pub(crate) const PARTIAL: &str = ".partial";
/// Folder of what came and was not what the catalog says.
pub(crate) const QUARANTINE: &str = ".quarantine";
/// File there that tells what time it is for the file system.
const PROBE: &str = "clock";
/// What is kept in quarantine; the oldest go.
pub const MOST_QUARANTINED: usize = 8;
/// Bytes that are read at once when a file is looked through.
const STEP: u64 = 1 << 20;

/// The store of content files. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Files {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kept: Kept,
    partial: PathBuf,
    quarantine: PathBuf,
    claims: Mutex<HashSet<ContentId>>,
}

#[derive(Debug)]
enum Kept {
    Directory(Directory),
    Bucket(Bucket),
}

/// The right to bring, replace or remove one file. Ends when it and all that were cloned of it are dropped: who brings a
/// file keeps one until the table of files says so.
#[derive(Debug, Clone)]
pub struct Claim(Arc<Claimed>);

#[derive(Debug)]
struct Claimed {
    files: Files,
    id: ContentId,
}

impl Claim {
    /// Which file.
    pub fn id(&self) -> ContentId {
        self.0.id
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.files.claims().remove(&self.id);
    }
}

/// A store that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory.
    #[error("the content directory {} cannot be used: check that it exists or can be made, and that the service \
             may write there", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] BucketError),
}

/// A file that was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, and what the catalog says.
    Good,
    /// It is not there.
    Missing,
    /// It is there, and not what the catalog says.
    Bad(Mismatch),
}

impl Files {
    /// Opens a store, and makes its folders where they are not there.
    ///
    /// # Errors
    /// When the place cannot be used.
    pub fn open(place: &ContentStore) -> Result<Self, OpenError> {
        match place {
            ContentStore::Directory(path) => {
                Self::with(Kept::Directory(Directory::new(path.clone())), path)
            }
            ContentStore::Bucket(bucket) => {
                Self::with(Kept::Bucket(Bucket::open(bucket)?), &bucket.work)
            }
        }
    }

    /// A store in a bucket that is handed in, for tests.
    ///
    /// # Errors
    /// When the directory for what is under way cannot be used.
    pub fn in_bucket(
        bucket: Arc<dyn object_store::ObjectStore>,
        prefix: &str,
        work: &Path,
    ) -> Result<Self, OpenError> {
        Self::with(Kept::Bucket(Bucket::new(bucket, prefix)), work)
    }

    fn with(kept: Kept, work: &Path) -> Result<Self, OpenError> {
        let (partial, quarantine) = (work.join(PARTIAL), work.join(QUARANTINE));
        for path in [&partial, &quarantine] {
            std::fs::create_dir_all(path).map_err(|source| OpenError::Directory {
                path: work.to_owned(),
                source,
            })?;
        }
        let inner = Inner {
            kept,
            partial,
            quarantine,
            claims: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        match &self.inner.kept {
            Kept::Directory(directory) => directory.root().display().to_string(),
            Kept::Bucket(bucket) => bucket.name().to_owned(),
        }
    }

    /// Whether all of it takes up room of that file system, and not only what is under way.
    pub fn is_directory(&self) -> bool {
        matches!(self.inner.kept, Kept::Directory(_))
    }

    /// The folder whose file system content takes up room of.
    pub fn work_folder(&self) -> &Path {
        self.inner.partial.parent().unwrap_or(&self.inner.partial)
    }

    fn claims(&self) -> MutexGuard<'_, HashSet<ContentId>> {
        // A set of names cannot be left half changed.
        let claims = self.inner.claims.lock();
        claims.unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to change a file; none while somebody has it.
    pub fn claim(&self, id: ContentId) -> Option<Claim> {
        self.claims().insert(id).then(|| {
            Claim(Arc::new(Claimed {
                files: self.clone(),
                id,
            }))
        })
    }

    /// The length of a file in the store; none where it is not there. Says nothing about what is in it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn length(&self, file: &ContentFile) -> io::Result<Option<u64>> {
        match &self.inner.kept {
            Kept::Directory(directory) => directory.length(file).await,
            Kept::Bucket(bucket) => bucket.length(file).await,
        }
    }

    /// Some bytes of a file in the store: as many as are asked for, fewer only at its end.
    ///
    /// # Errors
    /// When it is not there ([`io::ErrorKind::NotFound`]), or the store fails.
    pub async fn read(&self, file: &ContentFile, offset: u64, length: u64) -> io::Result<Bytes> {
        match &self.inner.kept {
            Kept::Directory(directory) => directory.read(file, offset, length).await,
            Kept::Bucket(bucket) => bucket.read(file, offset, length).await,
        }
    }

    /// Reads a file in the store from its beginning to its end, and compares it with the catalog.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look_through(&self, file: &ContentFile) -> io::Result<Verdict> {
        match self.length(file).await? {
            None => return Ok(Verdict::Missing),
            Some(found) if found != file.size => {
                return Ok(Verdict::Bad(Mismatch::Length {
                    found,
                    expected: file.size,
                }));
            }
            Some(_) => {}
        }
        let mut digests = Digests::default();
        while digests.bytes() < file.size {
            let bytes = match self.read(file, digests.bytes(), STEP).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(Verdict::Missing);
                }
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                break;
            }
            digests.update(&bytes);
        }
        Ok(digests
            .check(file)
            .map_or_else(Verdict::Bad, |()| Verdict::Good))
    }

    /// Goes on with a file that is not in the store yet: what is there of it is read and counted.
    ///
    /// # Errors
    /// When the store fails, or another process brings the file ([`io::ErrorKind::WouldBlock`]).
    pub async fn partial(&self, claim: Claim, file: &ContentFile) -> io::Result<Partial> {
        Partial::open(self.clone(), claim, file.clone()).await
    }

    /// Some bytes of a file that is under way, as many as are there.
    ///
    /// # Errors
    /// When nothing of it is there ([`io::ErrorKind::NotFound`]), or the disk fails.
    pub async fn read_partial(&self, id: ContentId, offset: u64, length: u64) -> io::Result<Bytes> {
        let path = self.partial_path(id);
        blocking(move || directory::read_at(&path, offset, length)).await
    }

    /// How much of a file is there that is under way.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn partial_length(&self, id: ContentId) -> io::Result<u64> {
        let path = self.partial_path(id);
        blocking(move || match std::fs::metadata(path) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        })
        .await
    }

    fn partial_path(&self, id: ContentId) -> PathBuf {
        self.inner.partial.join(id.to_string())
    }

    /// The files of which something is under way.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn partials(&self) -> io::Result<Vec<ContentId>> {
        let folder = self.inner.partial.clone();
        blocking(move || {
            let mut found = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let name = entry?.file_name();
                found.extend(
                    name.to_str()
                        .and_then(|name| name.parse::<ContentId>().ok()),
                );
            }
            Ok(found)
        })
        .await
    }

    /// Removes what is there of a file that is under way, unless another process brings it just now, as it may where
    /// sites share a directory.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn remove_partial(&self, claim: &Claim) -> io::Result<()> {
        let path = self.partial_path(claim.id());
        blocking(move || partial::remove_unless_held(&path)).await
    }

    /// Whether nothing was written for so long to what is there of a file that is under way, by the clock of the file
    /// system, which is the same for all who share it.
    ///
    /// # Errors
    /// When the disk fails.
    pub(crate) async fn partial_rests(&self, id: ContentId, since: Duration) -> io::Result<bool> {
        let (path, probe) = (self.partial_path(id), self.inner.partial.join(PROBE));
        blocking(move || {
            let written = match std::fs::metadata(path) {
                Ok(metadata) => metadata.modified()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error),
            };
            let mut file = std::fs::File::create(&probe)?;
            io::Write::write_all(&mut file, b"now")?;
            let now = file.metadata()?.modified()?;
            unless_missing(std::fs::remove_file(probe))?;
            Ok(now
                .duration_since(written)
                .is_ok_and(|rested| rested >= since))
        })
        .await
    }

    /// Removes a file from the store.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, claim: &Claim, file: &ContentFile) -> io::Result<()> {
        debug_assert_eq!(claim.id(), file.id());
        match &self.inner.kept {
            Kept::Directory(directory) => directory.remove(file).await,
            Kept::Bucket(bucket) => bucket.remove(file).await,
        }
    }

    /// Puts a file of the store aside that is not what the catalog says.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put_aside(&self, claim: &Claim, file: &ContentFile) -> io::Result<()> {
        debug_assert_eq!(claim.id(), file.id());
        match &self.inner.kept {
            Kept::Directory(directory) => {
                let Some(path) = directory.find(file).await? else {
                    return Ok(());
                };
                let (folder, id) = (self.inner.quarantine.clone(), claim.id());
                blocking(move || quarantine(&folder, id, &path)).await?;
                directory.forget(id);
                Ok(())
            }
            // A bucket has no way to move; who wants to look at it has its versions.
            Kept::Bucket(bucket) => bucket.remove(file).await,
        }
    }

    /// The files in one of the 256 folders of the store, with their lengths: for walking through all of it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn folder(&self, folder: u8) -> io::Result<Vec<(ContentId, u64)>> {
        match &self.inner.kept {
            Kept::Directory(directory) => directory.folder(folder).await,
            Kept::Bucket(bucket) => bucket.folder(folder).await,
        }
    }
}

fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Moves a file into quarantine, and forgets the oldest ones there.
fn quarantine(folder: &Path, id: ContentId, path: &Path) -> io::Result<()> {
    let mut held: Vec<(std::time::SystemTime, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        held.push((entry.metadata()?.modified()?, entry.path()));
    }
    held.sort();
    let excess = (held.len() + 1).saturating_sub(MOST_QUARANTINED);
    for (_, oldest) in held.iter().take(excess) {
        unless_missing(std::fs::remove_file(oldest))?;
    }
    let free = (0..=MOST_QUARANTINED).map(|number| folder.join(format!("{id}-{number}")));
    let target = free.into_iter().find(|path| !path.exists());
    let target = target.unwrap_or_else(|| folder.join(id.to_string()));
    std::fs::rename(path, target)
}
