//! A run: faults, and only what must never happen is looked for; then peace, and everything must come to
//! its end.

use crate::check;
use crate::glue::Event;
use crate::ledger::Ledger;
use crate::plan::{Plan, Work};
use crate::software::{Errand, Since, Tally, Wish};
use crate::world::World;
use std::time::Duration;

/// Lines of a run's story that are told, from its end.
const LINES: usize = 300;
/// How often what must always hold is looked at, and what costs more to look at.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_CLOSER: Duration = Duration::from_secs(15);
/// How often it is looked whether everything is at rest.
const LOOK_FOR_REST: Duration = Duration::from_secs(1);
/// Where time moves in large steps, so many of them between two looks.
const TICKS: u32 = 50;
/// How long all work may take once nothing fails any more.
const PEACE: Duration = Duration::from_secs(5 * 60);

/// A run that went well.
pub struct Outcome {
    /// Everything that happened in it.
    pub events: Vec<Event>,
    /// When it had come to rest.
    pub rest: Duration,
    /// What happened to packages, where any were carried.
    pub packages: Option<Tally>,
}

/// Runs the plan of a seed; the error says what went wrong, and when.
pub fn seed(seed: u64) -> Result<Outcome, String> {
    let mut world = World::new(Plan::new(seed));
    let ended = under_fault(&mut world)
        .and_then(|()| in_peace(&mut world))
        .and_then(|()| carry_all(&mut world));
    let events = world.shared.network.events();
    if ended.is_ok() && crate::wish("STORY").is_some() {
        println!("{}", story_of(&world));
    }
    match ended {
        Ok(()) => Ok(Outcome {
            events,
            rest: world.elapsed(),
            packages: world.plan.island.map(|_| world.shared.tally()),
        }),
        Err(why) => Err(told(&mut world, &why)),
    }
}

/// Why a run failed, with what happened before.
pub fn told(world: &mut World, why: &str) -> String {
    if crate::wish("KEEP").is_some() {
        println!("  everything is kept in {}", world.keep().display());
    }
    format!("{}\n  {why}", story_of(world))
}

/// What happened in a run so far, for whoever has to find out why it failed.
fn story_of(world: &World) -> String {
    let events = world.shared.network.events();
    let story = story(&events, world.elapsed(), &world.plan);
    format!("{story}\n{}", logs(world))
}

/// What happened before a failure, without the bytes that went to and fro.
fn story(events: &[Event], at: Duration, plan: &Plan) -> String {
    let told = events.iter().filter(|event| {
        !(event.what.starts_with("wrote") || event.what == "answered" || event.what == "end")
    });
    let mut lines: Vec<String> = told
        .map(|event| format!("{:>10.3} {} {}", seconds(event.at), event.host, event.what))
        .collect();
    let first = lines.len().saturating_sub(LINES);
    let lines = lines.split_off(first).join("\n");
    format!("{plan:?}\n{lines}\n  at {at:?}")
}

