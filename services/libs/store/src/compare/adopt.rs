//! Going over to what a comparison came to.

use super::{Survey, survey};
use crate::backend::int;
use crate::error::{Error, Mismatch, corrupt};
use crate::verify::{MANY_BUCKETS, bucket_of};
use crate::{Positions, Tx, site_state};
use catalog::merkle::Tree;
use std::collections::HashSet;
use std::sync::Arc;
use trust::statement::Statement;

/// Items that are given another place at a time, because theirs is taken.
const MISPLACED_AT_ONCE: usize = 5000;

impl Tx<'_> {
    /// Goes over to the catalog that the comparison came to, if it is the one of the statement, whose
    /// signature was verified; `signed` is its encoded form. What was applied and not verified is thrown
    /// away. The unit of work must be dropped when this fails.
    ///
    /// # Errors
    /// [`Error::Mismatch`] and [`Error::Older`] when the catalog is not the one that was signed.
    pub async fn adopt(
        &mut self,
        survey: Survey,
        stated: &Statement,
        signed: &[u8],
    ) -> Result<(), Error> {
        self.check_follows(stated).await?;
        if stated.items > stated.position || stated.position > i64::MAX as u64 {
            return Err(Error::Mismatch(Mismatch::Items {
                stated: stated.items,
                held: stated.position,
            }));
        }
        self.roll_back_unverified().await?;
        self.exchange_rows(&survey.damaged, stated.position).await?;

        let buckets = self.compared_buckets().await?;
        let mut tree = survey.tree;
        if buckets.len() > MANY_BUCKETS {
            self.read_all_buckets(&mut tree).await?;
        } else {
            self.read_buckets(&buckets, &mut tree).await?;
        }
        let items = self.count_live().await?;
        if items != stated.items {
            return Err(Error::Mismatch(Mismatch::Items {
                stated: stated.items,
                held: items,
            }));
        }
        if tree.root() != stated.root {
            return Err(Error::Mismatch(Mismatch::Root));
        }
        self.forget_comparison().await?;
        self.replace_tree(&tree).await?;
        self.put_state(site_state::EPOCH, *stated.epoch.as_bytes())
            .await?;
        for (name, value) in [
            (site_state::HEAD, stated.position),
            (site_state::VERIFIED, stated.position),
            (site_state::ITEMS, items),
            // The places of what was taken over say nothing of when it changed.
            (site_state::FLOOR, stated.position),
        ] {
            self.put_number(name, value).await?;
        }
        self.put_state(site_state::STATEMENT, signed).await?;
        self.put_state(site_state::NEWEST_STATEMENT, signed).await?;
        self.positions = Positions {
            epoch: stated.epoch,
            head: stated.position,
            verified: stated.position,
            generation: self.positions.generation,
        };
        self.tree = Some(Arc::new(tree));
        Ok(())
    }

    /// Takes rows out that the parent does not hold, and puts those in that were fetched.
    async fn exchange_rows(&mut self, damaged: &HashSet<i64>, last: u64) -> Result<(), Error> {
        self.delete_at(damaged).await?;
        for sql in [
            // Nothing that is right is in such a place, or waits to be replaced.
            "delete from item where superseded_by is not null or bucket < 0 or bucket > 65535 \
             or position < 1",
            // Whoever is older than the floor compares too, so nobody asks for removals any more.
            "delete from item where digest is null",
            "delete from item where bucket in (select bucket from compared_bucket) \
             and not exists (select 1 from compared_item c where c.bucket = item.bucket \
             and c.key = item.key and c.digest = item.digest and c.listed = 1 and c.held = 1)",
            "delete from item where bucket in (select bucket from compared_bucket) \
             and exists (select 1 from item o where o.bucket = item.bucket and o.key = item.key \
             and o.position < item.position)",
        ] {
            self.connection().execute(sql, vec![]).await?;
        }
        self.connection()
            .execute(
                "insert into item (position, bucket, key, digest, header, document) \
                 select position, bucket, key, digest, header, document from compared_item \
                 where listed = 1 and held = 0 and position >= 1 and position <= $1 \
                 on conflict (position) do nothing",
                vec![int(last)],
            )
            .await?;
        self.place_the_others(last).await
    }

    /// Deletes the rows at some places. How many there were.
    async fn delete_at(&mut self, places: &HashSet<i64>) -> Result<u64, Error> {
        let mut deleted = 0;
        for position in places {
            deleted += self
                .connection()
                .execute(
                    "delete from item where position = $1",
                    vec![(*position).into()],
                )
                .await?;
        }
        Ok(deleted)
    }

    /// Gives a free place in the log to what came from a place that is taken here, and to what lies
    /// beyond its end. There are enough: a log is never shorter than its catalog is large.
    async fn place_the_others(&mut self, last: u64) -> Result<(), Error> {
        loop {
            let most = i64::try_from(MISPLACED_AT_ONCE).unwrap_or(i64::MAX);
            let beyond = self
                .connection()
                .fetch(
                    "select position from item where position > $1 order by position limit $2",
                    vec![int(last), most.into()],
                )
                .await?;
            let unplaced = self
                .connection()
                .fetch(
                    "select c.bucket, c.key from compared_item c where c.listed = 1 and c.held = 0 \
                     and c.position is not null and not exists (select 1 from item i \
                     where i.bucket = c.bucket and i.key = c.key) \
                     order by c.bucket, c.key limit $1",
                    vec![most.into()],
                )
                .await?;
            if beyond.is_empty() && unplaced.is_empty() {
                return Ok(());
            }
            let mut free = self.free_places(last).await?.into_iter();
            let mut next = || {
                free.next()
                    .ok_or_else(|| corrupt("the log has no free place for an item"))
            };
            for row in &beyond {
                let values = vec![row.int(0)?.into(), int(next()?)];
                self.connection()
                    .execute("update item set position = $2 where position = $1", values)
                    .await?;
            }
            for row in unplaced.iter().take(MISPLACED_AT_ONCE - beyond.len()) {
                let values = vec![int(next()?), row.int(0)?.into(), row.blob(1)?.into()];
                self.connection()
                    .execute(
                        "insert into item (position, bucket, key, digest, header, document) \
                         select $1, bucket, key, digest, header, document from compared_item \
                         where bucket = $2 and key = $3",
                        values,
                    )
                    .await?;
            }
        }
    }

    /// Places of the log up to `last` at which nothing lies: the first ones.
    async fn free_places(&mut self, last: u64) -> Result<Vec<u64>, Error> {
        let gaps = self
            .connection()
            .fetch(
                "select first, last from (select position + 1 as first, \
                 coalesce(lead(position) over (order by position), cast($1 as bigint) + 1) - 1 as last \
                 from item where position <= $1 union all select cast(1 as bigint), \
                 coalesce((select min(position) from item where position <= $1), \
                 cast($1 as bigint) + 1) - 1) as gaps where first <= last order by first limit $2",
                vec![
                    int(last),
                    i64::try_from(MISPLACED_AT_ONCE).unwrap_or(i64::MAX).into(),
                ],
            )
            .await?;
        let mut free = Vec::new();
        for gap in gaps {
            let room = MISPLACED_AT_ONCE - free.len();
            free.extend((gap.count(0)?..=gap.count(1)?).take(room));
        }
        Ok(free)
    }

    async fn compared_buckets(&mut self) -> Result<Vec<u16>, Error> {
        let rows = self
            .connection()
            .fetch("select bucket from compared_bucket order by bucket", vec![])
            .await?;
        rows.iter().map(bucket_of).collect()
    }

    /// Forgets what a comparison gathered.
    async fn forget_comparison(&mut self) -> Result<(), Error> {
        for sql in ["delete from compared_bucket", "delete from compared_item"] {
            self.connection().execute(sql, vec![]).await?;
        }
        self.remove_state(site_state::COMPARED_ROOT).await
    }

    async fn replace_tree(&mut self, tree: &Tree) -> Result<(), Error> {
        let rows = (0..=u8::MAX)
            .map(|node| [i64::from(node).into(), tree.node_to_bytes(node).into()])
            .collect();
        self.connection()
            .insert(
                "insert into merkle_node (node, buckets)",
                rows,
                " on conflict (node) do update set buckets = excluded.buckets",
            )
            .await?;
        Ok(())
    }

    /// Takes the rows at a top-level site that are not what was signed out of its verified catalog, and
    /// goes by the rows that are left: what is missing then comes from the source again. How many were
    /// taken out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn drop_damaged(&mut self, damaged: &HashSet<i64>) -> Result<u64, Error> {
        let verified = self.positions.verified;
        let mut dropped = self.delete_at(damaged).await?;
        for sql in [
            "delete from item where superseded_by <= $1 or bucket < 0 or bucket > 65535",
            "delete from item where position <= $1 and superseded_by is null \
             and exists (select 1 from item o where o.bucket = item.bucket and o.key = item.key \
             and o.position > item.position and o.position <= $1)",
        ] {
            dropped += self.connection().execute(sql, vec![int(verified)]).await?;
        }
        let left = survey(&mut self.connection(), verified, false).await?;
        self.replace_tree(&left.tree).await?;
        self.put_number(site_state::ITEMS, left.rows).await?;
        self.count_generation().await?;
        self.tree = Some(Arc::new(left.tree));
        Ok(dropped)
    }
}
