//! What the receivers of notifications have to be told, until they were told it.
//!
//! Invariant: what is to be told and what it is about are one unit of work; it leaves when its receiver took
//! it, or nobody tries any more.

use crate::alerts::AlertRow;
use crate::backend::{Row, int};
use crate::error::{Error, corrupt};
use crate::site_state::DELIVERY_SEQUENCE;
use crate::{Read, Tx};
use jiff::Timestamp;
use uuid::Uuid;

/// What waits for receivers at most. Beyond that the oldest go first that tell of alerts that ended, then the
/// oldest.
pub const MOST_WAITING: u64 = 1_000;

/// Something that a receiver has to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    /// Its place in the queue.
    pub sequence: u64,
    /// Who has to be told.
    pub receiver: String,
    /// The alert that it is about.
    pub alert: Uuid,
    /// What to tell.
    pub body: String,
    /// When it came into the queue.
    pub created: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// When to try, or to try again.
    pub next_attempt: Timestamp,
}

const COLUMNS: &str = "sequence, receiver, alert, body, created, attempts, next_attempt";

fn delivery_of(row: &Row) -> Result<DeliveryRow, Error> {
    let time = |at: i64| Timestamp::from_millisecond(at).map_err(corrupt);
    let alert = Uuid::from_slice(&row.blob(2)?);
    Ok(DeliveryRow {
        sequence: row.count(0)?,
        receiver: row.text(1)?,
        alert: alert.map_err(|_| corrupt("alert_delivery: alert"))?,
        body: row.text(3)?,
        created: time(row.int(4)?)?,
        attempts: u32::try_from(row.count(5)?).unwrap_or(u32::MAX),
        next_attempt: time(row.int(6)?)?,
    })
}

impl Tx<'_> {
    /// Puts something into the queue for each of the receivers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue_delivery(
        &mut self,
        receivers: &[String],
        alert: &AlertRow,
        body: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let now = now.as_millisecond();
        for receiver in receivers {
            let sequence = self.count_up(DELIVERY_SEQUENCE).await?;
            let row = [
                int(sequence),
                receiver.as_str().into(),
                alert.id.as_bytes().to_vec().into(),
                body.into(),
                now.into(),
                0.into(),
                now.into(),
            ];
            self.connection()
                .insert(
                    &format!("insert into alert_delivery ({COLUMNS})"),
                    vec![row],
                    "",
                )
                .await?;
        }
        Ok(())
    }

    /// Drops what is more than [`MOST_WAITING`]. What was dropped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bound_deliveries(&mut self) -> Result<Vec<DeliveryRow>, Error> {
        let waiting = self
            .connection()
            .fetch_one("select count(*) from alert_delivery", vec![])
            .await?
            .count(0)?;
        let excess = waiting.saturating_sub(MOST_WAITING);
        if excess == 0 {
            return Ok(Vec::new());
        }
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from alert_delivery d order by case when exists \
                     (select 1 from alert a where a.id = d.alert and a.ended is null) \
                     then 1 else 0 end, sequence limit $1"
                ),
                vec![int(excess)],
            )
            .await?;
        let dropped: Vec<DeliveryRow> = rows.iter().map(delivery_of).collect::<Result<_, _>>()?;
        for row in &dropped {
            self.remove_delivery(row.sequence).await?;
        }
        Ok(dropped)
    }

    /// Takes something out of the queue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_delivery(&mut self, sequence: u64) -> Result<(), Error> {
        self.connection()
            .execute(
                "delete from alert_delivery where sequence = $1",
                vec![int(sequence)],
            )
            .await?;
        Ok(())
    }

    /// Takes everything out of the queue that a receiver has to be told since `created_until` or longer. How much it
    /// was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_deliveries(
        &mut self,
        receiver: &str,
        created_until: Timestamp,
    ) -> Result<u64, Error> {
        let removed = self
            .connection()
            .fetch(
                "delete from alert_delivery where receiver = $1 and created <= $2 returning sequence",
                vec![receiver.into(), created_until.as_millisecond().into()],
            )
            .await?;
        Ok(u64::try_from(removed.len()).unwrap_or(u64::MAX))
    }

    /// Notes an attempt that came to nothing, and when the next one is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn postpone_delivery(
        &mut self,
        sequence: u64,
        next_attempt: Timestamp,
    ) -> Result<(), Error> {
        self.connection()
            .execute(
                "update alert_delivery set attempts = attempts + 1, next_attempt = $2 \
                 where sequence = $1",
                vec![int(sequence), next_attempt.as_millisecond().into()],
            )
            .await?;
        Ok(())
    }
}

impl Read<'_> {
    /// For each receiver what it has to be told first: nothing overtakes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_deliveries(&mut self) -> Result<Vec<DeliveryRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from alert_delivery where sequence in \
                     (select min(sequence) from alert_delivery group by receiver) order by sequence"
                ),
                vec![],
            )
            .await?;
        rows.iter().map(delivery_of).collect()
    }
}
