//! What must hold of a hierarchy that lives from packages.

use super::{Outcome, Sites, items};
use crate::database::Item;
use crate::ledger::is_revision;
use crate::world::World;
use catalog::PointId;
use catalog::item::{Digest, ItemKey};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The top-level site that lives from packages, where it has a database.
fn island(world: &World, sites: &Sites) -> Option<(PointId, PathBuf)> {
    let island = world.plan.island?;
    let directory = world.shared.directory(island);
    sites.contains_key(&island).then_some((island, directory))
}

/// How far it has the catalog of the other hierarchy.
pub fn they_go_on(world: &mut World, sites: &Sites) -> Outcome {
    let Some((island, directory)) = island(world, sites) else {
        return Ok(());
    };
    let source = world.databases.package_source(&directory);
    let (epoch, position) = world.runtime.block_on(source).unwrap_or_default();
    let (before_epoch, before) = world.ledger.imported;
    // A history that began anew counts anew.
    let is_same = epoch == before_epoch || !world.ledger.restored;
    if is_same && position < before {
        return Err(format!("{island} had it up to {before}, now {position}"));
    }
    world.ledger.imported = (epoch, position);
    Ok(())
}

/// Nothing that the courier was told cannot be.
pub fn answers_are_right(world: &mut World, _: &Sites) -> Outcome {
    match world.shared.wrong_answer() {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

fn live_revisions(items: Vec<Item>) -> BTreeMap<Vec<u8>, Digest> {
    let live = items
        .into_iter()
        .filter(|item| item.superseded_by.is_none());
    let live = live.filter_map(|item| Some((item.key, item.digest?)));
    live.filter(|(key, _)| is_revision(key)).collect()
}

/// Whatever happens to an import, there is all of the last package that was taken in, and nothing else: what the other
/// hierarchy showed at the position of that one.
pub fn catalogs_are_one(world: &mut World, sites: &Sites) -> Outcome {
    let Some((island, directory)) = island(world, sites) else {
        return Ok(());
    };
    let source = world.databases.package_source(&directory);
    let (position, expected) = match world.runtime.block_on(source) {
        None => (0, BTreeMap::new()),
        Some((epoch, position)) => {
            let known = world.ledger.revisions_at(epoch, position);
            if world.ledger.lost == Some(epoch) {
                // It has a part of it that was lost where it came from.
                return Ok(());
            }
            let unknown = || format!("{island} is at {position} of {epoch}, which never was");
            (position, known.ok_or_else(unknown)?)
        }
    };
    let held = live_revisions(items(world, island));
    if held == expected {
        return Ok(());
    }
    let name = |key: &[u8]| ItemKey::from_bytes(key).map(|key| key.to_string());
    let differs = |(key, digest): &(&Vec<u8>, &Digest), other: &BTreeMap<_, _>| {
        other.get(*key) != Some(*digest)
    };
    let lacks = expected.iter().filter(|item| differs(item, &held));
    let more = held.iter().filter(|item| differs(item, &expected));
    let (lacks, more): (Vec<_>, Vec<_>) = (
        lacks.map(|(key, _)| name(key)).collect(),
        more.map(|(key, _)| name(key)).collect(),
    );
    Err(format!(
        "{island} has the packages up to {position}; it lacks {} revisions, the first {:?}, and has {} others, the \
         first {:?}",
        lacks.len(),
        lacks.first(),
        more.len(),
        more.first()
    ))
}

/// What the courier was told is so.
pub fn they_are_kept(world: &mut World, sites: &Sites) -> Outcome {
    let Some((island, directory)) = island(world, sites) else {
        return Ok(());
    };
    let source = world.databases.package_source(&directory);
    let position = world.runtime.block_on(source).map_or(0, |(_, at)| at);
    let told = world.shared.carried();
    match told.contains(&position) {
        true => Ok(()),
        false => Err(format!(
            "{island} has them up to {position}, told was {told:?}"
        )),
    }
}

/// Where everything was carried at last, nothing differs: neither catalog nor decisions nor files.
pub fn all_came(world: &mut World, sites: &Sites) -> Outcome {
    if !world.ledger.carried {
        return Ok(());
    }
    let Some((island, directory)) = island(world, sites) else {
        return Err("nobody lives from packages".to_owned());
    };
    let central = world.plan.central;
    let from = world.shared.directory(central);
    let (ours, theirs) = (items(world, central), items(world, island));
    if live_revisions(ours) != live_revisions(theirs) {
        return Err(format!("{island} has another catalog than {central}"));
    }
    let shown = world.runtime.block_on(world.databases.headers(&from));
    for key in shown
        .keys()
        .filter(|key| matches!(key, ItemKey::Approval(_)))
    {
        let bytes = key.to_bytes();
        let ours = world.databases.content(&from, &bytes);
        let ours = world.runtime.block_on(ours);
        let theirs = world.databases.content(&directory, &bytes);
        let theirs = world.runtime.block_on(theirs);
        if ours != theirs {
            return Err(format!(
                "{key:?} is {ours:?} at {central}, {theirs:?} at {island}"
            ));
        }
    }
    let needed = world.runtime.block_on(world.databases.files_in_use(&from));
    let held = world
        .runtime
        .block_on(world.databases.held_files(&directory));
    let held: BTreeSet<String> = held.into_iter().collect();
    let lacks: Vec<&String> = needed.iter().filter(|file| !held.contains(*file)).collect();
    match lacks.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{island} lacks {} of {} files that were carried, the first {first}",
            lacks.len(),
            needed.len()
        )),
    }
}
