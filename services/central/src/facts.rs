//! What is known of every update at once, for rules that look at the whole catalog.

use catalog::approval::{Cause, Record};
use catalog::cleanup::{DeclineFacts, RevisionFacts};
use catalog::document::PublicationState;
use catalog::expiry::{self, Expiry};
use catalog::header::RevisionHeader;
use catalog::item::{ItemKey, approval_keys, expiry_keys};
use catalog::well_known::CLASSIFICATIONS;
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use store::records::{KeysOfKind, RecordRow};
use store::retention::Arrivals;
use store::{Error, Positions, Read, Store};

/// Headers, and records, that are read at a time.
const PAGE: u32 = 1000;

/// The catalog of a top-level site in short, verified or not.
pub(crate) struct Facts {
    /// How far the log went.
    pub(crate) positions: Positions,
    /// Every revision: updates, categories and detectoids.
    revisions: Vec<Revision>,
    /// The place of the newest revision of each update, category and detectoid.
    newest: BTreeMap<UpdateId, usize>,
    /// What was decided.
    pub(crate) approvals: HashMap<UpdateId, Record>,
    /// Updates about which was decided what this version cannot read: they are left alone.
    unreadable: HashSet<UpdateId>,
    /// What the supersedence rules expired, and the positions at which they did.
    flags: BTreeMap<UpdateId, (u64, Expiry)>,
    arrivals: Arrivals,
    /// What revisions said of the creation of their updates that are held no more.
    created: HashMap<UpdateId, Timestamp>,
}

/// A revision in short.
struct Revision {
    id: RevisionId,
    position: u64,
    is_configuration: bool,
    explicitly_deployable: bool,
    is_mandatory: bool,
    is_expired: bool,
    creation_date: Timestamp,
    classification: Option<UpdateId>,
    superseded: Vec<UpdateId>,
    bundled: Vec<RevisionId>,
}

