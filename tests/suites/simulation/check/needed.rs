//! What must hold of update files and of packages.

use super::{Sites, reachable};
use crate::package;
use crate::world::World;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use catalog::PointId;
use catalog::item::ItemKey;
use link::settings::ContentStore;
use std::path::Path;

type Outcome = Result<(), String>;

/// The sites that files come to: the top-level site, and those that have a way to it.
fn served(world: &World, sites: &Sites) -> Vec<PointId> {
    let reachable = reachable(world).into_iter().map(|(site, _)| site);
    let all = std::iter::once(world.plan.central).chain(reachable);
    all.filter(|site| sites.contains_key(site)).collect()
}

/// Every file that a site needs is there.
pub fn files_came(world: &mut World, sites: &Sites) -> Outcome {
    for site in served(world, sites) {
        let directory = world.shared.directory(site);
        let missing = world
            .runtime
            .block_on(world.databases.missing_files(&directory));
        if let Some(why) = missing.first() {
            return Err(format!("{site} lacks {} files: {why}", missing.len()));
        }
    }
    Ok(())
}

/// What a site says it holds lies in its store, byte for byte.
pub fn files_are_real(world: &mut World, sites: &Sites) -> Outcome {
    for site in sites.keys() {
        let directory = world.shared.directory(*site);
        let held = world
            .runtime
            .block_on(world.databases.held_files(&directory));
        let ContentStore::Directory(folder) = ContentStore::within(&directory) else {
            continue;
        };
        for sha1 in held {
            let found =
                find(&folder, &sha1).ok_or_else(|| format!("{site}: {sha1} is not there"))?;
            let real = digest(&SHA1_FOR_LEGACY_USE_ONLY, &found);
            if hex(real.as_ref()) != sha1 {
                return Err(format!("{site}: {sha1} is not what is in it"));
            }
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// The bytes of a file, in the layout of WSUS.
fn find(folder: &Path, sha1: &str) -> Option<Vec<u8>> {
    let entries = std::fs::read_dir(folder.join(&sha1[38..])).ok()?;
    let mut names = entries.flatten().map(|entry| entry.path());
    let path = names.find(|path| path.file_stem().is_some_and(|stem| stem == sha1))?;
    std::fs::read(path).ok()
}

/// What was taken in from a package is in the catalog of the top-level site, unless it was declined, which lets a source
/// take it away that does not list it; by the roots it is so everywhere.
pub fn packages_are_kept(world: &mut World, _: &Sites) -> Outcome {
    if world.ledger.restored {
        // What the older copy does not hold has to be imported anew.
        return Ok(());
    }
    let directory = world.shared.directory(world.plan.central);
    let declined = world.shared.declined();
    for seed in world.shared.imported() {
        let documents = package::documents(seed).into_iter();
        let ids = documents.map(|(id, _)| id);
        for id in ids.filter(|id| !declined.contains(&id.update_id.to_string())) {
            let key = ItemKey::Revision(id).to_bytes();
            let held = world.databases.content(&directory, &key);
            if world.runtime.block_on(held).is_none() {
                return Err(format!("{id} was imported and is not there"));
            }
        }
    }
    Ok(())
}
