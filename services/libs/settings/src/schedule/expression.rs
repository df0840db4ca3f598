//! Cron expressions, as matchers of civil times.
//!
//! The crate `cron` knows fields and calendars but not what to do where clocks change, so it never sees a
//! zone: civil times go in and come out dressed as UTC.

use super::error::Error;
use chrono::{Datelike, NaiveDate, Timelike, Utc};
use jiff::civil::{DateTime, datetime};
use std::str::FromStr;

/// How many bytes an expression may have.
pub(super) const MAX_LENGTH: usize = 256;
/// Before the first year that the crate knows, in which its search must not begin.
const BEFORE_ALL: DateTime = datetime(1969, 12, 31, 23, 59, 59, 0);

/// The fields in order, with what may stand there.
const FIELDS: [(&str, &str); 7] = [
    ("second", "numbers from 0 to 59"),
    ("minute", "numbers from 0 to 59"),
    ("hour", "numbers from 0 to 23"),
    ("day of month", "numbers from 1 to 31"),
    ("month", "numbers from 1 to 12 or names (JAN to DEC)"),
    ("weekday", "names (SUN to SAT)"),
    ("year", "numbers from 1970 to 2100"),
];
const DAY_OF_MONTH: &str = FIELDS[3].0;
const WEEKDAY: &str = FIELDS[5].0;

/// An expression that has been read.
pub(super) struct Expression(cron::Schedule);

impl Expression {
    /// Reads 5, 6 or 7 fields; with 5, the second is 0.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LENGTH {
            return Err(Error::ExpressionTooLong { length: text.len() });
        }
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        match fields.len() {
            5 => fields.insert(0, "0"),
            6 | 7 => {}
            count => return Err(Error::FieldCount { count }),
        }
        for ((field, allowed), text) in FIELDS.into_iter().zip(&fields) {
            refuse_extensions(field, text)?;
            if !is_understood(field, text) {
                return Err(Error::Field {
                    field,
                    text: (*text).to_owned(),
                    allowed,
                });
            }
        }
        // Each field was understood by itself, so what is left is that no date matches them all.
        cron::Schedule::from_str(&fields.join(" "))
            .ok()
            .map(Self)
            .filter(|expression| expression.next_after(BEFORE_ALL).is_some())
            .ok_or(Error::NeverMatches)
    }

    /// The first civil time strictly after `after` that matches; none after the year 2100. The search looks
    /// at each day until then at most once.
    pub(super) fn next_after(&self, after: DateTime) -> Option<DateTime> {
        let next = self.0.after(&dressed(after.max(BEFORE_ALL))?).next()?;
        let part = |value: u32| i8::try_from(value).ok();
        DateTime::new(
            i16::try_from(next.year()).ok()?,
            part(next.month())?,
            part(next.day())?,
            part(next.hour())?,
            part(next.minute())?,
            part(next.second())?,
            0,
        )
        .ok()
    }
}

/// A civil time as if it were UTC.
fn dressed(civil: DateTime) -> Option<chrono::DateTime<Utc>> {
    let part = |value: i8| u32::try_from(value).ok();
    let day = NaiveDate::from_ymd_opt(
        i32::from(civil.year()),
        part(civil.month())?,
        part(civil.day())?,
    )?;
    let (hour, minute, second) = (civil.hour(), civil.minute(), civil.second());
    let time = day.and_hms_opt(part(hour)?, part(minute)?, part(second)?)?;
    Some(time.and_utc())
}

/// Refuses what other dialects of cron have and this one has not, and says what to use.
fn refuse_extensions(field: &'static str, text: &str) -> Result<(), Error> {
    let extension = |instead| {
        Err(Error::Extension {
            field,
            text: text.to_owned(),
            instead,
        })
    };
    if text.contains('#') {
        return extension("the form monthly-by-weekday (week, weekday, offset-days)");
    }
    let upper = text.to_ascii_uppercase();
    if field == DAY_OF_MONTH && upper.contains('W') {
        return extension("the form weekly, or monthly-by-weekday with offset-days");
    }
    if field == DAY_OF_MONTH && upper.contains('L') {
        return extension("the form monthly-by-date with day = 0");
    }
    // No name of a weekday ends in L.
    if field == WEEKDAY && upper.split([',', '-', '/']).any(|part| part.ends_with('L')) {
        return extension("the form monthly-by-weekday with week = \"last\"");
    }
    let numbered = |item: &str| {
        let (days, _step) = item.split_once('/').unwrap_or((item, ""));
        days.contains(|letter: char| letter.is_ascii_digit())
    };
    if field == WEEKDAY && text.split(',').any(numbered) {
        return Err(Error::NumberedWeekday {
            text: text.to_owned(),
        });
    }
    Ok(())
}

/// Whether a field can be read by itself. The crate would also take two fields without a space between them.
fn is_understood(field: &'static str, text: &str) -> bool {
    text.split(',').all(is_item) && {
        let alone = FIELDS.map(|(name, _)| if name == field { text } else { "*" });
        cron::Schedule::from_str(&alone.join(" ")).is_ok()
    }
}

/// `*`, `?`, a number or name, or a range of them, each with or without a step.
fn is_item(item: &str) -> bool {
    let (values, step) = item.split_once('/').unwrap_or((item, "1"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let (from, to) = values.split_once('-').unwrap_or((values, values));
    let is_range = (number(from) && number(to)) || (name(from) && name(to));
    number(step) && (values == "*" || values == "?" || is_range)
}
