//! Whether the disk of the store has room for what is fetched. A store that lies beside the database must not take the last
//! of it.

use crate::plane::Content;
use daemon::disk::LEFT_FREE;

impl Content {
    /// Why so many bytes more are not brought to the disk of the store, where that would leave too little of it free. A
    /// bucket has room, and so has a disk that does not say.
    pub(crate) fn no_room_for(&self, bytes: u64) -> Option<String> {
        let parts = &self.inner.parts;
        if !parts.files.is_directory() {
            return None;
        }
        let folder = parts.files.work_folder();
        let room = parts.ambient.room(folder)?;
        let needed = bytes.saturating_add(LEFT_FREE);
        (room.free < needed).then(|| {
            format!(
                "no room: the disk of {} has {} MiB free, {} MiB more are to come, and {} MiB are to stay free",
                folder.display(),
                room.free >> 20,
                bytes.div_ceil(1 << 20),
                LEFT_FREE >> 20
            )
        })
    }
}
