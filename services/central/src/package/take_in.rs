//! Taking in what was found good: what is to be done is planned first, then it is one unit of work with the
//! statement that covers it. Where anything goes wrong, or the process ends, nothing happened.

use super::Error;
use super::format::Change;
use super::staged::Staged;
use crate::decisions::{ItemChange, put};
use crate::ingest::WsusUpstream;
use crate::removal;
use crate::seal::Sealed;
use crate::verify::ROWS_LOST;
use catalog::document::PublicationState;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{Problem, RevisionId, UpdateId};
use journal::phrases;
use std::collections::{HashMap, HashSet};
use store::packages::PackageSource;
use store::{NewItem, Tx};
use sync::upstream::with_causes;
use sync::{Phase, RunHandle};

/// How updates came that a package of wsusutil brought, as it is remembered.
const OF_WSUSUTIL: &str = "wsusutil";
/// The same of packages of the hierarchy whose packages are taken.
const OF_HIERARCHY: &str = "hierarchy";
/// Headers that are read at a time.
const PAGE: u32 = match cfg!(feature = "simulation") {
    true => 25,
    false => 1000,
};
/// Removals in one statement.
const AT_ONCE: usize = 500;

/// A package that is to be taken in.
pub(crate) struct Taking {
    pub(crate) staged: Staged,
    /// Whose it is; none for wsusutil.
    pub(crate) source: Option<PackageSource>,
    /// Whether everything that its hierarchy has is in it.
    pub(crate) full: bool,
    /// What people call it.
    pub(crate) name: String,
}

/// What a package does, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Taken {
    pub(crate) added: u64,
    pub(crate) revised: u64,
    pub(crate) expired: u64,
    pub(crate) held: u64,
    pub(crate) refused: u64,
    pub(crate) removed: u64,
    pub(crate) approvals: u64,
    /// Bytes of what is new.
    pub(crate) bytes: u64,
    pub(crate) position: u64,
}

/// What is to be done.
pub(crate) struct Plan {
    pub(crate) taken: Taken,
    /// The revisions that it has in the end: not those that are removed further on in it.
    revisions: HashSet<RevisionId>,
    /// Updates of which it has a revision.
    present: HashSet<UpdateId>,
    /// Those of them of which nothing was here: what came another way is not the package's to remove.
    brought: HashSet<UpdateId>,
    removals: Vec<ItemKey>,
}

fn header_of(id: RevisionId, header: &[u8]) -> Result<RevisionHeader, Error> {
    RevisionHeader::from_bytes(header).map_err(|error| Error::Revision {
        id,
        why: Problem::new(error),
    })
}

impl Taking {
    /// What would be done now.
    pub(crate) async fn plan(&mut self, upstream: &WsusUpstream) -> Result<Plan, Error> {
        let mut taken = Taken::default();
        let mut present: HashSet<UpdateId> = HashSet::new();
        let mut brought: HashSet<UpdateId> = HashSet::new();
        let (revisions, removals) = self.in_the_end()?;
        let mut met: HashSet<RevisionId> = HashSet::new();
        let mut batches = self.staged.read()?;
        loop {
            let batch = batches.next()?;
            if batch.is_empty() {
                break;
            }
            let mut live: Vec<(RevisionId, RevisionHeader, usize)> = Vec::new();
            for change in &batch {
                let Some(id) = change.key.revision() else {
                    taken.approvals += 1;
                    continue;
                };
                if !change.removed && revisions.contains(&id) && met.insert(id) {
                    live.push((id, header_of(id, &change.header)?, change.document.len()));
                }
            }
            let keys: Vec<ItemKey> = live.iter().map(|(id, ..)| ItemKey::Revision(*id)).collect();
            let updates: Vec<UpdateId> = live.iter().map(|(id, ..)| id.update_id).collect();
            let (contents, known) = {
                let mut tx = upstream.store.begin().await?;
                (tx.contents(&keys).await?, tx.known_updates(&updates).await?)
            };
            for (id, header, bytes) in live {
                match contents.get(&ItemKey::Revision(id)) {
                    Some(held)
                        if header_of(id, held)?.document_digest == header.document_digest =>
                    {
                        taken.held += 1;
                    }
                    Some(_) => taken.refused += 1,
                    None => {
                        taken.bytes += bytes as u64;
                        let is_known =
                            known.contains(&id.update_id) || present.contains(&id.update_id);
                        match header.publication_state {
                            PublicationState::Expired => taken.expired += 1,
                            PublicationState::Published if is_known => taken.revised += 1,
                            PublicationState::Published => taken.added += 1,
                        }
                    }
                }
                if !known.contains(&id.update_id) {
                    brought.insert(id.update_id);
                }
                present.insert(id.update_id);
            }
        }
        drop(batches);
        let removals = self.removals(upstream, &revisions, removals).await?;
        taken.removed = removals.len() as u64;
        Ok(Plan {
            taken,
            revisions,
            present,
            brought,
            removals,
        })
    }

