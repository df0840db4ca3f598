//! Examples, each with the times that a person would expect.

mod day_by_day;
mod windows;

use super::*;
use jiff::civil::{date, time};
use std::collections::BTreeSet;

/// A schedule as it stands in a settings file.
pub(super) fn schedule(toml: &str) -> Schedule {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

pub(super) fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The first times after `from`, which is in the zone, as the clocks there show them.
#[track_caller]
fn check(toml: &str, from: &str, expected: &[&str]) {
    let schedule = schedule(toml);
    assert_eq!(schedule.check(), Ok(()), "{toml}");
    let zone = jiff::tz::TimeZone::get(&schedule.time_zone).unwrap();
    let from: Timestamp = from.parse().unwrap();
    let times: Vec<String> = schedule
        .preview(from, 0)
        .take(expected.len())
        .map(|at| at.to_zoned(zone.clone()).strftime("%F %T %:z").to_string())
        .collect();
    assert_eq!(times, expected, "{toml}");
}

#[track_caller]
fn refused(toml: &str, message: &str) {
    let schedule = schedule(toml);
    assert_eq!(schedule.check().unwrap_err().to_string(), message);
    assert_eq!(schedule.next_after(Timestamp::UNIX_EPOCH, 0), None);
}

#[test]
fn a_schedule_is_off_unless_something_is_chosen() {
    let off = schedule("");
    assert_eq!(off, Schedule::default());
    assert_eq!(off.check(), Ok(()));
    assert_eq!(off.next_after(Timestamp::UNIX_EPOCH, 0), None);
    assert!(!off.is_due(None, Timestamp::UNIX_EPOCH, Timestamp::MAX, 0));
    assert_eq!(off.describe(), "off");
}

#[test]
fn every_form_has_its_times() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            r#"when = { simple = { every = 7, unit = "days", start = "2026-01-01T02:00:00" } }"#,
            "2025-12-01T00:00:00Z",
            &[
                "2026-01-01 02:00:00 +00:00",
                "2026-01-08 02:00:00 +00:00",
                "2026-01-15 02:00:00 +00:00",
            ],
        ),
        (
            r#"when = { simple = { every = 23, unit = "hours", start = "2026-01-01T02:00:00" } }"#,
            "2026-01-01T02:00:00Z",
            &["2026-01-02 01:00:00 +00:00", "2026-01-03 00:00:00 +00:00"],
        ),
        (
            r#"when = { simple = { every = 2, unit = "weeks", start = "2026-01-01T02:00:00" } }"#,
            "2026-01-01T01:59:59.999Z",
            &["2026-01-01 02:00:00 +00:00", "2026-01-15 02:00:00 +00:00"],
        ),
        (
            "when = { daily = { first = \"03:00\", times = 4, random-offset-minutes = 0 } }",
            "2026-01-01T04:00:00Z",
            &[
                "2026-01-01 09:00:00 +00:00",
                "2026-01-01 15:00:00 +00:00",
                "2026-01-01 21:00:00 +00:00",
                "2026-01-02 03:00:00 +00:00",
            ],
        ),
        (
            r#"when = { weekly = { weekdays = ["friday", "monday"], at = "04:15:00" } }"#,
            "2026-01-01T00:00:00Z",
            &[
                "2026-01-02 04:15:00 +00:00",
                "2026-01-05 04:15:00 +00:00",
                "2026-01-09 04:15:00 +00:00",
            ],
        ),
        (
            // The week of the start has no Monday left.
            r#"when = { weekly = { weekdays = ["monday"], every-weeks = 3, start = "2026-01-01" } }"#,
            "2020-01-01T00:00:00Z",
            &["2026-01-19 03:00:00 +00:00", "2026-02-09 03:00:00 +00:00"],
        ),
        (
            "when = { monthly-by-date = { day = 31 } }",
            "2027-12-31T03:00:00Z",
            &[
                "2028-01-31 03:00:00 +00:00",
                "2028-02-29 03:00:00 +00:00",
                "2028-03-31 03:00:00 +00:00",
                "2028-04-30 03:00:00 +00:00",
            ],
        ),
        (
            r#"when = { monthly-by-date = { day = 0, every-months = 12, start = "2026-02-01" } }"#,
            "2026-01-01T00:00:00Z",
            &["2026-02-28 03:00:00 +00:00", "2027-02-28 03:00:00 +00:00"],
        ),
        (
            // The first of April 2026 is a Wednesday: the second Wednesday is before the second Tuesday.
            "when = { monthly-by-weekday = { offset-days = 1 } }",
            "2026-03-12T00:00:00Z",
            &["2026-04-15 03:00:00 +00:00", "2026-05-13 03:00:00 +00:00"],
        ),
        (
            r#"when = { monthly-by-weekday = { week = "last", weekday = "saturday", offset-days = 30 } }"#,
            "2026-01-01T00:00:00Z",
            &[
                "2026-01-26 03:00:00 +00:00",
                "2026-03-02 03:00:00 +00:00",
                "2026-03-30 03:00:00 +00:00",
            ],
        ),
        (
            r#"when = { monthly-by-weekday = { week = "first", weekday = "sunday", offset-days = -30, every-months = 3, start = "2026-01-01" } }"#,
            "2026-01-01T00:00:00Z",
            &["2026-03-06 03:00:00 +00:00", "2026-06-05 03:00:00 +00:00"],
        ),
        (
            r#"when = { cron = "0 3 8-14 * TUE" }"#,
            "2026-01-01T00:00:00Z",
            &["2026-01-13 03:00:00 +00:00", "2026-02-10 03:00:00 +00:00"],
        ),
        (
            r#"when = { cron = "30 */20 3 29 FEB ? 2028,2032" }"#,
            "1000-01-01T00:00:00Z",
            &["2028-02-29 03:00:30 +00:00", "2028-02-29 03:20:30 +00:00"],
        ),
    ];
    for (toml, from, expected) in table {
        check(toml, from, expected);
    }
}

