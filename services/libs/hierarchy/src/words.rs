//! Numbers, lengths of time and states in the words that every view uses.

use crate::{Behind, State};
use jiff::{SignedDuration, Timestamp};
use wire::v1::{SiteReport, UpdateSummary};

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

/// How long something took: below ten seconds to the tenth, and else as [`duration`] says it.
pub fn took(length: SignedDuration) -> String {
    let tenths = length.as_millis().max(0) / 100;
    match tenths {
        ..100 => format!("{}.{} s", tenths / 10, tenths % 10),
        100.. => duration(length),
    }
}

/// How much came in a second, on average over a length of time; nothing where no time has passed.
pub fn rate(amount: u64, over: SignedDuration) -> Option<u64> {
    let milliseconds = u128::try_from(over.as_millis()).ok()?;
    let rate = (u128::from(amount) * 1000).checked_div(milliseconds)?;
    u64::try_from(rate).ok()
}

/// The state of an update: whether its publisher offers it, and whether the supersedence rules expire it.
pub fn update_state(update: &UpdateSummary) -> &str {
    match update.expired_since {
        Some(_) => "Expired (superseded)",
        None => &update.publication_state,
    }
}

/// A point in time as seen from now: "just now", "2 min ago".
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    let since = now.duration_since(then);
    if since.as_secs() < 5 {
        "just now".into()
    } else {
        format!("{} ago", duration(since))
    }
}

/// A point in time that is still to come: "in 12 min", "now".
pub fn ahead(then: Timestamp, now: Timestamp) -> String {
    let until = then.duration_since(now);
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

/// The update files that a site is still to get: "3 files, 12.0 MB, done in 4 min"; none where it has all that it needs.
pub fn files_to_come(site: &SiteReport, now: Timestamp) -> Option<String> {
    if site.content_files_to_go == 0 {
        return None;
    }
    let word = if site.content_files_to_go == 1 {
        "file"
    } else {
        "files"
    };
    let mut text = format!(
        "{} {word}, {}",
        count(site.content_files_to_go),
        size(site.content_bytes_to_go)
    );
    if let Some(done) = crate::time(site.content_done_at.as_ref()) {
        text.push_str(&format!(", done {}", ahead(done, now)));
    }
    if site.content_failing > 0 {
        text.push_str(&format!(", {} failing", count(site.content_failing)));
    }
    if !site.content_waits.is_empty() {
        text.push_str(", waiting");
    }
    Some(text)
}

/// How far of the way, rounded down, as `wsyncmgr.log` does; nothing while the end is not known.
pub fn percent(processed: u64, total: u64) -> Option<u64> {
    let hundredfold = u128::from(processed.min(total)) * 100;
    let percent = hundredfold.checked_div(u128::from(total))?;
    u64::try_from(percent).ok()
}

/// A phase of a run, in words; none where this program does not know it.
pub fn phase(name: &str) -> Option<&'static str> {
    Some(match name {
        "Requested" => "requested",
        "Connecting" => "connecting",
        "SyncingCategories" => "synchronizing categories",
        "SyncingUpdates" => "synchronizing updates",
        "SyncingContent" => "synchronizing content",
        "Verifying" => "verifying",
        _ => return None,
    })
}

/// The text with a capital at its beginning.
pub fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars).collect()
}

impl State {
    /// What the site does, as seen from now: "Completed", "Synchronizing updates 62%", "Offline (last seen 2 min ago)".
    pub fn text(&self, now: Timestamp) -> String {
        match self {
            Self::Offline { last_seen, behind } => {
                let seen = last_seen.map(|time| format!("last seen {}", ago(time, now)));
                let behind = behind.as_ref().map(|code| format!("{code} is offline"));
                match behind.or(seen) {
                    Some(detail) => format!("Offline ({detail})"),
                    None => "Offline (never seen)".into(),
                }
            }
            Self::Never => "Never synchronized".into(),
            Self::Running {
                phase,
                processed,
                total,
            } => {
                let phase = capitalized(phase);
                match percent(*processed, *total) {
                    Some(percent) => format!("{phase} {percent}%"),
                    None => phase,
                }
            }
            Self::Completed => "Completed".into(),
            Self::Failed {
                next_attempt: Some(next),
            } => format!("Failed, tries again {}", ahead(*next, now)),
            Self::Failed { next_attempt: None } => "Failed".into(),
            Self::Cancelled => "Cancelled".into(),
            Self::Other(name) => name.clone(),
        }
    }
}

