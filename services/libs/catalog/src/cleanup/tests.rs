use super::*;
use crate::approval::Approval;
use crate::{RevisionId, UpdateId};
use proptest::prelude::*;
use std::collections::BTreeSet;

const INSTALL: Approval = Approval::Install { deadline: None };
const REMOVAL: Approval = Approval::Removal { deadline: None };
const ALL: DeclineRules = DeclineRules {
    expired: true,
    superseded: true,
    days: 30,
    undeployed_days: 90,
};

fn id(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

/// Midnight of the days since an arbitrary one.
fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + number * 86_400).unwrap()
}

fn update(number: u128, approval: Approval, superseded: &[u128]) -> DeclineFacts {
    DeclineFacts {
        id: id(number),
        explicitly_deployable: true,
        is_mandatory: false,
        approval,
        decided_at: None,
        deployed_until: None,
        held_since: day(0),
        expired_since: None,
        superseded: superseded.iter().copied().map(id).collect(),
    }
}

fn declined(updates: &[DeclineFacts], rules: DeclineRules, now: i64) -> Vec<(u128, Reason)> {
    let plan = decline(updates, rules, None, usize::MAX, day(now));
    assert_eq!(plan.next, None);
    plan.declines
        .iter()
        .map(|decline| (decline.id.0.as_u128(), decline.reason))
        .collect()
}

#[test]
fn expired_updates_are_declined_unless_something_is_deployed_of_them() {
    for (approval, expected) in [
        (Approval::NotApproved, true),
        (Approval::Detection, true),
        (INSTALL, false),
        (REMOVAL, false),
        (Approval::Declined, false),
    ] {
        let mut expired = update(1, approval, &[]);
        expired.expired_since = Some(day(10));
        assert_eq!(declined(&[expired.clone()], ALL, 39), []);
        let reason = Reason::Expired { since: day(10) };
        let list = if expected { vec![(1, reason)] } else { vec![] };
        assert_eq!(declined(&[expired.clone()], ALL, 40), list, "{approval}");
        let off = DeclineRules {
            expired: false,
            ..ALL
        };
        assert_eq!(declined(&[expired.clone()], off, 40), []);
        expired.explicitly_deployable = false;
        assert_eq!(declined(&[expired], ALL, 40), []);
    }
}

#[test]
fn superseded_updates_are_declined_when_what_supersedes_them_is_approved() {
    let by = |number| Reason::Superseded { by: id(number) };
    let pair = |approval| {
        [
            update(1, Approval::NotApproved, &[]),
            update(2, approval, &[1]),
        ]
    };
    assert_eq!(declined(&pair(INSTALL), ALL, 29), []);
    assert_eq!(declined(&pair(INSTALL), ALL, 30), [(1, by(2))]);
    for approval in [
        Approval::NotApproved,
        Approval::Detection,
        REMOVAL,
        Approval::Declined,
    ] {
        assert_eq!(declined(&pair(approval), ALL, 30), [], "{approval}");
    }
    let off = DeclineRules {
        superseded: false,
        ..ALL
    };
    assert_eq!(declined(&pair(INSTALL), off, 30), []);

    let mut recently = pair(INSTALL);
    recently[0].decided_at = Some(day(5));
    assert_eq!(declined(&recently, ALL, 34), []);
    assert_eq!(declined(&recently, ALL, 35), [(1, by(2))]);

    let mut expired = pair(INSTALL);
    expired[1].expired_since = Some(day(0));
    assert_eq!(declined(&expired, ALL, 90), []);
}

#[test]
fn a_superseded_update_that_was_deployed_is_declined_later() {
    let is_declined = |rules, deployed: Option<i64>, held: i64, now: i64| {
        let mut pair = [
            update(1, Approval::NotApproved, &[]),
            update(2, INSTALL, &[1]),
        ];
        pair[0].held_since = day(held);
        pair[0].deployed_until = deployed.map(day);
        !declined(&pair, rules, now).is_empty()
    };
    assert!(!is_declined(ALL, Some(5), 0, 94));
    assert!(is_declined(ALL, Some(5), 0, 95));
    // The days for which it has to be held count as well.
    assert!(!is_declined(ALL, Some(5), 70, 99));
    assert!(is_declined(ALL, Some(5), 70, 100));
    assert!(!is_declined(ALL, None, 0, 29));
    assert!(is_declined(ALL, None, 0, 30));
    let at_once = DeclineRules {
        undeployed_days: 0,
        ..ALL
    };
    assert!(!is_declined(ALL, Some(30), 0, 30));
    assert!(is_declined(at_once, Some(30), 0, 30));
}

