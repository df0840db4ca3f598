//! A source that is up and cut off from the central site: another software update point of its site takes its
//! place, and those that are attached to the one that was cut off find there.

use crate::check;
use crate::plan::{CENTRAL, Plan, Site, Work, code};
use crate::run;
use crate::software::{Wish, host_of};
use crate::world::World;
use catalog::SiteKind;
use std::time::Duration;

/// After how many looks the source is switched.
const LOOKS: u8 = 2;
/// How long it may take until the sites below have what the central site has: to be missed, to ask others, and to
/// be sent on.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// How far time moves at once.
const TICK: Duration = Duration::from_millis(50);

/// Cuts the source of a site off; the error says what was wrong afterwards.
pub fn a_source() -> Result<(), String> {
    let [central, source, replica, below] = [CENTRAL, "PR1", "PR1-2", "SE1"].map(code);
    let site = |code, kind, parent| Site { code, kind, parent };
    let sites = vec![
        site(source, SiteKind::Primary, central),
        site(replica, SiteKind::Primary, source),
        site(below, SiteKind::Secondary, source),
    ];
    let mut plan = Plan::quiet(sites.clone(), 30 * PATIENCE);
    plan.tick = TICK;
    let mut world = World::new(plan);
    for site in sites {
        world.work(Work::Person(site.invitation()));
    }
    world.work(Work::Person(Wish::Sync { full: true }));
    world.work(Work::Person(Wish::SwitchAfter { looks: LOOKS }));
    let ended = run::come_to_rest(&mut world).and_then(|()| {
        let (one, other) = (host_of(central), host_of(source));
        world.sim.partition(one.as_str(), other.as_str());
        run::expect_a_run(&mut world);
        world.work(Work::Publish(20));
        world.work(Work::Person(Wish::Sync { full: false }));
        let deadline = world.elapsed() + PATIENCE;
        loop {
            run::step(&mut world)?;
            let sites = check::sites(&mut world);
            let verified = sites[&central].verified;
            let fresh = sites[&central].completed > world.ledger.completed;
            if fresh
                && [replica, below]
                    .iter()
                    .all(|site| sites[site].verified == verified)
            {
                break;
            }
            if world.elapsed() > deadline {
                return Err("the sites below did not find another source".to_owned());
            }
        }
        world.shared.switched(replica);
        world.mend_link(&one, &other);
        run::come_to_rest(&mut world)
    });
    ended.map_err(|why| run::told(&mut world, &why))
}
