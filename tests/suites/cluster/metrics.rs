//! What sites serve at `/metrics`: in good form, and true.

use crate::documents::generate;
use std::collections::{BTreeMap, BTreeSet};
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, promtool, until};

/// Units that numbers are shown in: base units, none of their multiples.
const UNITS: [&str; 2] = ["seconds", "bytes"];
/// Multiples, and short words for units.
const NO_UNITS: [&str; 10] = [
    "milliseconds",
    "ms",
    "minutes",
    "hours",
    "days",
    "kilobytes",
    "megabytes",
    "mb",
    "sec",
    "percent",
];
/// Labels that samples may have: each takes few values, or one for each site.
const LABELS: [&str; 6] = ["version", "outcome", "le", "kind", "state", "site"];

/// The metrics of a site that listens, as text.
pub async fn scrape(hierarchy: &Hierarchy, site: &str) -> String {
    let client = reqwest::Client::builder()
        .danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let url = format!("{}/metrics", hierarchy.url(site));
    let answer = client.get(url).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

/// The value of a sample.
pub fn value(text: &str, sample: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.rsplit_once(' ')
            .is_some_and(|(name, _)| name == sample)
    });
    line?.rsplit_once(' ')?.1.parse().ok()
}

/// What is wrong with the form of metrics.
fn findings(text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let mut help: BTreeMap<&str, &str> = BTreeMap::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut samples = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
            if !words.ends_with('.') || help.insert(name, words).is_some() {
                findings.push(format!("{name}: its HELP is no sentence, or there twice"));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            if types.insert(name, kind).is_some() {
                findings.push(format!("{name}: its TYPE is there twice"));
            }
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap_or((line, ""));
            if value.parse::<f64>().is_err() || !samples.insert(sample) {
                findings.push(format!("{sample}: {value:?} is no number, or there twice"));
            }
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            for label in labels.trim_end_matches('}').split(',') {
                let label = label.split('=').next().unwrap_or_default();
                if !label.is_empty() && !LABELS.contains(&label) {
                    findings.push(format!("{name}: the label {label} is not known here"));
                }
            }
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|family| types.get(family) == Some(&"histogram"))
                .unwrap_or(name);
            if !help.contains_key(family) || !types.contains_key(family) {
                findings.push(format!("{name}: it has no HELP or no TYPE"));
            }
        }
    }
    for (name, kind) in types {
        let words: Vec<&str> = name.split('_').collect();
        if words.first() != Some(&"headwater") || name.to_lowercase() != name {
            findings.push(format!(
                "{name}: a name begins with headwater_ and is lower case"
            ));
        }
        if (kind == "counter") != (words.last() == Some(&"total")) {
            findings.push(format!(
                "{name}: a counter, and nothing else, ends in _total"
            ));
        }
        if let Some(word) = words.iter().find(|word| NO_UNITS.contains(word)) {
            findings.push(format!("{name}: {word} is no base unit"));
        }
        let unit = words.iter().position(|word| UNITS.contains(word));
        let end = words.len() - usize::from(kind == "counter");
        if unit.is_some_and(|at| at + 1 != end) {
            findings.push(format!("{name}: the unit stands last"));
        }
        if words.contains(&"timestamp") && unit.is_none() {
            findings.push(format!("{name}: a timestamp is in seconds"));
        }
        if kind == "histogram" && unit.is_none() {
            findings.push(format!("{name}: a histogram has a unit"));
        }
    }
    findings
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_every_site_are_in_good_form_and_say_what_happened() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(150)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    let central = hierarchy.synchronize().await;
    let position = central.verified_position as f64;

    until(
        "the central site says that all are current",
        LONG,
        || async {
            let text = scrape(&hierarchy, CENTRAL).await;
            let current = value(&text, "headwater_sites{state=\"current\"}");
            (current == Some(3.0)).then_some(()).ok_or(text)
        },
    )
    .await;
    let [top, child] = [
        scrape(&hierarchy, CENTRAL).await,
        scrape(&hierarchy, "PR1").await,
    ];
    for text in [&top, &child] {
        assert_eq!(findings(text), Vec::<String>::new());
        let checked = promtool::check(&["metrics"], text).unwrap_or_default();
        assert_eq!(checked, "", "{text}");
        let is = |sample: &str| value(text, sample).unwrap_or(-1.0);
        assert_eq!(is("headwater_catalog_verified_position"), position);
        assert!(
            is("headwater_sync_runs_total{outcome=\"completed\"}") >= 1.0,
            "{text}"
        );
        assert_eq!(is("headwater_sync_runs_total{outcome=\"failed\"}"), 0.0);
        let count = is("headwater_sync_run_duration_seconds_count{outcome=\"completed\"}");
        assert_eq!(
            count,
            is("headwater_sync_runs_total{outcome=\"completed\"}")
        );
        assert!(is("headwater_sync_items_total") >= 150.0, "{text}");
        assert!(is("headwater_sync_bytes_total") > 10_000.0, "{text}");
        assert_eq!(is("headwater_link_children"), 1.0);
        assert_eq!(is("headwater_link_connected"), 1.0);
        assert!(is("headwater_pull_sent_bytes_total") > 10_000.0, "{text}");
        assert!(is("headwater_database_size_bytes") > 10_000.0, "{text}");
        assert!(is("headwater_database_wal_size_bytes") >= 0.0, "{text}");
        assert!(is("headwater_database_commits_total") > 5.0, "{text}");
        assert!(
            is("headwater_database_commit_seconds_total") > 0.0,
            "{text}"
        );
        assert!(
            is("headwater_certificate_expiry_timestamp_seconds") > 1e9,
            "{text}"
        );
    }
    assert_eq!(value(&top, "headwater_link_connections_total"), Some(0.0));
    assert_eq!(value(&child, "headwater_link_connections_total"), Some(1.0));
    let received = value(&child, "headwater_pull_received_bytes_total").unwrap();
    assert!(received > 10_000.0, "{child}");
    assert!(value(&child, "headwater_sync_bytes_total").unwrap() >= received);
    for site in [CENTRAL, "PR1", "SE1"] {
        let lag = format!("headwater_site_lag_positions{{site=\"{site}\"}}");
        assert_eq!(value(&top, &lag), Some(0.0), "{top}");
        assert_eq!(value(&child, &lag), None, "only the top-level site says it");
    }

    // A site that is away falls behind, and comes back.
    hierarchy.stop("SE1").await;
    hierarchy.evolve().await;
    let run = hierarchy.request_sync().await;
    hierarchy.converged_without(&run, &["SE1"]).await;
    until("the lag of SE1 is shown", LONG, || async {
        let text = scrape(&hierarchy, CENTRAL).await;
        let lag = value(&text, "headwater_site_lag_positions{site=\"SE1\"}");
        let offline = value(&text, "headwater_sites{state=\"offline\"}");
        let away = value(&text, "headwater_site_connected{site=\"SE1\"}");
        let shown = lag.is_some_and(|lag| lag > 0.0) && offline == Some(1.0) && away == Some(0.0);
        shown.then_some(()).ok_or(text)
    })
    .await;
}

