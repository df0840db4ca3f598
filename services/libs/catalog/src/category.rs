//! The tree of categories: company, product family, product; and the classifications beside it.

use crate::document::{CategoryFlags, CategoryType, Update, UpdateType};
use crate::header::RevisionHeader;
use crate::{RevisionId, UpdateId};
use std::collections::{BTreeMap, BTreeSet};

/// One category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// The category, and the revision that says what follows.
    pub id: RevisionId,
    /// What kind of category it is.
    pub kind: CategoryType,
    /// Its title, trimmed. Not unique: eight products of Microsoft share theirs with another family's.
    pub title: String,
    /// What it forbids and how it is shown.
    pub flags: CategoryFlags,
    /// What it stands directly below. Every known product has one parent; more are kept.
    pub parents: Vec<UpdateId>,
}

impl Category {
    /// The category of an update document with its title in `language`; `None` where the document
    /// describes something else.
    pub fn from_update(update: &Update, language: &str) -> Option<Self> {
        let kind = match update.update_type {
            UpdateType::Category(kind) => kind,
            UpdateType::Software | UpdateType::Driver | UpdateType::Detectoid => return None,
        };
        Some(Self {
            id: update.id,
            kind,
            title: update.title(language).to_owned(),
            flags: update.category.unwrap_or_default(),
            parents: update.category_clauses().flatten().copied().collect(),
        })
    }

    /// The category of a header, which does not tell its flags; `None` where it is of something else.
    pub fn from_header(id: RevisionId, header: RevisionHeader) -> Option<Self> {
        let kind = match header.update_type {
            UpdateType::Category(kind) => kind,
            UpdateType::Software | UpdateType::Driver | UpdateType::Detectoid => return None,
        };
        Some(Self {
            id,
            kind,
            title: header.title,
            flags: CategoryFlags::default(),
            parents: header.categories,
        })
    }
}

/// All categories of a catalog, by GUID. Of each category the newest revision counts.
///
/// The data comes from outside: a parent may be missing, and a category may stand below itself. Neither is
/// an error. A category whose parents are all missing is shown at the top, and walks end where they meet a
/// category again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CategoryTree {
    categories: BTreeMap<UpdateId, Category>,
    /// What stands directly below each category, in the order in which it is shown.
    children: BTreeMap<UpdateId, Vec<UpdateId>>,
    /// What stands below nothing that is known, classifications apart, in the order in which it is shown.
    top: Vec<UpdateId>,
}

impl CategoryTree {
    /// Builds the tree. The order of the categories does not matter.
    pub fn new(categories: impl IntoIterator<Item = Category>) -> Self {
        let mut newest: BTreeMap<UpdateId, Category> = BTreeMap::new();
        for category in categories {
            match newest.get(&category.id.update_id) {
                Some(held) if held.id.revision >= category.id.revision => {}
                _ => {
                    newest.insert(category.id.update_id, category);
                }
            }
        }
        let mut tree = Self {
            categories: newest,
            children: BTreeMap::new(),
            top: Vec::new(),
        };
        for (&id, category) in &tree.categories {
            let parents: BTreeSet<UpdateId> = category
                .parents
                .iter()
                .copied()
                .filter(|parent| *parent != id && tree.categories.contains_key(parent))
                .collect();
            if parents.is_empty() && category.kind != CategoryType::UpdateClassification {
                tree.top.push(id);
            }
            for parent in parents {
                tree.children.entry(parent).or_default().push(id);
            }
        }
        let order = |id: &UpdateId| {
            let category = &tree.categories[id];
            let place = category.flags.display_order.unwrap_or(i32::MAX);
            (place, category.title.to_lowercase(), *id)
        };
        tree.top.sort_by_cached_key(order);
        for children in tree.children.values_mut() {
            children.sort_by_cached_key(order);
        }
        tree
    }

