//! What goes wrong. To add a fault: a variant, a line in [`pick`], and what it does in [`Fault::begin`]
//! and [`Fault::end`].

use crate::disk::Rule;
use crate::mood::{TROUBLES, Trouble};
use crate::plan::Site;
use crate::software::{COURIER, UPSTREAM, host_of};
use crate::world::World;
use catalog::PointId;
use rand::RngExt as _;
use rand::rngs::StdRng;
use std::time::Duration;

/// Something that goes wrong for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Two sites cannot reach each other.
    Cut(PointId, PointId),
    /// One of them cannot reach the other.
    CutOneWay(PointId, PointId),
    /// What they say to each other does not arrive before the fault ends.
    Held(PointId, PointId),
    /// What they say to each other takes so many milliseconds.
    Slow(PointId, PointId, u64),
    /// A site loses its power.
    PowerCut(PointId),
    /// The service of a site is stopped and started.
    Restart(PointId),
    /// From its n-th commit on, a site's disk is full.
    DiskFull(PointId, u32),
    /// A site's n-th commit fails.
    CommitFails(PointId, u32),
    /// A site's n-th commit happens, and the site hears of a failure.
    CommitUnheard(PointId, u32),
    /// A site's clock is so many milliseconds further off.
    ClockJumps(PointId, i64),
    /// Something is wrong with the upstream.
    Upstream(Trouble),
    /// The central site cannot reach the upstream.
    UpstreamCut,
    /// The upstream loses its power.
    UpstreamPowerCut,
    /// The courier cannot reach a top-level site.
    CourierCut(PointId),
    /// What the courier and a top-level site say to each other does not arrive before the fault ends.
    CourierHeld(PointId),
}

/// A fault for a run with these sites.
pub fn pick(random: &mut StdRng, central: PointId, sites: &[Site]) -> Fault {
    let site = sites[random.random_range(0..sites.len())];
    let any = match random.random_ratio(1, 3) {
        true => central,
        false => site.code,
    };
    let nth = random.random_range(1..12);
    let link = (site.code, site.parent);
    match random.random_range(0..26) {
        0..=2 => Fault::Cut(link.0, link.1),
        3 => Fault::CutOneWay(link.0, link.1),
        4 => Fault::CutOneWay(link.1, link.0),
        5 | 6 => Fault::Held(link.0, link.1),
        7 => Fault::Slow(link.0, link.1, random.random_range(100..1500)),
        8..=11 => Fault::PowerCut(any),
        12 => Fault::Restart(any),
        13 => Fault::DiskFull(any, nth),
        14 | 15 => Fault::CommitFails(any, nth),
        16 | 17 => Fault::CommitUnheard(any, nth),
        18 => Fault::ClockJumps(any, random.random_range(-20_000..20_000)),
        19..=21 => Fault::Upstream(TROUBLES[random.random_range(0..TROUBLES.len())]),
        22 => Fault::UpstreamCut,
        23 => Fault::UpstreamPowerCut,
        _ => Fault::DiskFull(any, 1),
    }
}

/// A fault for a run in which a courier carries packages from one top-level site to another.
pub fn pick_of_packages(random: &mut StdRng, from: PointId, to: PointId) -> Fault {
    let nth = random.random_range(1..10);
    let any = match random.random_ratio(1, 4) {
        true => from,
        false => to,
    };
    match random.random_range(0..14) {
        0..=3 => Fault::PowerCut(to),
        4 => Fault::Restart(to),
        5 => Fault::DiskFull(to, nth),
        6 | 7 => Fault::CommitFails(to, nth),
        8 | 9 => Fault::CommitUnheard(to, nth),
        10 => Fault::ClockJumps(to, random.random_range(-20_000..20_000)),
        11 | 12 => Fault::CourierCut(any),
        _ => Fault::CourierHeld(any),
    }
}

impl Fault {
    /// Lets it happen.
    pub fn begin(self, world: &mut World) {
        match self {
            Self::Cut(one, other) => world.sim.partition(host_of(one), host_of(other)),
            Self::CutOneWay(from, to) => world.sim.partition_oneway(host_of(from), host_of(to)),
            Self::Held(one, other) => world.sim.hold(host_of(one), host_of(other)),
            Self::Slow(one, other, latency) => {
                let latency = Duration::from_millis(latency);
                let (one, other) = (host_of(one), host_of(other));
                world.sim.set_link_latency(one, other, latency);
            }
            Self::PowerCut(site) => world.cut_power(&host_of(site)),
            Self::Restart(site) => world.shared.restart(&host_of(site)),
            Self::DiskFull(site, nth) => world.disk.set(site, Rule::FullFrom(nth)),
            Self::CommitFails(site, nth) => world.disk.set(site, Rule::FailsAt(nth)),
            Self::CommitUnheard(site, nth) => world.disk.set(site, Rule::UnheardAt(nth)),
            Self::ClockJumps(site, by) => world.turn_clock(site, by),
            Self::Upstream(trouble) => world.mood.set(trouble),
            Self::UpstreamCut => {
                let central = host_of(world.plan.central);
                world.sim.partition(central, UPSTREAM);
            }
            Self::UpstreamPowerCut => world.cut_power(UPSTREAM),
            Self::CourierCut(site) => world.sim.partition(COURIER, host_of(site)),
            Self::CourierHeld(site) => world.sim.hold(COURIER, host_of(site)),
        }
    }

    /// Mends it.
    pub fn end(self, world: &mut World) {
        match self {
            Self::Cut(one, other)
            | Self::CutOneWay(one, other)
            | Self::Held(one, other)
            | Self::Slow(one, other, _) => world.mend_link(&host_of(one), &host_of(other)),
            Self::PowerCut(site) => world.give_power(&host_of(site)),
            Self::DiskFull(site, _) | Self::CommitFails(site, _) | Self::CommitUnheard(site, _) => {
                world.disk.clear(site);
            }
            Self::ClockJumps(site, by) => world.turn_clock(site, -by),
            Self::Upstream(_) => world.mood.set(Trouble::None),
            Self::UpstreamCut => world.mend_link(&host_of(world.plan.central), UPSTREAM),
            Self::UpstreamPowerCut => world.give_power(UPSTREAM),
            Self::CourierCut(site) | Self::CourierHeld(site) => {
                world.mend_link(COURIER, &host_of(site));
            }
            Self::Restart(_) => {}
        }
    }
}
