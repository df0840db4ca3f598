//! What holds for every schedule, compared with calculations that share nothing with it.

use super::tests::{instant, schedule};
use super::*;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Tehran",
    "Pacific/Apia",
];

fn later(at: Timestamp, seconds: i64) -> Timestamp {
    at + SignedDuration::from_secs(seconds)
}

/// Days from 1970-01-01, by counting leap years: none of the calendar of jiff.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let years: i64 = (1970..year)
        .map(|year| if leap(year) { 366 } else { 365 })
        .sum();
    let lengths = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
    ];
    let months: i64 = (1..month).zip(lengths).map(|(_, length)| length).sum();
    years + months + day - 1
}

#[test]
fn second_tuesdays_are_those_of_the_calendar_for_a_century() {
    for (offset, cron) in [(0, Some("0 3 8-14 * TUE")), (1, None), (-9, None)] {
        let mut expected = Vec::new();
        for (year, month) in (2000..=2100).flat_map(|year| (1..=12).map(move |month| (year, month)))
        {
            // 1970-01-01 was a Thursday: Tuesdays are the days with remainder 5.
            let first = day_number(year, month, 1);
            let second_tuesday = first + (5 - first).rem_euclid(7) + 7;
            expected.push((second_tuesday + offset) * 86_400 + 3 * 3600);
        }
        let mut schedules = vec![schedule(&format!(
            "when = {{ monthly-by-weekday = {{ offset-days = {offset} }} }}"
        ))];
        schedules.extend(cron.map(|cron| schedule(&format!("when = {{ cron = \"{cron}\" }}"))));
        let from = instant("2000-01-01T00:00:00Z");
        for schedule in schedules {
            let times: Vec<i64> = schedule
                .preview(from, 0)
                .take(expected.len())
                .map(Timestamp::as_second)
                .collect();
            assert_eq!(times, expected, "{}", schedule.describe());
        }
    }
}

#[test]
fn a_daily_time_comes_exactly_once_on_every_day_whatever_the_clocks_do() {
    // Apia left out a whole day once: that has an example of its own.
    for name in ZONES.into_iter().filter(|name| *name != "Pacific/Apia") {
        let zone = TimeZone::get(name).unwrap();
        for (hour, minute) in [(0, 0), (1, 30), (2, 15), (2, 30)] {
            let daily = Daily {
                first: jiff::civil::time(hour, minute, 0, 0),
                times: 1,
                random_offset_minutes: 0,
            };
            let schedule = Schedule {
                when: When::Daily(daily.clone()),
                time_zone: name.to_owned(),
                ..Schedule::default()
            };
            let mut days = Vec::new();
            for at in schedule.preview(instant("2000-01-01T12:00:00Z"), 0) {
                let civil = zone.to_datetime(at);
                if civil.year() > 2039 {
                    break;
                }
                let nominal = civil.date().to_datetime(daily.first);
                let before = zone.to_datetime(later(at, -1));
                if civil == nominal {
                    // The first of the two, if there are two.
                    for earlier in [1800, 3600, 7200] {
                        assert_ne!(
                            zone.to_datetime(later(at, -earlier)),
                            nominal,
                            "{name} {at}"
                        );
                    }
                } else {
                    assert!(before < nominal && nominal < civil, "{name} {at}");
                }
                days.push(civil.date());
            }
            for pair in days.windows(2) {
                assert_eq!(pair[1], pair[0].tomorrow().unwrap(), "{name}");
            }
            assert!(days.len() > 14_600, "{name}: {}", days.len());
        }
    }
}