    /// The tree of all categories among `updates`, with titles in `language`.
    pub fn from_updates<'a>(updates: impl IntoIterator<Item = &'a Update>, language: &str) -> Self {
        let categories = updates.into_iter();
        Self::new(categories.filter_map(|update| Category::from_update(update, language)))
    }

    /// A category by its GUID.
    pub fn get(&self, id: UpdateId) -> Option<&Category> {
        self.categories.get(&id)
    }

    /// How many categories there are, classifications among them.
    pub fn len(&self) -> usize {
        self.categories.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.categories.is_empty()
    }

    /// All categories, by GUID.
    pub fn iter(&self) -> impl Iterator<Item = &Category> {
        self.categories.values()
    }

    /// All categories of one kind, by GUID.
    pub fn of_kind(&self, kind: CategoryType) -> impl Iterator<Item = &Category> {
        self.iter().filter(move |category| category.kind == kind)
    }

    /// All classifications, by title.
    pub fn classifications(&self) -> Vec<&Category> {
        let mut found: Vec<&Category> = self.of_kind(CategoryType::UpdateClassification).collect();
        found.sort_by(|a, b| (&a.title, a.id).cmp(&(&b.title, b.id)));
        found
    }

    /// What stands at the top: companies, and whatever has no parent that is known. Classifications are
    /// not among it.
    pub fn top(&self) -> impl Iterator<Item = &Category> {
        self.top.iter().filter_map(|id| self.get(*id))
    }

    /// What stands directly below a category: by display order, then title, then GUID.
    pub fn children(&self, id: UpdateId) -> impl Iterator<Item = &Category> {
        let children = self.children.get(&id).into_iter().flatten();
        children.filter_map(|id| self.get(*id))
    }

    /// Everything below a category, however deep, without itself. Empty for an unknown one.
    pub fn descendants(&self, id: UpdateId) -> BTreeSet<UpdateId> {
        let below = |id: UpdateId| self.children.get(&id).into_iter().flatten().copied();
        reach(id, below)
    }

    /// Everything above a category that is known, without itself.
    pub fn ancestors(&self, id: UpdateId) -> BTreeSet<UpdateId> {
        let above = |id: UpdateId| {
            let parents = self.get(id).map_or(&[][..], |category| &category.parents);
            let known = parents.iter().filter(|id| self.categories.contains_key(id));
            known.copied()
        };
        reach(id, above)
    }

    /// The category with what it stands below, topmost first, for display. Follows the first parent that
    /// is known. Empty for an unknown category.
    pub fn path(&self, id: UpdateId) -> Vec<&Category> {
        let mut path: Vec<&Category> = Vec::new();
        let mut next = self.get(id);
        while let Some(category) = next {
            if path.iter().any(|met| met.id == category.id) {
                break;
            }
            path.push(category);
            next = category.parents.iter().find_map(|id| self.get(*id));
        }
        path.reverse();
        path
    }

    /// The classification that an update belongs to: the first that its category clauses name.
    pub fn classification_of(&self, update: &Update) -> Option<UpdateId> {
        self.classification_among(update.category_clauses().flatten().copied())
    }

    /// The products, families and companies that an update belongs to, in document order.
    pub fn products_of(&self, update: &Update) -> Vec<UpdateId> {
        self.products_among(update.category_clauses().flatten().copied())
    }

    /// The first classification among `ids`. Which of an update's clauses is the classification and
    /// which the product is told by this alone; their position is not fixed.
    pub fn classification_among(
        &self,
        ids: impl IntoIterator<Item = UpdateId>,
    ) -> Option<UpdateId> {
        let mut ids = ids.into_iter();
        ids.find(|id| {
            self.get(*id)
                .is_some_and(|category| category.kind == CategoryType::UpdateClassification)
        })
    }

    /// The products, families and companies among `ids`, each once, in their order.
    pub fn products_among(&self, ids: impl IntoIterator<Item = UpdateId>) -> Vec<UpdateId> {
        let mut met = BTreeSet::new();
        ids.into_iter()
            .filter(|id| {
                self.get(*id)
                    .is_some_and(|category| category.kind != CategoryType::UpdateClassification)
                    && met.insert(*id)
            })
            .collect()
    }
}

