//! What decisions about updates go by: the revisions of an update, and what was decided before.
//!
//! A unit of work of the top-level site reads what is applied, signed or not: what it decides is signed with
//! it. What is shown is read by [`Read`].

use crate::backend::{Connection, int};
use crate::error::{Error, corrupt};
use crate::query::{RevisionRow, applied_after};
use crate::{Read, Tx};
use catalog::UpdateId;
use catalog::item::{ItemKey, bucket_of_update, keys_beside_revisions, revision_key_range};
use std::collections::HashMap;

/// Updates, or keys, that one statement asks for.
const AT_ONCE: usize = 200;

/// What is held of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldUpdate {
    /// Its newest revision, signed or not, without its document.
    pub newest: RevisionRow,
    /// The newest of its revisions that is shown, without its document; none where no revision is.
    pub shown: Option<RevisionRow>,
}

impl Tx<'_> {
    /// What is held of these updates; those of which nothing is applied are not among it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn held_updates(
        &mut self,
        updates: &[UpdateId],
    ) -> Result<HashMap<UpdateId, HeldUpdate>, Error> {
        let verified = self.positions.verified;
        let mut held = HashMap::with_capacity(updates.len());
        for chunk in updates.chunks(AT_ONCE) {
            let sql = format!(
                "with wanted (bucket, first, last) as (values {}) \
                 select item.position, item.key, item.header, null, item.superseded_by from wanted \
                 cross join item where item.bucket = wanted.bucket \
                 and item.key >= wanted.first and item.key <= wanted.last and item.digest is not null \
                 order by item.key",
                self.connection().placeholders(chunk.len(), 3)
            );
            let mut values = Vec::with_capacity(chunk.len() * 3);
            for update in chunk {
                let (first, last) = revision_key_range(*update);
                values.push(i64::from(bucket_of_update(*update)).into());
                values.push(first.into());
                values.push(last.into());
            }
            // In the order of the keys: the newest revision comes last.
            let mut found: HashMap<UpdateId, (Option<RevisionRow>, Option<RevisionRow>)> =
                HashMap::new();
            for row in self.connection().fetch(sql, values).await? {
                let revision = RevisionRow::of(&row)?;
                let replaced = row.optional_int(4)?.map(u64::try_from);
                let replaced = replaced
                    .transpose()
                    .map_err(|_| corrupt("item: superseded by no position"))?;
                let (newest, shown) = found.entry(revision.id.update_id).or_default();
                if revision.position <= verified && replaced.is_none_or(|by| by > verified) {
                    *shown = Some(revision.clone());
                }
                if replaced.is_none() {
                    *newest = Some(revision);
                }
            }
            held.extend(found.into_iter().filter_map(|(id, (newest, shown))| {
                newest.map(|newest| (id, HeldUpdate { newest, shown }))
            }));
        }
        Ok(held)
    }

    /// Headers of the revisions that are applied, signed or not, after a position, in the order of the log.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_revisions_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        applied_after(&mut self.connection(), "null", after, most).await
    }

    /// The document, in its stored form, of a revision that lies at a position; none where nothing does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn document_at(&mut self, position: u64) -> Result<Option<Vec<u8>>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                "select document from item where position = $1",
                vec![int(position)],
            )
            .await?;
        Ok(row.map(|row| row.optional_blob(0)).transpose()?.flatten())
    }

    /// The content of these items as they are applied, signed or not; those that there are not are not among
    /// it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contents(&mut self, keys: &[ItemKey]) -> Result<HashMap<ItemKey, Vec<u8>>, Error> {
        contents(&mut self.connection(), keys, |_, replaced| {
            replaced.is_none()
        })
        .await
    }

    /// What was decided about updates, signed or not, after a position, in the order of the log: position,
    /// update and record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approvals_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, UpdateId, Vec<u8>)>, Error> {
        approvals_after(&mut self.connection(), "superseded_by is null", after, most).await
    }
}

impl Read<'_> {
    /// Whether something that is no revision was put into the log after the verified position: what was
    /// decided at a top-level site and is not signed yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_unsigned_decisions(&mut self) -> Result<bool, Error> {
        let verified = self.positions.verified;
        let (others, end) = keys_beside_revisions();
        let found = self
            .connection()
            .fetch_optional(
                "select position from item where position > $1 and key >= $2 and key < $3 limit 1",
                vec![int(verified), others.to_vec().into(), end.to_vec().into()],
            )
            .await?;
        Ok(found.is_some())
    }

    /// The content of these items as it is shown; those that there are not are not among it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contents(&mut self, keys: &[ItemKey]) -> Result<HashMap<ItemKey, Vec<u8>>, Error> {
        let shown = self.positions.verified;
        contents(&mut self.connection(), keys, |position, replaced| {
            position <= shown && replaced.is_none_or(|by| by > shown)
        })
        .await
    }

    /// What was decided about updates and is shown, after a position, in the order of the log: position, update
    /// and record.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn approvals_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<(u64, UpdateId, Vec<u8>)>, Error> {
        let shown = self.positions.verified;
        let visible =
            format!("position <= {shown} and (superseded_by is null or superseded_by > {shown})");
        approvals_after(&mut self.connection(), &visible, after, most).await
    }
}

async fn approvals_after(
    connection: &mut Connection<'_>,
    is_meant: &str,
    after: u64,
    most: u32,
) -> Result<Vec<(u64, UpdateId, Vec<u8>)>, Error> {
    let first = ItemKey::Approval(UpdateId::from_u128(0)).to_bytes();
    let last = ItemKey::Approval(UpdateId::from_u128(u128::MAX)).to_bytes();
    let rows = connection
        .fetch(
            format!(
                "select position, key, header from item where position > $1 and key >= $2 and key <= $3 \
                 and digest is not null and ({is_meant}) order by position limit $4"
            ),
            vec![
                int(after),
                first.into(),
                last.into(),
                i64::from(most).into(),
            ],
        )
        .await?;
    let mut approvals = Vec::with_capacity(rows.len());
    for row in rows {
        let key = ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?;
        if let ItemKey::Approval(id) = key {
            let record = row.optional_blob(2)?.unwrap_or_default();
            approvals.push((row.count(0)?, id, record));
        }
    }
    Ok(approvals)
}

/// The content of the items whose row `is_meant`, by its position and that of the row that replaces it.
async fn contents(
    connection: &mut Connection<'_>,
    keys: &[ItemKey],
    is_meant: impl Fn(u64, Option<u64>) -> bool,
) -> Result<HashMap<ItemKey, Vec<u8>>, Error> {
    let mut found = HashMap::with_capacity(keys.len());
    for chunk in keys.chunks(AT_ONCE) {
        let sql = format!(
            "with wanted (bucket, key) as (values {}) \
             select item.position, item.key, item.header, item.superseded_by from wanted \
             cross join item where item.bucket = wanted.bucket and item.key = wanted.key \
             and item.digest is not null",
            connection.placeholders(chunk.len(), 2)
        );
        let mut values = Vec::with_capacity(chunk.len() * 2);
        for key in chunk {
            values.push(i64::from(key.bucket()).into());
            values.push(key.to_bytes().into());
        }
        for row in connection.fetch(sql, values).await? {
            let replaced = row.optional_int(3)?.map(u64::try_from);
            let replaced = replaced
                .transpose()
                .map_err(|_| corrupt("item: superseded by no position"))?;
            if is_meant(row.count(0)?, replaced) {
                let key = ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?;
                found.insert(key, row.optional_blob(2)?.unwrap_or_default());
            }
        }
    }
    Ok(found)
}
