use super::*;
use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use daemon::Clock;
use std::sync::Mutex;
use store::{Location, NewItem};
use trust::HierarchyId;
use uuid::Uuid;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A clock that is moved by hand.
struct HandClock(Mutex<Timestamp>);

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

struct Fixture {
    clock: Arc<HandClock>,
    publisher: Publisher,
    store: Store,
    _directory: tempfile::TempDir,
}

impl Fixture {
    /// A site whose statements are good for 40 hours, with one signed item.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let location = Location::Directory(directory.path().into());
        let store = Store::open(&location).await.unwrap();
        let start = "2026-11-20T10:00:00Z".parse().unwrap();
        let clock = Arc::new(HandClock(Mutex::new(start)));
        let ambient = Ambient::seeded(Arc::clone(&clock) as _, 1);
        let hierarchy = HierarchyId(Uuid::from_u128(1));
        let authority = Authority::create(hierarchy, start, &mut ambient.new_rng()).unwrap();
        let publisher = Publisher {
            authority: Arc::new(authority),
            ambient,
            validity: 40 * HOUR,
        };
        let mut tx = store.begin().await.unwrap();
        tx.start_epoch(Uuid::from_u128(2)).await.unwrap();
        tx.commit().await.unwrap();
        let fixture = Self {
            clock,
            publisher,
            store,
            _directory: directory,
        };
        fixture.append(1).await;
        let mut tx = fixture.store.begin().await.unwrap();
        fixture.publisher.publish(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        fixture
    }

    async fn append(&self, update: u128) {
        let id = RevisionId {
            update_id: UpdateId(Uuid::from_u128(update)),
            revision: 1,
        };
        let item = NewItem {
            key: ItemKey::Revision(id),
            header: b"header".to_vec(),
            document: b"document".to_vec(),
        };
        let mut tx = self.store.begin().await.unwrap();
        tx.append(vec![item], self.clock.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    fn pass(&self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        *now = now.checked_add(time).unwrap();
    }

    async fn issued(&self) -> Timestamp {
        let mut read = self.store.read().await.unwrap();
        let held = read.signed_statement().await.unwrap().unwrap();
        held.claimed().issued
    }
}

#[tokio::test]
async fn a_statement_is_made_anew_by_its_own_age_however_often_the_site_starts() {
    let fixture = Fixture::new().await;
    let first = fixture.issued().await;
    for _ in 0..3 {
        // Each round is a start: nothing is remembered between two looks.
        fixture.pass(3 * HOUR);
        let wait = fixture.publisher.refresh(&fixture.store).await.unwrap();
        assert!(wait <= HOUR);
        assert_eq!(fixture.issued().await, first);
    }
    fixture.pass(HOUR);
    fixture.publisher.refresh(&fixture.store).await.unwrap();
    assert_eq!(
        fixture.issued().await,
        first.checked_add(10 * HOUR).unwrap()
    );
}

#[tokio::test]
async fn a_log_that_a_run_adds_to_is_never_signed() {
    let fixture = Fixture::new().await;
    let before = (fixture.issued().await, fixture.store.positions().verified);
    fixture.append(2).await;
    fixture.pass(100 * HOUR);
    let wait = fixture.publisher.refresh(&fixture.store).await.unwrap();
    assert_eq!(wait, RETRY);
    let after = (fixture.issued().await, fixture.store.positions().verified);
    assert_eq!(after, before);
}
