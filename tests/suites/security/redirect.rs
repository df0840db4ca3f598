//! A parent that sends its child elsewhere. Only the site that is named is taken for the parent there, and only
//! when it says welcome.

use crate::child::Child;
use crate::parent::{Parent, code};
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;

/// Number of the message that says why the link is down.
const LINK_DOWN: u32 = 9009;
/// Number of the message that says that there is another parent.
const PARENT_CHANGED: u32 = 9036;

/// Sends a child to `named` at an address, and expects that the link then fails for a reason, and that the child is
/// back at its parent.
async fn check(parent: &Parent, child: &Child, named: &str, url: &str, why: &str) {
    let down = child.messages(LINK_DOWN).await.len();
    let ups = parent.attached().len();
    parent.send_elsewhere(child.site.code, named, url);
    until(&format!("{named} at {url} is refused"), LONG, || async {
        let messages = child.messages(LINK_DOWN).await;
        let told = messages[down..].iter();
        let told: Vec<&String> = told.filter(|text| text.contains(named)).collect();
        let refused = told.iter().any(|text| text.contains(why));
        refused.then_some(()).ok_or_else(|| format!("{told:?}"))
    })
    .await;
    until("the child is back", LONG, || {
        let back = (parent.attached().len() > ups).then_some(());
        std::future::ready(back.ok_or("it is not".to_owned()))
    })
    .await;
    let held = child.site.parent.borrow().clone().unwrap();
    assert_eq!(held.point, code("CAS"));
    assert!(child.messages(PARENT_CHANGED).await.is_empty());
    // It works with its parent as before.
    parent.publish().await;
    parent.request_sync();
    child.reaches(parent.positions().verified).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_sent_elsewhere_takes_nobody_for_its_parent_but_who_was_named() {
    let parent = Parent::start().await;
    let child = Child::start(|folder| parent.child_settings("PR1", folder), None).await;
    child.reaches(parent.positions().verified).await;
    let stranger = Parent::start().await;

    // Somebody of this hierarchy answers there, and is not who was named.
    let why = "site CAS answers at this address, not PR1-2";
    check(&parent, &child, "PR1-2", &parent.url(), why).await;
    // A site of another hierarchy is not even spoken to.
    let why = "is not the site that was dialled";
    check(&parent, &child, "PR1-3", &stranger.url(), why).await;
    assert_eq!(stranger.attached().len(), 0);
    // Nobody answers.
    let nobody = Arc::new(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://{}", nobody.local_addr().unwrap());
    drop(nobody);
    check(&parent, &child, "PR1-4", &url, "cannot reach").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_dialled_is_no_reason_to_leave() {
    let parent = Parent::start().await;
    let child = Child::start(|folder| parent.child_settings("PR1", folder), None).await;
    child.reaches(parent.positions().verified).await;
    let ups = parent.attached().len();
    for url in ["", "http://plain:1", "https://", "no address"] {
        parent.send_elsewhere(child.site.code, "PR1-2", url);
    }
    parent.publish().await;
    parent.request_sync();
    child.reaches(parent.positions().verified).await;
    assert_eq!(parent.attached().len(), ups);
    assert!(child.messages(LINK_DOWN).await.is_empty());
}
