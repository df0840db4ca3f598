//! How much room a file system has.

use std::path::Path;

/// Bytes of a disk that what is written in bulk leaves free: packages, and update files.
pub const LEFT_FREE: u64 = 512 << 20;

/// The room of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes that this process can still write.
    pub free: u64,
    /// Bytes of all of it.
    pub total: u64,
}

/// The room of the file system that a folder is on; nothing where the system does not say.
#[cfg(unix)]
pub fn room(folder: &Path) -> Option<Room> {
    let status = rustix::fs::statvfs(folder).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(status.f_frsize);
    let room = Room {
        free: bytes(status.f_bavail),
        total: bytes(status.f_blocks),
    };
    // File systems that are made up have no size.
    (room.total > 0).then_some(room)
}

/// The room of the file system that a folder is on; nothing where the system does not say.
#[cfg(not(unix))]
pub fn room(_folder: &Path) -> Option<Room> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_a_missing_one_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let room = room(folder.path()).unwrap();
        assert!(room.free <= room.total, "{room:?}");
        assert_eq!(super::room(&folder.path().join("missing")), None);
    }
}
