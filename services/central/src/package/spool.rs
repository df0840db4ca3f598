//! Where an uploaded package lies until it was imported: one at a time, in the data directory, named by its digest,
//! so that an upload that was broken off goes on. What nobody came back for is removed.

use super::Error;
use super::manifest::to_hex;
use daemon::Ambient;
use daemon::disk::LEFT_FREE;
use jiff::{SignedDuration, Timestamp};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Largest package that is taken.
pub const MAX_PACKAGE_BYTES: u64 = 256 << 30;
/// What nobody came back for is removed after this time.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Folder within the data directory.
const FOLDER: &str = "packages";
/// How a spooled file is named: its digest and size in between.
const BEGINS: &str = "incoming-";
const ENDS: &str = ".part";

/// The spool of a site. Its files are its own: nothing else is written there.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// That of a data directory; nothing is looked at yet.
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// The folder, which is there afterwards.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self) -> io::Result<&Path> {
        fs::create_dir_all(&self.folder)?;
        Ok(&self.folder)
    }

    fn name(digest: &[u8; 32], size: u64) -> String {
        format!("{BEGINS}{}-{size}{ENDS}", to_hex(digest))
    }

    /// The spooled file of a package, and how large it is to become.
    fn find(&self, digest: &[u8; 32]) -> Result<(PathBuf, u64), Error> {
        let begins = format!("{BEGINS}{}-", to_hex(digest));
        for path in self.files()? {
            let name = path.file_name().and_then(|name| name.to_str());
            let size = name
                .and_then(|name| name.strip_prefix(&begins)?.strip_suffix(ENDS))
                .and_then(|size| size.parse().ok());
            if let Some(size) = size {
                return Ok((path, size));
            }
        }
        Err(Error::NotOffered)
    }

    fn files(&self) -> io::Result<Vec<PathBuf>> {
        match fs::read_dir(&self.folder) {
            Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes what nobody came back for.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn tidy(&self, now: Timestamp) -> io::Result<()> {
        for path in self.files()? {
            let changed = fs::metadata(&path)?.modified()?;
            let changed = Timestamp::try_from(changed).unwrap_or(Timestamp::UNIX_EPOCH);
            if now.duration_since(changed) > KEPT {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Makes room for a package, in the place of any other; how much of it is here.
    ///
    /// # Errors
    /// When it is too large, or the disk has no room for it.
    pub fn offer(&self, digest: &[u8; 32], size: u64, ambient: &Ambient) -> Result<u64, Error> {
        if size == 0 || size > MAX_PACKAGE_BYTES {
            return Err(Error::TooLarge {
                size,
                most: MAX_PACKAGE_BYTES,
            });
        }
        let own = self.folder()?.join(Self::name(digest, size));
        for path in self.files()? {
            if path != own {
                fs::remove_file(&path)?;
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&own)?;
        let mut held = file.metadata()?.len();
        if held > size {
            file.set_len(0)?;
            held = 0;
        }
        // What is taken in is written once more, in a form of our own.
        let needed = (size - held) + size + LEFT_FREE;
        match ambient.room(&self.folder) {
            Some(room) if room.free < needed => Err(Error::NoRoom {
                needed,
                free: room.free,
            }),
            Some(_) | None => Ok(held),
        }
    }

    /// Adds bytes that stand at `offset`; how much is here now. Bytes that are here already are passed over.
    ///
    /// # Errors
    /// When they do not follow what is here, or are more than were offered.
    pub fn append(&self, digest: &[u8; 32], offset: u64, data: &[u8]) -> Result<u64, Error> {
        let (path, size) = self.find(digest)?;
        let mut file = OpenOptions::new().write(true).open(path)?;
        let held = file.seek(SeekFrom::End(0))?;
        let end = offset.saturating_add(data.len() as u64);
        if offset > held {
            return Err(Error::Gap { offset, held });
        }
        if end > size {
            return Err(Error::Different);
        }
        let known = usize::try_from(held - offset).unwrap_or(usize::MAX);
        if let Some(new) = data.get(known..) {
            file.write_all(new)?;
        }
        Ok(held.max(end))
    }

    /// The package, once it is here as a whole.
    ///
    /// # Errors
    /// When it is not, or is not what was offered: then it has to be uploaded again from the beginning.
    pub fn whole(&self, digest: &[u8; 32]) -> Result<PathBuf, Error> {
        let (path, size) = self.find(digest)?;
        let mut file = File::open(&path)?;
        let held = file.metadata()?.len();
        if held < size {
            return Err(Error::Gap { offset: size, held });
        }
        let mut hasher = blake3::Hasher::new();
        io::copy(&mut file, &mut hasher)?;
        if hasher.finalize().as_bytes() != digest {
            fs::remove_file(&path)?;
            return Err(Error::Different);
        }
        Ok(path)
    }

    /// Removes a package; one that is not here is removed already.
    ///
    /// # Errors
    /// When it stays.
    pub fn remove(&self, digest: &[u8; 32]) -> Result<(), Error> {
        match self.find(digest) {
            Ok((path, _)) => Ok(fs::remove_file(path)?),
            Err(Error::NotOffered) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::disk::Room;
    use std::sync::Arc;

    fn spool() -> (tempfile::TempDir, Spool, Ambient) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path());
        (folder, spool, Ambient::system())
    }

    fn digest(bytes: &[u8]) -> [u8; 32] {
        *blake3::hash(bytes).as_bytes()
    }

    #[test]
    fn an_upload_goes_on_where_it_was_broken_off() {
        let (_folder, spool, ambient) = spool();
        let (bytes, other) = (b"0123456789".as_slice(), digest(b"other"));
        let digest = digest(bytes);
        assert!(matches!(
            spool.append(&digest, 0, b"0"),
            Err(Error::NotOffered)
        ));
        assert_eq!(spool.offer(&digest, 10, &ambient).unwrap(), 0);
        assert_eq!(spool.append(&digest, 0, b"0123").unwrap(), 4);
        assert_eq!(spool.offer(&digest, 10, &ambient).unwrap(), 4);
        assert!(matches!(
            spool.append(&digest, 5, b"5"),
            Err(Error::Gap { offset: 5, held: 4 })
        ));
        assert!(matches!(spool.whole(&digest), Err(Error::Gap { .. })));
        // Once more what is here already.
        assert_eq!(spool.append(&digest, 2, b"2345").unwrap(), 6);
        assert_eq!(spool.append(&digest, 0, b"01").unwrap(), 6);
        assert!(matches!(
            spool.append(&digest, 6, b"6789x"),
            Err(Error::Different)
        ));
        assert_eq!(spool.append(&digest, 6, b"6789").unwrap(), 10);
        let path = spool.whole(&digest).unwrap();
        assert_eq!(fs::read(path).unwrap(), bytes);
        // There is room for one.
        assert_eq!(spool.offer(&other, 3, &ambient).unwrap(), 0);
        assert!(matches!(spool.whole(&digest), Err(Error::NotOffered)));
        spool.remove(&other).unwrap();
        spool.remove(&other).unwrap();
        assert_eq!(spool.files().unwrap().len(), 0);
    }

    #[test]
    fn what_is_not_what_was_offered_is_thrown_away() {
        let (_folder, spool, ambient) = spool();
        let digest = digest(b"good");
        spool.offer(&digest, 4, &ambient).unwrap();
        spool.append(&digest, 0, b"evil").unwrap();
        assert!(matches!(spool.whole(&digest), Err(Error::Different)));
        assert!(matches!(spool.whole(&digest), Err(Error::NotOffered)));
    }

    #[test]
    fn what_has_no_room_is_refused_with_how_much_it_needs() {
        let (_folder, spool, ambient) = spool();
        let digest = digest(b"x");
        let most = spool.offer(&digest, MAX_PACKAGE_BYTES + 1, &ambient);
        assert!(matches!(most, Err(Error::TooLarge { .. })));
        let full = ambient.with_disk(Arc::new(|_| {
            Some(Room {
                free: LEFT_FREE,
                total: 1 << 40,
            })
        }));
        // The bytes of it that are to come, and all of it once more.
        let error = spool.offer(&digest, 5, &full).unwrap_err();
        assert!(matches!(error, Error::NoRoom { needed, .. } if needed == LEFT_FREE + 10));
        spool.append(&digest, 0, b"012").unwrap();
        let error = spool.offer(&digest, 5, &full).unwrap_err();
        assert!(matches!(error, Error::NoRoom { needed, .. } if needed == LEFT_FREE + 7));
    }

    #[test]
    fn what_nobody_came_back_for_is_removed() {
        let (_folder, spool, ambient) = spool();
        spool.offer(&digest(b"x"), 5, &ambient).unwrap();
        spool
            .tidy(ambient.now() + SignedDuration::from_hours(23))
            .unwrap();
        assert_eq!(spool.files().unwrap().len(), 1);
        spool
            .tidy(ambient.now() + SignedDuration::from_hours(25))
            .unwrap();
        assert_eq!(spool.files().unwrap().len(), 0);
    }
}
