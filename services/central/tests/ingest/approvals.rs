//! What is decided by itself about updates that arrive, and what people may decide.

use crate::fixture::{Fixture, everything, fixture};
use catalog::approval::{Approval, Cause, Record};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::well_known::{CRITICAL_UPDATES, SECURITY_UPDATES};
use catalog::{RevisionId, UpdateId};
use central::approvals::{Verdict, Wanted};
use jiff::Timestamp;
use settings::document::{ApprovalRule, Approvals, RuleApproval};
use std::collections::{BTreeMap, BTreeSet};
use wsus::server::Source as _;

const UPDATES: u32 = 300;
const INSTALL: Approval = Approval::Install { deadline: None };

/// What the verified catalog says was decided.
async fn decided(site: &Fixture) -> BTreeMap<UpdateId, Record> {
    let mut read = site.store.read().await.unwrap();
    let rows = read.approvals_after(0, 100_000).await.unwrap();
    let record = |bytes: &[u8]| Record::from_bytes(bytes).unwrap();
    rows.iter()
        .map(|(_, id, bytes)| (*id, record(bytes)))
        .collect()
}

/// The newest revision of each update that an administrator decides about.
async fn newest(site: &Fixture) -> BTreeMap<UpdateId, (RevisionId, RevisionHeader)> {
    let held = site.held().await;
    let mut newest = BTreeMap::new();
    for (id, row) in held {
        let header = RevisionHeader::from_bytes(&row.header).unwrap();
        if header.explicitly_deployable && !header.is_configuration() {
            newest.insert(id.update_id, (id, header));
        }
    }
    newest
}

fn is_security(header: &RevisionHeader) -> bool {
    let wanted = [CRITICAL_UPDATES.id, SECURITY_UPDATES.id];
    header.categories.iter().any(|id| wanted.contains(id))
}

/// Whether the supersedence rules expired it.
async fn is_flagged(site: &Fixture, id: UpdateId) -> bool {
    let mut read = site.store.read().await.unwrap();
    let flags = read.contents(&[ItemKey::Expiry(id)]).await.unwrap();
    !flags.is_empty()
}

/// Whether a rule may approve it, as its published text says.
async fn approvable(site: &Fixture, revision: RevisionId) -> bool {
    let mut found = site.source.catalog.updates(&[revision]).await.unwrap();
    let text = found.pop().unwrap().unwrap().document;
    // What the supersedence rules expired as it came is decided about by nobody.
    let is_flagged = is_flagged(site, revision.update_id).await;
    !is_flagged && !text.contains("EulaID=") && !text.contains("PublicationState=\"Expired\"")
}

fn rule(approval: RuleApproval) -> ApprovalRule {
    ApprovalRule {
        approval,
        ..ApprovalRule::default()
    }
}

fn rules(rules: &[(&str, ApprovalRule)]) -> Approvals {
    Approvals {
        rules: rules
            .iter()
            .map(|(name, rule)| ((*name).to_owned(), rule.clone()))
            .collect(),
        ..Approvals::default()
    }
}

/// Decides as Anna about one update.
async fn decide(site: &Fixture, id: UpdateId, approval: Approval, accept_licence: bool) -> Verdict {
    let wanted = Wanted {
        approval: Some(approval),
        accept_licence,
    };
    let decided = site.decisions.decide("anna", &[id], wanted, false).await;
    decided.unwrap().verdicts.pop().unwrap().1
}

