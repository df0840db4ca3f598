//! Whole hierarchies in one thread, on a simulated network and clock: what happens follows from a seed.
//! See "Adding to the simulation" in docs/architecture.md, and scripts/simulate.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(not(tokio_unstable))]
compile_error!(
    "build with --cfg tokio_unstable, as .cargo/config.toml says: a RUSTFLAGS variable, or rustflags of a target, replace that"
);

mod away;
mod check;
mod cut_off;
mod database;
mod disaster;
mod disk;
mod fault;
mod files;
mod glue;
mod ledger;
mod loops;
mod mood;
mod package;
mod plan;
mod run;
mod software;
mod world;

use away::Memory;
use disaster::Disaster;
use loops::{Failing, Flow};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of the ordinary suite, besides those that are kept.
const ORDINARY: std::ops::Range<u64> = 0..50;
/// Seeds that are run twice.
const REPLAYED: [u64; 3] = [1, 2, 3];

#[expect(clippy::disallowed_methods, reason = "how a run is asked for by hand")]
fn wish(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Seeds that once failed; run first, for ever.
fn kept() -> Vec<u64> {
    let lines = include_str!("seeds.txt").lines();
    let seeds = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    let seeds = seeds.filter(|seed| !seed.is_empty());
    seeds.map(|seed| seed.parse().unwrap()).collect()
}

/// The seeds to run: one or a range from the environment, else the kept ones and the ordinary ones.
fn seeds() -> Vec<u64> {
    if let Some(seed) = wish("SEED") {
        return vec![seed.parse().unwrap()];
    }
    if let Some(range) = wish("SEEDS") {
        let (from, to) = range.split_once("..").unwrap();
        return (from.parse().unwrap()..to.parse().unwrap()).collect();
    }
    kept().into_iter().chain(ORDINARY).collect()
}

/// Runs every seed of a share, then says which failed.
fn share(number: usize, of: usize) {
    let mut failed = Vec::new();
    for seed in seeds().into_iter().skip(number).step_by(of) {
        println!("SEED={seed}");
        match catch_unwind(AssertUnwindSafe(|| run::seed(seed))) {
            Ok(Ok(outcome)) => {
                println!("  at rest after {:?}", outcome.rest);
                if let Some(packages) = outcome.packages {
                    println!("  {packages:?}");
                }
            }
            Ok(Err(why)) => {
                println!("  {why}");
                failed.push(seed);
            }
            Err(_) => failed.push(seed),
        }
    }
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}

#[test]
fn every_seed_ends_well_first_half() {
    share(0, 2);
}

#[test]
fn every_seed_ends_well_second_half() {
    share(1, 2);
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in REPLAYED {
        println!("SEED={seed}");
        let events = |_| run::seed(seed).map(|outcome| outcome.events);
        let [one, other] = [0, 1].map(events).map(Result::unwrap);
        let differs = one.iter().zip(&other).position(|(one, other)| one != other);
        if let Some(at) = differs {
            let around = at.saturating_sub(10)..(at + 5).min(one.len()).min(other.len());
            panic!(
                "event {at}: {:#?}\n{:#?}",
                &one[around.clone()],
                &other[around]
            );
        }
        // Known to fall short: of seed 2, about one run in eight has a site talk to its parent at second 93.9 of peace, when
        // all was done, and goes on for some looks more. All before that is the same.
        let shorter = one.len().min(other.len());
        assert!(one.len().max(other.len()) - shorter <= shorter / 20);
    }
}

fn check_flow(flow: Flow) {
    check_flow_with(
        flow,
        &[
            Failing::Once,
            Failing::Unheard,
            Failing::Survived,
            Failing::ForGood,
        ],
    );
}

fn check_flow_with(flow: Flow, failings: &[Failing]) {
    for failing in failings.iter().copied() {
        match loops::fail_every_commit(flow, failing) {
            Ok(commits) => println!("{flow:?}, {failing:?}: {commits} commits"),
            Err(why) => panic!("{why}"),
        }
    }
}

/// Seeds of each disaster.
const DISASTERS: std::ops::Range<u64> = 0..8;
/// One that found something: the top-level site goes on in the epoch that it was put back into, and packages with it.
const SAME_EPOCH: u64 = 30;

fn check_disaster(disaster: Disaster) {
    let seeds = match wish("SEED") {
        Some(seed) => vec![seed.parse().unwrap()],
        None => DISASTERS.chain([SAME_EPOCH]).collect(),
    };
    for seed in seeds {
        println!("SEED={seed}");
        if let Err(why) = disaster::strike(disaster, seed) {
            panic!("{why}");
        }
    }
}

#[test]
fn a_restored_database_at_the_top_is_noticed_and_followed() {
    check_disaster(Disaster::Restored);
}

#[test]
fn damaged_rows_are_repaired_where_a_site_is_verified() {
    check_disaster(Disaster::Damaged);
}

#[test]
fn lost_rows_are_repaired_by_a_full_synchronization() {
    check_disaster(Disaster::Lost);
}

fn check_week(memory: Memory) {
    if let Err(why) = away::a_week(memory) {
        panic!("{why}");
    }
}

#[test]
fn a_week_away_costs_what_a_month_changed() {
    check_week(Memory::Long);
}

#[test]
fn a_week_away_from_a_parent_that_forgot_removals_costs_what_differs() {
    check_week(Memory::Short);
}

#[test]
fn a_source_that_is_cut_off_is_replaced_by_a_point_that_is_not() {
    if let Err(why) = cut_off::a_source() {
        panic!("{why}");
    }
}

#[test]
fn a_sync_run_survives_the_failure_of_every_commit() {
    check_flow(Flow::Sync);
}

#[test]
fn a_pull_survives_the_failure_of_every_commit() {
    check_flow(Flow::Pull);
}

#[test]
fn a_join_survives_the_failure_of_every_commit() {
    check_flow(Flow::Join);
}

#[test]
fn a_first_pull_survives_the_failure_of_every_commit() {
    check_flow_with(Flow::FirstPull, &[Failing::Once, Failing::Survived]);
}

#[test]
fn a_repair_survives_the_failure_of_every_commit() {
    check_flow(Flow::Repair);
}

#[test]
fn a_renewal_survives_the_failure_of_every_commit() {
    check_flow(Flow::Renewal);
}

#[test]
fn a_switch_of_the_source_survives_the_failure_of_every_commit() {
    check_flow(Flow::Switch);
}

#[test]
fn a_new_source_survives_the_failure_of_every_commit() {
    check_flow(Flow::TakeOver);
}

#[test]
fn a_change_of_settings_survives_the_failure_of_every_commit() {
    check_flow(Flow::Settings);
}

#[test]
fn a_decision_survives_the_failure_of_every_commit() {
    check_flow(Flow::Decision);
}

#[test]
fn an_import_survives_the_failure_of_every_commit() {
    check_flow(Flow::Import);
}

// Forgetting lasts, for many minutes pass before there is something to forget: once done twice, and once failing
// until there is room.

#[test]
fn forgetting_may_be_repeated_after_every_commit() {
    check_flow_with(Flow::Retention, &[Failing::Unheard]);
}

#[test]
fn forgetting_survives_the_failure_of_every_commit() {
    check_flow_with(Flow::Retention, &[Failing::ForGood]);
}

#[test]
fn a_clean_up_survives_the_failure_of_every_commit() {
    check_flow(Flow::Cleanup);
}
