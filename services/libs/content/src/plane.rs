//! The content of a site, for all who have to do with it: who fetches, who hands on, who cleans up, who asks.

use crate::chunks::Chunks;
use crate::files::{Files, Verdict};
use crate::limits::{Limits, Patience};
use crate::source::Source;
use crate::transfers::Transfers;
use bytes::Bytes;
use catalog::content::{ContentFile, ContentId};
use daemon::Ambient;
use journal::Journal;
use link::content::ContentState;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::content::{self, ContentRow, PRIORITY_ASKED};
use tokio::sync::watch;

/// How long a call waits for bytes of a file that is not there yet.
const PATIENCE: Duration = Duration::from_secs(20);
/// After how long without a byte what came of a file is removed that this site does not know.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What the content of a site is put together from.
pub struct Parts {
    /// Its database.
    pub store: Store,
    /// Where files lie.
    pub files: Files,
    /// Where it says what happens.
    pub journal: Journal,
    /// Time and randomness.
    pub ambient: Ambient,
    /// Where files come from, the first one first.
    pub sources: Vec<Arc<dyn Source>>,
}

/// What became of a file that was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Removed,
    /// It stays, because something is at work on it.
    Busy,
    /// It stays because it is needed again, or was gone before.
    NotUnneeded,
}

/// The content of a site. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub parts: Parts,
    pub transfers: Transfers,
    pub chunks: Chunks,
    pub limits: watch::Sender<Limits>,
    pub nudged: watch::Sender<u64>,
    pub impatient: watch::Sender<u64>,
    pub patience: watch::Sender<Patience>,
    pub state: watch::Sender<ContentState>,
    /// How many have the fetching held up.
    pub holds: watch::Sender<usize>,
}

