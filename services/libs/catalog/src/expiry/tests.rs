use super::*;
use crate::well_known::{SECURITY_UPDATES, UPDATES};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn id(number: u128) -> UpdateId {
    UpdateId::from_u128(number)
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An ordinary update of that day which supersedes `superseded`.
fn update(number: u128, day: &str, superseded: &[u128]) -> Facts {
    Facts {
        id: id(number),
        classification: Some(SECURITY_UPDATES.id),
        creation_date: time(&format!("{day}T17:00:00Z")),
        is_expired_by_publisher: false,
        is_declined: false,
        superseded: superseded.iter().copied().map(id).collect(),
    }
}

const THREE_AND_ONE: Rules = Rules {
    feature_update_months: 3,
    other_update_months: 1,
};

/// The flags after the rules were applied on that day, and whether applying them again changes nothing.
fn apply(
    updates: &[Facts],
    flagged: &mut BTreeMap<UpdateId, Expiry>,
    rules: Rules,
    now: Timestamp,
) -> Plan {
    let done = plan(updates, flagged, rules, now);
    flagged.extend(done.expire.clone());
    for id in &done.restore {
        assert!(flagged.remove(id).is_some());
    }
    assert!(plan(updates, flagged, rules, now).is_empty());
    done
}

fn expired(updates: &[Facts], rules: Rules, day: &str) -> Vec<(u128, u128, String)> {
    let now = time(&format!("{day}T17:00:00Z"));
    let plan = apply(updates, &mut BTreeMap::new(), rules, now);
    let row = |(old, expiry): (UpdateId, Expiry)| {
        let day = Offset::UTC.to_datetime(expiry.since).date().to_string();
        (old.0.as_u128(), expiry.by.0.as_u128(), day)
    };
    plan.expire.into_iter().map(row).collect()
}

fn row(old: u128, by: u128, since: &str) -> (u128, u128, String) {
    (old, by, since.to_owned())
}

#[test]
fn an_update_expires_when_its_successor_is_old_enough() {
    let updates = [update(1, "2024-01-09", &[]), update(2, "2024-02-13", &[1])];
    assert_eq!(expired(&updates, THREE_AND_ONE, "2024-03-12"), []);
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2024-03-13"),
        [row(1, 2, "2024-03-13")]
    );
    let at_once = Rules {
        feature_update_months: 0,
        other_update_months: 0,
    };
    assert_eq!(
        expired(&updates, at_once, "2024-02-13"),
        [row(1, 2, "2024-02-13")]
    );
}

#[test]
fn a_month_without_the_day_ends_on_its_last() {
    let updates = [update(1, "2023-01-01", &[]), update(2, "2024-01-31", &[1])];
    assert_eq!(expired(&updates, THREE_AND_ONE, "2024-02-28"), []);
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2024-02-29"),
        [row(1, 2, "2024-02-29")]
    );
}

#[test]
fn feature_updates_have_a_rule_of_their_own() {
    let mut updates = [update(1, "2024-01-09", &[]), update(2, "2024-02-13", &[1])];
    updates[0].classification = Some(UPGRADES.id);
    assert_eq!(expired(&updates, THREE_AND_ONE, "2024-05-12"), []);
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2024-05-13"),
        [row(1, 2, "2024-05-13")]
    );
}

#[test]
fn definition_updates_never_expire() {
    let mut updates = [update(1, "2024-01-09", &[]), update(2, "2024-02-13", &[1])];
    updates[0].classification = Some(DEFINITION_UPDATES.id);
    assert_eq!(expired(&updates, THREE_AND_ONE, "2034-01-01"), []);
}

#[test]
fn a_service_pack_expires_nothing_and_passes_nothing_on() {
    let mut updates = vec![update(1, "2024-01-09", &[]), update(2, "2024-02-13", &[1])];
    updates[1].classification = Some(SERVICE_PACKS.id);
    updates.push(update(3, "2024-03-12", &[2]));
    // The service pack itself is replaced by an ordinary update.
    let only_the_service_pack = [row(2, 3, "2024-04-12")];
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2034-01-01"),
        only_the_service_pack
    );
    // With an ordinary update beside the service pack it is not the only one.
    updates.push(update(4, "2024-05-14", &[1]));
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2034-01-01"),
        [row(1, 4, "2024-06-14"), only_the_service_pack[0].clone()]
    );
}

#[test]
fn of_several_successors_the_one_counts_whose_time_came_first() {
    let updates = [
        update(1, "2024-01-09", &[]),
        update(2, "2024-04-09", &[1]),
        update(3, "2024-02-13", &[1]),
    ];
    assert_eq!(
        expired(&updates, THREE_AND_ONE, "2024-12-01"),
        [row(1, 3, "2024-03-13")]
    );
}

