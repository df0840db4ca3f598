//! Numbers, times and digests in words.

use super::View;
use jiff::{SignedDuration, Timestamp};
use wire::v1::{Approval, Decision};

/// Bytes of a digest that are shown to people; scripts get all of them.
const SHOWN_DIGEST: usize = 8;

/// A number with its thousands parted: 12,345.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length of time in its largest unit, two for hours: "35 s", "12 min", "3 h 20 min", "5 days".
pub fn duration(length: SignedDuration) -> String {
    let seconds = length.as_secs().max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (48.., _) => format!("{} days", hours / 24),
        (1.., _) if minutes % 60 == 0 => format!("{hours} h"),
        (1.., _) => format!("{hours} h {} min", minutes % 60),
        (_, 1..) => format!("{minutes} min"),
        _ => format!("{seconds} s"),
    }
}

/// A point in time as seen from now: "just now", "2 min ago".
pub fn ago(then: Timestamp, view: &View) -> String {
    let since = view.now.duration_since(then);
    if since.as_secs() < 5 {
        "just now".into()
    } else {
        format!("{} ago", duration(since))
    }
}

/// A point in time that is still to come: "in 12 min", "now".
pub fn ahead(then: Timestamp, view: &View) -> String {
    let until = then.duration_since(view.now);
    match until.as_secs() {
        ..1 => "now".into(),
        1..60 => format!("in {}", duration(until)),
        // To the nearest minute: two hours that have just begun are two hours.
        _ => format!(
            "in {}",
            duration(until.saturating_add(SignedDuration::from_secs(30)))
        ),
    }
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

/// A size in bytes, KB, MB or GB of 1,024.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    let mut tenths = bytes.saturating_mul(10) / 1024;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", count(tenths / 10), tenths % 10, UNITS[unit])
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
    fn thousands_are_parted() {
        let shown = [0, 999, 1000, 123_456, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn a_duration_reads_as_people_say_it() {
        let shown = [-3, 0, 59, 60, 3_599, 3_600, 12_000, 172_799, 172_800];
        let shown = shown.map(|s| duration(SignedDuration::from_secs(s)));
        let expected = [
            "0 s",
            "0 s",
            "59 s",
            "1 min",
            "59 min",
            "1 h",
            "3 h 20 min",
            "47 h 59 min",
            "2 days",
        ];
        assert_eq!(shown, expected);
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
    fn sizes_and_digests_are_short() {
        let shown = [12, 1_536, 5_242_880, u64::MAX].map(size);
        assert_eq!(shown[..3], ["12 bytes", "1.5 KB", "5.0 MB"]);
        assert!(shown[3].ends_with("TB"), "{}", shown[3]);
        assert_eq!(short_digest(&[0xab; 32]), "abababababababab");
        assert_eq!(short_digest(&[1]), "01");
        assert_eq!(uuid(&[1]), None);
    }
}
