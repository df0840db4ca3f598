//! The forms of a schedule, with their limits.

use super::error::Error;
use jiff::civil::{Date, DateTime, Time, date, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The time of day where none is given: three in the morning.
const NIGHT: Time = time(3, 0, 0, 0);
/// Where counting begins if no start is given: before anything that is scheduled.
pub(super) const BEGINNING: Date = date(2000, 1, 1);

/// The form of a schedule. In TOML and JSON each is named by its key: `when = { cron = "0 3 * * TUE" }`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Never: synchronizations are started by hand.
    #[default]
    Off,
    /// Every so many hours, days or weeks.
    Simple(Simple),
    /// Some times a day, evenly spread, as in WSUS.
    Daily(Daily),
    /// On chosen weekdays.
    Weekly(Weekly),
    /// On a day of the month.
    MonthlyByDate(MonthlyByDate),
    /// On the first to fourth or last weekday of the month, or some days before or after it.
    MonthlyByWeekday(MonthlyByWeekday),
    /// At the civil times that a cron expression matches, until the year 2100: minute, hour, day of month,
    /// month, weekday; with seconds in front if there are six fields, and the year at the end if seven. When
    /// a day of month and a weekday are given, both must match. Weekdays are written by name. At most 256
    /// characters.
    Cron(#[schemars(length(max = 256))] String),
}

/// What a simple schedule counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Hours as they pass: where the clock changes, the time of day changes too.
    Hours,
    /// Days on the calendar: the time of day stays.
    #[default]
    Days,
    /// Weeks on the calendar: the time of day stays.
    Weeks,
}

/// Every so many hours, days or weeks, counted from a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Simple {
    /// How many of the unit: hours 1 to 23, days 1 to 31, weeks 1 to 4.
    #[schemars(range(min = 1, max = 31))]
    pub every: u8,
    /// What is counted.
    pub unit: Unit,
    /// Date and time of the first time: `2026-01-01T02:00:00`.
    #[schemars(with = "String")]
    pub start: DateTime,
}

impl Default for Simple {
    /// Every 7 days, as in Configuration Manager.
    fn default() -> Self {
        Self {
            every: 7,
            unit: Unit::Days,
            start: BEGINNING.to_datetime(NIGHT),
        }
    }
}

/// Some times a day, evenly spread over it, each a little later than its nominal time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Daily {
    /// The nominal time of day from which they are spread.
    #[schemars(with = "String")]
    pub first: Time,
    /// How many there are in a day.
    #[schemars(range(min = 1, max = 24))]
    pub times: u8,
    /// How many minutes later than its nominal time each may be, so that not all servers come at once. How
    /// much later is fixed for each time of a hierarchy: a preview shows it.
    #[schemars(range(max = 30))]
    pub random_offset_minutes: u8,
}

impl Default for Daily {
    fn default() -> Self {
        Self {
            first: NIGHT,
            times: 1,
            random_offset_minutes: 30,
        }
    }
}

/// A day of the week.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Weekday {
    Monday,
    #[default]
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Weekday {
    /// All, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    pub(super) fn of(date: Date) -> Self {
        Self::from(date.weekday())
    }
}

impl From<jiff::civil::Weekday> for Weekday {
    fn from(weekday: jiff::civil::Weekday) -> Self {
        use jiff::civil::Weekday as Jiff;
        match weekday {
            Jiff::Monday => Self::Monday,
            Jiff::Tuesday => Self::Tuesday,
            Jiff::Wednesday => Self::Wednesday,
            Jiff::Thursday => Self::Thursday,
            Jiff::Friday => Self::Friday,
            Jiff::Saturday => Self::Saturday,
            Jiff::Sunday => Self::Sunday,
        }
    }
}

impl From<Weekday> for jiff::civil::Weekday {
    fn from(weekday: Weekday) -> Self {
        match weekday {
            Weekday::Monday => Self::Monday,
            Weekday::Tuesday => Self::Tuesday,
            Weekday::Wednesday => Self::Wednesday,
            Weekday::Thursday => Self::Thursday,
            Weekday::Friday => Self::Friday,
            Weekday::Saturday => Self::Saturday,
            Weekday::Sunday => Self::Sunday,
        }
    }
}

/// On chosen weekdays, every so many weeks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Weekly {
    /// The weekdays: at least one.
    #[schemars(length(min = 1))]
    pub weekdays: BTreeSet<Weekday>,
    /// Time of day.
    #[schemars(with = "String")]
    pub at: Time,
    /// How many weeks lie between; 1: every week. Weeks begin on Monday and are counted from that of `start`.
    #[schemars(range(min = 1, max = 4))]
    pub every_weeks: u8,
    /// The first day on which it may run.
    #[schemars(with = "String")]
    pub start: Date,
}

