//! The categories that are held, found by reading the log once and then only what is new in it.

use super::{Choice, ORIGIN, WsusUpstream};
use catalog::RevisionId;
use catalog::UpdateId;
use catalog::category::{Category, CategoryTree};
use catalog::header::RevisionHeader;
use settings::document::Products;
use std::collections::{BTreeSet, HashMap};
use sync::Failure;
use uuid::Uuid;

/// Headers that are read at a time.
const PAGE: u32 = 1000;

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The history that `through` belongs to: the epoch, and how often changes were thrown away in it.
    history: (Uuid, u64),
    through: u64,
    categories: HashMap<RevisionId, Category>,
}

impl WsusUpstream {
    /// What `products` choose of the categories that are held, verified or not, and which of them are
    /// unknown. Reads nothing where everything is chosen.
    pub(super) async fn choice(
        &self,
        products: &Products,
    ) -> Result<(Choice, BTreeSet<UpdateId>), Failure> {
        let tree = match products.everything {
            true => CategoryTree::default(),
            false => self.categories().await?,
        };
        Ok(Choice::new(products, &tree))
    }

    /// Reads the categories from the beginning the next time: some may be gone.
    pub(crate) async fn forget_categories(&self) {
        *self.known.lock().await = Known::default();
    }

    /// The categories that are held, verified or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn categories(&self) -> Result<CategoryTree, Failure> {
        let mut known = self.known.lock().await;
        let positions = self.store.positions();
        let history = (positions.epoch, positions.generation);
        if known.history != history {
            *known = Known {
                history,
                ..Known::default()
            };
        }
        loop {
            let mut read = self.store.read().await?;
            let rows = read.applied_revisions_after(known.through, PAGE).await?;
            drop(read);
            let Some(last) = rows.last() else { break };
            let through = last.position;
            for row in rows {
                let header = RevisionHeader::from_bytes(&row.header)
                    .map_err(|error| Failure::message(ORIGIN, error.to_string()))?;
                if let Some(category) = Category::from_header(row.id, header) {
                    known.categories.insert(row.id, category);
                }
            }
            known.through = through;
        }
        Ok(CategoryTree::new(known.categories.values().cloned()))
    }
}
