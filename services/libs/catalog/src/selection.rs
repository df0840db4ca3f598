//! Which updates a choice of categories and classifications selects, and what they need.

use crate::category::CategoryTree;
use crate::document::CategoryType;
use crate::relations::{Relations, RelationsIndex};
use crate::{RevisionId, UpdateId};
use std::collections::BTreeSet;

/// The categories and classifications that a site synchronizes.
///
/// An update is selected when it belongs to at least one of the categories and to at least one of
/// the classifications (WSUS-PROTOCOL section 3.3), so either list being empty selects nothing.
/// A company or family selects everything below it, and whatever appears there later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Companies, families and products.
    pub categories: BTreeSet<UpdateId>,
    /// Classifications.
    pub classifications: BTreeSet<UpdateId>,
}

/// A selection against the categories that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolved {
    /// What of the selection is known, with everything below its categories written out: what
    /// [`Selection::matches`] and upstream servers work with.
    pub selection: Selection,
    /// What of it is not known, or stands in the wrong list.
    pub unknown: BTreeSet<UpdateId>,
}

impl Selection {
    /// The selection against the categories of `tree`. Resolve it again when the tree has grown.
    pub fn resolve(&self, tree: &CategoryTree) -> Resolved {
        let is_classification = |id: UpdateId| {
            let known = tree.get(id);
            known.map(|category| category.kind == CategoryType::UpdateClassification)
        };
        let mut resolved = Resolved::default();
        for &id in &self.categories {
            if is_classification(id) == Some(false) {
                let below = tree.descendants(id).into_iter();
                resolved.selection.categories.extend(below.chain([id]));
            } else {
                resolved.unknown.insert(id);
            }
        }
        for &id in &self.classifications {
            if is_classification(id) == Some(true) {
                resolved.selection.classifications.insert(id);
            } else {
                resolved.unknown.insert(id);
            }
        }
        resolved
    }

    /// Whether nothing can be selected.
    pub fn is_nothing(&self) -> bool {
        self.categories.is_empty() || self.classifications.is_empty()
    }

    /// Whether an update that belongs to `categories` is selected. Resolve the selection first.
    pub fn matches(&self, categories: &[UpdateId]) -> bool {
        let any = |chosen: &BTreeSet<UpdateId>| categories.iter().any(|id| chosen.contains(id));
        any(&self.categories) && any(&self.classifications)
    }

