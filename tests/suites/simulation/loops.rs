//! Flows whose every commit fails once, is not heard of once, or fails until somebody makes room: the
//! process is started again and goes on from the database alone.
//!
//! To add a flow: a variant of [`Flow`], the site whose commits fail, and what begins it.

use crate::check;
use crate::disaster;
use crate::disk::Rule;
use crate::plan::{Plan, Site, Work, code};
use crate::run;
use crate::software::{Errand, Since, Wish, host_of};
use crate::world::World;
use catalog::{PointId, SiteKind};
use std::time::Duration;
use store::simulation::Kept;

/// No flow has more commits than this.
const MOST_COMMITS: u32 = 200;
/// No flow in which nothing fails takes longer.
const LASTS: Duration = Duration::from_secs(5);
/// How often a child looks for what it may forget, and somewhat more.
const HOUSEKEEPING: Duration = Duration::from_secs(2 * 60);
const A_ROUND_OF_HOUSEKEEPING: Duration = Duration::from_secs(3 * 60);
/// What is forgotten where it is to be seen: removals after a minute, and all but the newest of the history.
const REMOVALS_KEPT: Duration = Duration::from_secs(60);
const HISTORY_KEPT: Kept = Kept {
    runs: 3,
    status_messages: 12,
};
/// How long there is no room where everything fails.
const FULL_FOR: Duration = Duration::from_secs(5);
/// How far time moves at once while nothing but housekeeping is awaited.
const LONG_TICK: Duration = Duration::from_millis(500);
/// How long before the housekeeping commits begin to fail, and how long the flow lasts then: until the child
/// has also asked its parent of its own accord, for the history is cut at the end of a run.
const BEFORE: Duration = Duration::from_secs(2);
const RETENTION_LASTS: Duration = Duration::from_secs(35);
/// How long certificates are valid where one is to be renewed.
const VALIDITY: Duration = Duration::from_secs(120);

/// Something that a site does in some steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The central site synchronizes.
    Sync,
    /// A child pulls.
    Pull,
    /// A secondary site joins below a primary one, which commits too.
    Join,
    /// A secondary site that joined pulls its first catalog, many batches of it.
    FirstPull,
    /// A child renews its certificate.
    Renewal,
    /// A child compares its catalog with its parent's, and takes over what it lost.
    Repair,
    /// The settings change: a schedule is made, and starts a run.
    Settings,
    /// Somebody decides about an update, and then about another.
    Decision,
    /// A child forgets old removals, and what is too old of its runs and status messages.
    Retention,
    /// Superseded updates expire, and everything is cleaned up.
    Cleanup,
    /// The source of a site is switched, by the register.
    Switch,
    /// The same, where the commits of the new source fail.
    TakeOver,
    /// A site that no network reaches takes in two packages, the second of which goes on from the first.
    Import,
}

/// How commits fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    /// The n-th fails, and the process ends.
    Once,
    /// The n-th happens, the process hears of a failure, and ends.
    Unheard,
    /// The n-th fails, the process hears of it, and goes on.
    Survived,
    /// From the n-th on all fail, until there is room again.
    ForGood,
}

const PRIMARY: &str = "PR1";
const SECONDARY: &str = "SE1";
const REPLICA: &str = "PR1-2";

impl Flow {
    /// The site whose commits fail.
    fn site(self) -> PointId {
        code(match self {
            Self::Sync | Self::Settings | Self::Decision | Self::Cleanup | Self::Switch => {
                crate::plan::CENTRAL
            }
            Self::FirstPull => SECONDARY,
            Self::TakeOver => REPLICA,
            Self::Import => crate::plan::ISLAND,
            Self::Pull | Self::Join | Self::Renewal | Self::Repair | Self::Retention => PRIMARY,
        })
    }