#[test]
fn times_of_a_day_are_evenly_spread() {
    for times in 1..=24u8 {
        let text = |minutes: u8| {
            format!(
                "when = {{ daily = {{ first = \"21:07:00\", times = {times}, random-offset-minutes = {minutes} }} }}"
            )
        };
        let (even, offset) = (schedule(&text(0)), schedule(&text(30)));
        let from = instant("2026-01-01T21:06:59Z");
        let nominal: Vec<i64> = even
            .preview(from, 0)
            .take(usize::from(times) * 3 + 1)
            .map(Timestamp::as_second)
            .collect();
        let spacing = 86_400.0 / f64::from(times);
        for pair in nominal.windows(2) {
            let gap = f64::from(i32::try_from(pair[1] - pair[0]).unwrap());
            assert!((gap - spacing).abs() <= 1.0, "{times}: {gap}");
        }
        assert_eq!(nominal[nominal.len() - 1] - nominal[0], 3 * 86_400);
        let mut seen = BTreeSet::new();
        for (nominal, at) in nominal.iter().zip(offset.preview(from, 42)) {
            let offset = at.as_second() - nominal;
            assert!((0..=1800).contains(&offset), "{times}: {offset}");
            seen.insert(offset);
        }
        assert!(seen.len() > 1, "not all at once");
    }
}

#[test]
fn cron_expressions_match_what_a_look_at_every_minute_finds() {
    type Matches = fn(DateTime) -> bool;
    let table: [(&str, Matches); 4] = [
        ("*/15 3-5 8-14 * TUE", |at| {
            at.minute() % 15 == 0
                && (3..=5).contains(&at.hour())
                && (8..=14).contains(&at.day())
                && at.weekday() == jiff::civil::Weekday::Tuesday
        }),
        ("59 23 31 * *", |at| {
            (at.minute(), at.hour(), at.day()) == (59, 23, 31)
        }),
        ("7,0 0 29 FEB,MAR *", |at| {
            [0, 7].contains(&at.minute())
                && at.hour() == 0
                && at.day() == 29
                && [2, 3].contains(&at.month())
        }),
        ("5/20 12 * 1-6/5 SUN", |at| {
            [5, 25, 45].contains(&at.minute())
                && at.hour() == 12
                && [1, 6].contains(&at.month())
                && at.weekday() == jiff::civil::Weekday::Sunday
        }),
    ];
    let utc = TimeZone::UTC;
    let (from, until) = (
        instant("2027-06-30T23:59:59Z"),
        instant("2028-07-01T00:00:00Z"),
    );
    for (text, matches) in table {
        let cron = schedule(&format!("when = {{ cron = \"{text}\" }}"));
        let times: Vec<Timestamp> = cron.preview(from, 0).take_while(|at| *at < until).collect();
        let expected: Vec<Timestamp> = (0..366 * 24 * 60)
            .map(|minute| later(from, 1 + minute * 60))
            .filter(|at| matches(utc.to_datetime(*at)))
            .collect();
        assert_eq!(times, expected, "{text}");
    }
}

/// Whether the clocks show a time inside a window, by looking at each of them.
fn is_closed(windows: &[Blackout], civil: DateTime) -> bool {
    let begins_on = |window: &Blackout, day: Date| {
        window.weekdays.is_empty() || window.weekdays.contains(&day.weekday().into())
    };
    let (day, time) = (civil.date(), civil.time());
    windows.iter().any(|window| {
        if window.from < window.to {
            return begins_on(window, day) && window.from <= time && time < window.to;
        }
        (begins_on(window, day) && window.from <= time)
            || (begins_on(window, day.yesterday().unwrap()) && time < window.to)
    })
}

fn any_weekday() -> impl Strategy<Value = Weekday> {
    (0..7usize).prop_map(|number| Weekday::ALL[number])
}

fn any_minute() -> impl Strategy<Value = Time> {
    (0..24i8, 0..60i8).prop_map(|(hour, minute)| jiff::civil::time(hour, minute, 0, 0))
}

fn any_second() -> impl Strategy<Value = Time> {
    (0..24i8, 0..60i8, 0..60i8)
        .prop_map(|(hour, minute, second)| jiff::civil::time(hour, minute, second, 0))
}

fn any_window() -> impl Strategy<Value = Blackout> {
    (btree_set(any_weekday(), 0..4), any_minute(), any_minute())
        .prop_map(|(weekdays, from, to)| Blackout { weekdays, from, to })
}