#[test]
fn clocks_that_change_neither_lose_nor_double_a_time() {
    let table: &[(&str, &str, &[&str])] = &[
        (
            "when = { daily = { first = \"02:30\", random-offset-minutes = 0 } }",
            "2026-03-28T12:00:00Z",
            &["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
        ),
        (
            "when = { daily = { first = \"02:30\", random-offset-minutes = 0 } }",
            "2026-10-24T12:00:00Z",
            &["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"],
        ),
        (
            // In the gap and at its end: one time. In the hour that comes twice: one time each.
            r#"when = { cron = "*/30 * * * *" }"#,
            "2026-03-29T00:30:00Z",
            &["2026-03-29 03:00:00 +02:00", "2026-03-29 03:30:00 +02:00"],
        ),
        (
            r#"when = { cron = "*/30 * * * *" }"#,
            "2026-10-25T00:00:00Z",
            &["2026-10-25 02:30:00 +02:00", "2026-10-25 03:00:00 +01:00"],
        ),
        (
            r#"when = { cron = "* * * * * *" }"#,
            "2026-10-25T01:00:00Z",
            &["2026-10-25 03:00:00 +01:00"],
        ),
        (
            r#"when = { simple = { every = 1, unit = "hours" } }"#,
            "2026-10-24T23:00:00Z",
            &[
                "2026-10-25 02:00:00 +02:00",
                "2026-10-25 02:00:00 +01:00",
                "2026-10-25 03:00:00 +01:00",
            ],
        ),
    ];
    for (toml, from, expected) in table {
        check(
            &format!("time-zone = \"Europe/Berlin\"\n{toml}"),
            from,
            expected,
        );
    }
}

#[test]
fn the_time_of_a_day_that_a_country_left_out_is_the_begin_of_the_next() {
    check(
        "time-zone = \"Pacific/Apia\"\nwhen = { daily = { random-offset-minutes = 0 } }",
        "2011-12-29T20:00:00Z",
        &[
            "2011-12-31 00:00:00 +14:00",
            "2011-12-31 03:00:00 +14:00",
            "2012-01-01 03:00:00 +14:00",
        ],
    );
}

#[test]
fn what_falls_into_a_window_waits_for_its_end() {
    let nightly = "when = { daily = { first = \"03:00\", times = 2, random-offset-minutes = 0 } }";
    let table: &[(&str, &str, &[&str])] = &[
        (
            // From Friday evening to Monday morning, put together of three windows.
            r#"
            blackout = [
                { weekdays = ["friday"], from = "18:00", to = "00:00" },
                { weekdays = ["saturday"], from = "00:00", to = "00:00" },
                { weekdays = ["sunday"], from = "00:00", to = "06:00" },
                { weekdays = ["sunday"], from = "05:00", to = "04:00" },
            ]"#,
            "2026-01-02T10:00:00Z",
            &["2026-01-02 15:00:00 +00:00", "2026-01-05 04:00:00 +00:00"],
        ),
        (
            // In the middle of the window what fell into it is still to come; at its end it is not.
            r#"blackout = [{ from = "22:00", to = "03:30" }]"#,
            "2026-01-02T03:29:59Z",
            &["2026-01-02 03:30:00 +00:00", "2026-01-02 15:00:00 +00:00"],
        ),
        (
            r#"blackout = [{ from = "22:00", to = "03:00" }]"#,
            "2026-01-02T01:00:00Z",
            &["2026-01-02 03:00:00 +00:00", "2026-01-02 15:00:00 +00:00"],
        ),
        (
            // Nothing fell into this one.
            r#"blackout = [{ from = "04:00", to = "05:00" }]"#,
            "2026-01-02T04:30:00Z",
            &["2026-01-02 15:00:00 +00:00"],
        ),
        (
            // The clocks show 02:00 to 03:00 twice; the window is closed twice and open in between.
            "time-zone = \"Europe/Berlin\"\nblackout = [{ from = \"14:00\", to = \"02:45\" }]",
            "2026-10-24T10:00:00Z",
            &["2026-10-25 02:45:00 +02:00", "2026-10-25 03:00:00 +01:00"],
        ),
        (
            "time-zone = \"Europe/Berlin\"\nblackout = [{ from = \"14:00\", to = \"02:30\" }]",
            "2026-03-28T10:00:00Z",
            &["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"],
        ),
    ];
    for (windows, from, expected) in table {
        check(&format!("{nightly}\n{windows}"), from, expected);
    }
}

#[test]
fn missed_times_are_made_up_for_by_one_run() {
    let nightly = schedule("when = { monthly-by-date = { day = 1 } }");
    let at = |text: &str| instant(&format!("2026-{text}:00Z"));
    let created = at("01-15T00:00");
    let due = |last: Option<&str>, now: &str| nightly.is_due(last.map(at), created, at(now), 0);
    assert!(!due(None, "01-31T23:59"), "nothing has come yet");
    assert!(due(None, "02-01T03:00"), "the time has come");
    assert!(due(None, "07-20T12:00"), "six were missed");
    assert!(
        !due(Some("07-20T12:00"), "07-20T12:01"),
        "one run is enough"
    );
    assert!(due(Some("07-20T12:00"), "08-01T03:00"), "the next one");
    assert!(!due(Some("08-01T03:00"), "08-01T03:00"), "it has started");
    // A time before the schedule was made is not a missed one.
    assert!(!due(Some("01-01T00:00"), "01-20T00:00"));
}

#[test]
fn the_offset_of_a_time_hangs_on_the_seed_and_on_nothing_else() {
    let daily = schedule("when = { daily = { times = 24 } }");
    let from = instant("2026-01-01T00:00:00Z");
    let first: Vec<Timestamp> = daily.preview(from, 7).take(100).collect();
    let later: Vec<Timestamp> = daily.preview(first[49], 7).take(50).collect();
    assert_eq!(first[50..], later);
    assert_ne!(first, daily.preview(from, 8).take(100).collect::<Vec<_>>());
    // What sites were shown stays true in later versions.
    let told: Vec<String> = first[..3].iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "2026-01-01T00:13:56Z",
            "2026-01-01T01:23:42Z",
            "2026-01-01T02:11:08Z"
        ]
    );
}

