//! What comes into the log beside synchronization: what was decided at this site, a unit of work each.
//!
//! What is committed is durable. It is in force with the next statement: its own, unless a run is under
//! way, whose log is not to be signed before its end. Where that run does not come to its statement,
//! [`Decisions::keep`] signs. So no decision waits for a source that cannot be reached, and a restart loses
//! none.

use crate::ingest::WsusUpstream;
use crate::removal;
use crate::verify::ROWS_LOST;
use catalog::item::ItemKey;
use jiff::Timestamp;
use journal::Journal;
use std::sync::Arc;
use std::time::Duration;
use store::{Error, NewItem, Tx};
use sync::EngineHandle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(15);

/// A change of an item that is no revision, or the removal of one that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemChange {
    /// It is this from now on.
    Put {
        /// Which item.
        key: ItemKey,
        /// Its content, as it is stored and travels.
        content: Vec<u8>,
    },
    /// There is no such item any more.
    Remove(ItemKey),
}

/// What came of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The position at which all of it is in force.
    pub position: u64,
    /// Whether it is so already; if not, it is with the end of the synchronization that is under way.
    pub in_force: bool,
}

/// Puts changes into the log within a unit of work, each that differs from what is held at the next position.
/// How many those were.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Tx<'_>, changes: Vec<ItemChange>, now: Timestamp) -> Result<u64, Error> {
    let mut items = Vec::with_capacity(changes.len());
    let mut removed = Vec::new();
    for change in changes {
        match change {
            ItemChange::Put { key, content } => items.push(NewItem {
                key,
                header: content,
                document: Vec::new(),
            }),
            ItemChange::Remove(key) => removed.push(key),
        }
    }
    let appended = tx.append(items, now).await?;
    let removed = removal::remove(tx, &removed, now).await?;
    Ok(appended.added + appended.changed + removed)
}

/// Takes what is decided at this site into the log. Cheap to clone.
#[derive(Clone)]
pub struct Decisions {
    upstream: Arc<WsusUpstream>,
    engine: EngineHandle,
    journal: Journal,
    /// Told when something waits to be signed.
    unsigned: Arc<Notify>,
}

impl Decisions {
    /// Those of a site, whose runs `engine` does.
    pub fn new(upstream: Arc<WsusUpstream>, engine: EngineHandle, journal: Journal) -> Self {
        Self {
            upstream,
            engine,
            journal,
            unsigned: Arc::default(),
        }
    }

    pub(crate) fn upstream(&self) -> &WsusUpstream {
        &self.upstream
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Puts changes into the log, all or none, and has them signed.
    ///
    /// # Errors
    /// When the database fails. Whether the changes happened is then not known; they may be repeated.
    pub async fn commit(&self, changes: Vec<ItemChange>) -> Result<Committed, Error> {
        self.settle().await?;
        let mut tx = self.begin().await?;
        put(&mut tx, changes, self.upstream.ambient.now()).await?;
        self.finish(tx).await
    }

    /// Decides by the rules about what a run that was broken off brought, before a unit of work that signs it with
    /// what a person decides: little is left for that unit then. For whoever is sure to [`put`] something: what is
    /// decided here is a reason to sign.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(&self) -> Result<(), Error> {
        let positions = self.upstream.store.positions();
        if positions.head != positions.verified && !self.is_waiting() {
            let settled = self.upstream.settle().await?;
            settled.tell(&self.journal, None).await;
        }
        Ok(())
    }

    /// Begins a unit of work for changes that depend on what is held, or that something else has to happen
    /// together with: [`put`] them, then [`Decisions::finish`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> Result<Tx<'_>, Error> {
        let mut tx = self.upstream.store.begin().await?;
        if tx.positions().epoch.is_nil() {
            tx.start_epoch(self.upstream.ambient.new_id()).await?;
        }
        Ok(tx)
    }

    /// Commits a unit of work in which changes were [`put`], and has them signed.
    ///
    /// # Errors
    /// When the database fails. Whether the unit happened is then not known.
    pub async fn finish(&self, mut tx: Tx<'_>) -> Result<Committed, Error> {
        if tx.positions().head == tx.positions().verified {
            let position = tx.positions().verified;
            tx.commit().await?;
            return Ok(Committed {
                position,
                in_force: true,
            });
        }
        if self.is_waiting() || tx.state(ROWS_LOST).await?.is_some() {
            let position = tx.positions().head;
            tx.commit().await?;
            // The run may have ended meanwhile.
            self.unsigned.notify_one();
            return Ok(Committed {
                position,
                in_force: false,
            });
        }
        let sealed = self.upstream.seal(&mut tx).await?;
        let position = sealed.statement.position;
        tx.commit().await?;
        sealed.by_itself.tell(&self.journal, None).await;
        Ok(Committed {
            position,
            in_force: true,
        })
    }

    /// Whether the log is not to be signed now: a run adds to it, or is about to begin a new epoch.
    pub(crate) fn is_waiting(&self) -> bool {
        self.engine.state().running() || self.upstream.restored().is_some()
    }

    /// Whether half of a synchronization lies in the log, of a run that is under way or broke off. What nobody
    /// decided waits then for the next run, whose end does it: to sign it would be to show the half.
    pub(crate) fn is_halfway(&self) -> bool {
        let positions = self.upstream.store.positions();
        self.is_waiting() || positions.head != positions.verified
    }

    /// Signs what waits since a run did not come to its statement, or the process ended, until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut engine = self.engine.watch();
        loop {
            engine.mark_unchanged();
            let failed = match self.sign().await {
                Ok(()) => false,
                Err(error) => {
                    tracing::error!(%error, "what was decided could not be signed; it is tried again");
                    true
                }
            };
            tokio::select! {
                changed = engine.changed() => if changed.is_err() { return },
                () = self.unsigned.notified() => {}
                () = tokio::time::sleep(RETRY), if failed => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Signs, if there is something to sign and it is not to wait.
    async fn sign(&self) -> Result<(), Error> {
        let store = &self.upstream.store;
        let positions = store.positions();
        if self.is_waiting() || positions.head == positions.verified {
            return Ok(());
        }
        // Half of a synchronization alone waits for the other half.
        if !store.read().await?.has_unsigned_decisions().await? {
            return Ok(());
        }
        let mut tx = store.begin().await?;
        if self.is_waiting() || tx.positions().head == tx.positions().verified {
            return Ok(());
        }
        if tx.state(ROWS_LOST).await?.is_some() {
            // A run that fetches them signs.
            return Ok(());
        }
        let sealed = self.upstream.seal(&mut tx).await?;
        tx.commit().await?;
        sealed.by_itself.tell(&self.journal, None).await;
        Ok(())
    }
}
