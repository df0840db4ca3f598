//! A schedule that has been checked and is ready to be asked for times.

use super::Schedule;
use super::blackout::Windows;
use super::civil::Civil;
use super::error::Error;
use super::forms::{Unit, When};
use super::zone::{Zone, shift};
use jiff::Timestamp;

/// There are no times up to here: nothing is asked about them, and reckoning near the first instant that a
/// timestamp can hold would lose some.
const BEFORE_ALL: Timestamp = Timestamp::constant(-1, 0);

/// What to ask for times. All of them are whole seconds.
pub(super) struct Plan<'a> {
    times: Times<'a>,
    zone: Zone,
    offset: Offset,
    windows: Windows,
}

enum Times<'a> {
    Never,
    /// Hours as they pass.
    Hours {
        first: Timestamp,
        seconds: i64,
    },
    /// What the clock on the wall shows.
    Civil(Civil<'a>),
}

/// How much later than its nominal time each time is.
struct Offset {
    seed: u64,
    max_seconds: u32,
}

impl<'a> Plan<'a> {
    /// Checks everything there is to check.
    pub(super) fn new(schedule: &'a Schedule, seed: u64) -> Result<Self, Error> {
        let zone = Zone::named(&schedule.time_zone)?;
        let mut offset = Offset {
            seed,
            max_seconds: 0,
        };
        let times = match &schedule.when {
            When::Off => Times::Never,
            When::Simple(simple) if simple.unit == Unit::Hours => {
                simple.check()?;
                match zone.place(simple.start) {
                    Some(first) => Times::Hours {
                        first,
                        seconds: i64::from(simple.every) * 3600,
                    },
                    // Beyond the last instant that there is.
                    None => Times::Never,
                }
            }
            When::Daily(daily) => {
                offset.max_seconds = u32::from(daily.random_offset_minutes) * 60;
                Times::Civil(Civil::new(&schedule.when)?)
            }
            When::Simple(_)
            | When::Weekly(_)
            | When::MonthlyByDate(_)
            | When::MonthlyByWeekday(_)
            | When::Cron(_) => Times::Civil(Civil::new(&schedule.when)?),
        };
        Ok(Self {
            times,
            zone,
            offset,
            windows: Windows::new(&schedule.blackout)?,
        })
    }

    /// The first time strictly after `after`.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = whole_second(after).max(BEFORE_ALL);
        // What fell into the window that `after` is in waits for its end, which is still to come.
        let since = match self.windows.begin(&self.zone, after) {
            Some(begin) => shift(begin, -1)?,
            None => after,
        };
        let at = self.offset_after(since)?;
        self.windows.end(&self.zone, at)
    }

    /// The first instant at or after `at` that is in no window; `at` where there is none any more.
    pub(super) fn opens(&self, at: Timestamp) -> Timestamp {
        let second = whole_second(at);
        match self.windows.end(&self.zone, second) {
            Some(end) if end > second => end,
            Some(_) | None => at,
        }
    }

    /// The first time strictly after `after`, before windows are looked at.
    fn offset_after(&self, after: Timestamp) -> Option<Timestamp> {
        let max = i64::from(self.offset.max_seconds);
        if max == 0 {
            return self.placed_after(after);
        }
        // The offset of a time that has come already may still lead beyond `after`.
        let mut placed = self.placed_after(shift(after, -max - 1)?)?;
        let mut first: Option<Timestamp> = None;
        while first.is_none_or(|first| placed < first) {
            match shift(placed, self.offset.of(placed)) {
                Some(at) if at > after => first = Some(first.map_or(at, |first| first.min(at))),
                Some(_) => {}
                None => return first,
            }
            match self.placed_after(placed) {
                Some(next) => placed = next,
                None => return first,
            }
        }
        first
    }

    /// The first nominal time strictly after `after`.
    fn placed_after(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.times {
            Times::Never => None,
            Times::Hours { first, seconds } => {
                if after < *first {
                    return Some(*first);
                }
                let gone = after.as_second() - first.as_second();
                shift(*first, (gone / seconds + 1) * seconds)
            }
            Times::Civil(civil) => {
                let mut last = self.zone.reached(after);
                loop {
                    last = civil.next_after(last)?;
                    let at = self.zone.place(last)?;
                    // While the clocks show an hour again, the times of it have been.
                    if at > after {
                        return Some(at);
                    }
                }
            }
        }
    }
}

impl Offset {
    /// Seconds to add to a nominal time, from 0 to the maximum. It hangs on the time and the seed alone and
    /// must never be reckoned in another way: what a preview showed would not be true any more.
    fn of(&self, at: Timestamp) -> i64 {
        let mixed = mix(self.seed ^ mix(at.as_second().cast_unsigned()));
        let choices = u64::from(self.max_seconds) + 1;
        (mixed % choices).cast_signed()
    }
}

/// The mixing step of SplitMix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The second that an instant is in. What is after the one in whole seconds is after the other.
fn whole_second(at: Timestamp) -> Timestamp {
    let second = if at.subsec_nanosecond() < 0 {
        at.as_second() - 1
    } else {
        at.as_second()
    };
    Timestamp::from_second(second).unwrap_or(Timestamp::MIN)
}
