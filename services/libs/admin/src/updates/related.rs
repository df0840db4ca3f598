//! What an update is related to, in both directions.
//!
//! A document says what its update supersedes and bundles, and not by what it is superseded and bundled. Which
//! revisions name an update is gathered from the headers of the verified catalog, when somebody asks first, and from
//! then on from what was added to it.

use super::{Catalog, malformed};
use crate::reading::internal;
use catalog::document::{Prerequisite, Update};
use catalog::header::RevisionHeader;
use catalog::{RevisionId, UpdateId};
use std::collections::BTreeSet;
use store::query::RevisionRow;
use tonic::Status;
use uuid::Uuid;
use wire::v1::{RelatedUpdate, Relation};

/// Updates that are told of each kind.
const MOST_RELATED: usize = 40;
/// Revisions that are looked at for what supersedes or bundles an update: it may be named by older ones, too.
const MOST_NAMED_BY: usize = 1_000;
/// References that are remembered: 16 bytes each.
const MAX_REFERENCES: usize = 1_000_000;
/// Headers that are read at a time.
const READ_AHEAD: u32 = 500;

/// How one update names another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Supersedes,
    Bundles,
}

/// Which revisions name an update: a mark of what is named and how, and where in the log the revision is that does. Two
/// may have the same mark: who looks up compares.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The history, and the place from which on places say when something changed.
    of: (Uuid, u64),
    /// How far they were gathered.
    gathered: u64,
    /// Sorted.
    pairs: Vec<(u64, u64)>,
    /// There were more than are remembered.
    incomplete: bool,
}

/// Half of the identifier, and how it is named in the last bit.
fn mark(update: UpdateId, naming: Naming) -> u64 {
    let (high, low) = update.0.as_u64_pair();
    let folded = (high ^ low.rotate_left(17)) & !1;
    match naming {
        Naming::Supersedes => folded,
        Naming::Bundles => folded | 1,
    }
}

fn names(header: &RevisionHeader, update: UpdateId, naming: Naming) -> bool {
    match naming {
        Naming::Supersedes => header.superseded.contains(&update),
        Naming::Bundles => header.bundled.iter().any(|id| id.update_id == update),
    }
}

impl References {
    fn add(&mut self, position: u64, header: &RevisionHeader) {
        let superseded = header.superseded.iter();
        let superseded = superseded.map(|id| mark(*id, Naming::Supersedes));
        let bundled = header.bundled.iter();
        let bundled = bundled.map(|id| mark(id.update_id, Naming::Bundles));
        for mark in superseded.chain(bundled) {
            if self.pairs.len() >= MAX_REFERENCES {
                self.incomplete = true;
                return;
            }
            self.pairs.push((mark, position));
        }
    }

    /// Where the revisions are that name an update, the newest first.
    fn places(&self, update: UpdateId, naming: Naming) -> Vec<u64> {
        let mark = mark(update, naming);
        let from = self.pairs.partition_point(|(held, _)| *held < mark);
        let found = self.pairs[from..].iter();
        let found = found.take_while(|(held, _)| *held == mark);
        let mut places: Vec<u64> = found.map(|(_, place)| *place).collect();
        places.reverse();
        places.truncate(MOST_NAMED_BY);
        places
    }
}

/// The updates of one kind, as far as they are told.
fn relation(kind: &str, updates: Vec<RelatedUpdate>, all: usize) -> Relation {
    Relation {
        kind: kind.to_owned(),
        more: u32::try_from(all.saturating_sub(updates.len())).unwrap_or(u32::MAX),
        updates,
    }
}

