//! Which sites a request to synchronize, or to cancel, is for. Pure.

use catalog::PointId;
use hierarchy::{Hierarchy, time};
use std::collections::BTreeSet;
use tonic::Status;
use wire::v1::SiteReport;

/// The sites that are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Meant {
    /// Those that are connected, all the way up.
    pub asked: Vec<String>,
    /// Those that are not.
    pub not_connected: Vec<String>,
}

impl Meant {
    /// Every site there is.
    pub fn all(reports: Vec<SiteReport>) -> Self {
        let hierarchy = Hierarchy::new(reports);
        let mut meant = Self::default();
        for (_, site) in hierarchy.in_tree_order() {
            meant.add(&hierarchy, site);
        }
        meant
    }

    /// A software update point, and with `subtree` all below it.
    ///
    /// # Errors
    /// When there is no such point, or it cannot be reached now.
    pub fn one(reports: Vec<SiteReport>, target: PointId, subtree: bool) -> Result<Self, Status> {
        let hierarchy = Hierarchy::new(reports);
        let Some(site) = hierarchy.site(target.as_str()) else {
            return Err(Status::not_found(format!(
                "there is no software update point {target} in this hierarchy: \"headwater status\" shows which there \
                 are"
            )));
        };
        if let Some(cut_off) = hierarchy.cut_off_at(site) {
            return Err(away(&hierarchy, target, cut_off));
        }
        let mut meant = Self::default();
        let mut below = BTreeSet::from([target.as_str()]);
        // Parents come before their children.
        for (_, site) in hierarchy.in_tree_order() {
            let is_target = site.site_code == target.as_str();
            if !(is_target || (subtree && below.contains(site.parent.as_str()))) {
                continue;
            }
            below.insert(&site.site_code);
            meant.add(&hierarchy, site);
        }
        Ok(meant)
    }

    fn add(&mut self, hierarchy: &Hierarchy, site: &SiteReport) {
        let list = match hierarchy.cut_off_at(site) {
            None => &mut self.asked,
            Some(_) => &mut self.not_connected,
        };
        list.push(site.site_code.clone());
    }

    /// How a message names whom a request is for.
    pub fn words(target: Option<PointId>, subtree: bool) -> String {
        match target {
            None => "every site".to_owned(),
            Some(target) if subtree => format!("{target} and the sites below it"),
            Some(target) => format!("{target} alone"),
        }
    }
}

/// A site that cannot be asked: since when, and what becomes of it.
fn away(hierarchy: &Hierarchy, target: PointId, cut_off: &str) -> Status {
    let report = hierarchy.site(cut_off);
    let since = match report.and_then(|report| time(report.reported.as_ref())) {
        Some(heard) => format!("was heard of last at {heard:.0}"),
        None => "was not heard of yet".to_owned(),
    };
    let who = match cut_off == target.as_str() {
        true => format!("site {target} is not connected and {since}"),
        false => {
            format!(
                "site {target} cannot be reached: {cut_off} above it is not connected and {since}"
            )
        }
    };
    Status::unavailable(format!(
        "{who}; when it is back, it catches up by itself, and nobody has to ask again"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::report;

    fn sites(away: &[&str]) -> Vec<SiteReport> {
        let tree = [
            ("CAS", "central", ""),
            ("PR1", "primary", "CAS"),
            ("PR2", "primary", "CAS"),
            ("SE1", "secondary", "PR1"),
            ("SE2", "secondary", "PR1"),
        ];
        let reports = tree.into_iter().map(|(code, kind, parent)| SiteReport {
            connected: !away.contains(&code),
            ..report(code, kind, parent)
        });
        reports.collect()
    }

    fn one(away: &[&str], target: &str, subtree: bool) -> Result<(String, String), String> {
        let meant = Meant::one(sites(away), target.parse().unwrap(), subtree);
        let meant = meant.map_err(|status| status.message().to_owned())?;
        Ok((meant.asked.join(" "), meant.not_connected.join(" ")))
    }

    #[test]
    fn a_site_alone_or_with_all_below_it_is_meant() {
        let said = |asked: &str, away: &str| Ok((asked.to_owned(), away.to_owned()));
        assert_eq!(one(&[], "PR1", false), said("PR1", ""));
        assert_eq!(one(&[], "PR1", true), said("PR1 SE1 SE2", ""));
        assert_eq!(one(&["SE2"], "PR1", true), said("PR1 SE1", "SE2"));
        assert_eq!(one(&[], "SE2", true), said("SE2", ""));
        assert_eq!(one(&[], "CAS", true), said("CAS PR1 SE1 SE2 PR2", ""));
        let all = Meant::all(sites(&["PR1"]));
        assert_eq!(all.asked, ["CAS", "PR2"]);
        assert_eq!(all.not_connected, ["PR1", "SE1", "SE2"]);
    }

    #[test]
    fn a_site_that_is_away_is_told_of_with_since_when() {
        assert_eq!(
            one(&["PR1"], "PR1", true).unwrap_err(),
            "site PR1 is not connected and was heard of last at 1970-01-01T00:01:40Z; when it is back, it catches up by \
             itself, and nobody has to ask again"
        );
        assert_eq!(
            one(&["PR1"], "SE1", false).unwrap_err(),
            "site SE1 cannot be reached: PR1 above it is not connected and was heard of last at 1970-01-01T00:01:40Z; \
             when it is back, it catches up by itself, and nobody has to ask again"
        );
        let unknown = one(&[], "PR9", false).unwrap_err();
        assert!(
            unknown.starts_with("there is no software update point PR9"),
            "{unknown}"
        );
    }
}
