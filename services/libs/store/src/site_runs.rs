//! The part of each site in a run that is held here, gathered from the sites' status messages.
//!
//! Invariant: a row is what its site's messages say, in whatever order and however often they came; it goes with
//! its run. What the messages mean is not known here.

use crate::backend::{Connection, Row};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use catalog::PointId;
use jiff::Timestamp;
use std::collections::HashMap;
use uuid::Uuid;

/// Runs that one statement asks for.
const AT_ONCE: usize = 200;

/// The newest end of a site's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// Number of the message.
    pub number: u64,
    /// When, by the site's clock.
    pub at: Timestamp,
    /// Name of the state that it ended in.
    pub state: String,
    /// What went wrong; empty when nothing did.
    pub error: String,
}

/// What a site's messages say of its part in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteRunRow {
    /// The run.
    pub run: Uuid,
    /// The site.
    pub site: PointId,
    /// When it was asked first.
    pub requested: Option<Timestamp>,
    /// When it began first.
    pub first_begun: Option<Timestamp>,
    /// Its newest beginning: number of the message, and time.
    pub begun: Option<(u64, Timestamp)>,
    /// Its newest end.
    pub ended: Option<End>,
    /// What it did when, as it told last: number of the message, and its inserts.
    pub told: Option<(u64, Vec<String>)>,
}

impl SiteRunRow {
    /// A part of which nothing is known yet.
    pub const fn new(run: Uuid, site: PointId) -> Self {
        Self {
            run,
            site,
            requested: None,
            first_begun: None,
            begun: None,
            ended: None,
            told: None,
        }
    }
}

/// How many sites took part in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// All of them.
    pub sites: u64,
    /// Those whose part completed.
    pub completed: u64,
}

const COLUMNS: &str = "run, site, requested, first_begun, begun, begun_at, ended, ended_at, state, \
                       error, told, details";

fn part_of(row: &Row) -> Result<SiteRunRow, Error> {
    let bad = |what: &str| corrupt(format_args!("site_run: {what}"));
    let time = |index| -> Result<Option<Timestamp>, Error> {
        let value = row.optional_int(index)?;
        let time = value.map(Timestamp::from_millisecond).transpose();
        time.map_err(corrupt)
    };
    let number = |index| -> Result<Option<u64>, Error> {
        let value = row.optional_int(index)?;
        let number = value.map(u64::try_from).transpose();
        number.map_err(|_| bad("a number is negative"))
    };
    let ended = match (number(6)?, time(7)?) {
        (Some(number), Some(at)) => Some(End {
            number,
            at,
            state: row.text(8)?,
            error: row.text(9)?,
        }),
        _ => None,
    };
    let told = match number(10)? {
        None => None,
        Some(number) => {
            let inserts = serde_json::from_str(&row.text(11)?).map_err(|_| bad("details"))?;
            Some((number, inserts))
        }
    };
    Ok(SiteRunRow {
        run: Uuid::from_slice(&row.blob(0)?).map_err(|_| bad("run"))?,
        site: row.text(1)?.parse().map_err(corrupt)?,
        requested: time(2)?,
        first_begun: time(3)?,
        begun: number(4)?.zip(time(5)?),
        ended,
        told,
    })
}

async fn site_run(
    connection: &mut Connection<'_>,
    run: Uuid,
    site: PointId,
) -> Result<Option<SiteRunRow>, Error> {
    let row = connection
        .fetch_optional(
            format!("select {COLUMNS} from site_run where run = $1 and site = $2"),
            vec![run.as_bytes().to_vec().into(), site.as_str().into()],
        )
        .await?;
    row.as_ref().map(part_of).transpose()
}

/// The parts of all sites in a run: those rows are read, and no others.
pub(crate) async fn site_runs(
    connection: &mut Connection<'_>,
    run: Uuid,
) -> Result<Vec<SiteRunRow>, Error> {
    let rows = connection
        .fetch(
            format!("select {COLUMNS} from site_run where run = $1 order by site"),
            vec![run.as_bytes().to_vec().into()],
        )
        .await?;
    rows.iter().map(part_of).collect()
}

