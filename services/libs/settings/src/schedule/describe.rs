//! A schedule in plain English.

use super::Schedule;
use super::blackout::Blackout;
use super::forms::{BEGINNING, MonthlyByWeekday, Unit, Week, Weekday, When};
use jiff::civil::{Date, Time};
use std::collections::BTreeSet;

/// The whole schedule, without a full stop.
pub(super) fn schedule(schedule: &Schedule) -> String {
    let zone = &schedule.time_zone;
    let mut text = match &schedule.when {
        When::Off => return "off".to_owned(),
        When::Simple(simple) => {
            let unit = match simple.unit {
                Unit::Hours => "hour",
                Unit::Days => "day",
                Unit::Weeks => "week",
            };
            let (day, at) = (simple.start.date(), time(simple.start.time()));
            format!(
                "every {}, from {day} at {at} {zone}",
                count(simple.every, unit)
            )
        }
        When::Daily(daily) => {
            let first = time(daily.first);
            let times = match daily.times {
                1 => format!("daily, at {first} {zone}"),
                times => format!("{times} times a day, evenly spread from {first} {zone}"),
            };
            match daily.random_offset_minutes {
                0 => times,
                minutes => format!("{times}, up to {} later", count(minutes, "minute")),
            }
        }
        When::Weekly(weekly) => {
            let every = every(weekly.every_weeks, "week", "weekly", weekly.start);
            let (days, at) = (weekdays(&weekly.weekdays), time(weekly.at));
            format!("{every}, on {days}, at {at} {zone}")
        }
        When::MonthlyByDate(monthly) => {
            let every = every(monthly.every_months, "month", "monthly", monthly.start);
            let (day, at) = (day_of_month(monthly.day), time(monthly.at));
            format!("{every}, on {day}, at {at} {zone}")
        }
        When::MonthlyByWeekday(monthly) => {
            let every = every(monthly.every_months, "month", "monthly", monthly.start);
            let (day, at) = (weekday_of_month(monthly), time(monthly.at));
            format!("{every}, on {day}, at {at} {zone}")
        }
        When::Cron(expression) => {
            format!("when the cron expression \"{expression}\" matches, {zone}")
        }
    };
    let windows: Vec<String> = schedule.blackout.iter().map(window).collect();
    if !windows.is_empty() {
        text.push_str("; not ");
        text.push_str(&windows.join(", nor "));
    }
    text
}

fn window(window: &Blackout) -> String {
    let days = match window.weekdays.is_empty() {
        true => "on any day".to_owned(),
        false => format!("on {}", weekdays(&window.weekdays)),
    };
    let (from, to) = (time(window.from), time(window.to));
    let next = match window.to <= window.from {
        true => " of the next day",
        false => "",
    };
    format!("{days} from {from} to {to}{next}")
}

fn every(number: u8, unit: &str, each: &str, start: Date) -> String {
    let every = match number {
        1 => each.to_owned(),
        number => format!("every {number} {unit}s"),
    };
    match start == BEGINNING {
        true => every,
        false => format!("{every} from {start}"),
    }
}

fn day_of_month(day: u8) -> String {
    match day {
        0 => "the last day".to_owned(),
        29..=31 => format!("day {day} or the last"),
        day => format!("day {day}"),
    }
}

fn weekday_of_month(monthly: &MonthlyByWeekday) -> String {
    let week = match monthly.week {
        Week::First => "first",
        Week::Second => "second",
        Week::Third => "third",
        Week::Fourth => "fourth",
        Week::Last => "last",
    };
    let sign = match monthly.offset_days {
        0 => return format!("the {week} {:?}", monthly.weekday),
        1.. => "plus",
        _ => "minus",
    };
    let days = count(monthly.offset_days.unsigned_abs(), "day");
    format!("the {week} {:?} {sign} {days}", monthly.weekday)
}

fn weekdays(weekdays: &BTreeSet<Weekday>) -> String {
    let names: Vec<String> = weekdays.iter().map(|day| format!("{day:?}")).collect();
    match names.split_last() {
        None => "no day".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

/// `1 day`, `2 days`.
fn count(number: u8, unit: &str) -> String {
    match number {
        1 => format!("1 {unit}"),
        number => format!("{number} {unit}s"),
    }
}

/// Without seconds where there are none.
fn time(time: Time) -> String {
    match time.second() {
        0 => format!("{:02}:{:02}", time.hour(), time.minute()),
        second => format!("{:02}:{:02}:{second:02}", time.hour(), time.minute()),
    }
}