    /// Every revision that is selected and everything that those need.
    pub fn select(&self, tree: &CategoryTree, index: &RelationsIndex<'_>) -> Closure {
        let selection = self.resolve(tree).selection;
        let matched = index
            .entries()
            .iter()
            .filter(|entry| selection.matches(&entry.categories));
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
    use crate::document::CategoryFlags;
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

    /// A tree of companies, families and products in which each stands below one of those before it, or
    /// below none, and beside it two classifications.
    fn grown(parents: &[Option<usize>]) -> Vec<Category> {
        let products = parents.iter().enumerate().map(|(number, parent)| Category {
            id: revision(1000 + number as u128),
            kind: CategoryType::Product,
            title: number.to_string(),
            flags: CategoryFlags::default(),
            parents: parent
                .map(|parent| id(1000 + (parent % number.max(1)) as u128))
                .into_iter()
                .collect(),
        });
        let classifications = [1, 2].map(|number| Category {
            id: revision(number),
            kind: CategoryType::UpdateClassification,
            title: number.to_string(),
            flags: CategoryFlags::default(),
            parents: vec![],
        });
        products.chain(classifications).collect()
    }

    fn of(categories: &[u128], classifications: &[u128]) -> Selection {
        Selection {
            categories: categories.iter().copied().map(id).collect(),
            classifications: classifications.iter().copied().map(id).collect(),
        }
    }

    #[test]
    fn what_is_not_known_or_stands_in_the_wrong_list_is_named_and_selects_nothing() {
        let resolved = of(&[PRODUCT, SECURITY, 77], &[SECURITY, FAMILY]).resolve(&tree());
        assert_eq!(resolved.unknown, [SECURITY, 77, FAMILY].map(id).into());
        assert_eq!(resolved.selection, of(&[PRODUCT], &[SECURITY]));
        assert!(
            of(&[77], &[SECURITY])
                .resolve(&tree())
                .selection
                .is_nothing()
        );
    }

    #[test]
    fn a_product_that_appears_later_below_a_chosen_family_is_chosen() {
        let chosen = of(&[COMPANY], &[SECURITY]);
        let categories = |tree: &CategoryTree| -> Vec<Category> { tree.iter().cloned().collect() };
        let mut later = categories(&tree());
        later.push(Category {
            id: revision(8),
            kind: CategoryType::Product,
            title: "later".into(),
            flags: CategoryFlags::default(),
            parents: vec![id(FAMILY)],
        });
        let update = [id(8), id(SECURITY)];
        assert!(!chosen.resolve(&tree()).selection.matches(&update));
        assert!(
            chosen
                .resolve(&CategoryTree::new(later))
                .selection
                .matches(&update)
        );
    }

    #[test]
    fn an_update_of_several_products_belongs_to_each() {
        let update = [id(SECURITY), id(PRODUCT), id(OTHER_PRODUCT)];
        for product in [PRODUCT, OTHER_PRODUCT] {
            let resolved = of(&[product], &[SECURITY]).resolve(&tree());
            assert!(resolved.selection.matches(&update));
        }
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
        fn choosing_a_parent_is_choosing_all_below_it_and_itself(
            parents in proptest::collection::vec(proptest::option::of(0usize..20), 1..20),
            chosen in 0usize..20,
            update in proptest::collection::vec(0u128..22, 0..4),
        ) {
            let tree = CategoryTree::new(grown(&parents));
            let chosen = 1000 + (chosen % parents.len()) as u128;
            let parent = of(&[chosen], &[1]).resolve(&tree).selection;
            let mut each: BTreeSet<UpdateId> = tree.descendants(id(chosen));
            each.insert(id(chosen));
            let below = Selection { categories: each, ..of(&[], &[1]) };
            prop_assert_eq!(&parent, &below.resolve(&tree).selection);
            let one_by_one: BTreeSet<UpdateId> = below
                .categories
                .iter()
                .flat_map(|&one| {
                    let one = Selection { categories: [one].into(), ..of(&[], &[1]) };
                    one.resolve(&tree).selection.categories
                })
                .collect();
            prop_assert_eq!(&parent.categories, &one_by_one);
            let update: Vec<UpdateId> = update.into_iter().map(|n| id(1000 + n)).chain([id(1)]).collect();
            let any = below.categories.iter().any(|category| update.contains(category));
            prop_assert_eq!(parent.matches(&update), any);
        }

        #[test]
        fn choosing_children_never_chooses_what_stands_above_or_beside_them(
            parents in proptest::collection::vec(proptest::option::of(0usize..20), 2..20),
            chosen in 0usize..20,
        ) {
            let tree = CategoryTree::new(grown(&parents));
            let chosen = id(1000 + (chosen % parents.len()) as u128);
            let selection = Selection { categories: [chosen].into(), ..of(&[], &[1]) };
            let resolved = selection.resolve(&tree).selection;
            for above in tree.ancestors(chosen) {
                prop_assert!(!resolved.categories.contains(&above));
                prop_assert!(!resolved.matches(&[above, id(1)]));
            }
            for category in &resolved.categories {
                prop_assert!(*category == chosen || tree.ancestors(*category).contains(&chosen));
            }
        }

        #[test]
        fn what_appears_below_a_choice_later_joins_it_and_takes_nothing_away(
            parents in proptest::collection::vec(proptest::option::of(0usize..20), 2..20),
            chosen in 0usize..20,
        ) {
            let all = grown(&parents);
            let last = &all[parents.len() - 1];
            let before = CategoryTree::new(all.iter().filter(|c| c.id != last.id).cloned());
            let after = CategoryTree::new(all.iter().cloned());
            let chosen = id(1000 + (chosen % (parents.len() - 1)) as u128);
            let selection = Selection { categories: [chosen].into(), ..of(&[], &[1]) };
            let (old, new) = (selection.resolve(&before).selection, selection.resolve(&after).selection);
            prop_assert!(old.categories.is_subset(&new.categories));
            let joined = new.categories.contains(&last.id.update_id);
            prop_assert_eq!(joined, after.ancestors(last.id.update_id).contains(&chosen));
        }

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
