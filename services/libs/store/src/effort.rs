//! A site with a large catalog does no more for a change than one with a small catalog. Counted in the
//! steps of SQLite's machine, which are the same on every computer.

use crate::{Location, NewItem, Store, Tx};
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trust::{Authority, HierarchyId, Statement};
use uuid::Uuid;

const SMALL: u32 = 1_000;
const LARGE: u32 = 20 * SMALL;
/// What changes in either.
const CHANGED: u32 = 200;
/// Deeper trees of pages cost a little more, lists do not get this short.
const MOST_GROWTH: f64 = 1.25;

struct Site {
    store: Store,
    authority: Authority,
    hierarchy: HierarchyId,
    steps: Arc<AtomicU64>,
    _directory: tempfile::TempDir,
}

fn update(number: u32) -> UpdateId {
    // Spread over the buckets as real ones are.
    UpdateId(Uuid::from_u128(
        u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    ))
}

fn items(numbers: Range<u32>, content: u8) -> Vec<NewItem> {
    let item = |number| NewItem {
        key: ItemKey::Revision(RevisionId {
            update_id: update(number),
            revision: 1,
        }),
        header: vec![content; 40],
        document: vec![content; 400],
    };
    numbers.map(item).collect()
}

impl Site {
    async fn new(updates: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Directory(directory.path().to_owned());
        let store = Store::open(&location).await.unwrap();
        let hierarchy = HierarchyId(Uuid::from_u128(1));
        let mut random = StdRng::seed_from_u64(1);
        let authority = Authority::create(hierarchy, Timestamp::UNIX_EPOCH, &mut random).unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let site = Self {
            store,
            authority,
            hierarchy,
            steps,
            _directory: directory,
        };
        let mut tx = site.store.begin().await.unwrap();
        let counter = Arc::clone(&site.steps);
        let crate::Connection::Sqlite(sqlite) = tx.connection() else {
            unreachable!("it is in a directory")
        };
        sqlite
            .lock_handle()
            .await
            .unwrap()
            .set_progress_handler(1, move || {
                counter.fetch_add(1, Ordering::Relaxed);
                true
            });
        tx.start_epoch(Uuid::from_u128(7)).await.unwrap();
        tx.append(items(0..updates, 1), Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        site.accept(&mut tx).await;
        tx.commit().await.unwrap();
        site
    }

    /// Goes over to the head as a child does that was sent the statement for it.
    async fn accept(&self, tx: &mut Tx<'_>) {
        let summary = tx.summarize().await.unwrap();
        let statement = Statement {
            hierarchy: self.hierarchy,
            epoch: tx.positions().epoch,
            position: summary.position,
            items: summary.items,
            root: summary.root,
            issued: Timestamp::UNIX_EPOCH,
            stale_after: Timestamp::UNIX_EPOCH,
        };
        let signed = self.authority.sign(statement.clone());
        tx.accept(&statement, &signed.to_bytes()).await.unwrap();
    }

    /// The steps that one unit of work takes.
    async fn count(&self, work: impl AsyncFnOnce(&mut Tx<'_>)) -> u64 {
        self.steps.store(0, Ordering::Relaxed);
        let mut tx = self.store.begin().await.unwrap();
        work(&mut tx).await;
        tx.commit().await.unwrap();
        self.steps.load(Ordering::Relaxed)
    }
}

/// What one unit of work costs in a small catalog and in a large one.
async fn check(what: &str, work: impl AsyncFn(&Site, &mut Tx<'_>)) {
    let mut steps = [0.0; 2];
    for (updates, steps) in [SMALL, LARGE].into_iter().zip(&mut steps) {
        let site = Site::new(updates).await;
        let counted = site.count(async |tx: &mut Tx<'_>| work(&site, tx).await);
        *steps = counted.await as f64;
    }
    let [small, large] = steps;
    assert!(small > 10.0, "{what}: nothing was counted");
    assert!(
        large <= small * MOST_GROWTH,
        "{what}: {small} steps where {SMALL} updates are held, {large} where {LARGE} are"
    );
}

#[tokio::test]
async fn a_statement_for_what_is_held_costs_the_same_in_any_catalog() {
    check("nothing to do", async |site, tx| site.accept(tx).await).await;
}

#[tokio::test]
async fn a_change_costs_the_same_in_any_catalog() {
    check("a change", async |site, tx| {
        let now = Timestamp::UNIX_EPOCH;
        tx.append(items(0..CHANGED, 2), now).await.unwrap();
        site.accept(tx).await;
    })
    .await;
}

#[tokio::test]
async fn a_question_what_is_known_costs_the_same_in_any_catalog() {
    check("known updates", async |_, tx| {
        let asked: Vec<UpdateId> = (0..CHANGED).map(update).collect();
        let known = tx.known_updates(&asked).await.unwrap();
        assert_eq!(known.len(), asked.len());
    })
    .await;
}

/// Runs that are held, each with as many parts.
const PARTS: u32 = 50;

/// The steps that one run takes to be read among so many.
async fn reading_a_run(runs: u32) -> f64 {
    let site = Site::new(1).await;
    let mut tx = site.store.begin().await.unwrap();
    for number in 0..runs {
        let id = Uuid::from_u128(u128::from(number));
        tx.connection()
            .execute(
                "insert into sync_run (id, started, finished, state, full_run, manual, added, revised, expired, \
                 removed, position, error) values ($1, $2, 0, 'Completed', 0, 0, 0, 0, 0, 0, 0, '')",
                vec![id.as_bytes().to_vec().into(), i64::from(number).into()],
            )
            .await
            .unwrap();
        for part in 0..PARTS {
            let point = format!("{:03}", part).parse().unwrap();
            tx.add_to_site_run(id, point, |part| {
                part.begun = Some((1, Timestamp::UNIX_EPOCH));
            })
            .await
            .unwrap();
        }
    }
    tx.commit().await.unwrap();
    let middle = Uuid::from_u128(u128::from(runs / 2));
    let read = site.count(async |tx: &mut Tx<'_>| {
        let found = crate::site_runs::site_runs(&mut tx.connection(), middle).await;
        assert_eq!(found.unwrap().len(), PARTS as usize);
    });
    read.await as f64
}

#[tokio::test]
async fn a_run_is_read_with_all_its_parts_as_fast_among_many_runs_as_among_few() {
    let (few, many) = (reading_a_run(2).await, reading_a_run(200).await);
    assert!(few > 10.0, "nothing was counted");
    assert!(
        many <= few * MOST_GROWTH,
        "{few} steps among 2 runs, {many} among 200"
    );
}
