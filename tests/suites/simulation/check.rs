//! What must hold, each under the number of its invariant in docs/architecture.md. To add a check: a function,
//! and a line in [`ALWAYS`], [`NOW_AND_THEN`], [`AT_REST`] or [`AT_THE_END`].

mod alerts;
mod needed;
mod packages;
mod tidy;

use crate::database::{self, Item, Snapshot};
use crate::ledger::{Ledger, is_revision};
use crate::software::host_of;
use crate::world::World;
use catalog::PointId;
use catalog::approval::{Approval, Cause, Record};
use catalog::item::ItemKey;
use std::collections::BTreeMap;

/// Bytes of a pull besides its changes, a connection and its handshake among them, at most.
const CONNECTION_BYTES: u64 = 16 * 1024;
/// Bytes of talk in a simulated second, at most.
const TALK_BYTES: u64 = 4 * 1024;
/// Milliseconds between two clocks, at most.
const CLOCKS_DIFFER: i64 = 6_000;
/// Changes in a batch of the simulation, and one for good measure.
const BATCH: u64 = 26;

type Outcome = Result<(), String>;

/// Something that must hold.
pub struct Check {
    /// Number of the invariant.
    pub invariant: u8,
    /// What must hold.
    pub what: &'static str,
    check: fn(&mut World, &Sites) -> Outcome,
}

/// Every site that has a database, as it is at the moment.
pub type Sites = BTreeMap<PointId, Snapshot>;

const fn check(
    invariant: u8,
    what: &'static str,
    check: fn(&mut World, &Sites) -> Outcome,
) -> Check {
    Check {
        invariant,
        what,
        check,
    }
}

/// Twice in a second.
pub const ALWAYS: &[Check] = &[
    check(2, "positions never fall within an epoch", positions_grow),
    check(
        2,
        "no site is further than the central site",
        nobody_is_ahead,
    ),
    check(
        2,
        "how far packages were taken in never falls",
        packages::they_go_on,
    ),
    check(
        7,
        "a package is taken, or refused, as its order says",
        packages::answers_are_right,
    ),
];

/// Every few seconds, and after every loss of power.
pub const NOW_AND_THEN: &[Check] = &[
    check(
        3,
        "what is shown is what a statement covers",
        shown_is_signed,
    ),
    check(
        7,
        "no site holds what was never published",
        nothing_is_foreign,
    ),
    check(
        1,
        "a revision's bytes are the same everywhere",
        bytes_are_the_same,
    ),
    check(
        4,
        "no number of a status message is left out",
        messages_are_dense,
    ),
    check(
        4,
        "who lives from packages has the catalog of the last one, and nothing else",
        packages::catalogs_are_one,
    ),
    check(
        9,
        "who changed the settings is told, of every change once",
        changes_are_told,
    ),
];

/// Before these hold, a run has not come to rest.
pub const AT_REST: &[Check] = &[
    check(2, "every site has the root of its parent", roots_are_one),
    check(4, "no status message was lost or doubled", messages_arrived),
    check(4, "nothing is left in a passing state", nothing_is_stuck),
    check(8, "the schedule was kept", schedule_was_kept),
    check(
        9,
        "every site has the settings that are in force",
        settings_arrived,
    ),
    check(4, "no decision was lost", decisions_are_kept),
    check(4, "no imported package was lost", needed::packages_are_kept),
    check(
        4,
        "packages came as far as the courier was told",
        packages::they_are_kept,
    ),
    check(
        4,
        "all that was carried came, decisions and files among it",
        packages::all_came,
    ),
    check(4, "every needed file came", needed::files_came),
    check(9, "who is well has no alert", alerts::none_of_who_is_well),
    check(
        2,
        "the clean-up came to its end everywhere",
        tidy::nothing_is_unused,
    ),
    check(
        2,
        "a new revision of what supersedes an update does not put its expiry off",
        tidy::expiries_stay,
    ),
];

/// When everything has come to rest.
pub const AT_THE_END: &[Check] = &[
    check(
        2,
        "the root of the database is that of the statement",
        roots_are_real,
    ),
    check(4, "the database is whole", databases_are_whole),
    check(1, "files are what the catalog says", needed::files_are_real),
    check(
        5,
        "a pull costs what changed, and what was on its way for each break",
        pulls_are_cheap,
    ),
    check(
        7,
        "nobody was taken for a liar and nothing was repaired, for nobody lied",
        nobody_was_refused,
    ),
];

/// The codes of all sites of a run.
pub fn codes(world: &World) -> Vec<PointId> {
    let children = world.plan.sites.iter().map(|site| site.code);
    std::iter::once(world.plan.central)
        .chain(children)
        .chain(world.plan.island)
        .collect()
}