#[test]
fn a_refused_schedule_says_what_to_change() {
    let long = format!("when = {{ cron = \"{}\" }}", "*".repeat(257));
    let windows = format!("blackout = [{}]", "{ from = \"01:00\" },".repeat(51));
    for (toml, message) in [
        (
            r#"time-zone = "Mars/Olympus""#,
            r#"schedule.time-zone is "Mars/Olympus", which is not known; use an IANA name such as "UTC" or "Europe/Berlin""#,
        ),
        (
            "when = { simple = { every = 0 } }",
            "schedule.when.simple.every is 0; it must be from 1 to 31",
        ),
        (
            r#"when = { simple = { every = 24, unit = "hours" } }"#,
            "schedule.when.simple.every is 24; it must be from 1 to 23",
        ),
        (
            r#"when = { simple = { every = 5, unit = "weeks" } }"#,
            "schedule.when.simple.every is 5; it must be from 1 to 4",
        ),
        (
            "when = { daily = { times = 25 } }",
            "schedule.when.daily.times is 25; it must be from 1 to 24",
        ),
        (
            "when = { daily = { random-offset-minutes = 31 } }",
            "schedule.when.daily.random-offset-minutes is 31; it must be from 0 to 30",
        ),
        (
            "when = { daily = { first = \"03:00:00.5\" } }",
            "schedule.when.daily.first has a part of a second; write it in whole seconds",
        ),
        (
            "when = { weekly = {} }",
            "schedule.when.weekly.weekdays is empty; name at least one weekday, or set schedule.when to \"off\"",
        ),
        (
            r#"when = { weekly = { weekdays = ["monday"], every-weeks = 5 } }"#,
            "schedule.when.weekly.every-weeks is 5; it must be from 1 to 4",
        ),
        (
            "when = { monthly-by-date = { day = 32 } }",
            "schedule.when.monthly-by-date.day is 32; it must be from 0 to 31",
        ),
        (
            "when = { monthly-by-date = { every-months = 13 } }",
            "schedule.when.monthly-by-date.every-months is 13; it must be from 1 to 12",
        ),
        (
            "when = { monthly-by-weekday = { offset-days = -31 } }",
            "schedule.when.monthly-by-weekday.offset-days is -31; it must be from -30 to 30",
        ),
        (
            r#"blackout = [{ from = "08:00", to = "20:00" }, { from = "19:00", to = "08:00" }]"#,
            "the windows of schedule.blackout cover the whole week; leave some time free, or set schedule.when to \"off\"",
        ),
        (
            windows.as_str(),
            "schedule.blackout has 51 windows; at most 50 are allowed",
        ),
        (
            long.as_str(),
            "schedule.when.cron has 257 characters; at most 256 are allowed",
        ),
        (
            r#"when = { cron = "@daily" }"#,
            "schedule.when.cron must have 5 fields (minute, hour, day of month, month, weekday), 6 (second first) or 7 (year last); this one has 1",
        ),
        (
            r#"when = { cron = "0 24 * * *" }"#,
            r#"schedule.when.cron has "24" as its hour; write numbers from 0 to 23, a list (1,2), a range (1-5), a step (*/2) or *"#,
        ),
        (
            r#"when = { cron = "0 3 * * TUE#2" }"#,
            r#"schedule.when.cron has "TUE#2" as its weekday; #, L and W are not understood; use the form monthly-by-weekday (week, weekday, offset-days)"#,
        ),
        (
            r#"when = { cron = "0 3 * * 2" }"#,
            r#"schedule.when.cron has "2" as its weekday; write the name (SUN to SAT), because 1 is Sunday in some dialects of cron and Monday in others"#,
        ),
        (
            r#"when = { cron = "0 3 30 FEB *" }"#,
            "schedule.when.cron never matches: no date from 1970 to 2100 is such a day of such a month",
        ),
    ] {
        refused(toml, message);
    }
}

