//! What a top-level site remembers between runs against its upstream: revisions that could not be
//! had, and revisions that are still to be fetched.

use crate::backend::Value;
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

/// A revision that the upstream listed and could not give in a usable form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineRow {
    /// Which revision.
    pub id: RevisionId,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
}

fn values_of(id: RevisionId) -> [Value; 2] {
    [
        id.update_id.0.as_bytes().to_vec().into(),
        i64::from(id.revision).into(),
    ]
}

impl Tx<'_> {
    /// Puts a revision aside; keeps the time of the first failure.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantine(
        &mut self,
        id: RevisionId,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let known = self
            .connection()
            .fetch_optional(
                "select 1 from quarantine where update_id = $1 and revision = $2",
                values_of(id).to_vec(),
            )
            .await?
            .is_some();
        self.connection()
            .insert(
                "insert into quarantine (update_id, revision, since, reason)",
                vec![[
                    id.update_id.0.as_bytes().to_vec().into(),
                    i64::from(id.revision).into(),
                    now.as_millisecond().into(),
                    reason.into(),
                ]],
                " on conflict (update_id, revision) do update set reason = excluded.reason",
            )
            .await?;
        Ok(!known)
    }

    /// Takes a revision out of quarantine. False when it was not there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn release(&mut self, id: RevisionId) -> Result<bool, Error> {
        let changed = self
            .connection()
            .execute(
                "delete from quarantine where update_id = $1 and revision = $2",
                values_of(id).to_vec(),
            )
            .await?;
        Ok(changed > 0)
    }

    /// Notes revisions that stored ones refer to and that are still to be fetched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn want(&mut self, ids: &[RevisionId]) -> Result<(), Error> {
        let rows = ids.iter().map(|id| values_of(*id)).collect();
        self.connection()
            .insert(
                "insert into wanted (update_id, revision)",
                rows,
                " on conflict (update_id, revision) do nothing",
            )
            .await?;
        Ok(())
    }

    /// Strikes revisions off the list of those to be fetched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn no_longer_want(&mut self, ids: &[RevisionId]) -> Result<(), Error> {
        for id in ids {
            self.connection()
                .execute(
                    "delete from wanted where update_id = $1 and revision = $2",
                    values_of(*id).to_vec(),
                )
                .await?;
        }
        Ok(())
    }

    /// Revisions that are still to be fetched.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn wanted(&mut self, most: u32) -> Result<Vec<RevisionId>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select update_id, revision from wanted order by update_id, revision limit $1",
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let guid = Uuid::from_slice(&row.blob(0)?).map_err(corrupt)?;
                let revision = u32::try_from(row.int(1)?).map_err(corrupt)?;
                Ok(RevisionId::new(UpdateId(guid), revision))
            })
            .collect()
    }
}

impl Tx<'_> {
    /// Notes that revisions came: they are neither missing nor aside any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fetched(&mut self, ids: &[RevisionId]) -> Result<(), Error> {
        for table in ["wanted", "quarantine"] {
            let any = self
                .connection()
                .fetch_optional(format!("select 1 from {table} limit 1"), vec![])
                .await?;
            if any.is_none() {
                continue;
            }
            for id in ids {
                self.connection()
                    .execute(
                        format!("delete from {table} where update_id = $1 and revision = $2"),
                        values_of(*id).to_vec(),
                    )
                    .await?;
            }
        }
        Ok(())
    }
}

impl Read<'_> {
    /// Revisions that were put aside, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quarantined(&mut self, most: u32) -> Result<Vec<QuarantineRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select update_id, revision, since, reason from quarantine order by since limit $1",
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter()
            .map(|row| {
                let guid = Uuid::from_slice(&row.blob(0)?).map_err(corrupt)?;
                let revision = u32::try_from(row.int(1)?).map_err(corrupt)?;
                Ok(QuarantineRow {
                    id: RevisionId::new(UpdateId(guid), revision),
                    since: Timestamp::from_millisecond(row.int(2)?).map_err(corrupt)?,
                    reason: row.text(3)?,
                })
            })
            .collect()
    }
}
