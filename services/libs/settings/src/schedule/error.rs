//! What can be wrong with a schedule.

use super::blackout::MAX_WINDOWS;
use super::expression::MAX_LENGTH;

/// Why a schedule is refused: the field, and what is allowed there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A number is outside its limits.
    #[error("{field} is {value}; it must be from {min} to {max}")]
    OutOfRange {
        /// The field, by its full name.
        field: &'static str,
        /// What it holds.
        value: i64,
        /// The least that is allowed.
        min: i64,
        /// The most that is allowed.
        max: i64,
    },
    /// A time is not in whole seconds.
    #[error("{field} has a part of a second; write it in whole seconds")]
    PartOfSecond {
        /// The field, by its full name.
        field: &'static str,
    },
    /// The weekly form names no weekday.
    #[error(
        "schedule.when.weekly.weekdays is empty; name at least one weekday, or set schedule.when to \"off\""
    )]
    NoWeekday,
    /// The time zone is not in the database.
    #[error(
        "schedule.time-zone is {name:?}, which is not known; use an IANA name such as \"UTC\" or \"Europe/Berlin\""
    )]
    UnknownZone {
        /// What it holds.
        name: String,
    },
    /// There are too many windows.
    #[error("schedule.blackout has {count} windows; at most {MAX_WINDOWS} are allowed")]
    TooManyWindows {
        /// How many there are.
        count: usize,
    },
    /// The windows leave no time at all.
    #[error(
        "the windows of schedule.blackout cover the whole week; leave some time free, or set schedule.when to \"off\""
    )]
    WholeWeek,
    /// The cron expression is too long.
    #[error("schedule.when.cron has {length} characters; at most {MAX_LENGTH} are allowed")]
    ExpressionTooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// The cron expression has too few or too many fields.
    #[error(
        "schedule.when.cron must have 5 fields (minute, hour, day of month, month, weekday), 6 (second first) or 7 (year last); this one has {count}"
    )]
    FieldCount {
        /// How many it has.
        count: usize,
    },
    /// A field of the cron expression cannot be read.
    #[error(
        "schedule.when.cron has {text:?} as its {field}; write {allowed}, a list (1,2), a range (1-5), a step (*/2) or *"
    )]
    Field {
        /// Which field it is.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// The cron expression uses `#`, `L` or `W`.
    #[error(
        "schedule.when.cron has {text:?} as its {field}; #, L and W are not understood; use {instead}"
    )]
    Extension {
        /// Which field it is.
        field: &'static str,
        /// What stands there.
        text: String,
        /// The form to use.
        instead: &'static str,
    },
    /// The cron expression has a weekday as a number.
    #[error(
        "schedule.when.cron has {text:?} as its weekday; write the name (SUN to SAT), because 1 is Sunday in some dialects of cron and Monday in others"
    )]
    NumberedWeekday {
        /// What stands there.
        text: String,
    },
    /// The cron expression matches no day that there is.
    #[error(
        "schedule.when.cron never matches: no date from 1970 to 2100 is such a day of such a month"
    )]
    NeverMatches,
}
