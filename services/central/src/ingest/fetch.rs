//! Fetching documents: what is held is not asked for again, what cannot be had is put aside.

use super::prepared::Prepared;
use super::sieve::Sieve;
use super::{Choice, Ingest, ORIGIN, REVISIONS_PER_COMMIT, Stopped};
use catalog::document::PublicationState;
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use futures::{StreamExt as _, pin_mut};
use journal::{StatusId, phrases};
use std::collections::{HashMap, HashSet};
use store::{NewItem, Tx};
use sync::Counts;
use wsus::client::Fetched;
use wsus::message::UpdateData;

/// Bytes of documents that are stored in one unit of work at most.
const BYTES_PER_COMMIT: usize = 8 << 20;
/// Revisions that are looked up at a time.
pub(super) const LOOKUP: usize = 2000;
/// Rounds in which what new bundles refer to is fetched. Bundles of bundles are not known to exist.
const CLOSURE_ROUNDS: u32 = 8;
/// Revisions of one such round.
pub(super) const WANTED_AT_ONCE: u32 = 20_000;

/// Items that wait to be stored together.
#[derive(Default)]
pub(super) struct Waiting {
    items: Vec<Prepared>,
    bytes: usize,
}

/// How far the ingest is.
#[derive(Default)]
pub(super) struct Tally {
    done: u64,
    total: u64,
}

