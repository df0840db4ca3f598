//! When a top-level site synchronizes by itself.
//!
//! A schedule is a *form* (`when`), a time zone, and windows in which nothing runs. In TOML the form is a
//! table named after it, so that a field of another form is refused:
//!
//! ```toml
//! [schedule]
//! time-zone = "Europe/Berlin"
//! [schedule.when.monthly-by-weekday]
//! week = "second"
//! weekday = "tuesday"
//! offset-days = 1
//! at = "03:00:00"
//! ```
//!
//! How times are found: the form names *civil* times, the ones that a clock on the wall shows. Each is placed
//! in the zone once: a time that the clock skips is the first instant after the gap, a time that it shows
//! twice is the first of the two. Only hours are counted as they pass. Then comes the offset of the daily
//! form, then the windows: what falls into one waits for its end. Times that become the same become one.

mod blackout;
mod civil;
mod describe;
mod error;
mod expression;
mod forms;
mod plan;
mod zone;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

pub use blackout::Blackout;
pub use error::Error;
pub use forms::{
    Daily, MonthlyByDate, MonthlyByWeekday, Simple, Unit, Week, Weekday, Weekly, When,
};

use jiff::Timestamp;
use plan::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a top-level site synchronizes by itself.
///
/// Any value may be held and asked for times; one that [`Schedule::check`] refuses has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Schedule {
    /// The form: off, simple, daily, weekly, monthly by date or by weekday, or a cron expression.
    pub when: When,
    /// The time zone of all times in the schedule, by its IANA name (`UTC`, `Europe/Berlin`).
    pub time_zone: String,
    /// Windows in which the top-level site starts no synchronization by itself: at most 50. A time inside one,
    /// one that was missed, and a retry wait for its end. What somebody asks for does not wait, and the sites
    /// below follow whenever there is something to follow.
    #[schemars(length(max = 50))]
    pub blackout: Vec<Blackout>,
}

impl Default for Schedule {
    /// Off; UTC; no windows.
    fn default() -> Self {
        Self {
            when: When::Off,
            time_zone: "UTC".to_owned(),
            blackout: Vec::new(),
        }
    }
}

/// What decides the random offsets of a hierarchy.
pub fn seed_of(hierarchy: uuid::Uuid) -> u64 {
    hierarchy.as_u64_pair().1
}

impl Schedule {
    /// Whether every field is within its limits, the zone is known, and the windows leave time free.
    ///
    /// # Errors
    /// The first thing that is wrong, by the name of its field, with what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        Plan::new(self, 0).map(drop)
    }

    /// The first time strictly after `after`, or none if there is none up to the year 9999 (2100 for a cron
    /// expression). There are none before 1970 either. `seed` belongs to the hierarchy: it decides the
    /// offsets of the daily form, so that different hierarchies start at different times and each always at
    /// the same.
    pub fn next_after(&self, after: Timestamp, seed: u64) -> Option<Timestamp> {
        Plan::new(self, seed).ok()?.next_after(after)
    }

    /// All times strictly after `from`, in order: what [`Schedule::next_after`] answers again and again.
    /// There may be very many; take what is needed.
    pub fn preview(&self, from: Timestamp, seed: u64) -> impl Iterator<Item = Timestamp> + use<'_> {
        let plan = Plan::new(self, seed).ok();
        let mut last = from;
        std::iter::from_fn(move || {
            last = plan.as_ref()?.next_after(last)?;
            Some(last)
        })
    }

    /// The first instant at or after `at` at which a synchronization may start by itself: `at`, unless a
    /// window is there. A schedule that [`Schedule::check`] refuses has no windows.
    pub fn opens(&self, at: Timestamp) -> Timestamp {
        if self.blackout.is_empty() {
            return at;
        }
        let plan = Plan::new(self, 0).ok();
        plan.map_or(at, |plan| plan.opens(at))
    }

    /// Whether a synchronization must start `now`: a time has come since the last one started, or, when none
    /// has, since the schedule was `created` (made or changed). However many times were missed, they are
    /// made up for by one run, which waits for the end of a window that `now` is in.
    pub fn is_due(
        &self,
        last_start: Option<Timestamp>,
        created: Timestamp,
        now: Timestamp,
        seed: u64,
    ) -> bool {
        let since = last_start.map_or(created, |start| start.max(created));
        self.next_after(since, seed).is_some_and(|at| at <= now) && self.opens(now) <= now
    }

    /// The schedule in plain English, without a full stop: `monthly, on the second Tuesday plus 1 day, at
    /// 03:00 Europe/Berlin`.
    pub fn describe(&self) -> String {
        describe::schedule(self)
    }
}
