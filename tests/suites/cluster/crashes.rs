//! Processes that are killed in the middle of a synchronization. What was committed stays, is fetched
//! only once, and the end is the same.

use crate::documents::{check_documents, generate, sample};
use std::collections::BTreeMap;
use store::log::ChangeRow;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Database, Hierarchy, until};

/// So many that a child needs several batches.
const UPDATES: u32 = 2600;
/// Bytes a second of a link while we wait for the right moment to kill.
const SLOW: u64 = 1_500_000;
/// The same for an upstream, whose documents are not packed.
const SLOW_UPSTREAM: u64 = 8_000_000;

/// Waits until a site has between 10 and 90 percent of `all` changes and verified none of them, with the
/// link through which they come held still.
async fn halfway(hierarchy: &Hierarchy, site: &str, through: &str, all: u64) -> u64 {
    hierarchy.proxy(through).slow(match through {
        UPSTREAM => SLOW_UPSTREAM,
        _ => SLOW,
    });
    let position = until(&format!("{site} is halfway"), LONG, || async {
        let report = hierarchy.site(site).await?;
        let halfway = (all / 10..=all / 10 * 9).contains(&report.position);
        let under_way = report.verified_position < report.position;
        (halfway && under_way)
            .then_some(report.position)
            .ok_or_else(|| format!("it is at {} of {all}", report.position))
    })
    .await;
    hierarchy.proxy(through).stall();
    position
}

/// What the log of a site holds that was just killed.
async fn held(hierarchy: &Hierarchy, site: &str, all: u64) -> BTreeMap<u64, ChangeRow> {
    let database = Database::open(&hierarchy.data_dir(site)).await;
    let positions = database.positions();
    assert!(
        positions.head >= all / 10 && positions.head < all,
        "{site}: {positions:?}"
    );
    assert_eq!(positions.verified, 0, "{site}");
    let log = database.log().await;
    assert_eq!(log.len() as u64, positions.head, "{site}");
    database.close().await;
    log
}

/// Changes that the runs after a number of earlier ones took in.
async fn taken_in(database: &Database, earlier: usize) -> u64 {
    let runs = database.runs().await;
    let later = runs.iter().rev().skip(earlier);
    later.map(|run| run.added + run.revised + run.expired).sum()
}

