//! How many files at the same time, how fast, and when.

use crate::CHUNK;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// Files that are fetched at the same time unless something else is set.
const PARALLEL: usize = 4;
/// What may be fetched at once after a pause, as time at the rate that is set.
const BURST: Duration = Duration::from_millis(250);
/// Bytes that are asked for at once at least.
const SMALLEST_PART: u64 = 64 << 10;

/// What bounds the fetching of files. May change at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Files at the same time; 0 counts as 1.
    pub parallel: usize,
    /// Bytes a second, of all files together; none: as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// When files are fetched; none: always.
    pub window: Option<Window>,
}

impl Default for Limits {
    /// Four files at the same time, always, as fast as it goes.
    fn default() -> Self {
        Self {
            parallel: PARALLEL,
            bytes_per_second: None,
            window: None,
        }
    }
}

/// How long sources are waited for. Not a setting: what is here suits slow lines, and tests have less time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long a source may be silent.
    pub silence: Duration,
    /// How long a source may take for one part, all its pauses together.
    pub slowest_part: Duration,
    /// How long an attempt goes on asking a source that has a file not yet.
    pub not_yet: Duration,
    /// The first wait after such an attempt; it doubles with each further one.
    pub first_not_yet_wait: Duration,
    /// The longest of these.
    pub longest_not_yet_wait: Duration,
    /// The first pause where a source cannot be asked at all, or gives nothing; it doubles.
    pub first_pause: Duration,
}

impl Default for Patience {
    /// A minute and a half of silence, a quarter of an hour for a part, and a minute for what is on its way.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(90),
            slowest_part: Duration::from_secs(15 * 60),
            not_yet: Duration::from_secs(60),
            first_not_yet_wait: Duration::from_secs(15),
            longest_not_yet_wait: Duration::from_secs(5 * 60),
            first_pause: Duration::from_secs(2),
        }
    }
}

/// A time of every day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// When it begins.
    pub from: Time,
    /// When it ends: on the next day where that is before it begins. The same time: it never ends.
    pub until: Time,
    /// Whose time that is.
    pub zone: TimeZone,
}

impl Window {
    /// Whether it is open.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let time = now.to_zoned(self.zone.clone()).time();
        match self.from.cmp(&self.until) {
            std::cmp::Ordering::Equal => true,
            std::cmp::Ordering::Less => self.from <= time && time < self.until,
            std::cmp::Ordering::Greater => self.from <= time || time < self.until,
        }
    }

    /// When it opens next, for people.
    pub fn opens(&self, now: Timestamp) -> Timestamp {
        let today = now.to_zoned(self.zone.clone());
        let at = |days: i64| {
            let day = today.date().checked_add(days.days()).ok()?;
            let opens = day
                .to_datetime(self.from)
                .to_zoned(self.zone.clone())
                .ok()?;
            Some(opens.timestamp())
        };
        let next = [at(0), at(1)].into_iter().flatten().find(|at| *at > now);
        next.unwrap_or(now)
    }
}

impl Limits {
    /// Whether files may be fetched now.
    pub fn open(&self, now: Timestamp) -> bool {
        self.window
            .as_ref()
            .is_none_or(|window| window.is_open(now))
    }
}

/// Lets bytes through at the rate that is set.
#[derive(Debug)]
pub(crate) struct Pace {
    limits: watch::Receiver<Limits>,
    /// When what was let through will be paid for, and the rate that this was counted by.
    paid: Mutex<(Instant, u64)>,
}

impl Pace {
    pub fn new(limits: watch::Receiver<Limits>) -> Self {
        let paid = Mutex::new((Instant::now(), 0));
        Self { limits, paid }
    }

    /// How many bytes may be asked for at once: fewer where they come slowly, so that they come evenly.
    pub fn part(&self) -> u64 {
        let limits = self.limits.borrow();
        let rate = limits.bytes_per_second.filter(|rate| *rate > 0);
        let share = |rate: u64| rate / 2 / limits.parallel.max(1) as u64;
        rate.map_or(CHUNK, |rate| share(rate).clamp(SMALLEST_PART, CHUNK))
    }

    /// Waits until so many bytes may come.
    pub async fn take(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut limits = self.limits.clone();
        loop {
            let rate = limits.borrow_and_update().bytes_per_second;
            let Some(rate) = rate.filter(|rate| *rate > 0) else {
                return;
            };
            let until = {
                let mut paid = self.paid.lock().await;
                let now = Instant::now();
                // What was counted by another rate is forgotten.
                let before = match paid.1 == rate {
                    true => paid.0,
                    false => now,
                };
                let begin = before.max(now.checked_sub(BURST).unwrap_or(now));
                #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
                let costs = Duration::from_secs_f64(bytes as f64 / rate as f64);
                *paid = (begin + costs, rate);
                begin + costs
            };
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                changed = limits.changed() => if changed.is_err() { return },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(from: i8, until: i8) -> Window {
        Window {
            from: Time::constant(from, 0, 0, 0),
            until: Time::constant(until, 0, 0, 0),
            zone: TimeZone::fixed(jiff::tz::offset(2)),
        }
    }

    #[test]
    fn a_window_is_open_from_its_beginning_to_just_before_its_end() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let night = window(22, 6);
        for (time, open) in [
            ("2026-03-01T19:59:59Z", false),
            ("2026-03-01T20:00:00Z", true),
            ("2026-03-02T03:59:59Z", true),
            ("2026-03-02T04:00:00Z", false),
        ] {
            assert_eq!(night.is_open(at(time)), open, "{time}");
            assert_eq!(window(6, 22).is_open(at(time)), !open, "{time}");
            assert!(window(6, 6).is_open(at(time)), "{time}");
        }
        let opens = night.opens(at("2026-03-02T04:00:00Z"));
        assert_eq!(opens, at("2026-03-02T20:00:00Z"));
        let opens = night.opens(at("2026-03-02T20:00:00Z"));
        assert_eq!(opens, at("2026-03-03T20:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_come_at_the_rate_that_is_set() {
        let limits = watch::Sender::new(Limits {
            bytes_per_second: Some(1000),
            ..Limits::default()
        });
        let pace = Pace::new(limits.subscribe());
        assert_eq!(pace.part(), SMALLEST_PART);
        let begin = Instant::now();
        for _ in 0..20 {
            pace.take(500).await;
        }
        let took = begin.elapsed().as_secs_f64();
        assert!((9.0..=10.1).contains(&took), "{took}");
        // Who waits for long is let through as soon as nothing bounds it any more.
        let begin = Instant::now();
        let free = async {
            tokio::task::yield_now().await;
            limits.send_modify(|limits| limits.bytes_per_second = None);
        };
        tokio::join!(pace.take(1_000_000), free);
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert_eq!(pace.part(), CHUNK);
    }
}
