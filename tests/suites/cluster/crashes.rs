//! Processes that are killed in the middle of a synchronization. What was committed stays, is fetched
//! only once, and the end is the same.

use crate::documents::{check_documents, generate, sample};
use catalog::item::ItemKey;
use std::collections::BTreeMap;
use store::log::ChangeRow;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Database, Hierarchy, until};

/// So many that a child needs several batches.
const UPDATES: u32 = 2600;
/// Bytes of an upstream's answers with which a central site is somewhere in the middle: all are 29 MB.
const SOME_ANSWERS: u64 = 10_000_000;
/// Bytes of a pull with which a site has one batch and not all, where all are 3 MB.
const SOME_BATCHES: u64 = 1_200_000;
/// Bytes of a pull with which it then has more, and still not all. Some are lost on the connection of a
/// site that was killed.
const MORE_BATCHES: u64 = 1_400_000;

/// A hierarchy in a line, and how many changes its catalog will have.
async fn line(below: bool) -> (Hierarchy, u64) {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(UPDATES)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    if below {
        hierarchy.join("SE1", "secondary", "PR1").await;
    }
    let serving = hierarchy.process(UPSTREAM).output();
    let all: u64 = serving.split_whitespace().nth(1).unwrap().parse().unwrap();
    // And the settings, at position 1.
    (hierarchy, all + 1)
}

/// Waits until a site has more than `before` changes, between 10 and 90 percent of all, and verified
/// none of them but the settings, which are at position 1. The link through which they come lets no more through.
async fn on_its_way(hierarchy: &Hierarchy, site: &str, before: u64, all: u64) -> u64 {
    until(&format!("{site} is on its way"), LONG, || async {
        let report = hierarchy.site(site).await?;
        let position = report.position;
        assert!(report.verified_position <= 1, "{site} is done already");
        assert!(position <= all / 10 * 9, "{site} is at {position} of {all}");
        (position > before && position >= all / 10)
            .then_some(position)
            .ok_or_else(|| format!("it is at {position} of {all}: {}", report.last_error))
    })
    .await
}

/// Waits until a site has verified everything.
async fn done(hierarchy: &Hierarchy, site: &str, all: u64) {
    until(&format!("{site} is done"), LONG, || async {
        let report = hierarchy.site(site).await?;
        let done = report.verified_position >= all && report.connected;
        done.then_some(()).ok_or_else(|| format!("{report:?}"))
    })
    .await;
}

/// How many changes are about revisions.
fn revisions(log: &BTreeMap<u64, ChangeRow>) -> u64 {
    let is_revision =
        |change: &&ChangeRow| matches!(ItemKey::from_bytes(&change.key), Ok(ItemKey::Revision(_)));
    log.values().filter(is_revision).count() as u64
}

/// What a site held when it was killed.
struct Held {
    log: BTreeMap<u64, ChangeRow>,
    /// Runs that it had ended. One that it had begun goes on.
    runs: usize,
}

/// Looks into the database of a site that was just killed.
async fn held(hierarchy: &Hierarchy, site: &str) -> Held {
    let database = Database::open(&hierarchy.data_dir(site)).await;
    let positions = database.positions();
    assert!(positions.verified <= 1, "{site}");
    let held = Held {
        log: database.log().await,
        runs: database
            .runs()
            .await
            .iter()
            .filter(|run| run.finished.is_some())
            .count(),
    };
    assert_eq!(held.log.len() as u64, positions.head, "{site}");
    database.close().await;
    held
}

impl Held {
    /// Checks that all of this is still where it was, and that the runs since brought the rest and
    /// nothing twice.
    async fn check(&self, site: &str, database: &Database, log: &BTreeMap<u64, ChangeRow>) {
        let kept = |(position, change)| log.get(position) == Some(change);
        assert!(self.log.iter().all(kept), "{site}");
        let runs = database.runs().await;
        let later = runs.iter().rev().skip(self.runs);
        let brought: u64 = later.map(|run| run.added + run.revised + run.expired).sum();
        assert_eq!(brought, revisions(log) - revisions(&self.log), "{site}");
    }

