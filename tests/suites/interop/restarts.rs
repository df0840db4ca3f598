//! What outlives a restart, and what a repaired catalog tells.

use crate::downstream::{Downstream, SERVES, chosen, everything, served, serving};
use catalog::UpdateId;
use catalog::document;
use std::collections::BTreeSet;
use testkit::hierarchy::CENTRAL;
use testkit::{Database, Hierarchy};
use wsus::fault::ErrorCode;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_anchors_outlive_a_restart() {
    let mut hierarchy = serving(60).await;
    let mut server = Downstream::of(&mut hierarchy, CENTRAL).await;
    let cookie = server.session().await.unwrap();
    let list = server.list(&cookie, everything(false, None)).await.unwrap();
    assert!(list.revisions.len() > 30);

    hierarchy.stop(CENTRAL).await;
    hierarchy.start(CENTRAL).await;
    server.url = Downstream::of(&mut hierarchy, CENTRAL).await.url;
    let delta = everything(false, Some(&list.anchor));
    // Before the first catalog a server is told to come back, and never to start again.
    let early = server.list(&cookie, delta.clone()).await;
    if let Err(fault) = early {
        assert_eq!(fault.code, ErrorCode::ServerBusy);
    }
    served(&mut hierarchy, CENTRAL).await;
    let nothing = server.list(&cookie, delta.clone()).await.unwrap();
    assert_eq!((nothing.revisions, &nothing.anchor), (vec![], &list.anchor));

    hierarchy.evolve().await;
    hierarchy.synchronize().await;
    served(&mut hierarchy, CENTRAL).await;
    let changed = server.list(&cookie, delta).await.unwrap();
    assert!(!changed.revisions.is_empty() && changed.revisions.len() < list.revisions.len());

    // Another list of servers counts at once: who is on it signs in again.
    hierarchy.stop(CENTRAL).await;
    let allowed = |launch: testkit::process::Launch| launch.with("--wsus-allow").with(&server.name);
    hierarchy.relaunch(CENTRAL, allowed).await;
    served(&mut hierarchy, CENTRAL).await;
    server.url = Downstream::of(&mut hierarchy, CENTRAL).await.url;
    let refused = server.list(&cookie, everything(true, None)).await;
    assert_eq!(refused.unwrap_err().code, ErrorCode::InvalidCookie);
    server.session().await.unwrap();
    server.name = "other.example".to_owned();
    let refused = server.session().await.unwrap_err();
    assert_eq!(refused.message, "accountName");
    hierarchy.message(CENTRAL, 9082, &["dss.example"]).await;
    hierarchy.message(CENTRAL, 9083, &["other.example"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repaired_catalog_tells_at_least_what_changed() {
    let mut hierarchy = Hierarchy::new();
    hierarchy.upstream(crate::downstream::generate(60)).await;
    hierarchy.central().await;
    hierarchy
        .join_with("PR1", "primary", CENTRAL, |launch| {
            launch.with(SERVES[0]).with(SERVES[1])
        })
        .await;
    hierarchy.synchronize().await;
    served(&mut hierarchy, "PR1").await;
    let mut server = Downstream::of(&mut hierarchy, "PR1").await;
    let cookie = server.session().await.unwrap();
    let whole = server.list(&cookie, everything(false, None)).await.unwrap();

    // A row is lost; the site finds it out, and takes it from its parent once more.
    hierarchy.stop("PR1").await;
    let lost = *whole.revisions.last().unwrap();
    let key = catalog::item::ItemKey::Revision(lost).to_bytes();
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let sql = format!("delete from item where key = x'{hex}'");
    Database::damage(&hierarchy.data_dir("PR1"), &sql).await;
    hierarchy.start("PR1").await;
    // It can be asked once it is connected.
    testkit::until("it is asked", testkit::patience::LONG, || async {
        let asked = hierarchy.run(&["site", "verify", "PR1"]);
        match asked.status.success() {
            true => Ok(()),
            false => Err(asked.errors),
        }
    })
    .await;
    hierarchy.message("PR1", 9015, &[]).await;
    served(&mut hierarchy, "PR1").await;
    server.url = Downstream::of(&mut hierarchy, "PR1").await.url;
    let anchored = everything(false, Some(&whole.anchor));
    let told = testkit::until("what was lost is told", testkit::patience::LONG, || {
        let (server, cookie, filter) = (&server, &cookie, anchored.clone());
        async move {
            let list = server.list(cookie, filter).await.unwrap();
            match list.revisions.contains(&lost) {
                true => Ok(list),
                false => Err(format!("{} revisions", list.revisions.len())),
            }
        }
    })
    .await;
    let all: BTreeSet<_> = whole.revisions.iter().collect();
    assert_eq!(told.revisions.iter().collect::<BTreeSet<_>>(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_listed_can_be_had_and_is_in_order() {
    let mut hierarchy = serving(150).await;
    let server = Downstream::of(&mut hierarchy, CENTRAL).await;
    let cookie = server.session().await.unwrap();
    let config = server.list(&cookie, everything(true, None)).await.unwrap();
    let updates = server.list(&cookie, everything(false, None)).await.unwrap();
    let mut seen: BTreeSet<UpdateId> = BTreeSet::new();
    let mut named = BTreeSet::new();
    let ids: Vec<_> = config.revisions.iter().chain(&updates.revisions).collect();
    let mut rest: Vec<_> = ids.iter().copied().copied().collect();
    while !rest.is_empty() {
        let asked = &rest[..rest.len().min(100)];
        let data = server.updates(&cookie, asked).await.unwrap();
        assert!(!data.updates.is_empty());
        for update in &data.updates {
            let parsed = document::parse(&update.document).unwrap();
            assert_eq!(parsed.id, update.id);
            // What is needed came before.
            for needed in parsed.prerequisite_ids() {
                assert!(seen.contains(&needed), "{} needs {needed}", update.id);
            }
            for member in parsed.bundled_revisions() {
                assert!(seen.contains(&member.update_id));
            }
            seen.insert(update.id.update_id);
            named.extend(parsed.category_clauses().flatten().copied());
            let digests = parsed.files.iter().map(|file| file.sha1.to_vec());
            for digest in digests {
                let urls = data.file_urls.iter().filter(|url| url.digest == digest);
                assert_eq!(urls.count(), 1, "a file has one address");
            }
        }
        let got = data.updates.len();
        rest.drain(..got);
    }
    // Only one of the lists selects nothing.
    let named: Vec<UpdateId> = named.into_iter().collect();
    let one = server.list(&cookie, chosen(&named, &[])).await.unwrap();
    assert!(one.revisions.is_empty());
    let both = server.list(&cookie, chosen(&named, &named)).await.unwrap();
    assert_eq!(both.revisions.len(), updates.revisions.len());
}
