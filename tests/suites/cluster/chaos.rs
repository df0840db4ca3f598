//! Processes that are killed at random instants, and links that do the worst, over and over, while the
//! catalog changes. In the end nothing is lost, nothing is there twice, and nobody began from the start.
//! A seed chooses the blows; the instants are those of real processes, so it does not repeat a run.

use crate::documents::generate;
use catalog::PointId;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Database, Hierarchy, until};

const UPDATES: u32 = 400;
/// Processes in a line, and one beside them.
const SITES: [&str; 4] = [CENTRAL, "PR1", "SE1", "PR2"];
/// After so many blows everything has to come to rest.
const BLOWS_PER_ROUND: u32 = 8;
/// Kills in the ordinary suite, and the variable that names another number.
const KILLS: u32 = 16;
const KILLS_VARIABLE: &str = "HEADWATER_TEST_KILLS";
const SEED_VARIABLE: &str = "HEADWATER_TEST_SEED";

#[expect(
    clippy::disallowed_methods,
    reason = "how long to try is chosen by whoever starts the tests"
)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct Chaos {
    hierarchy: Hierarchy,
    random: StdRng,
    kills: u32,
    /// Highest position that was seen verified, by site.
    reached: BTreeMap<String, u64>,
}

impl Chaos {
    async fn new(seed: u64) -> Self {
        eprintln!("SEED={seed}");
        let mut hierarchy = Hierarchy::new();
        hierarchy.upstream(generate(UPDATES)).await;
        hierarchy.central().await;
        hierarchy.join("PR1", "primary", CENTRAL).await;
        hierarchy.join("PR2", "primary", CENTRAL).await;
        hierarchy.join("SE1", "secondary", "PR1").await;
        hierarchy.synchronize().await;
        Self {
            hierarchy,
            random: StdRng::seed_from_u64(seed),
            kills: 0,
            reached: BTreeMap::new(),
        }
    }