/// Every site that has a database.
pub fn sites(world: &mut World) -> Sites {
    let mut sites = Sites::new();
    for code in codes(world) {
        let directory = world.shared.directory(code);
        if let Some(snapshot) = world.runtime.block_on(world.databases.snapshot(&directory)) {
            sites.insert(code, snapshot);
        }
    }
    sites
}

fn items(world: &mut World, site: PointId) -> Vec<Item> {
    let directory = world.shared.directory(site);
    world.runtime.block_on(world.databases.items(&directory, 0))
}

/// Checks; the error says what does not hold, where, and how.
pub fn all(world: &mut World, sites: &Sites, checks: &[Check]) -> Outcome {
    for check in checks {
        (check.check)(world, sites).map_err(|how| {
            let Check {
                invariant, what, ..
            } = check;
            format!("invariant {invariant}, {what}: {how}")
        })?;
    }
    Ok(())
}

/// The sites that have a way to the central site: those that were not removed, nor any site above them.
pub fn reachable(world: &World) -> Vec<(PointId, PointId)> {
    let members = world.shared.members();
    let has_way = |site: PointId| {
        let mut at = site;
        while at != world.plan.central {
            match members.get(&at) {
                Some(parent) => at = *parent,
                None => return false,
            }
        }
        true
    };
    let members = members.iter().map(|(site, parent)| (*site, *parent));
    members.filter(|(site, _)| has_way(*site)).collect()
}

fn positions_grow(world: &mut World, sites: &Sites) -> Outcome {
    for (code, now) in sites {
        if let Some(seen) = world.ledger.seen.get(code)
            && seen.epoch == now.epoch
        {
            if now.verified < seen.verified {
                return Err(format!(
                    "{code} was at {}, is at {}",
                    seen.verified, now.verified
                ));
            }
            if now.head < seen.head && now.generation == seen.generation {
                return Err(format!("{code} held up to {}, now {}", seen.head, now.head));
            }
            if now.generation < seen.generation {
                return Err(format!("{code}: the generation fell"));
            }
        }
        world.ledger.seen.insert(*code, now.clone());
    }
    Ok(())
}

fn nobody_is_ahead(world: &mut World, sites: &Sites) -> Outcome {
    let Some(central) = sites.get(&world.plan.central) else {
        return Ok(());
    };
    for (code, site) in sites {
        let noticed = !world.ledger.restored;
        if noticed && site.epoch == central.epoch && site.head > central.head {
            return Err(format!(
                "{code} is at {}, the top at {}",
                site.head, central.head
            ));
        }
    }
    Ok(())
}

fn shown_is_signed(world: &mut World, sites: &Sites) -> Outcome {
    for (code, site) in sites {
        let Some((key, hierarchy)) = Ledger::authority_of(world, *code) else {
            continue;
        };
        let Some(statement) = &site.statement else {
            match site.verified {
                0 => continue,
                at => return Err(format!("{code} shows up to {at} without a statement")),
            }
        };
        let claimed = statement
            .verify(&key, hierarchy)
            .map_err(|error| format!("{code}: {error}"))?;
        if (claimed.epoch, claimed.position) != (site.epoch, site.verified) {
            return Err(format!(
                "{code} shows up to {}, its statement is of {}",
                site.verified, claimed.position
            ));
        }
        let items = items(world, *code);
        let (root, count) = database::root(&items, site.verified);
        if root != claimed.root || count != claimed.items {
            return Err(format!(
                "{code} shows {count} items at {}, and not the {} of its statement",
                site.verified, claimed.items
            ));
        }
    }
    Ok(())
}

fn settings_arrived(world: &mut World, sites: &Sites) -> Outcome {
    let central = world.plan.central;
    let directory = world.shared.directory(central);
    let newest = world
        .runtime
        .block_on(world.databases.settings_version(&directory));
    let members = reachable(world).into_iter().map(|(site, _)| site);
    for code in members
        .chain([central])
        .filter(|code| sites.contains_key(code))
    {
        let directory = world.shared.directory(code);
        let held = world
            .runtime
            .block_on(world.databases.rolled_out(&directory));
        let held = held.map_err(|error| format!("{code}: {error}"))?;
        if held != newest {
            return Err(format!("{code} has version {held}, in force is {newest}"));
        }
    }
    Ok(())
}

fn nothing_is_foreign(world: &mut World, sites: &Sites) -> Outcome {
    // What came in packages is looked at by itself.
    let tops = [Some(world.plan.central), world.plan.island];
    let children = sites
        .iter()
        .filter(|(code, _)| !tops.contains(&Some(**code)));
    for (code, site) in children {
        for item in items(world, *code) {
            let change = (site.epoch, item.position, item.key, item.digest);
            let content = (change.2, change.3);
            if world.ledger.compared && world.ledger.contents.contains(&content) {
                continue;
            }
            let change = (change.0, change.1, content.0, content.1);
            if !world.ledger.published.contains(&change) {
                return Err(format!("{code} holds {:?} at {}", change.2, item.position));
            }
        }
    }
    Ok(())
}

