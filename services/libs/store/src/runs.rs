//! The history of a site's sync runs.

use crate::backend::{Row, int};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::PointId;
use jiff::Timestamp;
use uuid::Uuid;

/// Runs that a site keeps; the oldest go first.
pub const RUNS_KEPT: u64 = 10_000;

/// A run as history keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its identifier.
    pub id: Uuid,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; none while it is under way.
    pub finished: Option<Timestamp>,
    /// Name of its state.
    pub state: String,
    /// Whether everything was compared.
    pub full: bool,
    /// Whether a person asked for it.
    pub manual: bool,
    /// New revisions of updates that were not there.
    pub added: u64,
    /// New revisions of updates that were there.
    pub revised: u64,
    /// Updates that were withdrawn by their publisher.
    pub expired: u64,
    /// Items that are no longer there.
    pub removed: u64,
    /// Revisions that were put aside, because they could not be had in a usable form.
    pub failed: u64,
    /// Position that was reached.
    pub position: u64,
    /// What went wrong; empty when nothing did.
    pub error: String,
    /// The software update point that was asked instead of this one, with whether those below it were meant
    /// too. None for a run of this site.
    pub target: Option<(PointId, bool)>,
    /// What it took in, where that was not the synchronization source; empty for the source.
    pub source: String,
}

/// State of a row that stands for a request to another site: how that went is told by the parts in it.
pub const ASKED: &str = "Asked";

const COLUMNS: &str = "id, started, finished, state, full_run, manual, added, revised, expired, \
                       removed, position, error, failed, target, subtree, source";

fn run_of(row: &Row) -> Result<RunRow, Error> {
    let time = |value| Timestamp::from_millisecond(value).map_err(corrupt);
    Ok(RunRow {
        id: Uuid::from_slice(&row.blob(0)?).map_err(|_| corrupt("sync_run: id"))?,
        started: time(row.int(1)?)?,
        finished: row.optional_int(2)?.map(time).transpose()?,
        state: row.text(3)?,
        full: row.int(4)? != 0,
        manual: row.int(5)? != 0,
        added: row.count(6)?,
        revised: row.count(7)?,
        expired: row.count(8)?,
        removed: row.count(9)?,
        position: row.count(10)?,
        error: row.text(11)?,
        failed: row.count(12)?,
        target: match row.text(13)?.as_str() {
            "" => None,
            target => Some((target.parse().map_err(corrupt)?, row.int(14)? != 0)),
        },
        source: row.text(15)?,
    })
}

impl Tx<'_> {
    /// Writes a run down, replacing what was known of it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_run(&mut self, run: &RunRow) -> Result<(), Error> {
        let target = run
            .target
            .as_ref()
            .map_or("", |(target, _)| target.as_str());
        let values = [
            run.id.as_bytes().to_vec().into(),
            run.started.as_millisecond().into(),
            run.finished.map(Timestamp::as_millisecond).into(),
            run.state.as_str().into(),
            i64::from(run.full).into(),
            i64::from(run.manual).into(),
            int(run.added),
            int(run.revised),
            int(run.expired),
            int(run.removed),
            int(run.position),
            run.error.as_str().into(),
            int(run.failed),
            target.into(),
            i64::from(run.target.is_some_and(|(_, subtree)| subtree)).into(),
            run.source.as_str().into(),
        ];
        self.connection()
            .insert(
                &format!("insert into sync_run ({COLUMNS})"),
                vec![values],
                " on conflict (id) do update set finished = excluded.finished, \
                 state = excluded.state, added = excluded.added, revised = excluded.revised, \
                 expired = excluded.expired, removed = excluded.removed, \
                 position = excluded.position, error = excluded.error, \
                 failed = excluded.failed",
            )
            .await?;
        Ok(())
    }

    /// Forgets a run, with the parts of all sites in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_run(&mut self, id: Uuid) -> Result<(), Error> {
        for sql in [
            "delete from site_run where run = $1",
            "delete from sync_run where id = $1",
        ] {
            let values = vec![id.as_bytes().to_vec().into()];
            self.connection().execute(sql, values).await?;
        }
        Ok(())
    }

    #[cfg(not(feature = "simulation"))]
    fn runs_kept(&self) -> u64 {
        RUNS_KEPT
    }

    #[cfg(feature = "simulation")]
    fn runs_kept(&self) -> u64 {
        let kept = crate::simulation::kept(&self.store.inner.location);
        kept.map_or(RUNS_KEPT, |kept| kept.runs)
    }

    /// Forgets the oldest runs beyond [`RUNS_KEPT`], with the parts of all sites in them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn prune_runs(&mut self) -> Result<u64, Error> {
        let kept = self.runs_kept();
        let row = self
            .connection()
            .fetch_optional(
                "select started, id from sync_run order by started desc, id desc limit 1 offset $1",
                vec![int(kept)],
            )
            .await?;
        let Some(row) = row else { return Ok(0) };
        let oldest = vec![row.int(0)?.into(), row.blob(1)?.into()];
        self.connection()
            .execute(
                "delete from site_run where run in \
                 (select id from sync_run where (started, id) <= ($1, $2))",
                oldest.clone(),
            )
            .await?;
        self.connection()
            .execute(
                "delete from sync_run where (started, id) <= ($1, $2)",
                oldest,
            )
            .await
    }
}

impl Read<'_> {
    /// One run, or request to another site.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&mut self, id: Uuid) -> Result<Option<RunRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!("select {COLUMNS} from sync_run where id = $1"),
                vec![id.as_bytes().to_vec().into()],
            )
            .await?;
        row.as_ref().map(run_of).transpose()
    }

    /// The newest runs and requests to other sites before a place in the list, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs_before(
        &mut self,
        before: Option<(Timestamp, Uuid)>,
        most: u32,
    ) -> Result<Vec<RunRow>, Error> {
        let (time, id) = match before {
            Some((time, id)) => (time.as_millisecond(), id.as_bytes().to_vec()),
            None => (i64::MAX, Vec::new()),
        };
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from sync_run where (started, id) < ($1, $2) \
                     order by started desc, id desc limit $3"
                ),
                vec![time.into(), id.into(), i64::from(most).into()],
            )
            .await?;
        rows.iter().map(run_of).collect()
    }

    /// The newest runs of this site, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(&mut self, most: u32) -> Result<Vec<RunRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from sync_run where target = '' \
                     order by started desc limit $1"
                ),
                vec![i64::from(most).into()],
            )
            .await?;
        rows.iter().map(run_of).collect()
    }

    /// The runs that did not end, as far as is written down; oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfinished_runs(&mut self) -> Result<Vec<RunRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from sync_run where finished is null order by started, id"
                ),
                vec![],
            )
            .await?;
        rows.iter().map(run_of).collect()
    }

    /// The newest run that completed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_success(&mut self) -> Result<Option<RunRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                format!(
                    "select {COLUMNS} from sync_run where state = 'Completed' \
                     order by started desc limit 1"
                ),
                vec![],
            )
            .await?;
        row.as_ref().map(run_of).transpose()
    }
}