/// Everything that can be reached from `start`, without `start`.
fn reach<I: Iterator<Item = UpdateId>>(
    start: UpdateId,
    next: impl Fn(UpdateId) -> I,
) -> BTreeSet<UpdateId> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        for id in next(id) {
            if id != start && reached.insert(id) {
                open.push(id);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u128) -> UpdateId {
        UpdateId::from_u128(number)
    }

    fn category(number: u128, kind: CategoryType, title: &str, parents: &[u128]) -> Category {
        Category {
            id: RevisionId::new(id(number), 100),
            kind,
            title: title.to_owned(),
            flags: CategoryFlags::default(),
            parents: parents.iter().copied().map(id).collect(),
        }
    }

    fn example() -> CategoryTree {
        CategoryTree::new([
            category(5, CategoryType::Product, "Windows Server 2019", &[3]),
            category(4, CategoryType::Product, "Windows Server 2019", &[2]),
            category(3, CategoryType::ProductFamily, "Developer Tools", &[1]),
            category(2, CategoryType::ProductFamily, "Windows", &[1]),
            category(1, CategoryType::Company, "Microsoft", &[]),
            category(6, CategoryType::UpdateClassification, "Tools", &[]),
        ])
    }

    #[test]
    fn products_of_one_title_are_kept_apart_by_their_path() {
        let tree = example();
        let path = |number| -> Vec<&str> {
            let path = tree.path(id(number));
            path.iter()
                .map(|category| category.title.as_str())
                .collect()
        };
        assert_eq!(path(4), ["Microsoft", "Windows", "Windows Server 2019"]);
        assert_eq!(
            path(5),
            ["Microsoft", "Developer Tools", "Windows Server 2019"]
        );
        assert_eq!(tree.of_kind(CategoryType::Product).count(), 2);
    }

    #[test]
    fn walks_reach_everything_above_and_below() {
        let tree = example();
        assert_eq!(tree.descendants(id(1)), [2, 3, 4, 5].map(id).into());
        assert_eq!(tree.ancestors(id(4)), [1, 2].map(id).into());
        assert!(
            tree.children(id(1))
                .map(|c| c.title.as_str())
                .eq(["Developer Tools", "Windows"])
        );
        assert!(tree.top().map(|c| c.id.update_id).eq([id(1)]));
        assert_eq!(tree.classifications().len(), 1);
    }

    #[test]
    fn the_newest_revision_of_a_category_counts() {
        let mut newer = category(1, CategoryType::Company, "New", &[]);
        newer.id.revision = 101;
        let older = category(1, CategoryType::Company, "Old", &[]);
        for order in [[newer.clone(), older.clone()], [older, newer]] {
            assert_eq!(CategoryTree::new(order).get(id(1)).unwrap().title, "New");
        }
    }

    #[test]
    fn a_product_without_its_family_stands_at_the_top() {
        let tree = CategoryTree::new([category(4, CategoryType::Product, "Windows 11", &[2])]);
        assert!(tree.top().map(|c| c.id.update_id).eq([id(4)]));
        assert_eq!(tree.path(id(4)).len(), 1);
    }

    #[test]
    fn the_classification_is_told_from_the_products_by_looking_up() {
        let tree = example();
        let ids = [4, 6, 4, 99].map(id);
        assert_eq!(tree.classification_among(ids), Some(id(6)));
        assert_eq!(tree.products_among(ids), [id(4)]);
        assert_eq!(tree.classification_among([id(4)]), None);
    }

    proptest! {
        #[test]
        fn any_relation_of_parents_is_walked_to_an_end(
            edges in proptest::collection::vec((0u128..12, 0u128..15), 0..50),
        ) {
            let tree = CategoryTree::new((0..12).map(|number| {
                let parents: Vec<u128> =
                    edges.iter().filter(|(child, _)| *child == number).map(|(_, p)| *p).collect();
                category(number, CategoryType::Product, "x", &parents)
            }));
            for number in (0..12).map(id) {
                for below in tree.descendants(number) {
                    prop_assert!(tree.ancestors(below).contains(&number));
                }
                prop_assert!(tree.path(number).len() <= 12);
                prop_assert!(!tree.descendants(number).contains(&number));
            }
        }
    }
}