    /// The revisions that are live at its end, and those that it says are gone: what changed while it was written
    /// can be in it more than once, and the last counts.
    fn in_the_end(&mut self) -> Result<(HashSet<RevisionId>, HashSet<RevisionId>), Error> {
        let (mut live, mut gone) = (HashSet::new(), HashSet::new());
        let mut batches = self.staged.read()?;
        loop {
            let batch = batches.next()?;
            if batch.is_empty() {
                return Ok((live, gone));
            }
            for change in batch {
                let Some(id) = change.key.revision() else {
                    continue;
                };
                let (into, out_of) = match change.removed {
                    true => (&mut gone, &mut live),
                    false => (&mut live, &mut gone),
                };
                out_of.remove(&id);
                into.insert(id);
            }
        }
    }

    /// What is to be removed: of what packages of the hierarchy brought, what this one says is gone, or, where
    /// everything is in it, what is not.
    async fn removals(
        &self,
        upstream: &WsusUpstream,
        revisions: &HashSet<RevisionId>,
        mut gone: HashSet<RevisionId>,
    ) -> Result<Vec<ItemKey>, Error> {
        if self.source.is_none() {
            return Ok(Vec::new());
        }
        let mut candidates: Vec<RevisionId> = Vec::new();
        if self.full {
            let mut after = 0;
            loop {
                let rows = {
                    let mut read = upstream.store.read().await?;
                    read.applied_revisions_after(after, PAGE).await?
                };
                let Some(last) = rows.last() else { break };
                after = last.position;
                let ids = rows.iter().map(|row| row.id);
                candidates.extend(ids.filter(|id| !revisions.contains(id)));
            }
        } else {
            let keys: Vec<ItemKey> = gone.iter().copied().map(ItemKey::Revision).collect();
            let held = upstream.store.begin().await?.held(&keys).await?;
            candidates.extend(held.into_iter().filter_map(ItemKey::revision));
        }
        gone.clear();
        let updates: HashSet<UpdateId> = candidates.iter().map(|id| id.update_id).collect();
        let updates: Vec<UpdateId> = updates.into_iter().collect();
        let origins = upstream.store.read().await?.imported(&updates).await?;
        candidates.retain(|id| {
            let origin = origins.get(&id.update_id);
            origin.is_some_and(|origin| origin == OF_HIERARCHY)
        });
        candidates.sort_unstable();
        Ok(candidates.into_iter().map(ItemKey::Revision).collect())
    }

    /// Takes it in within a run; what was done.
    pub(crate) async fn take_in(
        mut self,
        upstream: &WsusUpstream,
        run: &RunHandle,
    ) -> Result<Taken, Error> {
        run.line(format!(
            "Taking in the package {}: {} changes",
            Problem::new(&self.name),
            self.staged.changes()
        ));
        run.enter(Phase::SyncingUpdates);
        let plan = self.plan(upstream).await?;
        let mut taken = plan.taken;
        run.count(|counts| {
            counts.added += taken.added;
            counts.revised += taken.revised;
            counts.expired += taken.expired;
            counts.removed += taken.removed;
            counts.received += taken.added + taken.revised + taken.expired;
            counts.bytes += taken.bytes;
        });
        if taken.refused > 0 {
            run.line(format!(
                "Warning: {} revisions of the package are held here with another document, which stays",
                taken.refused
            ));
        }
        let mut by_itself = upstream.settle().await?;
        let mut tx = upstream.store.begin().await?;
        let changed = self.put_all(&mut tx, &plan, upstream, run).await?;
        taken.approvals = changed;
        run.enter(Phase::Verifying);
        let sealed = upstream.seal(&mut tx).await?;
        tx.commit().await?;
        by_itself.join(sealed.by_itself);
        taken.position = sealed.statement.position;
        if taken.removed > 0 {
            upstream.forget_categories().await;
        }
        // It is taken in: what fails from here on is made up for by the next run.
        match expire(upstream, run).await {
            Ok(Some(sealed)) => {
                by_itself.join(sealed.by_itself);
                taken.position = sealed.statement.position;
            }
            Ok(None) => {}
            Err(error) => run.line(format!(
                "Warning: the package is taken in, and what it supersedes was not expired, which the next \
                 synchronization does: {}",
                with_causes(&error)
            )),
        }
        by_itself.tell(run.journal(), Some(run.id())).await;
        Ok(taken)
    }

