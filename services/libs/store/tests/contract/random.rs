//! Random sequences of everything that happens to a log, compared with a model that is a map.

use super::support::*;
use catalog::item::ItemKey;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use store::{NewItem, Store};
use trust::SignedStatement;

const END: u64 = u64::MAX >> 1;
/// Updates and revisions that items are drawn from: few, so that they meet again.
const UPDATES: u128 = 12;
const REVISIONS: u32 = 3;

/// A catalog as anyone would write it down: by item, position and content.
#[derive(Debug, Clone, Default, PartialEq)]
struct Model {
    head: u64,
    items: BTreeMap<ItemKey, (u64, u32)>,
}

fn content(number: u32) -> (Vec<u8>, Vec<u8>) {
    let document = (number > 0).then(|| format!("document {number}"));
    (
        format!("header {number}").into_bytes(),
        document.unwrap_or_default().into_bytes(),
    )
}

impl Model {
    fn append(&mut self, key: ItemKey, number: u32) {
        if self.items.get(&key).is_none_or(|(_, held)| *held != number) {
            self.head += 1;
            self.items.insert(key, (self.head, number));
        }
    }

    fn remove(&mut self, key: ItemKey) {
        if self.items.remove(&key).is_some() {
            self.head += 1;
        }
    }

    fn view(&self) -> View {
        let row = |(key, (position, number)): (&ItemKey, &(u64, u32))| {
            let id = key.revision().unwrap();
            let (header, document) = content(*number);
            (id, (*position, header, document))
        };
        self.items.iter().map(row).collect()
    }
}

fn any_key(rng: &mut StdRng) -> ItemKey {
    let update = rng.random_range(0..UPDATES);
    ItemKey::Revision(revision(update, rng.random_range(1..=REVISIONS)))
}

/// A store and what should be in it: what is shown, and what is applied.
struct Pair {
    database: Database,
    store: Store,
    shown: Model,
    applied: Model,
    minute: i64,
}

impl Pair {
    async fn new(place: &Place) -> Self {
        let database = place.database().await;
        let store = database.open().await;
        start_epoch(&store, EPOCH).await;
        Self {
            database,
            store,
            shown: Model::default(),
            applied: Model::default(),
            minute: 0,
        }
    }

    async fn step(&mut self, rng: &mut StdRng) {
        match rng.random_range(0..20) {
            0..8 => {
                let keep = rng.random_bool(0.9);
                let mut applied = self.applied.clone();
                let mut tx = self.store.begin().await.unwrap();
                for _ in 0..rng.random_range(1..3) {
                    let mut batch = Vec::new();
                    for _ in 0..rng.random_range(0..12) {
                        let (key, number) = (any_key(rng), rng.random_range(0..5));
                        let (header, document) = content(number);
                        batch.push(NewItem {
                            key,
                            header,
                            document,
                        });
                        applied.append(key, number);
                    }
                    tx.append(batch, time(self.minute)).await.unwrap();
                }
                if keep {
                    tx.commit().await.unwrap();
                    self.applied = applied;
                }
            }
            8..12 => {
                let keys: Vec<_> = (0..rng.random_range(1..6)).map(|_| any_key(rng)).collect();
                let mut tx = self.store.begin().await.unwrap();
                tx.remove(&keys, time(self.minute)).await.unwrap();
                tx.commit().await.unwrap();
                keys.into_iter().for_each(|key| self.applied.remove(key));
            }
            12..14 => {
                let mut tx = self.store.begin().await.unwrap();
                tx.roll_back_unverified().await.unwrap();
                tx.commit().await.unwrap();
                self.applied = self.shown.clone();
            }
            14..16 => {
                let mut tx = self.store.begin().await.unwrap();
                tx.forget_removals(time(self.minute - 3)).await.unwrap();
                tx.commit().await.unwrap();
            }
            16 => {
                self.store = self.database.open().await;
            }
            _ => {
                self.publish().await;
            }
        }
        self.minute += 1;
    }

    /// Goes over to what is applied. [`publish`] compares the summary with one from scratch.
    async fn publish(&mut self) -> SignedStatement {
        let signed = publish(&self.store, self.minute).await;
        self.shown = self.applied.clone();
        assert_eq!(signed.claimed().items, self.shown.items.len() as u64);
        signed
    }

    async fn check(&self) {
        assert_eq!(view(&self.store).await, self.shown.view());
        places(self.applied.head, self.shown.head, self.store.positions());
    }
}

/// How many sequences are tried: a statement costs PostgreSQL a round trip.
fn seeds(place: &Place) -> u64 {
    if place.is_postgres() { 2 } else { 6 }
}

pub async fn a_store_does_what_its_model_does(place: &Place) {
    for seed in 0..seeds(place) {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(place).await;
        for _ in 0..40 {
            pair.step(&mut rng).await;
            pair.check().await;
        }
    }
}

pub async fn copies_in_any_batches_are_equal(place: &Place) {
    for seed in 100..100 + seeds(place) {
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut parent = Pair::new(place).await;
        let child = Pair::new(place).await.store;
        let grandchild = Pair::new(place).await.store;
        for _ in 0..25 {
            for _ in 0..rng.random_range(1..5) {
                parent.step(&mut rng).await;
            }
            let signed = parent.publish().await;
            // Some of it before it is all there, as a pull that is overtaken or cut off does.
            let end = parent.store.positions().head;
            let reached = child.positions().head;
            if end > reached && rng.random_bool(0.5) {
                let part = rng.random_range(reached..end);
                pull(&parent.store, &child, part, rng.random_range(1..9)).await;
                if rng.random_bool(0.3) {
                    continue;
                }
                if rng.random_bool(0.2) {
                    let mut tx = child.begin().await.unwrap();
                    tx.roll_back_unverified().await.unwrap();
                    tx.commit().await.unwrap();
                }
            }
            let floor = parent.store.read().await.unwrap().floor().await.unwrap();
            if child.positions().head < floor && child.positions().head > 0 {
                start_epoch(&child, EPOCH).await;
                start_epoch(&grandchild, EPOCH).await;
            }
            pull(&parent.store, &child, END, rng.random_range(1..20)).await;
            // Relayed before it is verified.
            pull(&child, &grandchild, END, rng.random_range(1..20)).await;
            accept(&child, &signed).await.unwrap();
            accept(&grandchild, &signed).await.unwrap();
            for copy in [&child, &grandchild] {
                assert_eq!(view(copy).await, parent.shown.view());
                assert_eq!(copy.recompute_root().await.unwrap(), signed.claimed().root);
            }
        }
    }
}
