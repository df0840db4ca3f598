//! Every form that goes by the calendar, compared with a walk over all days that asks of each whether it is one
//! of them, and with a look at the clock of the zone in every minute. The calendar is counted here; jiff only
//! says what the clocks show at an instant.

use crate::schedule::{
    MonthlyByDate, MonthlyByWeekday, Schedule, Simple, Unit, Week, Weekday, Weekly, When,
};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time, date, time};
use jiff::tz::TimeZone;
use proptest::collection::btree_set;
use proptest::prelude::*;
use proptest::sample::select;
use std::sync::LazyLock;

/// Clocks that change at night, at midnight, by half an hour, and by the moon.
const ZONES: [&str; 5] = [
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
];
const DAY: i64 = 86_400;

/// A day of the calendar.
#[derive(Debug, Clone, Copy)]
struct Day {
    /// Days since 1970-01-01, a Thursday.
    number: i64,
    year: i16,
    month: i8,
    day: i8,
    /// How many days its month has.
    of: i8,
}

/// All days from 1990 to 2130, one after the other.
static CALENDAR: LazyLock<Vec<Day>> = LazyLock::new(|| {
    let mut days = Vec::new();
    // 20 years, of which 1972, 1976, 1980, 1984 and 1988 had a day more.
    let mut number = 20 * 365 + 5;
    for year in 1990..=2130i16 {
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let february = if leap { 29 } else { 28 };
        let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, of) in (1..).zip(lengths) {
            for day in 1..=of {
                days.push(Day {
                    number,
                    year,
                    month,
                    day,
                    of,
                });
                number += 1;
            }
        }
    }
    days
});

impl Day {
    /// A day of a schedule, looked up.
    fn of(date: Date) -> Self {
        let key = (date.year(), date.month(), date.day());
        let found = CALENDAR.binary_search_by_key(&key, |day| (day.year, day.month, day.day));
        CALENDAR[found.unwrap()]
    }

    /// The day some days before it, if the calendar goes back so far.
    fn before(self, days: i64) -> Option<Self> {
        let index = self.number - CALENDAR[0].number - days;
        CALENDAR.get(usize::try_from(index).ok()?).copied()
    }

    fn weekday(self) -> Weekday {
        let since_monday = (self.number + 3).rem_euclid(7);
        Weekday::ALL[usize::try_from(since_monday).unwrap()]
    }

    /// The number of its week, which begins on Monday.
    fn week(self) -> i64 {
        (self.number + 3).div_euclid(7)
    }

    fn months(self) -> i64 {
        i64::from(self.year) * 12 + i64::from(self.month)
    }

    /// Whether a count that begins with `start` and has `every` between comes to it.
    fn is_turn(count: i64, start: i64, every: u8) -> bool {
        (count - start).rem_euclid(i64::from(every)) == 0
    }

    /// Whether it is one of the days of a form.
    fn is_of(self, when: &When) -> bool {
        match when {
            When::Simple(simple) => {
                let start = Self::of(simple.start.date()).number;
                let every = match simple.unit {
                    Unit::Days => simple.every,
                    Unit::Weeks => 7 * simple.every,
                    Unit::Hours => unreachable!("hours are no days"),
                };
                self.number >= start && Self::is_turn(self.number, start, every)
            }
            When::Weekly(weekly) => {
                let start = Self::of(weekly.start);
                self.number >= start.number
                    && weekly.weekdays.contains(&self.weekday())
                    && Self::is_turn(self.week(), start.week(), weekly.every_weeks)
            }
            When::MonthlyByDate(monthly) => {
                let start = Self::of(monthly.start);
                let is_last = self.day == self.of;
                let is_named = u8::try_from(self.day) == Ok(monthly.day);
                let is_too_short = u8::try_from(self.of).unwrap() < monthly.day;
                self.number >= start.number
                    && (is_named || (is_last && (monthly.day == 0 || is_too_short)))
                    && Self::is_turn(self.months(), start.months(), monthly.every_months)
            }
            When::MonthlyByWeekday(monthly) => {
                let start = Self::of(monthly.start);
                let Some(named) = self.before(i64::from(monthly.offset_days)) else {
                    return false;
                };
                let days = match monthly.week {
                    Week::First => 1..=7,
                    Week::Second => 8..=14,
                    Week::Third => 15..=21,
                    Week::Fourth => 22..=28,
                    Week::Last => named.of - 6..=named.of,
                };
                self.number >= start.number
                    && named.weekday() == monthly.weekday
                    && days.contains(&named.day)
                    && Self::is_turn(named.months(), start.months(), monthly.every_months)
            }
            When::Off | When::Daily(_) | When::Cron(_) => unreachable!("no days of a calendar"),
        }
    }

    /// The first minute at which the clocks show a time of this day, or a later one where they skip it.
    fn placed(self, at: Time, zone: &TimeZone) -> Timestamp {
        let date = Date::new(self.year, self.month, self.day).unwrap();
        let nominal = date.to_datetime(at);
        let minutes = i64::from(at.hour()) * 60 + i64::from(at.minute());
        let as_in_utc = Timestamp::from_second(self.number * DAY + minutes * 60).unwrap();
        let near = as_in_utc.as_second() - i64::from(zone.to_offset(as_in_utc).seconds());
        (-90..=90)
            .map(|minute| Timestamp::from_second(near + minute * 60).unwrap())
            .find(|at| zone.to_datetime(*at) >= nominal)
            .unwrap()
    }
}

