//! A site's metrics in Prometheus form, read from its state when they are asked for.

use crate::children::Children;
use crate::site::Site;
use daemon::metrics::{Metrics, MetricsError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Alerts that are counted at most.
const MOST_ALERTS: u32 = 10_000;

/// The metrics of a site.
#[derive(Clone)]
pub struct SiteMetrics {
    site: Site,
    children: Arc<Children>,
}

impl SiteMetrics {
    /// The metrics of a site and its children.
    pub fn new(site: Site, children: Arc<Children>) -> Self {
        Self { site, children }
    }

    /// The metrics as text.
    ///
    /// # Errors
    /// When the database fails, or a metric is malformed.
    pub async fn render(&self) -> Result<String, Error> {
        let metrics = Metrics::new()?;
        let set = |name: &str, help: &str, value: u64| -> Result<(), MetricsError> {
            // They are registered without the prefix that all have.
            let name = name.strip_prefix("headwater_").unwrap_or(name);
            metrics
                .gauge(name, help)?
                .set(i64::try_from(value).unwrap_or(i64::MAX));
            Ok(())
        };
        let positions = self.site.store.positions();
        set(
            "headwater_catalog_position",
            "Position of the last change that is stored.",
            positions.head,
        )?;
        set(
            "headwater_catalog_verified_position",
            "Position up to which the catalog is verified and shown.",
            positions.verified,
        )?;
        let (items, outbox) = {
            let mut read = self.site.store.read().await?;
            // Without a parent, what waits there waits for the merged log.
            let has_parent = self.site.parent.borrow().is_some();
            let outbox = match has_parent {
                true => read.outbox_length().await?,
                false => 0,
            };
            (read.items().await?, outbox)
        };
        set(
            "headwater_catalog_items",
            "Live items of the verified catalog.",
            items,
        )?;
        set(
            "headwater_outbox_messages",
            "Status messages that the parent has not acknowledged.",
            outbox,
        )?;
        set(
            "headwater_link_children",
            "Children that are attached.",
            self.children.attached().len() as u64,
        )?;
        let state = self.site.engine.state();
        set(
            "headwater_sync_running",
            "1 while a run is under way.",
            u64::from(state.running()),
        )?;
        set(
            "headwater_sync_completed_runs",
            "Runs that completed since the process started.",
            state.completed,
        )?;
        set(
            "headwater_sync_target_position",
            "Position that the site was last asked to reach.",
            state.target,
        )?;
        let received = &self.site.received;
        set(
            "headwater_pull_received_changes",
            "Changes and items that came from parents since the process started.",
            received.changes.load(Ordering::Relaxed),
        )?;
        set(
            "headwater_pull_received_bytes",
            "Bytes of the batches that they came in.",
            received.bytes.load(Ordering::Relaxed),
        )?;
        set(
            "headwater_sync_failed_runs_in_a_row",
            "Runs that failed since the last one that did not.",
            u64::from(state.failed_in_a_row),
        )?;
        let seconds = |at: Option<jiff::Timestamp>| {
            at.map_or(0, |at| u64::try_from(at.as_second()).unwrap_or(0))
        };
        set(
            "headwater_sync_last_success_timestamp_seconds",
            "End of the last run that completed, as UNIX time; 0 before the first.",
            seconds(state.last_success),
        )?;
        set(
            "headwater_sync_last_failure_timestamp_seconds",
            "End of the last run if it failed, as UNIX time; 0 when it did not.",
            seconds(state.last_failure.map(|(at, _)| at)),
        )?;
        self.condition(set).await?;
        let alerts = metrics.gauges(
            "alerts",
            "Alerts that have not ended, by kind; at the top-level site alone.",
            &["kind"],
        )?;
        let mut read = self.site.store.read().await?;
        for row in read.alerts(false, MOST_ALERTS).await? {
            alerts.with_label_values(&[&row.kind]).inc();
        }
        Ok(metrics.render()?)
    }
}

impl SiteMetrics {
    /// What the site says of itself beside synchronization.
    async fn condition(
        &self,
        set: impl Fn(&str, &str, u64) -> Result<(), MetricsError>,
    ) -> Result<(), Error> {
        let report = self.site.reports.get(self.site.code).unwrap_or_default();
        let seconds = |time: &Option<prost_types::Timestamp>| {
            let seconds = time.as_ref().map_or(0, |time| time.seconds);
            u64::try_from(seconds).unwrap_or(0)
        };
        set(
            "headwater_certificate_valid_from_timestamp_seconds",
            "Beginning of the time for which the site's certificate is valid, as UNIX time.",
            seconds(&report.certificate_valid_from),
        )?;
        set(
            "headwater_certificate_expiry_timestamp_seconds",
            "End of the time for which the site's certificate is valid, as UNIX time.",
            seconds(&report.certificate_expires),
        )?;
        let statement = self.site.store.read().await?.signed_statement().await?;
        let stale = statement.map_or(0, |held| held.claimed().stale_after.as_second());
        set(
            "headwater_statement_stale_timestamp_seconds",
            "When the newest catalog statement is no longer good, as UNIX time; 0 before the first.",
            u64::try_from(stale).unwrap_or(0),
        )?;
        set(
            "headwater_disk_free_bytes",
            "Free room of the data directory's file system, in steps of 16 MiB.",
            report.disk_free,
        )?;
        set(
            "headwater_disk_total_bytes",
            "Size of the data directory's file system; 0 where it is not known.",
            report.disk_total,
        )?;
        set(
            "headwater_content_files",
            "Content files that are needed and there.",
            report.content_files,
        )?;
        set(
            "headwater_content_bytes",
            "Bytes of the content files that are needed and there.",
            report.content_bytes,
        )?;
        set(
            "headwater_content_files_to_go",
            "Content files that are needed and not there yet.",
            report.content_files_to_go,
        )?;
        set(
            "headwater_content_bytes_to_go",
            "Bytes of content files that are still to come.",
            report.content_bytes_to_go,
        )?;
        set(
            "headwater_content_bytes_per_second",
            "How fast content files come.",
            report.content_bytes_per_second,
        )?;
        set(
            "headwater_content_received_bytes",
            "Bytes of content files that came since the process started.",
            report.content_received_bytes,
        )?;
        set(
            "headwater_content_failing_files",
            "Content files that did not come at the last attempt.",
            report.content_failing,
        )?;
        set(
            "headwater_content_quarantined_files",
            "Content files of which something came that was not what the catalog says.",
            report.content_quarantined,
        )?;
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