    fn one_of<'s>(&mut self, names: &[&'s str]) -> &'s str {
        names[self.random.random_range(0..names.len())]
    }

    /// Lets the processes work for a while: some events of the upstream's or a site's own.
    async fn meanwhile(&mut self) {
        let moment = Duration::from_millis(self.random.random_range(0..250));
        tokio::time::sleep(moment).await;
    }

    /// Asks for a synchronization, if somebody is there to be asked.
    async fn ask(&self) {
        if let Ok(client) = self.hierarchy.client().await {
            let request = wire::v1::StartSyncRequest {
                full: false,
                ..wire::v1::StartSyncRequest::default()
            };
            drop(client.sync().start_sync(request).await);
        }
    }

    /// Kills a process in the middle of whatever it does, and starts it again.
    async fn kill(&mut self) {
        let name = self.one_of(&[CENTRAL, "PR1", "SE1", "PR2", UPSTREAM]);
        self.ask().await;
        self.meanwhile().await;
        self.hierarchy.kill(name);
        self.kills += 1;
        if name != UPSTREAM {
            self.look_into(name).await;
        }
        self.hierarchy.start(name).await;
    }

    /// What a site held when it was killed: whole, and not behind what it had shown.
    async fn look_into(&mut self, name: &str) {
        let database = Database::open(&self.hierarchy.data_dir(name)).await;
        let positions = database.positions();
        let shown = self.reached.entry(name.to_owned()).or_default();
        assert!(
            positions.verified >= *shown,
            "{name} went from {shown} back to {positions:?}"
        );
        *shown = positions.verified;
        database.close().await;
    }

    /// Does something bad to a link.
    async fn spoil(&mut self) {
        let name = self.one_of(&[CENTRAL, "PR1", UPSTREAM]);
        let blow = self.random.random_range(0..5);
        let proxy = self.hierarchy.proxy(name);
        match blow {
            0 => proxy.delay(Duration::from_millis(20)),
            1 => proxy.stall(),
            2 => proxy.flip(),
            3 => proxy.half_close(),
            _ => self.hierarchy.cut(name),
        }
        self.ask().await;
        self.meanwhile().await;
        self.hierarchy.proxy(name).free();
        if blow == 4 {
            self.hierarchy.heal(name).await;
        }
    }

    /// The storm is over: everything comes to rest by itself, and is as it should be.
    async fn rest(&mut self) {
        let hierarchy = &self.hierarchy;
        for site in &SITES[1..] {
            hierarchy.attached(site).await;
        }
        let run = until("a run is complete everywhere", LONG, || async {
            let client = hierarchy.client().await?;
            let request = wire::v1::StartSyncRequest {
                full: false,
                ..wire::v1::StartSyncRequest::default()
            };
            let started = client.sync().start_sync(request).await;
            started
                .map(|answer| answer.into_inner().run)
                .map_err(|status| status.to_string())
        })
        .await;
        hierarchy.converged(&run).await;
        until("every site's messages are complete", LONG, || async {
            for (site, numbers) in crate::away::numbers(hierarchy).await? {
                if !numbers.is_sorted_by(|one, next| *next == one + 1) {
                    return Err(format!("{site}: {numbers:?}"));
                }
            }
            Ok(())
        })
        .await;
        for site in &SITES[1..] {
            let log = hierarchy.log(site);
            let beginnings = log
                .matches("Syncing updates arrived after position 0 ")
                .count();
            assert_eq!(beginnings, 1, "{site} began from the start again");
        }
    }

    /// What the databases say when all is over.
    async fn check(mut self) {
        self.hierarchy.stop_all().await;
        let mut expected = None;
        let mut own: BTreeMap<PointId, BTreeSet<u64>> = BTreeMap::new();
        let mut known: BTreeMap<PointId, BTreeSet<u64>> = BTreeMap::new();
        let mut waiting: BTreeMap<PointId, BTreeSet<u64>> = BTreeMap::new();
        for site in SITES {
            let database = Database::open(&self.hierarchy.data_dir(site)).await;
            {
                let mut read = database.store().read().await.unwrap();
                assert!(
                    read.survey(true).await.unwrap().damaged.is_empty(),
                    "{site}"
                );
                let code: PointId = site.parse().unwrap();
                for row in read.status_messages(None, u32::MAX).await.unwrap() {
                    if site == CENTRAL {
                        known.entry(row.site).or_default().insert(row.number);
                    }
                    if row.site == code {
                        own.entry(code).or_default().insert(row.number);
                    }
                }
                for (_, row) in read.outbox(10_000).await.unwrap() {
                    waiting.entry(row.site).or_default().insert(row.number);
                }
            }
            let held = (database.positions().epoch, database.root().await);
            assert_eq!(*expected.get_or_insert(held), held, "{site}");
            database.close().await;
        }
        // Whoever ends after its parent tells so at its next start.
        for (site, own) in own {
            let known = known.remove(&site).unwrap_or_default();
            let waiting = waiting.remove(&site).unwrap_or_default();
            let told: BTreeSet<u64> = known.union(&waiting).copied().collect();
            assert_eq!(told, own, "{site}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_and_broken_links_lose_nothing_and_double_nothing() {
    let kills = variable(KILLS_VARIABLE).map_or(KILLS, |kills| u32::try_from(kills).unwrap());
    let mut chaos = Chaos::new(variable(SEED_VARIABLE).unwrap_or(7)).await;
    let mut round = 0;
    while chaos.kills < kills {
        round += 1;
        chaos.hierarchy.evolve().await;
        for _ in 0..BLOWS_PER_ROUND {
            match chaos.random.random_range(0..3) {
                0 => chaos.spoil().await,
                _ => chaos.kill().await,
            }
        }
        chaos.rest().await;
        eprintln!("round {round}: {} kills so far, all is well", chaos.kills);
    }
    chaos.check().await;
}
