//! Where software update points are reached, as they say themselves. An address is a locator and no more: who
//! answers there is decided by the certificate.

use crate::dial;
use crate::reports::Reports;
use catalog::PointId;
use std::net::SocketAddr;
use wire::v1::PointAddress;

/// Longest address, in bytes.
pub const MAX_URL: usize = 256;
/// Addresses besides the parent's that a site is told, and remembers.
pub const MAX_OTHERS: usize = 8;

/// A software update point, and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Who has to answer.
    pub point: PointId,
    /// `https://host:port`
    pub url: String,
}

/// A text that is an address of bounded length which can be dialled.
pub fn usable(url: &str) -> bool {
    url.len() <= MAX_URL && !url.chars().any(char::is_control) && dial::host_and_port(url).is_ok()
}

/// The address that a site which listens on `listen` tells others, unless it was given one: `listen` itself,
/// or, where it listens on every address of the machine, the machine's name.
pub fn advertised(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("https://{}:{}", daemon::paths::host_name(), listen.port())
    } else {
        format!("https://{listen}")
    }
}

impl Address {
    /// What another site said, if it can be used.
    pub fn read(said: &PointAddress) -> Option<Self> {
        let point = said.site_code.parse().ok()?;
        usable(&said.url).then(|| Self {
            point,
            url: said.url.clone(),
        })
    }

    /// As it is told to others.
    pub fn to_wire(&self) -> PointAddress {
        PointAddress {
            site_code: self.point.to_string(),
            url: self.url.clone(),
        }
    }

    /// The address that a point reported of itself, if any.
    pub fn reported(reports: &Reports, point: PointId) -> Option<Self> {
        let report = reports.get(point)?;
        usable(&report.address).then_some(Self {
            point,
            url: report.address,
        })
    }
}

/// Whom the children of `here` may ask when it does not answer: its own parent, and the other points of its
/// site. `child` itself is left out.
pub(crate) fn others(
    here: PointId,
    child: PointId,
    parent: Option<Address>,
    reports: &Reports,
) -> Vec<Address> {
    let beside = reports.all().into_iter().filter_map(|report| {
        let point: PointId = report.site_code.parse().ok()?;
        let other = point.is_beside(here) && point != here && point != child;
        other.then(|| Address::reported(reports, point))?
    });
    parent.into_iter().chain(beside).take(MAX_OTHERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::SiteReport;

    #[test]
    fn an_address_that_listens_everywhere_is_told_by_the_name_of_the_machine() {
        let told = advertised("0.0.0.0:8540".parse().unwrap());
        assert_eq!(told, format!("https://{}:8540", daemon::paths::host_name()));
        assert_eq!(
            advertised("10.0.0.7:1".parse().unwrap()),
            "https://10.0.0.7:1"
        );
        assert_eq!(advertised("[::1]:1".parse().unwrap()), "https://[::1]:1");
    }

    #[test]
    fn what_cannot_be_dialled_is_no_address() {
        let said = |site_code: &str, url: String| PointAddress {
            site_code: site_code.into(),
            url,
        };
        assert!(Address::read(&said("PR1-2", "https://a:1".into())).is_some());
        for (code, url) in [
            ("PR1-1", "https://a:1".to_owned()),
            ("PR1", "http://a:1".to_owned()),
            ("PR1", format!("https://{}:1", "a".repeat(MAX_URL))),
            ("PR1", String::new()),
        ] {
            assert_eq!(Address::read(&said(code, url)), None);
        }
    }

    #[test]
    fn a_child_may_ask_the_parent_of_its_parent_and_the_points_beside_it() {
        let point = |text: &str| text.parse::<PointId>().unwrap();
        let reports = Reports::default();
        for code in ["PR1", "PR1-2", "PR1-3", "SE1", "PR2"] {
            let report = SiteReport {
                site_code: code.into(),
                address: format!("https://{}:1", code.to_lowercase()),
                ..SiteReport::default()
            };
            reports.put(point(code), report);
        }
        let parent = Address {
            point: point("CAS"),
            url: "https://cas:1".into(),
        };
        let told = others(point("PR1"), point("PR1-3"), Some(parent), &reports);
        let told: Vec<&str> = told.iter().map(|address| address.url.as_str()).collect();
        assert_eq!(told, ["https://cas:1", "https://pr1-2:1"]);
    }
}
