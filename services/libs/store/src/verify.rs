//! From what is applied to what is shown: the Merkle summary of the log's head, and going over to
//! it once a statement covers it.
//!
//! Invariant: what is verified is whole at any moment; going over to the next is one unit of work.

use crate::backend::{Connection, Row, int};
use crate::error::{Error, Mismatch, corrupt};
use crate::{KnownTree, Positions, Read, Store, Tx, site_state};
use catalog::item::Digest;
use catalog::merkle::{BUCKETS_PER_NODE, BucketHasher, NODES, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;
use trust::statement::{SignedStatement, Statement, StatementError};

/// Buckets that one query reads when all of them are read.
pub(crate) const BUCKETS_PER_RANGE: u32 = 4096;
/// Buckets that one query names when some of them are read.
pub(crate) const BUCKETS_PER_STATEMENT: usize = 200;
/// From this many changed buckets on, reading all of them in order is the cheaper way.
pub(crate) const MANY_BUCKETS: usize = 8192;

/// The catalog at the log's head, in short.
pub struct Summary {
    /// Where the log ends.
    pub position: u64,
    /// How many live items there are.
    pub items: u64,
    /// The Merkle root over them.
    pub root: Digest,
    tree: Tree,
    nodes: BTreeSet<u8>,
}

impl std::fmt::Debug for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Summary")
            .field("position", &self.position)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

impl Tx<'_> {
    /// The Merkle summary of everything applied, from the verified one and the buckets that changed
    /// since: as much work as there were changes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summarize(&mut self) -> Result<Summary, Error> {
        let verified = self.positions.verified;
        let mut tree = Tree::clone(&*self.verified_tree().await?);
        let mut nodes = BTreeSet::new();
        let changed = self.changed_buckets(verified).await?;
        if verified == 0 || changed.len() > MANY_BUCKETS {
            self.read_all_buckets(&mut tree).await?;
            nodes.extend(0..=u8::MAX);
        } else {
            self.read_buckets(&changed, &mut tree).await?;
            nodes.extend(changed.iter().map(|bucket| bucket.to_be_bytes()[0]));
        }
        let items = self.count_items(verified).await?;
        let root = tree.root();
        Ok(Summary {
            position: self.positions.head,
            items,
            root,
            tree,
            nodes,
        })
    }

    /// The summary that a top-level site is about to sign. Where the catalog is another than the one that
    /// was signed for this position, as after rows were lost, it takes the next one: no position has two
    /// catalogs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn summarize_to_sign(&mut self) -> Result<Summary, Error> {
        let mut summary = self.summarize().await?;
        if summary.position > self.positions.verified {
            // Rows may have been lost below the software: then what is signed comes from those that are left.
            let live = self.count_live().await?;
            if live != summary.items {
                self.read_all_buckets(&mut summary.tree).await?;
                summary.root = summary.tree.root();
                summary.nodes.extend(0..=u8::MAX);
                summary.items = live;
            }
        }
        let same_place = self.signed_statement().await?.is_some_and(|signed| {
            let stated = signed.claimed();
            (stated.epoch, stated.position) == (self.positions.epoch, summary.position)
                && (stated.root, stated.items) != (summary.root, summary.items)
        });
        if same_place {
            summary.position += 1;
            self.move_head(summary.position).await?;
        }
        Ok(summary)
    }

    async fn changed_buckets(&mut self, verified: u64) -> Result<Vec<u16>, Error> {
        if verified == 0 {
            return Ok(Vec::new());
        }
        // With the bare column SQLite would rather walk the whole index by bucket.
        let rows = self
            .connection()
            .fetch(
                "select distinct bucket + 0 from item where position > $1",
                vec![int(verified)],
            )
            .await?;
        rows.iter().map(bucket_of).collect()
    }

    pub(crate) async fn read_all_buckets(&mut self, tree: &mut Tree) -> Result<(), Error> {
        *tree = Tree::new();
        let mut first: u32 = 0;
        while first <= u32::from(u16::MAX) {
            let next = first + BUCKETS_PER_RANGE;
            let rows = self
                .connection()
                .fetch(
                    "select bucket, key, digest from item where bucket >= $1 and bucket < $2 \
                     and superseded_by is null and digest is not null order by bucket, key",
                    vec![i64::from(first).into(), i64::from(next).into()],
                )
                .await?;
            hash_buckets(&rows, tree, |row| Ok((row.blob(1)?, row.digest(2)?)))?;
            first = next;
        }
        Ok(())
    }

    pub(crate) async fn read_buckets(
        &mut self,
        buckets: &[u16],
        tree: &mut Tree,
    ) -> Result<(), Error> {
        for chunk in buckets.chunks(BUCKETS_PER_STATEMENT) {
            for bucket in chunk {
                tree.set_bucket(*bucket, catalog::merkle::EMPTY);
            }
            let list = self.connection().placeholders(1, chunk.len());
            let sql = format!(
                "select bucket, key, digest from item where bucket in {list} \
                 and superseded_by is null and digest is not null order by bucket, key"
            );
            let values = chunk.iter().map(|b| i64::from(*b).into()).collect();
            let rows = self.connection().fetch(sql, values).await?;
            hash_buckets(&rows, tree, |row| Ok((row.blob(1)?, row.digest(2)?)))?;
        }
        Ok(())
    }

    /// Live items at the head: those at the verified position, less those replaced or removed since,
    /// and those that came.
    async fn count_items(&mut self, verified: u64) -> Result<u64, Error> {
        let before = self.number(site_state::ITEMS).await?;
        let gone = self
            .connection()
            .fetch_one(
                "select count(*) from item where superseded_by > $1 and position <= $1 \
                 and digest is not null",
                vec![int(verified)],
            )
            .await?
            .count(0)?;
        let come = self
            .connection()
            .fetch_one(
                "select count(*) from item where position > $1 and superseded_by is null \
                 and digest is not null",
                vec![int(verified)],
            )
            .await?
            .count(0)?;
        before
            .checked_add(come)
            .and_then(|items| items.checked_sub(gone))
            .ok_or_else(|| corrupt("more items were removed than there were"))
    }

    /// Live items at the head, counted row by row.
    pub(crate) async fn count_live(&mut self) -> Result<u64, Error> {
        self.connection()
            .fetch_one(
                "select count(*) from item where superseded_by is null and digest is not null",
                vec![],
            )
            .await?
            .count(0)
    }

    async fn verified_tree(&mut self) -> Result<Arc<Tree>, Error> {
        if let Some(tree) = &self.tree {
            return Ok(Arc::clone(tree));
        }
        // Nothing of this unit has touched the nodes, else it had a tree of its own.
        let (store, positions) = (self.store, self.positions);
        store.load_tree(&mut self.connection(), positions).await
    }

    /// Goes over to the catalog of the summary, for which the top-level site has just signed the
    /// statement `signed`. What was replaced is forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn publish(&mut self, summary: Summary, signed: &[u8]) -> Result<(), Error> {
        self.go_over(summary, signed).await
    }

    /// Checks the applied catalog against a statement whose signature was verified, and goes over to
    /// it; `signed` is the statement's encoded form. The unit of work must be dropped when this fails.
    ///
    /// # Errors
    /// [`Error::Mismatch`] and [`Error::Older`] when the catalog is not the one that was signed.
    pub async fn accept(&mut self, stated: &Statement, signed: &[u8]) -> Result<(), Error> {
        if stated.epoch != self.positions.epoch {
            return Err(Error::Mismatch(Mismatch::Epoch));
        }
        if stated.position < self.positions.verified {
            return Err(Error::Older {
                offered: stated.position,
                held: self.positions.verified,
            });
        }
        if stated.position < self.positions.head {
            return Err(Error::Mismatch(Mismatch::Position {
                stated: stated.position,
                held: self.positions.head,
            }));
        }
        self.check_follows(stated).await?;
        // The log may end in positions whose changes were replaced or forgotten since.
        self.put_number(site_state::HEAD, stated.position).await?;
        self.positions.head = stated.position;
        let summary = self.summarize().await?;
        if summary.items != stated.items {
            return Err(Error::Mismatch(Mismatch::Items {
                stated: stated.items,
                held: summary.items,
            }));
        }
        if summary.root != stated.root {
            return Err(Error::Mismatch(Mismatch::Root));
        }
        self.go_over(summary, signed).await?;
        self.put_state(site_state::NEWEST_STATEMENT, signed).await
    }

    /// Whether a statement may follow the newest that was accepted, also in an epoch that was left.
    pub(crate) async fn check_follows(&mut self, stated: &Statement) -> Result<(), Error> {
        let Some(newest) = self.state(site_state::NEWEST_STATEMENT).await? else {
            return Ok(());
        };
        let newest = SignedStatement::from_bytes(&newest).map_err(corrupt)?;
        stated
            .may_follow(newest.claimed())
            .map_err(|error| match error {
                StatementError::Older { offered, held } => Error::Older { offered, held },
                StatementError::OtherHierarchy { .. } => Error::Mismatch(Mismatch::Hierarchy),
                StatementError::Fork { .. }
                | StatementError::Malformed
                | StatementError::Signature => Error::Mismatch(Mismatch::Root),
            })
    }

    async fn go_over(&mut self, summary: Summary, signed: &[u8]) -> Result<(), Error> {
        let Summary {
            position,
            items,
            tree,
            nodes,
            ..
        } = summary;
        self.connection()
            .execute(
                "delete from item where superseded_by <= $1",
                vec![int(position)],
            )
            .await?;
        if position > self.positions.verified {
            let rows = nodes
                .iter()
                .map(|node| [i64::from(*node).into(), tree.node_to_bytes(*node).into()])
                .collect();
            self.connection()
                .insert(
                    "insert into merkle_node (node, buckets)",
                    rows,
                    " on conflict (node) do update set buckets = excluded.buckets",
                )
                .await?;
        }
        self.put_number(site_state::ITEMS, items).await?;
        self.put_number(site_state::VERIFIED, position).await?;
        self.put_state(site_state::STATEMENT, signed).await?;
        self.positions.verified = position;
        self.tree = Some(Arc::new(tree));
        Ok(())
    }
}

