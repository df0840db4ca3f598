//! A site's metrics in Prometheus form, read from its state when they are asked for.

use crate::children::Children;
use crate::site::Site;
use daemon::metrics::{Metrics, MetricsError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
            (read.items().await?, read.outbox_length().await?)
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
        Ok(metrics.render()?)
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
