//! Points in time as people type them.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// The moment since when something is meant: so long ago, or a local date, or a local date and time.
///
/// # Errors
/// When it is none.
pub fn since(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    moment(text, now, "--since")
}

/// The moment before which something is meant. A date means the end of its day.
///
/// # Errors
/// When it is none.
pub fn until(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    // A date and time begins like a date; it is none.
    match text.parse::<Date>() {
        Ok(date) if text.len() <= "2026-11-21".len() => {
            let next = date.checked_add(1.day())?;
            Ok(next.to_zoned(TimeZone::system())?.timestamp())
        }
        Ok(_) | Err(_) => moment(text, now, "--until"),
    }
}

fn moment(text: &str, now: Timestamp, option: &str) -> anyhow::Result<Timestamp> {
    if let Ok(ago) = text.parse::<daemon::config::Period>() {
        let ago = SignedDuration::try_from(ago.0)?;
        return Ok(now.checked_sub(ago)?);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local: DateTime = text.parse().map_err(|_| {
        anyhow::anyhow!(
            "{option} {text:?} is no time: use 90m, 24h, 7d, 2026-11-21 or 2026-11-21T18:00"
        )
    })?;
    Ok(local.to_zoned(TimeZone::system())?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_so_long_ago_or_a_moment() {
        let now: Timestamp = "2026-11-21T21:00:00Z".parse().unwrap();
        assert_eq!(
            since("90m", now).unwrap().to_string(),
            "2026-11-21T19:30:00Z"
        );
        let exact = "2026-11-21T18:00:00Z";
        assert_eq!(since(exact, now).unwrap().to_string(), exact);
        assert!(since("2026-11-21T18:00", now).is_ok());
        let refused = since("yesterday", now).unwrap_err().to_string();
        assert!(
            refused.contains("yesterday") && refused.contains("24h"),
            "{refused}"
        );
    }

    #[test]
    fn a_date_is_meant_whole() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let local = |text: &str| {
            let civil: DateTime = text.parse().unwrap();
            civil.to_zoned(TimeZone::system()).unwrap().timestamp()
        };
        assert_eq!(since("2026-11-21", now).unwrap(), local("2026-11-21T00:00"));
        assert_eq!(until("2026-11-21", now).unwrap(), local("2026-11-22T00:00"));
        let at = "2026-11-21T18:00";
        assert_eq!(until(at, now).unwrap(), local(at));
        assert_eq!(
            since("24h", now).unwrap(),
            "2026-11-21T12:00:00Z".parse().unwrap()
        );
        let refused = until("yesterday", now).unwrap_err().to_string();
        assert!(
            refused.starts_with("--until \"yesterday\" is no time"),
            "{refused}"
        );
    }
}