/// Mostly days on which something is scheduled, sometimes the ends of the calendar.
fn any_date() -> impl Strategy<Value = Date> {
    let usual = (1960..2110i16, 1..=12i8, 1..=31i8);
    let any = (-9999..=9999i16, 1..=12i8, 1..=31i8);
    prop_oneof![
        8 => usual,
        1 => any,
        1 => prop_oneof![Just((9999, 12, 31)), Just((-9999, 1, 1)), Just((9999, 11, 30))],
    ]
    .prop_map(|(year, month, day)| {
        let first = Date::new(year, month, 1).unwrap();
        first
            .with()
            .day(day.min(first.days_in_month()))
            .build()
            .unwrap()
    })
}

fn any_instant() -> impl Strategy<Value = Timestamp> {
    let usual = (-400_000_000..4_200_000_000i64, 0..1_000_000_000i32)
        .prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap());
    let any = (Timestamp::MIN.as_second() + 1..Timestamp::MAX.as_second())
        .prop_map(|second| Timestamp::from_second(second).unwrap());
    prop_oneof![
        16 => usual,
        2 => any,
        1 => Just(Timestamp::MIN),
        1 => Just(Timestamp::MAX),
        1 => Just(instant("9999-12-29T23:59:59.999Z")),
    ]
}

fn any_cron() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        4 => Just("*".to_owned()),
        2 => (0..60u8).prop_map(|number| number.to_string()),
        1 => (0..12u8, 0..32u8).prop_map(|(from, to)| format!("{from}-{to}")),
        1 => (1..30u8).prop_map(|step| format!("*/{step}")),
        1 => Just("MON-FRI".to_owned()),
        1 => Just("?".to_owned()),
    ];
    prop_oneof![
        4 => vec(field, 5..8).prop_map(|fields| fields.join(" ")),
        1 => "[0-9*/,#LW? a-z-]{0,40}",
        1 => any::<String>(),
    ]
}

