//! Fetching single updates by their identifiers, whatever is chosen, with what they bundle and require.
//!
//! The protocol gives documents out for a GUID with a revision. Where a person names no revision, some are tried:
//! from the highest hundred down, because the hundreds count the major revisions (WSUS-PROTOCOL 3.3). What such an
//! update requires is looked for in the same way.

use super::fetch::{Tally, Waiting};
use super::sieve::Sieve;
use super::{Choice, Ingest, ORIGIN, Stopped, WsusUpstream};
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId, codec, document};
use futures::{StreamExt as _, pin_mut};
use journal::{StatusId, phrases};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use sync::{Failure, Phase, RunHandle};
use wsus::client::Fetched;
use wsus::message::UpdateData;

/// How updates came that a person named, as it is remembered.
const NAMED: &str = "named";
/// The highest hundred that is tried. 518 is the highest revision that was seen.
const HIGHEST_HUNDRED: u32 = 7;
/// Revisions of a hundred that are tried.
const TRIED_OF_A_HUNDRED: u32 = 10;
/// Old revisions that are no hundreds, tried last.
const OLD: u32 = 64;
/// Rounds in which what arrived is looked at for what it requires.
const ROUNDS: u32 = 8;
/// Required updates that are looked for, at most.
const MOST_REQUIRED: usize = 300;
/// Documents that are read at a time.
const PAGE: u32 = 50;

/// An update that a person named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateWanted {
    /// Which.
    pub id: UpdateId,
    /// Its revision; the highest that is given out where none is named.
    pub revision: Option<u32>,
}

/// What became of an update that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What was found, and whether it was held already.
    pub found: Option<(RevisionId, bool)>,
    /// Why nothing was found.
    pub why: String,
}

/// What came of asking for updates by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportedUpdates {
    /// In the order in which they were asked for.
    pub updates: Vec<Found>,
    /// Revisions that came.
    pub received: u64,
    /// The position at which it is in force.
    pub position: u64,
}

/// The revisions of an update that are tried, some at a time, the highest first.
fn tries(hundred: u32) -> Vec<u32> {
    match hundred {
        0 => (0..OLD).rev().collect(),
        hundred => {
            let first = hundred * 100;
            (first..first + TRIED_OF_A_HUNDRED).rev().collect()
        }
    }
}

impl WsusUpstream {
    /// Fetches updates that were named, and signs what came.
    pub(crate) async fn import_updates(
        &self,
        run: &RunHandle,
        wanted: Vec<UpdateWanted>,
    ) -> Result<ImportedUpdates, Failure> {
        let settings = Arc::clone(&self.settings.borrow());
        let client = self.prepare(&settings).await?;
        let ingest = Ingest {
            upstream: self,
            client: &client,
            run,
            products: &settings.products,
            aside: Mutex::default(),
        };
        ingest.by_id(wanted).await.map_err(|stopped| match stopped {
            Stopped::Failure(failure) => failure,
            Stopped::ServerChanged => Failure::message(
                ORIGIN,
                "the upstream server says that it was replaced: synchronize, then ask again",
            ),
        })
    }

    /// Those of some updates that a source does not take away by not listing them: they were taken in beside it,
    /// and nobody declined them since.
    pub(super) async fn kept_beside_the_source(
        &self,
        updates: &[UpdateId],
    ) -> Result<HashSet<UpdateId>, store::Error> {
        use catalog::approval::{Approval, Record};
        let imported = self.store.read().await?.imported(updates).await?;
        let mut kept: HashSet<UpdateId> = imported.into_keys().collect();
        let keys: Vec<ItemKey> = kept.iter().copied().map(ItemKey::Approval).collect();
        let contents = self.store.begin().await?.contents(&keys).await?;
        for (key, content) in contents {
            let declined = Record::from_bytes(&content)
                .is_ok_and(|record| record.approval == Approval::Declined);
            if let (ItemKey::Approval(update), true) = (key, declined) {
                kept.remove(&update);
            }
        }
        Ok(kept)
    }
}

