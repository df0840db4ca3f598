//! One line of `wsyncmgr.log`, in the form that CMTrace and its relatives read:
//! `<text>  $$<COMPONENT><MM-DD-YYYY HH:MM:SS.mmm+000><thread=N (0xN)>` and CRLF.
//!
//! The clock is UTC, so the offset is always `+000`: viewers disagree about its sign.

use jiff::Timestamp;
use std::borrow::Cow;

/// The component that synchronizes, as every viewer's filter knows it.
pub const SYNC_MANAGER: &str = "SMS_WSUS_SYNC_MANAGER";
/// Longest text of a line, in bytes; what is longer ends in [`CUT`].
pub const MAX_TEXT: usize = 8 * 1024;
/// Longest component name, in bytes (CMTrace reads no more).
pub const MAX_COMPONENT: usize = 100;
/// Marks a text that was cut.
pub const CUT: &str = "[...]";

/// One thing to be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Who says it, [`SYNC_MANAGER`] as a rule.
    pub component: &'a str,
    /// What is said. Anything goes: what would break the format is replaced when it is written.
    pub text: &'a str,
    /// When it happened.
    pub time: Timestamp,
    /// The number under which one course of events can be followed: that of a run.
    pub thread: u32,
}

impl LogLine<'_> {
    /// The whole line, CRLF included. It holds exactly one line break, the last two bytes.
    pub fn format(&self) -> String {
        let text = clean_text(self.text);
        let stamp = self.time.strftime("%m-%d-%Y %H:%M:%S.%3f+000");
        let component: String = self
            .component
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_' || *c == '-')
            .take(MAX_COMPONENT)
            .collect();
        let thread = self.thread;
        format!("{text}  $$<{component}><{stamp}><thread={thread} (0x{thread:X})>\r\n")
    }
}

/// Makes any text fit for one line: line breaks become `~`, other control characters and those that
/// turn the reading direction become blanks, `$$<` is broken up, and the length is bounded.
pub fn clean_text(text: &str) -> Cow<'_, str> {
    let plain = text.len() <= MAX_TEXT && !text.chars().any(is_unfit) && !text.contains("$$<");
    if plain {
        return Cow::Borrowed(text);
    }
    let (kept, cut) = clip(text, MAX_TEXT);
    let mut clean = String::with_capacity(kept.len() + CUT.len());
    let mut before = ' ';
    for c in kept.chars() {
        match c {
            // One line break of Windows is one break.
            '\n' if before == '\r' => {}
            '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}' => clean.push('~'),
            c if is_unfit(c) => clean.push(' '),
            c => clean.push(c),
        }
        before = c;
    }
    // Readers look for the first `$$<`: nothing in the text may look like the end of the text.
    let mut clean = clean.replace("$$<", "$$ <");
    if cut {
        clean.push_str(CUT);
    }
    Cow::Owned(clean)
}

/// The longest start of `text` of at most `limit` bytes, and whether anything was left out.
pub(crate) fn clip(text: &str, limit: usize) -> (&str, bool) {
    if text.len() <= limit {
        return (text, false);
    }
    let end = (0..=limit)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    (&text[..end], true)
}

fn is_unfit(c: char) -> bool {
    let separates = matches!(c, '\u{2028}' | '\u{2029}');
    let turns =
        matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separates || turns || c == '\u{FEFF}'
}

#[cfg(test)]
mod tests {
    use super::*;
    use cmtraceopen_parser::parser::parse_content;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        LogLine {
            component: SYNC_MANAGER,
            text,
            time: "2014-01-16T10:54:50.608Z".parse().unwrap(),
            thread: 3404,
        }
        .format()
    }

    #[test]
    fn a_line_is_what_cmtrace_reads() {
        assert_eq!(
            line("Starting Sync"),
            "Starting Sync  $$<SMS_WSUS_SYNC_MANAGER><01-16-2014 10:54:50.608+000><thread=3404 (0xD4C)>\r\n"
        );
    }

    #[test]
    fn a_line_break_becomes_a_tilde() {
        assert!(line("downloaded and\r\n\ncannot").starts_with("downloaded and~~cannot  $$<"));
    }

    #[test]
    fn a_text_cannot_forge_a_line() {
        let forged =
            line("x  $$<A><01-01-2000 00:00:00.000+000><thread=1 (0x1)>\r\nSync succeeded");
        assert_eq!(forged.matches("$$<").count(), 1);
        assert_eq!(forged.matches("\r\n").count(), 1);
        assert!(!forged.contains("\u{1b}"));
        assert!(line("a\u{1b}[31mb\u{202e}c\0").starts_with("a [31mb c   $$<"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let long = "ä".repeat(MAX_TEXT);
        let line = line(&long);
        let text = line.split("  $$<").next().unwrap();
        assert_eq!(text.len(), MAX_TEXT + CUT.len());
        assert!(text.ends_with("ä[...]"));
    }

    proptest! {
        #[test]
        fn any_text_and_component_make_one_line_that_parses(text in any::<String>(), component in any::<String>()) {
            let time = "2026-02-28T23:59:59.999Z".parse().unwrap();
            let line = LogLine { component: &component, text: &text, time, thread: u32::MAX }.format();
            prop_assert_eq!(line.matches(['\r', '\n']).count(), 2);
            prop_assert!(line.ends_with(">\r\n"));
            // A genuine line around it, so that the reader recognises the format.
            let content = format!("{}{line}", super::tests::line("Starting Sync"));
            let (result, _) = parse_content(&content, "wsyncmgr.log", content.len() as u64);
            prop_assert_eq!(result.parse_errors, 0);
            prop_assert_eq!(result.entries.len(), 2);
            prop_assert_eq!(result.entries[1].thread, Some(u32::MAX));
        }
    }
}
