use super::*;
use crate::RevisionId;
use crate::document::{CategoryType, UpdateType};
use crate::well_known::{
    CRITICAL_UPDATES, FAMILY_WINDOWS, MICROSOFT, PRODUCTS, SECURITY_UPDATES, UPDATES,
};
use proptest::prelude::*;
use uuid::Uuid;

const TERMS: Uuid = Uuid::from_u128(0xE01A);
const INSTALL: Approval = Approval::Install { deadline: None };

fn now() -> Timestamp {
    "2024-05-14T17:00:00Z".parse().unwrap()
}

/// A new security update for Windows 11.
fn arrival(number: u128) -> Arrival {
    Arrival {
        subject: Subject {
            id: RevisionId::new(UpdateId::from_u128(number), 200),
            update_type: UpdateType::Software,
            explicitly_deployable: true,
            is_uninstallable: false,
            expired: None,
            licence: Licence::None,
            record: None,
        },
        is_new: true,
        classification: Some(SECURITY_UPDATES.id),
        products: [PRODUCTS[0].id, FAMILY_WINDOWS.id, MICROSOFT.id].into(),
        title: "Security Update for Windows 11 (KB9000001)".to_owned(),
    }
}

/// A revision 201 of an update whose revision 200 was decided about.
fn revised(approval: Approval) -> Arrival {
    let mut arrival = arrival(1);
    let cause = Cause::Person("anna".to_owned());
    let record = arrival.subject.record_with(approval, cause, now());
    arrival.subject.record = Some(record);
    arrival.subject.id.revision = 201;
    arrival.is_new = false;
    arrival
}

fn rule(name: &str, approval: RuleApproval) -> Rule {
    Rule {
        name: name.to_owned(),
        approval,
        classifications: BTreeSet::new(),
        products: BTreeSet::new(),
        title: None,
    }
}

fn install(deadline_days: Option<u16>) -> RuleApproval {
    RuleApproval::Install { deadline_days }
}

fn with(rules: Vec<Rule>) -> AutomaticRules {
    AutomaticRules {
        approve_new_revisions: true,
        decline_expired: true,
        rules,
    }
}

/// What is decided about one update, after looking that it is decided once.
fn decision(arrival: &Arrival, rules: &AutomaticRules) -> Option<(Approval, u32, Cause)> {
    let mut arrivals = vec![arrival.clone()];
    let changes = automatic(&arrivals, rules, now());
    apply(&mut arrivals, &changes);
    assert_eq!(automatic(&arrivals, rules, now()), []);
    let record = changes.into_iter().next()?.record;
    Some((record.approval, record.revision, record.cause))
}

fn apply(arrivals: &mut [Arrival], changes: &[Change]) {
    for change in changes {
        for arrival in arrivals.iter_mut() {
            if arrival.subject.id.update_id == change.id {
                arrival.subject.record = Some(change.record.clone());
            }
        }
    }
}

#[test]
fn a_rule_matches_what_matches_everything_it_names() {
    let matching = Rule {
        classifications: [CRITICAL_UPDATES.id, SECURITY_UPDATES.id].into(),
        products: [FAMILY_WINDOWS.id].into(),
        title: Some(TitlePattern::new("*windows 11*").unwrap()),
        ..rule("a", RuleApproval::Detection)
    };
    let by_a = (Approval::Detection, 200, Cause::Rule("a".to_owned()));
    assert_eq!(
        decision(&arrival(1), &with(vec![matching.clone()])),
        Some(by_a)
    );
    for other in [
        Rule {
            classifications: [UPDATES.id].into(),
            ..matching.clone()
        },
        Rule {
            products: [PRODUCTS[1].id].into(),
            ..matching.clone()
        },
        Rule {
            title: Some(TitlePattern::new("*windows 10*").unwrap()),
            ..matching.clone()
        },
    ] {
        assert_eq!(decision(&arrival(1), &with(vec![other])), None);
    }
    let unclassified = Arrival {
        classification: None,
        ..arrival(1)
    };
    assert_eq!(decision(&unclassified, &with(vec![matching])), None);
}

#[test]
fn install_beats_detection_and_the_earlier_deadline_wins() {
    let mut rules = vec![
        rule("a", RuleApproval::Detection),
        rule("b", install(None)),
        rule("d", install(Some(14))),
        rule("c", install(Some(14))),
        rule("e", install(Some(30))),
    ];
    let expected = ["c", "d", "e", "b", "a"];
    for winner in expected {
        let (approval, _, cause) = decision(&arrival(1), &with(rules.clone())).unwrap();
        assert_eq!(cause, Cause::Rule(winner.to_owned()));
        if winner == "c" {
            let deadline = "2024-05-28T17:00:00Z".parse().ok();
            assert_eq!(approval, Approval::Install { deadline });
        }
        rules.retain(|rule| rule.name != winner);
    }
}

