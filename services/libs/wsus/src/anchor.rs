//! Anchors: what stands for "everything up to here" in a synchronization.
//!
//! A downstream server keeps them as opaque text. A server of ours writes them in the form of Windows,
//! `n,yyyy-MM-dd HH:mm:ss.fff`, a counter and a time in UTC of which only the time decides
//! (WSUS-PROTOCOL 3.3).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::fmt;
use std::str::FromStr;

/// Longest anchor that is looked at, in bytes.
pub const MAX_ANCHOR_BYTES: usize = 256;

/// A position in the history of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Anchor {
    /// The time, in whole milliseconds. Only this part decides what is newer.
    pub time: Timestamp,
    /// A counter that Windows raises with each deployment change.
    pub counter: u64,
}

impl Anchor {
    /// The anchor for `time`, cut down to whole milliseconds, so that it is equal to what is read back.
    pub fn new(counter: u64, time: Timestamp) -> Self {
        let milliseconds = time.as_nanosecond().div_euclid(1_000_000) * 1_000_000;
        Self {
            counter,
            time: Timestamp::from_nanosecond(milliseconds).unwrap_or(time),
        }
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = TimeZone::UTC.to_datetime(self.time);
        write!(
            f,
            "{},{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}",
            self.counter,
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }
}

/// A text that is not an anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an anchor: expected a number, a comma and yyyy-MM-dd HH:mm:ss.fff")]
pub struct ParseAnchorError(String);

impl FromStr for Anchor {
    type Err = ParseAnchorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseAnchorError(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Anchor> {
    if text.len() > MAX_ANCHOR_BYTES {
        return None;
    }
    let (counter, time) = text.trim().split_once(',')?;
    if counter.is_empty() || !counter.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let counter = counter.parse().ok()?;
    let (date, clock) = time.split_once(' ')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if fraction.is_empty() || fraction.len() > 7 {
        return None;
    }
    let [value] = numbers(fraction, '.', [fraction.len()])?;
    let nanosecond = value * 10i32.pow(9 - u32::try_from(fraction.len()).ok()?);
    let civil = DateTime::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second).ok()?,
        nanosecond,
    )
    .ok()?;
    let time = TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(Anchor { time, counter })
}

/// Splits `text` at `separator` into numbers of exactly these numbers of digits.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i32; N]> {
    let mut values = [0; N];
    let mut parts = text.split(separator);
    for (value, digits) in values.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *value = part.parse().ok()?;
    }
    parts.next().is_none().then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_anchor_of_a_real_server_is_read_and_written_alike() {
        let text = "9438,2026-10-04 16:09:27.371";
        let anchor: Anchor = text.parse().unwrap();
        assert_eq!(anchor.time.to_string(), "2026-10-04T16:09:27.371Z");
        assert_eq!(anchor.counter, 9438);
        assert_eq!(anchor.to_string(), text);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "garbage",
            "",
            ",",
            "1,",
            "x,2026-10-04 16:09:27.371",
            "1,2026-13-04 16:09:27.371",
            "1,2026-10-04T16:09:27.371",
            "1,2026-10-04 16:09:27.",
            "1,26-10-04 16:09:27.371",
            "1,2026-10-04 16:09:61.371",
            "99999999999999999999999,2026-10-04 16:09:27.371",
            "1,2026-10-04 16:09:27.371;drop",
        ] {
            assert!(text.parse::<Anchor>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_anchor_reads_what_it_writes(counter: u64, seconds in 0i64..253_000_000_000, nanos in 0i32..999_999_999) {
            let anchor = Anchor::new(counter, Timestamp::new(seconds, nanos).unwrap());
            prop_assert_eq!(anchor.to_string().parse::<Anchor>().unwrap(), anchor);
        }

        #[test]
        fn reading_never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Anchor>();
        }
    }
}
