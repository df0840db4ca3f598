//! Sites, tokens and reports.

use super::support::*;
use catalog::{PointId, SiteKind};
use store::access::AccessTokenRow;
use store::authority::{JoinTokenRow, SiteRow};

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

fn site(text: &str) -> SiteRow {
    SiteRow {
        code: code(text),
        kind: SiteKind::Primary,
        parent: code("CAS"),
        former_parents: Vec::new(),
        joined: time(0),
        removed: None,
        key_hash: vec![1; 32],
    }
}

fn token(secret: u8, minute: i64) -> JoinTokenRow {
    JoinTokenRow {
        secret_hash: vec![secret; 32],
        site: code("PR1"),
        kind: SiteKind::Secondary,
        parent: code("PR2"),
        expires: time(minute),
        used: None,
        key_hash: None,
    }
}

pub async fn a_site_is_kept_as_it_was_written_last(place: &Place) {
    let store = place.store().await;
    let moved = SiteRow {
        kind: SiteKind::Secondary,
        parent: code("PR2"),
        former_parents: vec![code("CAS"), code("PR3-2")],
        joined: time(5),
        removed: Some(time(9)),
        key_hash: vec![],
        ..site("PR1")
    };
    let mut tx = store.begin().await.unwrap();
    // A second software update point is a row of its own.
    let second = SiteRow {
        parent: code("PR1"),
        ..site("PR1-2")
    };
    for row in [&site("SE1"), &second, &site("PR1"), &moved] {
        tx.put_site(row).await.unwrap();
    }
    assert_eq!(tx.site(code("PR1")).await.unwrap(), Some(moved.clone()));
    assert_eq!(tx.site(code("XXX")).await.unwrap(), None);
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let sites = read.sites().await.unwrap();
    assert_eq!(sites, [moved, second, site("SE1")]);
}

pub async fn a_join_token_remembers_its_use(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    tx.put_join_token(&token(1, 60)).await.unwrap();
    assert_eq!(tx.join_token(&[1; 32]).await.unwrap(), Some(token(1, 60)));
    assert_eq!(tx.join_token(&[2; 32]).await.unwrap(), None);
    let used = JoinTokenRow {
        used: Some(time(3)),
        key_hash: Some(vec![9; 32]),
        ..token(1, 60)
    };
    tx.put_join_token(&used).await.unwrap();
    assert_eq!(tx.join_token(&[1; 32]).await.unwrap(), Some(used));
}

pub async fn the_sites_below_a_site_are_those_that_were_not_removed(place: &Place) {
    let store = place.store().await;
    let below = |text: &str, parent: &str, removed: Option<i64>| SiteRow {
        parent: code(parent),
        removed: removed.map(time),
        ..site(text)
    };
    let mut tx = store.begin().await.unwrap();
    assert_eq!(tx.count_sites().await.unwrap(), 0);
    for row in [
        below("SE2", "PR1", None),
        below("SE1", "PR1", None),
        below("SE3", "PR1", Some(1)),
        below("SE4", "PR2", None),
    ] {
        tx.put_site(&row).await.unwrap();
    }
    assert_eq!(tx.count_sites().await.unwrap(), 4);
    let found = tx.sites_below(code("PR1")).await.unwrap();
    let expected = [below("SE1", "PR1", None), below("SE2", "PR1", None)];
    assert_eq!(found, expected);
}

pub async fn join_tokens_go_with_the_site_that_they_name(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (secret, site, parent) in [(1, "PR1", "CAS"), (2, "SE1", "PR1"), (3, "PR2", "CAS")] {
        let token = JoinTokenRow {
            site: code(site),
            parent: code(parent),
            ..token(secret, 60)
        };
        tx.put_join_token(&token).await.unwrap();
    }
    assert_eq!(tx.remove_join_tokens(code("PR1")).await.unwrap(), 2);
    assert_eq!(tx.join_token(&[1; 32]).await.unwrap(), None);
    assert_eq!(tx.join_token(&[2; 32]).await.unwrap(), None);
    assert!(tx.join_token(&[3; 32]).await.unwrap().is_some());
}

pub async fn expired_join_tokens_are_pruned(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (secret, minute) in [(1, 10), (2, 20), (3, 30)] {
        tx.put_join_token(&token(secret, minute)).await.unwrap();
    }
    assert_eq!(tx.prune_join_tokens(time(20)).await.unwrap(), 1);
    assert_eq!(tx.join_token(&[1; 32]).await.unwrap(), None);
    assert!(tx.join_token(&[2; 32]).await.unwrap().is_some());
}

pub async fn an_access_token_keeps_its_first_role(place: &Place) {
    let store = place.store().await;
    let token = |name: &str, role: &str| AccessTokenRow {
        expires: (role == "operator").then(|| time(9)),
        created_by: "someone".to_owned(),
        ..AccessTokenRow::new(name, role, time(0))
    };
    let mut tx = store.begin().await.unwrap();
    for role in ["viewer", "administrator"] {
        let token = token("wall", role);
        tx.put_access_token(&[4; 32], &token).await.unwrap();
    }
    let second = token("desk", "operator");
    tx.put_access_token(&[6; 32], &second).await.unwrap();
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    let found = read.access_token(&[4; 32]).await.unwrap();
    assert_eq!(found, Some(token("wall", "viewer")));
    assert_eq!(read.access_token(&[5; 32]).await.unwrap(), None);
    let all = read.access_tokens().await.unwrap();
    assert_eq!(all, [second, token("wall", "viewer")]);
    drop(read);
    let mut tx = store.begin().await.unwrap();
    let mut names = tx.access_token_names().await.unwrap();
    names.sort();
    assert_eq!(names, ["desk", "wall"]);
    assert_eq!(tx.remove_access_token("wall").await.unwrap(), 1);
    assert_eq!(tx.remove_access_token("wall").await.unwrap(), 0);
    tx.commit().await.unwrap();
    let mut read = store.read().await.unwrap();
    assert_eq!(read.access_token(&[4; 32]).await.unwrap(), None);
    assert!(read.access_token(&[6; 32]).await.unwrap().is_some());
}

pub async fn an_older_report_is_ignored(place: &Place) {
    let store = place.store().await;
    let mut tx = store.begin().await.unwrap();
    for (sequence, taken) in [(5, true), (5, false), (4, false), (6, true)] {
        let report = sequence.to_string().into_bytes();
        let put = tx.put_site_report(code("SE1"), sequence, report).await;
        assert_eq!(put.unwrap(), taken, "{sequence}");
    }
    tx.put_site_report(code("PR1"), 1, vec![]).await.unwrap();
    tx.commit().await.unwrap();
    let expected = [(code("PR1"), 1, vec![]), (code("SE1"), 6, b"6".to_vec())];
    let reports = async || store.read().await.unwrap().site_reports().await.unwrap();
    assert_eq!(reports().await, expected);
    let mut tx = store.begin().await.unwrap();
    tx.remove_site_report(code("SE1")).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(reports().await, expected[..1]);
}
