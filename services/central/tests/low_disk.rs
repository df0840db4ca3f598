//! A top-level site whose disk fills up: it says so once, however often it starts, and once when there is room.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use central::run::Central;
use central::settings::{Command, Settings};
use daemon::Ambient;
use daemon::disk::Room;
use link::settings::SiteFlags;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use testkit::patience::LONG;
use tokio_util::sync::CancellationToken;

const GIBIBYTE: u64 = 1 << 30;

/// A site on a disk with so much room.
async fn start(folder: &Path, free: u64) -> (Central, CancellationToken) {
    let command = Command {
        site: SiteFlags {
            site_code: Some("CAS".parse().unwrap()),
            data_dir: Some(folder.to_owned()),
            ..SiteFlags::default()
        },
        ..Command::default()
    };
    let settings = Settings::load(command).unwrap();
    let total = 100 * GIBIBYTE;
    let ambient = Ambient::system().with_disk(Arc::new(move |_| Some(Room { free, total })));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let run = central::run(&settings, listener, address, ambient, stop.clone());
    (Box::pin(run).await.unwrap(), stop)
}

/// The messages that have to do with disks, oldest first.
async fn told(central: &Central) -> Vec<u32> {
    let mut read = central.site.store.read().await.unwrap();
    let rows = read.status_messages(None, 100).await.unwrap();
    let ids = rows.iter().rev().map(|row| row.status_id);
    ids.filter(|id| [9024, 9068, 9069].contains(id)).collect()
}

async fn comes_to(central: &Central, expected: &[u32]) {
    let mut changes = central.alerts.watch();
    let waiting = tokio::time::timeout(LONG, async {
        loop {
            let mut now = told(central).await;
            now.sort_unstable();
            if now == expected {
                return;
            }
            // The message of the site itself is no alert.
            let soon = Duration::from_millis(100);
            drop(tokio::time::timeout(soon, changes.changed()).await);
        }
    });
    let waited = waiting.await;
    assert!(waited.is_ok(), "{:?}", told(central).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_disk_is_told_of_once_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (central, stop) = start(folder.path(), GIBIBYTE).await;
        comes_to(&central, &[9024, 9068]).await;
        let alerts = central.alerts.list(true, 10).await.unwrap();
        assert_eq!(alerts.len(), 1);
        let text =
            "only 1.0 GiB of 100.0 GiB are free on the disk of the data directory of site CAS";
        assert_eq!(alerts[0].text, text);
        stop.cancel();
        central.ended().await;
    }
    let (central, stop) = start(folder.path(), 50 * GIBIBYTE).await;
    comes_to(&central, &[9024, 9068, 9069]).await;
    assert_eq!(central.alerts.list(false, 10).await.unwrap(), []);
    stop.cancel();
    central.ended().await;
    // The next time is another one.
    let (central, stop) = start(folder.path(), GIBIBYTE).await;
    comes_to(&central, &[9024, 9024, 9068, 9068, 9069]).await;
    stop.cancel();
    central.ended().await;
}
