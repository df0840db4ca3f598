//! Windows, and what is due while one is there.

use super::{instant, schedule};

#[test]
fn what_was_missed_waits_for_the_end_of_a_window_that_is_open_now() {
    // At noon, and in summer time; closed across midnight.
    let noon = schedule(
        "time-zone = \"Europe/Berlin\"\nwhen = { cron = \"0 12 * * *\" }\n\
         blackout = [{ from = \"22:00\", to = \"02:30\" }]",
    );
    let created = instant("2026-01-01T00:00:00Z");
    let table = [
        // A common night, 22:00 to 02:30 at +02:00.
        ("2026-06-10T10:00:00Z", None),
        ("2026-06-10T19:59:59.9Z", None),
        ("2026-06-10T20:00:00Z", Some("2026-06-11T00:30:00Z")),
        ("2026-06-10T23:59:59.5Z", Some("2026-06-11T00:30:00Z")),
        ("2026-06-11T00:29:59.999Z", Some("2026-06-11T00:30:00Z")),
        ("2026-06-11T00:30:00Z", None),
        // 02:30 is skipped: the window ends with the gap, at 03:00 +02:00.
        ("2026-03-28T21:30:00Z", Some("2026-03-29T01:00:00Z")),
        ("2026-03-29T01:00:00Z", None),
        // 02:00 to 03:00 comes twice: closed, open for half an hour, closed again.
        ("2026-10-24T21:30:00Z", Some("2026-10-25T00:30:00Z")),
        ("2026-10-25T00:45:00Z", None),
        ("2026-10-25T01:15:00Z", Some("2026-10-25T01:30:00Z")),
        ("2026-10-25T01:30:00Z", None),
    ];
    for (now, end) in table {
        let (now, end) = (instant(now), end.map(instant));
        assert_eq!(noon.opens(now), end.unwrap_or(now), "{now}");
        let days_ago = Some(now - jiff::SignedDuration::from_hours(72));
        assert_eq!(
            noon.is_due(days_ago, created, now, 0),
            end.is_none(),
            "{now}"
        );
        if let Some(end) = end {
            assert!(noon.is_due(days_ago, created, end, 0), "{end}");
        }
    }
}

#[test]
fn a_schedule_without_windows_or_with_wrong_ones_is_open_at_any_time() {
    let now = instant("2026-06-10T20:00:00.25Z");
    assert_eq!(schedule("when = \"off\"").opens(now), now);
    let never = schedule("blackout = [{ from = \"00:00\", to = \"00:00\" }]");
    assert!(never.check().is_err());
    assert_eq!(never.opens(now), now);
    // Windows hold where no form is chosen, too: a run by hand may fail in one.
    let off = schedule("blackout = [{ from = \"18:00\", to = \"21:00\" }]");
    assert_eq!(off.opens(now), instant("2026-06-10T21:00:00Z"));
}
