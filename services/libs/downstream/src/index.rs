//! The verified catalog as downstream servers see it: which revisions there are, in an order in which they can
//! be imported, what each belongs to and needs, and since when it can be listed.
//!
//! An [`Index`] is never changed: another takes its place as a whole. Documents are not in it.

mod deployments;
mod draft;
mod list;
mod membership;

pub use deployments::{Delta, Since};
pub use draft::{Change, Draft, Entry, NamedFile};

use catalog::document::ProtocolVersion;
use catalog::{RevisionId, UpdateId};
use draft::Decision;
use membership::{Membership, Memberships};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use store::downstream::PositionNote;
use wsus::selection::with_bundled;

/// The oldest protocol version.
const OLDEST: ProtocolVersion = ProtocolVersion { major: 0, minor: 0 };

/// The verified catalog at a position.
#[derive(Debug)]
pub struct Index {
    /// What it is of, and since when it is served.
    pub note: PositionNote,
    /// What is needed stands before what needs it.
    listed: Vec<Listed>,
    by_id: HashMap<RevisionId, u32>,
    /// The newest revision of each update.
    newest: HashMap<UpdateId, u32>,
    /// Revisions that are approved though there are newer ones.
    approved: HashSet<u32>,
    memberships: Vec<Membership>,
    decisions: BTreeMap<UpdateId, Decision>,
    /// Length of every file and licence text, by its SHA-1.
    files: HashMap<[u8; 20], u64>,
}

/// A revision in an index.
#[derive(Debug)]
struct Listed {
    entry: Arc<Entry>,
    membership: u32,
    /// Position since which it can be listed as it is: its own, or that of what it needs.
    since: u64,
    /// The protocol version that it and all it bundles ask for.
    protocol: ProtocolVersion,
    /// Whether all that it needs is here.
    deliverable: bool,
}

impl Index {
    /// The index of a draft, served since the time of `note`.
    pub fn new(draft: &Draft, note: PositionNote) -> Self {
        let entries = in_order(draft);
        let mut memberships = Memberships::new(&entries);
        let mut by_id = HashMap::with_capacity(entries.len());
        let mut newest: HashMap<UpdateId, u32> = HashMap::with_capacity(entries.len());
        let mut listed: Vec<Listed> = Vec::with_capacity(entries.len());
        let mut files: HashMap<[u8; 20], u64> = HashMap::new();
        for (place, entry) in (0_u32..).zip(entries) {
            let named = entry.files.iter().chain(&*entry.licences);
            files.extend(named.map(|file| (file.sha1, file.bytes)));
            by_id.insert(entry.id, place);
            let best = newest.entry(entry.id.update_id).or_insert(place);
            let best_revision = listed
                .get(*best as usize)
                .map(|held| held.entry.id.revision);
            if best_revision.is_some_and(|revision| revision < entry.id.revision) {
                *best = place;
            }
            listed.push(Listed {
                membership: memberships.of(&entry),
                since: entry.position,
                protocol: entry.protocol.unwrap_or(OLDEST),
                deliverable: true,
                entry,
            });
        }
        let mut index = Self {
            note,
            listed,
            by_id,
            newest,
            approved: HashSet::new(),
            memberships: memberships.into_all(),
            decisions: draft.decisions().clone(),
            files,
        };
        index.find_deliverable();
        index.find_since(draft);
        index.find_approved();
        index
    }

    /// How many revisions there are.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// How many revisions are listed to nobody, because something that they need is not here.
    pub fn withheld(&self) -> usize {
        self.listed.iter().filter(|held| !held.deliverable).count()
    }

    /// A revision.
    pub fn entry(&self, id: RevisionId) -> Option<&Entry> {
        let place = *self.by_id.get(&id)?;
        self.listed.get(place as usize).map(|held| &*held.entry)
    }

    /// A file that some revision has.
    pub fn file(&self, sha1: &[u8; 20]) -> Option<NamedFile> {
        let bytes = *self.files.get(sha1)?;
        Some(NamedFile { sha1: *sha1, bytes })
    }