async fn number_of_runs(hierarchy: &Hierarchy, site: &str) -> usize {
    let database = Database::open(&hierarchy.data_dir(site)).await;
    let runs = database.runs().await.len();
    database.close().await;
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_and_a_central_site_that_are_killed_go_on_where_they_were() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    let served = hierarchy.process(UPSTREAM).output();
    let served: u64 = served.split_whitespace().nth(1).unwrap().parse().unwrap();
    hierarchy.request_sync().await;

    // The upstream dies. The central site fails, tries again, and goes on.
    let before_first = halfway(&hierarchy, CENTRAL, UPSTREAM, served / 2).await;
    hierarchy.kill(UPSTREAM);
    hierarchy.message(CENTRAL, 6703, &["ServerSync"]).await;
    hierarchy.start(UPSTREAM).await;

    // The central site dies.
    hierarchy.proxy(UPSTREAM).slow(SLOW_UPSTREAM);
    until("the central site went on", LONG, || async {
        let report = hierarchy.site(CENTRAL).await?;
        let on = report.position > before_first;
        on.then_some(()).ok_or(report.last_error)
    })
    .await;
    hierarchy.proxy(UPSTREAM).stall();
    hierarchy.kill(CENTRAL);
    let held = held(&hierarchy, CENTRAL, served).await;
    assert!(held.len() as u64 > before_first);
    let earlier = number_of_runs(&hierarchy, CENTRAL).await;
    hierarchy.proxy(UPSTREAM).free();
    hierarchy.start(CENTRAL).await;

    // Nobody asks: what was interrupted goes on by itself.
    let central = until("the central site is done", LONG, || async {
        let central = hierarchy.site(CENTRAL).await?;
        let done = central.verified_position > 0;
        done.then_some(central.clone()).ok_or(central.last_error)
    })
    .await;
    let run = central.run.unwrap().id;
    let central = hierarchy.converged(&run).await;
    hierarchy.stop_all().await;

    let database = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    assert_eq!(database.root().await, central.root[..]);
    let log = database.log().await;
    assert_eq!(log.len() as u64, served);
    assert!(
        held.iter()
            .all(|(position, change)| log.get(position) == Some(change))
    );
    assert_eq!(
        taken_in(&database, earlier).await,
        served - held.len() as u64
    );
    check_documents(&database, &sample(UPDATES, 41)).await;
    let child = Database::open(&hierarchy.data_dir("PR1")).await;
    assert!(child.log().await == log);
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_and_parents_that_are_killed_in_mid_pull_go_on_where_they_were() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    let served = hierarchy.process(UPSTREAM).output();
    let all: u64 = served.split_whitespace().nth(1).unwrap().parse().unwrap();
    // The secondary site gets nothing until the primary site is done.
    hierarchy.cut("PR1");
    hierarchy.proxy(CENTRAL).slow(SLOW);
    hierarchy.request_sync().await;

    // The primary site dies in the middle of its pull.
    halfway(&hierarchy, "PR1", CENTRAL, all).await;
    hierarchy.kill("PR1");
    let mut first = held(&hierarchy, "PR1", all).await;
    let mut earlier = number_of_runs(&hierarchy, "PR1").await;
    hierarchy.proxy(CENTRAL).slow(SLOW);
    hierarchy.start("PR1").await;
    hierarchy.cut("PR1");

    // Then its parent does.
    let at = first.len() as u64;
    until("the primary site went on", LONG, || async {
        let report = hierarchy.site("PR1").await?;
        let on = report.position > at || report.verified_position > 0;
        on.then_some(()).ok_or(report.last_error)
    })
    .await;
    hierarchy.proxy(CENTRAL).stall();
    hierarchy.kill(CENTRAL);
    hierarchy.kill("PR1");
    let second = Database::open(&hierarchy.data_dir("PR1")).await;
    if second.positions().verified == 0 {
        let log = second.log().await;
        assert!(
            first
                .iter()
                .all(|(position, change)| log.get(position) == Some(change))
        );
        first = log;
        earlier = second.runs().await.len();
    }
    second.close().await;
    hierarchy.proxy(CENTRAL).free();
    hierarchy.start(CENTRAL).await;
    hierarchy.start("PR1").await;
    hierarchy.cut("PR1");
    until("the primary site is done", LONG, || async {
        let report = hierarchy.site("PR1").await?;
        let done = report.verified_position == all;
        done.then_some(()).ok_or(report.last_error)
    })
    .await;

    // The secondary site dies, and the primary site while the other is away.
    hierarchy.proxy("PR1").slow(SLOW);
    hierarchy.heal("PR1").await;
    halfway(&hierarchy, "SE1", "PR1", all).await;
    hierarchy.kill("SE1");
    hierarchy.kill("PR1");
    let below = held(&hierarchy, "SE1", all).await;
    let earlier_below = number_of_runs(&hierarchy, "SE1").await;
    hierarchy.proxy("PR1").free();
    hierarchy.start("PR1").await;
    hierarchy.start("SE1").await;
    until("all are there", LONG, || async {
        let sites = hierarchy.sites().await?;
        let there = sites
            .values()
            .all(|site| site.verified_position == all && site.connected);
        there.then_some(()).ok_or_else(|| format!("{sites:?}"))
    })
    .await;
    hierarchy.stop_all().await;

    let central = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    let (root, log) = (central.root().await, central.log().await);
    for (site, held, earlier) in [("PR1", first, earlier), ("SE1", below, earlier_below)] {
        let database = Database::open(&hierarchy.data_dir(site)).await;
        assert_eq!(database.root().await, root, "{site}");
        assert!(database.log().await == log, "{site}");
        assert!(
            held.iter()
                .all(|(position, change)| log.get(position) == Some(change))
        );
        assert_eq!(
            taken_in(&database, earlier).await,
            all - held.len() as u64,
            "{site}"
        );
    }
}
