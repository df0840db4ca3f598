//! What a log viewer that others wrote makes of a site's log.

use cmtraceopen_parser::models::log_entry::{LogEntry, LogFormat, Severity};
use cmtraceopen_parser::parser::parse_content;

/// The lines of a log as the viewer shows them. Each of them is understood.
pub fn read(text: &str) -> Vec<LogEntry> {
    let (read, _) = parse_content(text, "wsyncmgr.log", text.len() as u64);
    assert_eq!(read.parse_errors, 0);
    assert_eq!(read.entries.len(), text.lines().count());
    for entry in &read.entries {
        assert_eq!(entry.format, LogFormat::Simple, "{}", entry.message);
        assert_eq!(entry.component.as_deref(), Some("SMS_WSUS_SYNC_MANAGER"));
        assert!(entry.timestamp.is_some(), "{}", entry.message);
    }
    read.entries
}

/// The lines that the viewer colours, other than those that say that a link went down.
pub fn coloured(entries: &[LogEntry]) -> Vec<&str> {
    let coloured = entries
        .iter()
        .filter(|entry| entry.severity != Severity::Info);
    coloured.map(|entry| entry.message.as_str()).collect()
}

/// Checks that the phrases occur in this order, each after the one before.
pub fn check_order(text: &str, phrases: &[&str]) {
    let mut lines = text.lines();
    for phrase in phrases {
        assert!(
            lines.any(|line| line.contains(phrase)),
            "{phrase:?} is not where it should be in:\n{text}"
        );
    }
}
