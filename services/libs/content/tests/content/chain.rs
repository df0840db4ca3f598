//! Sites below one another, without a network between them.

use super::origin::Origin;
use super::support::{Site, at};
use bytes::Bytes;
use content::source::{Memory, Pieces, Source, SourceError};
use content::{CHUNK, Content, ContentFile, Error};
use futures::StreamExt as _;
use futures::future::BoxFuture;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A site as the source of those below it.
struct Above {
    content: Content,
    sent: Arc<AtomicU64>,
}

impl std::fmt::Debug for Above {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Above")
    }
}

impl Source for Above {
    fn name(&self, _: &ContentFile) -> String {
        "parent".to_owned()
    }

    fn may_have(&self, _: &ContentFile) -> bool {
        true
    }

    fn fetch<'a>(
        &'a self,
        file: &'a ContentFile,
        range: Range<u64>,
        _: &'a mut Memory,
    ) -> BoxFuture<'a, Result<Pieces, SourceError>> {
        Box::pin(async move {
            let length = range.end - range.start;
            let answer = self.content.hand_on(file.id(), range.start, length).await;
            match answer {
                Ok((size, bytes)) => {
                    assert_eq!(size, file.size);
                    self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
                    Ok(futures::stream::iter([Ok(bytes)]).boxed())
                }
                Err(Error::NotYet(_)) => Err(SourceError::NotYet("not yet".to_owned())),
                Err(error) => Err(SourceError::Refused(error.to_string())),
            }
        })
    }
}

fn below(site: &Site) -> (Vec<Arc<dyn Source>>, Arc<AtomicU64>) {
    let sent = Arc::new(AtomicU64::new(0));
    let above = Above {
        content: site.content.clone(),
        sent: Arc::clone(&sent),
    };
    (vec![Arc::new(above)], sent)
}

fn some(origin: &Origin, count: u64, size: usize) -> Vec<(ContentFile, Bytes)> {
    (1..=count).map(|number| at(origin, number, size)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_children_cost_the_origin_each_byte_once() {
    let origin = Origin::start().await;
    let files = some(&origin, 8, 2_500_000);
    let wanted: Vec<_> = files.iter().map(|(file, _)| file.clone()).collect();
    let parent = Site::top().await;
    // The parent's catalog names the files, and it needs none of them itself.
    let mut tx = parent.store.begin().await.unwrap();
    tx.name_content(&wanted).await.unwrap();
    tx.commit().await.unwrap();
    parent.begin();
    let mut children = Vec::new();
    for _ in 0..20 {
        let (sources, sent) = below(&parent);
        let child = Site::new(sources).await;
        child.begin();
        child.want(&wanted).await;
        children.push((child, sent));
    }
    for (child, sent) in &children {
        child.until_done(files.len()).await;
        for (file, bytes) in &files {
            child.check(file, bytes).await;
        }
        assert_eq!(sent.load(Ordering::SeqCst), 8 * 2_500_000);
    }
    assert_eq!(origin.bytes(), 8 * 2_500_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_gets_what_has_come_before_its_parent_has_all() {
    let origin = Origin::start().await;
    let files = some(&origin, 1, 3 << 20);
    let (file, bytes) = &files[0];
    let parent = Site::top().await;
    // Each part that the origin is asked for waits here.
    let gate = Arc::clone(&origin.gate);
    let closed = Arc::clone(&gate).write_owned().await;
    parent.begin();
    parent.want(std::slice::from_ref(file)).await;
    parent
        .until("under way", |state| state.under_way == 1)
        .await;
    let first = parent.content.hand_on(file.id(), 0, CHUNK);
    tokio::pin!(first);
    assert!(futures::poll!(&mut first).is_pending());
    drop(closed);
    let (size, came) = first.await.unwrap();
    assert_eq!(size, file.size);
    assert!(!came.is_empty() && bytes.starts_with(&came));
    parent.until_done(1).await;
    let refused = parent.content.hand_on(file.id(), file.size, 1).await;
    assert!(matches!(refused, Err(Error::Beyond(..))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_hands_on_nothing_that_it_does_not_know() {
    let site = Site::top().await;
    let (file, _) = super::support::update(1, 10);
    let refused = site.content.hand_on(file.id(), 0, 10).await;
    assert!(matches!(refused, Err(Error::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_went_missing_at_the_parent_is_fetched_again_for_a_child() {
    let origin = Origin::start().await;
    let files = some(&origin, 1, 2_000_000);
    let (file, bytes) = &files[0];
    let parent = Site::top().await;
    parent.begin();
    parent.want(std::slice::from_ref(file)).await;
    parent.until_done(1).await;
    std::fs::remove_file(parent.path(file)).unwrap();
    let (sources, _) = below(&parent);
    let child = Site::new(sources).await;
    child.begin();
    child.want(std::slice::from_ref(file)).await;
    // The first attempt finds out that it is gone.
    child.until("told so", |state| state.failing == 1).await;
    parent.until_done(1).await;
    child.later();
    child.until_done(1).await;
    child.check(file, bytes).await;
}
