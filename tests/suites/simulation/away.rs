//! A site that is cut off for a week while a month's worth of changes is published, and comes back: it has
//! to catch up soon, and for what changed, not for what there is.

use crate::check;
use crate::plan::{CENTRAL, Plan, Site, Work, code};
use crate::run;
use crate::software::{Pace, Wish, host_of};
use crate::world::World;
use catalog::{PointId, SiteKind};
use std::time::Duration;
use sync::EngineSettings;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long the site is away.
const DAYS: u32 = 7;
/// What is published each day, in percent of the catalog: a month at one percent a day, in a week.
const DAILY: u8 = 4;
/// Updates that are withdrawn each day.
const WITHDRAWN: usize = 3;
/// Updates in the beginning.
const UPDATES: u32 = 500;
/// A week takes too long in small steps.
const TICK: Duration = Duration::from_secs(2);
/// How long everything may take to come to rest: to be dialled again, and to catch up.
const CATCH_UP: Duration = Duration::from_secs(3 * 60);
/// Bytes received for each hundred bytes that changed, where the log reaches back: the changes, and their
/// frames.
const PULLED_PERCENT: u64 = 115;
/// The same where catalogs are compared: digests and keys of what differs come first.
const COMPARED_PERCENT: u64 = 150;
/// Bytes of a conversation besides changes: its handshake, what acknowledges a week's status messages, and
/// some requests.
const CONVERSATION: u64 = 48 * 1024;
/// How often the child writes to its parent while it catches up: its handshake, the calls, and the status
/// messages of a week, batch by batch.
const MOST_WRITES: usize = 150;
/// What the log says where catalogs are compared.
const COMPARING: &str = "Comparing the catalog with that of site";

/// What the parent still knows when the child comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Every removal since.
    Long,
    /// The removals of the last two days.
    Short,
}

impl Memory {
    /// How long removals are remembered.
    fn kept(self) -> Duration {
        match self {
            Self::Long => 90 * DAY,
            Self::Short => 2 * DAY,
        }
    }

    /// Bytes that may be received for each hundred that changed.
    fn percent(self) -> u64 {
        match self {
            Self::Long => PULLED_PERCENT,
            Self::Short => COMPARED_PERCENT,
        }
    }
}

/// What it cost a site to catch up.
#[derive(Debug, Clone, Copy)]
struct Cost {
    received: u64,
    writes: usize,
}

/// Cuts a site off for a week; the error says what was wrong afterwards.
pub fn a_week(memory: Memory) -> Result<(), String> {
    let (central, primary) = (code(CENTRAL), code("PR1"));
    let site = |name, kind, parent| Site {
        code: code(name),
        kind,
        parent,
    };
    let sites = vec![
        site("PR1", SiteKind::Primary, central),
        site("PR2", SiteKind::Primary, central),
        site("SE1", SiteKind::Secondary, primary),
    ];
    let mut plan = Plan::quiet(sites.clone(), 30 * DAY);
    plan.updates = UPDATES;
    plan.tick = TICK;
    plan.pace = Pace {
        certificates: 30 * DAY,
        statements: 7 * DAY,
        // As the product has them where nobody says otherwise.
        engine: EngineSettings {
            poll: Some(HOUR / 4),
            ..EngineSettings::default()
        },
        removals_kept: memory.kept(),
        look: Duration::from_secs(5),
        tidy: false,
        files: false,
    };
    let mut world = World::new(plan);
    for site in sites {
        world.work(Work::Person(site.invitation()));
    }
    world.work(Work::Person(Wish::Sync { full: true }));
    let ended = catch_up(&mut world, 4 * CATCH_UP).and_then(|_| away(&mut world, primary, memory));
    ended.map_err(|why| run::told(&mut world, &format!("{memory:?}: {why}")))
}

