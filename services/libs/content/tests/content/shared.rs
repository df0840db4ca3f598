//! A content store that two sites share, and who may touch what while a file is brought.

use super::origin::Origin;
use super::support::{Site, at, update};
use content::source::{HttpSource, Source};
use content::{ContentStore, Limits};
use std::fs::{File, FileTimes};
use std::sync::Arc;
use std::time::Duration;
use testkit::patience::LONG;
use testkit::until;

fn http() -> Vec<Arc<dyn Source>> {
    vec![Arc::new(HttpSource::new(None).unwrap())]
}

fn folder() -> Arc<tempfile::TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_begins_leaves_the_files_that_another_one_is_bringing() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    let shared = folder();
    let place = ContentStore::Directory(shared.path().to_owned());
    let one = Site::keeping(folder(), &place, http()).await;
    one.content.set_limits(Limits {
        bytes_per_second: Some(1_000_000),
        ..Limits::default()
    });
    one.begin();
    one.want(std::slice::from_ref(&file)).await;
    until("some of it came", LONG, || async {
        let had = one.content.files().partial_length(file.id()).await.unwrap();
        (had > 0).then_some(()).ok_or_else(String::new)
    })
    .await;
    // What another site has of a file, and does not bring just now, is left as well, unless it lies there for long.
    let (resting, _) = update(2, 10);
    let (old, _) = update(3, 10);
    let partial =
        |file: &content::ContentFile| shared.path().join(".partial").join(file.id().to_string());
    for file in [&resting, &old] {
        std::fs::write(partial(file), "some").unwrap();
    }
    let opened = File::options().write(true).open(partial(&old)).unwrap();
    let written = opened.metadata().unwrap().modified().unwrap();
    let long_ago = written - Duration::from_secs(8 * 24 * 60 * 60);
    opened
        .set_times(FileTimes::new().set_modified(long_ago))
        .unwrap();
    drop(opened);

    let other = Site::keeping(folder(), &place, http()).await;
    other.begin();
    // It looks at what is left before it does anything else.
    until("the other one looked", LONG, || {
        let gone = !partial(&old).exists();
        std::future::ready(gone.then_some(()).ok_or_else(String::new))
    })
    .await;
    assert!(partial(&resting).exists());
    assert!(partial(&file).exists() || one.path_in(&shared, &file).exists());
    one.content.set_limits(Limits::default());
    one.until_done(1).await;
    assert!(std::fs::read(one.path_in(&shared, &file)).unwrap() == *bytes);
    assert_eq!(origin.bytes(), 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sites_with_one_store_fetch_a_file_once() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    let shared = folder();
    let place = ContentStore::Directory(shared.path().to_owned());
    let gate = Arc::clone(&origin.gate).write_owned().await;
    let one = Site::keeping(folder(), &place, http()).await;
    one.begin();
    one.want(std::slice::from_ref(&file)).await;
    until("it is asked for", LONG, || {
        let asked = origin.most_at_once() == 1;
        std::future::ready(asked.then_some(()).ok_or_else(String::new))
    })
    .await;
    let other = Site::keeping(folder(), &place, http()).await;
    other.begin();
    other.want(std::slice::from_ref(&file)).await;
    until("the other one leaves it for later", LONG, || async {
        let row = other.row(&file).await;
        let later = row.next_attempt > other.now();
        later.then_some(()).ok_or_else(|| format!("{row:?}"))
    })
    .await;
    drop(gate);
    let sites = [one, other];
    for site in &sites {
        // Who came second looks again after a while.
        until("it is there", LONG, || async {
            let there = site.row(&file).await.present_since.is_some();
            if !there {
                site.later();
            }
            there.then_some(()).ok_or_else(String::new)
        })
        .await;
        assert!(std::fs::read(site.path_in(&shared, &file)).unwrap() == *bytes);
    }
    assert_eq!(origin.bytes(), 3_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_claimed_until_the_table_says_that_it_came() {
    let origin = Origin::start().await;
    let (file, _) = at(&origin, 1, 100_000);
    let site = Site::top().await;
    let gate = Arc::clone(&origin.gate).write_owned().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("under way", |state| state.under_way == 1).await;
    // Nobody else can write into the table now.
    let tx = site.store.begin().await.unwrap();
    drop(gate);
    until("it lies in the store", LONG, || {
        let there = site.path(&file).exists();
        std::future::ready(there.then_some(()).ok_or_else(String::new))
    })
    .await;
    // Nobody can remove or fetch it in between, however long that takes.
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(site.content.files().claim(file.id()).is_none());
        assert!(site.row(&file).await.present_since.is_none());
    }
    drop(tx);
    site.until_done(1).await;
    until("the claim ends", LONG, || {
        let free = site.content.files().claim(file.id()).is_some();
        std::future::ready(free.then_some(()).ok_or_else(String::new))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_claims_to_be_larger_than_any_is_not_fetched_and_told_so() {
    let origin = Origin::start().await;
    let (small, bytes) = at(&origin, 1, 100_000);
    let site = Site::top().await;
    site.begin();
    let mut huge = Vec::new();
    for (number, size) in [(2, (1 << 40) + 1), (3, u64::MAX), (4, u64::MAX)] {
        let (file, _) = at(&origin, number, 10);
        huge.push(content::ContentFile { size, ..file });
    }
    let all: Vec<_> = huge.iter().cloned().chain([small.clone()]).collect();
    site.want(&all).await;
    let state = site
        .until("told so", |state| state.failing == 3 && state.files == 1)
        .await;
    // What never comes is not waited for.
    assert_eq!((state.files_to_go, state.bytes_to_go), (3, 0));
    site.check(&small, &bytes).await;
    for file in &huge {
        let row = site.row(file).await;
        let said = "files of more than 1099511627776 bytes are not fetched";
        assert!(row.last_error.contains(said), "{}", row.last_error);
    }
    assert_eq!(origin.bytes(), 100_000);
    // One of exactly the most is asked for.
    let (file, _) = at(&origin, 5, 10);
    let most = content::ContentFile {
        size: 1 << 40,
        ..file
    };
    site.want(std::slice::from_ref(&most)).await;
    until("it fails by itself", LONG, || async {
        let error = site.row(&most).await.last_error;
        let said = error.contains("the catalog says 1099511627776");
        said.then_some(()).ok_or(error)
    })
    .await;
}
