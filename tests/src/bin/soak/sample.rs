//! Looking at every process, and at the hierarchy as its central site sees it.

use crate::act::Field;
use crate::churn::Role;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use store::DATABASE_FILE;
use testkit::hierarchy::CENTRAL;

/// How long the central site may take to tell of its sites.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a query waits for a lock.
const LOCK: Duration = Duration::from_secs(5);

/// One process at one moment.
#[derive(Debug, Clone)]
pub struct SiteSample {
    /// Code of the site.
    pub code: String,
    /// What it is.
    pub role: Role,
    /// Its process; none while it is down.
    pub process: Option<u32>,
    /// Resident memory, in bytes.
    pub memory: u64,
    /// Open file handles.
    pub handles: u64,
    /// Bytes of the database.
    pub database: u64,
    /// Bytes of its write-ahead log.
    pub wal: u64,
    /// What the database holds.
    pub held: Held,
    /// Positions by which the site is behind the central site, where that is known.
    pub behind: Option<u64>,
    /// For how many seconds the central site has had something that this site has not.
    pub late: Option<f64>,
    /// Whether the central site can reach it.
    pub connected: bool,
}

/// Rows of a database.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Items of the catalog.
    pub items: u64,
    /// Status messages.
    pub messages: u64,
    /// Runs that failed.
    pub failed: u64,
    /// Bytes of the pages that are in use, whether they lie in the database or still in its log.
    pub used: u64,
}

/// All of it at one moment.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Seconds since the churn began.
    pub at: f64,
    /// The sites.
    pub sites: Vec<SiteSample>,
}

/// Takes samples, and remembers when the central site reached which position.
#[derive(Debug, Default)]
pub struct Sampler {
    reached: Vec<(f64, u64)>,
}

impl Sampler {
    /// Looks at everything.
    pub async fn sample(&mut self, field: &mut Field, at: f64) -> Sample {
        let reports = tokio::time::timeout(ANSWER, field.hierarchy.sites()).await;
        let reports = reports.ok().and_then(Result::ok).unwrap_or_default();
        if let Some(central) = reports.get(CENTRAL) {
            self.note(at, central.verified_position);
        }
        let mut sites = Vec::with_capacity(field.facts.sites.len());
        for (code, site) in &field.facts.sites {
            let data_dir = field.hierarchy.data_dir(code);
            let runs = field.hierarchy.runs(code);
            let process = runs.then(|| field.hierarchy.process(code).id());
            let length = |end: &str| {
                let file = data_dir.join(format!("{DATABASE_FILE}{end}"));
                file.metadata().map_or(0, |file| file.len())
            };
            let position = reports.get(code).map(|report| report.verified_position);
            let lag = position.and_then(|position| self.lag(at, position));
            sites.push(SiteSample {
                code: code.clone(),
                role: site.role,
                process,
                memory: process.and_then(memory).unwrap_or(0),
                handles: process.and_then(handles).unwrap_or(0),
                database: length(""),
                wal: length("-wal"),
                held: held(&data_dir).await.unwrap_or_default(),
                behind: lag.map(|(behind, _)| behind),
                late: lag.map(|(_, late)| late),
                connected: runs && reports.get(code).is_some_and(|report| report.connected),
            });
        }
        Sample { at, sites }
    }

    fn note(&mut self, at: f64, position: u64) {
        if self.reached.last().is_none_or(|(_, last)| *last < position) {
            self.reached.push((at, position));
        }
    }

    /// By how many positions a site is behind, and for how long.
    fn lag(&self, at: f64, position: u64) -> Option<(u64, f64)> {
        let (_, newest) = self.reached.last()?;
        let since = self.reached.iter().find(|(_, reached)| *reached > position);
        let late = since.map_or(0.0, |(since, _)| at - since);
        Some((newest.saturating_sub(position), late))
    }
}

fn memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn handles(process: u32) -> Option<u64> {
    let handles = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    Some(handles.count() as u64)
}

/// Counts rows in the database of a site, whether that runs or not.
async fn held(data_dir: &Path) -> Result<Held, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(data_dir.join(DATABASE_FILE))
        .read_only(true)
        .busy_timeout(LOCK);
    let mut connection = options.connect().await?;
    let row = sqlx::query(
        "select (select count(*) from item), (select count(*) from status_message), \
         (select count(*) from sync_run where state = 'Failed'), \
         (select page_count from pragma_page_count) \
         - (select freelist_count from pragma_freelist_count), \
         (select page_size from pragma_page_size)",
    )
    .fetch_one(&mut connection)
    .await?;
    let count = |column: usize| u64::try_from(row.get::<i64, _>(column)).unwrap_or(0);
    let held = Held {
        items: count(0),
        messages: count(1),
        failed: count(2),
        used: count(3) * count(4),
    };
    connection.close().await?;
    Ok(held)
}