    /// Everything before the flow: a hierarchy that is at rest.
    fn prepared(self) -> Result<World, String> {
        let central = code(crate::plan::CENTRAL);
        let (primary, secondary) = (code(PRIMARY), code(SECONDARY));
        let site = |code, kind, parent| Site { code, kind, parent };
        let mut sites = vec![
            site(primary, SiteKind::Primary, central),
            site(secondary, SiteKind::Secondary, primary),
        ];
        if matches!(self, Self::Switch | Self::TakeOver) {
            sites.push(site(code(REPLICA), SiteKind::Primary, primary));
        }
        if self == Self::Import {
            sites.clear();
        }
        let certificates = match self {
            Self::Renewal => VALIDITY,
            Self::Sync
            | Self::Pull
            | Self::Join
            | Self::FirstPull
            | Self::Repair
            | Self::Settings
            | Self::Decision
            | Self::Cleanup
            | Self::Retention
            | Self::Switch
            | Self::TakeOver
            | Self::Import => 100 * VALIDITY,
        };
        let mut plan = Plan::quiet(sites.clone(), certificates);
        if self == Self::Retention {
            plan.tick = LONG_TICK;
            plan.pace.removals_kept = REMOVALS_KEPT;
        }
        if self == Self::Import {
            plan.island = Some(code(crate::plan::ISLAND));
            plan.pace.files = true;
        }
        let mut world = World::new(plan);
        let invited = match self {
            Self::Join | Self::FirstPull => &sites[..1],
            Self::Sync
            | Self::Pull
            | Self::Renewal
            | Self::Repair
            | Self::Settings
            | Self::Decision
            | Self::Cleanup
            | Self::Retention
            | Self::Switch
            | Self::TakeOver
            | Self::Import => &sites[..],
        };
        for site in invited {
            world.work(Work::Person(site.invitation()));
        }
        world.work(Work::Person(Wish::Sync { full: true }));
        run::come_to_rest(&mut world)?;
        if self == Self::Retention {
            run::expect_a_run(&mut world);
            world.work(Work::Publish(20));
            world.work(Work::Withdraw(5));
            world.work(Work::Person(Wish::Sync { full: true }));
            run::come_to_rest(&mut world)?;
            if removals(&mut world, primary) == 0 {
                return Err("nothing was removed".to_owned());
            }
            let directory = world.shared.directory(primary);
            store::simulation::keep_only(&directory, HISTORY_KEPT);
            world.ledger.forgetful.insert(primary);
        }
        if self == Self::Import {
            decide(&mut world);
            run::come_to_rest(&mut world)?;
            world.work(export(Since::Beginning));
            run::come_to_rest(&mut world)?;
            run::expect_a_run(&mut world);
            world.work(Work::Publish(40));
            world.work(Work::Withdraw(3));
            world.work(Work::Person(Wish::Sync { full: true }));
            run::come_to_rest(&mut world)?;
            world.work(export(Since::Last));
            run::come_to_rest(&mut world)?;
        }
        if self == Self::Cleanup {
            // Revisions to remove.
            run::expect_a_run(&mut world);
            world.work(Work::Publish(60));
            world.work(Work::Person(Wish::Sync { full: false }));
            run::come_to_rest(&mut world)?;
        }
        Ok(world)
    }

    /// Lets the flow begin.
    fn begin(self, world: &mut World) -> Result<(), String> {
        match self {
            Self::Sync | Self::Pull => {
                run::expect_a_run(world);
                world.work(Work::Publish(60));
                world.work(Work::Person(Wish::Sync { full: false }));
            }
            Self::Settings => {
                run::expect_a_run(world);
                world.work(Work::Person(Wish::Schedule { after: 2 }));
            }
            Self::Decision => decide(world),
            Self::Import => {
                for package in [0, 1] {
                    world.work(Work::Courier(Errand::Import { package }));
                }
                world.ledger.carried = true;
            }
            Self::Cleanup => {
                world.plan.pace.tidy = true;
                world.work(Work::Person(Wish::TidyUp));
            }
            Self::Join | Self::FirstPull => {
                let secondary = world.plan.sites[1];
                world.work(Work::Person(secondary.invitation()));
            }
            Self::Repair => {
                disaster::damage(world, self.site(), disaster::DAMAGE[0]);
                run::expect_a_run(world);
                world.work(Work::Person(Wish::Sync { full: true }));
            }
            Self::Switch | Self::TakeOver => {
                run::expect_a_run(world);
                world.work(Work::Publish(60));
                world.work(Work::Person(Wish::Sync { full: false }));
                let to = code(REPLICA);
                world.work(Work::Person(Wish::Switch { to }));
            }
            // It begins by itself.
            Self::Retention => {
                let due = started(world, self.site()) + HOUSEKEEPING - BEFORE;
                let wait = due.saturating_sub(world.elapsed());
                run::pass(world, wait, HOUSEKEEPING)?;
            }
            // It begins by itself.
            Self::Renewal => {
                while world.elapsed() < VALIDITY * 2 / 3 {
                    run::step(world)?;
                }
            }
        }
        Ok(())
    }
}

