//! Times to the millisecond, which is how they are stored.

use jiff::Timestamp;

/// The last time that can be stored: the second in which time ends, because a count of milliseconds cannot go
/// beyond its beginning.
const LAST: Timestamp = Timestamp::constant(253_402_207_200, 0);

/// The time cut to the millisecond; what cannot be stored becomes the last that can.
pub(crate) fn cut(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_can_be_cut() {
        let time: Timestamp = "2024-05-14T17:00:00.1239Z".parse().unwrap();
        assert_eq!(cut(time).to_string(), "2024-05-14T17:00:00.123Z");
        assert_eq!(cut(Timestamp::MAX), LAST);
        assert_eq!(cut(LAST), LAST);
        assert_eq!(cut(Timestamp::MIN), Timestamp::MIN);
        assert_eq!(LAST.as_second(), Timestamp::MAX.as_second());
    }
}
