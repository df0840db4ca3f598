//! How long things are held: since when the top-level site has what, and forgetting history that is old.

use crate::backend::int;
use crate::error::{Error, corrupt};
use crate::{Read, Store, Tx};
use jiff::{SignedDuration, Timestamp};

/// Arrivals within one of these count as one: the latest.
const ARRIVAL_MILLISECONDS: i64 = 60 * 60 * 1000;
/// What is held for longer than this is held for as long: the longest time that a setting asks about is a year.
const ARRIVALS_KEPT: SignedDuration = SignedDuration::from_hours(24 * 400);
/// Messages and runs that are forgotten in one unit of work.
pub const FORGOTTEN_AT_ONCE: u32 = 1000;

/// Since when a top-level site holds what is in its log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// Position and time, by position.
    marks: Vec<(u64, Timestamp)>,
}

impl Arrivals {
    /// Since when the site holds what stands at a position; `now` where that was not signed yet. Never
    /// too early, and an hour too late at most.
    pub fn held_since(&self, position: u64, now: Timestamp) -> Timestamp {
        let at = self.marks.partition_point(|(mark, _)| *mark < position);
        self.marks.get(at).map_or(now, |(_, time)| *time)
    }
}

impl Tx<'_> {
    /// Notes that everything up to a position is held now. Of the same position the first time counts.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_arrival(&mut self, position: u64, now: Timestamp) -> Result<(), Error> {
        let now_millisecond = now.as_millisecond();
        let last = self
            .connection()
            .fetch_optional(
                "select position, at from arrival order by position desc limit 1",
                vec![],
            )
            .await?;
        if let Some(last) = last {
            let (at_position, at) = (last.count(0)?, last.int(1)?);
            if at_position >= position {
                return Ok(());
            }
            let hour = |at: i64| at.div_euclid(ARRIVAL_MILLISECONDS);
            if hour(at) == hour(now_millisecond) {
                self.connection()
                    .execute(
                        "delete from arrival where position = $1",
                        vec![int(at_position)],
                    )
                    .await?;
            }
        }
        self.connection()
            .insert(
                "insert into arrival (position, at)",
                vec![[int(position), now_millisecond.into()]],
                "",
            )
            .await?;
        // Of those that are old enough the newest says as much as all of them.
        let Ok(old) = now.checked_sub(ARRIVALS_KEPT) else {
            return Ok(());
        };
        self.connection()
            .execute(
                "delete from arrival where position < \
                 (select coalesce(max(position), 0) from arrival where at < $1)",
                vec![old.as_millisecond().into()],
            )
            .await?;
        Ok(())
    }

    /// Forgets the oldest runs that ended before a time, [`FORGOTTEN_AT_ONCE`] at most, with the parts of all
    /// sites in them. The newest that completed stays. How many were forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_runs(&mut self, before: Timestamp) -> Result<u64, Error> {
        const OLD: &str = "(select id from sync_run where finished < $1 \
             and id not in (select id from sync_run where state = 'Completed' \
             order by started desc limit 1) order by started, id limit $2)";
        let oldest = vec![
            before.as_millisecond().into(),
            i64::from(FORGOTTEN_AT_ONCE).into(),
        ];
        self.connection()
            .execute(
                format!("delete from site_run where run in {OLD}"),
                oldest.clone(),
            )
            .await?;
        self.connection()
            .execute(format!("delete from sync_run where id in {OLD}"), oldest)
            .await
    }

    /// Forgets the oldest status messages from before a time, [`FORGOTTEN_AT_ONCE`] at most. Those that the
    /// parent has not acknowledged stay. How many were forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_status(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from status_message where (site, number) in \
                 (select site, number from status_message m where time < $1 \
                 and not exists (select 1 from outbox o \
                 where o.site = m.site and o.number = m.number) order by time limit $2)",
                vec![
                    before.as_millisecond().into(),
                    i64::from(FORGOTTEN_AT_ONCE).into(),
                ],
            )
            .await
    }

    /// Forgets what was put aside before a time, [`FORGOTTEN_AT_ONCE`] at most: what the source still lists
    /// is tried again, and then put aside anew. How many were forgotten.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_quarantined(&mut self, before: Timestamp) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from quarantine where (update_id, revision) in \
                 (select update_id, revision from quarantine where since < $1 order by since limit $2)",
                vec![
                    before.as_millisecond().into(),
                    i64::from(FORGOTTEN_AT_ONCE).into(),
                ],
            )
            .await
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Runs.
    pub runs: u64,
    /// Status messages.
    pub status: u64,
    /// Revisions that were put aside.
    pub quarantined: u64,
    /// Alerts that ended.
    pub alerts: u64,
}

