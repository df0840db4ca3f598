//! The log of the catalog: appending at the top-level site, applying at every other, reading on.
//!
//! Invariant: positions only grow within an epoch, and a batch and the position it reaches are one
//! unit of work. Invariant: a row that a change replaces stays until a statement that covers the
//! change is verified, so the verified catalog is whole at any moment.

use crate::backend::{Row, Value, int};
use crate::error::{Error, corrupt};
use crate::{Read, Tx, site_state};
use catalog::UpdateId;
use catalog::item::{Digest, ItemKey, bucket_of_update, item_digest, revision_key_range};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// Keys that one statement asks for.
const KEYS_PER_STATEMENT: usize = 200;
/// Longest key that is accepted, in bytes.
const MAX_KEY_BYTES: usize = 64;
/// Longest header, in bytes. What is longer is refused by every site, so it must not enter the log.
pub const MAX_HEADER_BYTES: usize = 1 << 20;

/// An item as the top-level site is about to give it a position.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// What it is.
    pub key: ItemKey,
    /// What is known of it without its document.
    pub header: Vec<u8>,
    /// Its document in the stored form; empty where it has none.
    pub document: Vec<u8>,
}

/// What became of appended items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Items that were not in the catalog.
    pub added: u64,
    /// Items whose content changed.
    pub changed: u64,
    /// Items that are held exactly so already.
    pub unchanged: u64,
}

/// One change of the log, in the form in which it is stored and travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRow {
    /// Its place in the log.
    pub position: u64,
    /// The item's key.
    pub key: Vec<u8>,
    /// The item's header; empty on a removal.
    pub header: Vec<u8>,
    /// The item's document in the stored form; empty on a removal or where it has none.
    pub document: Vec<u8>,
    /// Whether the item was removed here.
    pub removed: bool,
}

/// What became of a run of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Changes that were not held before, of whatever kind.
    pub changes: u64,
    /// Revisions that came with them.
    pub revisions: u64,
    /// Revisions that were removed by them.
    pub removed: u64,
}

impl std::ops::AddAssign for Applied {
    fn add_assign(&mut self, more: Self) {
        self.changes += more.changes;
        self.revisions += more.revisions;
        self.removed += more.removed;
    }
}

/// A run of the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSlice {
    /// The changes, in order.
    pub changes: Vec<ChangeRow>,
    /// Position that is reached when they are applied.
    pub through: u64,
}

/// A run of the log whose changes are well-formed, with their digests: what the processor alone can
/// do before the database has its turn.
#[derive(Debug)]
pub struct CheckedSlice {
    changes: Vec<CheckedChange>,
    through: u64,
}

#[derive(Debug)]
struct CheckedChange {
    change: ChangeRow,
    key: ItemKey,
    /// None for a removal.
    digest: Option<Digest>,
}

impl LogSlice {
    /// Checks the changes one by one, and digests them.
    ///
    /// # Errors
    /// When one is malformed.
    pub fn check(self) -> Result<CheckedSlice, Error> {
        let mut changes = Vec::with_capacity(self.changes.len());
        for change in self.changes {
            let key = check(&change)?;
            let digest = (!change.removed)
                .then(|| item_digest(&change.key, &change.header, &change.document));
            changes.push(CheckedChange {
                change,
                key,
                digest,
            });
        }
        Ok(CheckedSlice {
            changes,
            through: self.through,
        })
    }
}

const INSERT: &str =
    "insert into item (position, bucket, key, digest, header, document, removed_at)";

fn row_of(change: ChangeRow, key: ItemKey, digest: Option<Digest>, now: Timestamp) -> [Value; 7] {
    [
        int(change.position),
        i64::from(key.bucket()).into(),
        change.key.into(),
        digest.map(|digest| digest.to_vec()).into(),
        Some(change.header).filter(|_| !change.removed).into(),
        Some(change.document).filter(|_| !change.removed).into(),
        change.removed.then(|| now.as_millisecond()).into(),
    ]
}