    /// Checks that no more went over the link since than what was missing. Around each change there are
    /// some bytes, and around all of them a conversation or two.
    fn check_traffic(&self, site: &str, delivered: u64, log: &BTreeMap<u64, ChangeRow>) {
        let bytes = |c: &ChangeRow| c.key.len() + c.header.len() + c.document.len();
        let missing = log.values().skip(self.log.len());
        let missing: usize = missing.map(|change| bytes(change) + 20).sum();
        let most = missing as u64 * 11 / 10 + 100_000;
        assert!(delivered <= most, "{site}: {delivered} bytes for {missing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_and_a_central_site_that_are_killed_go_on_where_they_were() {
    let (mut hierarchy, all) = line(false).await;
    hierarchy.proxy(UPSTREAM).allow(SOME_ANSWERS);
    let run = hierarchy.request_sync().await;

    // The upstream dies and comes back; it knows nothing of the conversation any more. The run goes on.
    let before = on_its_way(&hierarchy, CENTRAL, 0, all).await;
    hierarchy.kill(UPSTREAM);
    hierarchy.proxy(UPSTREAM).allow(SOME_ANSWERS);
    hierarchy.start(UPSTREAM).await;
    on_its_way(&hierarchy, CENTRAL, before, all).await;
    let central = hierarchy.site(CENTRAL).await.unwrap();
    assert_eq!(central.run.unwrap().id, run);

    // The central site dies. Nobody asks: what was interrupted goes on by itself.
    hierarchy.kill(CENTRAL);
    let held = held(&hierarchy, CENTRAL).await;
    assert!(held.log.len() as u64 > before);
    hierarchy.proxy(UPSTREAM).free();
    hierarchy.start(CENTRAL).await;
    done(&hierarchy, CENTRAL, all).await;
    let run = hierarchy.site(CENTRAL).await.unwrap().run.unwrap().id;
    let central = hierarchy.converged(&run).await;
    hierarchy.stop_all().await;

    let database = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    let (root, log) = (database.root().await, database.log().await);
    assert_eq!(root, central.root[..]);
    held.check(CENTRAL, &database, &log).await;
    check_documents(&database, &sample(UPDATES, 41)).await;
    let child = Database::open(&hierarchy.data_dir("PR1")).await;
    assert!(child.root().await == root && child.log().await == log);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_site_has_is_handed_on_before_it_is_verified() {
    let (hierarchy, all) = line(true).await;
    hierarchy.proxy(CENTRAL).allow(SOME_BATCHES);
    hierarchy.request_sync().await;

    // The primary site cannot verify anything, for the rest of it does not come. Its child has some of it.
    on_its_way(&hierarchy, "PR1", 0, all).await;
    on_its_way(&hierarchy, "SE1", 0, all).await;
    let primary = hierarchy.site("PR1").await.unwrap();
    assert!(primary.verified_position <= 1);

    hierarchy.proxy(CENTRAL).free();
    for site in [CENTRAL, "PR1", "SE1"] {
        done(&hierarchy, site, all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sites_and_parents_that_are_killed_in_mid_pull_go_on_where_they_were() {
    let (mut hierarchy, all) = line(true).await;
    // The secondary site gets nothing until the primary site is done.
    hierarchy.cut("PR1");
    hierarchy.proxy(CENTRAL).allow(SOME_BATCHES);
    hierarchy.request_sync().await;

    // The primary site dies in the middle of its pull, and goes on.
    let before = on_its_way(&hierarchy, "PR1", 0, all).await;
    hierarchy.kill("PR1");
    let first = held(&hierarchy, "PR1").await;
    assert!(first.log.len() as u64 >= before);
    hierarchy.proxy(CENTRAL).allow(MORE_BATCHES);
    hierarchy.start("PR1").await;
    hierarchy.cut("PR1");
    on_its_way(&hierarchy, "PR1", first.log.len() as u64, all).await;

    // Then its parent dies, and it dies with it.
    hierarchy.kill(CENTRAL);
    hierarchy.kill("PR1");
    let second = held(&hierarchy, "PR1").await;
    let delivered = hierarchy.proxy(CENTRAL).delivered();
    hierarchy.proxy(CENTRAL).free();
    hierarchy.start(CENTRAL).await;
    hierarchy.start("PR1").await;
    hierarchy.cut("PR1");
    done(&hierarchy, "PR1", all).await;
    let to_primary = hierarchy.proxy(CENTRAL).delivered() - delivered;

    // The secondary site dies, and its parent while it is away.
    hierarchy.proxy("PR1").allow(SOME_BATCHES);
    hierarchy.heal("PR1").await;
    on_its_way(&hierarchy, "SE1", 0, all).await;
    hierarchy.kill("SE1");
    hierarchy.kill("PR1");
    let third = held(&hierarchy, "SE1").await;
    let delivered = hierarchy.proxy("PR1").delivered();
    hierarchy.proxy("PR1").free();
    hierarchy.start("PR1").await;
    hierarchy.start("SE1").await;
    for site in [CENTRAL, "PR1", "SE1"] {
        done(&hierarchy, site, all).await;
    }
    let to_secondary = hierarchy.proxy("PR1").delivered() - delivered;
    hierarchy.stop_all().await;

    let central = Database::open(&hierarchy.data_dir(CENTRAL)).await;
    let (root, log) = (central.root().await, central.log().await);
    // Beside them there are the settings, and what the supersedence rules expired.
    assert_eq!(revisions(&log) + 1, all);
    for (site, held, delivered) in [("PR1", second, to_primary), ("SE1", third, to_secondary)] {
        let database = Database::open(&hierarchy.data_dir(site)).await;
        assert_eq!(database.root().await, root, "{site}");
        assert!(database.log().await == log, "{site}");
        held.check(site, &database, &log).await;
        held.check_traffic(site, delivered, &log);
    }
}
