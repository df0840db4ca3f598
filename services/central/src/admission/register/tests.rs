use super::*;
use jiff::Timestamp;

fn code(text: &str) -> PointId {
    text.parse().unwrap()
}

fn minute(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

/// A token for PR1 below CAS that is good for an hour.
fn token() -> JoinTokenRow {
    JoinTokenRow {
        secret_hash: vec![0; 32],
        site: code("PR1"),
        kind: SiteKind::Primary,
        parent: code("CAS"),
        expires: minute(60),
        used: None,
        key_hash: None,
    }
}

fn used() -> JoinTokenRow {
    JoinTokenRow {
        used: Some(minute(1)),
        key_hash: Some(vec![7; 32]),
        ..token()
    }
}

fn held() -> SiteRow {
    SiteRow {
        code: code("PR1"),
        kind: SiteKind::Primary,
        parent: code("CAS"),
        former_parents: Vec::new(),
        joined: minute(1),
        removed: None,
        key_hash: vec![7; 32],
    }
}

#[track_caller]
fn check(token: &JoinTokenRow, held: Option<&SiteRow>, expected: Result<Use, &str>) {
    let joining = Joining {
        token,
        held,
        parent: Some((code("CAS"), SiteKind::Central)),
        via: code("CAS"),
        key_hash: &[7; 32],
        now: minute(2),
    };
    match (joining.decide(), expected) {
        (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
        (decided, expected) => assert_eq!(decided, expected.map_err(str::to_owned)),
    }
}

#[test]
fn a_token_is_used_once_by_whoever_comes_first() {
    check(&token(), None, Ok(Use::First));
    // A new token for a site that is there: another machine takes its place.
    let other_machine = SiteRow {
        key_hash: vec![1; 32],
        ..held()
    };
    check(&token(), Some(&other_machine), Ok(Use::First));
    let by_another = JoinTokenRow {
        key_hash: Some(vec![9; 32]),
        ..used()
    };
    check(&by_another, Some(&held()), Err("was used already"));
}

#[test]
fn a_used_token_answers_its_site_again_while_that_is_what_it_was() {
    check(&used(), Some(&held()), Ok(Use::Again));
    let removed = SiteRow {
        removed: Some(minute(2)),
        ..held()
    };
    check(&used(), Some(&removed), Err("was removed or joined anew"));
    check(&used(), None, Err("was removed or joined anew"));
    let joined_anew = SiteRow {
        key_hash: vec![8; 32],
        ..held()
    };
    check(
        &used(),
        Some(&joined_anew),
        Err("was removed or joined anew"),
    );
    let moved = SiteRow {
        parent: code("PR2"),
        ..held()
    };
    check(&used(), Some(&moved), Err("was removed or joined anew"));
}

#[test]
fn a_token_does_not_move_a_site_that_is_there() {
    let elsewhere = SiteRow {
        kind: SiteKind::Secondary,
        parent: code("PR2"),
        ..held()
    };
    check(&token(), Some(&elsewhere), Err("remove it before it joins"));
    let removed = SiteRow {
        removed: Some(minute(1)),
        ..elsewhere
    };
    check(&token(), Some(&removed), Ok(Use::First));
}

#[test]
fn a_token_is_refused_too_late_at_the_wrong_door_and_without_its_parent() {
    let late = JoinTokenRow {
        expires: minute(2),
        ..token()
    };
    check(&late, None, Err("expired at"));
    let below = JoinTokenRow {
        parent: code("PR2"),
        ..token()
    };
    check(&below, None, Err("use the address of PR2"));
    let joining = Joining {
        token: &token(),
        held: None,
        parent: None,
        via: code("CAS"),
        key_hash: &[7; 32],
        now: minute(2),
    };
    assert!(joining.decide().unwrap_err().contains("no longer there"));
}

#[test]
fn a_site_that_moves_is_remembered_where_it_was() {
    assert_eq!(former_parents(None, code("CAS")), []);
    let moved = |held: SiteRow, parent| SiteRow {
        former_parents: former_parents(Some(&held), parent),
        parent,
        ..held
    };
    let there = moved(held(), code("PR2"));
    assert_eq!(there.former_parents, [code("CAS")]);
    let same = moved(there.clone(), code("PR2"));
    assert_eq!(same.former_parents, [code("CAS")]);
    let back = moved(there, code("CAS"));
    assert_eq!(back.former_parents, [code("PR2")]);
}

#[test]
fn no_more_former_parents_are_remembered_than_fit() {
    let mut row = held();
    for number in 10..99 {
        let parent = code(&format!("P{number}"));
        row.former_parents = former_parents(Some(&row), parent);
        row.parent = parent;
    }
    assert_eq!(row.former_parents.len(), source::FORMER_PARENTS);
    assert_eq!(row.former_parents.last(), Some(&code("P97")));
}
