//! Taking files in that somebody copied here: what the catalog names is found by its digests, whatever it is called.

use crate::blocking::blocking;
use crate::files::{PARTIAL, QUARANTINE};
use crate::intake::IntakeError;
use crate::{Content, ContentFile};
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use catalog::content::MAX_FILE_BYTES;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use store::content::{ContentState, ContentSum, PRIORITY_AHEAD};
use store::{Error, Store};

/// Folders below the directory that are gone down into, at most.
const MOST_DEPTH: usize = 32;
/// Files that are looked at, at most.
const MOST_FILES: u64 = 5_000_000;
/// Bytes that are read at once.
const STEP: usize = 1 << 20;
/// Problems that are told.
const MOST_PROBLEMS: usize = 20;

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files that were looked at.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Taken in.
    pub taken: ContentSum,
    /// Here already.
    pub held: u64,
    /// Of those that were taken in, what nothing here needs (yet).
    pub unneeded: u64,
    /// Not named by the catalog.
    pub unknown: u64,
    /// What could not be read or taken in, the first of them.
    pub problems: Vec<String>,
}

/// An import that was broken off.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The directory.
    #[error(
        "{} is not a directory on the machine of this site that the service may read: give a path from the root",
        .0.display()
    )]
    Directory(PathBuf),
}

impl Progress {
    fn problem(&mut self, path: &Path, why: impl std::fmt::Display) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(format!("{}: {why}", path.display()));
        }
    }
}

/// Takes in the files below a directory that the catalog names, and tells `tell` after each. Ends early where `tell`
/// says so. Symbolic links are not followed, and nothing in the directory is changed.
///
/// # Errors
/// When the directory cannot be read, or the database fails. What was taken in stays.
pub async fn import(
    content: &Content,
    directory: &Path,
    dry_run: bool,
    mut tell: impl FnMut(&Progress) -> BoxFuture<'static, bool> + Send,
) -> Result<Progress, ImportError> {
    if !directory.is_absolute() || !is_folder(directory.to_owned()).await {
        return Err(ImportError::Directory(directory.to_owned()));
    }
    let mut progress = Progress::default();
    let mut folders = vec![(directory.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let listed = list(folder.clone()).await;
        let (below, found) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                progress.problem(&folder, error);
                continue;
            }
        };
        if depth < MOST_DEPTH {
            folders.extend(below.into_iter().map(|below| (below, depth + 1)));
        }
        for (path, size) in found {
            if progress.files >= MOST_FILES {
                progress.problem(
                    &path,
                    "more files than one import looks at: import its folders one by one",
                );
                return Ok(progress);
            }
            progress.files += 1;
            progress.bytes += size;
            match one(content, &path, size, dry_run, &mut progress).await {
                Ok(()) => {}
                Err(OneError::Store(error)) => return Err(error.into()),
                Err(OneError::File(error)) => progress.problem(&path, error),
            }
            if !tell(&progress).await {
                return Ok(progress);
            }
        }
    }
    Ok(progress)
}

enum OneError {
    Store(Error),
    File(io::Error),
}

impl From<Error> for OneError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for OneError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl From<IntakeError> for OneError {
    fn from(error: IntakeError) -> Self {
        match error {
            IntakeError::Store(error) => Self::Store(error),
            IntakeError::Files(error) => Self::File(error),
            IntakeError::Mismatch(mismatch) => Self::File(io::Error::other(mismatch.to_string())),
        }
    }
}

