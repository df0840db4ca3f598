//! Alerts say what is wrong, and nothing else.

use super::{Outcome, Sites, reachable};
use crate::world::World;

/// Kinds of alerts about which it can be seen from outside whether a site is well: it is connected, its last run
/// completed, and it has the catalog of the central site. That holds of every site when a run has come to rest.
const OF_SITES: [&str; 3] = ["sync-failed", "site-silent", "site-behind"];

/// Of a site that is well there is no alert any more. Those that have no way to the central site are not well.
pub(super) fn none_of_who_is_well(world: &mut World, _: &Sites) -> Outcome {
    let central = world.plan.central;
    let well = reachable(world).into_iter().map(|(site, _)| site);
    let well: Vec<_> = well.chain([central]).collect();
    let directory = world.shared.directory(central);
    let open = world.databases.open_alerts(&directory);
    for (kind, site) in world.runtime.block_on(open) {
        if OF_SITES.contains(&kind.as_str()) && well.contains(&site) {
            return Err(format!("there still is an alert {kind} of {site}"));
        }
    }
    Ok(())
}