fn away(world: &mut World, site: PointId, memory: Memory) -> Result<(), String> {
    let central = world.plan.central;
    let (one, other) = (host_of(central), host_of(site));
    world.sim.partition(one.as_str(), other.as_str());
    let left = check::sites(world)[&site].clone();
    for day in 1..=DAYS {
        world.work(Work::Publish(DAILY));
        world.work(Work::Withdraw(WITHDRAWN));
        world.work(Work::Person(Wish::Sync { full: true }));
        run::pass(world, DAY, HOUR)?;
        let at = check::sites(world)[&central].verified;
        println!("  day {day}: the central site is at position {at}");
    }
    let now = check::sites(world);
    if now[&site].verified != left.verified {
        return Err(format!("{site} was not cut off"));
    }
    if now[&code("PR2")].verified != now[&central].verified {
        return Err("PR2 was not cut off and is behind".to_owned());
    }
    let directory = world.shared.directory(central);
    let changes = world.databases.items(&directory, left.verified);
    let changes = world.runtime.block_on(changes);
    let changed: u64 = changes.iter().map(|c| c.bytes + c.key.len() as u64).sum();
    let held = world.runtime.block_on(world.databases.items(&directory, 0));
    let held: u64 = held.iter().map(|item| item.bytes).sum();
    let compared = comparisons(world, site);

    let before = [site, code("SE1")].map(|site| cost(world, site));
    world.mend_link(&one, &other);
    let took = catch_up(world, CATCH_UP)?;
    let compared = comparisons(world, site) - compared;
    println!(
        "{memory:?}: {} changes of {changed} bytes in a catalog of {held} bytes, caught up in {took:?}, \
         {compared} comparisons",
        changes.len()
    );
    for (site, before) in [site, code("SE1")].into_iter().zip(before) {
        let now = cost(world, site);
        let received = now.received - before.received;
        let writes = now.writes - before.writes;
        println!("  {site} received {received} bytes and wrote {writes} times");
        let bound = changed * memory.percent() / 100 + CONVERSATION;
        if received > bound || bound > held {
            return Err(format!(
                "{site} received {received} bytes, {bound} are due, and {held} are everything"
            ));
        }
        if writes > MOST_WRITES {
            return Err(format!("{site} wrote {writes} times to catch up"));
        }
    }
    match (memory, compared) {
        (Memory::Long, 0) | (Memory::Short, 1) => Ok(()),
        (Memory::Long | Memory::Short, _) => Err(format!("{site} compared {compared} times")),
    }
}

/// Waits until nothing is left to do, and how long that took.
fn catch_up(world: &mut World, patience: Duration) -> Result<Duration, String> {
    let began = world.elapsed();
    let mut why = String::new();
    while world.elapsed() < began + patience {
        run::step(world)?;
        match run::rest(world) {
            Ok(()) => {
                let took = world.elapsed() - began;
                let sites = check::sites(world);
                check::all(world, &sites, check::NOW_AND_THEN)?;
                check::all(world, &sites, check::AT_THE_END)?;
                return Ok(took);
            }
            Err(not_yet) => why = not_yet,
        }
    }
    Err(format!("did not catch up within {patience:?}: {why}"))
}

/// What a site received from whoever it dialled, and how often it wrote, so far.
fn cost(world: &World, site: PointId) -> Cost {
    let host = host_of(site);
    let meters = world.shared.network.meters();
    let own = meters.iter().filter(|((from, _), _)| *from == host);
    let events = world.shared.network.events();
    let wrote = |what: &str| what.starts_with("wrote to");
    let writes = events.iter().filter(|e| *e.host == *host && wrote(&e.what));
    Cost {
        received: own.map(|(_, meter)| meter.received).sum(),
        writes: writes.count(),
    }
}

/// How often a site compared its catalog, by its log.
fn comparisons(world: &World, site: PointId) -> usize {
    let log = world.shared.directory(site).join("logs/wsyncmgr.log");
    let log = std::fs::read_to_string(log).unwrap();
    log.matches(COMPARING).count()
}