#[test]
fn what_was_declined_withdrawn_or_never_held_expires_nothing() {
    let chain = |change: fn(&mut Facts)| {
        let mut updates = [
            update(1, "2024-01-09", &[99]),
            update(2, "2024-02-13", &[1]),
            update(3, "2024-03-12", &[2]),
        ];
        change(&mut updates[1]);
        expired(&updates, THREE_AND_ONE, "2024-12-01")
    };
    // The newest of the chain still replaces the oldest, in its own time.
    let through = row(1, 3, "2024-04-12");
    assert_eq!(
        chain(|update| update.is_declined = true),
        [through.clone(), row(2, 3, "2024-04-12")]
    );
    // What was withdrawn is left as it is.
    assert_eq!(
        chain(|update| update.is_expired_by_publisher = true),
        [through]
    );
    // What is not held says nothing about what it supersedes, so the chain ends there.
    let gap = [
        update(1, "2024-01-09", &[99]),
        update(3, "2024-03-12", &[2]),
    ];
    assert_eq!(expired(&gap, THREE_AND_ONE, "2024-12-01"), []);
}

#[test]
fn a_cycle_alone_expires_nothing() {
    let mut updates = vec![
        update(1, "2024-01-09", &[2]),
        update(2, "2024-02-13", &[3]),
        update(3, "2024-03-12", &[1, 3]),
    ];
    assert_eq!(expired(&updates, THREE_AND_ONE, "2034-01-01"), []);
    // What supersedes one of them from outside supersedes all.
    updates.push(update(4, "2024-04-09", &[2]));
    let all = (1..=3).map(|old| row(old, 4, "2024-05-09"));
    assert!(
        expired(&updates, THREE_AND_ONE, "2034-01-01")
            .into_iter()
            .eq(all)
    );
}

#[test]
fn a_flag_goes_with_its_reason() {
    let mut updates = vec![update(1, "2024-01-09", &[]), update(2, "2024-02-13", &[1])];
    let now = time("2024-04-01T00:00:00Z");
    let mut flagged = BTreeMap::new();
    apply(&updates, &mut flagged, THREE_AND_ONE, now);
    assert!(flagged.contains_key(&id(1)));

    let longer = Rules {
        other_update_months: 2,
        ..THREE_AND_ONE
    };
    let restored = apply(&updates, &mut flagged, longer, now).restore;
    assert_eq!(restored, [id(1)]);

    apply(&updates, &mut flagged, THREE_AND_ONE, now);
    updates[1].is_expired_by_publisher = true;
    let restored = apply(&updates, &mut flagged, THREE_AND_ONE, now).restore;
    assert_eq!(restored, [id(1)]);

    // An update that left the catalog keeps no flag.
    updates[1].is_expired_by_publisher = false;
    apply(&updates, &mut flagged, THREE_AND_ONE, now);
    updates.remove(0);
    let restored = apply(&updates, &mut flagged, THREE_AND_ONE, now).restore;
    assert_eq!(restored, [id(1)]);
}

#[test]
fn a_new_revision_of_what_supersedes_changes_nothing() {
    let (first, second) = (time("2024-01-09T17:00:00Z"), time("2024-05-14T17:00:00Z"));
    let now = time("2024-05-20T00:00:00Z");
    let at_once = Rules {
        feature_update_months: 0,
        other_update_months: 0,
    };
    for rules in [THREE_AND_ONE, at_once] {
        let mut updates = [update(1, "2023-12-12", &[]), update(2, "2024-01-09", &[1])];
        let mut flagged = BTreeMap::new();
        apply(&updates, &mut flagged, rules, time("2024-04-20T00:00:00Z"));
        assert!(flagged.contains_key(&id(1)));
        for said in [[first, second], [second, first]] {
            let dates = creation_dates(said.map(|date| (id(2), date)));
            assert_eq!(dates, [(id(2), first)].into());
            updates[1].creation_date = dates[&id(2)];
            assert!(plan(&updates, &flagged, rules, now).is_empty());
        }
    }
}

#[test]
fn the_end_of_time_is_no_failure() {
    assert_eq!(months_later(Timestamp::MAX, 1), None);
    assert_eq!(months_later(Timestamp::MIN, 0), Some(Timestamp::MIN));
}

