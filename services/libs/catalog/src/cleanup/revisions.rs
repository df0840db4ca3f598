//! Revisions that nothing uses any more.

use super::is_past;
use crate::order::topological;
use crate::relations::Relations;
use crate::{RevisionId, UpdateId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What the removal of revisions wants to know about one: an update, category or detectoid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionFacts {
    /// The revision.
    pub id: RevisionId,
    /// Since when it is held.
    pub held_since: Timestamp,
    /// The revisions that it bundles.
    pub bundled: Vec<RevisionId>,
    /// Whether its update is approved in this revision.
    pub is_approved: bool,
    /// Until when its update may have been approved in this revision, if it ever was: only the last decision about
    /// an update is known.
    pub approved_until: Option<Timestamp>,
}

/// Revisions that are to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemovalPlan {
    /// The revisions, bundles before what they bundle, so that however far a removal comes, no bundle is held
    /// without its parts.
    pub revisions: Vec<RevisionId>,
    /// How many more there are: apply this plan and plan again.
    pub left: usize,
}

/// Plans the removal of at most `most` revisions. `revisions` is the whole catalog, each revision once. Applying
/// a plan, or the beginning of one, and planning again goes on; where nothing is left to do, planning again gives
/// nothing.
///
/// A revision stays as long as
/// * it is the newest of its update: that is the one which prerequisites and supersedence mean; or
/// * its update is approved in it, or may have been less than `days` days ago; or
/// * a newer one is held for less than `days` days, or it is itself; or
/// * a revision that stays bundles it.
pub fn unused_revisions(
    revisions: &[RevisionFacts],
    days: u16,
    most: usize,
    now: Timestamp,
) -> RemovalPlan {
    let facts: HashMap<RevisionId, &RevisionFacts> = revisions
        .iter()
        .map(|revision| (revision.id, revision))
        .collect();
    // When the first newer revision of each came; the newest have none.
    let mut replaced_at: HashMap<RevisionId, Timestamp> = HashMap::new();
    let mut by_update: BTreeMap<UpdateId, Vec<&RevisionFacts>> = BTreeMap::new();
    for revision in facts.values() {
        let list = by_update.entry(revision.id.update_id).or_default();
        list.push(revision);
    }
    for list in by_update.values_mut() {
        list.sort_unstable_by_key(|revision| std::cmp::Reverse(revision.id));
        let mut first_newer: Option<Timestamp> = None;
        for revision in list {
            if let Some(newer) = first_newer {
                replaced_at.insert(revision.id, newer.max(revision.held_since));
            }
            let earliest =
                first_newer.map_or(revision.held_since, |newer| newer.min(revision.held_since));
            first_newer = Some(earliest);
        }
    }

    let is_needed = |revision: &RevisionFacts| {
        let is_old = |at: &Timestamp| is_past(*at, days, now);
        revision.is_approved
            || !revision.approved_until.as_ref().is_none_or(is_old)
            || !replaced_at.get(&revision.id).is_some_and(is_old)
    };
    let mut open: Vec<&RevisionFacts> = facts
        .values()
        .copied()
        .filter(|revision| is_needed(revision))
        .collect();
    let mut kept: HashSet<RevisionId> = open.iter().map(|revision| revision.id).collect();
    while let Some(revision) = open.pop() {
        for id in &revision.bundled {
            if let Some(part) = facts.get(id)
                && kept.insert(*id)
            {
                open.push(part);
            }
        }
    }

    let unused: BTreeSet<RevisionId> = facts
        .keys()
        .copied()
        .filter(|id| !kept.contains(id))
        .collect();
    let relations: Vec<Relations> = unused
        .iter()
        .map(|id| Relations {
            id: *id,
            categories: Vec::new(),
            prerequisites: Vec::new(),
            bundled: facts[id].bundled.clone(),
        })
        .collect();
    let parts_first = topological(&relations);
    let bundles_first = parts_first.into_iter().rev().map(|at| relations[at].id);
    RemovalPlan {
        revisions: bundles_first.take(most).collect(),
        left: unused.len().saturating_sub(most),
    }
}