#[test]
fn mandatory_updates_are_declined_only_when_they_are_expired() {
    let mut pair = [
        update(1, Approval::NotApproved, &[]),
        update(2, INSTALL, &[1]),
    ];
    assert_eq!(declined(&pair, ALL, 400).len(), 1);
    pair[0].is_mandatory = true;
    assert_eq!(declined(&pair, ALL, 400), []);
    pair[0].expired_since = Some(day(10));
    let reason = Reason::Expired { since: day(10) };
    assert_eq!(declined(&pair, ALL, 400), [(1, reason)]);
}

#[test]
fn what_is_superseded_through_others_is_declined_and_a_cycle_is_not() {
    let by = Reason::Superseded { by: id(3) };
    let chain = [
        update(1, Approval::NotApproved, &[]),
        update(2, Approval::Declined, &[1]),
        update(3, INSTALL, &[2]),
    ];
    assert_eq!(declined(&chain, ALL, 30), [(1, by)]);
    let cycle = [
        update(1, Approval::NotApproved, &[2]),
        update(2, INSTALL, &[1]),
    ];
    assert_eq!(declined(&cycle, ALL, 30), []);
}

fn any_update(number: u128) -> impl Strategy<Value = DeclineFacts> {
    let approval = prop_oneof![
        3 => Just(Approval::NotApproved),
        1 => Just(Approval::Detection),
        2 => Just(INSTALL),
        1 => Just(REMOVAL),
        1 => Just(Approval::Declined),
    ];
    let expired = proptest::option::weighted(0.3, 0i64..60);
    let decided = proptest::option::of(0i64..60);
    let superseded = proptest::collection::vec(0u128..9, 0..3);
    let deployed = proptest::option::weighted(0.3, 0i64..60);
    let held = (
        0i64..60,
        proptest::bool::weighted(0.8),
        proptest::bool::weighted(0.2),
    );
    (approval, expired, decided, deployed, held, superseded).prop_map(
        move |(approval, expired, decided, deployed, held, superseded)| {
            let (held, explicitly_deployable, is_mandatory) = held;
            DeclineFacts {
                explicitly_deployable,
                is_mandatory,
                decided_at: decided.map(day),
                deployed_until: deployed.map(day),
                held_since: day(held),
                expired_since: expired.map(day),
                ..update(number, approval, &superseded)
            }
        },
    )
}

fn any_rules() -> impl Strategy<Value = DeclineRules> {
    (any::<bool>(), any::<bool>(), 1u16..60, 0u16..60).prop_map(
        |(expired, superseded, days, undeployed_days)| DeclineRules {
            expired,
            superseded,
            days,
            undeployed_days,
        },
    )
}

/// Whether `newer` supersedes `older`, following relations one by one.
fn is_above(updates: &[DeclineFacts], older: UpdateId, newer: UpdateId) -> bool {
    let mut reached = BTreeSet::from([older]);
    for _ in updates {
        for update in updates {
            if update.superseded.iter().any(|old| reached.contains(old)) {
                reached.insert(update.id);
            }
        }
    }
    older != newer && reached.contains(&newer)
}

fn revision(update: u128, revision: u32) -> RevisionId {
    RevisionId::new(id(update), revision)
}

fn held(id: RevisionId, since: i64, bundled: &[RevisionId]) -> RevisionFacts {
    RevisionFacts {
        id,
        held_since: day(since),
        bundled: bundled.to_vec(),
        is_approved: false,
        approved_until: None,
    }
}

fn unused(revisions: &[RevisionFacts], now: i64) -> Vec<RevisionId> {
    unused_revisions(revisions, 30, usize::MAX, day(now)).revisions
}

