//! What the source no longer has.
//!
//! A list tells that only of what it would have held: categories and detectoids, where it was asked for all
//! of them, and the updates that are chosen now, where it was asked for all of those. What was chosen once
//! and no longer is stays, and so does whatever something that stays bundles or requires.

use super::{Choice, Ingest, ORIGIN, REVISIONS_PER_COMMIT, Stopped};
use crate::removal;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId, codec, document};
use std::collections::{HashMap, HashSet};
use sync::Failure;

/// More than this share of what a list speaks of is not taken for withdrawn because it leaves it out.
const MOST_REMOVED_PERCENT: usize = 10;
/// So many may always be.
const ALWAYS_REMOVABLE: usize = 50;
/// Headers that are read at a time, and documents.
const PAGE: u32 = 1000;
const DOCUMENT_PAGE: u32 = 50;

/// Which lists of a run held all that there is, and not only what changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complete {
    /// Categories and detectoids.
    pub(super) categories: bool,
    /// The updates that are chosen.
    pub(super) updates: bool,
}

impl Complete {
    pub(super) fn any(self) -> bool {
        self.categories || self.updates
    }

    /// Whether the lists would have held a revision, or what brings it.
    fn speak_of(self, header: &RevisionHeader, choice: &Choice) -> bool {
        if header.is_configuration() {
            return self.categories;
        }
        // What belongs to no category comes and goes with what bundles it.
        self.updates && (choice.selects(header) || header.categories.is_empty())
    }
}

/// A revision that the lists leave out.
struct Unlisted {
    id: RevisionId,
    /// Whether it is a category or detectoid, which have a list of their own.
    is_configuration: bool,
    /// What it bundles, and once that was looked up, what it requires.
    needs: Vec<UpdateId>,
}

impl Ingest<'_> {
    /// Removes what the source no longer lists, nor bundles, nor requires. A list that leaves out a
    /// large part of the catalog is not believed.
    pub(super) async fn remove_unlisted(
        &self,
        listed: HashSet<UpdateId>,
        complete: Complete,
        choice: &Choice,
    ) -> Result<(), Stopped> {
        let store = &self.upstream.store;
        let mut kept = HashSet::new();
        let mut unlisted = Vec::new();
        // Updates, and categories with detectoids: each has its own list.
        let mut spoken_of = [0_usize; 2];
        let mut after = 0;
        loop {
            // Also what this run brought: its bundles are no less bundles.
            let mut read = store.read().await?;
            let rows = read.applied_revisions_after(after, PAGE).await?;
            drop(read);
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                let header = RevisionHeader::from_bytes(&row.header)
                    .map_err(|error| Failure::message(ORIGIN, error.to_string()))?;
                let id = row.id;
                let is_spoken_of = complete.speak_of(&header, choice);
                let is_configuration = header.is_configuration();
                spoken_of[usize::from(is_configuration)] += usize::from(is_spoken_of);
                let members = header.bundled.into_iter().map(|id| id.update_id);
                if is_spoken_of && !listed.contains(&id.update_id) {
                    let needs = members.collect();
                    unlisted.push(Unlisted {
                        id,
                        is_configuration,
                        needs,
                    });
                } else {
                    kept.extend(members);
                }
            }
        }
        drop(listed);
        keep(&mut unlisted, &mut kept);
        // What was taken in beside the source is not the source's to take away.
        let ids: Vec<UpdateId> = unlisted
            .iter()
            .map(|revision| revision.id.update_id)
            .collect();
        kept.extend(self.upstream.kept_beside_the_source(&ids).await?);
        keep(&mut unlisted, &mut kept);
        if unlisted.is_empty() {
            return Ok(());
        }
        for (is_configuration, spoken_of) in [false, true].into_iter().zip(spoken_of) {
            let of_this = |unlisted: &Unlisted| unlisted.is_configuration == is_configuration;
            let missing = unlisted.iter().filter(|unlisted| of_this(unlisted)).count();
            let few =
                missing <= ALWAYS_REMOVABLE || missing * 100 <= spoken_of * MOST_REMOVED_PERCENT;
            // A list with nothing of what is held is no list.
            if few && missing < spoken_of.max(1) {
                continue;
            }
            if missing > 0 {
                let what = if is_configuration {
                    "categories"
                } else {
                    "updates"
                };
                self.run.line(format!(
                    "Warning: the upstream server no longer lists {missing} of {spoken_of} {what}; none of \
                     them is removed, because that is more than {MOST_REMOVED_PERCENT} %, or all there are"
                ));
                kept.extend(
                    unlisted
                        .iter()
                        .filter(|unlisted| of_this(unlisted))
                        .map(|unlisted| unlisted.id.update_id),
                );
            }
        }
        keep(&mut unlisted, &mut kept);
        if unlisted.is_empty() {
            return Ok(());
        }
        self.keep_required(&mut unlisted).await?;
        if unlisted.is_empty() {
            return Ok(());
        }
        let unlisted = unlisted.into_iter().map(|unlisted| unlisted.id);
        let keys: Vec<ItemKey> = unlisted.map(ItemKey::Revision).collect();
        self.upstream.forget_categories().await;
        let mut removed = 0;
        for chunk in keys.chunks(REVISIONS_PER_COMMIT) {
            let mut tx = store.begin().await?;
            removed += removal::remove(&mut tx, chunk, self.upstream.ambient.now()).await?;
            tx.commit().await?;
        }
        self.run.count(|counts| counts.removed += removed);
        self.run.line(format!(
            "Removed {removed} revisions that the upstream server no longer lists"
        ));
        Ok(())
    }

    /// Takes out of `unlisted` what a revision that stays names as a prerequisite, with all that this one
    /// bundles and requires. Headers do not tell prerequisites, so every document is read; there is rarely
    /// anything to ask it about.
    async fn keep_required(&self, unlisted: &mut Vec<Unlisted>) -> Result<(), Stopped> {
        let candidates: HashSet<UpdateId> = unlisted.iter().map(|u| u.id.update_id).collect();
        let places: HashMap<RevisionId, usize> = (0..)
            .zip(unlisted.iter())
            .map(|(place, unlisted)| (unlisted.id, place))
            .collect();
        let mut kept = HashSet::new();
        let mut after = 0;
        loop {
            let mut read = self.upstream.store.read().await?;
            let rows = read.applied_documents_after(after, DOCUMENT_PAGE).await?;
            drop(read);
            let Some(last) = rows.last() else { break };
            after = last.position;
            for row in rows {
                let text = codec::decompress(&row.document).ok();
                let Some(update) = text.and_then(|text| document::parse(&text).ok()) else {
                    // Nobody knows what it requires; verifying the site finds it.
                    self.run.line(format!(
                        "Warning: the stored document of {} cannot be read; nothing is removed",
                        row.id
                    ));
                    unlisted.clear();
                    return Ok(());
                };
                let required = update.prerequisite_ids();
                let required = required.filter(|id| candidates.contains(id));
                match places.get(&row.id) {
                    Some(&place) => unlisted[place].needs.extend(required),
                    None => kept.extend(required),
                }
            }
        }
        keep(unlisted, &mut kept);
        Ok(())
    }
}

/// Takes out of `unlisted` what is to be kept, and what such a revision needs in turn.
fn keep(unlisted: &mut Vec<Unlisted>, kept: &mut HashSet<UpdateId>) {
    loop {
        let before = unlisted.len();
        unlisted.retain(|revision| {
            let stays = kept.contains(&revision.id.update_id);
            if stays {
                kept.extend(&revision.needs);
            }
            !stays
        });
        if unlisted.len() == before {
            return;
        }
    }
}
