//! A site's metrics in Prometheus form, read from its state when they are asked for.

mod content;
mod sites;

use crate::children::Children;
use crate::site::Site;
use daemon::metrics::{Metrics, MetricsError};
use hierarchy::time;
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Alerts that are counted at most.
const MOST_ALERTS: u32 = 10_000;

/// The metrics of a site.
#[derive(Clone)]
pub struct SiteMetrics {
    site: Site,
    children: Arc<Children>,
    counted: Metrics,
    others: Vec<Others>,
}

/// What is looked at when somebody asks.
struct Look(Metrics);

impl Look {
    /// A number that goes up and down.
    fn gauge(&self, name: &str, help: &str, value: u64) -> Result<(), MetricsError> {
        let gauge = self.0.gauge(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        Ok(())
    }

    /// A number that only grows, counted elsewhere.
    fn counter(&self, name: &str, help: &str, value: u64) -> Result<(), MetricsError> {
        self.0.counter(name, help)?.inc_by(value);
        Ok(())
    }

    /// A moment as UNIX time; 0 where there is none.
    fn moment(&self, name: &str, help: &str, at: Option<Timestamp>) -> Result<(), MetricsError> {
        let seconds = at.map_or(0, Timestamp::as_second);
        self.gauge(name, help, u64::try_from(seconds).unwrap_or(0))
    }
}

/// Puts numbers of its own into those of the site.
type Others = Arc<dyn Fn(&Metrics) -> Result<(), MetricsError> + Send + Sync>;

impl SiteMetrics {
    /// The metrics of a site and its children, besides what is counted in `counted`.
    pub fn new(site: Site, children: Arc<Children>, counted: Metrics) -> Self {
        Self {
            site,
            children,
            counted,
            others: Vec::new(),
        }
    }

    /// The same, and what `others` puts in.
    pub fn and(
        mut self,
        others: impl Fn(&Metrics) -> Result<(), MetricsError> + Send + Sync + 'static,
    ) -> Self {
        self.others.push(Arc::new(others));
        self
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// When the database fails, or a metric is malformed.
    pub async fn render(&self) -> Result<String, Error> {
        let look = Look(Metrics::looked_at()?);
        self.runs(&look)?;
        self.link(&look)?;
        self.condition(&look)?;
        self.stored(&look).await?;
        if self.site.parent.borrow().is_none() {
            sites::add(&look.0, self.site.reports.all())?;
        }
        for others in &self.others {
            others(&look.0)?;
        }
        Ok(self.counted.render()? + &look.0.render()?)
    }

    fn runs(&self, look: &Look) -> Result<(), Error> {
        let positions = self.site.store.positions();
        look.gauge(
            "catalog_position",
            "Position of the last change that is stored.",
            positions.head,
        )?;
        look.gauge(
            "catalog_verified_position",
            "Position up to which the catalog is verified and shown.",
            positions.verified,
        )?;
        let state = self.site.engine.state();
        look.gauge(
            "sync_running",
            "1 while a run is under way.",
            u64::from(state.running()),
        )?;
        look.gauge(
            "sync_target_position",
            "Position that the site was last asked to reach.",
            state.target,
        )?;
        look.gauge(
            "sync_failed_runs_in_a_row",
            "Runs that failed since the last one that did not.",
            u64::from(state.failed_in_a_row),
        )?;
        look.moment(
            "sync_last_success_timestamp_seconds",
            "End of the last run that completed, as UNIX time; 0 before the first.",
            state.last_success,
        )?;
        look.moment(
            "sync_last_failure_timestamp_seconds",
            "End of the last run if it failed, as UNIX time; 0 when it did not.",
            state.last_failure.map(|(at, _)| at),
        )?;
        Ok(())
    }

    fn link(&self, look: &Look) -> Result<(), Error> {
        look.gauge(
            "link_children",
            "Children that are attached.",
            self.children.attached().len() as u64,
        )?;
        look.gauge(
            "link_connected",
            "1 while the site is attached to its parent; always so at the top-level site, which has none.",
            u64::from(*self.site.attached.borrow()),
        )?;
        let received = &self.site.received;
        look.counter(
            "link_connections_total",
            "How often the link to a parent came up since the process started.",
            received.links.load(Ordering::Relaxed),
        )?;
        look.counter(
            "pull_received_changes_total",
            "Changes and items that came from parents since the process started.",
            received.changes.load(Ordering::Relaxed),
        )?;
        look.counter(
            "pull_received_bytes_total",
            "Bytes of the batches that they came in.",
            received.bytes.load(Ordering::Relaxed),
        )?;
        look.counter(
            "pull_sent_bytes_total",
            "Bytes of the batches that went to children since the process started.",
            self.children.sent_bytes(),
        )?;
        Ok(())
    }

    /// What the site says of itself beside synchronization.
    fn condition(&self, look: &Look) -> Result<(), Error> {
        let report = self.site.reports.get(self.site.code).unwrap_or_default();
        look.moment(
            "certificate_valid_from_timestamp_seconds",
            "Beginning of the time for which the site's certificate is valid, as UNIX time.",
            time(report.certificate_valid_from.as_ref()),
        )?;
        look.moment(
            "certificate_expiry_timestamp_seconds",
            "End of the time for which the site's certificate is valid, as UNIX time.",
            time(report.certificate_expires.as_ref()),
        )?;
        look.gauge(
            "disk_free_bytes",
            "Free room of the data directory's file system, in steps of 16 MiB.",
            report.disk_free,
        )?;
        look.gauge(
            "disk_total_bytes",
            "Size of the data directory's file system; 0 where it is not known.",
            report.disk_total,
        )?;
        content::add(look, &report)?;
        Ok(())
    }

    /// What the database says.
    async fn stored(&self, look: &Look) -> Result<(), Error> {
        let store = &self.site.store;
        // Without a parent, what waits there waits for the merged log.
        let has_parent = self.site.parent.borrow().is_some();
        let (items, outbox, statement, active) = {
            let mut read = store.read().await?;
            let outbox = match has_parent {
                true => read.outbox_length().await?,
                false => 0,
            };
            (
                read.items().await?,
                outbox,
                read.signed_statement().await?,
                read.alerts(false, MOST_ALERTS).await?,
            )
        };
        look.gauge(
            "catalog_items",
            "Live items of the verified catalog.",
            items,
        )?;
        look.gauge(
            "outbox_messages",
            "Status messages that the parent has not acknowledged.",
            outbox,
        )?;
        look.moment(
            "statement_stale_timestamp_seconds",
            "When the newest catalog statement is no longer good, as UNIX time; 0 before the first.",
            statement.map(|held| held.claimed().stale_after),
        )?;
        let alerts = look.0.gauges(
            "alerts",
            "Alerts that have not ended, by kind; at the top-level site alone.",
            &["kind"],
        )?;
        for row in active {
            alerts.with_label_values(&[&row.kind]).inc();
        }
        let database = store.measures().await?;
        look.gauge(
            "database_size_bytes",
            "Size of the database.",
            database.size,
        )?;
        if let Some(wal) = database.wal {
            look.gauge(
                "database_wal_size_bytes",
                "Size of the database's write-ahead log; with SQLite alone.",
                wal,
            )?;
        }
        look.counter(
            "database_commits_total",
            "Units of work that were committed since the process started.",
            database.commits,
        )?;
        let seconds = look.0.seconds(
            "database_commit_seconds_total",
            "What their commits took together, the wait for the disk included.",
        )?;
        seconds.inc_by(database.commit_time.as_secs_f64());
        Ok(())
    }
}

/// Metrics that cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A metric is malformed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}