/// Months later, counted by hand.
fn by_hand(date: (i16, i8, i8), months: u8) -> String {
    let (mut year, mut month, day) = date;
    for _ in 0..months {
        month += 1;
        if month == 13 {
            (year, month) = (year + 1, 1);
        }
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    format!("{year:04}-{month:02}-{:02}T17:00:00Z", day.min(last))
}

/// Whether `newer` is above `older`, following relations one by one and never through a service pack.
fn is_above(updates: &[Facts], older: UpdateId, newer: UpdateId) -> bool {
    let mut reached = BTreeSet::from([older]);
    for _ in updates {
        for update in updates {
            let counts = update.classification != Some(SERVICE_PACKS.id);
            if counts && update.superseded.iter().any(|old| reached.contains(old)) {
                reached.insert(update.id);
            }
        }
    }
    older != newer && reached.contains(&newer)
}

fn any_update(number: u128) -> impl Strategy<Value = Facts> {
    let class = prop_oneof![
        Just(None),
        Just(Some(UPDATES.id)),
        Just(Some(SECURITY_UPDATES.id)),
        Just(Some(UPGRADES.id)),
        Just(Some(SERVICE_PACKS.id)),
        Just(Some(DEFINITION_UPDATES.id)),
    ];
    let date = (2023i16..2026, 1i8..=12, 1i8..=28);
    let state =
        prop_oneof![4 => Just((false, false)), 1 => Just((true, false)), 1 => Just((false, true))];
    let superseded = proptest::collection::vec(0u128..8, 0..3);
    (class, date, state, superseded).prop_map(move |(classification, date, state, superseded)| {
        Facts {
            id: id(number),
            classification,
            creation_date: time(&by_hand(date, 0)),
            is_expired_by_publisher: state.0,
            is_declined: state.1,
            superseded: superseded.into_iter().map(id).collect(),
        }
    })
}

fn any_updates() -> impl Strategy<Value = Vec<Facts>> {
    // The seventh is not held.
    (0u128..7).map(any_update).collect::<Vec<_>>()
}

proptest! {
    #[test]
    fn months_are_those_of_the_calendar(
        year in 1990i16..2100, month in 1i8..=12, day in 1i8..=28, last_days in 0i8..=3, months in 0u8..=99,
    ) {
        let start = by_hand((year, month, day + last_days), 0);
        let day = start[8..10].parse().unwrap();
        let expected = by_hand((year, month, day), months);
        prop_assert_eq!(months_later(time(&start), months), Some(time(&expected)));
    }

    #[test]
    fn the_plan_is_what_the_rules_say_one_by_one(
        updates in any_updates(), feature in 0u8..5, other in 0u8..5, month in 1i8..=12,
    ) {
        let rules = Rules { feature_update_months: feature, other_update_months: other };
        let now = time(&by_hand((2025, month, 15), 0));
        let mut flagged = BTreeMap::new();
        apply(&updates, &mut flagged, rules, now);
        for old in &updates {
            let months = if old.classification == Some(UPGRADES.id) { feature } else { other };
            let expected = updates
                .iter()
                .filter(|_| !old.is_expired_by_publisher && old.classification != Some(DEFINITION_UPDATES.id))
                .filter(|new| !new.is_expired_by_publisher && !new.is_declined)
                .filter(|new| is_above(&updates, old.id, new.id) && !is_above(&updates, new.id, old.id))
                .map(|new| {
                    let date = Offset::UTC.to_datetime(new.creation_date).date();
                    let since = time(&by_hand((date.year(), date.month(), date.day()), months));
                    Expiry { since, by: new.id }
                })
                .filter(|expiry| expiry.since <= now)
                .min();
            prop_assert_eq!(flagged.get(&old.id).copied(), expected, "{}", old.id);
        }
    }

    #[test]
    fn flags_of_other_days_and_rules_end_where_new_ones_begin(
        before in any_updates(), after in any_updates(), months in 0u8..4, then in 0u8..4,
    ) {
        let rules = |months| Rules { feature_update_months: months, other_update_months: months };
        let now = time("2025-06-15T00:00:00Z");
        let mut flagged = BTreeMap::new();
        apply(&before, &mut flagged, rules(months), now);
        let withdrawn = |id: &UpdateId| {
            after.iter().any(|update| update.id == *id && update.is_expired_by_publisher)
        };
        apply(&after, &mut flagged, rules(then), now);
        flagged.retain(|id, _| !withdrawn(id));
        let mut fresh = BTreeMap::new();
        apply(&after, &mut fresh, rules(then), now);
        prop_assert_eq!(flagged, fresh);
    }
}

#[test]
fn the_next_due_time_is_the_first_of_those_to_come() {
    let updates = [
        update(1, "2024-01-01", &[]),
        update(2, "2024-03-10", &[1]),
        update(3, "2024-02-20", &[]),
        update(4, "2024-04-01", &[3]),
    ];
    let at = |day: &str| {
        let now = time(&format!("{day}T17:00:00Z"));
        plan(&updates, &BTreeMap::new(), THREE_AND_ONE, now)
    };
    let due = |day: &str| Some(time(&format!("{day}T17:00:00Z")));
    assert_eq!(at("2024-04-01").next, due("2024-04-10"));
    assert_eq!(at("2024-04-10").next, due("2024-05-01"));
    assert_eq!(at("2024-04-10").expire.len(), 1);
    assert_eq!(at("2024-05-01").next, None);
}
