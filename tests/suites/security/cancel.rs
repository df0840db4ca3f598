//! A run that is cancelled while sites are in the middle of it.

use crate::child::{Child, shown};
use crate::parent::Parent;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_ends_as_cancelled_and_a_later_one_completes() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    child.reaches(parent.positions().verified).await;
    let before = shown(&child.site.store).await;

    // The parent falls silent in the middle of the changes.
    parent.publish().await;
    parent.tell(Some(Arc::new(|offer| {
        offer.batches.truncate(1);
        offer.batches[0].truncate(4);
        offer.statement = None;
        offer.hangs = true;
    })));
    let run = parent.request_sync();
    until("the site is in the middle", LONG, || {
        let positions = child.site.store.positions();
        let middle = positions.head > positions.verified;
        std::future::ready(middle.then_some(()).ok_or_else(|| format!("{positions:?}")))
    })
    .await;
    parent.cancel(run);
    until("the run is cancelled", LONG, || {
        let run = child.site.engine.state().run.unwrap();
        let cancelled = run.state.name() == "Cancelled";
        std::future::ready(cancelled.then_some(()).ok_or_else(|| format!("{run:?}")))
    })
    .await;
    assert_eq!(child.site.engine.state().run.unwrap().id, run);
    assert!(shown(&child.site.store).await == before);
    assert_eq!(child.messages(9011).await.len(), 1);

    parent.tell(None);
    parent.request_sync();
    child.reaches(parent.positions().verified).await;
    assert!(shown(&child.site.store).await == shown(parent.store()).await);
}
