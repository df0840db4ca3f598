//! Status messages and the outbox that carries them upward.
//!
//! Invariant: a message and its place in the outbox are one unit of work; it leaves the outbox only
//! when the parent has acknowledged it; (site, number) is stored once, however often it arrives.

mod page;

pub use page::{StatusPlace, StatusSpan};

use crate::backend::{Row, int};
use crate::error::{Error, corrupt};
use crate::site_state::{OUTBOX_PARENT, OUTBOX_SEQUENCE, STATUS_NUMBER};
use crate::{Read, Tx};
use catalog::PointId;
use jiff::Timestamp;
use uuid::Uuid;

/// Status messages that a site keeps; the oldest go first. Those in the outbox stay.
pub const STATUS_MESSAGES_KEPT: u64 = 200_000;

/// Messages that a site sends once more to a new parent, at most: its newest.
pub const SENT_AGAIN: u64 = 10_000;

/// A status message as it is stored and relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRow {
    /// The site that it is about.
    pub site: PointId,
    /// Its number at that site. Grows with every message and is never given out twice, also not by a site
    /// that lost its database: the first number of a database is the time, in milliseconds since 1970.
    pub number: u64,
    /// When it happened, to the millisecond.
    pub time: Timestamp,
    /// Which message (6701 …).
    pub status_id: u32,
    /// The run it belongs to, if any.
    pub run: Option<Uuid>,
    /// What stands in the places of its text.
    pub inserts: Vec<String>,
}

fn values(row: &StatusRow) -> Result<[crate::backend::Value; 6], Error> {
    let inserts = serde_json::to_string(&row.inserts).map_err(corrupt)?;
    Ok([
        row.site.as_str().into(),
        int(row.number),
        row.time.as_millisecond().into(),
        i64::from(row.status_id).into(),
        row.run.map(|run| run.as_bytes().to_vec()).into(),
        inserts.into(),
    ])
}

fn status_of(row: &Row) -> Result<StatusRow, Error> {
    let bad = |what: &str| corrupt(format_args!("status_message: {what}"));
    Ok(StatusRow {
        site: row.text(0)?.parse().map_err(corrupt)?,
        number: row.count(1)?,
        time: Timestamp::from_millisecond(row.int(2)?).map_err(corrupt)?,
        status_id: u32::try_from(row.int(3)?).map_err(|_| bad("status id"))?,
        run: row
            .optional_blob(4)?
            .map(|run| Uuid::from_slice(&run).map_err(|_| bad("run")))
            .transpose()?,
        inserts: serde_json::from_str(&row.text(5)?).map_err(|_| bad("inserts"))?,
    })
}

const COLUMNS: &str = "site, number, time, status_id, run, inserts";

