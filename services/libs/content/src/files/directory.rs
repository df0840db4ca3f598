//! A directory in the layout of WSUS: `XX/SHA1.ext` in upper case, XX being the last two digits of the SHA-1.
//! What was copied here from a file system that does not care for case is found all the same.

use super::unless_missing;
use crate::blocking::blocking;
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places of files with unusual names that are remembered.
const MOST_REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// Where files lie that are not where they would be written.
    elsewhere: Arc<Mutex<HashMap<ContentId, PathBuf>>>,
}

impl Directory {
    pub fn new(root: PathBuf) -> Self {
        Self {
            root,
            elsewhere: Arc::default(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a file is written.
    pub fn path(&self, file: &ContentFile) -> PathBuf {
        self.root.join(file.folder()).join(file.stored_name())
    }

    fn elsewhere(&self) -> MutexGuard<'_, HashMap<ContentId, PathBuf>> {
        // A map of paths cannot be left half changed.
        let elsewhere = self.elsewhere.lock();
        elsewhere.unwrap_or_else(PoisonError::into_inner)
    }

    /// No longer remembers where a file lay.
    pub fn forget(&self, id: ContentId) {
        self.elsewhere().remove(&id);
    }

    fn likely(&self, file: &ContentFile) -> PathBuf {
        let known = self.elsewhere().get(&file.id()).cloned();
        known.unwrap_or_else(|| self.path(file))
    }

    /// Where a file lies, whatever the case of its name, and whatever its extension.
    pub async fn find(&self, file: &ContentFile) -> io::Result<Option<PathBuf>> {
        let (likely, usual) = (self.likely(file), self.path(file));
        let (root, folder, id) = (self.root.clone(), file.folder(), file.id());
        let found = blocking(move || {
            if likely.is_file() {
                return Ok(Some(likely));
            }
            if usual.is_file() {
                return Ok(Some(usual));
            }
            search(&root, &folder, id)
        })
        .await?;
        match &found {
            Some(path) if *path != self.path(file) => {
                let mut elsewhere = self.elsewhere();
                if elsewhere.len() >= MOST_REMEMBERED {
                    elsewhere.clear();
                }
                elsewhere.insert(file.id(), path.clone());
            }
            Some(_) | None => self.forget(file.id()),
        }
        Ok(found)
    }

    pub async fn length(&self, file: &ContentFile) -> io::Result<Option<u64>> {
        let Some(path) = self.find(file).await? else {
            return Ok(None);
        };
        let length = blocking(move || std::fs::metadata(path)).await;
        match length {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub async fn read(&self, file: &ContentFile, offset: u64, length: u64) -> io::Result<Bytes> {
        let likely = self.likely(file);
        match blocking(move || read_at(&likely, offset, length)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let path = self.find(file).await?.ok_or(io::ErrorKind::NotFound)?;
        blocking(move || read_at(&path, offset, length)).await
    }

    pub async fn remove(&self, file: &ContentFile) -> io::Result<()> {
        let Some(path) = self.find(file).await? else {
            return Ok(());
        };
        blocking(move || unless_missing(std::fs::remove_file(path))).await?;
        self.forget(file.id());
        Ok(())
    }

    pub async fn folder(&self, folder: u8) -> io::Result<Vec<(ContentId, u64)>> {
        let root = self.root.clone();
        blocking(move || {
            let mut found = Vec::new();
            for folder in folders(&root, &format!("{folder:02X}"))? {
                for entry in std::fs::read_dir(folder)? {
                    let entry = entry?;
                    if let Some(id) = id_of(&entry.path()) {
                        found.push((id, entry.metadata()?.len()));
                    }
                }
            }
            Ok(found)
        })
        .await
    }
}

/// The file that a path names by its digits.
fn id_of(path: &Path) -> Option<ContentId> {
    path.file_stem()?.to_str()?.parse().ok()
}

/// The folders of this name, in whatever case.
fn folders(root: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let same = entry
            .file_name()
            .to_str()
            .is_some_and(|found| found.eq_ignore_ascii_case(name));
        if same && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn search(root: &Path, folder: &str, id: ContentId) -> io::Result<Option<PathBuf>> {
    for folder in folders(root, folder)? {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if id_of(&path) == Some(id) && path.is_file() {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// Bytes of a file, fewer only at its end.
pub(super) fn read_at(path: &Path, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Writes a finished file to its place: there whole or not at all, and after a loss of power too.
pub(super) fn bring(partial: &Path, target: &Path) -> io::Result<()> {
    let folder = target.parent().unwrap_or(target);
    if !folder.is_dir() {
        std::fs::create_dir_all(folder)?;
        sync_folder(folder.parent().unwrap_or(folder))?;
    }
    std::fs::rename(partial, target)?;
    sync_folder(folder)
}

/// Has the names of a folder written to the disk, where the system can do that.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder)?.sync_all(),
        false => Ok(()),
    }
}
