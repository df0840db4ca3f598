//! A disk that has little room left.

use super::origin::Origin;
use super::support::{Site, at};
use content::source::HttpSource;
use content::{CHUNK, ContentStore, Limits};
use daemon::disk::{LEFT_FREE, Room};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use testkit::patience::LONG;
use testkit::until;

const SIZE: usize = 3 * (1 << 20);

/// A site whose disk has so many bytes free as the number says.
async fn site(free: &Arc<AtomicU64>) -> Site {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let place = ContentStore::Directory(folder.path().join("WsusContent"));
    let told = Arc::clone(free);
    let disk: daemon::ambient::Disk = Arc::new(move |_| {
        Some(Room {
            free: told.load(Ordering::SeqCst),
            total: u64::MAX,
        })
    });
    let http = Arc::new(HttpSource::new(None).unwrap());
    Site::on_disk(folder, &place, vec![http], Some(disk)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_begun_for_which_the_disk_has_no_room_and_it_goes_on_by_itself() {
    let origin = Origin::start().await;
    let (large, large_bytes) = at(&origin, 1, SIZE);
    let (small, small_bytes) = at(&origin, 2, 1000);
    let free = Arc::new(AtomicU64::new(LEFT_FREE + SIZE as u64 - 1));
    let site = site(&free).await;
    site.begin();
    site.want(&[large.clone(), small.clone()]).await;
    let state = site
        .until("the small one there", |state| {
            state.files == 1 && !state.waits.is_empty()
        })
        .await;
    site.check(&small, &small_bytes).await;
    let place = site.folder.path().join("WsusContent");
    for part in [
        place.to_str().unwrap(),
        "514 MiB free",
        "3 MiB more",
        "512 MiB",
    ] {
        assert!(state.waits.contains(part), "{part}: {}", state.waits);
    }
    assert_eq!((state.failing, origin.requests()), (0, 1));
    assert_eq!(site.row(&large).await.attempts, 0);
    free.fetch_add(1, Ordering::SeqCst);
    site.until_done(2).await;
    site.check(&large, &large_bytes).await;
    assert_eq!(site.content.watch_state().borrow().waits, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_under_way_count_and_none_goes_on_beyond_a_chunk() {
    let origin = Origin::start().await;
    let (one, one_bytes) = at(&origin, 1, SIZE);
    let (other, other_bytes) = at(&origin, 2, SIZE);
    // Room for one of them, and held back before its first byte.
    let free = Arc::new(AtomicU64::new(LEFT_FREE + SIZE as u64));
    let gate = Arc::clone(&origin.gate).write_owned().await;
    let site = site(&free).await;
    site.content.set_limits(Limits {
        parallel: 2,
        ..Limits::default()
    });
    site.want(&[one.clone(), other.clone()]).await;
    site.begin();
    until("one is asked for", LONG, || async {
        let one = origin.most_at_once() == 1;
        one.then_some(()).ok_or_else(String::new)
    })
    .await;
    // Others fill the disk. What was asked for comes, and no more.
    free.store(LEFT_FREE - 1, Ordering::SeqCst);
    drop(gate);
    let state = site
        .until("waiting", |state| {
            state.under_way == 0 && state.waits.contains("no room")
        })
        .await;
    assert_eq!((state.failing, state.files), (0, 0));
    assert_eq!(origin.requests(), 1);
    let had = site.row(&one).await.had + site.row(&other).await.had;
    assert_eq!(had, CHUNK);
    free.store(u64::MAX, Ordering::SeqCst);
    site.later();
    site.until_done(2).await;
    site.check(&one, &one_bytes).await;
    site.check(&other, &other_bytes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_lies_there_already_needs_no_room() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, SIZE);
    let site = site(&Arc::default()).await;
    let path = site.path(&file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &bytes).unwrap();
    site.want(std::slice::from_ref(&file)).await;
    site.begin();
    until("it is known", LONG, || async {
        let there = site.row(&file).await.present_since.is_some();
        there.then_some(()).ok_or_else(String::new)
    })
    .await;
    assert_eq!(origin.requests(), 0);
}
