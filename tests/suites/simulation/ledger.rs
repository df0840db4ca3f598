//! What was seen in the databases while a run went on, so that the checks can compare with it.

use crate::database::{Item, Snapshot};
use crate::world::World;
use catalog::item::{Digest, ItemKey};
use catalog::{PointId, UpdateId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use trust::{Authority, HierarchyId, StatementPublicKey};
use uuid::Uuid;

fn authority_in(directory: &Path) -> Option<(StatementPublicKey, HierarchyId)> {
    let pem = std::fs::read_to_string(directory.join("authority.pem")).ok()?;
    let authority = Authority::from_secret_pem(&pem.into()).unwrap();
    Some((authority.statement_key(), authority.hierarchy()))
}

/// Whether a key is that of a revision.
pub fn is_revision(key: &[u8]) -> bool {
    ItemKey::from_bytes(key).is_ok_and(|key| key.revision().is_some())
}

/// What was seen.
#[derive(Default)]
pub struct Ledger {
    /// How far each site was when it was last looked at.
    pub seen: BTreeMap<PointId, Snapshot>,
    /// Every change that the central site ever made: its epoch, position, key, and digest.
    pub published: BTreeSet<(Uuid, u64, Vec<u8>, Option<Digest>)>,
    /// The digest of every revision that was ever seen anywhere.
    pub digests: BTreeMap<Vec<u8>, Digest>,
    /// Bytes of all changes that the central site ever made.
    pub published_bytes: u64,
    /// The most bytes that a change has.
    pub largest_change: u64,
    /// The key that statements are signed with, and the hierarchy.
    pub authority: Option<(StatementPublicKey, HierarchyId)>,
    /// Every change that the central site ever made, wherever it was: its key and digest.
    pub contents: BTreeSet<(Vec<u8>, Option<Digest>)>,
    /// The earliest date of every update that a revision of it said at the central site.
    pub created: BTreeMap<UpdateId, Timestamp>,
    /// Whether the central site's database was put back from an older copy.
    pub restored: bool,
    /// The epoch whose end was lost with that.
    pub lost: Option<Uuid>,
    /// Whether rows of a site were altered, and not repaired since.
    pub damaged: bool,
    /// Whether sites compared, so that items may lie at other places than at the central site.
    pub compared: bool,
    /// Sites that keep little of their history.
    pub forgetful: BTreeSet<PointId>,
    /// The log of the central site in its newest epoch: of each position the key and the digest.
    log: BTreeMap<u64, (Vec<u8>, Option<Digest>)>,
    /// The same of a hierarchy that lives from packages.
    pub island: Option<(StatementPublicKey, HierarchyId)>,
    /// How far that one was with packages when it was last looked at.
    pub imported: (Uuid, u64),
    /// Whether all that the central site has was carried there, and nothing changed since.
    pub carried: bool,
    /// Runs that the central site had completed when the last one was asked for.
    pub completed: i64,
    read_to: (Uuid, u64, u64),
    commits: u64,
}

impl Ledger {
    /// Takes down what the central site has published since.
    pub fn follow_central(world: &mut World) {
        let central = world.plan.central;
        let commits = world.disk.commits(central);
        if commits == world.ledger.commits {
            return;
        }
        world.ledger.commits = commits;
        let directory = world.shared.directory(central);
        let Some(now) = world.runtime.block_on(world.databases.snapshot(&directory)) else {
            return;
        };
        let (epoch, generation, read_to) = world.ledger.read_to;
        let after = match (epoch, generation) == (now.epoch, now.generation) {
            true => read_to,
            false => 0,
        };
        if epoch != now.epoch {
            world.ledger.log.clear();
        } else if generation != now.generation {
            // What was thrown away is no part of it.
            world.ledger.log.split_off(&(now.verified + 1));
        }
        if now.head > after || after == 0 {
            let items = world
                .runtime
                .block_on(world.databases.items(&directory, after));
            world.ledger.publish(now.epoch, items);
        }
        world.ledger.read_to = (now.epoch, now.generation, now.head);
        if world.ledger.authority.is_none() {
            world.ledger.authority = authority_in(&directory);
        }
    }

    /// The key that statements of a site are signed with, and its hierarchy.
    pub fn authority_of(
        world: &mut World,
        site: PointId,
    ) -> Option<(StatementPublicKey, HierarchyId)> {
        if world.plan.island != Some(site) {
            return world.ledger.authority;
        }
        if world.ledger.island.is_none() {
            let directory = world.shared.directory(site);
            world.ledger.island = authority_in(&directory);
        }
        world.ledger.island
    }

    /// The digests of all revisions that the central site had at a position of its newest epoch.
    pub fn revisions_at(&self, epoch: Uuid, position: u64) -> Option<BTreeMap<Vec<u8>, Digest>> {
        if self.read_to.0 != epoch || self.read_to.2 < position {
            return None;
        }
        let mut held = BTreeMap::new();
        for (key, digest) in self.log.range(..=position).map(|(_, change)| change) {
            match digest {
                Some(digest) if is_revision(key) => drop(held.insert(key.clone(), *digest)),
                Some(_) => {}
                None => drop(held.remove(key)),
            }
        }
        Some(held)
    }

    /// Notes that the central site is behind what it was, and knows nothing of it.
    pub fn central_was_restored(&mut self, central: PointId) {
        self.restored = true;
        self.compared = true;
        self.seen.remove(&central);
        self.lost = Some(self.read_to.0);
        self.read_to = Default::default();
    }

    fn publish(&mut self, epoch: Uuid, items: Vec<Item>) {
        for item in items {
            if let Some((update, date)) = item.created.filter(|_| item.digest == item.real_digest) {
                let created = self.created.entry(update).or_insert(date);
                *created = date.min(*created);
            }
            self.contents.insert((item.key.clone(), item.digest));
            self.log
                .insert(item.position, (item.key.clone(), item.digest));
            let change = (epoch, item.position, item.key, item.digest);
            if self.published.insert(change) {
                self.published_bytes += item.bytes;
                self.largest_change = self.largest_change.max(item.bytes);
            }
        }
    }
}
