//! What must hold where everything is cleaned up at once.

use super::{Outcome, Sites, reachable};
use crate::world::World;
use catalog::PointId;
use catalog::document::PublicationState;
use catalog::item::ItemKey;
use catalog::well_known::{DEFINITION_UPDATES, SERVICE_PACKS};
use std::collections::{BTreeMap, BTreeSet};

/// Where everything is cleaned up at once, no site shows a revision that is neither the newest of its update
/// nor bundled, and what supersedes others without being expired itself has expired them.
pub(super) fn nothing_is_unused(world: &mut World, sites: &Sites) -> Outcome {
    if !world.plan.pace.tidy {
        return Ok(());
    }
    let reachable = reachable(world).into_iter().map(|(site, _)| site);
    let codes: Vec<PointId> = std::iter::once(world.plan.central)
        .chain(reachable)
        .collect();
    for code in codes.iter().filter(|code| sites.contains_key(*code)) {
        let directory = world.shared.directory(*code);
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
