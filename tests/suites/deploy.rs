//! What `deploy/` ships is usable: the settings files load, with every key that they show uncommented
//! too, and the units are what systemd takes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy")
        .join(name)
}

/// The file as it is, and with every key that is commented out put in force.
fn variants(name: &str) -> [String; 2] {
    let text = std::fs::read_to_string(deploy(name)).unwrap();
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| {
            let bare = line.trim_start_matches("# ");
            let is_key = bare
                .split_once(" = ")
                .is_some_and(|(key, _)| key.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'));
            if is_key { bare } else { line }
        })
        .collect();
    [text.clone(), uncommented.join("\n")]
}

/// Writes the variants with the files that they name, and loads each.
fn check(name: &str, load: impl Fn(PathBuf) -> anyhow::Result<()>) {
    for (number, text) in variants(name).into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display().to_string();
        let text = text.replace("/etc/headwater", &place);
        std::fs::write(
            directory.path().join("database-url"),
            "postgres://headwater@localhost/headwater\n",
        )
        .unwrap();
        let key = "aws_access_key_id = AKIA\naws_secret_access_key = secret\n";
        std::fs::write(directory.path().join("content-key"), key).unwrap();
        std::fs::write(directory.path().join("microsoft-root-2011.pem"), "").unwrap();
        std::fs::copy(
            deploy("first-settings.toml"),
            directory.path().join("first-settings.toml"),
        )
        .unwrap();
        let path = directory.path().join(name);
        std::fs::write(&path, &text).unwrap();
        if let Err(error) = load(path) {
            panic!("variant {number} of {name}: {error:#}\n{text}");
        }
    }
}

#[test]
fn the_settings_file_of_a_central_site_loads() {
    check("central.toml", |config| {
        let command = central::Command {
            site: link::settings::SiteFlags {
                config: Some(config),
                ..Default::default()
            },
            ..Default::default()
        };
        central::Settings::load(command).map(drop)
    });
}

#[test]
fn the_first_settings_make_sense() {
    let file = deploy("first-settings.toml");
    let first: settings::Settings = daemon::config::read(&file).unwrap();
    first.check().unwrap();
    assert!(
        first
            .schedule
            .describe()
            .contains("second Tuesday plus 1 day")
    );
}

#[test]
fn the_settings_file_of_a_child_site_loads() {
    check("agent.toml", |config| {
        let command = agent::Command {
            site: link::settings::SiteFlags {
                config: Some(config),
                ..Default::default()
            },
            ..Default::default()
        };
        agent::Settings::load(command).map(drop)
    });
}

#[test]
fn the_units_start_what_the_program_has() {
    for kind in ["central", "agent"] {
        let unit = std::fs::read_to_string(deploy(&format!("headwater-{kind}.service"))).unwrap();
        let start =
            format!("ExecStart=/usr/bin/headwater {kind} --config /etc/headwater/{kind}.toml");
        assert!(unit.contains(&start), "{unit}");
        for line in [
            "Type=notify",
            "NoNewPrivileges=true",
            "ProtectSystem=strict",
        ] {
            assert!(unit.contains(line), "{kind}: {line}");
        }
    }
}