#[test]
fn a_deadline_beyond_the_end_of_time_is_the_end_of_time() {
    let at = install(Some(u16::MAX)).at(Timestamp::MAX);
    let deadline = Some(millisecond::cut(Timestamp::MAX));
    assert_eq!(at, Approval::Install { deadline });
}

#[test]
fn rules_pass_over_what_nobody_may_approve() {
    for everything in [RuleApproval::Detection, install(None)] {
        let rules = with(vec![rule("all", everything)]);
        let spoilt: [fn(&mut Arrival); 7] = [
            |arrival| arrival.subject.expired = Some(Expired::ByPublisher),
            |arrival| arrival.subject.expired = Some(Expired::BySupersedence),
            |arrival| arrival.subject.licence = Licence::NotAccepted(TERMS),
            |arrival| arrival.subject.explicitly_deployable = false,
            |arrival| arrival.subject.update_type = UpdateType::Detectoid,
            |arrival| arrival.subject.update_type = UpdateType::Category(CategoryType::Product),
            |arrival| arrival.is_new = false,
        ];
        for spoil in spoilt {
            let mut arrival = arrival(1);
            spoil(&mut arrival);
            assert_eq!(decision(&arrival, &rules), None);
        }
        let mut accepted = arrival(1);
        accepted.subject.licence = Licence::Accepted(TERMS);
        assert!(decision(&accepted, &rules).is_some());
        for decided in [Approval::Declined, Approval::NotApproved] {
            let mut arrival = revised(decided);
            arrival.is_new = true;
            assert_eq!(decision(&arrival, &rules), None);
        }
    }
}

#[test]
fn a_new_revision_of_an_approved_update_is_approved_like_the_one_before() {
    let deadline = Some(now());
    for approval in [
        Approval::Detection,
        INSTALL,
        Approval::Install { deadline },
        Approval::Removal { deadline },
    ] {
        let mut arrival = revised(approval);
        arrival.subject.is_uninstallable = true;
        let over = Some((approval, 201, Cause::NewRevision));
        assert_eq!(decision(&arrival, &with(vec![])), over);
        assert_eq!(decision(&arrival, &AutomaticRules::default()), None);
    }
    for approval in [Approval::NotApproved, Approval::Declined] {
        assert_eq!(decision(&revised(approval), &with(vec![])), None);
    }
}

#[test]
fn an_approval_stays_with_its_revision_where_the_newest_may_not_have_it() {
    let mut arrival = revised(INSTALL);
    arrival.subject.licence = Licence::NotAccepted(TERMS);
    assert_eq!(decision(&arrival, &with(vec![])), None);
    let mut arrival = revised(INSTALL);
    arrival.subject.expired = Some(Expired::BySupersedence);
    assert_eq!(decision(&arrival, &with(vec![])), None);
    let removal = Approval::Removal { deadline: None };
    assert_eq!(decision(&revised(removal), &with(vec![])), None);
    // An older revision that arrives late changes nothing.
    let mut arrival = revised(INSTALL);
    arrival.subject.id.revision = 100;
    assert_eq!(decision(&arrival, &with(vec![])), None);
}

#[test]
fn an_approved_update_is_declined_when_a_revision_expires_it() {
    for approval in [Approval::Detection, INSTALL] {
        let mut arrival = revised(approval);
        arrival.subject.expired = Some(Expired::ByPublisher);
        let declined = Some((Approval::Declined, 201, Cause::ExpiredByPublisher));
        assert_eq!(decision(&arrival, &with(vec![])), declined);
        let without = AutomaticRules {
            decline_expired: false,
            ..with(vec![])
        };
        assert_eq!(decision(&arrival, &without), None);
    }
    let mut arrival = revised(Approval::NotApproved);
    arrival.subject.expired = Some(Expired::ByPublisher);
    assert_eq!(decision(&arrival, &with(vec![])), None);
}

#[test]
fn of_several_revisions_the_newest_counts() {
    let rules = with(vec![rule("all", install(None))]);
    let mut newer = arrival(1);
    newer.subject.id.revision = 201;
    newer.is_new = false;
    for arrivals in [[arrival(1), newer.clone()], [newer, arrival(1)]] {
        let changes = automatic(&arrivals, &rules, now());
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].record.revision, 201);
    }
}

fn any_approval() -> impl Strategy<Value = Approval> {
    prop_oneof![
        Just(Approval::NotApproved),
        Just(Approval::Detection),
        Just(INSTALL),
        Just(Approval::Removal { deadline: None }),
        Just(Approval::Declined),
    ]
}

