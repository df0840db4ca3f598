//! Settings on their way into the log: what they mean for the sites that there are, and a reconciler that sees
//! to it that the log has the newest.

use crate::in_force::{InForce, Version};
use catalog::SiteCode;
use catalog::language::Language;
use jiff::Timestamp;
use link::reports::Reports;
use settings::languages::{Place, Sites};
use settings::roll_out::RollOut;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Changes of sites are gathered this long, so that a site that restarts again and again does not keep the
/// hierarchy busy with its locale.
const GATHER: Duration = Duration::from_secs(5);
/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(15);

/// Which sites there are, as this top-level site knows them.
#[derive(Clone)]
pub struct Register {
    /// The database.
    pub store: Store,
    /// What sites report of themselves.
    pub reports: Reports,
    /// This site.
    pub top: SiteCode,
    /// The address under which people reach it, where it has a name.
    pub address: Option<String>,
    /// Language of its locale.
    pub locale: Option<Language>,
}

impl Register {
    /// The sites that belong to the hierarchy now, and where each stands.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(&self) -> Result<Sites, store::Error> {
        let rows = self.store.read().await?.sites().await?;
        // Where a site stands its synchronization source says, not the replicas of that.
        let sources = rows
            .into_iter()
            .filter(|row| row.removed.is_none() && !row.code.is_beside(row.parent));
        let mut sites: Sites = sources
            .map(|row| {
                let report = self.reports.get(row.code);
                let locale = report.and_then(|report| report.locale.parse().ok());
                let parent = Some(row.parent.site());
                (row.code.site(), Place { parent, locale })
            })
            .collect();
        let here = Place {
            parent: None,
            locale: self.locale,
        };
        sites.insert(self.top, here);
        Ok(sites)
    }

    /// What every site has to know of a version of the settings.
    pub fn roll_out(&self, version: &Version, sites: &Sites) -> RollOut {
        let time = version.time.unwrap_or(Timestamp::UNIX_EPOCH);
        RollOut::new(
            (version.number, time, &version.who),
            &version.settings,
            (self.top, self.address.clone()),
            sites,
        )
    }
}

/// Keeps the log at the settings in force and the sites that there are, until `stop` is told.
pub async fn keep(settings: InForce, register: Register, stop: CancellationToken) {
    let mut reports = register.reports.watch();
    let mut positions = register.store.watch_positions();
    loop {
        reports.mark_unchanged();
        positions.mark_unchanged();
        let wait = match settings.roll_out().await {
            Ok(()) => GATHER,
            Err(error) => {
                tracing::error!(%error, "the settings could not be put into the log; it is tried again");
                reports.mark_changed();
                RETRY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        tokio::select! {
            changed = reports.changed() => if changed.is_err() { return },
            changed = positions.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}