impl Tx<'_> {
    /// Records a message of this site under its next number, and, where the site has a parent, puts
    /// it into the outbox. The number it got.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_status(
        &mut self,
        mut row: StatusRow,
        has_parent: bool,
    ) -> Result<u64, Error> {
        row.number = match self.number(STATUS_NUMBER).await? {
            // A database that was lost has given out fewer numbers than milliseconds have passed since.
            0 => u64::try_from(row.time.as_millisecond()).unwrap_or(0).max(1),
            last => last + 1,
        };
        self.put_number(STATUS_NUMBER, row.number).await?;
        self.insert_status(&row, has_parent).await?;
        Ok(row.number)
    }

    /// Stores a message of a site below this one, and passes it on upward. False when it was here already; it is
    /// passed on again then: it comes once more because a parent that acknowledged it may have been lost before
    /// it handed it on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn relay_status(&mut self, row: &StatusRow, has_parent: bool) -> Result<bool, Error> {
        let new = self.insert_status(row, has_parent).await?;
        if !new && has_parent {
            let waits = self
                .connection()
                .fetch_one(
                    "select count(*) from outbox where site = $1 and number = $2",
                    vec![row.site.as_str().into(), int(row.number)],
                )
                .await?
                .count(0)?;
            if waits == 0 {
                self.put_into_outbox(row).await?;
            }
        }
        Ok(new)
    }

    /// Stores a message of any site at a top-level site, and puts it into the outbox once: it waits there for the
    /// merged log. False when it was here already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn receive_status(&mut self, row: &StatusRow) -> Result<bool, Error> {
        self.insert_status(row, true).await
    }

    async fn put_into_outbox(&mut self, row: &StatusRow) -> Result<(), Error> {
        let sequence = self.count_up(OUTBOX_SEQUENCE).await?;
        self.connection()
            .insert(
                "insert into outbox (sequence, site, number)",
                vec![[int(sequence), row.site.as_str().into(), int(row.number)]],
                "",
            )
            .await?;
        Ok(())
    }

    async fn insert_status(&mut self, row: &StatusRow, has_parent: bool) -> Result<bool, Error> {
        let inserted = self
            .connection()
            .insert(
                &format!("insert into status_message ({COLUMNS})"),
                vec![values(row)?],
                " on conflict (site, number) do nothing",
            )
            .await?;
        if inserted == 0 {
            return Ok(false);
        }
        if has_parent {
            self.put_into_outbox(row).await?;
        }
        Ok(true)
    }

    /// Notes for which parent the outbox of a site is. Where that is another one than before, the newest
    /// [`SENT_AGAIN`] of the site's own messages go into it once more: the parent before acknowledged them,
    /// and may have been removed before it handed them on. A message is stored once, however often it
    /// arrives. How many went in; doing it again changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn address_outbox(&mut self, site: PointId, parent: PointId) -> Result<u64, Error> {
        let before = self.state(OUTBOX_PARENT).await?;
        if before.as_deref() == Some(parent.as_str().as_bytes()) {
            return Ok(0);
        }
        self.put_state(OUTBOX_PARENT, parent.as_str()).await?;
        if before.is_none() {
            return Ok(0);
        }
        let rows = self
            .connection()
            .fetch(
                "select number from status_message m where m.site = $1 and not exists \
                 (select 1 from outbox o where o.site = m.site and o.number = m.number) \
                 order by number desc limit $2",
                vec![site.as_str().into(), int(SENT_AGAIN)],
            )
            .await?;
        let mut sequence = self.number(OUTBOX_SEQUENCE).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows.iter().rev() {
            sequence += 1;
            entries.push([int(sequence), site.as_str().into(), int(row.count(0)?)]);
        }
        let again = entries.len() as u64;
        self.connection()
            .insert("insert into outbox (sequence, site, number)", entries, "")
            .await?;
        self.put_number(OUTBOX_SEQUENCE, sequence).await?;
        Ok(again)
    }

    /// Takes out of the outbox what the parent has acknowledged.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn acknowledge_status(&mut self, through: u64) -> Result<(), Error> {
        self.connection()
            .execute(
                "delete from outbox where sequence <= $1",
                vec![int(through)],
            )
            .await?;
        Ok(())
    }

    #[cfg(not(feature = "simulation"))]
    fn messages_kept(&self) -> u64 {
        STATUS_MESSAGES_KEPT
    }

    #[cfg(feature = "simulation")]
    fn messages_kept(&self) -> u64 {
        let kept = crate::simulation::kept(&self.store.inner.location);
        kept.map_or(STATUS_MESSAGES_KEPT, |kept| kept.status_messages)
    }

    /// Forgets the oldest messages beyond [`STATUS_MESSAGES_KEPT`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_status(&mut self) -> Result<u64, Error> {
        let kept = self.messages_kept();
        let row = self
            .connection()
            .fetch_optional(
                "select time, site, number from status_message \
                 order by time desc, site desc, number desc limit 1 offset $1",
                vec![int(kept)],
            )
            .await?;
        let Some(row) = row else { return Ok(0) };
        self.connection()
            .execute(
                "delete from status_message where (time, site, number) <= ($1, $2, $3) \
                 and not exists (select 1 from outbox \
                 where outbox.site = status_message.site and outbox.number = status_message.number)",
                vec![
                    row.int(0)?.into(),
                    row.text(1)?.into(),
                    row.int(2)?.into(),
                ],
            )
            .await
    }
}

impl Read<'_> {
    /// The oldest messages of the outbox, each with its sequence there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox(&mut self, most: u32) -> Result<Vec<(u64, StatusRow)>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select m.site, m.number, m.time, m.status_id, m.run, m.inserts, o.sequence \
                 from outbox o join status_message m on m.site = o.site and m.number = o.number \
                 order by o.sequence limit $1",
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.count(6)?, status_of(row)?)))
            .collect()
    }

    /// How many messages wait for the parent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_length(&mut self) -> Result<u64, Error> {
        self.connection()
            .fetch_one("select count(*) from outbox", vec![])
            .await?
            .count(0)
    }
}