async fn messages(site: &Fixture, id: u32) -> Vec<Vec<String>> {
    let mut read = site.store.read().await.unwrap();
    let rows = read.status_messages(None, 1000).await.unwrap();
    let rows = rows.into_iter().filter(|row| row.status_id == id);
    rows.map(|row| row.inserts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn critical_and_security_updates_are_approved_for_detection_by_default() {
    let site = fixture(UPDATES).await;
    site.decide_by_itself(Approvals::default());
    site.complete(false).await;
    let decided = decided(&site).await;
    let mut expected = BTreeSet::new();
    for (id, (revision, header)) in newest(&site).await {
        let may = is_security(&header) && approvable(&site, revision).await;
        if may {
            expected.insert(id);
        }
    }
    assert!(expected.len() > 10, "{}", expected.len());
    assert_eq!(decided.keys().copied().collect::<BTreeSet<_>>(), expected);
    for record in decided.values() {
        assert_eq!(record.approval, Approval::Detection);
        assert_eq!(record.cause, Cause::Rule("default-detection".to_owned()));
    }
    let told = messages(&site, 9041).await;
    let count = expected.len();
    let text = format!("{count} detection (rule default-detection)");
    assert_eq!(told, [[count.to_string(), text]]);

    // Nothing is new in the next run, so nothing is decided, and nothing signed.
    let before = site.store.positions();
    site.complete(false).await;
    assert_eq!(site.store.positions(), before);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_broken_off_leaves_no_arrival_out() {
    let site = fixture(UPDATES).await;
    site.decide_by_itself(rules(&[("all", rule(RuleApproval::Detection))]));
    site.moods().break_after = Some(250);
    site.run(false).await;
    assert!(site.store.positions().head > 0, "half of it is stored");
    assert_eq!(decided(&site).await.len(), 0);
    // A decision that is signed meanwhile takes the half that is there with it.
    let key = ItemKey::Approval(UpdateId::from_u128(7));
    let record = Record {
        approval: Approval::Declined,
        revision: 1,
        cause: Cause::Cleanup,
        changed_at: Timestamp::UNIX_EPOCH,
        accepted_licence: None,
    };
    let change = central::decisions::ItemChange::Put {
        key,
        content: record.to_bytes(),
    };
    site.decisions.commit(vec![change]).await.unwrap();
    site.moods().break_after = None;
    site.complete(false).await;
    let mut decided = decided(&site).await;
    assert!(decided.remove(&UpdateId::from_u128(7)).is_some());
    let mut expected = BTreeSet::new();
    for (id, (revision, _)) in newest(&site).await {
        if approvable(&site, revision).await {
            expected.insert(id);
        }
    }
    assert!(expected.len() > 50);
    assert_eq!(decided.into_keys().collect::<BTreeSet<_>>(), expected);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_matches_what_is_below_the_product_that_it_names() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    let tree = site.upstream.categories().await.unwrap();
    // A family that some updates stand below, but not all.
    let all = newest(&site).await;
    let below = |family: UpdateId, header: &RevisionHeader| {
        let mut products = header.categories.iter();
        products.any(|id| {
            tree.path(*id)
                .iter()
                .any(|held| held.id.update_id == family)
        })
    };
    let family = tree
        .top()
        .flat_map(|company| tree.children(company.id.update_id))
        .map(|family| family.id.update_id)
        .find(|family| {
            let below = all.values().filter(|(_, header)| below(*family, header));
            (5..all.len() - 5).contains(&below.count())
        })
        .unwrap();
    let products = BTreeSet::from([family]);
    let install = ApprovalRule {
        products,
        deadline_days: Some(2),
        ..rule(RuleApproval::Install)
    };
    let site = fixture(UPDATES).await;
    site.decide_by_itself(rules(&[
        ("family", install),
        ("rest", rule(RuleApproval::Detection)),
    ]));
    site.complete(false).await;
    let decided = decided(&site).await;
    assert!(decided.len() > 50);
    for (id, record) in &decided {
        let rule = match below(family, &all[id].1) {
            true => "family",
            false => "rest",
        };
        assert_eq!(record.cause, Cause::Rule(rule.to_owned()), "{id}");
        let days = record.approval.deadline().map(|deadline| {
            let wait = deadline.duration_since(record.changed_at);
            wait.as_hours() / 24
        });
        assert_eq!(days, (rule == "family").then_some(2));
    }
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_revisions_follow_and_expired_ones_are_declined() {
    let site = fixture(UPDATES).await;
    site.complete(false).await;
    // Everything that may be is approved, by a person.
    let ids: Vec<UpdateId> = newest(&site).await.into_keys().collect();
    let deadline: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    let wanted = Wanted {
        approval: Some(Approval::Install {
            deadline: Some(deadline),
        }),
        accept_licence: true,
    };
    site.decisions
        .decide("anna", &ids, wanted, false)
        .await
        .unwrap();
    let before = decided(&site).await;
    assert!(before.len() > 50);
    site.source
        .catalog
        .publish_changes(30.0, site.ambient.now())
        .unwrap();
    site.complete(false).await;
    let (mut followed, mut declined) = (0, 0);
    let newest = newest(&site).await;
    for (id, record) in decided(&site).await {
        let held = &before[&id];
        let (revision, header) = &newest[&id];
        if revision.revision == held.revision {
            assert_eq!(record, *held);
        } else if header.publication_state.name() == "Expired" {
            assert_eq!(record.approval, Approval::Declined);
            assert_eq!(record.cause, Cause::ExpiredByPublisher);
            declined += 1;
        } else {
            assert_eq!(record.cause, Cause::NewRevision);
            assert_eq!(record.approval.deadline(), Some(deadline));
            assert_eq!(record.revision, revision.revision);
            followed += 1;
        }
    }
    assert!(followed > 0 && declined > 0, "{followed}, {declined}");
    site.end().await;
}

/// A new revision waits for its statement while somebody approves the one before: it follows.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_waits_follows_the_decision_about_the_one_before() {
    let site = fixture(4 * UPDATES).await;
    site.choose(everything());
    site.complete(false).await;
    site.source
        .catalog
        .publish_changes(100.0, site.ambient.now())
        .unwrap();
    site.decide_by_itself(rules(&[("all", rule(RuleApproval::Detection))]));
    site.moods().break_after = Some(900);
    site.run(false).await;
    let mut tx = site.store.begin().await.unwrap();
    let (mut waiting, mut shown) = (None, newest(&site).await.into_keys().collect::<Vec<_>>());
    shown.sort();
    for (id, held) in tx.held_updates(&shown).await.unwrap() {
        let header = RevisionHeader::from_bytes(&held.newest.header).unwrap();
        let is_newer = held.shown.is_some_and(|shown| shown.id != held.newest.id);
        if is_newer && header.publication_state.name() != "Expired" {
            waiting = Some((id, held.newest.id.revision));
        }
    }
    drop(tx);
    let (id, revision) = waiting.expect("a revision waits");
    // What is refused, and what is only asked, has nothing decided and nothing signed.
    let before = site.store.positions();
    let wanted = Wanted {
        approval: Some(Approval::Declined),
        accept_licence: false,
    };
    for (asked, dry_run) in [(id, true), (UpdateId::from_u128(7), false)] {
        let asked = [asked];
        let answer = site.decisions.decide("anna", &asked, wanted, dry_run);
        assert_eq!(answer.await.unwrap().committed, None);
    }
    assert_eq!(site.store.positions(), before);
    site.decisions.settle().await.unwrap();
    let settled = site.store.positions();
    assert!(settled.head > before.head, "the rules had nothing to say");
    assert_eq!(settled.verified, before.verified);
    let approval = Approval::Detection;
    let verdict = decide(&site, id, approval, false).await;
    assert!(matches!(verdict, Verdict::Changed { .. }), "{verdict:?}");
    let record = &decided(&site).await[&id];
    assert_eq!((record.approval, record.revision), (approval, revision));
    assert_eq!(record.cause, Cause::NewRevision);

    // What cannot be read holds nothing up for the others.
    let others: Vec<UpdateId> = decided(&site).await.into_keys().collect();
    site.moods().break_after = None;
    site.complete(false).await;
    let bad = central::decisions::ItemChange::Put {
        key: ItemKey::Approval(others[0]),
        content: b"no record".to_vec(),
    };
    site.decisions.commit(vec![bad]).await.unwrap();
    let wanted = Wanted {
        approval: Some(Approval::Declined),
        accept_licence: false,
    };
    let both = [
        others[0],
        *shown.iter().find(|id| **id != others[0]).unwrap(),
    ];
    let answer = site.decisions.decide("anna", &both, wanted, false);
    let answer = answer.await.unwrap();
    let Verdict::Refused(why) = &answer.verdicts[0].1 else {
        panic!("{answer:?}");
    };
    assert!(why.contains("cannot be read"), "{why}");
    assert!(matches!(answer.verdicts[1].1, Verdict::Changed { .. }));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_decided_is_refused_with_what_to_do() {
    let site = fixture(5 * UPDATES).await;
    site.choose(everything());
    site.complete(false).await;
    let mut licensed = None;
    let mut plain = None;
    for (id, (revision, header)) in newest(&site).await {
        if header.publication_state.name() == "Expired" || is_flagged(&site, id).await {
            continue;
        }
        match approvable(&site, revision).await {
            false => licensed = licensed.or(Some(id)),
            true => plain = plain.or(Some(id)),
        }
    }
    let (licensed, plain) = (licensed.unwrap(), plain.unwrap());

    let refused = decide(&site, licensed, INSTALL, false).await;
    let expected = format!(
        "{licensed} has licence terms that were not accepted: read them, accept the licence terms of this \
         update, and approve it for install then"
    );
    assert_eq!(refused, Verdict::Refused(expected));
    assert_eq!(decided(&site).await.len(), 0);
    let accepted = Verdict::Changed {
        old: Approval::NotApproved,
        new: INSTALL,
        licence_accepted: true,
    };
    assert_eq!(decide(&site, licensed, INSTALL, true).await, accepted);
    let again = decide(&site, licensed, INSTALL, true).await;
    assert_eq!(again, Verdict::Unchanged(INSTALL));
    let record = &decided(&site).await[&licensed];
    assert_eq!(record.accepted_licence.as_ref().unwrap().person, "anna");
    assert_eq!(record.cause, Cause::Person("anna".to_owned()));

    let only_licence = Wanted {
        approval: None,
        accept_licence: true,
    };
    let ids = [plain, UpdateId::from_u128(5), plain];
    let answer = site.decisions.decide("anna", &ids, only_licence, false);
    let answer = answer.await.unwrap();
    let refused = |id: UpdateId, why: String| (id, Verdict::Refused(why));
    assert_eq!(
        answer.verdicts,
        [
            refused(plain, format!("{plain} has no licence terms to accept")),
            refused(
                ids[1],
                format!("there is no update {} in the catalog", ids[1])
            ),
        ]
    );
    assert_eq!(answer.committed, None);

    // A dry run says the same and does nothing.
    let wanted = Wanted {
        approval: Some(Approval::Declined),
        accept_licence: false,
    };
    let before = site.store.positions();
    let plain = [plain];
    let dry = site.decisions.decide("anna", &plain, wanted, true).await;
    assert_eq!(site.store.positions(), before);
    let done = site.decisions.decide("anna", &plain, wanted, false).await;
    assert_eq!(dry.unwrap().verdicts, done.unwrap().verdicts);
    let [plain] = plain;

    let told = messages(&site, 9040).await;
    let text = |id: UpdateId, old: &str, new: &str| {
        [
            "anna".to_owned(),
            id.to_string(),
            old.to_owned(),
            new.to_owned(),
        ]
        .to_vec()
    };
    let expected = [
        text(plain, "not approved", "declined"),
        text(licensed, "not approved", "install"),
    ];
    assert_eq!(told, expected);
    let told = messages(&site, 9042).await;
    assert_eq!(told, [["anna".to_owned(), licensed.to_string()]]);
    site.end().await;
}