/// Why bytes of a file cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody told this site of it, or nothing here needs it.
    #[error("this site does not know a content file {0}: nothing that is approved here needs it")]
    Unknown(ContentId),
    /// Nothing of what was asked for is there yet.
    #[error("content file {0} is not here yet; this site fetches it")]
    NotYet(ContentId),
    /// The place that was asked for lies beyond its end.
    #[error("content file {0} has {1} bytes only")]
    Beyond(ContentId, u64),
    /// The store of files failed.
    #[error("content file {id} cannot be read")]
    Files {
        /// Which.
        id: ContentId,
        /// Why.
        source: io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Content {
    /// The content of a site. [`Content::work`] fetches.
    pub fn new(parts: Parts) -> Self {
        let inner = Inner {
            parts,
            transfers: Transfers::default(),
            chunks: Chunks::default(),
            limits: watch::Sender::default(),
            nudged: watch::Sender::default(),
            impatient: watch::Sender::default(),
            patience: watch::Sender::default(),
            state: watch::Sender::default(),
            holds: watch::Sender::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    /// Where its files lie.
    pub fn files(&self) -> &Files {
        &self.inner.parts.files
    }

    /// What there is to do, for reports.
    pub fn watch_state(&self) -> watch::Receiver<ContentState> {
        self.inner.state.subscribe()
    }

    /// Changes what bounds the fetching.
    pub fn set_limits(&self, limits: Limits) {
        let set = &self.inner.limits;
        set.send_if_modified(|held| std::mem::replace(held, limits.clone()) != limits);
    }

    /// Has the table looked at: for who changed what is wanted.
    pub fn nudge(&self) {
        self.inner.nudged.send_modify(|count| *count += 1);
    }

    /// The same, and ends the pause that there may be because a source could not be asked: for who asks by hand, or when
    /// the way to it is another.
    pub fn try_now(&self) {
        self.inner.impatient.send_modify(|count| *count += 1);
    }

    /// Changes how long sources are waited for.
    pub fn set_patience(&self, patience: Patience) {
        self.inner.patience.send_replace(patience);
    }

    /// Has files fetched before others that are wanted, because somebody below asks for them now. Those that this
    /// site does not know.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ask(&self, ids: &[ContentId]) -> Result<Vec<ContentId>, store::Error> {
        let now = self.inner.parts.ambient.now();
        let (mut unknown, mut news) = (Vec::new(), false);
        let mut tx = self.store().begin().await?;
        for id in ids {
            match tx.content(&id.0).await? {
                None => unknown.push(*id),
                Some(row) if row.present_since.is_some() || row.priority >= PRIORITY_ASKED => {}
                Some(row) => {
                    tx.want_content(&[row.file], PRIORITY_ASKED, now).await?;
                    news = true;
                }
            }
        }
        tx.commit().await?;
        if news {
            self.nudge();
        }
        Ok(unknown)
    }

    /// A file that lies in the store, verified; none where it does not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn present(&self, id: ContentId) -> Result<Option<ContentRow>, store::Error> {
        let row = self.store().read().await?.content(&id.0).await?;
        Ok(row.filter(|row| row.present_since.is_some()))
    }

    /// Bytes of a file that lies in the store: to the end of a part of it, and no more than are asked for. None
    /// beyond its end. Finds out, where it is not there or cut off, and has it fetched again.
    ///
    /// # Errors
    /// When it is not there, or the store fails.
    pub async fn read(&self, file: &ContentFile, offset: u64, length: u64) -> Result<Bytes, Error> {
        let id = file.id();
        let Inner { parts, chunks, .. } = &*self.inner;
        let read = chunks.read(&parts.files, file, offset, length).await;
        match read {
            Ok(bytes) => Ok(bytes),
            Err(source) => {
                let gone = [io::ErrorKind::NotFound, io::ErrorKind::UnexpectedEof];
                if gone.contains(&source.kind()) {
                    self.lost(id, "it is no longer in the store, or not all of it")
                        .await?;
                }
                Err(Error::Files { id, source })
            }
        }
    }

    async fn lost(&self, id: ContentId, why: &str) -> Result<(), store::Error> {
        let mut tx = self.store().begin().await?;
        tx.content_lost(&id.0, why, self.inner.parts.ambient.now())
            .await?;
        tx.commit().await?;
        self.inner.chunks.forget(id);
        self.nudge();
        Ok(())
    }

    /// Length of a file and some of its bytes, for a child: from the store, else from what is there of it. Has it
    /// fetched where it is not, and waits a while for the bytes.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hand_on(
        &self,
        id: ContentId,
        offset: u64,
        length: u64,
    ) -> Result<(u64, Bytes), Error> {
        let wait = tokio::time::sleep(PATIENCE);
        tokio::pin!(wait);
        let mut changes = self.inner.transfers.changes();
        let mut asked = false;
        loop {
            changes.borrow_and_update();
            let under_way = self.inner.transfers.watch(id);
            let row = self.store().read().await?.content(&id.0).await?;
            let is_kept = |row: &ContentRow| {
                row.present_since.is_some() || row.state != content::ContentState::Unneeded
            };
            let Some(row) = row.filter(is_kept) else {
                // Nothing here needs it, and somebody below does: it is fetched where the verified catalog names it.
                if asked || !self.wish(&[id]).await?.is_empty() {
                    return Err(Error::Unknown(id));
                }
                asked = true;
                self.ask(&[id]).await?;
                continue;
            };
            let size = row.file.size;
            if offset > size || (offset == size && size > 0) {
                return Err(Error::Beyond(id, size));
            }
            if row.present_since.is_some() {
                return Ok((size, self.read(&row.file, offset, length).await?));
            }
            let Some(mut had) = under_way else {
                if !asked {
                    asked = true;
                    self.ask(&[id]).await?;
                    continue;
                }
                tokio::select! {
                    _ = changes.changed() => continue,
                    () = &mut wait => return Err(Error::NotYet(id)),
                }
            };
            let there = *had.borrow_and_update();
            if there > offset {
                let length = length.min(there - offset);
                let files = &self.inner.parts.files;
                match files.read_partial(id, offset, length).await {
                    Ok(bytes) if !bytes.is_empty() => return Ok((size, bytes)),
                    // It was finished or begun anew just now.
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(Error::Files { id, source }),
                }
            }
            tokio::select! {
                changed = had.changed() => if changed.is_err() {
                    // It ended: what became of it stands in the table.
                    tokio::task::yield_now().await;
                },
                () = &mut wait => return Err(Error::NotYet(id)),
            }
        }
    }

    /// Removes what came of files that are in the store by now, and of those that this site does not know and to which
    /// nobody wrote for long.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let files = self.files();
        let nobody = ContentId([0; 20]);
        let failed = |id| move |source| Error::Files { id, source };
        for id in files.partials().await.map_err(failed(nobody))? {
            let row = self.store().read().await?.content(&id.0).await?;
            let is_left = match row {
                Some(row) => row.present_since.is_some(),
                // Another site that shares the directory may want it.
                None => files
                    .partial_rests(id, FORGOTTEN)
                    .await
                    .map_err(failed(id))?,
            };
            if is_left && let Some(claim) = files.claim(id) {
                files.remove_partial(&claim).await.map_err(failed(id))?;
            }
        }
        Ok(())
    }

    /// Removes a file that nothing needs, from the table and from the store.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn remove(&self, file: &ContentFile) -> Result<Removal, Error> {
        let id = file.id();
        let files = self.files();
        let Some(claim) = files.claim(id) else {
            return Ok(Removal::Busy);
        };
        let mut tx = self.store().begin().await?;
        if !tx.forget_content(&file.sha1).await? {
            return Ok(Removal::NotUnneeded);
        }
        tx.commit().await?;
        self.inner.chunks.forget(id);
        let failed = |source| Error::Files { id, source };
        files.remove_partial(&claim).await.map_err(failed)?;
        files.remove(&claim, file).await.map_err(failed)?;
        Ok(Removal::Removed)
    }

    /// Looks through a file that the table says is there. What is missing or not what the catalog says is put
    /// aside and fetched again; where the store had it and the table did not know, it does now. None while it is
    /// being fetched.
    ///
    /// # Errors
    /// When the database or the store fails.
    pub async fn verify(&self, row: &ContentRow) -> Result<Option<Verdict>, Error> {
        let (id, files) = (row.file.id(), self.files());
        let Some(claim) = files.claim(id) else {
            return Ok(None);
        };
        let failed = |source| Error::Files { id, source };
        // It may have gone since it was listed.
        let row = self.store().read().await?.content(&id.0).await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let verdict = files.look_through(&row.file).await.map_err(failed)?;
        let now = self.inner.parts.ambient.now();
        match &verdict {
            Verdict::Good if row.present_since.is_some() => {}
            Verdict::Good => {
                let mut tx = self.store().begin().await?;
                tx.content_came(&id.0, now).await?;
                tx.commit().await?;
            }
            Verdict::Missing => self.lost(id, "it was not in the store").await?,
            Verdict::Bad(mismatch) => {
                files.put_aside(&claim, &row.file).await.map_err(failed)?;
                self.lost(id, &mismatch.to_string()).await?;
            }
        }
        Ok(Some(verdict))
    }
}