impl Ingest<'_> {
    /// Fetches those of the revisions that are not held, and stores what the sieve keeps of them.
    pub(super) async fn fetch(
        &self,
        listed: &[RevisionId],
        sieve: &mut Sieve,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        let mut missing = Vec::new();
        for chunk in listed.chunks(LOOKUP) {
            let keys: Vec<ItemKey> = chunk.iter().copied().map(ItemKey::Revision).collect();
            let mut tx = self.upstream.store.begin().await?;
            let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
            drop(tx);
            let aside = self.aside();
            missing.extend(
                chunk
                    .iter()
                    .filter(|id| !held.contains(&ItemKey::Revision(**id)) && !aside.contains(*id)),
            );
        }
        tally.total += missing.len() as u64;
        self.run.progress(tally.done, tally.total);
        let fetched = self.client.fetch(missing);
        pin_mut!(fetched);
        let mut waiting = Waiting::default();
        while let Some(next) = fetched.next().await {
            match next? {
                Fetched::Batch(data) => {
                    tally.done += (data.updates.len() + data.unreadable.len()) as u64;
                    self.take(data, sieve, &mut waiting).await?;
                    if waiting.items.len() >= REVISIONS_PER_COMMIT
                        || waiting.bytes >= BYTES_PER_COMMIT
                    {
                        self.store(&mut waiting).await?;
                        self.run.progress(tally.done, tally.total);
                    }
                }
                Fetched::Refused { id, reason } => {
                    tally.done += 1;
                    self.put_aside(id, &reason.to_string()).await?;
                }
                Fetched::Missing(id) => {
                    tally.done += 1;
                    self.put_aside(id, "the upstream server lists it, and does not give it out")
                        .await?;
                }
                Fetched::Unasked(id) => {
                    tracing::warn!(%id, "the upstream server sent what nobody asked for");
                }
            }
        }
        self.store(&mut waiting).await?;
        self.run.progress(tally.done, tally.total);
        Ok(())
    }

    /// Fetches revisions, and again those that were dropped before something came that needs them.
    pub(super) async fn fetch_sifted(
        &self,
        listed: &[RevisionId],
        sieve: &mut Sieve,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        self.fetch(listed, sieve, tally).await?;
        for _ in 0..CLOSURE_ROUNDS {
            let needed = sieve.needed_after_all();
            if needed.is_empty() {
                break;
            }
            self.fetch(&needed, sieve, tally).await?;
        }
        let left = sieve.needed_after_all();
        if !left.is_empty() {
            let mut tx = self.upstream.store.begin().await?;
            tx.want(&left).await?;
            tx.commit().await?;
            self.tell_left(left.len(), "what is kept requires");
        }
        Ok(())
    }

    /// Says that revisions were not asked for any more in this run.
    fn tell_left(&self, left: usize, whose: &str) {
        if left > 0 {
            self.run.line(format!(
                "Warning: {left} revisions that {whose} are not fetched yet after {CLOSURE_ROUNDS} rounds; the next \
                 synchronization goes on with them"
            ));
        }
    }

    /// Fetches what stored bundles refer to and no list named, until nothing is missing. Of `retried`,
    /// which is wanted because it was put aside once, it keeps what the choice still selects.
    pub(super) async fn fetch_wanted(
        &self,
        choice: &Choice,
        retried: &HashSet<RevisionId>,
        tally: &mut Tally,
    ) -> Result<(), Stopped> {
        for _ in 0..CLOSURE_ROUNDS {
            let mut tx = self.upstream.store.begin().await?;
            let wanted = tx.wanted(WANTED_AT_ONCE).await?;
            let keys: Vec<ItemKey> = wanted.iter().copied().map(ItemKey::Revision).collect();
            let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
            let (held, wanted): (Vec<_>, Vec<_>) = wanted
                .into_iter()
                .partition(|id| held.contains(&ItemKey::Revision(*id)));
            tx.no_longer_want(&held).await?;
            tx.commit().await?;
            if wanted.is_empty() {
                return Ok(());
            }
            let mut sieve = self.sieve(choice).and_members();
            sieve.want(wanted.iter().copied().filter(|id| !retried.contains(id)));
            self.fetch_sifted(&wanted, &mut sieve, tally).await?;
            let mut tx = self.upstream.store.begin().await?;
            tx.fetched(sieve.dropped()).await?;
            tx.commit().await?;
        }
        let mut tx = self.upstream.store.begin().await?;
        let left = tx.wanted(WANTED_AT_ONCE).await?;
        self.tell_left(left.len(), "bundles refer to");
        Ok(())
    }

    /// Parses documents, and puts those aside that cannot be used.
    pub(super) async fn take(
        &self,
        data: UpdateData,
        sieve: &mut Sieve,
        waiting: &mut Waiting,
    ) -> Result<(), Stopped> {
        let mut urls: HashMap<[u8; 20], String> = HashMap::new();
        for file in data.file_urls {
            if let (Ok(digest), Some(url)) = (file.digest.try_into(), file.mu_url) {
                urls.insert(digest, url);
            }
        }
        for bad in data.unreadable {
            self.put_aside(bad.id, &bad.reason).await?;
        }
        for update in data.updates {
            match Prepared::new(update.id, &update.document, &urls) {
                Ok(item) => {
                    let kept = sieve.sift(item);
                    waiting.bytes += kept.iter().map(|item| item.bytes).sum::<usize>();
                    waiting.items.extend(kept);
                }
                Err(reason) => self.put_aside(update.id, &reason).await?,
            }
        }
        Ok(())
    }

    /// Stores what waits, in one unit of work.
    pub(super) async fn store(&self, waiting: &mut Waiting) -> Result<(), Stopped> {
        let waiting = std::mem::take(waiting);
        if waiting.items.is_empty() {
            return Ok(());
        }
        // What a loss of power undoes is fetched again: the anchors come later.
        let mut tx = self.upstream.store.begin_repeatable().await?;
        let counts = self.count(&mut tx, &waiting).await?;
        let received = (waiting.items.len() as u64, waiting.bytes as u64);
        let mut bundled = Vec::new();
        let mut stored = Vec::with_capacity(waiting.items.len());
        let mut items = Vec::with_capacity(waiting.items.len());
        for item in waiting.items {
            bundled.extend_from_slice(&item.header.bundled);
            stored.push(item.id);
            items.push(NewItem {
                key: ItemKey::Revision(item.id),
                header: item.header.to_bytes(),
                document: item.stored,
            });
        }
        tx.append(items, self.upstream.ambient.now()).await?;
        let keys: Vec<ItemKey> = bundled.iter().copied().map(ItemKey::Revision).collect();
        let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
        bundled.retain(|id| !held.contains(&ItemKey::Revision(*id)));
        bundled.sort_unstable();
        bundled.dedup();
        tx.want(&bundled).await?;
        tx.fetched(&stored).await?;
        tx.commit().await?;
        self.run.count(|total| {
            total.added += counts.added;
            total.revised += counts.revised;
            total.expired += counts.expired;
            total.received += received.0;
            total.bytes += received.1;
        });
        Ok(())
    }

    /// What the items will do to the catalog.
    async fn count(&self, tx: &mut Tx<'_>, waiting: &Waiting) -> Result<Counts, Stopped> {
        let updates: Vec<UpdateId> = waiting.items.iter().map(|item| item.id.update_id).collect();
        let known = tx.known_updates(&updates).await?;
        let mut counts = Counts::default();
        for item in &waiting.items {
            if item.header.publication_state == PublicationState::Expired {
                counts.expired += 1;
            } else if known.contains(&item.id.update_id) {
                counts.revised += 1;
            } else {
                counts.added += 1;
            }
        }
        Ok(counts)
    }

    /// Puts a revision aside; the run goes on.
    async fn put_aside(&self, id: RevisionId, reason: &str) -> Result<(), Stopped> {
        self.aside().insert(id);
        let mut tx = self.upstream.store.begin().await?;
        let new = tx
            .quarantine(id, reason, self.upstream.ambient.now())
            .await?;
        tx.no_longer_want(&[id]).await?;
        tx.commit().await?;
        self.run.count(|counts| counts.quarantined += 1);
        if new {
            self.run
                .line(phrases::update_failed(id.update_id, reason, ORIGIN));
            self.run
                .journal()
                .record(
                    StatusId::UpdateQuarantined,
                    Some(self.run.id()),
                    vec![id.to_string(), reason.to_owned()],
                )
                .await;
        }
        Ok(())
    }
}
