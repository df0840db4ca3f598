//! Numbers, times and digests in words.

use super::View;
use hierarchy::words;
pub use hierarchy::words::{count, duration, size};
use jiff::Timestamp;
use wire::v1::{Approval, Decision};

/// Bytes of a digest that are shown to people; scripts get all of them.
const SHOWN_DIGEST: usize = 8;

/// A point in time as seen from now: "just now", "2 min ago".
pub fn ago(then: Timestamp, view: &View) -> String {
    words::ago(then, view.now)
}

/// A point in time that is still to come: "in 12 min", "now".
pub fn ahead(then: Timestamp, view: &View) -> String {
    words::ahead(then, view.now)
}

/// A point in time on the clock of the person who looks; the date is left out when it is today's.
pub fn clock(time: Timestamp, view: &View) -> String {
    let local = time.to_zoned(view.zone.clone());
    let today = view.now.to_zoned(view.zone.clone()).date();
    let form = if local.date() == today {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M"
    };
    local.strftime(form).to_string()
}

/// A point in time with its date.
pub fn date_and_time(time: Timestamp, view: &View) -> String {
    let local = time.to_zoned(view.zone.clone());
    local.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What is to happen with an update, and when it must be done.
pub fn approval(decision: &Decision, view: &View) -> String {
    let word = crate::update::decide::word(decision.approval());
    match hierarchy::time(decision.deadline.as_ref()) {
        Some(deadline) => format!("{word} by {}", date_and_time(deadline, view)),
        None => word.to_owned(),
    }
}

/// What was decided about an update, for which revision, by whom, and when.
pub fn decision(decision: &Decision, newest: u32, view: &View) -> String {
    let mut text = approval(decision, view);
    let older = matches!(
        decision.approval(),
        Approval::Detection | Approval::Install | Approval::Removal
    ) && decision.revision < newest;
    if older {
        text.push_str(&format!(
            ", revision {} and not this one",
            decision.revision
        ));
    }
    text.push_str(&format!(", decided by {}", decision.decided_by));
    if let Some(at) = hierarchy::time(decision.changed_at.as_ref()) {
        text.push_str(&format!(" at {}", date_and_time(at, view)));
    }
    text
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The beginning of a digest, enough to compare two by eye.
pub fn short_digest(digest: &[u8]) -> String {
    hex(&digest[..digest.len().min(SHOWN_DIGEST)])
}

/// The identifier in 16 bytes of a message, or nothing.
pub fn uuid(bytes: &[u8]) -> Option<String> {
    let id = uuid::Uuid::from_slice(bytes).ok()?;
    Some(id.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn view() -> View {
        View {
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            zone: TimeZone::fixed(jiff::tz::offset(1)),
            colour: false,
            width: None,
        }
    }

    #[test]
    fn times_are_local_and_relative() {
        let view = view();
        let today: Timestamp = "2026-11-21T11:58:00Z".parse().unwrap();
        assert_eq!(clock(today, &view), "12:58:00");
        assert_eq!(ago(today, &view), "2 min ago");
        assert_eq!(ahead(today, &view), "now");
        let later = "2026-11-21T13:59:59Z".parse().unwrap();
        assert_eq!(ahead(later, &view), "in 2 h");
        let before: Timestamp = "2026-11-20T11:58:00Z".parse().unwrap();
        assert_eq!(clock(before, &view), "2026-11-20 12:58");
        assert_eq!(ago(view.now, &view), "just now");
    }

    #[test]
    fn digests_are_short() {
        assert_eq!(short_digest(&[0xab; 32]), "abababababababab");
        assert_eq!(short_digest(&[1]), "01");
        assert_eq!(uuid(&[1]), None);
    }
}