#[test]
fn a_cron_expression_is_read_field_by_field() {
    for accepted in [
        "0 3 * * *",
        "  0  3 * * MON-FRI ",
        "0 3 * jul WED,sat",
        "0 3 ? * */2",
        "0 3 * * MON-FRI/2",
        "0 0 3 * * *",
        "0 0 3 1 1 ? 2030-2040/5",
    ] {
        assert!(
            expression::Expression::parse(accepted).is_ok(),
            "{accepted}"
        );
    }
    for refused in [
        "",
        "* * * *",
        "* * * * * * * *",
        "** 3 * * 2030",
        "0 3 L * *",
        "0 3 15W * *",
        "0 3 LW * *",
        "0 3 * * FRIL",
        "0 3 * * L",
        "0 3 * * 5L",
        "0 3 * * 0",
        "0 3 * * 1-5",
        "0 3 * * SAT-SUN",
        "0 3 * * FUNDAY",
        "0 3 * 13 *",
        "60 3 * * *",
        "*/0 3 * * *",
        "5-1 3 * * *",
        "1, 3 * * *",
        "1,,2 3 * * *",
        "99999999999999999999 3 * * *",
        "0 3 1-4294967295 * *",
        "0 3 ü * *",
        "0 0 3 1 1 * 1969",
        "0 0 3 29 FEB * 2030",
    ] {
        assert!(expression::Expression::parse(refused).is_err(), "{refused}");
    }
}