/// Any form whatever its fields hold; mostly what is allowed.
fn any_when() -> impl Strategy<Value = When> {
    let every = || prop_oneof![6 => 1..5u8, 1 => any::<u8>()];
    let unit = prop_oneof![Just(Unit::Hours), Just(Unit::Days), Just(Unit::Weeks)];
    let week = prop_oneof![
        Just(Week::First),
        Just(Week::Second),
        Just(Week::Third),
        Just(Week::Fourth),
        Just(Week::Last)
    ];
    let day = prop_oneof![6 => 0..32u8, 1 => any::<u8>()];
    let offset_days = prop_oneof![6 => -30..31i8, 1 => any::<i8>()];
    prop_oneof![
        Just(When::Off),
        (every(), unit, any_date(), any_second()).prop_map(|(every, unit, date, time)| {
            let start = date.to_datetime(time);
            When::Simple(Simple { every, unit, start })
        }),
        (
            any_second(),
            prop_oneof![6 => 1..25u8, 1 => any::<u8>()],
            0..32u8
        )
            .prop_map(|(first, times, random_offset_minutes)| When::Daily(Daily {
                first,
                times,
                random_offset_minutes,
            })),
        (
            btree_set(any_weekday(), 0..7),
            any_second(),
            every(),
            any_date()
        )
            .prop_map(|(weekdays, at, every_weeks, start)| When::Weekly(Weekly {
                weekdays,
                at,
                every_weeks,
                start,
            })),
        (day, any_second(), every(), any_date()).prop_map(|(day, at, every_months, start)| {
            When::MonthlyByDate(MonthlyByDate {
                day,
                at,
                every_months,
                start,
            })
        }),
        (
            week,
            any_weekday(),
            offset_days,
            any_second(),
            every(),
            any_date()
        )
            .prop_map(|(week, weekday, offset_days, at, every_months, start)| {
                When::MonthlyByWeekday(MonthlyByWeekday {
                    week,
                    weekday,
                    offset_days,
                    at,
                    every_months,
                    start,
                })
            }),
        any_cron().prop_map(When::Cron),
    ]
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let zone = (0..ZONES.len()).prop_map(|number| ZONES[number].to_owned());
    let zone = prop_oneof![20 => zone, 1 => any::<String>()];
    (any_when(), zone, option::of(vec(any_window(), 0..6))).prop_map(
        |(when, time_zone, blackout)| Schedule {
            when,
            time_zone,
            blackout: blackout.unwrap_or_default(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn times_grow_and_are_outside_all_windows_and_the_same_however_asked(
        schedule in any_schedule(),
        from in any_instant(),
        seed in any::<u64>(),
    ) {
        let _ = schedule.describe();
        let times: Vec<Timestamp> = schedule.preview(from, seed).take(20).collect();
        if schedule.check().is_err() {
            prop_assert_eq!(times, vec![]);
            return Ok(());
        }
        let zone = TimeZone::get(&schedule.time_zone).unwrap();
        let mut last = from;
        for at in times {
            prop_assert!(at > last);
            prop_assert_eq!(schedule.next_after(last, seed), Some(at));
            // Nothing lies in between, wherever one asks from.
            let between = (last.as_second() + at.as_second()) / 2;
            let between = Timestamp::from_second(between).unwrap().min(later(at, -1)).max(last);
            prop_assert_eq!(schedule.next_after(between, seed), Some(at));
            prop_assert!(!is_closed(&schedule.blackout, zone.to_datetime(at)));
            prop_assert!(schedule.is_due(Some(last), Timestamp::MIN, at, seed));
            prop_assert!(!schedule.is_due(Some(last), Timestamp::MIN, later(at, -1), seed));
            // Missed, and looked at an hour later: it waits where a window is there then.
            if at < instant("9999-01-01T00:00:00Z") {
                let look = later(at, 3600);
                let closed = is_closed(&schedule.blackout, zone.to_datetime(look));
                prop_assert_eq!(schedule.is_due(Some(last), Timestamp::MIN, look, seed), !closed);
                let opens = schedule.opens(look);
                prop_assert_eq!(opens > look, closed);
                prop_assert!(schedule.is_due(Some(last), Timestamp::MIN, opens, seed));
            }
            last = at;
        }
    }

    #[test]
    fn a_schedule_survives_being_written_and_read(schedule in any_schedule()) {
        let json = serde_json::to_string(&schedule).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Schedule>(&json).unwrap(), &schedule);
        let toml = toml::to_string(&schedule).unwrap();
        prop_assert_eq!(&toml::from_str::<Schedule>(&toml).unwrap(), &schedule);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Waiting minute by minute until the clocks show a time that is open.
    #[test]
    fn windows_move_each_time_to_the_first_minute_that_is_open(
        windows in vec(any_window(), 1..5),
        zone in 1..7usize,
        times in select(vec![1, 2, 3, 5, 8, 24u8]),
        first in any_minute(),
        spring in any::<bool>(),
        minute in 0..40 * 24 * 60i64,
    ) {
        let open = Schedule {
            when: When::Daily(Daily { first, times, random_offset_minutes: 0 }),
            time_zone: ZONES[zone].to_owned(),
            blackout: Vec::new(),
        };
        let schedule = Schedule { blackout: windows.clone(), ..open.clone() };
        prop_assume!(schedule.check().is_ok());
        let zone = TimeZone::get(ZONES[zone]).unwrap();
        let begin = instant(if spring { "2016-03-01T00:00:00Z" } else { "2016-10-01T00:00:00Z" });
        let from = later(begin, minute * 60);
        let mut expected: BTreeSet<Timestamp> = BTreeSet::new();
        for mut at in open.preview(later(from, -9 * 86_400), 0).take_while(|at| *at < later(from, 3 * 86_400)) {
            while is_closed(&windows, zone.to_datetime(at)) {
                at = later(at, 60);
            }
            expected.insert(at);
        }
        let expected: Vec<Timestamp> = expected
            .into_iter()
            .filter(|at| *at > from && *at < later(from, 3 * 86_400))
            .collect();
        let times: Vec<Timestamp> = schedule
            .preview(from, 0)
            .take_while(|at| *at < later(from, 3 * 86_400))
            .collect();
        prop_assert_eq!(times, expected);
    }
}