/// The ends of the logs of all sites.
fn logs(world: &World) -> String {
    let mut text = String::new();
    for site in check::codes(world) {
        let log = world.shared.directory(site).join("logs/wsyncmgr.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(12)..] {
            text += &format!("  {site} {line}\n");
        }
    }
    text
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// One tick, and what must hold after it.
pub fn step(world: &mut World) -> Result<(), String> {
    world.step();
    Ledger::follow_central(world);
    let now = world.elapsed();
    let is_time = |every: Duration| now.as_millis().is_multiple_of(every.as_millis());
    if is_time(LOOK.max(world.plan.tick * TICKS)) {
        let sites = check::sites(world);
        check::all(world, &sites, check::ALWAYS)?;
        if is_time(LOOK_CLOSER) && !world.ledger.damaged {
            check::all(world, &sites, check::NOW_AND_THEN)?;
        }
    }
    Ok(())
}

/// Lets time pass in which little happens: what must hold is looked at now and then, every so often.
pub fn pass(world: &mut World, time: Duration, every: Duration) -> Result<(), String> {
    let until = world.elapsed() + time;
    let mut look = world.elapsed() + every;
    while world.elapsed() < until {
        world.step();
        Ledger::follow_central(world);
        if world.elapsed() >= look {
            look += every;
            let sites = check::sites(world);
            check::all(world, &sites, check::ALWAYS)?;
        }
    }
    let sites = check::sites(world);
    check::all(world, &sites, check::NOW_AND_THEN)
}

fn under_fault(world: &mut World) -> Result<(), String> {
    let plan = world.plan.clone();
    let mut work = plan.work.iter().peekable();
    let mut beginning = plan.faults.iter().peekable();
    let mut ending: Vec<_> = plan.faults.iter().collect();
    ending.sort_by_key(|scheduled| scheduled.until);
    let mut ending = ending.into_iter().peekable();
    while world.elapsed() < plan.calm {
        let now = world.elapsed();
        while let Some(scheduled) = ending.next_if(|scheduled| scheduled.until <= now) {
            scheduled.fault.end(world);
        }
        while let Some(scheduled) = beginning.next_if(|scheduled| scheduled.from <= now) {
            world.note(format!("{:?}", scheduled.fault));
            scheduled.fault.begin(world);
        }
        while let Some((_, work)) = work.next_if(|(at, _)| *at <= now) {
            world.work(*work);
        }
        step(world)?;
    }
    Ok(())
}

fn in_peace(world: &mut World) -> Result<(), String> {
    world.note("peace");
    world.heal();
    let sites = check::sites(world);
    check::all(world, &sites, check::NOW_AND_THEN)?;
    await_the_schedule(world)?;
    expect_a_run(world);
    world.work(Work::Publish(5));
    world.work(Work::Person(Wish::Sync { full: false }));
    come_to_rest(world)
}

/// Where there is a schedule, it has started its run before a person asks for one: else nobody would miss it.
fn await_the_schedule(world: &mut World) -> Result<(), String> {
    let deadline = world.elapsed() + PEACE;
    loop {
        let sites = check::sites(world);
        match check::schedule_was_kept(world, &sites) {
            Ok(()) => return Ok(()),
            Err(why) if world.elapsed() >= deadline => return Err(why),
            Err(_) => {}
        }
        let next = world.elapsed() + LOOK_FOR_REST;
        while world.elapsed() < next {
            step(world)?;
        }
    }
}

/// Carries all that there is to the hierarchy that lives from packages.
pub fn carry_all(world: &mut World) -> Result<(), String> {
    if world.plan.island.is_none() {
        return Ok(());
    }
    let package = world.shared.packages();
    let since = match world.plan.seed % 8 == 2 {
        true => Since::Beginning,
        false => Since::Taken,
    };
    world.work(Work::Courier(Errand::Export {
        since,
        approvals: true,
        content: world.plan.pace.files,
    }));
    world.work(Work::Courier(Errand::Import { package }));
    world.ledger.carried = true;
    come_to_rest(world)
}

/// From now on, the run is at rest only after the central site has completed one more run.
pub fn expect_a_run(world: &mut World) {
    let sites = check::sites(world);
    let central = sites.get(&world.plan.central);
    world.ledger.completed = central.map_or(0, |central| central.completed);
}

/// Waits until nothing is left to do; then everything must hold.
pub fn come_to_rest(world: &mut World) -> Result<(), String> {
    let deadline = world.elapsed() + PEACE;
    let mut why = String::new();
    let mut quiet = 0;
    while world.elapsed() < deadline {
        let next = world.elapsed() + LOOK_FOR_REST.max(world.plan.tick * 10);
        while world.elapsed() < next {
            step(world)?;
        }
        let found = rest(world);
        match found {
            Ok(()) => quiet += 1,
            Err(not_yet) => (why, quiet) = (not_yet, 0),
        }
        if quiet >= 2 {
            let sites = check::sites(world);
            check::all(world, &sites, check::NOW_AND_THEN)?;
            return check::all(world, &sites, check::AT_THE_END);
        }
    }
    Err(format!("did not finish within {PEACE:?} of peace: {why}"))
}

/// Whether all sites are where they are to be; the error says what is not.
pub fn rest(world: &mut World) -> Result<(), String> {
    if !world.shared.wishes_done() {
        return Err("the person still waits".to_owned());
    }
    if !world.shared.errands_done() {
        return Err("the courier still waits".to_owned());
    }
    let sites = check::sites(world);
    let Some(central) = sites.get(&world.plan.central) else {
        return Err("there is no central site".to_owned());
    };
    if central.completed <= world.ledger.completed {
        return Err("the central site has not completed a run since".to_owned());
    }
    for (site, _) in check::reachable(world) {
        let Some(held) = sites.get(&site) else {
            return Err(format!("{site} has not joined"));
        };
        if (held.epoch, held.verified) != (central.epoch, central.verified) {
            return Err(format!(
                "{site} is at {} of {}",
                held.verified, central.verified
            ));
        }
    }
    if world.ledger.damaged {
        check::all(world, &sites, check::NOW_AND_THEN)?;
        world.ledger.damaged = false;
        world.ledger.compared = true;
    }
    check::all(world, &sites, check::AT_REST)
}