#[test]
fn an_older_revision_goes_some_time_after_a_newer_one_came() {
    let mut revisions = [
        held(revision(1, 1), 0, &[]),
        held(revision(1, 2), 10, &[]),
        held(revision(1, 3), 20, &[]),
    ];
    assert_eq!(unused(&revisions, 39), []);
    assert_eq!(unused(&revisions, 40), [revision(1, 1)]);
    assert_eq!(unused(&revisions, 50), [revision(1, 2), revision(1, 1)]);
    revisions[0].is_approved = true;
    assert_eq!(unused(&revisions, 50), [revision(1, 2)]);
    // What was approved once stays as long after that.
    revisions[0].is_approved = false;
    revisions[0].approved_until = Some(day(30));
    assert_eq!(unused(&revisions, 59), [revision(1, 2)]);
    assert_eq!(unused(&revisions, 60), [revision(1, 2), revision(1, 1)]);
}

#[test]
fn a_part_stays_as_long_as_a_bundle_that_stays() {
    // A bundle in two revisions, each with its own revision of the part.
    let mut revisions = vec![
        held(revision(1, 1), 0, &[revision(2, 1)]),
        held(revision(1, 2), 10, &[revision(2, 2)]),
        held(revision(2, 1), 0, &[]),
        held(revision(2, 2), 5, &[]),
    ];
    // The part could go, and its bundle is not old enough.
    assert_eq!(unused(&revisions, 35), []);
    // Then both go, the bundle first.
    assert_eq!(unused(&revisions, 40), [revision(1, 1), revision(2, 1)]);
    // The newest bundle keeps an old part.
    revisions[1].bundled = vec![revision(2, 1)];
    assert_eq!(unused(&revisions, 40), [revision(1, 1)]);
}

fn any_revisions() -> impl Strategy<Value = Vec<RevisionFacts>> {
    let any_id = || (0u128..4, 1u32..4).prop_map(|(update, number)| revision(update, number));
    let bundled = proptest::collection::vec(any_id(), 0..3);
    let approved = (
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.2, 0i64..60),
    );
    let one = (any_id(), 0i64..60, bundled, approved).prop_map(
        |(id, since, bundled, (is_approved, until))| RevisionFacts {
            is_approved,
            approved_until: until.map(day),
            ..held(id, since, &bundled)
        },
    );
    proptest::collection::vec(one, 0..14).prop_map(|mut revisions| {
        revisions.sort_by_key(|revision| revision.id);
        revisions.dedup_by_key(|revision| revision.id);
        revisions
    })
}

/// The greatest set of revisions of which each may go: the ones that may not are taken out one by one.
fn by_hand(revisions: &[RevisionFacts], days: i64, now: i64) -> BTreeSet<RevisionId> {
    let may_go = |revision: &&RevisionFacts| {
        let newer = revisions.iter().filter(|other| {
            other.id.update_id == revision.id.update_id && other.id.revision > revision.id.revision
        });
        let first = newer.map(|other| other.held_since).min();
        let is_old = first.is_some_and(|first| first.max(revision.held_since) <= day(now - days));
        let until = revision.approved_until;
        is_old && !revision.is_approved && until.is_none_or(|until| until <= day(now - days))
    };
    let mut going: BTreeSet<RevisionId> = revisions
        .iter()
        .filter(may_go)
        .map(|revision| revision.id)
        .collect();
    while let Some(kept) = going.iter().copied().find(|part| {
        revisions
            .iter()
            .any(|bundle| !going.contains(&bundle.id) && bundle.bundled.contains(part))
    }) {
        going.remove(&kept);
    }
    going
}

