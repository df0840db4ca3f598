//! What is wrong, or was, at the sites of the hierarchy: alerts, and the conditions that may become some.
//!
//! Invariant: of a kind, site and subject at most one is open, that is, has not ended.

use crate::backend::{Connection, Row, Value, int};
use crate::error::{Error, corrupt};
use crate::retention::FORGOTTEN_AT_ONCE;
use crate::{Read, Tx};
use catalog::PointId;
use jiff::Timestamp;
use uuid::Uuid;

/// Alerts that ended and are kept; the oldest go first.
pub const ENDED_KEPT: u64 = 10_000;
/// Alerts that are read at a time.
const PAGE: u32 = 1_000;

/// An alert, or a condition that has not lasted for long enough to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRow {
    /// Its identifier, ordered by time.
    pub id: Uuid,
    /// What is wrong, as the rules name it.
    pub kind: String,
    /// The site at which it is wrong.
    pub site: PointId,
    /// What it is about at that site; empty where that is the site itself.
    pub subject: String,
    /// Since when it is wrong.
    pub since: Timestamp,
    /// When it became an alert; none while it is none.
    pub raised: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// The status message that says it.
    pub status_id: u32,
    /// What stands in the places of that message's text.
    pub inserts: Vec<String>,
    /// What the rules counted `since` by.
    pub mark: String,
    /// Who knows of it, and since when.
    pub acknowledged: Option<(String, Timestamp)>,
}

const COLUMNS: &str = "id, kind, site, subject, since, raised, ended, status_id, inserts, mark, \
                       acknowledged_by, acknowledged_at";

fn milliseconds(time: Option<Timestamp>) -> Value {
    time.map(Timestamp::as_millisecond).into()
}

fn values(row: &AlertRow) -> Result<[Value; 12], Error> {
    let inserts = serde_json::to_string(&row.inserts).map_err(corrupt)?;
    let by = row.acknowledged.as_ref().map(|(by, _)| by.as_str());
    Ok([
        row.id.as_bytes().to_vec().into(),
        row.kind.as_str().into(),
        row.site.as_str().into(),
        row.subject.as_str().into(),
        row.since.as_millisecond().into(),
        milliseconds(row.raised),
        milliseconds(row.ended),
        i64::from(row.status_id).into(),
        inserts.into(),
        row.mark.as_str().into(),
        by.unwrap_or_default().into(),
        milliseconds(row.acknowledged.as_ref().map(|(_, at)| *at)),
    ])
}

fn alert_of(row: &Row) -> Result<AlertRow, Error> {
    let bad = |what: &str| corrupt(format_args!("alert: {what}"));
    let time = |at: i64| Timestamp::from_millisecond(at).map_err(corrupt);
    let optional = |index| row.optional_int(index)?.map(time).transpose();
    let by = row.text(10)?;
    Ok(AlertRow {
        id: Uuid::from_slice(&row.blob(0)?).map_err(|_| bad("identifier"))?,
        kind: row.text(1)?,
        site: row.text(2)?.parse().map_err(corrupt)?,
        subject: row.text(3)?,
        since: time(row.int(4)?)?,
        raised: optional(5)?,
        ended: optional(6)?,
        status_id: u32::try_from(row.int(7)?).map_err(|_| bad("status id"))?,
        inserts: serde_json::from_str(&row.text(8)?).map_err(|_| bad("inserts"))?,
        mark: row.text(9)?,
        acknowledged: optional(11)?.map(|at| (by, at)),
    })
}

async fn open(connection: &mut Connection<'_>) -> Result<Vec<AlertRow>, Error> {
    let mut all: Vec<AlertRow> = Vec::new();
    loop {
        // From the last one on: all of them at once would be a statement without a bound.
        let last = all.last();
        let at = |part: fn(&AlertRow) -> &str| Value::from(last.map_or("", part));
        let rows = connection
            .fetch(
                format!(
                    "select {COLUMNS} from alert where ended is null \
                     and (kind, site, subject) > ($1, $2, $3) \
                     order by kind, site, subject limit $4"
                ),
                vec![
                    at(|row| &row.kind),
                    at(|row| row.site.as_str()),
                    at(|row| &row.subject),
                    i64::from(PAGE).into(),
                ],
            )
            .await?;
        for row in &rows {
            all.push(alert_of(row)?);
        }
        if rows.len() < PAGE as usize {
            return Ok(all);
        }
    }
}

impl Tx<'_> {
    /// Everything that has not ended, by kind and site: alerts, and conditions that may become some.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_alerts(&mut self) -> Result<Vec<AlertRow>, Error> {
        open(&mut self.connection()).await
    }

    /// Writes an alert as it is now. One that ended makes room: beyond [`ENDED_KEPT`] the oldest go.
    ///
    /// # Errors
    /// When the database fails, or another of the same kind, site and subject is open.
    pub async fn put_alert(&mut self, row: &AlertRow) -> Result<(), Error> {
        self.connection()
            .insert(
                &format!("insert into alert ({COLUMNS})"),
                vec![values(row)?],
                " on conflict (id) do update set since = excluded.since, raised = excluded.raised, \
                 ended = excluded.ended, status_id = excluded.status_id, inserts = excluded.inserts, \
                 mark = excluded.mark, acknowledged_by = excluded.acknowledged_by, \
                 acknowledged_at = excluded.acknowledged_at",
            )
            .await?;
        if row.ended.is_some() {
            self.connection()
                .execute(
                    "delete from alert where id in (select id from alert where ended is not null \
                     order by ended desc, id desc limit $1 offset $2)",
                    vec![i64::from(FORGOTTEN_AT_ONCE).into(), int(ENDED_KEPT)],
                )
                .await?;
        }
        Ok(())
    }

    /// Forgets a condition that went before it became an alert.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_alert(&mut self, id: Uuid) -> Result<(), Error> {
        self.connection()
            .execute(
                "delete from alert where id = $1 and raised is null",
                vec![id.as_bytes().to_vec().into()],
            )
            .await?;
        Ok(())
    }

    /// An alert; none where there is none of this identifier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alert(&mut self, id: Uuid) -> Result<Option<AlertRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!("select {COLUMNS} from alert where id = $1 and raised is not null"),
                vec![id.as_bytes().to_vec().into()],
            )
            .await?;
        row.as_ref().map(alert_of).transpose()
    }

    /// Forgets the oldest alerts that ended before a time, [`FORGOTTEN_AT_ONCE`] at most. How many were
    /// forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_alerts(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from alert where id in \
                 (select id from alert where ended < $1 order by ended limit $2)",
                vec![
                    before.as_millisecond().into(),
                    i64::from(FORGOTTEN_AT_ONCE).into(),
                ],
            )
            .await
    }
}

impl Read<'_> {
    /// Everything that has not ended, by kind and site: alerts, and conditions that may become some.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_alerts(&mut self) -> Result<Vec<AlertRow>, Error> {
        open(&mut self.connection()).await
    }

    /// The alerts, newest first: those that have not ended, and where they are asked for, those that have.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn alerts(&mut self, ended: bool, most: u32) -> Result<Vec<AlertRow>, Error> {
        let open = if ended { "" } else { "and ended is null" };
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from alert where raised is not null {open} \
                     order by since desc, id desc limit $1"
                ),
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter().map(alert_of).collect()
    }
}