    /// The places of what a revision needs: what it bundles, and the newest revisions of its prerequisites. None
    /// stands for what is not here.
    fn needs<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = Option<u32>> + 'a {
        let bundled = entry.bundled.iter().map(|id| self.by_id.get(id).copied());
        let prerequisites = entry.prerequisites.iter();
        bundled.chain(prerequisites.map(|id| self.newest.get(id).copied()))
    }

    /// What needs something that is not here, or that needs something so, cannot be delivered.
    fn find_deliverable(&mut self) {
        // What is needed stands before what needs it, so one pass is enough but for cycles.
        loop {
            let mut changed = false;
            for place in 0..self.listed.len() {
                let held = &self.listed[place];
                let lacks = |needed: Option<u32>| {
                    needed.is_none_or(|needed| !self.listed[needed as usize].deliverable)
                };
                if held.deliverable && self.needs(&held.entry).any(lacks) {
                    self.listed[place].deliverable = false;
                    changed = true;
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Since when each can be listed, and by whom: what came before something that it needs was not listed then,
    /// and what a server of an older protocol cannot have, it cannot have as a part of something else.
    fn find_since(&mut self, draft: &Draft) {
        // Of what others need: since when any revision of it is here with all that it needs in turn.
        let mut complete: Vec<u64> = Vec::with_capacity(self.listed.len());
        for place in 0..self.listed.len() {
            let entry = &*self.listed[place].entry;
            let mut needs_since = 0;
            let mut protocol = self.listed[place].protocol;
            for needed in self.needs(entry).flatten() {
                // What stands behind this one is in a cycle with it.
                let since = complete.get(needed as usize).copied();
                needs_since = needs_since.max(since.unwrap_or(0));
            }
            for bundled in &entry.bundled {
                if let Some(&member) = self.by_id.get(bundled) {
                    let member = &self.listed[member as usize];
                    needs_since = needs_since.max(member.entry.position);
                    protocol = protocol.max(member.protocol);
                }
            }
            complete.push(needs_since.max(draft.held_since(entry.id.update_id)));
            let held = &mut self.listed[place];
            held.since = held.entry.position.max(needs_since);
            held.protocol = protocol;
        }
    }

    /// A decision may be about another revision than the newest: where that needs a decision of its own. Who comes
    /// then is told of the one that is approved, and so has to be listed that too.
    fn find_approved(&mut self) {
        for (&update, decision) in &self.decisions {
            let deployed = decision.deployed(update).map(|(revision, _)| revision);
            let place = deployed.and_then(|revision| self.by_id.get(&revision).copied());
            let Some(place) = place.filter(|place| self.newest.get(&update) != Some(place)) else {
                continue;
            };
            self.approved.insert(place);
            // It may not have been listed before, to who came when there was a newer one.
            let held = &mut self.listed[place as usize];
            held.since = held.since.max(decision.position);
        }
    }
}

/// The revisions of a draft in topological order: configuration first, then by position, each after what it needs.
fn in_order(draft: &Draft) -> Vec<Arc<Entry>> {
    let mut entries: Vec<Arc<Entry>> = draft.entries().cloned().collect();
    entries.sort_by_key(|entry| (!entry.is_config, entry.position, entry.id));
    let mut by_id: HashMap<RevisionId, usize> = HashMap::with_capacity(entries.len());
    let mut newest: HashMap<UpdateId, usize> = HashMap::with_capacity(entries.len());
    for (place, entry) in entries.iter().enumerate() {
        by_id.insert(entry.id, place);
        let best = newest.entry(entry.id.update_id).or_insert(place);
        if entries[*best].id.revision < entry.id.revision {
            *best = place;
        }
    }
    let needs = |place: &usize| -> Vec<usize> {
        let entry = &entries[*place];
        let prerequisites = entry.prerequisites.iter();
        let prerequisites = prerequisites.filter_map(|id| newest.get(id).copied());
        let bundled = entry.bundled.iter().filter_map(|id| by_id.get(id).copied());
        prerequisites.chain(bundled).collect()
    };
    let order = with_bundled(0..entries.len(), needs);
    order
        .into_iter()
        .map(|at| Arc::clone(&entries[at]))
        .collect()
}

#[cfg(test)]
mod tests;