impl Tx<'_> {
    /// Adds to what is known of a site's part in a run. Where the run is not held here, nothing is: it is
    /// not this site's, nor one that it asked for. Whether it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn add_to_site_run(
        &mut self,
        run: Uuid,
        site: PointId,
        add: impl FnOnce(&mut SiteRunRow),
    ) -> Result<bool, Error> {
        let held = site_run(&mut self.connection(), run, site).await?;
        let mut part = match &held {
            Some(part) => part.clone(),
            None => {
                let known = self
                    .connection()
                    .fetch_one(
                        "select count(*) from sync_run where id = $1",
                        vec![run.as_bytes().to_vec().into()],
                    )
                    .await?;
                if known.count(0)? == 0 {
                    return Ok(false);
                }
                SiteRunRow::new(run, site)
            }
        };
        add(&mut part);
        if held.as_ref() != Some(&part) {
            self.put_site_run(&part).await?;
        }
        Ok(true)
    }

    async fn put_site_run(&mut self, part: &SiteRunRow) -> Result<(), Error> {
        let time = |time: Option<Timestamp>| time.map(Timestamp::as_millisecond).into();
        let number =
            |number: Option<u64>| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX));
        let ended = part.ended.as_ref();
        let told = part.told.as_ref();
        let inserts = told.map_or(&[][..], |(_, inserts)| inserts);
        let values = [
            part.run.as_bytes().to_vec().into(),
            part.site.as_str().into(),
            time(part.requested),
            time(part.first_begun),
            number(part.begun.map(|(number, _)| number)).into(),
            time(part.begun.map(|(_, at)| at)),
            number(ended.map(|end| end.number)).into(),
            time(ended.map(|end| end.at)),
            ended.map_or("", |end| end.state.as_str()).into(),
            ended.map_or("", |end| end.error.as_str()).into(),
            number(told.map(|(number, _)| *number)).into(),
            serde_json::to_string(inserts).map_err(corrupt)?.into(),
        ];
        self.connection()
            .insert(
                &format!("insert into site_run ({COLUMNS})"),
                vec![values],
                " on conflict (run, site) do update set requested = excluded.requested, \
                 first_begun = excluded.first_begun, begun = excluded.begun, \
                 begun_at = excluded.begun_at, ended = excluded.ended, \
                 ended_at = excluded.ended_at, state = excluded.state, error = excluded.error, \
                 told = excluded.told, details = excluded.details",
            )
            .await?;
        Ok(())
    }
}

impl Read<'_> {
    /// The parts of all sites in a run, by their codes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_runs(&mut self, run: Uuid) -> Result<Vec<SiteRunRow>, Error> {
        site_runs(&mut self.connection(), run).await
    }

    /// The part of one site in each of these runs, where it took part.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_runs_of(
        &mut self,
        site: PointId,
        runs: &[Uuid],
    ) -> Result<HashMap<Uuid, SiteRunRow>, Error> {
        let mut parts = HashMap::with_capacity(runs.len());
        for chunk in runs.chunks(AT_ONCE) {
            let sql = format!(
                "select {COLUMNS} from site_run where site = $1 and run in {}",
                self.connection().places_after(1, chunk.len())
            );
            let mut values = vec![site.as_str().into()];
            values.extend(chunk.iter().map(|run| run.as_bytes().to_vec().into()));
            for row in self.connection().fetch(sql, values).await? {
                let part = part_of(&row)?;
                parts.insert(part.run, part);
            }
        }
        Ok(parts)
    }

    /// How many sites took part in these runs, and of how many the newest end is in the state `completed` and
    /// was followed by no further beginning.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn site_run_tallies(
        &mut self,
        runs: &[Uuid],
        completed: &str,
    ) -> Result<HashMap<Uuid, Tally>, Error> {
        let mut tallies = HashMap::with_capacity(runs.len());
        for chunk in runs.chunks(AT_ONCE) {
            let sql = format!(
                "select run, count(*), count(case when state = $1 and \
                 (begun is null or begun < ended) then 1 end) from site_run \
                 where run in {} group by run",
                self.connection().places_after(1, chunk.len())
            );
            let mut values = vec![completed.into()];
            values.extend(chunk.iter().map(|run| run.as_bytes().to_vec().into()));
            for row in self.connection().fetch(sql, values).await? {
                let run = Uuid::from_slice(&row.blob(0)?).map_err(|_| corrupt("site_run: run"))?;
                let tally = Tally {
                    sites: row.count(1)?,
                    completed: row.count(2)?,
                };
                tallies.insert(run, tally);
            }
        }
        Ok(tallies)
    }
}
