//! An upstream that is down.

use crate::documents::generate;
use crate::logs;
use cmtraceopen_parser::models::log_entry::Severity;
use testkit::hierarchy::{CENTRAL, UPSTREAM};
use testkit::patience::LONG;
use testkit::{Hierarchy, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_an_upstream_fails_in_red_and_is_tried_again_until_it_succeeds() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(generate(100)).await;
    hierarchy.central().await;
    hierarchy.join("PR1", "primary", CENTRAL).await;
    hierarchy.stop(UPSTREAM).await;
    let waited = hierarchy.run(&["sync", "start", "--wait", "--json"]);
    assert!(!waited.status.success(), "{waited:?}");

    hierarchy.message(CENTRAL, 6703, &["ServerSync"]).await;
    hierarchy
        .message(CENTRAL, 9012, &["will be tried again"])
        .await;
    let central = until("a further attempt is planned", LONG, || async {
        let central = hierarchy.site(CENTRAL).await?;
        let planned = central.next_attempt.is_some() && !central.last_error.is_empty();
        planned.then_some(central).ok_or("it is not".to_owned())
    })
    .await;
    assert_eq!(central.run.unwrap().state, "Failed");
    let status = hierarchy.run(&["status", "--check", "--json"]);
    assert_eq!(status.status.code(), Some(1), "{status:?}");
    let status: serde_json::Value = serde_json::from_str(&status.output).unwrap();
    assert_ne!(status["sites"][0]["last_error"], "");

    let log = hierarchy.log(CENTRAL);
    logs::check_order(
        &log,
        &[
            "Starting Sync",
            "Sync failed: ",
            "ID=6703 SEV=E",
            "Sync failed. Will retry in ",
        ],
    );
    let entries = logs::read(&log);
    let head = entries
        .iter()
        .find(|entry| entry.message.starts_with("Sync failed: "));
    assert_eq!(head.unwrap().severity, Severity::Error);
    let echo = entries
        .iter()
        .find(|entry| entry.message.contains("ID=6703"));
    assert_eq!(echo.unwrap().severity, Severity::Error);
    assert!(!logs::coloured(&entries).is_empty());

    // The upstream is back: nobody has to ask.
    hierarchy.start(UPSTREAM).await;
    let run = until("the central site succeeds", LONG, || async {
        let central = hierarchy.site(CENTRAL).await?;
        let run = central.run.ok_or("there is no run")?;
        (run.state == "Completed")
            .then_some(run.id)
            .ok_or(run.error)
    })
    .await;
    let central = hierarchy.converged(&run).await;
    assert!(central.last_error.is_empty() && central.next_attempt.is_none());
}