impl Catalog {
    /// Everything that an update is related to, and whether some of it may be missing.
    pub(super) async fn relations(
        &self,
        id: RevisionId,
        header: &RevisionHeader,
        update: &Update,
    ) -> Result<(Vec<Relation>, bool), Status> {
        let (superseding, bundling, incomplete) = {
            let mut references = self.references.lock().await;
            self.gather(&mut references).await?;
            let places = |naming| references.places(id.update_id, naming);
            let (superseding, bundling) = (places(Naming::Supersedes), places(Naming::Bundles));
            (superseding, bundling, references.incomplete)
        };
        let mut relations = Vec::new();
        for (kind, naming, places) in [
            ("superseded-by", Naming::Supersedes, superseding),
            ("bundled-by", Naming::Bundles, bundling),
        ] {
            let found = self.naming(id.update_id, naming, places).await?;
            relations.push(relation(kind, found.0, found.1));
        }
        let newest = |id: &UpdateId| (*id, None, 1);
        let superseded: Vec<_> = header.superseded.iter().map(newest).collect();
        let bundled = header.bundled.iter();
        let bundled: Vec<_> = bundled
            .map(|id| (id.update_id, Some(id.revision), 1))
            .collect();
        let required = update.prerequisites.iter().flat_map(|clause| match clause {
            Prerequisite::Update(id) => vec![(*id, None, 1)],
            // Where it belongs is no relationship of this kind, and told as classification and products.
            Prerequisite::AtLeastOne {
                is_category: true, ..
            } => Vec::new(),
            Prerequisite::AtLeastOne {
                ids,
                is_category: false,
            } => {
                let alternatives = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                ids.iter().map(|id| (*id, None, alternatives)).collect()
            }
        });
        let required: Vec<_> = required.collect();
        for (kind, named) in [
            ("supersedes", superseded),
            ("bundles", bundled),
            ("requires", required),
        ] {
            let mut updates = Vec::new();
            for (id, revision, alternatives) in named.iter().take(MOST_RELATED) {
                updates.push(self.related(*id, *revision, *alternatives).await?);
            }
            relations.push(relation(kind, updates, named.len()));
        }
        relations.retain(|relation| !relation.updates.is_empty());
        Ok((relations, incomplete))
    }

    /// Reads what was added to the catalog since it was read last; all of it where places do not say so.
    async fn gather(&self, references: &mut References) -> Result<(), Status> {
        let known = async {
            let mut read = self.store.read().await?;
            let floor = read.floor().await?;
            Ok((read.positions().epoch, floor))
        };
        let of = known.await.map_err(internal)?;
        if references.of != of {
            *references = References {
                of,
                ..References::default()
            };
        }
        let before = references.gathered;
        loop {
            let after = references.gathered;
            let rows = async {
                let mut read = self.store.read().await?;
                read.revisions_after(after, READ_AHEAD).await
            };
            let rows = rows.await.map_err(internal)?;
            let Some(last) = rows.last() else { break };
            let last = last.position;
            for row in rows {
                let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
                references.add(row.position, &header);
            }
            references.gathered = last;
        }
        if references.gathered > before {
            references.pairs.sort_unstable();
        }
        Ok(())
    }

    /// The updates whose newest revision names an update, and how many there are.
    async fn naming(
        &self,
        update: UpdateId,
        naming: Naming,
        places: Vec<u64>,
    ) -> Result<(Vec<RelatedUpdate>, usize), Status> {
        let mut found = BTreeSet::new();
        let mut related = Vec::new();
        for place in places {
            let row = async {
                let mut read = self.store.read().await?;
                read.revisions_after(place.saturating_sub(1), 1).await
            };
            let rows = row.await.map_err(internal)?;
            let Some(row) = rows.first().filter(|row| row.position == place) else {
                // It was replaced or removed since.
                continue;
            };
            let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
            if !names(&header, update, naming) || !self.is_newest(row.id).await? {
                continue;
            }
            if found.insert(row.id.update_id) && related.len() < MOST_RELATED {
                related.push(told(row, &header));
            }
        }
        Ok((related, found.len()))
    }

    /// An update by its identifier, in a revision or the newest one.
    async fn related(
        &self,
        id: UpdateId,
        revision: Option<u32>,
        alternatives: u32,
    ) -> Result<RelatedUpdate, Status> {
        let rows = async { self.store.read().await?.revisions_of(id, false).await };
        let rows = rows.await.map_err(internal)?;
        let wanted = rows
            .iter()
            .find(|row| revision.is_none_or(|revision| row.id.revision == revision));
        let related = match wanted {
            Some(row) => {
                let header = RevisionHeader::from_bytes(&row.header).map_err(malformed)?;
                told(row, &header)
            }
            None => RelatedUpdate {
                update_id: id.to_string(),
                ..RelatedUpdate::default()
            },
        };
        Ok(RelatedUpdate {
            alternatives,
            ..related
        })
    }
}

fn told(row: &RevisionRow, header: &RevisionHeader) -> RelatedUpdate {
    RelatedUpdate {
        update_id: row.id.update_id.to_string(),
        revision: row.id.revision,
        title: header.title.clone(),
        publication_state: header.publication_state.name().to_owned(),
        alternatives: 0,
    }
}
