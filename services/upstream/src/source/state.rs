//! The revisions of a catalog: which there are, which a filter selects, and their documents.

use super::Published;
use super::content::{self, Addresses};
use crate::generator::{Generator, Recipe};
use catalog::category::CategoryTree;
use catalog::document::{self, CategoryType, Update};
use catalog::relations::Relations;
use catalog::{RevisionId, UpdateId, codec};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use uuid::Uuid;
use wsus::anchor::Anchor;
use wsus::message::RevisionList;
use wsus::selection::{Candidate, Selection, with_bundled};
use wsus::server::StoredUpdate;

/// All revisions of a catalog.
#[derive(Debug)]
pub(crate) struct State {
    /// In topological order. Nothing is ever taken out.
    revisions: Vec<Held>,
    by_id: HashMap<RevisionId, usize>,
    /// The newest revision of each update: only that one of a generated catalog is listed.
    newest: HashMap<UpdateId, usize>,
    /// What revisions belong to; most share theirs with many others.
    memberships: Vec<Membership>,
    membership_of: HashMap<Membership, usize>,
    tree: CategoryTree,
    addresses: Addresses,
    /// Where the documents of recipes come from, and changes.
    generator: Option<Generator>,
    /// Updates that are listed no more.
    withdrawn: HashSet<UpdateId>,
    /// When the catalog last changed, and how often.
    changed: Timestamp,
    changes: u64,
    /// The latest time, in milliseconds since 1970, for which an anchor was handed out.
    listed: AtomicI64,
}

/// A revision that goes into a catalog.
pub(crate) struct Revision {
    pub(crate) relations: Relations,
    /// Whether it is a category or detectoid.
    pub(crate) is_config: bool,
    /// When it appeared in the catalog.
    pub(crate) changed: Timestamp,
    pub(crate) body: Body,
}

/// Where the document of a revision is.
#[derive(Debug)]
pub(crate) enum Body {
    /// Written when asked for.
    Recipe(Recipe),
    /// Compressed with [`codec`].
    Stored(Box<[u8]>),
}

/// A revision that is held.
#[derive(Debug)]
struct Held {
    id: RevisionId,
    is_config: bool,
    changed: Timestamp,
    membership: usize,
    bundled: Box<[RevisionId]>,
    body: Body,
}

/// What a revision belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Membership {
    /// Products, and everything above them.
    categories: Vec<UpdateId>,
    classifications: Vec<UpdateId>,
}

/// A held document that cannot be read any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the stored document of {id} cannot be read")]
    Stored {
        id: RevisionId,
        source: codec::Error,
    },
    #[error("the document of {id} is not one")]
    Document {
        id: RevisionId,
        source: document::Error,
    },
}

impl State {
    /// An empty catalog whose updates belong to the categories of `tree`.
    pub(crate) fn new(
        tree: CategoryTree,
        addresses: Addresses,
        generator: Option<Generator>,
    ) -> Self {
        Self {
            revisions: Vec::new(),
            by_id: HashMap::new(),
            newest: HashMap::new(),
            withdrawn: HashSet::new(),
            memberships: Vec::new(),
            membership_of: HashMap::new(),
            tree,
            addresses,
            generator,
            changed: Timestamp::UNIX_EPOCH,
            changes: 0,
            listed: AtomicI64::new(i64::MIN),
        }
    }

    /// Tells where files are.
    pub(super) fn add_addresses(&mut self, addresses: impl Iterator<Item = ([u8; 20], String)>) {
        self.addresses.extend(addresses);
    }

    /// Adds a revision after everything that it needs. One that is held already is not added again.
    pub(crate) fn add(&mut self, revision: Revision) {
        let id = revision.relations.id;
        if self.by_id.contains_key(&id) {
            return;
        }
        let membership = self.membership(&revision.relations);
        let place = self.revisions.len();
        self.by_id.insert(id, place);
        let newest = self.newest.entry(id.update_id).or_insert(place);
        if self
            .revisions
            .get(*newest)
            .is_some_and(|held| held.id.revision < id.revision)
        {
            *newest = place;
        }
        self.changed = self.changed.max(revision.changed);
        self.revisions.push(Held {
            id,
            is_config: revision.is_config,
            changed: revision.changed,
            membership,
            bundled: revision.relations.bundled.into(),
            body: revision.body,
        });
    }

    /// The number of the membership of a revision.
    fn membership(&mut self, relations: &Relations) -> usize {
        let named = || relations.categories.iter().copied();
        let mut categories = self.tree.products_among(named());
        for product in categories.clone() {
            categories.extend(self.tree.ancestors(product));
        }
        categories.sort_unstable();
        categories.dedup();
        let membership = Membership {
            categories,
            classifications: named().filter(|id| self.is_classification(*id)).collect(),
        };
        if let Some(&number) = self.membership_of.get(&membership) {
            return number;
        }
        let number = self.memberships.len();
        self.memberships.push(membership.clone());
        self.membership_of.insert(membership, number);
        number
    }

    fn is_classification(&self, id: UpdateId) -> bool {
        let known = self.tree.get(id);
        known.is_some_and(|category| category.kind == CategoryType::UpdateClassification)
    }

