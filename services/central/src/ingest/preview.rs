//! What a changed choice of products and classifications would do, before it is made.

use super::fetch::LOOKUP;
use super::{Choice, ORIGIN, WsusUpstream, failed};
use catalog::UpdateId;
use catalog::header::RevisionHeader;
use settings::document::Products;
use sync::Failure;

/// Headers that are read at a time.
const PAGE: u32 = 1000;

/// What a changed choice of products and classifications would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// Updates, members of bundles among them, that the source lists for the new choice and of which no
    /// revision is held.
    pub adds: u64,
    /// Updates that are shown, that the choice as it is now selects in their newest revision, and that
    /// the new one does not: they stay, and get no new revisions. Members of bundles are not counted.
    pub no_longer_kept_up: u64,
    /// Chosen products and classifications that are not in the catalog: nothing is asked for in their
    /// name until they are.
    pub categories_unknown: Vec<UpdateId>,
}

impl WsusUpstream {
    /// What the choice of `products` would do in place of the one that is made now. Asks the source for a
    /// list; changes nothing.
    ///
    /// # Errors
    /// When this site has no source, or the source or the database fails.
    pub async fn preview(&self, products: &Products) -> Result<Preview, Failure> {
        let client = self.client().await?;
        let held = self.settings.borrow().products.clone();
        let (old, _) = self.choice(&held).await?;
        let (new, unknown) = self.choice(products).await?;
        let adds = match new.filter(None) {
            None => 0,
            Some(filter) => {
                let list = client.revision_list(&filter).await;
                let list = list.map_err(|error| failed(&error))?.revisions;
                self.not_held(list.into_iter().map(|id| id.update_id).collect())
                    .await?
            }
        };
        Ok(Preview {
            adds,
            no_longer_kept_up: self.left_behind(&old, &new).await?,
            categories_unknown: unknown.into_iter().collect(),
        })
    }

    /// How many of these updates have no revision here.
    async fn not_held(&self, mut updates: Vec<UpdateId>) -> Result<u64, Failure> {
        updates.sort_unstable();
        updates.dedup();
        let mut missing = 0;
        for chunk in updates.chunks(LOOKUP) {
            let mut tx = self.store.begin().await?;
            let known = tx.known_updates(chunk).await?;
            drop(tx);
            missing += (chunk.len() - known.len()) as u64;
        }
        Ok(missing)
    }

    /// How many of the updates that are shown `old` selects and `new` does not.
    async fn left_behind(&self, old: &Choice, new: &Choice) -> Result<u64, Failure> {
        if old.is_nothing() || *new == Choice::Everything {
            return Ok(0);
        }
        // Identifier, revision, and whether it is left behind: all that is kept of a revision.
        let mut shown: Vec<(UpdateId, u32, bool)> = Vec::new();
        let mut after = 0;
        loop {
            let mut read = self.store.read().await?;
            let rows = read.revisions_after(after, PAGE).await?;
            drop(read);
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                let header = RevisionHeader::from_bytes(&row.header)
                    .map_err(|error| Failure::message(ORIGIN, error.to_string()))?;
                if header.is_configuration() || header.categories.is_empty() {
                    continue;
                }
                let is_left = old.selects(&header) && !new.selects(&header);
                shown.push((row.id.update_id, row.id.revision, is_left));
            }
        }
        shown.sort_unstable();
        let newest = shown.chunk_by(|a, b| a.0 == b.0);
        let newest = newest.filter_map(|revisions| revisions.last());
        Ok(newest.filter(|(_, _, is_left)| *is_left).count() as u64)
    }
}