impl Tx<'_> {
    /// The live rows of some keys: position and digest. Removed items are not live, but their rows
    /// are found too, so that a later change can replace them.
    async fn live_rows(
        &mut self,
        keys: &[ItemKey],
    ) -> Result<HashMap<ItemKey, (u64, Option<Digest>)>, Error> {
        let mut found = HashMap::with_capacity(keys.len());
        if self.positions.head == 0 {
            return Ok(found);
        }
        for chunk in keys.chunks(KEYS_PER_STATEMENT) {
            let sql = format!(
                "with wanted (bucket, key) as (values {}) \
                 select item.position, item.key, item.digest from wanted \
                 cross join item where item.bucket = wanted.bucket and item.key = wanted.key \
                 and item.superseded_by is null",
                self.connection().placeholders(chunk.len(), 2)
            );
            let mut values = Vec::with_capacity(chunk.len() * 2);
            for key in chunk {
                values.push(i64::from(key.bucket()).into());
                values.push(key.to_bytes().into());
            }
            for row in self.connection().fetch(sql, values).await? {
                let key = ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?;
                let digest = row
                    .optional_blob(2)?
                    .map(|digest| digest.try_into().map_err(|_| corrupt("a digest's length")))
                    .transpose()?;
                found.insert(key, (row.count(0)?, digest));
            }
        }
        Ok(found)
    }

    async fn supersede(&mut self, replaced: Vec<(u64, u64)>) -> Result<(), Error> {
        for (position, by) in replaced {
            self.connection()
                .execute(
                    "update item set superseded_by = $2 where position = $1",
                    vec![int(position), int(by)],
                )
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn move_head(&mut self, head: u64) -> Result<(), Error> {
        self.put_number(site_state::HEAD, head).await?;
        self.positions.head = head;
        Ok(())
    }

    /// Appends items at the top-level site: each one that is new or differs from what is held gets
    /// the next position. Doing it again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn append(&mut self, items: Vec<NewItem>, now: Timestamp) -> Result<Appended, Error> {
        let keys: Vec<ItemKey> = items.iter().map(|item| item.key).collect();
        let mut live = self.live_rows(&keys).await?;
        let mut appended = Appended::default();
        let mut rows = Vec::with_capacity(items.len());
        let mut replaced = Vec::new();
        let mut head = self.positions.head;
        for item in items {
            let key = item.key.to_bytes();
            let digest = item_digest(&key, &item.header, &item.document);
            match live.get(&item.key) {
                Some((_, Some(held))) if *held == digest => {
                    appended.unchanged += 1;
                    continue;
                }
                Some((_, Some(_))) => appended.changed += 1,
                Some((_, None)) | None => appended.added += 1,
            }
            head += 1;
            if let Some((position, _)) = live.insert(item.key, (head, Some(digest))) {
                replaced.push((position, head));
            }
            let change = ChangeRow {
                position: head,
                key,
                header: item.header,
                document: item.document,
                removed: false,
            };
            rows.push(row_of(change, item.key, Some(digest), now));
        }
        self.connection().insert(INSERT, rows, "").await?;
        self.supersede(replaced).await?;
        self.move_head(head).await?;
        Ok(appended)
    }

    /// Removes items at the top-level site; each that is held gets a tombstone at the next position.
    /// Doing it again changes nothing. How many were removed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove(&mut self, keys: &[ItemKey], now: Timestamp) -> Result<u64, Error> {
        let mut live = self.live_rows(keys).await?;
        let mut rows = Vec::new();
        let mut replaced = Vec::new();
        let mut head = self.positions.head;
        for key in keys {
            let Some((position, Some(_))) = live.get(key) else {
                continue;
            };
            head += 1;
            replaced.push((*position, head));
            live.insert(*key, (head, None));
            let change = ChangeRow {
                position: head,
                key: key.to_bytes(),
                header: Vec::new(),
                document: Vec::new(),
                removed: true,
            };
            rows.push(row_of(change, *key, None, now));
        }
        let removed = rows.len() as u64;
        self.connection().insert(INSERT, rows, "").await?;
        self.supersede(replaced).await?;
        self.move_head(head).await?;
        Ok(removed)
    }

    /// Applies a run of the parent's log. Changes that are held already are passed over, so a run may
    /// be repeated.
    ///
    /// # Errors
    /// When a change is malformed or out of order, or the database fails.
    pub async fn apply(&mut self, slice: LogSlice, now: Timestamp) -> Result<Applied, Error> {
        self.apply_checked(slice.check()?, now).await
    }

    /// Applies a run of the parent's log that was checked beforehand, like [`Tx::apply`].
    ///
    /// # Errors
    /// When a change is out of order, or the database fails.
    pub async fn apply_checked(
        &mut self,
        slice: CheckedSlice,
        now: Timestamp,
    ) -> Result<Applied, Error> {
        let CheckedSlice {
            mut changes,
            through,
        } = slice;
        let head = self.positions.head;
        changes.retain(|checked| checked.change.position > head);
        let mut last = head;
        for CheckedChange { change, .. } in &changes {
            if change.position <= last || change.position > through {
                return Err(Error::OutOfOrder {
                    head: last,
                    found: change.position,
                });
            }
            last = change.position;
        }
        if through < last || through > i64::MAX as u64 {
            return Err(Error::OutOfOrder {
                head: last,
                found: through,
            });
        }
        let keys: Vec<ItemKey> = changes.iter().map(|checked| checked.key).collect();
        let mut live = self.live_rows(&keys).await?;
        let mut replaced = Vec::new();
        let mut rows = Vec::with_capacity(changes.len());
        let mut applied = Applied::default();
        for checked in changes {
            let CheckedChange {
                change,
                key,
                digest,
            } = checked;
            applied.changes += 1;
            match (key.revision(), change.removed) {
                (Some(_), false) => applied.revisions += 1,
                (Some(_), true) => applied.removed += 1,
                (None, _) => {}
            }
            if let Some((position, _)) = live.insert(key, (change.position, digest)) {
                replaced.push((position, change.position));
            }
            rows.push(row_of(change, key, digest, now));
        }
        self.connection().insert(INSERT, rows, "").await?;
        self.supersede(replaced).await?;
        self.move_head(through).await?;
        Ok(applied)
    }

    /// Throws away every change above the verified position: they were not what a statement covers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn roll_back_unverified(&mut self) -> Result<(), Error> {
        let verified = self.positions.verified;
        self.connection()
            .execute("delete from item where position > $1", vec![int(verified)])
            .await?;
        self.connection()
            .execute(
                "update item set superseded_by = null where superseded_by > $1",
                vec![int(verified)],
            )
            .await?;
        self.count_generation().await?;
        self.move_head(verified).await
    }

    pub(crate) async fn count_generation(&mut self) -> Result<(), Error> {
        self.positions.generation = self.count_up(site_state::GENERATION).await?;
        Ok(())
    }

    /// Forgets removals older than `before`, some at a time. A site that was away for longer compares
    /// instead of asking for them. How many were forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_removals(&mut self, before: Timestamp) -> Result<u64, Error> {
        const AT_ONCE: i64 = 1000;
        let verified = self.positions.verified;
        let rows = self
            .connection()
            .fetch(
                "select position from item where removed_at < $1 and position <= $2 \
                 order by position limit $3",
                vec![
                    before.as_millisecond().into(),
                    int(verified),
                    AT_ONCE.into(),
                ],
            )
            .await?;
        let Some(last) = rows.last() else {
            return Ok(0);
        };
        let last = last.count(0)?;
        for row in &rows {
            self.connection()
                .execute(
                    "delete from item where position = $1",
                    vec![int(row.count(0)?)],
                )
                .await?;
        }
        self.raise_floor(last).await?;
        Ok(rows.len() as u64)
    }

    /// Which of these updates have a revision in the log, verified or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_updates(
        &mut self,
        updates: &[UpdateId],
    ) -> Result<HashSet<UpdateId>, Error> {
        let mut known = HashSet::new();
        for chunk in updates.chunks(KEYS_PER_STATEMENT) {
            let sql = format!(
                "with wanted (bucket, first, last) as (values {}) \
                 select distinct wanted.first from wanted \
                 cross join item where item.bucket = wanted.bucket \
                 and item.key >= wanted.first and item.key <= wanted.last \
                 and item.superseded_by is null and item.digest is not null",
                self.connection().placeholders(chunk.len(), 3)
            );
            let mut values = Vec::with_capacity(chunk.len() * 3);
            for update in chunk {
                let (first, last) = revision_key_range(*update);
                values.push(i64::from(bucket_of_update(*update)).into());
                values.push(first.into());
                values.push(last.into());
            }
            for row in self.connection().fetch(sql, values).await? {
                let key = ItemKey::from_bytes(&row.blob(0)?).map_err(corrupt)?;
                known.extend(key.revision().map(|id| id.update_id));
            }
        }
        Ok(known)
    }

    /// Notes that up to a position the log does not tell everything: removals were forgotten, here or at
    /// the parent that it came from, or places do not say when items changed. The floor only rises.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn raise_floor(&mut self, floor: u64) -> Result<(), Error> {
        let floor = self.number(site_state::FLOOR).await?.max(floor);
        self.put_number(site_state::FLOOR, floor).await
    }

    /// Which of these revisions are in the log, verified or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held(&mut self, keys: &[ItemKey]) -> Result<Vec<ItemKey>, Error> {
        let live = self.live_rows(keys).await?;
        Ok(live
            .into_iter()
            .filter_map(|(key, (_, digest))| digest.map(|_| key))
            .collect())
    }
}