impl Forgotten {
    /// All of it.
    pub fn total(self) -> u64 {
        self.runs + self.status + self.quarantined + self.alerts
    }
}

impl Store {
    /// Forgets history from before a time, in steps of [`FORGOTTEN_AT_ONCE`], until nothing of it is left or
    /// `most` steps were made. Broken off at any point, it goes on when it is called again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_history(&self, before: Timestamp, most: u32) -> Result<Forgotten, Error> {
        let mut all = Forgotten::default();
        for _ in 0..most {
            // Looked at first: as a rule there is nothing, and nothing is to be written.
            if self.read().await?.old_history(before).await?.old() == 0 {
                break;
            }
            let mut tx = self.begin_repeatable().await?;
            all.runs += tx.forget_runs(before).await?;
            all.status += tx.forget_status(before).await?;
            all.quarantined += tx.forget_quarantined(before).await?;
            all.alerts += tx.forget_alerts(before).await?;
            tx.commit().await?;
        }
        Ok(all)
    }
}

/// How much of the history is older than a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OldHistory {
    /// Runs that are held, and those that would be forgotten.
    pub runs: (u64, u64),
    /// The same of status messages.
    pub status: (u64, u64),
    /// The same of what was put aside.
    pub quarantined: (u64, u64),
    /// The same of alerts that ended.
    pub alerts: (u64, u64),
}

impl OldHistory {
    /// All that is held.
    pub fn held(&self) -> u64 {
        self.runs.0 + self.status.0 + self.quarantined.0 + self.alerts.0
    }

    /// All that would be forgotten.
    pub fn old(&self) -> u64 {
        self.runs.1 + self.status.1 + self.quarantined.1 + self.alerts.1
    }
}

impl Read<'_> {
    /// Since when this site holds what.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn arrivals(&mut self) -> Result<Arrivals, Error> {
        let rows = self
            .connection()
            .fetch("select position, at from arrival order by position", vec![])
            .await?;
        let marks = rows
            .iter()
            .map(|row| {
                let time = Timestamp::from_millisecond(row.int(1)?).map_err(corrupt)?;
                Ok((row.count(0)?, time))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Arrivals { marks })
    }

    /// How much of the history is older than a time.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn old_history(&mut self, before: Timestamp) -> Result<OldHistory, Error> {
        let before = before.as_millisecond();
        let mut counts = [(0, 0); 4];
        for (counts, sql) in counts.iter_mut().zip([
            "select count(*), count(case when finished < $1 and id not in (select id from sync_run \
             where state = 'Completed' order by started desc limit 1) then 1 end) from sync_run",
            "select count(*), count(case when time < $1 and not exists (select 1 from outbox o \
             where o.site = m.site and o.number = m.number) then 1 end) from status_message m",
            "select count(*), count(case when since < $1 then 1 end) from quarantine",
            "select count(*), count(case when ended < $1 then 1 end) from alert where ended is not null",
        ]) {
            let row = self
                .connection()
                .fetch_one(sql, vec![before.into()])
                .await?;
            *counts = (row.count(0)?, row.count(1)?);
        }
        let [runs, status, quarantined, alerts] = counts;
        Ok(OldHistory {
            runs,
            status,
            quarantined,
            alerts,
        })
    }
}