impl Ingest<'_> {
    async fn by_id(&self, wanted: Vec<UpdateWanted>) -> Result<ImportedUpdates, Stopped> {
        let upstream = self.upstream;
        self.run.enter(Phase::SyncingUpdates);
        self.run.line(format!(
            "Fetching {} updates by their identifiers",
            wanted.len()
        ));
        let first = upstream.store.positions().head;
        let mut tally = Tally::default();
        let updates = self.look_for(&wanted).await?;
        let mut kept: HashSet<UpdateId> = HashSet::new();
        for found in updates.iter().filter_map(|found| found.found) {
            kept.insert(found.0.update_id);
        }
        if kept.is_empty() {
            let why = updates.first().map(|found| found.why.clone());
            let why = why.unwrap_or_default();
            return Err(Failure::message(ORIGIN, why).into());
        }
        let none = HashSet::new();
        let mut seen = first;
        let mut asked: HashSet<UpdateId> = wanted.iter().map(|wanted| wanted.id).collect();
        for _ in 0..ROUNDS {
            self.fetch_wanted(&Choice::Everything, &none, &mut tally)
                .await?;
            let (through, mut missing) = self.required_since(seen, &mut kept).await?;
            seen = through;
            missing.retain(|id| asked.insert(*id));
            if missing.is_empty() {
                break;
            }
            if asked.len() > MOST_REQUIRED + wanted.len() {
                self.run.line(format!(
                    "Warning: {} updates that are required are not looked for: synchronize the categories first",
                    missing.len()
                ));
                break;
            }
            let required: Vec<UpdateWanted> = missing
                .into_iter()
                .map(|id| UpdateWanted { id, revision: None })
                .collect();
            let came = match self.look_for(&required).await {
                Ok(came) => came,
                // What came stays, and is signed.
                Err(Stopped::Failure(failure)) => {
                    self.run.line(format!(
                        "Warning: {} updates that are required could not be looked for: {}",
                        required.len(),
                        failure.message
                    ));
                    break;
                }
                Err(stopped @ Stopped::ServerChanged) => return Err(stopped),
            };
            for (wanted, found) in required.iter().zip(came) {
                if found.found.is_none() {
                    self.run.line(format!(
                        "Warning: {}, which is required, could not be had: {}",
                        wanted.id, found.why
                    ));
                }
            }
        }
        let received = upstream.store.positions().head.saturating_sub(first);
        let position = self.sign(&kept).await?;
        self.tell_imported(&updates).await;
        Ok(ImportedUpdates {
            updates,
            received,
            position,
        })
    }

    /// Signs what came, and remembers that it was asked for. The position.
    async fn sign(&self, kept: &HashSet<UpdateId>) -> Result<u64, Stopped> {
        let upstream = self.upstream;
        let flagged = upstream.expire_superseded().await?;
        if !flagged.is_nothing() {
            self.run.line(phrases::expired_by_supersedence(
                flagged.expired,
                flagged.restored,
            ));
        }
        self.run.enter(Phase::Verifying);
        let mut by_itself = upstream.settle().await?;
        let mut tx = upstream.store.begin().await?;
        tx.note_imported(kept, NAMED).await?;
        let sealed = upstream.seal(&mut tx).await?;
        tx.commit().await?;
        by_itself.join(sealed.by_itself);
        by_itself
            .tell(self.run.journal(), Some(self.run.id()))
            .await;
        let statement = sealed.statement;
        self.run
            .line(phrases::verified(statement.position, &statement.root));
        Ok(statement.position)
    }

    async fn tell_imported(&self, updates: &[Found]) {
        const SHOWN: usize = 5;
        let found: Vec<String> = updates
            .iter()
            .filter_map(|found| found.found.map(|(id, _)| id.to_string()))
            .collect();
        let mut named = found.iter().take(SHOWN).cloned().collect::<Vec<_>>();
        if found.len() > SHOWN {
            named.push(format!("and {} more", found.len() - SHOWN));
        }
        let inserts = vec![found.len().to_string(), named.join(", ")];
        self.run
            .journal()
            .record(StatusId::UpdatesImported, Some(self.run.id()), inserts)
            .await;
    }

    /// Finds and stores updates; what became of each.
    async fn look_for(&self, wanted: &[UpdateWanted]) -> Result<Vec<Found>, Stopped> {
        let mut found: HashMap<UpdateWantedKey, Found> = HashMap::new();
        let mut waiting = Waiting::default();
        let named: Vec<RevisionId> = wanted
            .iter()
            .filter_map(|wanted| Some(RevisionId::new(wanted.id, wanted.revision?)))
            .collect();
        self.try_revisions(named, false, &mut found, &mut waiting)
            .await?;
        let mut open: BTreeSet<UpdateId> = wanted
            .iter()
            .filter(|wanted| wanted.revision.is_none())
            .map(|wanted| wanted.id)
            .collect();
        for hundred in (0..=HIGHEST_HUNDRED).rev() {
            if open.is_empty() {
                break;
            }
            let numbers = tries(hundred);
            let ids = open
                .iter()
                .flat_map(|id| numbers.iter().map(|number| RevisionId::new(*id, *number)));
            self.try_revisions(ids.collect(), true, &mut found, &mut waiting)
                .await?;
            open.retain(|id| {
                let key = (*id, None);
                found.get(&key).is_none_or(|found| found.found.is_none())
            });
        }
        self.store(&mut waiting).await?;
        let missing = |wanted: &UpdateWanted| Found {
            found: None,
            why: match wanted.revision {
                Some(revision) => format!(
                    "the synchronization source does not give out revision {revision} of {}",
                    wanted.id
                ),
                None => format!(
                    "the synchronization source gives out none of the revisions of {} that are usual: name \
                     one, as GUID.REVISION",
                    wanted.id
                ),
            },
        };
        let result = wanted.iter().map(|wanted| {
            let key = (wanted.id, wanted.revision);
            found.get(&key).cloned().unwrap_or_else(|| missing(wanted))
        });
        Ok(result.collect())
    }

    /// Asks for revisions that there may be, and stores what comes, or the highest of each update.
    async fn try_revisions(
        &self,
        ids: Vec<RevisionId>,
        highest: bool,
        found: &mut HashMap<UpdateWantedKey, Found>,
        waiting: &mut Waiting,
    ) -> Result<(), Stopped> {
        if ids.is_empty() {
            return Ok(());
        }
        let keys: Vec<ItemKey> = ids.iter().copied().map(ItemKey::Revision).collect();
        let held = self.upstream.store.begin().await?.held(&keys).await?;
        let held: HashSet<RevisionId> = held.into_iter().filter_map(ItemKey::revision).collect();
        let mut refusals: HashMap<RevisionId, String> = HashMap::new();
        let mut came: HashMap<RevisionId, UpdateData> = HashMap::new();
        let open: Vec<RevisionId> = ids
            .iter()
            .copied()
            .filter(|id| !held.contains(id))
            .collect();
        let fetched = self.client.probe(open);
        pin_mut!(fetched);
        while let Some(next) = fetched.next().await {
            match next? {
                Fetched::Batch(data) => {
                    for bad in data.unreadable {
                        refusals.insert(bad.id, bad.reason);
                    }
                    for update in data.updates {
                        let id = update.id;
                        let alone = UpdateData {
                            updates: vec![update],
                            file_urls: data.file_urls.clone(),
                            ..UpdateData::default()
                        };
                        if !highest {
                            came.insert(id, alone);
                            continue;
                        }
                        came.retain(|other, _| {
                            other.update_id != id.update_id || other.revision > id.revision
                        });
                        if !came.keys().any(|other| other.update_id == id.update_id) {
                            came.insert(id, alone);
                        }
                    }
                }
                Fetched::Refused { id, reason } => {
                    refusals.insert(id, reason.to_string());
                }
                // Most of them are not there.
                Fetched::Missing(_) | Fetched::Unasked(_) => {}
            }
        }
        let mut sieve = Sieve::everything();
        for (id, data) in came {
            let is_older = |other: &RevisionId| {
                other.update_id == id.update_id && other.revision > id.revision
            };
            if highest && held.iter().any(is_older) {
                continue;
            }
            note(found, id, false);
            self.take(data, &mut sieve, waiting).await?;
        }
        for id in held {
            note(found, id, true);
        }
        for (id, why) in refusals {
            found
                .entry((id.update_id, Some(id.revision)))
                .or_insert(Found { found: None, why });
        }
        Ok(())
    }

    /// What revisions that came after a position require and is not held, with how far was looked. All that came
    /// is added to `kept`.
    async fn required_since(
        &self,
        mut after: u64,
        kept: &mut HashSet<UpdateId>,
    ) -> Result<(u64, BTreeSet<UpdateId>), Stopped> {
        let store = &self.upstream.store;
        let mut missing = BTreeSet::new();
        loop {
            let rows = {
                let mut read = store.read().await?;
                read.applied_documents_after(after, PAGE).await?
            };
            let Some(last) = rows.last() else { break };
            after = last.position;
            let mut required: Vec<UpdateId> = Vec::new();
            for row in rows {
                kept.insert(row.id.update_id);
                let text = codec::decompress(&row.document).ok();
                if let Some(update) = text.and_then(|text| document::parse(&text).ok()) {
                    required.extend(update.prerequisite_ids());
                }
            }
            let known = store.begin().await?.known_updates(&required).await?;
            missing.extend(required.into_iter().filter(|id| !known.contains(id)));
        }
        Ok((after, missing))
    }
}