#[test]
fn systemd_accepts_the_units() {
    let directory = tempfile::tempdir().unwrap();
    for kind in ["central", "agent"] {
        let name = format!("headwater-{kind}.service");
        // The program is not installed here, and neither is its user.
        let unit = std::fs::read_to_string(deploy(&name))
            .unwrap()
            .replace("/usr/bin/headwater", "/bin/true")
            .replace("User=headwater\nGroup=headwater\n", "");
        let path = directory.path().join(&name);
        std::fs::write(&path, unit).unwrap();
        let checked = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(&path)
            .output();
        let Ok(output) = checked else {
            testkit::skip::left_out("systemd-analyze is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains(&name), "{said}");
    }
}

/// The metrics that a central site serves, by name.
async fn served() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let command = central::Command {
        site: link::settings::SiteFlags {
            site_code: Some("CAS".parse().unwrap()),
            data_dir: Some(folder.path().to_owned()),
            ..Default::default()
        },
        ..Default::default()
    };
    let settings = central::Settings::load(command).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let ambient = daemon::Ambient::system();
    let run = central::run(&settings, listener, address, ambient, stop.clone());
    let central = Box::pin(run).await.unwrap();
    // Of each kind there is a number only while there is such an alert.
    let mut tx = central.site.store.begin().await.unwrap();
    let now = daemon::Clock::now(&daemon::SystemClock);
    let alert = store::alerts::AlertRow {
        id: uuid::Uuid::from_u128(7),
        kind: "of a later version".to_owned(),
        site: "CAS".parse().unwrap(),
        subject: String::new(),
        since: now,
        raised: Some(now),
        ended: None,
        status_id: 9060,
        inserts: Vec::new(),
        mark: String::new(),
        acknowledged: None,
    };
    tx.put_alert(&alert).await.unwrap();
    tx.commit().await.unwrap();
    let counted = daemon::Metrics::new().unwrap();
    sync::Tally::new(&counted).unwrap();
    let metrics = link::metrics::SiteMetrics::new(central.site.clone(), Arc::default(), counted);
    // What it says of its sites is there when it has reported of itself.
    let text = until("the central site reported", LONG, || async {
        let text = metrics.render().await.unwrap();
        let there = text.contains("headwater_site_certificate_expiry_timestamp_seconds{");
        there.then(|| text.clone()).ok_or(text)
    })
    .await;
    stop.cancel();
    central.ended().await;
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let name = |line: &str| line.split(['{', ' ']).next().unwrap().to_owned();
    samples.map(name).collect()
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c: char| !is_name(c))
        .filter(|word| word.starts_with("headwater_"))
        .map(str::to_owned)
        .collect()
}

/// What is in a dashboard's JSON, at any depth.
fn each<'v>(value: &'v Value, look: &mut dyn FnMut(&'v serde_json::Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            look(object);
            object.values().for_each(|value| each(value, look));
        }
        Value::Array(values) => values.iter().for_each(|value| each(value, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grafana_dashboard_asks_for_metrics_that_are_served() {
    let text = std::fs::read_to_string(deploy("grafana/headwater.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let served = served().await;
    let mut asked = BTreeSet::new();
    let mut sources = BTreeSet::new();
    each(&dashboard, &mut |object| {
        let expressions = ["expr", "definition"]
            .iter()
            .filter_map(|key| object.get(*key)?.as_str());
        asked.extend(expressions.flat_map(named));
        let source = object
            .get("datasource")
            .and_then(|source| source["uid"].as_str());
        sources.extend(source);
    });
    let missing: Vec<_> = asked.difference(&served).collect();
    assert!(missing.is_empty(), "{missing:?} of {served:?}");
    assert!(asked.len() >= 15, "{asked:?}");
    // It is bound to no installation.
    assert_eq!(sources, ["${datasource}", "-- Grafana --"].into());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!(variables[0]["type"], "datasource");
    assert_eq!(variables[0]["query"], "prometheus");

    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(
        ids.len(),
        panels.len(),
        "each panel has a number of its own"
    );
    for panel in panels {
        let place = &panel["gridPos"];
        let [x, w] = ["x", "w"].map(|side| place[side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let asks = panel["targets"]
            .as_array()
            .is_some_and(|targets| !targets.is_empty());
        assert!(asks || panel["type"] == "row", "{panel}");
    }
    // What one looks for on it.
    for part in [
        "headwater_sites",
        "headwater_site_lag_positions",
        "headwater_site_lag_seconds",
        "headwater_sync_runs_total",
        "headwater_sync_run_duration_seconds_bucket",
        "headwater_sync_items_total",
        "headwater_pull_received_bytes_total",
        "headwater_outbox_messages",
        "headwater_database_size_bytes",
        "headwater_alerts",
        "headwater_site_certificate_expiry_timestamp_seconds",
    ] {
        assert!(asked.contains(part), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_in_the_alert_rules_is_served() {
    let rules = std::fs::read_to_string(deploy("prometheus/headwater-alerts.yml")).unwrap();
    let rules = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let rules: Vec<&str> = rules.collect();
    let rules = rules.join("\n");
    let named = named(&rules);
    assert!(named.len() >= 8, "{named:?}");
    let served = served().await;
    let missing: Vec<_> = named.difference(&served).collect();
    assert!(missing.is_empty(), "{missing:?} of {served:?}");
    for kind in central::alerts::kind::Kind::ALL {
        let words: String = kind
            .name()
            .split('-')
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        assert!(
            rules.contains(&format!("alert: Headwater{words}\n")),
            "{words}"
        );
    }
    let file = deploy("prometheus/headwater-alerts.yml");
    let checked = testkit::promtool::check(&["rules", &file.display().to_string()], "");
    assert_eq!(checked.unwrap_or_default(), "");
}
