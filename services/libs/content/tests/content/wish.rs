//! What downstream servers wish for.

use super::support::{Site, update};
use content::source::Source;
use std::sync::Arc;
use store::content::{ContentState, PRIORITY_WISHED};
use testkit::patience::LONG;
use testkit::until;
use tokio_util::task::TaskTracker;

/// Downstream servers that ask at once.
const ASKED: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn however_often_files_are_asked_for_one_task_notes_it() {
    let none: Vec<Arc<dyn Source>> = Vec::new();
    let site = Site::new(none).await;
    let files: Vec<_> = (0..ASKED).map(|number| update(number, 10).0).collect();
    let mut tx = site.store.begin().await.unwrap();
    tx.name_content(&files).await.unwrap();
    tx.commit().await.unwrap();
    let tasks = TaskTracker::new();
    let wishes = site.content.wishes(&tasks);
    for file in &files {
        assert!(wishes(&[file.sha1]));
        assert!(tasks.len() <= 1, "{}", tasks.len());
    }
    until("all are noted", LONG, || async {
        let mut read = site.store.read().await.unwrap();
        for file in &files {
            let row = read.content(&file.sha1).await.unwrap();
            let row = row.ok_or_else(|| file.name.clone())?;
            assert_eq!(row.state, ContentState::Wanted);
            assert_eq!(row.priority, PRIORITY_WISHED);
        }
        tasks.is_empty().then_some(()).ok_or("a task".to_owned())
    })
    .await;
    // Asked for again within an hour, nothing is written.
    let all: Vec<[u8; 20]> = files.iter().map(|file| file.sha1).collect();
    assert!(wishes(&all));
    assert!(tasks.is_empty());
}
