//! Fetching what is wanted.

use super::origin::Origin;
use super::support::{Site, at, update};
use bytes::Bytes;
use content::files::Verdict;
use content::source::HttpSource;
use content::{CHUNK, ContentFile, Limits, Removal, Window};
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use store::content::ContentState;

/// Files that an origin has, and their bytes.
fn some(origin: &Origin, sizes: &[usize]) -> Vec<(ContentFile, Bytes)> {
    let files = (1..).zip(sizes);
    files
        .map(|(number, size)| at(origin, number, *size))
        .collect()
}

fn descriptions(files: &[(ContentFile, Bytes)]) -> Vec<ContentFile> {
    files.iter().map(|(file, _)| file.clone()).collect()
}

fn all_bytes(files: &[(ContentFile, Bytes)]) -> u64 {
    files.iter().map(|(file, _)| file.size).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_comes_once_and_is_verified() {
    let origin = Origin::start().await;
    let files = some(
        &origin,
        &[0, 1, 1000, 1 << 20, (1 << 20) + 1, 5_000_000, 77],
    );
    let site = Site::top().await;
    site.begin();
    site.want(&descriptions(&files)).await;
    site.until_done(files.len()).await;
    for (file, bytes) in &files {
        site.check(file, bytes).await;
    }
    assert_eq!(origin.bytes(), all_bytes(&files));
    // Wanted again, nothing is fetched again.
    site.want(&descriptions(&files)).await;
    site.until_done(files.len()).await;
    assert_eq!(origin.bytes(), all_bytes(&files));
    let log = site.log();
    let told = |id: u32| {
        let message =
            |line: &str| line.contains(&format!("ID={id} ")) && line.contains("ISTR0=\"7\"");
        log.lines().filter(|line| message(line)).count()
    };
    assert_eq!((told(9100), told(9101)), (1, 1), "{log}");
    let at_once = origin.counts.most_at_once.load(Ordering::SeqCst);
    assert!(at_once <= Limits::default().parallel, "{at_once}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_no_more_than_a_part_of_any_file_is_fetched_again() {
    let origin = Origin::start().await;
    let files = some(&origin, &[4_000_000; 6]);
    let http = || vec![Arc::new(HttpSource::new(None).unwrap()) as _];
    let mut site = Site::top().await;
    site.want(&descriptions(&files)).await;
    let slowly = Limits {
        bytes_per_second: Some(16_000_000),
        ..Limits::default()
    };
    let mut killed = 0;
    for share in [4, 2] {
        site.content.set_limits(slowly.clone());
        site.begin();
        let some = all_bytes(&files) / share;
        testkit::until("on its way", testkit::patience::LONG, || async {
            let came = origin.bytes();
            (came >= some).then_some(()).ok_or_else(|| came.to_string())
        })
        .await;
        site = Site::within(site.kill().await, http()).await;
        killed += 1;
        assert!(origin.bytes() < all_bytes(&files), "it was killed too late");
    }
    site.begin();
    site.until_done(files.len()).await;
    for (file, bytes) in &files {
        site.check(file, bytes).await;
    }
    let again = origin.bytes() - all_bytes(&files);
    let parallel = Limits::default().parallel as u64;
    assert!(
        again <= killed * parallel * CHUNK,
        "{again} bytes came again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_the_store_is_not_fetched() {
    let origin = Origin::start().await;
    let files = some(&origin, &[1000, 2000]);
    let site = Site::top().await;
    for (file, bytes) in &files {
        let path = site.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    // One of them was copied badly.
    std::fs::write(site.path(&files[1].0), vec![0; 2000]).unwrap();
    site.begin();
    site.want(&descriptions(&files)).await;
    site.until_done(2).await;
    assert_eq!(origin.bytes(), 2000);
    site.check(&files[1].0, &files[1].1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_went_bad_is_found_and_fetched_again() {
    let origin = Origin::start().await;
    let files = some(&origin, &[1000, 2000, 3000]);
    let site = Site::top().await;
    site.begin();
    site.want(&descriptions(&files)).await;
    site.until_done(3).await;
    std::fs::write(site.path(&files[0].0), vec![1; 1000]).unwrap();
    std::fs::remove_file(site.path(&files[1].0)).unwrap();
    let mut verdicts = Vec::new();
    for (file, _) in &files {
        let row = site.row(file).await;
        verdicts.push(site.content.verify(&row).await.unwrap().unwrap());
    }
    assert!(
        matches!(
            verdicts[..],
            [Verdict::Bad(_), Verdict::Missing, Verdict::Good]
        ),
        "{verdicts:?}"
    );
    site.until_done(3).await;
    let came = |file: &ContentFile| {
        let path = site.path(file);
        move || path.is_file()
    };
    let back = [came(&files[0].0), came(&files[1].0)];
    testkit::until("they are back", testkit::patience::LONG, || async {
        let there = back.iter().all(|there| there());
        there.then_some(()).ok_or_else(String::new)
    })
    .await;
    site.until_done(3).await;
    assert_eq!(origin.bytes(), 9000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_fetched_outside_the_time_for_it() {
    let origin = Origin::start().await;
    let files = some(&origin, &[1000]);
    let site = Site::top().await;
    // It is noon.
    let night = Limits {
        window: Some(Window {
            from: jiff::civil::time(22, 0, 0, 0),
            until: jiff::civil::time(6, 0, 0, 0),
            zone: TimeZone::UTC,
        }),
        ..Limits::default()
    };
    site.content.set_limits(night.clone());
    site.begin();
    site.want(&descriptions(&files)).await;
    let state = site.until("waiting", |state| !state.waits.is_empty()).await;
    assert!(
        state.waits.contains("2026-03-01T22:00:00Z"),
        "{}",
        state.waits
    );
    assert_eq!(origin.requests(), 0);
    site.content.set_limits(Limits {
        window: None,
        ..night
    });
    site.until_done(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_removed_while_it_is_fetched_or_needed() {
    let origin = Origin::start().await;
    let files = some(&origin, &[3_000_000]);
    let file = &files[0].0;
    let site = Site::top().await;
    let gate = Arc::clone(&origin.gate).write_owned().await;
    site.begin();
    site.want(&descriptions(&files)).await;
    site.until("under way", |state| state.under_way == 1).await;
    let unwant = || async {
        let mut tx = site.store.begin().await.unwrap();
        tx.unwant_content(&[file.sha1]).await.unwrap();
        tx.commit().await.unwrap();
    };
    let remove = || async { site.content.remove(file).await.unwrap() };
    unwant().await;
    assert_eq!(remove().await, Removal::Busy);
    drop(gate);
    testkit::until("it is there", testkit::patience::LONG, || async {
        let there = site.row(file).await.present_since.is_some();
        there.then_some(()).ok_or_else(String::new)
    })
    .await;
    assert_eq!(site.row(file).await.state, ContentState::Unneeded);
    site.want(&descriptions(&files)).await;
    assert_eq!(remove().await, Removal::NotUnneeded);
    assert_eq!(site.row(file).await.state, ContentState::Present);
    unwant().await;
    assert_eq!(remove().await, Removal::Removed);
    assert!(!site.path(file).exists());
    assert_eq!(remove().await, Removal::NotUnneeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_files_come_at_a_bounded_rate_the_state_and_the_log_say_when_they_are_there() {
    const RATE: u64 = 200_000;
    let origin = Origin::start().await;
    let files = some(&origin, &[2_000_000; 6]);
    let site = Site::top().await;
    site.content.set_limits(Limits {
        bytes_per_second: Some(RATE),
        ..Limits::default()
    });
    site.begin();
    site.want(&descriptions(&files)).await;
    let about = |rate: u64| (RATE / 2..=RATE * 2).contains(&rate);
    let is_told = |state: &link::content::ContentState| {
        state.done_at.is_some() && about(state.bytes_per_second)
    };
    let state = site.until("under way at that rate", is_told).await;
    let left = state.done_at.unwrap().duration_since(site.now()).as_secs();
    let expected = i64::try_from(state.bytes_to_go / state.bytes_per_second).unwrap();
    assert!((left - expected).abs() <= 1, "{left} seconds: {state:?}");
    assert!(state.bytes_to_go < all_bytes(&files), "{state:?}");
    // A line of the log says it every half minute.
    let line = testkit::until("the log says it", testkit::patience::LONG, || async {
        let log = site.log();
        let found = log.lines().find(|line| line.contains("bytes to go"));
        found.map(str::to_owned).ok_or(log)
    });
    let line = line.await;
    let (before, rest) = line.split_once(" bytes to go, ").unwrap();
    assert!(
        before.contains("sync: SMS synchronizing content, "),
        "{line}"
    );
    let (rate, left) = rest.split_once(" bytes/s, about ").unwrap();
    assert!(about(rate.parse().unwrap()), "{line}");
    let is_soon = left.starts_with("0d00h00m") && !left.starts_with("0d00h00m00s");
    assert!(is_soon, "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_for_goes_first() {
    let origin = Origin::start().await;
    let files = some(&origin, &[1_000_000; 12]);
    let site = Site::top().await;
    site.content.set_limits(Limits {
        parallel: 1,
        ..Limits::default()
    });
    let gate = Arc::clone(&origin.gate).write_owned().await;
    site.begin();
    site.want(&descriptions(&files)).await;
    site.until("under way", |state| state.under_way == 1).await;
    let mut order: Vec<_> = descriptions(&files);
    order.sort_by_key(|file| file.sha1);
    let last = order.last().unwrap();
    let (stranger, _) = update(99, 5);
    let unknown = site.content.ask(&[last.id(), stranger.id()]).await.unwrap();
    assert_eq!(unknown, [stranger.id()]);
    drop(gate);
    testkit::until("it is there", testkit::patience::LONG, || async {
        let there = site.row(last).await.present_since.is_some();
        there.then_some(()).ok_or_else(String::new)
    })
    .await;
    // One was under way, and another may have been taken up before.
    let order = origin.counts.order.lock().unwrap().clone();
    let number = last.url.as_ref().unwrap().rsplit('/').next().unwrap();
    let turn = order.iter().position(|path| path[1..] == *number);
    assert!(turn.is_some_and(|turn| turn <= 2), "{order:?}");
}