/// What a change has to look like before it is stored.
pub(crate) fn check(change: &ChangeRow) -> Result<ItemKey, Error> {
    let malformed = |why: String| Error::Malformed {
        position: change.position,
        why,
    };
    let key = ItemKey::from_bytes(&change.key).map_err(|error| malformed(error.to_string()))?;
    if change.key.len() > MAX_KEY_BYTES
        || change.header.len() > MAX_HEADER_BYTES
        || change.document.len() > catalog::codec::MAX_DOCUMENT_BYTES
    {
        return Err(malformed("it is too large".to_owned()));
    }
    if change.removed && !(change.header.is_empty() && change.document.is_empty()) {
        return Err(malformed("a removal has content".to_owned()));
    }
    if change.position > i64::MAX as u64 {
        return Err(malformed("its position is absurd".to_owned()));
    }
    Ok(key)
}

fn change_of(row: &Row) -> Result<ChangeRow, Error> {
    Ok(ChangeRow {
        position: row.count(0)?,
        key: row.blob(1)?,
        header: row.optional_blob(2)?.unwrap_or_default(),
        document: row.optional_blob(3)?.unwrap_or_default(),
        removed: row.int(4)? != 0,
    })
}

impl Read<'_> {
    /// The changes after a position and up to `limit`, in order: at most `most_changes`, and no more bytes than
    /// `most_bytes` unless a single change is larger. Empty when there are none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changes_after(
        &mut self,
        after: u64,
        limit: u64,
        most_changes: usize,
        most_bytes: u64,
    ) -> Result<LogSlice, Error> {
        // Sizes first, and summed up there: a batch of large documents must not be in memory at once.
        let through = self
            .connection()
            .fetch_one(
                "select coalesce(max(position) filter (where bytes <= $4), min(position)) \
                 from (select position, cast(sum(size) over (order by position) as bigint) as bytes \
                 from (select position, coalesce(length(header), 0) \
                 + coalesce(length(document), 0) as size from item \
                 where position > $1 and position <= $2 order by position limit $3) as sized) as summed",
                vec![
                    int(after),
                    int(limit),
                    i64::try_from(most_changes).unwrap_or(i64::MAX).into(),
                    int(most_bytes),
                ],
            )
            .await?;
        if through.optional_int(0)?.is_none() {
            return Ok(LogSlice {
                changes: Vec::new(),
                through: after,
            });
        }
        let through = through.count(0)?;
        let rows = self
            .connection()
            .fetch(
                "select position, key, header, document, \
                 cast(case when digest is null then 1 else 0 end as bigint) \
                 from item where position > $1 and position <= $2 order by position",
                vec![int(after), int(through)],
            )
            .await?;
        Ok(LogSlice {
            changes: rows.iter().map(change_of).collect::<Result<_, _>>()?,
            through,
        })
    }

    /// How many changes lie after a position, up to `limit`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_after(&mut self, after: u64, limit: u64) -> Result<u64, Error> {
        self.connection()
            .fetch_one(
                "select count(*) from item where position > $1 and position <= $2",
                vec![int(after), int(limit)],
            )
            .await?
            .count(0)
    }

    /// The position below which the log does not tell everything: who is older has to compare.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn floor(&mut self) -> Result<u64, Error> {
        site_state::number(&mut self.connection(), site_state::FLOOR).await
    }
}
