//! Which updates a choice of categories and classifications selects, and what they need.

use crate::category::CategoryTree;
use crate::relations::{Relations, RelationsIndex};
use crate::{RevisionId, UpdateId};
use std::collections::BTreeSet;

/// The categories and classifications that a site synchronizes.
///
/// An update is selected when it belongs to at least one of the categories and to at least one of
/// the classifications (WSUS-PROTOCOL section 3.3), so either list being empty selects nothing.
/// A company or family selects everything below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Companies, families and products.
    pub categories: BTreeSet<UpdateId>,
    /// Classifications.
    pub classifications: BTreeSet<UpdateId>,
}

impl Selection {
    /// The selection with everything below its categories written out, which is what
    /// [`Selection::matches`] and upstream servers work with.
    pub fn expanded(&self, tree: &CategoryTree) -> Self {
        let below = self.categories.iter().flat_map(|&id| tree.descendants(id));
        Self {
            categories: self.categories.iter().copied().chain(below).collect(),
            classifications: self.classifications.clone(),
        }
    }

    /// Whether an update that belongs to `categories` is selected. Expand the selection first.
    pub fn matches(&self, categories: &[UpdateId]) -> bool {
        let any = |chosen: &BTreeSet<UpdateId>| categories.iter().any(|id| chosen.contains(id));
        any(&self.categories) && any(&self.classifications)
    }

    /// Every revision that is selected and everything that those need.
    pub fn select(&self, tree: &CategoryTree, index: &RelationsIndex<'_>) -> Closure {
        let expanded = self.expanded(tree);
        let matched = index
            .entries()
            .iter()
            .filter(|entry| expanded.matches(&entry.categories));
        close(index, matched.map(|entry| entry.id))
    }
}

/// Revisions with everything that they need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// The revisions asked for that exist, their bundle members (however deep), and the newest revision of
    /// every update that any of these names as a prerequisite.
    pub revisions: BTreeSet<RevisionId>,
    /// Revisions that were asked for or are bundled, and do not exist.
    pub missing_revisions: BTreeSet<RevisionId>,
    /// Updates that are named as prerequisites and do not exist in any revision. Real catalogs have some.
    pub missing_prerequisites: BTreeSet<UpdateId>,
}

/// Collects `wanted` with everything that it needs: bundle members by revision, prerequisites by update.
pub fn close(index: &RelationsIndex<'_>, wanted: impl IntoIterator<Item = RevisionId>) -> Closure {
    let mut closure = Closure::default();
    let mut open: Vec<&Relations> = Vec::new();
    let entries = index.entries();
    for id in wanted {
        reach(&mut closure, &mut open, id, index);
    }
    while let Some(entry) = open.pop() {
        for &id in &entry.bundled {
            reach(&mut closure, &mut open, id, index);
        }
        for &id in &entry.prerequisites {
            match index.newest(id) {
                Some(place) => reach(&mut closure, &mut open, entries[place].id, index),
                None => {
                    closure.missing_prerequisites.insert(id);
                }
            }
        }
    }
    closure
}