fn bytes_are_the_same(world: &mut World, sites: &Sites) -> Outcome {
    for code in sites.keys() {
        for item in items(world, *code) {
            let Some(digest) = item.digest else { continue };
            if item.real_digest != Some(digest) {
                return Err(format!(
                    "{code}, position {}: not what was digested",
                    item.position
                ));
            }
            if !is_revision(&item.key) {
                // What was decided may be decided otherwise.
                continue;
            }
            let first = *world.ledger.digests.entry(item.key).or_insert(digest);
            if first != digest {
                return Err(format!("{code}, position {}: other bytes", item.position));
            }
        }
    }
    Ok(())
}

fn messages_are_dense(world: &mut World, sites: &Sites) -> Outcome {
    for code in sites.keys() {
        let directory = world.shared.directory(*code);
        let numbers = world
            .runtime
            .block_on(world.databases.status_numbers(&directory));
        let Some(own) = numbers.get(code) else {
            continue;
        };
        let (first, last) = (own.first().unwrap(), own.last().unwrap());
        if last - first + 1 != i64::try_from(own.len()).unwrap() {
            return Err(format!(
                "{code} has {} messages from {first} to {last}",
                own.len()
            ));
        }
    }
    Ok(())
}

fn roots_are_one(world: &mut World, sites: &Sites) -> Outcome {
    let claimed = |code: &PointId| {
        let statement = sites.get(code)?.statement.as_ref()?.claimed();
        Some((statement.position, statement.root))
    };
    for (site, parent) in reachable(world) {
        if claimed(&site) != claimed(&parent) {
            return Err(format!("{site} and {parent} differ"));
        }
    }
    Ok(())
}

fn roots_are_real(world: &mut World, sites: &Sites) -> Outcome {
    for (code, site) in sites {
        let location = store::Location::Directory(world.shared.directory(*code));
        let root = world.runtime.block_on(async {
            let store = store::Store::open(&location).await.unwrap();
            let root = store.recompute_root().await.unwrap();
            store.close().await;
            root
        });
        let statement = site.statement.as_ref().map(|statement| statement.claimed());
        if site.head == site.verified && statement.is_some_and(|claimed| claimed.root != root) {
            return Err(format!("{code}, at {}", site.verified));
        }
    }
    Ok(())
}

fn messages_arrived(world: &mut World, _: &Sites) -> Outcome {
    if world.ledger.restored {
        // What the older copy does not hold was acknowledged long ago.
        return Ok(());
    }
    let central = world.shared.directory(world.plan.central);
    let arrived = world
        .runtime
        .block_on(world.databases.status_numbers(&central));
    let reachable = reachable(world);
    let is_reachable = |site: PointId| reachable.iter().any(|(code, _)| *code == site);
    for site in &world.plan.sites {
        let directory = world.shared.directory(site.code);
        let sent = world
            .runtime
            .block_on(world.databases.status_numbers(&directory));
        let sent = sent.get(&site.code).cloned().unwrap_or_default();
        let arrived = arrived.get(&site.code).cloned().unwrap_or_default();
        if world.ledger.forgetful.contains(&site.code) {
            // It keeps the newest. All that it ever recorded arrived, without a gap.
            let (first, last) = (arrived.first().copied(), arrived.last().copied());
            let all = first.unwrap_or(0)..=last.unwrap_or(0);
            let gaps: Vec<i64> = all.filter(|number| !arrived.contains(number)).collect();
            let waiting: Vec<i64> = sent.difference(&arrived).copied().collect();
            if first.is_none() || !gaps.is_empty() || !waiting.is_empty() {
                return Err(format!(
                    "{} forgot what did not arrive: {gaps:?} of {first:?} to {last:?}; {waiting:?} it holds",
                    site.code
                ));
            }
            continue;
        }
        if !arrived.is_subset(&sent) {
            return Err(format!("{} never sent all that arrived", site.code));
        }
        if is_reachable(site.code) && arrived != sent {
            let missing: Vec<_> = sent.difference(&arrived).take(5).collect();
            return Err(format!(
                "{} sent {missing:?}, which did not arrive",
                site.code
            ));
        }
    }
    Ok(())
}

/// Whatever is in force, the journal says who made it.
fn changes_are_told(world: &mut World, sites: &Sites) -> Outcome {
    let tops = [Some(world.plan.central), world.plan.island];
    for top in tops.into_iter().flatten() {
        if !sites.contains_key(&top) {
            continue;
        }
        let directory = world.shared.directory(top);
        let changes = world.databases.settings_changes(&directory);
        let (made, told) = world.runtime.block_on(changes);
        if made != told {
            return Err(format!(
                "{top} has the versions {made:?}, told are {told:?}"
            ));
        }
    }
    Ok(())
}