#[test]
fn a_cron_expression_that_has_ended_has_no_next_time() {
    let ended = schedule(r#"when = { cron = "0 0 3 1 JAN * 2020" }"#);
    assert_eq!(ended.check(), Ok(()));
    assert_eq!(ended.next_after(instant("2026-01-01T00:00:00Z"), 0), None);
    let nightly = schedule(r#"when = { cron = "0 3 * * *" }"#);
    assert_eq!(nightly.next_after(instant("2100-12-31T03:00:00Z"), 0), None);
}

#[test]
fn every_form_is_described_in_words() {
    for (toml, expected) in [
        (
            r#"when = { simple = { every = 7, start = "2026-01-01T02:00:00" } }"#,
            "every 7 days, from 2026-01-01 at 02:00 UTC",
        ),
        (
            "when = { daily = { times = 4 } }",
            "4 times a day, evenly spread from 03:00 UTC, up to 30 minutes later",
        ),
        (
            "when = { daily = { random-offset-minutes = 0 } }",
            "daily, at 03:00 UTC",
        ),
        (
            r#"when = { weekly = { weekdays = ["monday", "friday"], every-weeks = 2, start = "2026-01-01" } }"#,
            "every 2 weeks from 2026-01-01, on Monday and Friday, at 03:00 UTC",
        ),
        (
            "when = { monthly-by-date = { day = 0 } }",
            "monthly, on the last day, at 03:00 UTC",
        ),
        (
            "when = { monthly-by-date = { day = 31 } }",
            "monthly, on day 31 or the last, at 03:00 UTC",
        ),
        (
            "time-zone = \"Europe/Berlin\"\nwhen = { monthly-by-weekday = { offset-days = 1 } }",
            "monthly, on the second Tuesday plus 1 day, at 03:00 Europe/Berlin",
        ),
        (
            r#"when = { cron = "0 3 8-14 * TUE" }"#,
            r#"when the cron expression "0 3 8-14 * TUE" matches, UTC"#,
        ),
        (
            "when = { monthly-by-date = {} }\nblackout = [{ from = \"08:00\", to = \"18:00\" }, { weekdays = [\"saturday\"], from = \"22:00\", to = \"04:00\" }]",
            "monthly, on day 1, at 03:00 UTC; not on any day from 08:00 to 18:00, nor on Saturday from 22:00 to 04:00 of the next day",
        ),
    ] {
        assert_eq!(schedule(toml).describe(), expected);
    }
}

#[test]
fn a_schedule_is_written_as_a_table_named_after_its_form() {
    let schedule = Schedule {
        when: When::MonthlyByWeekday(MonthlyByWeekday {
            offset_days: 1,
            ..MonthlyByWeekday::default()
        }),
        time_zone: "Europe/Berlin".to_owned(),
        blackout: vec![Blackout {
            weekdays: BTreeSet::from([Weekday::Saturday]),
            from: time(22, 0, 0, 0),
            to: time(4, 0, 0, 0),
        }],
    };
    let text = r#"time-zone = "Europe/Berlin"

[when.monthly-by-weekday]
week = "second"
weekday = "tuesday"
offset-days = 1
at = "03:00:00"
every-months = 1
start = "2000-01-01"

[[blackout]]
weekdays = ["saturday"]
from = "22:00:00"
to = "04:00:00"
"#;
    assert_eq!(toml::to_string(&schedule).unwrap(), text);
    assert_eq!(toml::from_str::<Schedule>(text).unwrap(), schedule);
    let simple = Simple {
        start: date(2026, 1, 1).at(2, 0, 0, 0),
        ..Simple::default()
    };
    assert_eq!(
        serde_json::to_string(&When::Simple(simple)).unwrap(),
        r#"{"simple":{"every":7,"unit":"days","start":"2026-01-01T02:00:00"}}"#
    );
    assert_eq!(serde_json::to_string(&When::Off).unwrap(), r#""off""#);
}

#[test]
fn a_field_of_another_form_is_refused() {
    for toml in [
        "when = { simple = { times = 4 } }",
        "when = { simple = {}, daily = {} }",
        "when = \"sometimes\"",
        "every = 7",
        r#"blackout = [{ until = "04:00" }]"#,
        r#"when = { weekly = { weekdays = ["Monday"] } }"#,
    ] {
        assert!(toml::from_str::<Schedule>(toml).is_err(), "{toml}");
    }
}

#[test]
fn zones_are_known_on_a_machine_that_has_no_data_of_them() {
    let database = jiff::tz::TimeZoneDatabase::bundled();
    assert!(database.get("Europe/Berlin").is_ok());
}

#[test]
fn the_json_schema_names_every_form_and_its_limits() {
    let schema = serde_json::to_string(&schemars::schema_for!(Schedule)).unwrap();
    for part in [
        r#""off""#,
        r#""simple""#,
        r#""daily""#,
        r#""weekly""#,
        r#""monthly-by-date""#,
        r#""monthly-by-weekday""#,
        r#""cron""#,
        r#""maximum":30,"minimum":-30"#,
        r#""maxLength":256"#,
    ] {
        assert!(schema.contains(part), "{part} in {schema}");
    }
}
