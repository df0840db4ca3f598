//! When updates were created, as far as only removed revisions say it.
//!
//! Each revision says when it was published itself. The first of an update says when the update was created, and
//! it may be long gone.

use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::UpdateId;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

impl Tx<'_> {
    /// Notes what revisions say that are about to be removed: when each of these updates was published. Of an
    /// update the earliest date counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_creation_dates(
        &mut self,
        dates: &BTreeMap<UpdateId, Timestamp>,
    ) -> Result<(), Error> {
        let rows = dates
            .iter()
            .map(|(id, date)| {
                [
                    id.0.as_bytes().to_vec().into(),
                    date.as_millisecond().into(),
                ]
            })
            .collect();
        self.connection()
            .insert(
                "insert into creation_date (update_id, created)",
                rows,
                " on conflict (update_id) do update set created = excluded.created \
                 where excluded.created < creation_date.created",
            )
            .await?;
        Ok(())
    }
}

impl Read<'_> {
    /// The earliest dates that removed revisions said, by update.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn creation_dates(&mut self) -> Result<HashMap<UpdateId, Timestamp>, Error> {
        let rows = self
            .connection()
            .fetch("select update_id, created from creation_date", vec![])
            .await?;
        rows.iter()
            .map(|row| {
                let id = Uuid::from_slice(&row.blob(0)?).map_err(corrupt)?;
                let date = Timestamp::from_millisecond(row.int(1)?).map_err(corrupt)?;
                Ok((UpdateId(id), date))
            })
            .collect()
    }
}
