//! The verified catalog while it is read: changes of the log are put in one after the other, and an index is
//! made when all of them are.

use catalog::approval::Record;
use catalog::document::{self, CategoryType, ProtocolVersion, Update, UpdateType};
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId, codec};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use store::downstream::ShownChange;

/// A file that a revision names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedFile {
    /// Its SHA-1.
    pub sha1: [u8; 20],
    /// Its length.
    pub bytes: u64,
}

/// A revision without its document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which revision.
    pub id: RevisionId,
    /// Position of its last change.
    pub position: u64,
    /// Whether it is a category, classification or detectoid.
    pub is_config: bool,
    /// What kind of category it is.
    pub category: Option<CategoryType>,
    /// The categories and classifications that its document names.
    pub categories: Box<[UpdateId]>,
    /// Every update that its prerequisites name, categories among them.
    pub prerequisites: Box<[UpdateId]>,
    /// Every revision that it bundles.
    pub bundled: Box<[RevisionId]>,
    /// Its files.
    pub files: Box<[NamedFile]>,
    /// Its licence texts.
    pub licences: Box<[NamedFile]>,
    /// Length of its document.
    pub document_bytes: usize,
    /// The protocol version that a downstream server needs for it.
    pub protocol: Option<ProtocolVersion>,
}

impl Entry {
    /// The entry of a document that was parsed, with its length.
    pub fn new(position: u64, update: &Update, document_bytes: usize) -> Self {
        let category = match update.update_type {
            UpdateType::Category(kind) => Some(kind),
            UpdateType::Software | UpdateType::Driver | UpdateType::Detectoid => None,
        };
        let (files, licences) = (update.files.iter(), update.eula_files.iter());
        Self {
            id: update.id,
            position,
            is_config: update.is_configuration(),
            category,
            categories: update.category_clauses().flatten().copied().collect(),
            prerequisites: update.prerequisite_ids().collect(),
            bundled: update.bundled_revisions().collect(),
            files: files
                .map(|file| NamedFile {
                    sha1: file.sha1,
                    bytes: file.size,
                })
                .collect(),
            licences: licences
                .map(|file| NamedFile {
                    sha1: file.sha1,
                    bytes: file.size,
                })
                .collect(),
            document_bytes,
            protocol: update.compatible_protocol_version,
        }
    }
}

/// What was decided about an update, or that what was is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Position of the decision.
    pub position: u64,
    /// What was decided; none where the record was removed.
    pub record: Option<Arc<Record>>,
}

/// A catalog that is being read.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    entries: HashMap<RevisionId, Arc<Entry>>,
    decisions: BTreeMap<UpdateId, Decision>,
    /// The first position at which a revision of each update was seen.
    held_since: HashMap<UpdateId, u64>,
}

/// A change that was read out of its stored form.
#[derive(Debug, Clone)]
pub enum Change {
    /// A revision came, or changed.
    Held(Arc<Entry>),
    /// A revision went.
    Gone(RevisionId),
    /// Something was decided about an update, or undone.
    Decided(UpdateId, Decision),
    /// Nothing that downstream servers see.
    Nothing,
}

impl Change {
    /// Reads a change of the log. A document or record that cannot be read leaves what it is about out: nobody
    /// could be given it.
    pub fn read(change: ShownChange) -> Self {
        let position = change.position;
        match (change.key, change.header) {
            (ItemKey::Revision(id), None) => Self::Gone(id),
            (ItemKey::Revision(id), Some(_)) => {
                let text = match codec::decompress(&change.document) {
                    Ok(text) => text,
                    Err(error) => {
                        tracing::warn!(%id, %error, "a document is not served to downstream servers");
                        return Self::Gone(id);
                    }
                };
                match document::parse(&text) {
                    Ok(update) if update.id == id => {
                        Self::Held(Arc::new(Entry::new(position, &update, text.len())))
                    }
                    Ok(update) => {
                        let found = update.id;
                        tracing::warn!(%id, %found, "a document is that of another revision");
                        Self::Gone(id)
                    }
                    Err(error) => {
                        tracing::warn!(%id, %error, "a document is not served to downstream servers");
                        Self::Gone(id)
                    }
                }
            }
            (ItemKey::Approval(id), None) => Self::Decided(
                id,
                Decision {
                    position,
                    record: None,
                },
            ),
            (ItemKey::Approval(id), Some(bytes)) => match Record::from_bytes(&bytes) {
                Ok(record) => Self::Decided(
                    id,
                    Decision {
                        position,
                        record: Some(Arc::new(record)),
                    },
                ),
                Err(error) => {
                    tracing::warn!(%id, %error, "a decision is not served to downstream servers");
                    Self::Nothing
                }
            },
            (ItemKey::Settings | ItemKey::Expiry(_), _) => Self::Nothing,
        }
    }
}

impl Draft {
    /// Puts a change in.
    pub fn put(&mut self, change: Change) {
        match change {
            Change::Held(entry) => {
                let since = self.held_since.entry(entry.id.update_id);
                let since = since.or_insert(entry.position);
                *since = entry.position.min(*since);
                self.entries.insert(entry.id, entry);
            }
            Change::Gone(id) => {
                self.entries.remove(&id);
            }
            Change::Decided(id, decision) => {
                self.decisions.insert(id, decision);
            }
            Change::Nothing => {}
        }
    }

    /// Forgets since when updates are held of which there is no revision any more.
    pub fn tidy(&mut self) {
        let held: std::collections::HashSet<UpdateId> =
            self.entries.keys().map(|id| id.update_id).collect();
        self.held_since.retain(|id, _| held.contains(id));
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    pub(super) fn decisions(&self) -> &BTreeMap<UpdateId, Decision> {
        &self.decisions
    }

    pub(super) fn held_since(&self, id: UpdateId) -> u64 {
        self.held_since.get(&id).copied().unwrap_or(0)
    }
}
