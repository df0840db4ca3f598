//! What revisions belong to. Most share theirs with many others, so each is held once.

use super::Entry;
use catalog::UpdateId;
use catalog::category::{Category, CategoryTree};
use catalog::document::CategoryType;
use std::collections::HashMap;
use std::sync::Arc;

/// What a revision belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Membership {
    /// Products, families and companies: those that its document names, and all above them.
    pub categories: Box<[UpdateId]>,
    /// Classifications.
    pub classifications: Box<[UpdateId]>,
}

/// The memberships of a catalog, while they are found.
pub(super) struct Memberships {
    tree: CategoryTree,
    all: Vec<Membership>,
    /// By the categories that a document names, in its order.
    known: HashMap<Box<[UpdateId]>, u32>,
}

impl Memberships {
    pub fn new(entries: &[Arc<Entry>]) -> Self {
        let categories = entries.iter().filter_map(|entry| {
            Some(Category {
                id: entry.id,
                kind: entry.category?,
                title: String::new(),
                flags: Default::default(),
                parents: entry.categories.to_vec(),
            })
        });
        Self {
            tree: CategoryTree::new(categories),
            all: Vec::new(),
            known: HashMap::new(),
        }
    }

    /// The number of the membership of a revision.
    pub fn of(&mut self, entry: &Entry) -> u32 {
        if let Some(&number) = self.known.get(&entry.categories) {
            return number;
        }
        let is_classification = |id: UpdateId| {
            let known = self.tree.get(id);
            known.is_some_and(|category| category.kind == CategoryType::UpdateClassification)
        };
        let (classifications, named): (Vec<UpdateId>, Vec<UpdateId>) = entry
            .categories
            .iter()
            .copied()
            .partition(|id| is_classification(*id));
        let mut categories = named.clone();
        for id in named {
            categories.extend(self.tree.ancestors(id));
        }
        categories.sort_unstable();
        categories.dedup();
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Membership {
            categories: categories.into(),
            classifications: classifications.into(),
        });
        self.known.insert(entry.categories.clone(), number);
        number
    }

    pub fn into_all(self) -> Vec<Membership> {
        self.all
    }
}