pub(crate) fn bucket_of(row: &Row) -> Result<u16, Error> {
    u16::try_from(row.int(0)?).map_err(|_| corrupt("item: no bucket"))
}

/// Digests of the buckets that the rows belong to. Rows come by bucket and key, the bucket in the first
/// column; `item` says what key and digest a row has.
pub(crate) fn hash_buckets(
    rows: &[Row],
    tree: &mut Tree,
    mut item: impl FnMut(&Row) -> Result<(Vec<u8>, Digest), Error>,
) -> Result<(), Error> {
    let mut hasher = BucketHasher::new();
    let mut current = None;
    for row in rows {
        let bucket = bucket_of(row)?;
        if let Some(done) = current.filter(|done| *done != bucket) {
            tree.set_bucket(done, hasher.finish().0);
        }
        current = Some(bucket);
        let (key, digest) = item(row)?;
        hasher.item(&key, &digest);
    }
    if let Some(done) = current {
        tree.set_bucket(done, hasher.finish().0);
    }
    Ok(())
}

impl Store {
    /// The tree of the verified catalog at these positions: the one that is remembered, or from the
    /// database.
    pub(crate) async fn load_tree(
        &self,
        connection: &mut Connection<'_>,
        positions: Positions,
    ) -> Result<Arc<Tree>, Error> {
        let Positions {
            epoch,
            verified,
            generation,
            ..
        } = positions;
        if let Some(known) = &*self.known_tree()
            && (known.epoch, known.verified, known.generation) == (epoch, verified, generation)
        {
            return Ok(Arc::clone(&known.tree));
        }
        let rows = connection
            .fetch("select node, buckets from merkle_node", vec![])
            .await?;
        let mut tree = Tree::new();
        for row in rows {
            let node = u8::try_from(row.int(0)?).map_err(|_| corrupt("merkle_node: no node"))?;
            if !tree.set_node_from_bytes(node, &row.blob(1)?) {
                return Err(corrupt(format_args!("merkle_node {node} is malformed")));
            }
        }
        let tree = Arc::new(tree);
        *self.known_tree() = Some(KnownTree {
            epoch,
            verified,
            generation,
            tree: Arc::clone(&tree),
        });
        Ok(tree)
    }

    /// The root digest of the verified catalog, computed from every live item and from nothing that
    /// was remembered: what a check of the whole database compares with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recompute_root(&self) -> Result<Digest, Error> {
        let mut tx = self.begin().await?;
        let mut tree = Tree::new();
        tx.read_all_buckets(&mut tree).await?;
        Ok(tree.root())
    }
}

impl Read<'_> {
    /// How many items the verified catalog holds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn items(&mut self) -> Result<u64, Error> {
        site_state::number(&mut self.connection(), site_state::ITEMS).await
    }
}

const _: () = assert!(NODES * BUCKETS_PER_NODE == 65_536);
