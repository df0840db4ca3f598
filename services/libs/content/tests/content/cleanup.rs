//! Cleaning up while files come.

use super::origin::Origin;
use super::support::{Site, at};
use content::ContentFile;
use content::cleanup::{Outcome, clean};
use daemon::Ambient;
use std::slice;
use std::sync::Arc;
use store::content::ContentSum;
use testkit::patience::LONG;
use testkit::until;

/// Cleans up what nothing needs now.
async fn cleaned(site: &Site) -> Outcome {
    let ambient = Ambient::seeded(Arc::clone(&site.clock) as _, 8);
    let done = clean(&site.store, &site.content, &ambient, 0, false).await;
    done.unwrap()
}

async fn unwant(site: &Site, files: &[&ContentFile]) {
    let files: Vec<[u8; 20]> = files.iter().map(|file| file.sha1).collect();
    let mut tx = site.store.begin().await.unwrap();
    tx.unwant_content(&files).await.unwrap();
    tx.commit().await.unwrap();
}

fn sum(files: u64, bytes: u64) -> ContentSum {
    ContentSum {
        files,
        bytes,
        had: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_download_what_nothing_needs_goes_and_what_comes_stays_until_it_is_there() {
    let origin = Origin::start().await;
    let [old, coming] = [1, 2].map(|number| at(&origin, number, 1000));
    let site = Site::top().await;
    site.begin();
    site.want(slice::from_ref(&old.0)).await;
    site.until_done(1).await;
    let gate = Arc::clone(&origin.gate).write_owned().await;
    site.want(slice::from_ref(&coming.0)).await;
    site.until("under way", |state| state.under_way == 1).await;
    unwant(&site, &[&old.0, &coming.0]).await;
    let outcome = Outcome {
        removed: sum(1, 1000),
        kept: sum(1, 0),
        busy: 1,
    };
    assert_eq!(cleaned(&site).await, outcome);
    assert!(!site.path(&old.0).exists());
    // It comes to its end undisturbed, and goes the next time.
    drop(gate);
    until("it is there", LONG, || async {
        let there = site.row(&coming.0).await.present_since.is_some();
        there.then_some(()).ok_or_else(String::new)
    })
    .await;
    site.check(&coming.0, &coming.1).await;
    until("it is let go", LONG, || async {
        let outcome = cleaned(&site).await;
        let gone = outcome.busy == 0 && outcome.removed == sum(1, 1000);
        gone.then_some(()).ok_or_else(|| format!("{outcome:?}"))
    })
    .await;
    assert!(!site.path(&coming.0).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_needed_again_meanwhile_is_not_counted_as_removed() {
    let origin = Origin::start().await;
    let files: Vec<_> = (1..=100).map(|number| at(&origin, number, 10)).collect();
    let mut files: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
    files.sort_by_key(|file| file.sha1);
    let site = Site::top().await;
    site.begin();
    site.want(&files).await;
    site.until_done(files.len()).await;
    // What is removed and needed again does not come back yet.
    let _gate = Arc::clone(&origin.gate).write_owned().await;
    unwant(&site, &files.iter().collect::<Vec<_>>()).await;
    // The clean-up begins with the first ones.
    let needed_again = async {
        for file in files.iter().rev() {
            site.want(slice::from_ref(file)).await;
        }
    };
    let (outcome, ()) = tokio::join!(cleaned(&site), needed_again);
    let gone = files.iter().filter(|file| !site.path(file).exists());
    let gone = gone.count() as u64;
    assert_eq!(outcome.removed, sum(gone, 10 * gone), "{outcome:?}");
    assert!(
        gone < files.len() as u64,
        "nothing was needed again in time"
    );
}
