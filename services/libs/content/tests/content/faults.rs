//! Origins that misbehave: what is right comes all the same where it can, and what is wrong never gets in.

use super::origin::{Fault, Origin};
use super::support::{Site, at, update};
use content::source::{HttpSource, Memory, Pieces, Source, SourceError};
use content::{CHUNK, ContentFile};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use std::ops::Range;
use std::sync::Arc;
use store::content::ContentState;
use testkit::patience::LONG;
use testkit::until;

/// A file that comes in spite of faults; how many bytes were sent.
async fn comes_in_spite_of(faults: impl IntoIterator<Item = Fault>) -> (u64, u64) {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    let faults: Vec<_> = faults.into_iter().collect();
    let cuts = faults
        .iter()
        .filter(|fault| matches!(fault, Fault::Cut(_)))
        .count();
    origin.fault("1", faults);
    let site = Site::top().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    let mut had = 0;
    for _ in 0..cuts {
        // What came so far is on the disk, all but a last bit.
        had = until("some of it came", LONG, || async {
            let now = site
                .content
                .files()
                .partial_length(file.id())
                .await
                .unwrap();
            (now >= had + 200_000)
                .then_some(now)
                .ok_or_else(|| now.to_string())
        })
        .await;
        origin.cut.add_permits(1);
    }
    site.until_done(1).await;
    site.check(&file, &bytes).await;
    (origin.bytes(), origin.requests())
}

/// A file that does not come at first, and why; it does when the faults are over.
async fn fails_at(faults: impl IntoIterator<Item = Fault>) -> String {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    origin.fault("1", faults);
    let site = Site::top().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("failing", |state| state.failing == 1).await;
    let row = site.row(&file).await;
    assert_eq!(row.present_since, None);
    assert!(!site.path(&file).exists());
    site.later();
    site.until_done(1).await;
    site.check(&file, &bytes).await;
    let row_now = site.row(&file).await;
    assert_eq!((row_now.attempts, row_now.last_error.as_str()), (0, ""));
    row.last_error
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_broken_off_goes_on_where_it_was() {
    let cuts = [
        Fault::Cut(300_000),
        Fault::Cut(270_000),
        Fault::Cut(300_000),
    ];
    let (sent, requests) = comes_in_spite_of(cuts).await;
    // What was on the way when it broke may be lost.
    assert!(sent <= 3_000_000 + 3 * CHUNK, "{sent}");
    assert!((5..=8).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_sends_all_of_it() {
    let (sent, requests) = comes_in_spite_of([Fault::NoRanges]).await;
    assert_eq!((sent, requests), (3_000_000, 1));
    // Broken off, and then without ranges: what is there goes by.
    let (sent, _) = comes_in_spite_of([Fault::Cut(500_000), Fault::NoRanges]).await;
    assert!(sent <= 3_500_000, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_meanwhile_begins_anew() {
    let (sent, _) = comes_in_spite_of([Fault::Cut(500_000), Fault::Replaced]).await;
    assert!(sent > 3_000_000, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_answers_stands_in_the_error() {
    for (faults, said) in [
        (vec![Fault::Status(404)], "404 Not Found"),
        (vec![Fault::Status(500)], "500 Internal Server Error"),
        (
            vec![Fault::TooLong],
            "announced 3000008 bytes, and the catalog says 3000000",
        ),
        (vec![Fault::Endless], "more than the catalog says"),
        (vec![Fault::OtherRange], "which nobody asked for"),
        (
            vec![Fault::EndlessPart],
            "it sent more than the part that was asked for",
        ),
        (
            vec![Fault::Fine, Fault::EndlessPart],
            "it sent more than the part that was asked for",
        ),
        (
            vec![Fault::Redirect("file:///etc/passwd".into())],
            "it answered 302 Found",
        ),
        (
            vec![Fault::Redirect("http://u:secret@127.0.0.1/".into())],
            "a user or password",
        ),
        (vec![Fault::Redirect("/1".into()); 6], "redirects too often"),
    ] {
        let error = fails_at(faults.clone()).await;
        assert!(error.contains(said), "{faults:?}: {error}");
        assert!(
            error.starts_with("127.0.0.1: ") && !error.contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn some_redirects_are_followed() {
    let (_, requests) = comes_in_spite_of(vec![Fault::Redirect("/1".into()); 5]).await;
    assert_eq!(requests, 3 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_none_is_not_asked() {
    for (url, said) in [
        (Some("ftp://127.0.0.1/a"), "neither http nor https"),
        (Some("http://user:secret@127.0.0.1/a"), "a user or password"),
        (Some("nothing"), "it is none"),
        (None, "the catalog has no address for it"),
    ] {
        let (file, _) = update(1, 10);
        let url = url.map(str::to_owned);
        let site = Site::top().await;
        site.begin();
        site.want(&[ContentFile {
            url,
            ..file.clone()
        }])
        .await;
        site.until("failing", |state| state.failing == 1).await;
        let error = site.row(&file).await.last_error;
        assert!(error.contains(said) && !error.contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_wrong_are_refused_and_fetched_again() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    origin.fault("1", [Fault::WrongBytes]);
    let site = Site::top().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("refused", |state| state.quarantined == 1).await;
    let row = site.row(&file).await;
    assert_eq!((row.state, row.had), (ContentState::Quarantined, 0));
    assert!(
        row.last_error.contains("its SHA-1 is"),
        "{}",
        row.last_error
    );
    assert!(!site.path(&file).exists());
    assert!(site.log().contains("ID=9103 "), "{}", site.log());
    site.later();
    site.until_done(1).await;
    site.check(&file, &bytes).await;
    // All of it came twice: nothing of the first time is used.
    assert_eq!(origin.bytes(), 6_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_in_the_middle_and_says_nothing_of_it_is_refused() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    // The same validator, and other bytes, for one part of three.
    origin.fault("1", [Fault::Fine, Fault::WrongBytes]);
    let site = Site::top().await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until("refused", |state| state.quarantined == 1).await;
    let row = site.row(&file).await;
    assert_eq!((row.state, row.had), (ContentState::Quarantined, 0));
    assert!(!site.path(&file).exists());
    site.later();
    site.until_done(1).await;
    site.check(&file, &bytes).await;
    assert_eq!(origin.bytes(), 6_000_000);
}

/// A source that has something else for every file.
#[derive(Debug)]
struct Rubbish;

impl Source for Rubbish {
    fn name(&self, _: &ContentFile) -> String {
        "rubbish".to_owned()
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
        let bytes = vec![0; usize::try_from(range.end - range.start).unwrap()];
        Box::pin(async { Ok(futures::stream::iter([Ok(bytes.into())]).boxed()) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_rubbish_from_one_source_the_next_one_is_asked_at_once() {
    let origin = Origin::start().await;
    let (file, bytes) = at(&origin, 1, 3_000_000);
    let site = Site::new(vec![
        Arc::new(Rubbish),
        Arc::new(HttpSource::new(None).unwrap()),
    ])
    .await;
    site.begin();
    site.want(std::slice::from_ref(&file)).await;
    site.until_done(1).await;
    site.check(&file, &bytes).await;
    assert_eq!(origin.bytes(), 3_000_000);
}