#[test]
fn what_is_in_bad_form_is_found() {
    let good = "# HELP headwater_runs_total Runs.\n# TYPE headwater_runs_total counter\n\
                headwater_runs_total{outcome=\"failed\"} 1\n";
    assert_eq!(findings(good), Vec::<String>::new());
    for (bad, finding) in [
        (good.replace("Runs.", "Runs"), "is no sentence"),
        (
            good.replace("counter", "gauge"),
            "nothing else, ends in _total",
        ),
        (good.replace("_runs_total", "_runs"), "ends in _total"),
        (good.replace("_runs_", "_ms_"), "no base unit"),
        (
            good.replace("_runs_", "_bytes_sent_"),
            "the unit stands last",
        ),
        (
            good.replace("headwater_runs", "runs"),
            "begins with headwater_",
        ),
        (
            good.replace("outcome", "update"),
            "label update is not known",
        ),
        (good.replace("} 1", "} x"), "is no number"),
        (format!("{good}headwater_other 1\n"), "no HELP or no TYPE"),
        (
            good.replace("_runs_total", "_started_timestamp")
                .replace("counter", "gauge"),
            "in seconds",
        ),
    ] {
        let found = findings(&bad);
        assert!(
            found.iter().any(|found| found.contains(finding)),
            "{finding}: {found:?}"
        );
    }
}
