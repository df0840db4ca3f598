//! Reports made up for tests.

use crate::Hierarchy;
use jiff::Timestamp;
use wire::convert;
use wire::v1::{RunReport, SiteReport};

/// A site that completed a run at second 100 and stands at position 10.
pub fn report(code: &str, kind: &str, parent: &str) -> SiteReport {
    SiteReport {
        site_code: code.into(),
        site_kind: kind.into(),
        parent: parent.into(),
        epoch: vec![7; 16],
        position: 10,
        verified_position: 10,
        root: vec![1; 32],
        items: 9,
        run: Some(run(1, "Completed")),
        last_success: Some(at(100)),
        reported: Some(at(100)),
        upstream: parent.into(),
        connected: true,
        version: "0.1.0".into(),
        ..SiteReport::default()
    }
}

/// A run that began 90 seconds after its number, in a state.
pub fn run(id: u8, state: &str) -> RunReport {
    let over = matches!(state, "Completed" | "Failed" | "Cancelled");
    RunReport {
        id: vec![id; 16],
        state: state.into(),
        started: Some(at(90 + i64::from(id))),
        finished: over.then(|| at(95 + i64::from(id))),
        ..RunReport::default()
    }
}

/// A second of 1970, as reports have it.
pub fn at(second: i64) -> prost_types::Timestamp {
    convert::from_timestamp(Timestamp::from_second(second).unwrap_or_default())
}

/// A central site, two primary sites and a secondary site below each.
pub fn three_tiers() -> Hierarchy {
    Hierarchy::new(vec![
        report("SE1", "secondary", "PR1"),
        report("SE2", "secondary", "PR2"),
        report("PR2", "primary", "CAS"),
        report("PR1", "primary", "CAS"),
        report("CAS", "central", ""),
    ])
}

impl Hierarchy {
    /// Exchanges the reports of some sites.
    pub fn absorb(&mut self, reports: Vec<SiteReport>) {
        let mut sites = std::mem::take(&mut self.sites);
        sites.extend(
            reports
                .into_iter()
                .map(|report| (report.site_code.clone(), report)),
        );
        *self = Self::new(sites.into_values().collect());
    }
}
