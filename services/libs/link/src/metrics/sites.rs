//! What the top-level site knows of every site: who is current, and how far each is behind.

use daemon::metrics::{Metrics, MetricsError};
use hierarchy::{Behind, Hierarchy, State, time};
use wire::v1::SiteReport;

/// What a site can be, each one of them once.
const STATES: [&str; 5] = ["current", "behind", "differs", "never", "offline"];

fn state(hierarchy: &Hierarchy, site: &SiteReport) -> &'static str {
    match (hierarchy.state(site), hierarchy.behind(site)) {
        (State::Offline { .. }, _) => "offline",
        _ if site.verified_position == 0 && !hierarchy.is_top(site) => "never",
        (_, Behind::Current) => "current",
        (_, Behind::By { .. }) => "behind",
        (_, Behind::Differs) => "differs",
    }
}

/// Adds what there is to say of the sites of a hierarchy. Each has its code as a label: there are as many as the
/// hierarchy has software update points.
///
/// # Errors
/// When a metric is malformed.
pub(super) fn add(metrics: &Metrics, reports: Vec<SiteReport>) -> Result<(), MetricsError> {
    let hierarchy = Hierarchy::new(reports);
    let sites = metrics.gauges(
        "sites",
        "Sites of the hierarchy by what they are: current, behind, differs, never (synchronized) or offline; \
         at the top-level site alone.",
        &["state"],
    )?;
    for state in STATES {
        sites.with_label_values(&[state]).set(0);
    }
    let of_site = |name: &str, help: &str| metrics.gauges(name, help, &["site"]);
    let connected = of_site(
        "site_connected",
        "1 while the site and all between it and the top-level site are connected.",
    )?;
    let positions = of_site(
        "site_lag_positions",
        "Positions that the verified catalog of the site is behind that of the top-level site.",
    )?;
    let seconds = of_site(
        "site_lag_seconds",
        "How much older the catalog of the site is than that of the top-level site; 0 where it is not behind.",
    )?;
    let expiry = of_site(
        "site_certificate_expiry_timestamp_seconds",
        "End of the time for which the certificate of the site is valid, as UNIX time.",
    )?;
    for (_, site) in hierarchy.in_tree_order() {
        let label = [site.site_code.as_str()];
        let state = state(&hierarchy, site);
        sites.with_label_values(&[state]).inc();
        connected
            .with_label_values(&label)
            .set(i64::from(state != "offline"));
        let top = hierarchy.top().map_or(0, |top| top.verified_position);
        let (behind, age) = match hierarchy.behind(site) {
            Behind::Current => (0, Some(0)),
            Behind::By { positions, age } => (positions, age.map(|age| age.as_secs())),
            // None of what it holds counts here.
            Behind::Differs => (top, None),
        };
        positions
            .with_label_values(&label)
            .set(i64::try_from(behind).unwrap_or(i64::MAX));
        if let Some(age) = age {
            seconds.with_label_values(&label).set(age);
        }
        if let Some(expires) = time(site.certificate_expires.as_ref()) {
            expiry.with_label_values(&label).set(expires.as_second());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Timestamp;

    fn report(code: &str, parent: &str, position: u64) -> SiteReport {
        SiteReport {
            site_code: code.to_owned(),
            parent: parent.to_owned(),
            connected: true,
            epoch: vec![7; 16],
            verified_position: position,
            last_success: Some(Timestamp {
                seconds: i64::try_from(position).unwrap() * 60,
                nanos: 0,
            }),
            ..SiteReport::default()
        }
    }

    #[test]
    fn each_site_is_counted_once_and_its_lag_is_that_which_people_are_shown() {
        let other = SiteReport {
            epoch: vec![8; 16],
            ..report("PR4", "CAS", 9)
        };
        let away = SiteReport {
            connected: false,
            ..report("PR3", "CAS", 10)
        };
        let reports = vec![
            report("CAS", "", 10),
            report("PR1", "CAS", 10),
            report("PR2", "CAS", 7),
            away,
            report("SE3", "PR3", 10),
            other,
            report("PR5", "CAS", 0),
        ];
        let metrics = Metrics::new().unwrap();
        add(&metrics, reports).unwrap();
        let text = metrics.render().unwrap();
        for line in [
            "headwater_sites{state=\"current\"} 2",
            "headwater_sites{state=\"behind\"} 1",
            "headwater_sites{state=\"differs\"} 1",
            "headwater_sites{state=\"never\"} 1",
            "headwater_sites{state=\"offline\"} 2",
            "headwater_site_lag_positions{site=\"PR2\"} 3",
            "headwater_site_lag_seconds{site=\"PR2\"} 180",
            "headwater_site_lag_positions{site=\"PR4\"} 10",
            "headwater_site_lag_seconds{site=\"CAS\"} 0",
            "headwater_site_connected{site=\"SE3\"} 0",
            "headwater_site_connected{site=\"PR1\"} 1",
        ] {
            assert!(text.lines().any(|held| held == line), "{line}: {text}");
        }
    }
}
