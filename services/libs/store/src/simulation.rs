//! What a simulated run may do to the databases of its thread: let commits fail, and make them forget
//! early. Exists only under the feature `simulation`.

use crate::{Error, Location};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// What becomes of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It happens.
    Done,
    /// The disk is full: it does not happen.
    DiskFull,
    /// It happens, and whoever waits for it hears of a failure.
    Unheard,
}

impl Fate {
    pub(crate) fn before(self) -> Result<(), Error> {
        match self {
            Self::Done | Self::Unheard => Ok(()),
            Self::DiskFull => Err(failure(io::ErrorKind::StorageFull)),
        }
    }

    pub(crate) fn after(self) -> Result<(), Error> {
        match self {
            Self::Done | Self::DiskFull => Ok(()),
            Self::Unheard => Err(failure(io::ErrorKind::Other)),
        }
    }
}

fn failure(kind: io::ErrorKind) -> Error {
    sqlx::Error::Io(io::Error::from(kind)).into()
}

/// Decides over each commit of the database in a directory.
type Disk = Box<dyn FnMut(&Path) -> Fate>;

/// How much history a database keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Runs.
    pub runs: u64,
    /// Status messages, besides those in the outbox.
    pub status_messages: u64,
}

thread_local! {
    static KEPT: RefCell<BTreeMap<PathBuf, Kept>> = const { RefCell::new(BTreeMap::new()) };
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// From now on, `disk` decides over every commit on this thread.
pub fn set_disk(disk: impl FnMut(&Path) -> Fate + 'static) {
    DISK.with_borrow_mut(|held| *held = Some(Box::new(disk)));
}

/// From now on, every commit on this thread happens, and every database keeps as much as ever.
pub fn forget_disk() {
    DISK.with_borrow_mut(|held| *held = None);
    KEPT.with_borrow_mut(BTreeMap::clear);
}

/// From now on, the database in a directory keeps so much history.
pub fn keep_only(directory: &Path, kept: Kept) {
    KEPT.with_borrow_mut(|held| held.insert(directory.to_owned(), kept));
}

pub(crate) fn kept(location: &Location) -> Option<Kept> {
    let Location::Directory(directory) = location else {
        return None;
    };
    KEPT.with_borrow(|held| held.get(directory).copied())
}

pub(crate) fn next_commit(location: &Location) -> Fate {
    let Location::Directory(directory) = location else {
        return Fate::Done;
    };
    DISK.with_borrow_mut(|disk| disk.as_mut().map_or(Fate::Done, |disk| disk(directory)))
}