proptest! {
    #[test]
    fn what_is_declined_is_what_the_rules_say_one_by_one(
        updates in (0u128..8).map(any_update).collect::<Vec<_>>(), rules in any_rules(), now in 0i64..90,
    ) {
        let declined = declined(&updates, rules, now);
        let past = |since: Timestamp| since <= day(now - i64::from(rules.days));
        let undeployed = |until: Timestamp| until <= day(now - i64::from(rules.undeployed_days));
        for update in &updates {
            let open = matches!(update.approval, Approval::NotApproved | Approval::Detection);
            let expired = rules.expired && update.expired_since.is_some_and(past);
            let superseded = rules.superseded
                && past(update.held_since)
                && update.decided_at.is_none_or(past)
                && !update.is_mandatory
                && update.deployed_until.is_none_or(undeployed)
                && updates.iter().any(|newer| {
                    newer.approval == INSTALL
                        && newer.expired_since.is_none()
                        && is_above(&updates, update.id, newer.id)
                        && !is_above(&updates, newer.id, update.id)
                });
            let expected = open && update.explicitly_deployable && (expired || superseded);
            let found = declined.iter().any(|(number, _)| id(*number) == update.id);
            prop_assert_eq!(found, expected, "{}", update.id);
        }
    }

    #[test]
    fn declining_in_batches_comes_to_the_same(
        mut updates in (0u128..8).map(any_update).collect::<Vec<_>>(), rules in any_rules(), now in 0i64..90,
        most in 1usize..4,
    ) {
        let whole = decline(&updates, rules, None, usize::MAX, day(now)).declines;
        let mut done = Vec::new();
        let mut after = None;
        loop {
            let plan = decline(&updates, rules, after, most, day(now));
            prop_assert!(plan.declines.len() <= most);
            for decline in &plan.declines {
                let update = updates.iter_mut().find(|update| update.id == decline.id).unwrap();
                update.approval = Approval::Declined;
                update.decided_at = Some(day(now));
            }
            done.extend(plan.declines);
            after = plan.next;
            if after.is_none() {
                break;
            }
        }
        prop_assert_eq!(done, whole);
        let again = decline(&updates, rules, None, usize::MAX, day(now));
        prop_assert_eq!(again, DeclinePlan::default());
    }

    #[test]
    fn the_unused_revisions_are_those_that_may_all_go(
        revisions in any_revisions(), days in 1u16..40, now in 0i64..90,
    ) {
        let plan = unused_revisions(&revisions, days, usize::MAX, day(now));
        let found: BTreeSet<RevisionId> = plan.revisions.into_iter().collect();
        prop_assert_eq!(found, by_hand(&revisions, i64::from(days), now));
    }

    #[test]
    fn a_removal_that_is_interrupted_anywhere_is_continued(
        mut revisions in any_revisions(), days in 1u16..40, now in 0i64..90, most in 1usize..4,
    ) {
        let mut left = by_hand(&revisions, i64::from(days), now);
        loop {
            let plan = unused_revisions(&revisions, days, most, day(now));
            prop_assert!(plan.revisions.len() <= most);
            prop_assert_eq!(plan.left, left.len().saturating_sub(most));
            // Only the first of the plan is done.
            let Some(first) = plan.revisions.first() else { break };
            prop_assert!(left.remove(first));
            revisions.retain(|revision| revision.id != *first);
        }
        prop_assert!(left.is_empty());
    }

    #[test]
    fn no_bundle_is_ever_held_without_a_part_that_it_had(
        revisions in any_revisions(), days in 1u16..40, now in 0i64..90,
    ) {
        let plan = unused_revisions(&revisions, days, usize::MAX, day(now));
        let mut gone = BTreeSet::new();
        for id in plan.revisions {
            for bundle in revisions.iter().filter(|bundle| bundle.bundled.contains(&id)) {
                // Bundles that contain each other have no order; the catalog refuses them.
                let in_a_cycle = contains(&revisions, id, bundle.id);
                prop_assert!(in_a_cycle || gone.contains(&bundle.id), "{} before {}", id, bundle.id);
            }
            gone.insert(id);
        }
    }
}

/// Whether a bundle contains a revision, however deep, or is it.
fn contains(revisions: &[RevisionFacts], bundle: RevisionId, part: RevisionId) -> bool {
    let mut reached = BTreeSet::from([bundle]);
    for _ in revisions {
        for revision in revisions {
            if reached.contains(&revision.id) {
                reached.extend(revision.bundled.iter().copied());
            }
        }
    }
    reached.contains(&part)
}
