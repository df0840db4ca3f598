use super::*;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn run() -> Uuid {
    Uuid::from_u128(7)
}

fn site() -> PointId {
    "PR1".parse().unwrap()
}

fn message(number: u64, second: i64, id: StatusId, inserts: Vec<String>) -> StatusRow {
    StatusRow {
        site: site(),
        number,
        time: at(second),
        status_id: id.number(),
        run: Some(run()),
        inserts,
    }
}

fn told(asked: i64, began: i64, phases: &[(&str, i64)]) -> Told {
    let phases = phases.iter();
    Told {
        requested: Some(at(asked)),
        started: Some(at(began)),
        phases: phases
            .map(|(name, began)| ((*name).to_owned(), at(*began)))
            .collect(),
        items: 40,
        bytes: 4_000,
    }
}

/// A first attempt that fails, and a second one that completes.
fn story() -> Vec<StatusRow> {
    let first = told(0, 1, &[("Connecting", 1), ("SyncingUpdates", 2)]);
    let phases = [
        ("Connecting", 20),
        ("SyncingUpdates", 21),
        ("Verifying", 29),
    ];
    let second = told(15, 20, &phases);
    let failed = vec!["Test".to_owned(), "the parent is away".to_owned()];
    vec![
        message(1, 1, StatusId::SyncStarted, vec![]),
        message(2, 1, StatusId::SyncingUpstream, vec![]),
        message(3, 9, StatusId::RunPart, first.to_inserts()),
        message(4, 9, StatusId::SyncFailed, failed),
        message(5, 20, StatusId::SyncStarted, vec![]),
        message(6, 30, StatusId::RunPart, second.to_inserts()),
        message(7, 30, StatusId::SyncDone, vec![]),
    ]
}

fn row_of<'m>(messages: impl IntoIterator<Item = &'m StatusRow>) -> SiteRunRow {
    let mut row = SiteRunRow::new(run(), site());
    for message in messages {
        if let Some(says) = Says::of(message) {
            add(&mut row, message, says);
        }
    }
    row
}

fn part_of<'m>(messages: impl IntoIterator<Item = &'m StatusRow>) -> Part {
    Part::new(&row_of(messages), None)
}

/// The part in one line: state, times, phases.
fn shown(part: &Part) -> String {
    let second = |time: Option<Timestamp>| {
        time.map_or_else(
            || "-".to_owned(),
            |time| (time.as_second() - 1_700_000_000).to_string(),
        )
    };
    let phases = part.phases.iter().map(|span| {
        format!(
            " {} {}-{}",
            span.phase,
            second(Some(span.started)),
            second(span.finished)
        )
    });
    format!(
        "{} {}/{}-{}{} {}",
        part.state,
        second(part.requested),
        second(part.started),
        second(part.finished),
        phases.collect::<String>(),
        part.error
    )
}

#[test]
fn a_part_tells_when_it_was_asked_began_and_ended_and_the_phases_of_its_newest_attempt() {
    let story = story();
    let upto = |number: usize| shown(&part_of(&story[..number]));
    assert_eq!(upto(1), "Running -/1-- ");
    assert_eq!(
        upto(4),
        "Failed 0/1-9 Connecting 1-2 SyncingUpdates 2-9 the parent is away"
    );
    assert_eq!(upto(5), "Running 0/1-- ");
    assert_eq!(
        upto(7),
        "Completed 0/1-30 Connecting 20-21 SyncingUpdates 21-29 Verifying 29-30 "
    );
    assert_eq!(
        (part_of(&story).items, part_of(&story).bytes),
        (40, 4_000),
        "of the newest attempt"
    );
}

#[test]
fn a_site_that_only_says_that_it_ran_is_shown_without_phases() {
    let messages = [
        message(1, 1, StatusId::SyncStarted, vec![]),
        message(2, 9, StatusId::SyncDone, vec![]),
    ];
    assert_eq!(shown(&part_of(&messages)), "Completed -/1-9 ");
    assert_eq!(shown(&part_of(&messages[1..])), "Completed -/--9 ");
    let joined = [message(3, 5, StatusId::RunJoined, vec!["x".to_owned()])];
    assert_eq!(shown(&part_of(&joined)), "Joined -/--5 ");
    assert_eq!(shown(&part_of(&[])), "Requested -/--- ");
}