    /// Puts all of it into a unit of work. How many approvals changed.
    async fn put_all(
        &mut self,
        tx: &mut Tx<'_>,
        plan: &Plan,
        upstream: &WsusUpstream,
        run: &RunHandle,
    ) -> Result<u64, Error> {
        let now = upstream.ambient.now();
        if tx.positions().epoch.is_nil() {
            tx.start_epoch(upstream.ambient.new_id()).await?;
        }
        if tx.state(ROWS_LOST).await?.is_some() {
            // Only a hierarchy can say what all of its catalog is: of a package of wsusutil nobody knows.
            if !self.full || self.source.is_none() {
                return Err(Error::RowsLost);
            }
            tx.remove_state(ROWS_LOST).await?;
        }
        let total = self.staged.changes();
        let (mut done, mut approvals) = (0, 0);
        let mut batches = self.staged.read()?;
        loop {
            let batch = batches.next()?;
            if batch.is_empty() {
                break;
            }
            done += batch.len() as u64;
            approvals += put_batch(tx, batch, &plan.revisions, now).await?;
            run.progress(done, total);
        }
        drop(batches);
        for chunk in plan.removals.chunks(AT_ONCE) {
            removal::remove(tx, chunk, now).await?;
        }
        let gone = plan.removals.iter().filter_map(|key| key.revision());
        let gone = gone.map(|id| id.update_id);
        let gone = gone.filter(|id| !plan.present.contains(id)).collect();
        tx.forget_imported(&gone).await?;
        if let Some(source) = &self.source {
            tx.note_imported(&plan.brought, OF_HIERARCHY).await?;
            tx.put_package_source(source).await?;
        } else {
            tx.note_imported(&plan.brought, OF_WSUSUTIL).await?;
            // What a source brought stays from now on, also where the source no longer lists it.
            tx.note_also_imported(&plan.present, OF_WSUSUTIL).await?;
        }
        Ok(approvals)
    }
}

/// Expires what is superseded now, which is a decision of its own by the rules of this hierarchy; what was signed
/// then.
async fn expire(upstream: &WsusUpstream, run: &RunHandle) -> Result<Option<Sealed>, Error> {
    let flagged = upstream.expire_superseded().await?;
    if flagged.is_nothing() {
        return Ok(None);
    }
    run.line(phrases::expired_by_supersedence(
        flagged.expired,
        flagged.restored,
    ));
    let mut tx = upstream.store.begin().await?;
    let sealed = upstream.seal(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(sealed))
}

/// Puts some changes into a unit of work: those of these revisions that are not held, approvals that differ.
/// Removals of revisions come later.
async fn put_batch(
    tx: &mut Tx<'_>,
    batch: Vec<Change>,
    revisions: &HashSet<RevisionId>,
    now: jiff::Timestamp,
) -> Result<u64, Error> {
    let mut decided = Vec::new();
    // Of an item that changed twice the last counts.
    let mut live: HashMap<ItemKey, NewItem> = HashMap::new();
    let mut order = Vec::new();
    for change in batch {
        match (change.key, change.removed) {
            (ItemKey::Revision(_), true) => drop(live.remove(&change.key)),
            // It is removed further on.
            (ItemKey::Revision(id), false) if !revisions.contains(&id) => {}
            (ItemKey::Revision(_), false) => {
                order.push(change.key);
                let item = NewItem {
                    key: change.key,
                    header: change.header,
                    document: change.document,
                };
                live.insert(change.key, item);
            }
            (key, true) => decided.push(ItemChange::Remove(key)),
            (key, false) => decided.push(ItemChange::Put {
                key,
                content: change.header,
            }),
        }
    }
    // Invariant: the bytes of a revision never change.
    for held in tx.held(&order).await? {
        live.remove(&held);
    }
    let mut items = Vec::with_capacity(live.len());
    let mut bundled = Vec::new();
    let mut stored = Vec::new();
    for key in order {
        let Some(item) = live.remove(&key) else {
            continue;
        };
        if let Some(id) = key.revision() {
            stored.push(id);
            bundled.extend(header_of(id, &item.header)?.bundled);
        }
        items.push(item);
    }
    tx.append(items, now).await?;
    let keys: Vec<ItemKey> = bundled.iter().copied().map(ItemKey::Revision).collect();
    let held: HashSet<ItemKey> = tx.held(&keys).await?.into_iter().collect();
    bundled.retain(|id| !held.contains(&ItemKey::Revision(*id)));
    bundled.sort_unstable();
    bundled.dedup();
    tx.want(&bundled).await?;
    tx.fetched(&stored).await?;
    Ok(put(tx, decided, now).await?)
}