/// What is told of the hierarchy at each moment: the columns of its table.
pub const COLUMNS: [&str; 22] = [
    "seconds",
    "sites",
    "running",
    "connected",
    "current",
    "central_memory",
    "primary_memory_max",
    "primary_memory_median",
    "secondary_memory_max",
    "secondary_memory_median",
    "central_handles",
    "primary_handles_max",
    "secondary_handles_max",
    "central_database",
    "primary_database_max",
    "secondary_database_max",
    "wal_max",
    "lag_seconds_max",
    "lag_seconds_median",
    "lag_positions_max",
    "lag_positions_median",
    "failed_runs",
];

impl Sample {
    /// A figure of the sites of a role that run, or of all roles.
    fn of(&self, role: Option<Role>, figure: impl Fn(&SiteSample) -> Option<f64>) -> Vec<f64> {
        let sites = self.sites.iter();
        let mut figures: Vec<f64> = sites
            .filter(|site| role.is_none_or(|role| site.role == role) && site.process.is_some())
            .filter_map(figure)
            .collect();
        figures.sort_by(f64::total_cmp);
        figures
    }

    /// The figures of [`COLUMNS`]; not a number where there is none.
    pub fn figures(&self) -> [f64; COLUMNS.len()] {
        let max = |figures: Vec<f64>| figures.last().copied().unwrap_or(f64::NAN);
        let median = |figures: Vec<f64>| {
            let middle = figures.get(figures.len() / 2);
            middle.copied().unwrap_or(f64::NAN)
        };
        let [central, primary, secondary] = Role::ALL.map(Some);
        let memory = |site: &SiteSample| Some(site.memory as f64);
        let handles = |site: &SiteSample| Some(site.handles as f64);
        let database = |site: &SiteSample| Some((site.database + site.wal) as f64);
        let wal = |site: &SiteSample| Some(site.wal as f64);
        let late = |site: &SiteSample| site.late;
        let behind = |site: &SiteSample| site.behind.map(|behind| behind as f64);
        let count = |fits: fn(&SiteSample) -> bool| {
            self.sites.iter().filter(|site| fits(site)).count() as f64
        };
        [
            self.at,
            self.sites.len() as f64,
            count(|site| site.process.is_some()),
            count(|site| site.connected),
            count(|site| site.process.is_some() && site.behind == Some(0)),
            max(self.of(central, memory)),
            max(self.of(primary, memory)),
            median(self.of(primary, memory)),
            max(self.of(secondary, memory)),
            median(self.of(secondary, memory)),
            max(self.of(central, handles)),
            max(self.of(primary, handles)),
            max(self.of(secondary, handles)),
            max(self.of(central, database)),
            max(self.of(primary, database)),
            max(self.of(secondary, database)),
            max(self.of(None, wal)),
            max(self.of(None, late)),
            median(self.of(None, late)),
            max(self.of(None, behind)),
            median(self.of(None, behind)),
            self.sites.iter().map(|site| site.held.failed as f64).sum(),
        ]
    }
}

/// The table of the hierarchy.
pub fn table(samples: &[Sample]) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for sample in samples {
        let cells = sample.figures().map(|figure| match figure.is_nan() {
            true => String::new(),
            false => format!("{}", (figure * 10.0).round() / 10.0),
        });
        text += &(cells.join(",") + "\n");
    }
    text
}

/// The table of the processes.
pub fn processes(samples: &[Sample]) -> String {
    let mut text =
        "seconds,site,role,process,memory,handles,database,wal,used,items,messages,failed_runs,\
                    behind_positions,behind_seconds,connected\n"
            .to_owned();
    let some = |number: Option<String>| number.unwrap_or_default();
    for sample in samples {
        for site in &sample.sites {
            text += &format!(
                "{:.1},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
                sample.at,
                site.code,
                site.role.name(),
                some(site.process.map(|process| process.to_string())),
                site.memory,
                site.handles,
                site.database,
                site.wal,
                site.held.used,
                site.held.items,
                site.held.messages,
                site.held.failed,
                some(site.behind.map(|behind| behind.to_string())),
                some(site.late.map(|late| format!("{late:.1}"))),
                site.connected,
            );
        }
    }
    text
}

/// The samples of each site, by its code.
pub fn by_site(samples: &[Sample]) -> BTreeMap<&str, Vec<(f64, &SiteSample)>> {
    let mut by_site: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for sample in samples {
        for site in &sample.sites {
            by_site
                .entry(&site.code)
                .or_default()
                .push((sample.at, site));
        }
    }
    by_site
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_is_late_since_the_first_position_that_it_has_not() {
        let mut sampler = Sampler::default();
        assert_eq!(sampler.lag(0.0, 0), None);
        for (at, position) in [(1.0, 100), (2.0, 100), (5.0, 130), (9.0, 140)] {
            sampler.note(at, position);
        }
        assert_eq!(sampler.lag(10.0, 140), Some((0, 0.0)));
        assert_eq!(sampler.lag(10.0, 130), Some((10, 1.0)));
        assert_eq!(sampler.lag(10.0, 100), Some((40, 5.0)));
        assert_eq!(sampler.lag(10.0, 0), Some((140, 9.0)));
    }
}