#[test]
fn what_a_site_reports_now_is_shown_until_its_messages_say_more() {
    let story = story();
    let phases = [("Connecting", 20), ("SyncingUpdates", 21)];
    let live = Live {
        state: "SyncingUpdates".to_owned(),
        told: told(15, 20, &phases),
        finished: None,
        error: String::new(),
    };
    let with = |number: usize| shown(&Part::new(&row_of(&story[..number]), Some(&live)));
    let running = "SyncingUpdates 0/1-- Connecting 20-21 SyncingUpdates 21-- ";
    assert_eq!(with(4), running, "its second beginning is on its way");
    assert_eq!(with(5), running);
    assert_eq!(
        with(7),
        shown(&part_of(&story)),
        "the report is the older one"
    );
    let first = Live {
        told: told(0, 1, &phases[..1]),
        ..live.clone()
    };
    assert_eq!(
        shown(&Part::new(&row_of(&story[..4]), Some(&first))),
        shown(&part_of(&story[..4])),
        "it is of the attempt that failed"
    );
    let only = Part::new(&row_of(&[]), Some(&live));
    assert_eq!(
        shown(&only),
        "SyncingUpdates 15/20-- Connecting 20-21 SyncingUpdates 21-- "
    );
}

#[test]
fn what_no_site_of_ours_says_is_left_out() {
    let inserts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let odd: Vec<String> = inserts(&[
        "yesterday",
        "2024-01-01T00:00:00Z",
        "Connecting 2024-01-01T00:00:01Z, <b> 2024-01-01T00:00:01Z, Verifying soon, ,",
        "-1",
        "99999999999999999999999",
    ]);
    let read = Told::from_inserts(&odd);
    assert_eq!((read.requested, read.items, read.bytes), (None, 0, 0));
    assert_eq!(read.phases.len(), 1);
    let many = format!(
        "{}x 2024-01-01T00:00:00Z",
        "A 2024-01-01T00:00:00Z, ".repeat(99)
    );
    let many = Told::from_inserts(&[String::new(), String::new(), many]);
    assert_eq!(many.phases.len(), MOST_PHASES);
    assert_eq!(Told::from_inserts(&[]), Told::default());
}

proptest! {
    #[test]
    fn messages_in_any_order_and_however_often_tell_the_same(
        order in proptest::collection::vec(0..7_usize, 0..40),
    ) {
        let story = story();
        let came: std::collections::BTreeSet<usize> = order.iter().copied().collect();
        let in_order = row_of(came.iter().map(|at| &story[*at]));
        let as_they_came = row_of(order.iter().map(|at| &story[*at]));
        prop_assert_eq!(&in_order, &as_they_came);
        // Whatever is missing, what is shown fits together.
        let part = Part::new(&as_they_came, None);
        let ends = [COMPLETED, FAILED, CANCELLED, JOINED];
        prop_assert_eq!(part.has_ended(), ends.contains(&part.state.as_str()));
        prop_assert_eq!(part.error.is_empty(), part.state != FAILED);
        for pair in part.phases.windows(2) {
            prop_assert_eq!(pair[0].finished, Some(pair[1].started));
            prop_assert!(pair[0].started <= pair[1].started);
        }
        if let Some(last) = part.phases.last() {
            prop_assert_eq!(last.finished, part.finished);
        }
    }

    #[test]
    fn what_is_told_is_read_as_it_was_meant(
        times in proptest::collection::vec(0..4_000_000_000_000_i64, 2..7),
        items in any::<u64>(),
        bytes in any::<u64>(),
    ) {
        let at = |millisecond: i64| Timestamp::from_millisecond(millisecond).unwrap();
        let told = Told {
            requested: Some(at(times[0])),
            started: Some(at(times[1])),
            phases: times[2..].iter().map(|time| ("Verifying".to_owned(), at(*time))).collect(),
            items,
            bytes,
        };
        prop_assert_eq!(Told::from_inserts(&told.to_inserts()), told);
    }
}