/// An update, and the revision that was asked for.
type UpdateWantedKey = (UpdateId, Option<u32>);

/// Notes a revision that is there: for whoever named it, and for whoever wants the highest.
fn note(found: &mut HashMap<UpdateWantedKey, Found>, id: RevisionId, held: bool) {
    let one = Found {
        found: Some((id, held)),
        why: String::new(),
    };
    found.insert((id.update_id, Some(id.revision)), one.clone());
    let highest = found
        .entry((id.update_id, None))
        .or_insert_with(|| one.clone());
    if highest
        .found
        .is_none_or(|(other, _)| other.revision < id.revision)
    {
        *highest = one;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_tried_from_the_highest_down() {
        let all: Vec<u32> = (0..=HIGHEST_HUNDRED).rev().flat_map(tries).collect();
        assert!(all.is_sorted_by(|a, b| a > b));
        for seen in [1, 2, 17, 50, 100, 101, 200, 201, 501] {
            assert!(all.contains(&seen), "{seen}");
        }
        assert!(all.len() < 150, "{}", all.len());
    }

    #[test]
    fn the_highest_that_is_there_is_what_is_found() {
        let id = |revision| RevisionId::new(UpdateId::from_u128(1), revision);
        let mut found = HashMap::new();
        note(&mut found, id(200), true);
        note(&mut found, id(201), false);
        note(&mut found, id(100), true);
        let highest = &found[&(UpdateId::from_u128(1), None)];
        assert_eq!(highest.found, Some((id(201), false)));
        let named = &found[&(UpdateId::from_u128(1), Some(100))];
        assert_eq!(named.found, Some((id(100), true)));
    }
}
