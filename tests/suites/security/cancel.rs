//! A run that is cancelled while sites are in the middle of it.

use crate::child::{Child, shown};
use crate::parent::Parent;
use catalog::SiteKind;
use std::path::Path;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_ends_so_at_every_site_and_a_later_one_completes() {
    let parent = Parent::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let settings = |folder: &Path| parent.child_settings("PR1", folder);
    let primary = Child::start(settings, Some(listener)).await;
    let place = ("SE1", SiteKind::Secondary, "PR1");
    let settings = |folder: &Path| parent.settings_at(&url, place, folder);
    let secondary = Child::start(settings, None).await;
    let sites = [&primary, &secondary];
    for site in sites {
        site.reaches(parent.positions().verified).await;
    }
    let before = shown(&primary.site.store).await;

    // The parent falls silent in the middle of the changes.
    parent.publish().await;
    parent.tell(Some(Arc::new(|offer| {
        offer.batches.truncate(1);
        offer.batches[0].truncate(4);
        offer.statement = None;
        offer.hangs = true;
    })));
    let run = parent.request_sync();
    for site in sites {
        until("the site is in the middle", LONG, || {
            let positions = site.site.store.positions();
            let middle = positions.head > positions.verified;
            std::future::ready(middle.then_some(()).ok_or_else(|| format!("{positions:?}")))
        })
        .await;
    }
    parent.cancel(run);
    for site in sites {
        until("the run is cancelled", LONG, || {
            let state = site.site.engine.state();
            let held = state.run.as_ref();
            let cancelled = held.is_some_and(|run| run.state.name() == "Cancelled");
            std::future::ready(cancelled.then_some(()).ok_or_else(|| format!("{state:?}")))
        })
        .await;
        assert_eq!(site.site.engine.state().run.unwrap().id, run);
        assert!(shown(&site.site.store).await == before);
        assert_eq!(site.messages(9011).await.len(), 1);
    }

    parent.tell(None);
    parent.request_sync();
    for site in sites {
        site.reaches(parent.positions().verified).await;
        assert!(shown(&site.site.store).await == shown(parent.store()).await);
    }
}