    pub(crate) fn len(&self) -> usize {
        self.revisions.len()
    }

    /// A GUID that follows from which revisions there are.
    pub(crate) fn fingerprint(&self) -> Uuid {
        let mut hash = Sha256::new();
        for held in &self.revisions {
            hash.update(held.id.update_id.0.as_bytes());
            hash.update(held.id.revision.to_be_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// The revisions that `selection` asks for, with everything that they bundle, in topological order:
    /// of a generated catalog the newest ones, of a package or folder all, as servers were seen to do it
    /// (WSUS-PROTOCOL 3.3), so that whoever synchronizes has what the package has.
    pub(crate) fn list(&self, selection: &Selection, now: Timestamp) -> RevisionList {
        let all = self.generator.is_none();
        let is_listed = |(place, held): &(usize, &Held)| {
            let update = &held.id.update_id;
            (all || self.newest.get(update) == Some(place)) && !self.withdrawn.contains(update)
        };
        let applies = |(_, held): &(usize, &Held)| {
            let membership = &self.memberships[held.membership];
            selection.applies(&Candidate {
                is_config: held.is_config,
                changed: held.changed,
                categories: &membership.categories,
                classifications: &membership.classifications,
            })
        };
        let candidates = self.revisions.iter().enumerate();
        let selected = candidates.filter(is_listed).filter(applies);
        let bundled = |place: &usize| {
            let members = self.revisions[*place].bundled.iter();
            members.filter_map(|id| self.by_id.get(id).copied())
        };
        let complete = with_bundled(selected.map(|(place, _)| place), bundled);

        // The anchor covers every change that the list holds, whatever the clock says.
        let anchor = Anchor::new(self.changes, now.max(self.changed));
        let time = anchor.time.as_millisecond();
        self.listed.fetch_max(time, Ordering::SeqCst);
        RevisionList {
            anchor: anchor.to_string(),
            revisions: complete
                .into_iter()
                .map(|place| self.revisions[place].id)
                .collect(),
        }
    }

    /// One revision as the server wants it; `None` where it is not held.
    pub(crate) fn stored(&self, id: RevisionId) -> Result<Option<StoredUpdate>, Unreadable> {
        let Some(text) = self.document(id)? else {
            return Ok(None);
        };
        let update: Update =
            document::parse(&text).map_err(|source| Unreadable::Document { id, source })?;
        Ok(Some(StoredUpdate {
            file_digests: update.files.iter().map(|file| file.sha1).collect(),
            file_urls: content::file_urls(&update, &self.addresses),
            document: Arc::from(text),
        }))
    }

    fn document(&self, id: RevisionId) -> Result<Option<String>, Unreadable> {
        let Some(&place) = self.by_id.get(&id) else {
            return Ok(None);
        };
        match (&self.revisions[place].body, &self.generator) {
            (Body::Stored(stored), _) => codec::decompress(stored)
                .map(Some)
                .map_err(|source| Unreadable::Stored { id, source }),
            (Body::Recipe(recipe), Some(generator)) => Ok(Some(generator.document(recipe))),
            (Body::Recipe(_), None) => Ok(None),
        }
    }

    /// Takes one step of evolution; see [`super::ServedCatalog::publish_changes`].
    pub(crate) fn evolve(&mut self, percent: f64, now: Timestamp) -> Option<Published> {
        let mut generator = self.generator.take()?;
        let at = self.next_change(now);
        let changes = generator.evolve(percent, at);
        for recipe in changes.revisions {
            self.add(Revision {
                relations: generator.relations(&recipe),
                is_config: generator.is_configuration(&recipe),
                changed: at,
                body: Body::Recipe(recipe),
            });
        }
        self.changes += 1;
        self.generator = Some(generator);
        Some(Published {
            added: changes.added,
            revised: changes.revised,
            expired: changes.expired,
            at,
        })
    }

    /// Lists the oldest updates no more that nothing bundles, up to `most` of them. How many that were.
    pub(crate) fn withdraw(&mut self, most: usize) -> usize {
        let members = self.revisions.iter().flat_map(|held| &held.bundled);
        let bundled: HashSet<UpdateId> = members.map(|id| id.update_id).collect();
        let updates = self.revisions.iter().filter(|held| !held.is_config);
        let updates = updates.map(|held| held.id.update_id);
        let mut listed: Vec<UpdateId> = updates
            .filter(|update| !bundled.contains(update) && !self.withdrawn.contains(update))
            .collect();
        listed.dedup();
        let before = self.withdrawn.len();
        self.withdrawn.extend(listed.into_iter().take(most));
        self.withdrawn.len() - before
    }

    /// When a change that is made now takes place: after every anchor that was handed out and after
    /// every change before it.
    fn next_change(&self, now: Timestamp) -> Timestamp {
        let before = self
            .listed
            .load(Ordering::SeqCst)
            .max(self.changed.as_millisecond());
        let after = Timestamp::from_millisecond(before)
            .and_then(|time| time.checked_add(SignedDuration::from_millis(1)));
        match after {
            Ok(after) => now.max(after),
            Err(_) => now,
        }
    }
}
