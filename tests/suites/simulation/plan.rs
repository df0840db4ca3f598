//! What happens in a run, as its seed says: pure data, made before anything starts.

mod carried;
mod replica;

use crate::fault::{self, Fault};
use crate::software::{Errand, Pace, Wish};
use catalog::{PointId, SiteKind};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::time::Duration;

/// Code of the central site.
pub const CENTRAL: &str = "CAS";
/// Code of the top-level site that lives from packages.
pub const ISLAND: &str = "ISL";
/// Until when there are faults, in seconds.
const FAULTS_UNTIL: u64 = 90;
/// Longest that a fault lasts, in seconds.
const LONGEST_FAULT: u64 = 25;
/// How far time moves at once, where nothing else is wanted.
const TICK: Duration = Duration::from_millis(10);

/// A child site.
#[derive(Debug, Clone, Copy)]
pub struct Site {
    /// Its code.
    pub code: PointId,
    /// Its kind.
    pub kind: SiteKind,
    /// Its parent.
    pub parent: PointId,
}

impl Site {
    /// What makes it a member.
    pub fn invitation(self) -> Wish {
        Wish::Invite {
            site: self.code,
            kind: self.kind,
            parent: self.parent,
        }
    }
}

/// Something that somebody does.
#[derive(Debug, Clone, Copy)]
pub enum Work {
    /// The upstream publishes, revises and expires about so many percent of its updates.
    Publish(u8),
    /// The upstream lists so many of its oldest updates no more.
    Withdraw(usize),
    /// The person at the central site does something.
    Person(Wish),
    /// The courier does something.
    Courier(Errand),
}

/// A fault, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Scheduled {
    /// When it begins.
    pub from: Duration,
    /// When it ends.
    pub until: Duration,
    /// What it is.
    pub fault: Fault,
}

/// A run before it is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    /// Code of the central site.
    pub central: PointId,
    /// Code of the top-level site of another hierarchy, which no network reaches and a courier brings packages to.
    pub island: Option<PointId>,
    /// All child sites that there will ever be.
    pub sites: Vec<Site>,
    /// How many updates the upstream has in the beginning.
    pub updates: u32,
    /// How sites are set.
    pub pace: Pace,
    /// How far time moves at once. What is sent arrives a tick later at the soonest.
    pub tick: Duration,
    /// Shortest and longest time that a message travels.
    pub latency: (Duration, Duration),
    /// Which part of messages breaks a link for a while.
    pub loss: f64,
    /// How far the clocks of hosts are off, in milliseconds.
    pub skews: Vec<(String, i64)>,
    /// What is done, in order.
    pub work: Vec<(Duration, Work)>,
    /// What goes wrong, in order.
    pub faults: Vec<Scheduled>,
    /// When the faults are over.
    pub calm: Duration,
}

/// A site code.
pub fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

fn seconds(random: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range.start * 1000..range.end * 1000))
}

impl Plan {
    /// A plan in which nothing happens by itself.
    pub fn quiet(sites: Vec<Site>, certificates: Duration) -> Self {
        Self {
            seed: 1,
            central: code(CENTRAL),
            island: None,
            sites,
            updates: 30,
            pace: Pace::brisk(certificates, Duration::from_secs(7 * 24 * 3600)),
            tick: TICK,
            latency: (Duration::from_millis(1), Duration::from_millis(10)),
            loss: 0.0,
            skews: Vec::new(),
            work: Vec::new(),
            faults: Vec::new(),
            calm: Duration::ZERO,
        }
    }

