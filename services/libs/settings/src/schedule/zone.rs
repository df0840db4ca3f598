//! Civil times and instants: each civil time is placed once, whatever the clocks do.

use super::error::Error;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A time zone, with the rules for times that its clocks skip or show twice.
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The zone of an IANA name: as the machine knows it, or as this program was built with.
    pub(super) fn named(name: &str) -> Result<Self, Error> {
        // Nothing is named at such length.
        let known = name.len() <= 100;
        known
            .then(|| TimeZone::get(name).ok())
            .flatten()
            .filter(|zone| !zone.is_unknown())
            .map(Self)
            .ok_or_else(|| Error::UnknownZone {
                name: catalog::Problem::new(name).to_string(),
            })
    }

    /// What the clocks show.
    pub(super) fn civil(&self, at: Timestamp) -> DateTime {
        self.0.to_datetime(at)
    }

    /// The instant of a civil time: the first one if there are two, the end of the gap if there is none.
    /// It never decreases while civil times grow. None beyond the year 9999.
    pub(super) fn place(&self, civil: DateTime) -> Option<Timestamp> {
        match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
            AmbiguousOffset::Gap { before, after } => {
                // The clock goes forward between these two instants.
                let earlier = after.to_timestamp(civil).ok()?;
                let later = before.to_timestamp(civil).ok()?;
                self.0
                    .following(earlier)
                    .take_while(|change| change.timestamp() <= later)
                    .find(|change| change.offset() == after)
                    .map_or(Some(later), |change| Some(change.timestamp()))
            }
        }
    }

    /// The latest civil time that lies in the past at `at`: what the clocks show, or, while they show an
    /// hour for the second time, the end of that hour. Every civil time up to it is placed at `at` or before.
    pub(super) fn reached(&self, at: Timestamp) -> DateTime {
        let civil = self.civil(at);
        let AmbiguousOffset::Fold { before, .. } = self.0.to_ambiguous_timestamp(civil).offset()
        else {
            return civil;
        };
        if before.to_timestamp(civil).is_ok_and(|first| first >= at) {
            return civil;
        }
        self.change_until(at)
            .and_then(|change| shift(change, -1))
            .map(|last| before.to_datetime(last))
            .filter(|end| *end > civil && self.place(*end).is_some_and(|placed| placed <= at))
            .unwrap_or(civil)
    }

    /// The first change of the clocks after `at`.
    pub(super) fn change_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.0.following(at).next().map(|change| change.timestamp())
    }

    /// The last change of the clocks until `at`, which itself counts.
    pub(super) fn change_until(&self, at: Timestamp) -> Option<Timestamp> {
        self.0
            .preceding(shift(at, 1)?)
            .next()
            .map(|change| change.timestamp())
    }
}

/// `at` some seconds later; none beyond what a timestamp can hold.
pub(super) fn shift(at: Timestamp, seconds: i64) -> Option<Timestamp> {
    at.checked_add(SignedDuration::from_secs(seconds)).ok()
}
