//! What a site knows of itself and of the sites below it: the newest report of each.

use catalog::PointId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use wire::v1::SiteReport;

/// Steps from a site to the top that are followed.
const MOST_TIERS: usize = 8;

/// The newest report of every site that is known here. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    inner: Arc<Inner>,
}

struct Inner {
    reports: Mutex<BTreeMap<PointId, SiteReport>>,
    version: watch::Sender<u64>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            inner: Arc::new(Inner {
                reports: Mutex::new(BTreeMap::new()),
                version: watch::Sender::new(0),
            }),
        }
    }
}

impl Reports {
    fn reports(&self) -> MutexGuard<'_, BTreeMap<PointId, SiteReport>> {
        // Each change of the map is one insertion or removal.
        self.inner
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a report in, unless a newer one of its site is held. An equal one is taken: it says how
    /// the link to the site is now. Whether anything changed.
    pub fn put(&self, site: PointId, report: SiteReport) -> bool {
        let mut reports = self.reports();
        let changed = match reports.get(&site) {
            Some(held) => held.sequence <= report.sequence && *held != report,
            None => true,
        };
        if changed {
            reports.insert(site, report);
            drop(reports);
            self.inner.version.send_modify(|version| *version += 1);
        }
        changed
    }

    /// Notes that the link of a child of `here`, and with it to all sites below it, is down. One that has another
    /// parent by now is reached through that.
    pub fn disconnected(&self, here: PointId, site: PointId) {
        let mut reports = self.reports();
        let elsewhere = |report: &SiteReport| report.parent != here.as_str();
        if reports.get(&site).is_some_and(elsewhere) {
            return;
        }
        let mut lost = vec![site];
        while let Some(site) = lost.pop() {
            for (code, report) in reports.iter_mut() {
                let below = report.parent == site.as_str() && report.connected;
                if *code == site || below {
                    report.connected = false;
                }
                if below {
                    lost.push(*code);
                }
            }
        }
        drop(reports);
        self.inner.version.send_modify(|version| *version += 1);
    }

    /// Forgets a site.
    pub fn remove(&self, site: PointId) {
        if self.reports().remove(&site).is_some() {
            self.inner.version.send_modify(|version| *version += 1);
        }
    }

    /// The newest report of a site.
    pub fn get(&self, site: PointId) -> Option<SiteReport> {
        self.reports().get(&site).cloned()
    }

    /// The child of `here` through which a site is reached, as far as reports tell.
    pub fn child_towards(&self, here: PointId, site: PointId) -> Option<PointId> {
        let mut at = site;
        // A hierarchy has three tiers; more steps would be a loop.
        for _ in 0..MOST_TIERS {
            let report = self.get(at)?;
            if report.parent == here.as_str() {
                return Some(at);
            }
            at = report.parent.parse().ok()?;
        }
        None
    }

    /// The newest report of every site, by code.
    pub fn all(&self) -> Vec<SiteReport> {
        self.reports().values().cloned().collect()
    }

    /// Changes with every change of a report.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.version.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(site: &str, parent: &str, sequence: u64) -> SiteReport {
        SiteReport {
            site_code: site.to_owned(),
            parent: parent.to_owned(),
            sequence,
            connected: true,
            ..SiteReport::default()
        }
    }

    fn code(text: &str) -> PointId {
        text.parse().unwrap()
    }

    #[test]
    fn an_older_report_is_ignored() {
        let reports = Reports::default();
        assert!(reports.put(code("PR1"), report("PR1", "CAS", 5)));
        assert!(!reports.put(code("PR1"), report("PR1", "CAS", 4)));
        assert!(!reports.put(code("PR1"), report("PR1", "CAS", 5)));
        assert!(reports.put(code("PR1"), report("PR1", "CAS", 6)));
    }

    #[test]
    fn a_lost_link_takes_the_sites_below_with_it_until_they_report_again() {
        let reports = Reports::default();
        for (site, parent) in [("PR1", "CAS"), ("SE1", "PR1"), ("PR2", "CAS")] {
            reports.put(code(site), report(site, parent, 1));
        }
        reports.disconnected(code("PR2"), code("PR1"));
        assert!(
            reports.get(code("PR1")).unwrap().connected,
            "it is below CAS"
        );
        reports.disconnected(code("CAS"), code("PR1"));
        let connected = |site| reports.get(code(site)).unwrap().connected;
        assert!(!connected("PR1") && !connected("SE1") && connected("PR2"));
        assert!(reports.put(code("SE1"), report("SE1", "PR1", 1)));
        assert!(connected("SE1"));
    }

    #[test]
    fn a_site_is_reached_by_way_of_a_child() {
        let reports = Reports::default();
        for (site, parent) in [
            ("PR1", "CAS"),
            ("SE1", "PR1"),
            ("XX1", "XX2"),
            ("XX2", "XX1"),
        ] {
            reports.put(code(site), report(site, parent, 1));
        }
        let towards = |site| reports.child_towards(code("CAS"), code(site));
        assert_eq!(towards("PR1"), Some(code("PR1")));
        assert_eq!(towards("SE1"), Some(code("PR1")));
        assert_eq!((towards("XX1"), towards("SE9")), (None, None));
    }
}
