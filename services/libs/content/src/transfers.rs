//! What is under way, for who wants to see it, or waits for its bytes.

use catalog::content::ContentId;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The files that are being fetched. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transfers {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// How much of each is there, and how much the table says.
    under_way: Mutex<HashMap<ContentId, (watch::Receiver<u64>, u64)>>,
    /// Changes when one begins or ends.
    changed: watch::Sender<u64>,
    /// Bytes that came since the process started.
    received: AtomicU64,
}

impl Transfers {
    fn under_way(&self) -> MutexGuard<'_, HashMap<ContentId, (watch::Receiver<u64>, u64)>> {
        // Entries come and go whole.
        let under_way = self.inner.under_way.lock();
        under_way.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a file is being fetched, of which the table says that some bytes are there.
    pub fn begin(&self, id: ContentId, counted: u64) -> Transfer {
        let had = watch::Sender::new(0);
        self.under_way().insert(id, (had.subscribe(), counted));
        self.bump();
        Transfer {
            transfers: self.clone(),
            id,
            had,
        }
    }

    /// Tells who waits that a file began, ended, or came another way.
    pub fn bump(&self) {
        self.inner.changed.send_modify(|count| *count += 1);
    }

    /// How much of a file is there, where it is being fetched.
    pub fn watch(&self, id: ContentId) -> Option<watch::Receiver<u64>> {
        self.under_way().get(&id).map(|(had, _)| had.clone())
    }

    /// Tells when a file begins or ends.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changed.subscribe()
    }

    /// How many are being fetched, and how many bytes of them are there that the table does not count.
    pub fn uncounted(&self) -> (u64, u64) {
        let under_way = self.under_way();
        let more = under_way
            .values()
            .map(|(had, counted)| had.borrow().saturating_sub(*counted));
        (under_way.len() as u64, more.sum())
    }

    /// Bytes that came since the process started.
    pub fn received(&self) -> u64 {
        self.inner.received.load(Ordering::Relaxed)
    }
}

/// A file that is being fetched, until this is dropped.
#[derive(Debug)]
pub(crate) struct Transfer {
    transfers: Transfers,
    id: ContentId,
    had: watch::Sender<u64>,
}

impl Transfer {
    /// Notes how much is there.
    pub fn has(&self, had: u64) {
        self.had.send_replace(had);
    }

    /// Notes that bytes came.
    pub fn received(&self, bytes: u64) {
        let received = &self.transfers.inner.received;
        received.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.transfers.under_way().remove(&self.id);
        self.transfers.bump();
    }
}