impl Facts {
    /// Reads all of it, as of one moment. Headers tell everything; no document is read.
    ///
    /// # Errors
    /// When the database fails, or holds what cannot be read.
    pub(crate) async fn read(store: &Store) -> Result<Self, Error> {
        let mut read = store.read().await?;
        let mut facts = Self {
            positions: read.positions(),
            revisions: Vec::new(),
            newest: BTreeMap::new(),
            approvals: HashMap::new(),
            unreadable: HashSet::new(),
            flags: BTreeMap::new(),
            arrivals: read.arrivals().await?,
            created: read.creation_dates().await?,
        };
        let mut after = 0;
        loop {
            let rows = read.applied_revisions_after(after, PAGE).await?;
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                let header = RevisionHeader::from_bytes(&row.header).map_err(unreadable)?;
                facts.add(row.id, row.position, header);
            }
        }
        for row in records(&mut read, approval_keys()).await? {
            let ItemKey::Approval(id) = row.key else {
                continue;
            };
            match Record::from_bytes(&row.record) {
                Ok(record) => {
                    facts.approvals.insert(id, record);
                }
                Err(error) => {
                    tracing::warn!(update = %id, %error, "left alone by rules and clean-up");
                    facts.unreadable.insert(id);
                }
            }
        }
        for row in records(&mut read, expiry_keys()).await? {
            if let (ItemKey::Expiry(id), Ok(expiry)) = (row.key, Expiry::from_bytes(&row.record)) {
                facts.flags.insert(id, (row.position, expiry));
            }
        }
        Ok(facts)
    }

    fn add(&mut self, id: RevisionId, position: u64, header: RevisionHeader) {
        let is_classification = |id: &&UpdateId| CLASSIFICATIONS.iter().any(|c| c.id == **id);
        let place = self.revisions.len();
        self.revisions.push(Revision {
            id,
            position,
            is_configuration: header.is_configuration(),
            explicitly_deployable: header.explicitly_deployable,
            is_mandatory: header.is_mandatory,
            is_expired: header.publication_state == PublicationState::Expired,
            creation_date: header.creation_date,
            classification: header.categories.iter().find(is_classification).copied(),
            superseded: header.superseded,
            bundled: header.bundled,
        });
        let newest = self.newest.entry(id.update_id).or_insert(place);
        if self.revisions[*newest].id.revision < id.revision {
            *newest = place;
        }
    }

    /// The newest revision of each update.
    fn updates(&self) -> impl Iterator<Item = &Revision> {
        let newest = self.newest.values().map(|place| &self.revisions[*place]);
        newest.filter(|revision| !revision.is_configuration)
    }

    /// The newest revision of an update.
    pub(crate) fn newest(&self, update: UpdateId) -> Option<RevisionId> {
        let place = self.newest.get(&update)?;
        Some(self.revisions[*place].id)
    }

    /// The flags that are set.
    pub(crate) fn flags(&self) -> BTreeMap<UpdateId, Expiry> {
        let flags = self.flags.iter();
        flags.map(|(id, (_, expiry))| (*id, *expiry)).collect()
    }

    /// What the supersedence rules want to know.
    pub(crate) fn for_expiry(&self) -> Vec<expiry::Facts> {
        let gone = self.created.iter().map(|(id, date)| (*id, *date));
        let held = self.revisions.iter();
        let held = held.map(|revision| (revision.id.update_id, revision.creation_date));
        let created = expiry::creation_dates(held.chain(gone));
        self.updates()
            .map(|newest| {
                let update = newest.id.update_id;
                let record = self.approvals.get(&update);
                expiry::Facts {
                    id: update,
                    classification: newest.classification,
                    creation_date: created
                        .get(&update)
                        .copied()
                        .unwrap_or(newest.creation_date),
                    is_expired_by_publisher: newest.is_expired,
                    is_declined: record.is_some_and(|record| {
                        record.approval == catalog::approval::Approval::Declined
                    }),
                    superseded: newest.superseded.clone(),
                }
            })
            .collect()
    }

    /// What declining wants to know.
    pub(crate) fn for_declining(&self, now: Timestamp) -> Vec<DeclineFacts> {
        let mut first: HashMap<UpdateId, u64> = HashMap::new();
        for revision in &self.revisions {
            let held = first.entry(revision.id.update_id).or_insert(u64::MAX);
            *held = revision.position.min(*held);
        }
        let since = |position| self.arrivals.held_since(position, now);
        self.updates()
            .filter(|newest| !self.unreadable.contains(&newest.id.update_id))
            .map(|newest| {
                let update = newest.id.update_id;
                let record = self.approvals.get(&update);
                let expired_at = match newest.is_expired {
                    true => Some(newest.position),
                    false => self.flags.get(&update).map(|(position, _)| *position),
                };
                DeclineFacts {
                    id: update,
                    explicitly_deployable: newest.explicitly_deployable,
                    is_mandatory: newest.is_mandatory,
                    approval: record.map_or_else(Default::default, |record| record.approval),
                    decided_at: record.map(|record| record.changed_at),
                    deployed_until: record.and_then(deployed_until),
                    held_since: since(first.get(&update).copied().unwrap_or(newest.position)),
                    expired_since: expired_at.map(since),
                    superseded: newest.superseded.clone(),
                }
            })
            .collect()
    }

    /// What the removal of revisions wants to know.
    pub(crate) fn for_removing(&self, now: Timestamp) -> Vec<RevisionFacts> {
        self.revisions
            .iter()
            .map(|revision| {
                let record = self.approvals.get(&revision.id.update_id);
                RevisionFacts {
                    id: revision.id,
                    held_since: self.arrivals.held_since(revision.position, now),
                    bundled: revision.bundled.clone(),
                    is_approved: self.unreadable.contains(&revision.id.update_id)
                        || record.is_some_and(|record| {
                            let is_this = record.revision == revision.id.revision;
                            record.approval.is_approved() && is_this
                        }),
                    approved_until: record.and_then(approved_until),
                }
            })
            .collect()
    }
}

/// Until when an update may have been approved for install or removal that is not now.
fn deployed_until(record: &Record) -> Option<Timestamp> {
    match record.cause {
        // Rules decide about updates about which nothing was decided before.
        Cause::Rule(_) => None,
        Cause::Person(_) | Cause::NewRevision | Cause::ExpiredByPublisher | Cause::Cleanup => {
            Some(record.changed_at)
        }
    }
}

/// Until when an update may have been approved in a revision in which it is not now.
fn approved_until(record: &Record) -> Option<Timestamp> {
    match record.cause {
        Cause::Person(_) => Some(record.changed_at),
        // An approval goes over to a new revision, or ends with it, when that comes, which counts anyway: to count
        // it for every older revision would be to keep all of what is revised again and again. What the clean-up
        // declines was not deployed.
        Cause::Rule(_) | Cause::NewRevision | Cause::ExpiredByPublisher | Cause::Cleanup => None,
    }
}

/// All records of a kind. There are never more than updates.
pub(crate) async fn records(
    read: &mut Read<'_>,
    kind: KeysOfKind,
) -> Result<Vec<RecordRow>, Error> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|row: &RecordRow| row.key);
        let rows = read.applied_records(kind, after, PAGE).await?;
        if rows.is_empty() {
            return Ok(all);
        }
        all.extend(rows);
    }
}

fn unreadable(error: impl std::fmt::Display) -> Error {
    Error::Corrupt {
        what: error.to_string(),
    }
}