fn any_arrival() -> impl Strategy<Value = Arrival> {
    let licence = prop_oneof![
        4 => Just(Licence::None),
        1 => Just(Licence::NotAccepted(TERMS)),
        1 => Just(Licence::Accepted(TERMS)),
    ];
    let expired = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Expired::ByPublisher)),
        1 => Just(Some(Expired::BySupersedence)),
    ];
    let before = proptest::option::of((any_approval(), 199u32..202));
    let flags = (any::<bool>(), any::<bool>(), proptest::bool::weighted(0.8));
    let class = prop_oneof![
        Just(None),
        Just(Some(UPDATES.id)),
        Just(Some(SECURITY_UPDATES.id))
    ];
    (0u128..4, licence, expired, before, flags, class).prop_map(
        |(number, licence, expired, before, flags, classification)| {
            let mut arrival = arrival(number);
            arrival.subject.licence = licence;
            arrival.subject.expired = expired;
            arrival.subject.record = before.map(|(approval, revision)| Record {
                revision,
                ..arrival
                    .subject
                    .record_with(approval, Cause::Cleanup, Timestamp::MIN)
            });
            (
                arrival.is_new,
                arrival.subject.is_uninstallable,
                arrival.subject.explicitly_deployable,
            ) = flags;
            arrival.classification = classification;
            arrival
        },
    )
}

fn any_rules() -> impl Strategy<Value = AutomaticRules> {
    let approval = prop_oneof![
        Just(RuleApproval::Detection),
        proptest::option::of(0u16..3).prop_map(install),
    ];
    let class = prop_oneof![
        Just(BTreeSet::new()),
        Just([UPDATES.id].into()),
        Just([SECURITY_UPDATES.id].into()),
    ];
    let rule = ("[a-c]", approval, class).prop_map(|(name, approval, classifications)| Rule {
        classifications,
        ..rule(&name, approval)
    });
    let rules = proptest::collection::vec(rule, 0..4);
    (any::<bool>(), any::<bool>(), rules).prop_map(
        |(approve_new_revisions, decline_expired, rules)| AutomaticRules {
            approve_new_revisions,
            decline_expired,
            rules,
        },
    )
}

/// The sentences of the documentation, one after the other, for a single update.
fn by_the_book(arrival: &Arrival, rules: &AutomaticRules) -> Option<Approval> {
    let subject = &arrival.subject;
    let open_terms = subject.licence == Licence::NotAccepted(TERMS);
    let Some(record) = &subject.record else {
        let passed_over = !arrival.is_new
            || subject.expired.is_some()
            || open_terms
            || !subject.explicitly_deployable;
        let matching = |rule: &&Rule| {
            rule.classifications.is_empty()
                || rule
                    .classifications
                    .iter()
                    .any(|id| arrival.classification == Some(*id))
        };
        let matching: Vec<RuleApproval> = rules
            .rules
            .iter()
            .filter(matching)
            .map(|rule| rule.approval)
            .collect();
        let with_deadline = (0..3).find(|days| matching.contains(&install(Some(*days))));
        return if passed_over || matching.is_empty() {
            None
        } else if with_deadline.is_some() {
            Some(install(with_deadline).at(now()))
        } else if matching.contains(&install(None)) {
            Some(INSTALL)
        } else {
            Some(Approval::Detection)
        };
    };
    let approved = !matches!(record.approval, Approval::NotApproved | Approval::Declined);
    if !approved || record.revision >= subject.id.revision || !subject.explicitly_deployable {
        return None;
    }
    if subject.expired == Some(Expired::ByPublisher) {
        return rules.decline_expired.then_some(Approval::Declined);
    }
    let forbidden = match record.approval {
        Approval::Install { .. } => open_terms || subject.expired.is_some(),
        Approval::Removal { .. } => !subject.is_uninstallable,
        Approval::NotApproved | Approval::Detection | Approval::Declined => false,
    };
    (rules.approve_new_revisions && !forbidden).then_some(record.approval)
}

proptest! {
    #[test]
    fn what_is_decided_is_what_the_documentation_says(arrival in any_arrival(), rules in any_rules()) {
        let decided = decision(&arrival, &rules).map(|(approval, _, _)| approval);
        prop_assert_eq!(decided, by_the_book(&arrival, &rules));
    }

    #[test]
    fn planning_again_over_the_result_changes_nothing(
        mut arrivals in proptest::collection::vec(any_arrival(), 0..12), rules in any_rules(),
        later in 0i64..100,
    ) {
        let changes = automatic(&arrivals, &rules, now());
        prop_assert!(changes.is_sorted_by(|a, b| a.id < b.id));
        apply(&mut arrivals, &changes);
        let now = now() + SignedDuration::from_hours(later);
        prop_assert_eq!(automatic(&arrivals, &rules, now), []);
    }

    #[test]
    fn the_order_of_rules_and_arrivals_does_not_matter(
        arrivals in proptest::collection::vec(any_arrival(), 0..4), rules in any_rules(),
    ) {
        let mut arrivals = arrivals;
        arrivals.sort_by_key(|arrival| arrival.subject.id);
        arrivals.dedup_by_key(|arrival| arrival.subject.id.update_id);
        let changes = automatic(&arrivals, &rules, now());
        arrivals.reverse();
        let mut reversed = rules.clone();
        reversed.rules.reverse();
        prop_assert_eq!(automatic(&arrivals, &reversed, now()), changes);
    }
}
