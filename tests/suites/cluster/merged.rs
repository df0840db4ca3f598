//! The merged log of the top-level site: what every site said, each message once, with the time at which it happened.

use crate::documents::generate;
use cmtraceopen_parser::models::log_entry::LogFormat;
use cmtraceopen_parser::parser::parse_content;
use serde_json::Value;
use std::collections::BTreeMap;
use testkit::hierarchy::CENTRAL;
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

/// The lines of a file in the central site's folder of logs.
fn lines(hierarchy: &Hierarchy, name: &str) -> Vec<String> {
    let path = hierarchy.data_dir(CENTRAL).join("logs").join(name);
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Every message that the central site holds, as it is listed.
fn listed(hierarchy: &Hierarchy) -> Vec<Value> {
    let list = hierarchy.run(&["message", "list", "--limit", "5000", "--json"]);
    list.json()["messages"].as_array().unwrap().clone()
}

/// Waits until every message stands in the merged log once, in both forms, and nothing else does.
async fn check_whole(hierarchy: &Hierarchy) -> Vec<Value> {
    until("every message is in the merged log once", LONG, || async {
        let mut expected: BTreeMap<(String, jiff::Timestamp, String), i32> = BTreeMap::new();
        let messages = listed(hierarchy);
        for message in &messages {
            let text = |key: &str| message[key].as_str().unwrap().to_owned();
            let key = (
                text("site_code"),
                text("time").parse().unwrap(),
                text("text"),
            );
            *expected.entry(key).or_default() += 1;
        }
        let json = lines(hierarchy, "hierarchy.jsonl");
        for line in &json {
            let object: Value = serde_json::from_str(line).unwrap();
            let text = |key: &str| object[key].as_str().unwrap().to_owned();
            let key = (text("site"), text("time").parse().unwrap(), text("text"));
            *expected.entry(key).or_default() -= 1;
        }
        expected.retain(|_, count| *count != 0);
        if !expected.is_empty() {
            return Err(format!("{expected:#?}"));
        }
        let log = lines(hierarchy, "hierarchy.log");
        (log.len() == json.len())
            .then_some(messages)
            .ok_or_else(|| format!("{} lines and {} objects", log.len(), json.len()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sites_messages_are_in_one_log_once_also_after_a_kill() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(60)).await;
    hierarchy
        .central_with(|launch| launch.with("--json-log"))
        .await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.join("SE1", "secondary", "PR1").await;
    hierarchy.synchronize().await;
    let messages = check_whole(&hierarchy).await;

    // The time is that of the site, and viewers show the site.
    let done = |message: &&Value| message["site_code"] == "SE1" && message["status_id"] == 6702;
    let done = messages.iter().find(done).unwrap();
    let time: jiff::Timestamp = done["time"].as_str().unwrap().parse().unwrap();
    let stamp = time
        .strftime("<SE1><%m-%d-%Y %H:%M:%S.%3f+000>")
        .to_string();
    let log = lines(&hierarchy, "hierarchy.log");
    let line = log
        .iter()
        .find(|line| line.contains(&stamp) && line.contains(" 6702: "));
    let line = line.unwrap_or_else(|| panic!("{stamp} is not in {log:#?}"));
    assert!(
        line.starts_with("Information 6702: synchronization succeeded  $$<"),
        "{line}"
    );
    let text = log.join("\r\n") + "\r\n";
    let (read, _) = parse_content(&text, "hierarchy.log", text.len() as u64);
    assert_eq!((read.parse_errors, read.entries.len()), (0, log.len()));
    assert!(
        read.entries
            .iter()
            .all(|entry| entry.format == LogFormat::Simple)
    );
    let of = |site: &str| {
        let entries = read.entries.iter();
        entries
            .filter(|entry| entry.component.as_deref() == Some(site))
            .count()
    };
    assert!(of(CENTRAL) > 0 && of("PR1") > 0 && of("SE1") > 0);
    // Its own log is beside it as JSON, too.
    assert!(!lines(&hierarchy, "wsyncmgr.jsonl").is_empty());

    // Killed in the middle of things: what arrived is there once.
    hierarchy.request_sync().await;
    hierarchy.kill(CENTRAL);
    hierarchy.start(CENTRAL).await;
    hierarchy.synchronize().await;
    check_whole(&hierarchy).await;

    // The verb shows the same lines, chosen by the site.
    let shown = hierarchy.run(&[
        "log",
        "--all",
        "--site",
        "se1",
        "--text",
        "SUCCEEDED",
        "--last",
        "1",
    ]);
    let shown = shown.good();
    let newest = lines(&hierarchy, "hierarchy.log");
    let newest = newest
        .iter()
        .rfind(|line| line.contains("$$<SE1>") && line.contains("6702"));
    assert_eq!(shown.trim(), newest.unwrap());
    let refused = hierarchy.run_at("PR1", &["log", "--all", "--follow"]);
    refused.refused("the merged log is there");
    let warnings = hierarchy.run(&[
        "log",
        "--all",
        "--severity",
        "error",
        "--since",
        "1m",
        "--json",
    ]);
    let site = |line: &str| serde_json::from_str::<Value>(line).unwrap()["site_code"].clone();
    for line in warnings.good().lines() {
        assert!(!site(line).as_str().unwrap().is_empty(), "{line}");
    }
}
