//! Sources that are slow, silent, or have a file not yet.

use super::origin::{Fault, Origin};
use super::support::{Site, at, update};
use content::source::{Memory, Pieces, Source, SourceError};
use content::{ContentFile, Limits, Patience};
use futures::future::BoxFuture;
use jiff::SignedDuration;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::content::ContentState;
use testkit::patience::LONG;
use testkit::until;

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_silent_is_given_up_and_asked_again() {
    let brief = Patience {
        silence: Duration::from_millis(200),
        ..Patience::default()
    };
    let slow = Patience {
        slowest_part: Duration::from_millis(500),
        ..Patience::default()
    };
    for (fault, patience, said) in [
        (Fault::Mute, brief, "it fell silent"),
        (Fault::Silent, brief, "it fell silent"),
        (Fault::Trickle, slow, "it is too slow"),
    ] {
        let origin = Origin::start().await;
        let (file, bytes) = at(&origin, 1, 3_000_000);
        // Some came, so it is asked again in the same attempt; not for ever.
        origin.fault("1", vec![fault.clone(); 30]);
        let site = Site::top().await;
        site.content.set_patience(patience);
        site.begin();
        site.want(std::slice::from_ref(&file)).await;
        site.until("given up", |state| state.failing == 1).await;
        let row = site.row(&file).await;
        assert!(
            row.last_error.contains(said),
            "{fault:?}: {}",
            row.last_error
        );
        assert!(!site.path(&file).exists());
        site.content.set_patience(Patience::default());
        origin.forgive("1");
        // What trickled in is not the file; it is found out at its end, and begun anew.
        until("it comes", LONG, || async {
            site.later();
            let there = site.row(&file).await.present_since.is_some();
            there.then_some(()).ok_or_else(String::new)
        })
        .await;
        site.check(&file, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_source_keeps_its_own_turn_and_no_other() {
    let origin = Origin::start().await;
    let files: Vec<_> = (1..=6).map(|number| at(&origin, number, 500_000)).collect();
    let wanted: Vec<_> = files.iter().map(|(file, _)| file.clone()).collect();
    origin.fault("1", [Fault::Silent]);
    let site = Site::top().await;
    site.content.set_limits(Limits {
        parallel: 2,
        ..Limits::default()
    });
    site.begin();
    site.want(&wanted).await;
    site.until("the others there", |state| {
        (state.files, state.under_way) == (5, 1)
    })
    .await;
    assert_eq!(site.row(&wanted[0]).await.present_since, None);
    origin.cut.add_permits(1);
    site.until_done(6).await;
    for (file, bytes) in &files {
        site.check(file, bytes).await;
    }
}

/// A source that has nothing yet.
#[derive(Debug, Default)]
struct Later {
    asked: Arc<AtomicU64>,
}

impl Source for Later {
    fn name(&self, _: &ContentFile) -> String {
        "parent".to_owned()
    }

    fn may_have(&self, _: &ContentFile) -> bool {
        true
    }

    fn fetch<'a>(
        &'a self,
        _: &'a ContentFile,
        _: Range<u64>,
        _: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Err(SourceError::NotYet("it has it not yet".to_owned())) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_file_not_yet_is_asked_less_and_less_often() {
    let (file, _) = update(1, 1000);
    let source = Later::default();
    let asked = Arc::clone(&source.asked);
    let site = Site::new(vec![Arc::new(source)]).await;
    let patience = Patience {
        not_yet: Duration::ZERO,
        ..Patience::default()
    };
    site.content.set_patience(patience);
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    let mut waits = Vec::new();
    for turn in 1..=8 {
        until("asked", LONG, || async {
            let row = site.row(&file).await;
            let done = asked.load(Ordering::SeqCst) == turn && row.next_attempt > site.now();
            done.then_some(()).ok_or_else(|| format!("{row:?}"))
        })
        .await;
        let row = site.row(&file).await;
        // It is no failure.
        assert_eq!((row.state, row.attempts), (ContentState::Wanted, 0));
        assert!(row.last_error.contains("not yet"), "{}", row.last_error);
        let wait = row.next_attempt.duration_since(site.now());
        waits.push(wait);
        site.clock.advance(wait + SignedDuration::from_millis(1));
        site.content.nudge();
    }
    let longest = SignedDuration::from_secs(5 * 60);
    assert!(waits[0] <= SignedDuration::from_secs(16), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= longest), "{waits:?}");
    assert!(waits[3] > waits[0] * 3, "{waits:?}");
    assert!(waits[7] > SignedDuration::from_secs(2 * 60), "{waits:?}");
    let state = site.content.watch_state().borrow().clone();
    assert_eq!((state.failing, state.quarantined), (0, 0));
    // Who asks by hand has all of it tried at once, and counts anew.
    until("asked again", LONG, || async {
        let count = asked.load(Ordering::SeqCst);
        (count > 8).then_some(()).ok_or_else(|| count.to_string())
    })
    .await;
    let before = asked.load(Ordering::SeqCst);
    let mut tx = site.store.begin().await.unwrap();
    tx.retry_content(site.now()).await.unwrap();
    tx.commit().await.unwrap();
    site.content.try_now();
    until("asked by hand", LONG, || async {
        let row = site.row(&file).await;
        let done = asked.load(Ordering::SeqCst) > before && row.next_attempt > site.now();
        done.then_some(()).ok_or_else(|| format!("{row:?}"))
    })
    .await;
    let wait = site
        .row(&file)
        .await
        .next_attempt
        .duration_since(site.now());
    assert!(wait <= SignedDuration::from_secs(16), "{wait}");
}

/// A source that cannot be asked until it can.
#[derive(Debug, Default)]
struct Away {
    back: std::sync::atomic::AtomicBool,
}

impl Source for Away {
    fn name(&self, _: &ContentFile) -> String {
        "parent".to_owned()
    }

    fn may_have(&self, _: &ContentFile) -> bool {
        true
    }

    fn fetch<'a>(
        &'a self,
        _: &'a ContentFile,
        range: Range<u64>,
        _: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>> {
        use futures::StreamExt as _;
        Box::pin(async move {
            if !self.back.load(Ordering::SeqCst) {
                return Err(SourceError::Away("it is away".to_owned()));
            }
            let (_, bytes) = update(1, 1000);
            let place = |place| usize::try_from(place).unwrap();
            let (first, end) = (place(range.start), place(range.end));
            Ok(futures::stream::iter([Ok(bytes.slice(first..end))]).boxed())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_by_hand_does_not_wait_for_a_pause_to_end() {
    let (file, bytes) = update(1, 1000);
    let source = Arc::new(Away::default());
    let site = Site::new(vec![Arc::clone(&source) as _]).await;
    // Longer than anybody waits here.
    site.content.set_patience(Patience {
        first_pause: Duration::from_secs(5 * 60),
        ..Patience::default()
    });
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("paused", |state| state.waits.contains("it is away"))
        .await;
    source.back.store(true, Ordering::SeqCst);
    site.content.try_now();
    site.until_done(1).await;
    site.check(&file, &bytes).await;
}
