//! Windows in which nothing runs.
//!
//! An instant is inside when the clocks of the zone show a time that is inside, so that an hour which they
//! show twice is closed twice.

use super::error::Error;
use super::forms::{Weekday, whole_seconds};
use super::zone::{Zone, shift};
use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How many windows a schedule may have.
pub(super) const MAX_WINDOWS: usize = 50;
const DAY: i64 = 24 * 60 * 60;
const WEEK: i64 = 7 * DAY;
/// How many changes of the clocks are looked at around one window. Windows are shorter than a week.
const MAX_CHANGES: usize = 64;

/// A window in which no synchronization starts by itself. What is due inside it waits for its end.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Blackout {
    /// Weekdays on which it begins; none: every day.
    pub weekdays: BTreeSet<Weekday>,
    /// Time of day at which it begins.
    #[schemars(with = "String")]
    pub from: Time,
    /// Time of day at which it ends: on the next day if that is not after `from`. The same time twice is
    /// therefore a whole day.
    #[schemars(with = "String")]
    pub to: Time,
}

/// The windows of a schedule, put together.
pub(super) struct Windows {
    /// Begin and end in seconds of the week, from Monday 00:00.
    /// Invariant: sorted, apart from each other, and not the whole week.
    closed: Vec<(i64, i64)>,
}

impl Windows {
    /// Puts windows together; refuses too many, and those that leave no time.
    pub(super) fn new(windows: &[Blackout]) -> Result<Self, Error> {
        if windows.len() > MAX_WINDOWS {
            return Err(Error::TooManyWindows {
                count: windows.len(),
            });
        }
        let mut parts = Vec::new();
        for window in windows {
            whole_seconds("schedule.blackout.from", window.from)?;
            whole_seconds("schedule.blackout.to", window.to)?;
            for (number, weekday) in (0i64..).zip(Weekday::ALL) {
                if window.weekdays.is_empty() || window.weekdays.contains(&weekday) {
                    parts.extend(parts_of(window, number));
                }
            }
        }
        parts.sort_unstable();
        let mut closed: Vec<(i64, i64)> = Vec::new();
        for (begin, end) in parts {
            match closed.last_mut() {
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                _ => closed.push((begin, end)),
            }
        }
        if closed == [(0, WEEK)] {
            return Err(Error::WholeWeek);
        }
        Ok(Self { closed })
    }

    /// The first instant at or after `at` that is in no window.
    pub(super) fn end(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let mut at = at;
        for _ in 0..MAX_CHANGES {
            let Some(left) = self.left(second_of_week(zone.civil(at))) else {
                return Some(at);
            };
            let end = shift(at, left)?;
            // If the clocks change before the window ends, look again at what they show then.
            at = match zone.change_after(at) {
                Some(change) if change < end => change,
                _ => end,
            };
        }
        None
    }

    /// The first instant of the window that `at` is in; none if it is in no window.
    pub(super) fn begin(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let mut gone = self.gone(second_of_week(zone.civil(at)))?;
        let mut at = at;
        for _ in 0..MAX_CHANGES {
            let begin = shift(at, -gone)?;
            let begin = match zone.change_until(at) {
                Some(change) if change > begin => change,
                _ => begin,
            };
            let before = shift(begin, -1)?;
            match self.gone(second_of_week(zone.civil(before))) {
                Some(more) => (at, gone) = (before, more),
                None => return Some(begin),
            }
        }
        None
    }

    /// Seconds until the window ends which `second` is in.
    fn left(&self, second: i64) -> Option<i64> {
        let (_, end) = self.around(second)?;
        let next_week = match self.closed.first() {
            Some((0, end_of_first)) if end == WEEK => *end_of_first,
            _ => 0,
        };
        Some(end - second + next_week)
    }

    /// Seconds since the window began which `second` is in.
    fn gone(&self, second: i64) -> Option<i64> {
        let (begin, _) = self.around(second)?;
        let last_week = match self.closed.last() {
            Some((begin_of_last, WEEK)) if begin == 0 => WEEK - begin_of_last,
            _ => 0,
        };
        Some(second - begin + last_week)
    }

    fn around(&self, second: i64) -> Option<(i64, i64)> {
        let inside = |(begin, end): &(i64, i64)| (*begin..*end).contains(&second);
        self.closed.iter().copied().find(inside)
    }
}

/// The window that begins on a day of the week, cut where the week ends.
fn parts_of(window: &Blackout, weekday: i64) -> impl Iterator<Item = (i64, i64)> {
    let (from, to) = (second_of_day(window.from), second_of_day(window.to));
    let length = if to > from {
        to - from
    } else {
        to - from + DAY
    };
    let begin = weekday * DAY + from;
    let end = begin + length;
    let whole = (begin, end.min(WEEK));
    let rest = (end > WEEK).then_some((0, end - WEEK));
    std::iter::once(whole).chain(rest)
}

/// Seconds since midnight.
pub(super) fn second_of_day(time: Time) -> i64 {
    i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second())
}

fn second_of_week(civil: DateTime) -> i64 {
    let weekday = i64::from(civil.weekday().to_monday_zero_offset());
    weekday * DAY + second_of_day(civil.time())
}