/// A time of the schedule that was missed is made up for, so it takes no longer than coming to rest.
pub fn schedule_was_kept(world: &mut World, sites: &Sites) -> Outcome {
    let Some(at) = world.shared.scheduled() else {
        return Ok(());
    };
    let started = sites
        .get(&world.plan.central)
        .map_or(0, |site| site.last_start);
    // Clocks differ by some seconds.
    if started + CLOCKS_DIFFER < at.as_millisecond() {
        return Err(format!("the last run began at {started}, and not at {at}"));
    }
    Ok(())
}

/// What a person was told is so, unless the update changed since; by the roots it is so at every site.
fn decisions_are_kept(world: &mut World, _: &Sites) -> Outcome {
    if world.ledger.restored {
        // What the older copy does not hold has to be decided anew.
        return Ok(());
    }
    let directory = world.shared.directory(world.plan.central);
    for (update, declined) in world.shared.decided() {
        let key = ItemKey::Approval(update.parse().unwrap()).to_bytes();
        let held = world.databases.content(&directory, &key);
        let held = world.runtime.block_on(held);
        let Some(record) = held.map(|bytes| Record::from_bytes(&bytes).unwrap()) else {
            return Err(format!("nothing is known of a decision about {update}"));
        };
        let kept = match record.cause {
            Cause::Person(_) => {
                let wanted = match declined {
                    true => Approval::Declined,
                    false => Approval::Install { deadline: None },
                };
                record.approval == wanted
            }
            Cause::NewRevision | Cause::ExpiredByPublisher | Cause::Cleanup => true,
            Cause::Rule(_) => false,
        };
        if !kept {
            return Err(format!(
                "declined was {declined} for {update}, which is {record:?}"
            ));
        }
    }
    Ok(())
}

fn nothing_is_stuck(world: &mut World, sites: &Sites) -> Outcome {
    let reachable = reachable(world);
    for (code, site) in sites {
        let is_top = [Some(world.plan.central), world.plan.island].contains(&Some(*code));
        if !is_top && !reachable.iter().any(|(held, _)| held == code) {
            continue;
        }
        if site.outbox != 0 || site.unfinished != 0 || site.head != site.verified {
            return Err(format!(
                "{code}: outbox {}, runs {}, head {} of {}",
                site.outbox, site.unfinished, site.verified, site.head
            ));
        }
    }
    Ok(())
}

fn nobody_was_refused(world: &mut World, sites: &Sites) -> Outcome {
    if world.ledger.restored || world.ledger.compared {
        // Until a restore is noticed, two catalogs may claim one position; and rows that were damaged are
        // repaired.
        return Ok(());
    }
    for code in sites.keys() {
        let directory = world.shared.directory(*code);
        let refusals = world.databases.refusals(&directory);
        let refusals = world.runtime.block_on(refusals);
        if let Some(why) = refusals.first() {
            return Err(format!("{code}: {why}"));
        }
    }
    Ok(())
}

fn databases_are_whole(world: &mut World, sites: &Sites) -> Outcome {
    for code in sites.keys() {
        let directory = world.shared.directory(*code);
        let verdict = world
            .runtime
            .block_on(world.databases.integrity(&directory));
        if verdict != "ok" {
            return Err(format!("{code}: {verdict}"));
        }
    }
    Ok(())
}

fn pulls_are_cheap(world: &mut World, sites: &Sites) -> Outcome {
    let talk = world.elapsed().as_secs() * TALK_BYTES;
    for site in &world.plan.sites {
        let meters = world.shared.network.meters();
        let own = meters
            .iter()
            .filter(|((from, _), _)| *from == host_of(site.code));
        let (connections, received) = own.fold((0, 0), |(connections, received), (_, meter)| {
            (connections + meter.connections, received + meter.received)
        });
        let batch = BATCH * world.ledger.largest_change;
        // What was under way when a run broke off was sent in vain: as much as the window of a stream
        // holds, which is more than there is.
        let failed = sites.get(&site.code).map_or(0, |site| site.failed);
        // While the disk is full, the history does not say that a run failed, and a loss of power forgets it.
        let unwritten = world.disk.struck(site.code);
        let pulls = 1 + u64::try_from(failed).unwrap() + unwritten;
        let bound =
            pulls * world.ledger.published_bytes + connections * (batch + CONNECTION_BYTES) + talk;
        if received > bound {
            return Err(format!(
                "{} received {received}, at most {bound} are due",
                site.code
            ));
        }
    }
    Ok(())
}
