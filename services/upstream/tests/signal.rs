//! What a signal does to the running stand-in. In a process of its own, because signals concern them whole.

use daemon::{Clock, SystemClock};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upstream::generator::GeneratorSettings;
use upstream::{SourceSettings, UpstreamSettings, run};
use uuid::Uuid;
use wsus::client::{Client, ClientSettings};
use wsus::message::RevisionFilter;

/// How long the signal may take to have its effect.
const DEADLINE: Duration = Duration::from_secs(20);
/// Between two looks at whether it had.
const PAUSE: Duration = Duration::from_millis(10);

#[tokio::test]
async fn sigusr1_publishes_one_change() {
    let settings = UpstreamSettings {
        source: SourceSettings::Generate(GeneratorSettings {
            seed: 3,
            updates: 200,
        }),
        evolve: None,
        evolve_percent: 5.0,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let server = tasks.spawn(run(settings, listener, shutdown.clone()));
    let client = Client::new(ClientSettings {
        url,
        account_name: "wsus.example".to_owned(),
        account_guid: Uuid::from_u128(7),
        ca_file_pem: None,
        account: None,
        proxy: None,
        timeout: ClientSettings::TIMEOUT,
        parallel_requests: 1,
        clock: Arc::new(|| SystemClock.now()),
    });
    let client = client.unwrap();
    let mut filter = RevisionFilter::default();
    // Once it answers, it is ready for the signal.
    let first = client.revision_list(&filter).await.unwrap();
    assert_eq!(first.revisions.len(), 200);
    filter.anchor = Some(first.anchor);

    let process = std::process::id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-USR1", &process])
        .status();
    assert!(kill.unwrap().success());
    let deadline = Instant::now() + DEADLINE;
    let delta = loop {
        let delta = client.revision_list(&filter).await.unwrap();
        if !delta.revisions.is_empty() {
            break delta;
        }
        assert!(Instant::now() < deadline, "the signal changed nothing");
        sleep(PAUSE).await;
    };
    // Five percent of 200 are ten revisions; members of revised bundles come along.
    assert!(
        (10..40).contains(&delta.revisions.len()),
        "{}",
        delta.revisions.len()
    );
    shutdown.cancel();
    server.await.unwrap().unwrap();
}
