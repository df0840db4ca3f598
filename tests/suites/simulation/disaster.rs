//! Disasters that no fault undoes by itself: the database of the top-level site is put back from an older
//! copy, and rows of a site are altered below the software. Nobody says so to the software.

use crate::plan::{Plan, Work};
use crate::run;
use crate::software::{Errand, Since, Wish, host_of};
use crate::world::World;
use catalog::PointId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disaster {
    /// The top-level database is put back.
    Restored,
    /// Rows of a child are altered, and somebody has the site verified.
    Damaged,
    /// Rows of a child are lost, and a full synchronization comes.
    Lost,
}

/// What is done to rows whose position leaves a rest.
pub const DAMAGE: [&str; 4] = [
    "delete from item where position % 7 = 3",
    "update item set document = x'00' where position % 7 = 3",
    "update item set digest = x'00' where position % 7 = 3",
    "update item set bucket = (bucket + 1) % 65536 where position % 7 = 3",
];

/// A hierarchy of the seed's shape in which nothing else goes wrong, at rest.
fn calm(seed: u64, random: &mut StdRng) -> Result<World, String> {
    let shape = Plan::new(seed);
    let mut plan = Plan::quiet(shape.sites.clone(), Duration::from_secs(30 * 24 * 3600));
    plan.seed = seed;
    plan.island = shape.island;
    plan.pace = plan.pace.with_files(shape.pace.files);
    plan.updates = shape.updates;
    plan.latency = shape.latency;
    let mut world = World::new(plan);
    for site in shape.sites {
        world.work(Work::Person(site.invitation()));
    }
    world.work(Work::Person(Wish::Sync { full: true }));
    run::come_to_rest(&mut world)?;
    changes(&mut world, random)?;
    Ok(world)
}

/// Some changes, each at rest everywhere.
fn changes(world: &mut World, random: &mut StdRng) -> Result<(), String> {
    for _ in 0..random.random_range(1..4) {
        change(world, random)?;
    }
    Ok(())
}

fn change(world: &mut World, random: &mut StdRng) -> Result<(), String> {
    run::expect_a_run(world);
    world.work(Work::Publish(random.random_range(3..30)));
    world.work(Work::Person(Wish::Sync { full: false }));
    run::come_to_rest(world)
}

/// Lets a disaster happen, and everything come to rest.
pub fn strike(disaster: Disaster, seed: u64) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = calm(seed, &mut random)?;
    let ended = match disaster {
        Disaster::Restored => restored(&mut world, &mut random),
        Disaster::Damaged | Disaster::Lost => damaged(&mut world, &mut random, disaster),
    };
    ended.map_err(|why| run::told(&mut world, &format!("{disaster:?}: {why}")))
}

/// Where another hierarchy lives from packages, it gets one.
fn carry(world: &mut World, since: Since) -> Result<(), String> {
    if world.plan.island.is_none() {
        return Ok(());
    }
    let package = world.shared.packages();
    world.work(Work::Courier(Errand::Export {
        since,
        approvals: true,
        content: world.plan.pace.files,
    }));
    world.work(Work::Courier(Errand::Import { package }));
    run::come_to_rest(world)
}

fn restored(world: &mut World, random: &mut StdRng) -> Result<(), String> {
    carry(world, Since::Beginning)?;
    world.back_up_central();
    changes(world, random)?;
    carry(world, Since::Last)?;
    let central = host_of(world.plan.central);
    world.cut_power(&central);
    world.restore_central();
    world.ledger.central_was_restored(world.plan.central);
    // The source may have gone on meanwhile, and somebody may ask before anybody notices.
    if random.random_ratio(1, 2) {
        world.work(Work::Publish(random.random_range(3..30)));
    }
    world.give_power(&central);
    run::expect_a_run(world);
    world.work(Work::Person(Wish::Sync { full: false }));
    run::come_to_rest(world)?;
    world.shared.another_era();
    // Nothing can follow what was carried last any more: the courier is told to carry everything.
    carry(world, Since::Last)?;
    changes(world, random)?;
    run::carry_all(world)
}

fn damaged(world: &mut World, random: &mut StdRng, disaster: Disaster) -> Result<(), String> {
    let site = world.plan.sites[random.random_range(0..world.plan.sites.len())].code;
    let sql = match disaster {
        Disaster::Lost => DAMAGE[0],
        Disaster::Restored | Disaster::Damaged => DAMAGE[random.random_range(0..DAMAGE.len())],
    };
    damage(world, site, sql);
    world.work(Work::Person(match disaster {
        Disaster::Lost => Wish::Sync { full: true },
        Disaster::Restored | Disaster::Damaged => Wish::Verify { site },
    }));
    run::come_to_rest(world)?;
    changes(world, random)?;
    run::carry_all(world)
}

pub fn damage(world: &mut World, site: PointId, sql: &'static str) {
    let directory = world.shared.directory(site);
    let damaged = world.databases.damage(&directory, sql);
    let rows = world.runtime.block_on(damaged);
    world.ledger.damaged = true;
    world.note(format!("{rows} rows of {site}: {sql}"));
}
