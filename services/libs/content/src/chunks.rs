//! Parts of files in memory, so that many who ask for the same cost one read.

use crate::CHUNK;
use crate::files::Files;
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Parts that are held.
const MOST_HELD: usize = 32;

/// What a part is found by: the file, and its number.
type Key = (ContentId, u64);

/// Parts that were read lately.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    held: Mutex<VecDeque<(Key, Arc<OnceCell<Bytes>>)>>,
}

impl Chunks {
    fn cell(&self, key: Key) -> Arc<OnceCell<Bytes>> {
        // Entries come and go whole.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().position(|(held, _)| *held == key);
        let entry = found.and_then(|at| held.remove(at));
        let entry = entry.unwrap_or_else(|| (key, Arc::default()));
        let cell = Arc::clone(&entry.1);
        held.push_back(entry);
        while held.len() > MOST_HELD {
            held.pop_front();
        }
        cell
    }

    /// Bytes of a file in the store from a place on: to the end of the part that it lies in, and no more than
    /// are asked for.
    ///
    /// # Errors
    /// When the store fails, or the file is not there or not as long as it should be.
    pub async fn read(
        &self,
        files: &Files,
        file: &ContentFile,
        offset: u64,
        length: u64,
    ) -> io::Result<Bytes> {
        if offset >= file.size {
            return Ok(Bytes::new());
        }
        let number = offset / CHUNK;
        let (begin, end) = (number * CHUNK, ((number + 1) * CHUNK).min(file.size));
        let cell = self.cell((file.id(), number));
        let read = || async {
            let bytes = files.read(file, begin, end - begin).await?;
            match bytes.len() as u64 == end - begin {
                true => Ok(bytes),
                false => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        };
        let chunk = cell.get_or_try_init(read).await?;
        let within = |place: u64| usize::try_from(place - begin).map_err(io::Error::other);
        let end = offset.saturating_add(length).min(end);
        Ok(chunk.slice(within(offset)?..within(end)?))
    }

    /// Forgets what was read of a file.
    pub fn forget(&self, id: ContentId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|((held, _), _)| *held != id);
    }
}
