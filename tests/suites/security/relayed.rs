//! Lies that a site handed on before it could know: the site below throws them away with it, and blames
//! nobody.

use crate::child::{Child, shown};
use crate::parent::{Offer, Parent};
use catalog::SiteKind;
use std::path::Path;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Alters a header of the answer, and lets the statement wait for `gate`.
fn altered(offer: &mut Offer, gate: &CancellationToken) {
    let mut changes = offer.batches.iter_mut().flatten();
    let change = changes.find(|change| !change.removed).unwrap();
    let mut header = change.header.to_vec();
    *header.last_mut().unwrap() ^= 1;
    change.header = header.into();
    offer.gate = Some(gate.clone());
}

/// What became of the lie at the site in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Afterwards {
    /// It compared within the same run, with a parent that tells the truth about its digests.
    Compared,
    /// Its run failed, and the next one brought the truth.
    PulledAgain,
}

async fn check(afterwards: Afterwards) {
    let parent = Parent::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let settings = |folder: &Path| parent.child_settings("PR1", folder);
    let primary = Child::start(settings, Some(listener)).await;
    let place = ("SE1", SiteKind::Secondary, "PR1");
    let settings = |folder: &Path| parent.settings_at(&url, place, folder);
    let secondary = Child::start(settings, None).await;
    for site in [&primary, &secondary] {
        site.reaches(parent.positions().verified).await;
    }
    let before = shown(&secondary.site.store).await;

    parent.publish().await;
    let gate = CancellationToken::new();
    let closed = gate.clone();
    parent.tell(Some(Arc::new(move |offer| altered(offer, &closed))));
    parent.request_sync();
    let target = parent.positions().verified;
    for site in [&primary, &secondary] {
        until("the lie was handed on", LONG, || {
            let positions = site.site.store.positions();
            let there = positions.head == target && positions.verified < target;
            std::future::ready(there.then_some(()).ok_or_else(|| format!("{positions:?}")))
        })
        .await;
    }
    assert!(shown(&secondary.site.store).await == before);
    if afterwards == Afterwards::Compared {
        parent.compare(None);
    }
    parent.tell(None);
    gate.cancel();
    for site in [&primary, &secondary] {
        site.reaches(target).await;
        assert!(shown(&site.site.store).await == shown(parent.store()).await);
    }
    let (refused, repaired) = match afterwards {
        Afterwards::Compared => (0, 1),
        Afterwards::PulledAgain => (1, 0),
    };
    assert_eq!(primary.messages(REFUSED).await.len(), refused);
    assert_eq!(primary.messages(REPAIRED).await.len(), repaired);
    // The site in the middle told no lie that it knew of, and took it back.
    assert_eq!(secondary.messages(REFUSED).await, [""; 0]);
    assert_eq!(secondary.messages(REPAIRED).await, [""; 0]);
}

const REFUSED: u32 = journal::StatusId::StatementRefused.number();
const REPAIRED: u32 = journal::StatusId::CatalogRepaired.number();

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_that_was_handed_on_and_repaired_is_thrown_away_below_too() {
    check(Afterwards::Compared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_that_was_handed_on_and_refused_is_thrown_away_below_too() {
    check(Afterwards::PulledAgain).await;
}