/// Looks at one file, and takes it in where the catalog names it.
async fn one(
    content: &Content,
    path: &Path,
    size: u64,
    dry_run: bool,
    progress: &mut Progress,
) -> Result<(), OneError> {
    let sha1 = sha1_of(path.to_owned()).await?;
    let (file, row) = {
        let mut read = content.store().read().await?;
        let file = read.named_content(&[sha1]).await?.remove(&sha1);
        (file, read.content(&sha1).await?)
    };
    let Some(file) = file.filter(|file| file.size == size) else {
        progress.unknown += 1;
        return Ok(());
    };
    if row.as_ref().is_some_and(|row| row.present_since.is_some()) {
        progress.held += 1;
        return Ok(());
    }
    let needed = row.is_some_and(|row| row.state != ContentState::Unneeded);
    if size > MAX_FILE_BYTES {
        let why = format!("files of more than {MAX_FILE_BYTES} bytes are not taken in");
        return Err(io::Error::other(why).into());
    }
    if let Some(why) = content.no_room_for(size) {
        return Err(io::Error::other(why).into());
    }
    if !dry_run {
        bring(content, path, &file).await?;
    }
    progress.taken.files += 1;
    progress.taken.bytes += size;
    progress.unneeded += u64::from(!needed);
    Ok(())
}

/// Notes that a file lies in the store that came another way than by being fetched.
pub(crate) async fn note(store: &Store, file: &ContentFile, now: Timestamp) -> Result<(), Error> {
    let mut tx = store.begin().await?;
    let held = tx.content(&file.sha1).await?;
    if held.is_none_or(|row| row.state == ContentState::Unneeded) {
        // So that there is a row; what nothing needs is up to the clean-up.
        tx.want_content(std::slice::from_ref(file), PRIORITY_AHEAD, now)
            .await?;
        tx.unwant_content(&[file.sha1]).await?;
        tx.note_unneeded_content(now).await?;
    }
    tx.content_came(&file.sha1, now).await?;
    tx.commit().await
}

/// Copies a file into the store. Where it is being fetched, that is held up meanwhile: what lies here is quicker.
async fn bring(content: &Content, path: &Path, file: &ContentFile) -> Result<(), OneError> {
    // Opened before what came of it another way is given up.
    let from = path.to_owned();
    let mut source = blocking(move || File::open(from)).await?;
    let intake = match content.intake_if_free(file).await? {
        Some(intake) => Some(intake),
        None => {
            // Once it is claimed here, nobody else fetches it.
            let _hold = content.hold();
            content.intake_when_free(file).await?
        }
    };
    let mut intake = intake.ok_or_else(|| {
        io::Error::other("it is being brought another way: import it again if it does not come")
    })?;
    loop {
        let (back, bytes) = blocking(move || {
            let mut bytes = Vec::with_capacity(STEP);
            (&source).take(STEP as u64).read_to_end(&mut bytes)?;
            Ok((source, bytes))
        })
        .await?;
        if bytes.is_empty() {
            break;
        }
        source = back;
        intake.append(bytes).await?;
    }
    content.end_intake(intake).await.map_err(OneError::from)
}

async fn is_folder(path: PathBuf) -> bool {
    let looked = blocking(move || Ok(std::fs::metadata(path)?.is_dir())).await;
    looked.unwrap_or(false)
}

/// Folders, and files with their lengths, of a folder, by name. What a content store works in is left out: it may be
/// this one's.
async fn list(folder: PathBuf) -> io::Result<(Vec<PathBuf>, Vec<(PathBuf, u64)>)> {
    blocking(move || {
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if [PARTIAL, QUARANTINE]
                .iter()
                .any(|work| entry.file_name() == *work)
            {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
        folders.sort_unstable_by(|one, other| other.cmp(one));
        files.sort_unstable();
        Ok((folders, files))
    })
    .await
}

async fn sha1_of(path: PathBuf) -> io::Result<[u8; 20]> {
    blocking(move || {
        let mut source = File::open(path)?;
        let mut context = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        let mut bytes = vec![0; STEP];
        loop {
            let count = source.read(&mut bytes)?;
            let Some(read) = bytes.get(..count).filter(|read| !read.is_empty()) else {
                break;
            };
            context.update(read);
        }
        let digest = context.finish();
        digest.as_ref().try_into().map_err(io::Error::other)
    })
    .await
}
