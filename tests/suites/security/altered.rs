//! A parent that serves something else than what was signed. Nothing of it is shown, the message names
//! it, and the truth is taken as soon as it is told again.

use crate::child::{Child, shown};
use crate::lies::{Case, lies_in_changes, lies_in_statements};
use crate::parent::Parent;
use std::sync::Arc;
use testkit::patience::LONG;
use testkit::until;

/// Number of the message that says what was refused.
const STATEMENT_REFUSED: u32 = 9005;

async fn check(parent: &Parent, child: &Child, case: &Case) {
    let (before, position) = (shown(&child.site.store).await, child.site.store.positions());
    let refused = child.messages(STATEMENT_REFUSED).await.len();
    parent.tell(Some(Arc::clone(&case.lie)));
    parent.request_sync();
    until(&format!("{}: it is refused", case.name), LONG, || async {
        let messages = child.messages(STATEMENT_REFUSED).await;
        let new = &messages[refused..];
        // It asks again and again; each answer is refused for the same reason.
        match new {
            [] => Err("nothing was said yet".to_owned()),
            [message, ..] => {
                assert!(message.contains(case.says), "{}: {message}", case.name);
                assert!(message.contains("CAS"), "{}: {message}", case.name);
                Ok(())
            }
        }
    })
    .await;
    let after = child.site.store.positions();
    assert_eq!(after.verified, position.verified, "{}", case.name);
    assert_eq!(after.epoch, position.epoch, "{}", case.name);
    assert!(shown(&child.site.store).await == before, "{}", case.name);

    // The truth, without being asked for.
    parent.tell(None);
    child.reaches(parent.positions().verified).await;
    assert!(
        shown(&child.site.store).await == shown(parent.store()).await,
        "{}",
        case.name
    );
    let root = child.site.store.recompute_root().await.unwrap();
    assert_eq!(
        root,
        parent.store().recompute_root().await.unwrap(),
        "{}",
        case.name
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_altered_catalog_is_shown_and_the_truth_is_taken_afterwards() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    child.reaches(parent.positions().verified).await;
    for case in lies_in_changes() {
        parent.publish().await;
        check(&parent, &child, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_under_another_statement_is_shown_and_the_truth_is_taken_afterwards() {
    let parent = Parent::start().await;
    let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
    let child = Child::start(settings, None).await;
    child.reaches(parent.positions().verified).await;
    for _ in 0..2 {
        parent.publish().await;
        parent.request_sync();
        child.reaches(parent.positions().verified).await;
    }
    for number in 0..lies_in_statements(&parent).len() {
        parent.publish().await;
        // Made anew: they are of what was just published.
        check(&parent, &child, &lies_in_statements(&parent)[number]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_catalog_that_was_altered_leaves_a_site_empty_until_the_truth_comes() {
    let parent = Parent::start().await;
    parent.publish().await;
    parent.publish().await;
    let cases = lies_in_changes()
        .into_iter()
        .chain(lies_in_statements(&parent));
    // What is a lie only to somebody who has a catalog already.
    let known = |case: &Case| {
        let words = ["already verified", "another catalog", "removal that is"];
        let of_later = |word: &str| case.says.contains(word) || case.name.contains(word);
        words.iter().any(|word| of_later(word))
    };
    let cases = cases.filter(|case| !known(case));
    for case in cases.step_by(4) {
        parent.tell(Some(Arc::clone(&case.lie)));
        let settings = |folder: &std::path::Path| parent.child_settings("PR1", folder);
        let child = Child::start(settings, None).await;
        until(case.name, LONG, || async {
            let refused = child.messages(STATEMENT_REFUSED).await;
            let refused = refused.into_iter().next().ok_or("nothing was said yet")?;
            assert!(refused.contains(case.says), "{}: {refused}", case.name);
            Ok::<_, String>(())
        })
        .await;
        assert_eq!(shown(&child.site.store).await, [], "{}", case.name);
        parent.tell(None);
        child.reaches(parent.positions().verified).await;
        assert!(shown(&child.site.store).await == shown(parent.store()).await);
    }
}