impl Default for Weekly {
    fn default() -> Self {
        Self {
            weekdays: BTreeSet::new(),
            at: NIGHT,
            every_weeks: 1,
            start: BEGINNING,
        }
    }
}

/// On a day of the month, every so many months.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MonthlyByDate {
    /// The day; 0: the last. A month that is too short for it has it on its last day.
    #[schemars(range(max = 31))]
    pub day: u8,
    /// Time of day.
    #[schemars(with = "String")]
    pub at: Time,
    /// How many months lie between; 1: every month. They are counted from that of `start`.
    #[schemars(range(min = 1, max = 12))]
    pub every_months: u8,
    /// The first day on which it may run.
    #[schemars(with = "String")]
    pub start: Date,
}

impl Default for MonthlyByDate {
    fn default() -> Self {
        Self {
            day: 1,
            at: NIGHT,
            every_months: 1,
            start: BEGINNING,
        }
    }
}

/// Which of the weekdays of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Week {
    First,
    #[default]
    Second,
    Third,
    Fourth,
    Last,
}

/// Some days before or after the first to fourth or last weekday of the month, every so many months.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct MonthlyByWeekday {
    /// Which one of the month.
    pub week: Week,
    /// Of which weekday.
    pub weekday: Weekday,
    /// Days after it, or before it if negative. "The day after the second Tuesday" is not always the second
    /// Wednesday.
    #[schemars(range(min = -30, max = 30))]
    pub offset_days: i8,
    /// Time of day.
    #[schemars(with = "String")]
    pub at: Time,
    /// How many months lie between; 1: every month. They are counted from that of `start`; what counts is
    /// the month of the weekday, whatever month the offset leads to.
    #[schemars(range(min = 1, max = 12))]
    pub every_months: u8,
    /// The first day on which it may run.
    #[schemars(with = "String")]
    pub start: Date,
}

impl Default for MonthlyByWeekday {
    /// The second Tuesday: the day on which Microsoft releases updates.
    fn default() -> Self {
        Self {
            week: Week::Second,
            weekday: Weekday::Tuesday,
            offset_days: 0,
            at: NIGHT,
            every_months: 1,
            start: BEGINNING,
        }
    }
}

impl Simple {
    pub(super) fn check(&self) -> Result<(), Error> {
        let max = match self.unit {
            Unit::Hours => 23,
            Unit::Days => 31,
            Unit::Weeks => 4,
        };
        within("schedule.when.simple.every", self.every, 1, max)?;
        whole_seconds("schedule.when.simple.start", self.start.time())
    }
}

impl Daily {
    pub(super) fn check(&self) -> Result<(), Error> {
        within("schedule.when.daily.times", self.times, 1, 24)?;
        let field = "schedule.when.daily.random-offset-minutes";
        within(field, self.random_offset_minutes, 0, 30)?;
        whole_seconds("schedule.when.daily.first", self.first)
    }
}

impl Weekly {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.weekdays.is_empty() {
            return Err(Error::NoWeekday);
        }
        within("schedule.when.weekly.every-weeks", self.every_weeks, 1, 4)?;
        whole_seconds("schedule.when.weekly.at", self.at)
    }
}

impl MonthlyByDate {
    pub(super) fn check(&self) -> Result<(), Error> {
        within("schedule.when.monthly-by-date.day", self.day, 0, 31)?;
        let field = "schedule.when.monthly-by-date.every-months";
        within(field, self.every_months, 1, 12)?;
        whole_seconds("schedule.when.monthly-by-date.at", self.at)
    }
}

impl MonthlyByWeekday {
    pub(super) fn check(&self) -> Result<(), Error> {
        let field = "schedule.when.monthly-by-weekday.offset-days";
        within(field, self.offset_days, -30, 30)?;
        let field = "schedule.when.monthly-by-weekday.every-months";
        within(field, self.every_months, 1, 12)?;
        whole_seconds("schedule.when.monthly-by-weekday.at", self.at)
    }
}

fn within(field: &'static str, value: impl Into<i64>, min: i64, max: i64) -> Result<(), Error> {
    let value = value.into();
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::OutOfRange {
        field,
        value,
        min,
        max,
    })
}

/// Everything is reckoned in whole seconds.
pub(super) fn whole_seconds(field: &'static str, time: Time) -> Result<(), Error> {
    if time.subsec_nanosecond() == 0 {
        return Ok(());
    }
    Err(Error::PartOfSecond { field })
}