    /// The plan of a seed.
    pub fn new(seed: u64) -> Self {
        let random = &mut StdRng::seed_from_u64(seed);
        let central = code(CENTRAL);
        let mut sites = sites(random, central);
        let mut work: Vec<(Duration, Work)> = sites
            .iter()
            .map(|site| {
                // Most are there from the beginning; some come late.
                let at = match random.random_ratio(3, 4) {
                    true => Duration::from_secs(1),
                    false => seconds(random, 5..70),
                };
                (at, Work::Person(site.invitation()))
            })
            .collect();
        work.push((
            seconds(random, 1..6),
            Work::Person(Wish::Sync { full: true }),
        ));
        for _ in 0..random.random_range(3..10) {
            let at = seconds(random, 5..FAULTS_UNTIL);
            let things = something(random, central, &sites);
            work.extend(things.into_iter().map(|thing| (at, thing)));
        }
        // Seeds that found something stay what they were.
        if seed.is_multiple_of(5) {
            let random = &mut StdRng::seed_from_u64(seed.wrapping_add(1));
            let at = seconds(random, 5..FAULTS_UNTIL / 2);
            let after = random.random_range(10..40);
            work.push((at, Work::Person(Wish::Schedule { after })));
        }
        if seed.is_multiple_of(5) {
            let random = &mut StdRng::seed_from_u64(seed.wrapping_add(3));
            for _ in 0..random.random_range(1..4) {
                let at = seconds(random, 5..FAULTS_UNTIL);
                let site = sites[random.random_range(0..sites.len())].code;
                work.push((at, Work::Person(Wish::Languages { site })));
            }
        }
        if !seed.is_multiple_of(3) {
            let random = &mut StdRng::seed_from_u64(seed.wrapping_add(2));
            for _ in 0..random.random_range(1..8) {
                let at = seconds(random, 5..FAULTS_UNTIL);
                let (update, decline) = (random.random_range(0..20), random.random_ratio(1, 2));
                work.push((at, Work::Person(Wish::Decide { update, decline })));
            }
        }
        if seed % 4 == 1 {
            let random = &mut StdRng::seed_from_u64(seed.wrapping_add(4));
            let at = seconds(random, 5..FAULTS_UNTIL);
            let seed = crate::package::ELSEWHERE + seed;
            work.push((at, Work::Person(Wish::Import { seed })));
        }
        if seed % 11 == 2 {
            let random = &mut StdRng::seed_from_u64(seed.wrapping_add(3));
            let at = seconds(random, 5..FAULTS_UNTIL);
            work.push((at, Work::Withdraw(random.random_range(1..9))));
            // A full run alone finds what is gone.
            work.push((at, Work::Person(Wish::Sync { full: true })));
        }
        let replica = replica::replica(seed, &sites);
        let carried = carried::carried(seed, central);
        work.sort_by_key(|(at, _)| *at);
        let mut hosts = vec![crate::software::host_of(central)];
        hosts.extend(sites.iter().map(|site| crate::software::host_of(site.code)));
        let mut faults: Vec<Scheduled> = (0..random.random_range(2..12))
            .map(|_| {
                let from = seconds(random, 2..FAULTS_UNTIL - LONGEST_FAULT);
                let until = from + seconds(random, 0..LONGEST_FAULT) + Duration::from_millis(10);
                let fault = fault::pick(random, central, &sites);
                Scheduled { from, until, fault }
            })
            .collect();
        let slow = random.random_ratio(1, 4);
        if let Some(replica) = replica {
            hosts.push(crate::software::host_of(replica.site.code));
            sites.push(replica.site);
            work.extend(replica.work);
            faults.extend(replica.faults);
        }
        let island = carried.map(|carried| {
            hosts.push(crate::software::host_of(carried.island));
            work.extend(carried.work);
            faults.extend(carried.faults);
            carried.island
        });
        work.sort_by_key(|(at, _)| *at);
        faults.sort_by_key(|scheduled| scheduled.from);
        Self {
            seed,
            updates: random.random_range(20..120),
            pace: Pace::brisk(
                Duration::from_secs(match random.random_ratio(1, 3) {
                    true => 120,
                    false => 30 * 24 * 3600,
                }),
                Duration::from_secs(match random.random_ratio(1, 3) {
                    true => 60,
                    false => 7 * 24 * 3600,
                }),
            )
            .tidy(seed.is_multiple_of(3))
            .with_files(has_files(seed)),
            tick: TICK,
            latency: match slow {
                true => (Duration::from_millis(20), Duration::from_millis(400)),
                false => (Duration::from_millis(1), Duration::from_millis(30)),
            },
            loss: match random.random_ratio(1, 4) {
                true => 0.0005,
                false => 0.0,
            },
            skews: hosts
                .iter()
                .map(|host| (host.clone(), random.random_range(-3000..3000)))
                .collect(),
            sites,
            work,
            faults,
            calm: Duration::from_secs(FAULTS_UNTIL),
            central,
            island,
        }
    }
}

/// Whether update files come in the run of a seed. Seeds that found something before there were any stay what they were.
fn has_files(seed: u64) -> bool {
    !(50..10_000).contains(&seed)
}

fn sites(random: &mut StdRng, central: PointId) -> Vec<Site> {
    let primaries: Vec<Site> = (1..=random.random_range(2..=4))
        .map(|number| Site {
            code: code(&format!("PR{number}")),
            kind: SiteKind::Primary,
            parent: central,
        })
        .collect();
    let secondaries = (1..=random.random_range(0..=3)).map(|number| Site {
        code: code(&format!("SE{number}")),
        kind: SiteKind::Secondary,
        parent: primaries[random.random_range(0..primaries.len())].code,
    });
    let secondaries: Vec<Site> = secondaries.collect();
    [primaries, secondaries].concat()
}

/// Something to do in the middle of a run. To add another kind, add a line.
fn something(random: &mut StdRng, central: PointId, sites: &[Site]) -> Vec<Work> {
    let any = sites[random.random_range(0..sites.len())];
    match random.random_range(0..16) {
        0..=5 => vec![Work::Publish(random.random_range(1..20))],
        6 => vec![Work::Publish(60)],
        7..=9 => vec![Work::Person(Wish::Sync { full: false })],
        10 => vec![Work::Person(Wish::SyncSite { site: any.code })],
        11 | 12 => vec![Work::Person(Wish::Sync { full: true })],
        13 => vec![Work::Person(Wish::Remove { site: any.code })],
        // To another parent: it is removed, and joins again there.
        _ => vec![
            Work::Person(Wish::Remove { site: any.code }),
            Work::Person(
                Site {
                    parent: new_parent(random, central, any, sites),
                    ..any
                }
                .invitation(),
            ),
        ],
    }
}

fn new_parent(random: &mut StdRng, central: PointId, site: Site, sites: &[Site]) -> PointId {
    let primaries = sites.iter().filter(|other| other.kind == SiteKind::Primary);
    let mut parents: Vec<PointId> = primaries.map(|primary| primary.code).collect();
    if site.kind == SiteKind::Primary {
        parents = vec![central];
    }
    parents[random.random_range(0..parents.len())]
}
