//! Which of the chosen products and classifications the source does not offer (any more). Elsewhere
//! synchronization goes on without a word when one is withdrawn: nothing new comes in its name.

use super::{Ingest, Stopped, VANISHED};
use catalog::UpdateId;
use catalog::category::CategoryTree;
use catalog::well_known::CLASSIFICATIONS;
use settings::document::Products;
use std::collections::{BTreeMap, BTreeSet};

/// What a list of categories said.
pub(super) struct Listed<'a> {
    /// The identifiers in it.
    pub(super) ids: BTreeSet<UpdateId>,
    /// Whether it held all that there is, and not only what changed.
    pub(super) complete: bool,
    /// What is chosen and not in the catalog.
    pub(super) unknown: &'a BTreeSet<UpdateId>,
}

/// The chosen categories that the source does not offer. A list of what changed says only what came back.
fn vanished(
    before: &BTreeSet<UpdateId>,
    products: &Products,
    listed: &Listed<'_>,
) -> BTreeSet<UpdateId> {
    if products.everything {
        return BTreeSet::new();
    }
    let chosen = products.products.iter().chain(&products.classifications);
    let is_gone = |id: &UpdateId| {
        let is_listed = listed.ids.contains(id);
        match listed.complete {
            true => !is_listed,
            false => !is_listed && (before.contains(id) || listed.unknown.contains(id)),
        }
    };
    chosen.copied().filter(is_gone).collect()
}

/// The title of a category, where anybody knows it.
fn title(id: UpdateId, tree: &CategoryTree) -> String {
    let well_known = || {
        let mut all = CLASSIFICATIONS.iter();
        all.find(|category| category.id == id)
            .map(|category| category.title.to_owned())
    };
    let held = tree.get(id).map(|category| category.title.clone());
    held.or_else(well_known)
        .unwrap_or_else(|| "a category".to_owned())
}

impl Ingest<'_> {
    /// The chosen categories that are not offered, with their titles, as they are kept.
    pub(super) async fn vanished(&self, listed: Listed<'_>) -> Result<Vec<u8>, Stopped> {
        let store = &self.upstream.store;
        let before = store.read().await?.state(VANISHED).await?;
        let before: BTreeMap<UpdateId, String> = before
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        let was = before.keys().copied().collect();
        let gone = vanished(&was, self.products, &listed);
        let tree = self.upstream.categories().await?;
        let titled: BTreeMap<UpdateId, String> = gone
            .into_iter()
            .map(|id| {
                // It may be gone from the catalog as well.
                let known = tree.get(id).is_none().then(|| before.get(&id).cloned());
                (id, known.flatten().unwrap_or_else(|| title(id, &tree)))
            })
            .collect();
        Ok(serde_json::to_vec(&titled).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u128]) -> BTreeSet<UpdateId> {
        numbers
            .iter()
            .map(|number| UpdateId::from_u128(*number))
            .collect()
    }

    #[track_caller]
    fn check(
        before: &[u128],
        listed: &[u128],
        complete: bool,
        unknown: &[u128],
        expected: &[u128],
    ) {
        let products = Products {
            everything: false,
            products: ids(&[1, 2]),
            classifications: ids(&[3]),
        };
        let unknown = ids(unknown);
        let listed = Listed {
            ids: ids(listed),
            complete,
            unknown: &unknown,
        };
        assert_eq!(vanished(&ids(before), &products, &listed), ids(expected));
        let everything = Products {
            everything: true,
            ..products
        };
        assert_eq!(vanished(&ids(before), &everything, &listed), ids(&[]));
    }

    #[test]
    fn a_complete_list_says_what_is_offered() {
        check(&[], &[1, 2, 3, 9], true, &[], &[]);
        check(&[], &[1, 3, 9], true, &[], &[2]);
        // What came back is no longer gone.
        check(&[2], &[1, 2, 3], true, &[], &[]);
    }

    #[test]
    fn a_list_of_changes_says_what_came_back() {
        check(&[2], &[], false, &[], &[2]);
        check(&[2], &[2], false, &[], &[]);
        // Chosen since, and never heard of.
        check(&[], &[], false, &[3], &[3]);
        // No longer chosen.
        check(&[8], &[], false, &[], &[]);
    }
}
