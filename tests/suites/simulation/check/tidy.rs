//! What must hold where superseded updates expire at once, and whatever can be is cleaned up at once.

use super::{Outcome, Sites, reachable};
use crate::world::World;
use catalog::PointId;
use catalog::document::PublicationState;
use catalog::expiry::Expiry;
use catalog::item::ItemKey;
use catalog::well_known::{DEFINITION_UPDATES, SERVICE_PACKS};
use std::collections::{BTreeMap, BTreeSet};

/// The central site and those that reach it, as far as they have a database.
fn codes(world: &mut World, sites: &Sites) -> Vec<PointId> {
    let reachable = reachable(world).into_iter().map(|(site, _)| site);
    std::iter::once(world.plan.central)
        .chain(reachable)
        .filter(|code| sites.contains_key(code))
        .collect()
}

/// Where everything is cleaned up at once, no site shows a revision that is neither the newest of its update
/// nor bundled, and what supersedes others without being expired itself has expired them.
pub(super) fn nothing_is_unused(world: &mut World, sites: &Sites) -> Outcome {
    if !world.plan.pace.tidy {
        return Ok(());
    }
    for code in codes(world, sites) {
        let directory = world.shared.directory(code);
        let shown = world.runtime.block_on(world.databases.headers(&directory));
        let (mut newest, mut needed) = (BTreeMap::new(), BTreeSet::new());
        for (key, header) in &shown {
            if let (ItemKey::Revision(id), Some(header)) = (key, header) {
                let held = newest.entry(id.update_id).or_insert(*id);
                *held = (*held).max(*id);
                needed.extend(header.bundled.iter().copied());
            }
        }
        let is_flagged = |id| shown.contains_key(&ItemKey::Expiry(id));
        for (key, header) in &shown {
            let (ItemKey::Revision(id), Some(header)) = (key, header) else {
                continue;
            };
            if newest[&id.update_id] != *id {
                if !needed.contains(id) {
                    return Err(format!("{code} still shows the unused revision {id}"));
                }
                continue;
            }
            let is_declined = shown.contains_key(&ItemKey::Approval(id.update_id));
            let withdrawn = header.publication_state == PublicationState::Expired;
            let service_pack = header.categories.contains(&SERVICE_PACKS.id);
            if withdrawn || is_declined || service_pack || is_flagged(id.update_id) {
                continue;
            }
            for old in &header.superseded {
                let Some(held) = newest.get(old) else {
                    continue;
                };
                let Some(Some(old_header)) = shown.get(&ItemKey::Revision(*held)) else {
                    continue;
                };
                let exempt = old_header.publication_state == PublicationState::Expired
                    || old_header.categories.contains(&DEFINITION_UPDATES.id)
                    || old_header.superseded.contains(&id.update_id);
                if !exempt && !is_flagged(*old) {
                    return Err(format!(
                        "{code}: {old} is superseded by {id} and not expired"
                    ));
                }
            }
        }
    }
    Ok(())
}

/// An update counts as expired since what supersedes it was created. That is the earliest date that was seen at the
/// central site in any revision of it, removed ones among them.
pub(super) fn expiries_stay(world: &mut World, sites: &Sites) -> Outcome {
    if !world.plan.pace.tidy || world.ledger.restored || world.ledger.compared {
        // What an older copy does not hold, or was lost with damaged rows, nobody knows any more.
        return Ok(());
    }
    for code in codes(world, sites) {
        let directory = world.shared.directory(code);
        let shown = world.runtime.block_on(world.databases.headers(&directory));
        for key in shown.into_keys() {
            let ItemKey::Expiry(update) = key else {
                continue;
            };
            let key = key.to_bytes();
            let content = world.databases.content(&directory, &key);
            let content = world.runtime.block_on(content).unwrap_or_default();
            let Expiry { since, by } = Expiry::from_bytes(&content).unwrap();
            // A revision that came and went between two looks may say an earlier date.
            let created = world.ledger.created.get(&by);
            if let Some(created) = created.filter(|created| since > **created) {
                return Err(format!(
                    "{code}: {update} is expired since {since}, and {by} was created on {created}"
                ));
            }
        }
    }
    Ok(())
}