impl Behind {
    /// How far, in words: "1,200 (3 min)"; nothing where it holds what the top-level site holds.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Current => None,
            Self::By {
                positions,
                age: Some(age),
            } => Some(format!("{} ({})", count(positions), duration(age))),
            Self::By {
                positions,
                age: None,
            } => Some(count(positions)),
            Self::Differs => Some("other content".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_was_quick_is_told_to_the_tenth() {
        let shown = [-5, 0, 149, 9_999, 10_000, 90_000];
        let shown = shown.map(|ms| took(SignedDuration::from_millis(ms)));
        assert_eq!(shown, ["0.0 s", "0.0 s", "0.1 s", "9.9 s", "10 s", "1 min"]);
    }

    #[test]
    fn a_rate_is_what_came_in_a_second() {
        let over = SignedDuration::from_millis;
        assert_eq!(rate(3_000, over(1_500)), Some(2_000));
        assert_eq!(rate(u64::MAX, over(1_000)), Some(u64::MAX));
        assert_eq!(rate(u64::MAX, over(1)), None);
        assert_eq!(rate(7, over(0)), None);
        assert_eq!(rate(7, over(-1)), None);
    }

    #[test]
    fn what_the_rules_expire_is_expired_whatever_its_publisher_says() {
        let mut update = UpdateSummary {
            publication_state: "Published".into(),
            ..UpdateSummary::default()
        };
        assert_eq!(update_state(&update), "Published");
        update.expired_since = Some(crate::samples::at(1));
        assert_eq!(update_state(&update), "Expired (superseded)");
    }

    #[test]
    fn times_are_relative() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let before: Timestamp = "2026-11-21T11:58:00Z".parse().unwrap();
        assert_eq!(ago(before, now), "2 min ago");
        assert_eq!(ahead(before, now), "now");
        assert_eq!(
            ahead("2026-11-21T13:59:59Z".parse().unwrap(), now),
            "in 2 h"
        );
        assert_eq!(ago(now, now), "just now");
    }

    #[test]
    fn files_to_come_are_told_while_there_are_any() {
        let now = Timestamp::UNIX_EPOCH;
        let mut site = SiteReport {
            content_files: 7,
            ..SiteReport::default()
        };
        assert_eq!(files_to_come(&site, now), None);
        site.content_files_to_go = 1;
        site.content_bytes_to_go = 2048;
        assert_eq!(files_to_come(&site, now).unwrap(), "1 file, 2.0 KB");
        site.content_files_to_go = 3;
        site.content_failing = 1;
        site.content_waits = "outside the time for it".into();
        assert_eq!(
            files_to_come(&site, now).unwrap(),
            "3 files, 2.0 KB, 1 failing, waiting"
        );
    }

    #[test]
    fn sizes_are_short() {
        let shown = [12, 1_536, 5_242_880, u64::MAX].map(size);
        assert_eq!(shown[..3], ["12 bytes", "1.5 KB", "5.0 MB"]);
        assert!(shown[3].ends_with("TB"), "{}", shown[3]);
    }

    #[test]
    fn a_percentage_is_rounded_down_and_bounded() {
        assert_eq!(percent(122, 130), Some(93));
        assert_eq!(percent(9, 0), None);
        assert_eq!(percent(u64::MAX, u64::MAX), Some(100));
        assert_eq!(percent(7, 5), Some(100));
    }
}
