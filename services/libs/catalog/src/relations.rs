//! What a revision has to do with other updates, apart from everything else it says: the input of
//! selection and ordering, small enough to be held for a whole catalog.

use crate::document::Update;
use crate::{RevisionId, UpdateId};
use std::collections::HashMap;

/// The relations of one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relations {
    /// The revision.
    pub id: RevisionId,
    /// The categories and classifications that it belongs to: all identifiers of its category clauses.
    pub categories: Vec<UpdateId>,
    /// Every update that its prerequisites name, `categories` among them.
    pub prerequisites: Vec<UpdateId>,
    /// Every revision that it bundles.
    pub bundled: Vec<RevisionId>,
}

impl From<&Update> for Relations {
    fn from(update: &Update) -> Self {
        Self {
            id: update.id,
            categories: update.category_clauses().flatten().copied().collect(),
            prerequisites: update.prerequisite_ids().collect(),
            bundled: update.bundled_revisions().collect(),
        }
    }
}

/// Finds relations by revision and by update.
#[derive(Debug)]
pub struct RelationsIndex<'a> {
    entries: &'a [Relations],
    /// Where each revision stands in `entries`; where one is repeated, the first.
    revisions: HashMap<RevisionId, usize>,
    /// Where the revisions of each update stand, oldest first.
    updates: HashMap<UpdateId, Vec<usize>>,
}

impl<'a> RelationsIndex<'a> {
    /// An index over `entries`.
    pub fn new(entries: &'a [Relations]) -> Self {
        let mut revisions = HashMap::with_capacity(entries.len());
        let mut updates: HashMap<UpdateId, Vec<usize>> = HashMap::with_capacity(entries.len());
        for (position, entry) in entries.iter().enumerate() {
            if revisions.contains_key(&entry.id) {
                continue;
            }
            revisions.insert(entry.id, position);
            updates
                .entry(entry.id.update_id)
                .or_default()
                .push(position);
        }
        for positions in updates.values_mut() {
            positions.sort_unstable_by_key(|&position| entries[position].id.revision);
        }
        Self {
            entries,
            revisions,
            updates,
        }
    }

    /// The entries that the index was made over.
    pub fn entries(&self) -> &'a [Relations] {
        self.entries
    }

    /// Where a revision stands.
    pub fn revision(&self, id: RevisionId) -> Option<usize> {
        self.revisions.get(&id).copied()
    }

    /// Where all revisions of an update stand, oldest first; empty where there are none.
    pub fn revisions_of(&self, id: UpdateId) -> &[usize] {
        self.updates.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Where the newest revision of an update stands.
    pub fn newest(&self, id: UpdateId) -> Option<usize> {
        self.revisions_of(id).last().copied()
    }
}