fn reach<'a>(
    closure: &mut Closure,
    open: &mut Vec<&'a Relations>,
    id: RevisionId,
    index: &RelationsIndex<'a>,
) {
    match index.revision(id) {
        Some(place) => {
            if closure.revisions.insert(id) {
                open.push(&index.entries()[place]);
            }
        }
        None => {
            closure.missing_revisions.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::category::Category;
    use crate::document::{CategoryFlags, CategoryType};
    use proptest::prelude::*;

    const COMPANY: u128 = 1;
    const FAMILY: u128 = 2;
    const PRODUCT: u128 = 3;
    const OTHER_PRODUCT: u128 = 4;
    const SECURITY: u128 = 5;
    const DETECTOID: u128 = 6;

    fn id(number: u128) -> UpdateId {
        UpdateId::from_u128(number)
    }

    fn revision(number: u128) -> RevisionId {
        RevisionId::new(id(number), 200)
    }

    fn entry(number: u128, categories: &[u128], plain: &[u128], bundled: &[u128]) -> Relations {
        let categories: Vec<UpdateId> = categories.iter().copied().map(id).collect();
        Relations {
            id: revision(number),
            prerequisites: categories
                .iter()
                .copied()
                .chain(plain.iter().copied().map(id))
                .collect(),
            categories,
            bundled: bundled.iter().copied().map(revision).collect(),
        }
    }

    fn tree() -> CategoryTree {
        let category = |number, kind, parents: &[u128]| Category {
            id: revision(number),
            kind,
            title: number.to_string(),
            flags: CategoryFlags::default(),
            parents: parents.iter().copied().map(id).collect(),
        };
        CategoryTree::new([
            category(COMPANY, CategoryType::Company, &[]),
            category(FAMILY, CategoryType::ProductFamily, &[COMPANY]),
            category(PRODUCT, CategoryType::Product, &[FAMILY]),
            category(OTHER_PRODUCT, CategoryType::Product, &[FAMILY]),
            category(SECURITY, CategoryType::UpdateClassification, &[]),
        ])
    }

    fn entries() -> Vec<Relations> {
        vec![
            entry(COMPANY, &[], &[], &[]),
            entry(FAMILY, &[COMPANY], &[], &[]),
            entry(PRODUCT, &[FAMILY], &[], &[]),
            entry(OTHER_PRODUCT, &[FAMILY], &[], &[]),
            entry(SECURITY, &[], &[], &[]),
            entry(DETECTOID, &[], &[], &[]),
            // A bundle, a bundle inside it, and its leaf, which names no classification.
            entry(100, &[PRODUCT, SECURITY], &[DETECTOID], &[101]),
            entry(101, &[], &[PRODUCT], &[102]),
            entry(102, &[], &[99], &[]),
            entry(200, &[OTHER_PRODUCT, SECURITY], &[], &[]),
        ]
    }

    fn selected(categories: &[u128], classifications: &[u128]) -> Closure {
        let selection = Selection {
            categories: categories.iter().copied().map(id).collect(),
            classifications: classifications.iter().copied().map(id).collect(),
        };
        selection.select(&tree(), &RelationsIndex::new(&entries()))
    }

    #[test]
    fn a_product_selects_its_bundles_with_all_they_are_made_of_and_need() {
        let closure = selected(&[PRODUCT], &[SECURITY]);
        let expected = [100, 101, 102, PRODUCT, FAMILY, COMPANY, SECURITY, DETECTOID];
        assert_eq!(closure.revisions, expected.map(revision).into());
        assert_eq!(closure.missing_prerequisites, [id(99)].into());
        assert!(closure.missing_revisions.is_empty());
    }

    #[test]
    fn a_family_selects_all_its_products() {
        let closure = selected(&[FAMILY], &[SECURITY]);
        assert!(closure.revisions.contains(&revision(100)));
        assert!(closure.revisions.contains(&revision(200)));
    }

    #[test]
    fn one_list_alone_selects_nothing() {
        assert!(selected(&[PRODUCT], &[]).revisions.is_empty());
        assert!(selected(&[], &[SECURITY]).revisions.is_empty());
    }

    #[test]
    fn a_bundle_member_that_does_not_exist_is_named() {
        let entries = [entry(1, &[], &[], &[2])];
        let closure = close(&RelationsIndex::new(&entries), [revision(1)]);
        assert_eq!(closure.missing_revisions, [revision(2)].into());
    }

    #[test]
    fn a_prerequisite_means_the_newest_revision() {
        let mut old = entry(1, &[], &[], &[]);
        old.id.revision = 100;
        let entries = [entry(1, &[], &[], &[]), old, entry(2, &[], &[1], &[])];
        let closure = close(&RelationsIndex::new(&entries), [revision(2)]);
        assert_eq!(closure.revisions, [revision(1), revision(2)].into());
    }

    proptest! {
        #[test]
        fn a_closure_is_closed_and_closing_it_again_changes_nothing(
            edges in proptest::collection::vec((0u128..20, 0u128..24, any::<bool>()), 0..60),
            wanted in proptest::collection::vec(0u128..24, 0..6),
        ) {
            let of = |number: u128, bundles: bool| -> Vec<u128> {
                edges
                    .iter()
                    .filter(|(a, _, bundle)| *a == number && *bundle == bundles)
                    .map(|(_, b, _)| *b)
                    .collect()
            };
            let entries: Vec<Relations> = (0..20)
                .map(|number| entry(number, &[], &of(number, false), &of(number, true)))
                .collect();
            let index = RelationsIndex::new(&entries);
            let closure = close(&index, wanted.into_iter().map(revision));
            let again = close(&index, closure.revisions.iter().copied());
            prop_assert_eq!(&again.revisions, &closure.revisions);
            for &held in &closure.revisions {
                let entry = &entries[index.revision(held).unwrap()];
                for needed in &entry.bundled {
                    prop_assert!(
                        closure.revisions.contains(needed)
                            || closure.missing_revisions.contains(needed)
                    );
                }
                for needed in &entry.prerequisites {
                    prop_assert!(
                        closure.revisions.iter().any(|id| id.update_id == *needed)
                            || closure.missing_prerequisites.contains(needed)
                    );
                }
            }
        }
    }
}