/// Somebody decides about an update, and then about another.
fn decide(world: &mut World) {
    for (update, decline) in [(3, false), (4, true)] {
        world.work(Work::Person(Wish::Decide { update, decline }));
    }
}

/// A package is made, with all that there is.
fn export(since: Since) -> Work {
    Work::Courier(Errand::Export {
        since,
        approvals: true,
        content: true,
    })
}

/// Runs a flow again and again, with the first commit failing, then the second, until none is left to
/// fail. How many there were; the error says which ended badly.
pub fn fail_every_commit(flow: Flow, failing: Failing) -> Result<u32, String> {
    for nth in 1..MOST_COMMITS {
        let mut world = flow.prepared()?;
        let failed = fail_commit(&mut world, flow, failing, nth).map_err(|why| {
            run::told(
                &mut world,
                &format!("{flow:?}, {failing:?}, commit {nth}: {why}"),
            )
        })?;
        if !failed {
            return Ok(nth - 1);
        }
    }
    Err(format!("{flow:?} does not end"))
}

/// Whether there was an n-th commit.
fn fail_commit(world: &mut World, flow: Flow, failing: Failing, nth: u32) -> Result<bool, String> {
    let site = flow.site();
    flow.begin(world)?;
    world.disk.set(
        site,
        match failing {
            Failing::Once | Failing::Survived => Rule::FailsAt(nth),
            Failing::Unheard => Rule::UnheardAt(nth),
            Failing::ForGood => Rule::FullFrom(nth),
        },
    );
    let lasts = match flow {
        Flow::Retention => RETENTION_LASTS,
        Flow::Sync
        | Flow::Pull
        | Flow::Join
        | Flow::FirstPull
        | Flow::Renewal
        | Flow::Repair
        | Flow::Settings
        | Flow::Decision
        | Flow::Cleanup
        | Flow::Switch
        | Flow::TakeOver
        | Flow::Import => LASTS,
    };
    let patience = world.elapsed() + lasts;
    while !world.disk.has_struck(site) && world.elapsed() < patience {
        run::step(world)?;
    }
    let struck = world.disk.has_struck(site);
    match failing {
        Failing::Once | Failing::Unheard if struck => {
            world.disk.clear(site);
            world.cut_power(&host_of(site));
            world.give_power(&host_of(site));
            if flow == Flow::Repair {
                // What was not written down yet is forgotten: nobody else knows of the damage.
                world.work(Work::Person(Wish::Sync { full: true }));
            }
        }
        Failing::ForGood if struck => {
            // What is there stays as it should be, however often it is tried.
            let room = world.elapsed() + FULL_FOR.max(world.plan.tick * 60);
            while world.elapsed() < room {
                run::step(world)?;
            }
            if !world.ledger.damaged {
                let sites = check::sites(world);
                check::all(world, &sites, check::NOW_AND_THEN)?;
            }
        }
        Failing::Once | Failing::Unheard | Failing::Survived | Failing::ForGood => {}
    }
    world.disk.clear(site);
    run::come_to_rest(world)?;
    if flow == Flow::Retention {
        // What was not forgotten is forgotten the next time.
        run::pass(world, A_ROUND_OF_HOUSEKEEPING, HOUSEKEEPING)?;
        let left = removals(world, site);
        if left > 0 {
            return Err(format!("{left} old removals are still remembered"));
        }
        // What is under way at the moment comes to its end.
        let deadline = world.elapsed() + RETENTION_LASTS;
        while let Err(not_yet) = run::rest(world) {
            if world.elapsed() > deadline {
                return Err(not_yet);
            }
            run::step(world)?;
        }
    }
    Ok(struck)
}

/// Removals that a site remembers.
fn removals(world: &mut World, site: PointId) -> usize {
    let directory = world.shared.directory(site);
    let items = world.runtime.block_on(world.databases.items(&directory, 0));
    items.iter().filter(|item| item.digest.is_none()).count()
}

/// When the process of a site was started.
fn started(world: &World, site: PointId) -> Duration {
    let host = host_of(site);
    let events = world.shared.network.events();
    let runs = |event: &&crate::glue::Event| *event.host == *host && event.what == "runs";
    let last = events.iter().rfind(runs);
    last.map_or(Duration::ZERO, |event| Duration::from_micros(event.at))
}
