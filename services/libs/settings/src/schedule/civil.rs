//! The civil times of a form, one after the other.

use super::blackout::second_of_day;
use super::error::Error;
use super::expression::Expression;
use super::forms::{
    Daily, MonthlyByDate, MonthlyByWeekday, Simple, Unit, Week, Weekday, Weekly, When,
};
use jiff::Span;
use jiff::civil::{Date, DateTime, Time, date};

const DAY: i64 = 24 * 60 * 60;
/// The Monday from which weeks are numbered.
const FIRST_MONDAY: Date = date(1970, 1, 5);
/// How many months of a form are looked at: an offset leads at most two months away, in either direction.
const MONTHS_AROUND: i32 = 8;

/// A form whose times are civil.
pub(super) enum Civil<'a> {
    /// Nothing.
    Never,
    /// Every so many days, from a start.
    Days { start: DateTime, days: i64 },
    /// Times of day, in seconds since midnight, in order.
    TimesOfDay(Vec<i64>),
    /// Weekdays.
    Weekly(&'a Weekly),
    /// Days of months.
    ByDate(&'a MonthlyByDate),
    /// Weekdays of months.
    ByWeekday(&'a MonthlyByWeekday),
    /// A cron expression.
    Cron(Box<Expression>),
}

impl<'a> Civil<'a> {
    /// Checks a form. One that counts hours is taken to count days.
    pub(super) fn new(when: &'a When) -> Result<Self, Error> {
        Ok(match when {
            When::Off => Self::Never,
            When::Simple(simple) => {
                simple.check()?;
                Self::Days {
                    start: simple.start,
                    days: days(simple),
                }
            }
            When::Daily(daily) => {
                daily.check()?;
                Self::TimesOfDay(times_of_day(daily))
            }
            When::Weekly(weekly) => {
                weekly.check()?;
                Self::Weekly(weekly)
            }
            When::MonthlyByDate(monthly) => {
                monthly.check()?;
                Self::ByDate(monthly)
            }
            When::MonthlyByWeekday(monthly) => {
                monthly.check()?;
                Self::ByWeekday(monthly)
            }
            When::Cron(text) => Self::Cron(Box::new(Expression::parse(text)?)),
        })
    }

    /// The first civil time strictly after `after`; none where the calendar ends. All are whole seconds.
    pub(super) fn next_after(&self, after: DateTime) -> Option<DateTime> {
        match self {
            Self::Never => None,
            Self::Days { start, days } => days_after(*start, *days, after),
            Self::TimesOfDay(seconds) => time_of_day_after(seconds, after),
            Self::Weekly(weekly) => weekday_after(weekly, after),
            Self::ByDate(monthly) => {
                let (start, every) = (monthly.start, monthly.every_months);
                month_after(start, every, monthly.at, after, |month| {
                    day_of_month(monthly.day, month)
                })
            }
            Self::ByWeekday(monthly) => {
                let (start, every) = (monthly.start, monthly.every_months);
                month_after(start, every, monthly.at, after, |month| {
                    weekday_of_month(monthly, month)
                })
            }
            Self::Cron(expression) => expression.next_after(after),
        }
    }
}

fn days(simple: &Simple) -> i64 {
    match simple.unit {
        Unit::Hours | Unit::Days => i64::from(simple.every),
        Unit::Weeks => i64::from(simple.every) * 7,
    }
}

fn days_after(start: DateTime, days: i64, after: DateTime) -> Option<DateTime> {
    if after < start {
        return Some(start);
    }
    let gone = days_between(start.date(), after.date())? / days;
    [gone, gone + 1]
        .into_iter()
        .filter_map(|count| later(start.date(), count * days))
        .map(|day| day.to_datetime(start.time()))
        .find(|civil| *civil > after)
}

/// Evenly spread over the day, whole seconds, in order.
fn times_of_day(daily: &Daily) -> Vec<i64> {
    let (first, times) = (second_of_day(daily.first), i64::from(daily.times));
    let mut seconds: Vec<i64> = (0..times)
        .map(|number| (first + number * DAY / times) % DAY)
        .collect();
    seconds.sort_unstable();
    seconds
}

fn time_of_day_after(seconds: &[i64], after: DateTime) -> Option<DateTime> {
    let today = seconds.iter().map(|second| (after.date(), *second));
    let tomorrow = later(after.date(), 1);
    let tomorrow = tomorrow.and_then(|day| Some((day, *seconds.first()?)));
    today
        .chain(tomorrow)
        .filter_map(|(day, second)| Some(day.to_datetime(time_at(second)?)))
        .find(|civil| *civil > after)
}

fn weekday_after(weekly: &Weekly, after: DateTime) -> Option<DateTime> {
    let every = i64::from(weekly.every_weeks);
    let from = after.date().max(weekly.start);
    let first_week = week_number(weekly.start)?;
    (0..=7 * (every + 1)).find_map(|number| {
        let day = later(from, number)?;
        let civil = day.to_datetime(weekly.at);
        let matches = weekly.weekdays.contains(&Weekday::of(day))
            && (week_number(day)? - first_week) % every == 0
            && civil > after;
        matches.then_some(civil)
    })
}

/// The first time after `after`, where `day_in` names the day of a month, which is given by its first day.
fn month_after(
    start: Date,
    every: u8,
    at: Time,
    after: DateTime,
    day_in: impl Fn(Date) -> Option<Date>,
) -> Option<DateTime> {
    let every = i32::from(every);
    let from = month_number(after.date().max(start)) - 2;
    let first = from - (from - month_number(start)).rem_euclid(every);
    (0..=MONTHS_AROUND).find_map(|number| {
        let day = day_in(first_of_month(first + number * every)?)?;
        let civil = day.to_datetime(at);
        (day >= start && civil > after).then_some(civil)
    })
}

fn day_of_month(day: u8, month: Date) -> Option<Date> {
    let last = month.last_of_month();
    match i8::try_from(day).ok()? {
        0 => Some(last),
        day => Date::new(month.year(), month.month(), day.min(last.day())).ok(),
    }
}

fn weekday_of_month(monthly: &MonthlyByWeekday, month: Date) -> Option<Date> {
    let number = match monthly.week {
        Week::First => 1,
        Week::Second => 2,
        Week::Third => 3,
        Week::Fourth => 4,
        Week::Last => -1,
    };
    let day = month
        .nth_weekday_of_month(number, monthly.weekday.into())
        .ok()?;
    later(day, i64::from(monthly.offset_days))
}

fn month_number(day: Date) -> i32 {
    i32::from(day.year()) * 12 + i32::from(day.month()) - 1
}

fn first_of_month(number: i32) -> Option<Date> {
    let year = i16::try_from(number.div_euclid(12)).ok()?;
    let month = i8::try_from(number.rem_euclid(12) + 1).ok()?;
    Date::new(year, month, 1).ok()
}

fn week_number(day: Date) -> Option<i64> {
    Some(days_between(FIRST_MONDAY, day)?.div_euclid(7))
}

fn days_between(from: Date, to: Date) -> Option<i64> {
    Some(i64::from(from.until(to).ok()?.get_days()))
}

fn later(day: Date, days: i64) -> Option<Date> {
    day.checked_add(Span::new().try_days(days).ok()?).ok()
}

fn time_at(second: i64) -> Option<Time> {
    let [hour, minute, second] = [second / 3600, second / 60 % 60, second % 60];
    let part = |value: i64| i8::try_from(value).ok();
    Time::new(part(hour)?, part(minute)?, part(second)?, 0).ok()
}
