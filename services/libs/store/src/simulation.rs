//! What a simulated run may do to the databases of its thread: let commits fail. Exists only under the
//! feature `simulation`.

use crate::{Error, Location};
use std::cell::RefCell;
use std::io;
use std::path::Path;

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

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// From now on, `disk` decides over every commit on this thread.
pub fn set_disk(disk: impl FnMut(&Path) -> Fate + 'static) {
    DISK.with_borrow_mut(|held| *held = Some(Box::new(disk)));
}

/// From now on, every commit on this thread happens.
pub fn forget_disk() {
    DISK.with_borrow_mut(|held| *held = None);
}

pub(crate) fn next_commit(location: &Location) -> Fate {
    let Location::Directory(directory) = location else {
        return Fate::Done;
    };
    DISK.with_borrow_mut(|disk| disk.as_mut().map_or(Fate::Done, |disk| disk(directory)))
}
