//! Revisions that the clean-up removed, or would: they are not fetched again, whatever the source lists.

use super::fetch::LOOKUP;
use super::{Ingest, Stopped};
use crate::facts::records;
use catalog::approval::Record;
use catalog::item::{ItemKey, approval_keys};
use catalog::{RevisionId, UpdateId};
use std::collections::HashSet;

impl Ingest<'_> {
    /// Takes those out of a list that are older than what is held of the same update, where unused revisions
    /// are removed. What a bundle names comes all the same, as what is wanted; and so does a revision in
    /// which its update is approved.
    pub(super) async fn without_replaced(
        &self,
        mut listed: Vec<RevisionId>,
    ) -> Result<Vec<RevisionId>, Stopped> {
        let store = &self.upstream.store;
        let removes = self
            .upstream
            .settings
            .borrow()
            .cleanup
            .remove_unused_revisions;
        if !removes {
            return Ok(listed);
        }
        let mut replaced = HashSet::new();
        for chunk in listed.chunks(LOOKUP) {
            let updates: Vec<UpdateId> = chunk.iter().map(|id| id.update_id).collect();
            let mut tx = store.begin().await?;
            let held = tx.held_updates(&updates).await?;
            drop(tx);
            let is_older = |id: &&RevisionId| {
                let held = held.get(&id.update_id);
                held.is_some_and(|held| id.revision < held.newest.id.revision)
            };
            replaced.extend(chunk.iter().filter(is_older).copied());
        }
        if replaced.is_empty() {
            return Ok(listed);
        }
        for row in records(&mut store.read().await?, approval_keys()).await? {
            if let (ItemKey::Approval(id), Ok(record)) = (row.key, Record::from_bytes(&row.record))
            {
                replaced.remove(&RevisionId::new(id, record.revision));
            }
        }
        listed.retain(|id| !replaced.contains(id));
        Ok(listed)
    }
}