fn time_of(when: &When) -> Time {
    match when {
        When::Simple(simple) => simple.start.time(),
        When::Weekly(weekly) => weekly.at,
        When::MonthlyByDate(monthly) => monthly.at,
        When::MonthlyByWeekday(monthly) => monthly.at,
        When::Off | When::Daily(_) | When::Cron(_) => unreachable!("no days of a calendar"),
    }
}

/// Compares the times of a form from a day on; answers them.
#[track_caller]
fn check(when: &When, zone_name: &str, from: Day, count: usize) -> Vec<Timestamp> {
    let zone = TimeZone::get(zone_name).unwrap();
    let schedule = Schedule {
        when: when.clone(),
        time_zone: zone_name.to_owned(),
        ..Schedule::default()
    };
    assert_eq!(schedule.check(), Ok(()), "{when:?}");
    let midnight = from.placed(time(0, 0, 0, 0), &zone);
    let days = CALENDAR.iter().filter(|day| day.number >= from.number);
    let expected: Vec<Timestamp> = days
        .filter(|day| day.is_of(when))
        .map(|day| day.placed(time_of(when), &zone))
        .filter(|at| *at > midnight)
        .take(count)
        .collect();
    assert_eq!(expected.len(), count, "the calendar is long enough");
    let times: Vec<Timestamp> = schedule.preview(midnight, 0).take(count).collect();
    assert_eq!(times, expected, "{} {when:?}", schedule.describe());
    times
}

#[test]
fn second_tuesdays_of_a_century_are_right_in_five_zones() {
    let from = Day::of(date(2000, 1, 1));
    let (mut skipped, mut twice) = (0, 0);
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        // The Sunday before it is one on which clocks change, and 19 days after it the last one of a month often.
        for (offset_days, at) in [
            (0, time(3, 0, 0, 0)),
            (1, time(0, 0, 0, 0)),
            (-2, time(2, 30, 0, 0)),
            (-2, time(0, 15, 0, 0)),
            (19, time(2, 10, 0, 0)),
            (-9, time(1, 45, 0, 0)),
        ] {
            let when = When::MonthlyByWeekday(MonthlyByWeekday {
                offset_days,
                at,
                ..MonthlyByWeekday::default()
            });
            let times = check(&when, name, from, 101 * 12);
            for civil in times.iter().map(|at| zone.to_datetime(*at)) {
                let shown = zone.to_ambiguous_timestamp(civil).offset();
                skipped += usize::from(civil.time() != at);
                twice += usize::from(matches!(shown, jiff::tz::AmbiguousOffset::Fold { .. }));
            }
        }
    }
    // Many of them are times that a clock leaves out or shows twice.
    assert!(skipped > 100 && twice > 100, "{skipped} {twice}");
}

fn any_date() -> impl Strategy<Value = Date> {
    let last = CALENDAR.partition_point(|day| day.year < 2070);
    (0..last).prop_map(|index| {
        let day = CALENDAR[index];
        Date::new(day.year, day.month, day.day).unwrap()
    })
}

/// Mostly at night, when clocks change.
fn any_minute() -> impl Strategy<Value = Time> {
    let hour = prop_oneof![3 => 0..4i8, 1 => 0..24i8];
    (hour, 0..60i8).prop_map(|(hour, minute)| time(hour, minute, 0, 0))
}

/// Any form of days, weeks and months, with all that its fields may hold.
fn any_form() -> impl Strategy<Value = When> {
    let weekday = || select(Weekday::ALL.as_slice());
    let week = select(vec![
        Week::First,
        Week::Second,
        Week::Third,
        Week::Fourth,
        Week::Last,
    ]);
    let unit = prop_oneof![
        (1..=31u8).prop_map(|every| (every, Unit::Days)),
        (1..=4u8).prop_map(|every| (every, Unit::Weeks)),
    ];
    let day = prop_oneof![1 => Just(0), 2 => 1..=31u8, 1 => 28..=31u8];
    let months = || prop_oneof![1..=3u8, 1..=12u8];
    prop_oneof![
        (unit, any_date(), any_minute()).prop_map(|((every, unit), date, at)| {
            let start: DateTime = date.to_datetime(at);
            When::Simple(Simple { every, unit, start })
        }),
        (
            btree_set(weekday(), 1..=7),
            any_minute(),
            1..=4u8,
            any_date()
        )
            .prop_map(|(weekdays, at, every_weeks, start)| When::Weekly(Weekly {
                weekdays,
                at,
                every_weeks,
                start,
            })),
        (day, any_minute(), months(), any_date()).prop_map(|(day, at, every_months, start)| {
            When::MonthlyByDate(MonthlyByDate {
                day,
                at,
                every_months,
                start,
            })
        }),
        (
            week,
            weekday(),
            -30..=30i8,
            any_minute(),
            months(),
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
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_form_has_the_days_that_a_walk_over_the_calendar_finds(
        when in any_form(),
        zone in select(ZONES.as_slice()),
        from in any_date(),
    ) {
        check(&when, zone, Day::of(from), 50);
    }
}
