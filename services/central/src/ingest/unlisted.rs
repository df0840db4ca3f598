//! What the source no longer has.

use super::{Ingest, ORIGIN, REVISIONS_PER_COMMIT, Stopped};
use catalog::UpdateId;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use std::collections::HashSet;
use sync::Failure;

/// More than this share of the updates is not taken for withdrawn because a list leaves them out.
const MOST_REMOVED_PERCENT: usize = 10;
/// So many may always be.
const ALWAYS_REMOVABLE: usize = 50;

impl Ingest<'_> {
    /// Removes updates that the source no longer lists, nor bundles. A list that leaves out a large
    /// part of the catalog is not believed.
    pub(super) async fn remove_unlisted(&self, listed: HashSet<UpdateId>) -> Result<(), Stopped> {
        const PAGE: u32 = 1000;
        let store = &self.upstream.store;
        let mut bundled = HashSet::new();
        let mut unlisted = Vec::new();
        let mut all = 0_usize;
        let mut after = 0;
        loop {
            // Also what this run brought: its bundles are no less bundles.
            let mut read = store.read().await?;
            let rows = read.applied_revisions_after(after, PAGE).await?;
            drop(read);
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                all += 1;
                let header = RevisionHeader::from_bytes(&row.header)
                    .map_err(|error| Failure::message(ORIGIN, error.to_string()))?;
                let members = header.bundled.into_iter().map(|id| id.update_id);
                if listed.contains(&row.id.update_id) {
                    bundled.extend(members);
                } else {
                    unlisted.push((row.id, members.collect::<Vec<_>>()));
                }
            }
        }
        // What is bundled stays, and so does what that bundles.
        loop {
            let before = unlisted.len();
            unlisted.retain(|(id, members)| {
                let stays = bundled.contains(&id.update_id);
                if stays {
                    bundled.extend(members.iter().copied());
                }
                !stays
            });
            if unlisted.len() == before {
                break;
            }
        }
        if unlisted.is_empty() {
            return Ok(());
        }
        if unlisted.len() > ALWAYS_REMOVABLE && unlisted.len() * 100 > all * MOST_REMOVED_PERCENT {
            self.run.line(format!(
                "Warning: the upstream server no longer lists {} of {all} revisions; nothing is \
                 removed, because that is more than {MOST_REMOVED_PERCENT} % of the catalog",
                unlisted.len(),
            ));
            return Ok(());
        }
        let unlisted = unlisted.into_iter().map(|(id, _)| id);
        let keys: Vec<ItemKey> = unlisted.map(ItemKey::Revision).collect();
        let mut removed = 0;
        for chunk in keys.chunks(REVISIONS_PER_COMMIT) {
            let mut tx = store.begin().await?;
            removed += tx.remove(chunk, self.upstream.ambient.now()).await?;
            tx.commit().await?;
        }
        self.run.count(|counts| counts.removed += removed);
        self.run.line(format!(
            "Removed {removed} revisions that the upstream server no longer lists"
        ));
        Ok(())
    }
}
