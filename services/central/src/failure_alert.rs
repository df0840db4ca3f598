//! The alert that a synchronization failed at a site of the hierarchy (`EnableSyncFailureAlert`): raised once
//! when a site fails, canceled when it succeeds.

use catalog::PointId;
use journal::{Journal, StatusId};
use link::reports::Reports;
use settings::Settings;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::convert;
use wire::v1::SiteReport;

/// Where the sites stand for which the alert is active.
const ACTIVE: &str = "sync-failure-alerts";
/// Reports are gathered this long.
const GATHER: Duration = Duration::from_secs(1);
/// A look that found a failing database is repeated after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// What raises and cancels the alert.
pub struct FailureAlert {
    /// What every site of the hierarchy says of itself.
    pub reports: Reports,
    /// Whether there is to be an alert.
    pub settings: watch::Receiver<Arc<Settings>>,
    /// Where the active ones are kept.
    pub store: Store,
    /// Where it is told.
    pub journal: Journal,
}

/// What has to be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Sites that fail, and why.
    raise: Vec<(PointId, String)>,
    /// Sites that succeeded again.
    cancel: Vec<PointId>,
    /// The sites for which the alert is active then.
    active: BTreeSet<PointId>,
}

/// Whether the last run of a site that came to an end failed.
fn fails(report: &SiteReport) -> bool {
    let time = |time: &Option<_>| {
        convert::optional_timestamp("time", time.as_ref())
            .ok()
            .flatten()
    };
    match (time(&report.last_failure), time(&report.last_success)) {
        (Some(failure), Some(success)) => failure > success,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// Compares the active alerts with what the sites report. Of a site that is gone there is none.
fn plan(active: &BTreeSet<PointId>, reports: &[SiteReport]) -> Plan {
    let mut plan = Plan::default();
    for report in reports {
        let Ok(site) = report.site_code.parse() else {
            continue;
        };
        match (active.contains(&site), fails(report)) {
            (false, true) => plan.raise.push((site, report.last_error.clone())),
            (true, false) => plan.cancel.push(site),
            (true, true) | (false, false) => {}
        }
        if fails(report) {
            plan.active.insert(site);
        }
    }
    let reported = |site: &&PointId| {
        let mut codes = reports.iter().map(|report| report.site_code.as_str());
        codes.any(|code| code == site.as_str())
    };
    let gone = active.iter().filter(|site| !reported(site));
    plan.cancel.extend(gone);
    plan
}

impl FailureAlert {
    /// Watches the sites until `stop` is told.
    pub async fn keep(mut self, stop: CancellationToken) {
        let mut reports = self.reports.watch();
        loop {
            self.settings.mark_unchanged();
            reports.mark_unchanged();
            let wait = match self.look().await {
                Ok(()) => Duration::MAX,
                Err(error) => {
                    tracing::error!(%error, "the alert of failed synchronizations cannot be looked at");
                    AGAIN
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                changed = reports.changed() => if changed.is_err() { return },
                changed = self.settings.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn look(&self) -> Result<(), store::Error> {
        let held = self.store.read().await?.state(ACTIVE).await?;
        let held = String::from_utf8_lossy(&held.unwrap_or_default()).into_owned();
        let active = held
            .split(' ')
            .filter_map(|code| code.parse().ok())
            .collect();
        let is_on = self.settings.borrow().failures.alert;
        let plan = match is_on {
            true => plan(&active, &self.reports.all()),
            false => plan(&active, &[]),
        };
        // Told before it is kept: an interruption tells it twice rather than never.
        for (site, why) in &plan.raise {
            let inserts = vec![site.to_string(), why.clone()];
            self.journal
                .record(StatusId::SyncFailureAlert, None, inserts)
                .await;
        }
        for site in &plan.cancel {
            self.journal
                .record(
                    StatusId::SyncFailureAlertCanceled,
                    None,
                    vec![site.to_string()],
                )
                .await;
        }
        if plan.active == active {
            return Ok(());
        }
        let codes: Vec<String> = plan.active.iter().map(PointId::to_string).collect();
        let mut tx = self.store.begin().await?;
        tx.put_state(ACTIVE, codes.join(" ")).await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn report(site: &str, success: Option<i64>, failure: Option<i64>) -> SiteReport {
        let time = |second: i64| convert::from_timestamp(Timestamp::from_second(second).unwrap());
        SiteReport {
            site_code: site.to_owned(),
            last_success: success.map(time),
            last_failure: failure.map(time),
            last_error: "no way".to_owned(),
            ..SiteReport::default()
        }
    }

    #[test]
    fn a_site_is_told_once_when_it_fails_and_once_when_it_succeeds() {
        let code = |text: &str| text.parse::<PointId>().unwrap();
        let failing = [
            report("CAS", Some(1), None),
            report("PR1", Some(1), Some(2)),
            report("SE1", None, Some(1)),
        ];
        let first = plan(&BTreeSet::new(), &failing);
        let raised: Vec<_> = first.raise.iter().map(|(site, _)| *site).collect();
        assert_eq!(raised, [code("PR1"), code("SE1")]);
        assert_eq!(first.raise[0].1, "no way");
        let second = plan(&first.active, &failing);
        assert_eq!((second.raise.len(), second.cancel.len()), (0, 0));
        let well = [report("PR1", Some(3), Some(2))];
        let third = plan(&second.active, &well);
        // SE1 is gone.
        assert_eq!(third.cancel, [code("PR1"), code("SE1")]);
        assert!(third.active.is_empty());
    }
}
