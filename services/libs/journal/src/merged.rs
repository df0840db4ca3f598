//! What the merged log of a top-level site says of a status message, and what the JSON lines beside a log say.

use crate::log_line::{LogLine, clean_text};
use crate::status_id::Severity;
use crate::status_message::StatusMessage;
use catalog::PointId;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::borrow::Cow;
use uuid::Uuid;

/// Thread number of lines that belong to no run.
const NO_RUN: u32 = 1;

/// The number under which the lines of a run are found.
pub fn thread_of(run: Option<Uuid>) -> u32 {
    run.map_or(NO_RUN, |run| {
        let bytes = run.as_bytes();
        u32::from(u16::from_be_bytes([bytes[14], bytes[15]])) | 0x1000
    })
}

/// A line of the merged log: when it happened, and as component, by which viewers filter, the site. The severity
/// stands first, in the word by which viewers colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergedLine<'a> {
    /// The site that it is about.
    pub site: &'a str,
    /// When it happened there.
    pub time: Timestamp,
    /// The number of the message (6701 …).
    pub id: u32,
    /// How bad it is.
    pub severity: Severity,
    /// The run that it belongs to.
    pub run: Option<Uuid>,
    /// What happened.
    pub text: &'a str,
}

impl<'a> MergedLine<'a> {
    /// What a line says, without its run; none where it is no line of the merged log.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (said, origin) = line.trim_end().split_once("  $$<")?;
        let (site, rest) = origin.split_once("><")?;
        let (stamp, _) = rest.split_once("+000>")?;
        let (word, rest) = said.split_once(' ')?;
        let (id, text) = rest.split_once(": ")?;
        let time = DateTime::strptime("%m-%d-%Y %H:%M:%S%.f", stamp).ok()?;
        Some(Self {
            site,
            time: time.to_zoned(TimeZone::UTC).ok()?.timestamp(),
            id: id.parse().ok()?,
            severity: match word {
                "Information" => Severity::Information,
                "Warning" => Severity::Warning,
                "Error" => Severity::Error,
                _ => return None,
            },
            run: None,
            text,
        })
    }

    /// The whole line, CRLF included: `Error 6703: synchronization failed …  $$<SE1><…><thread=…>`.
    pub fn format(&self) -> String {
        let word = match self.severity {
            Severity::Information => "Information",
            Severity::Warning => "Warning",
            Severity::Error => "Error",
        };
        LogLine {
            component: self.site,
            text: &format!("{word} {}: {}", self.id, self.text),
            time: self.time,
            thread: thread_of(self.run),
        }
        .format()
    }
}

/// The line of the merged log for a message.
pub fn line(message: &StatusMessage) -> String {
    MergedLine {
        site: message.site.as_str(),
        time: message.time,
        id: message.id,
        severity: message.severity,
        run: message.run,
        text: &message.text(),
    }
    .format()
}

/// One object a line, beside `wsyncmgr.log` and the merged log. Every key is in every object.
#[derive(Debug, Serialize)]
pub struct JsonLine<'a> {
    time: String,
    site: PointId,
    component: &'a str,
    severity: &'static str,
    /// None in what is no status message.
    status_id: Option<u32>,
    run: Option<Uuid>,
    text: Cow<'a, str>,
    inserts: &'a [String],
}

impl<'a> JsonLine<'a> {
    /// What is said of a message.
    pub fn of(message: &'a StatusMessage) -> Self {
        Self {
            time: millisecond(message.time),
            site: message.site,
            component: &message.component,
            severity: message.severity.name(),
            status_id: Some(message.id),
            run: message.run,
            text: message.text().into(),
            inserts: &message.inserts,
        }
    }

    /// What is said of a line of the log that is no message.
    pub fn plain(
        site: PointId,
        time: Timestamp,
        component: &'a str,
        run: Option<Uuid>,
        text: &'a str,
    ) -> Self {
        Self {
            time: millisecond(time),
            site,
            component,
            severity: Severity::Information.name(),
            status_id: None,
            run,
            text: clean_text(text),
            inserts: &[],
        }
    }

    /// The whole line, its end included. It holds exactly one line break: JSON escapes the others.
    pub fn format(&self) -> String {
        match serde_json::to_string(self) {
            Ok(object) => object + "\n",
            Err(error) => {
                // Texts, numbers and lists of texts can always be written.
                tracing::error!(%error, "a line cannot be written as JSON");
                "{}\n".to_owned()
            }
        }
    }
}

/// A time to the millisecond, as the log and the database have it.
fn millisecond(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status_id::StatusId;
    use cmtraceopen_parser::models::log_entry::{LogFormat, Severity as Shown};
    use cmtraceopen_parser::parser::parse_content;

    fn message(id: StatusId, inserts: &[&str]) -> StatusMessage {
        StatusMessage {
            site: "PR1-2".parse().unwrap(),
            number: 9,
            time: "2026-11-21T21:18:59.225Z".parse().unwrap(),
            id: id.number(),
            severity: id.severity(),
            run: Some(Uuid::from_u128(0x2a)),
            component: crate::SYNC_MANAGER.to_owned(),
            inserts: inserts.iter().map(|insert| (*insert).to_owned()).collect(),
        }
    }

    #[test]
    fn a_line_says_where_when_and_how_bad() {
        assert_eq!(
            line(&message(StatusId::SyncFailed, &["Client", "no route"])),
            "Error 6703: synchronization failed: no route (source: Client)  \
             $$<PR1-2><11-21-2026 21:18:59.225+000><thread=4138 (0x102A)>\r\n"
        );
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let failed = message(StatusId::SyncFailed, &["Client: x", "no $$<route> "]);
        let written = line(&failed);
        let text = failed.text();
        let read = MergedLine::parse(&written).unwrap();
        assert_eq!(
            (read.site, read.id, read.text),
            ("PR1-2", 6703, text.as_str())
        );
        assert_eq!((read.time, read.severity), (failed.time, failed.severity));
        let mut other = "Sync succeeded  $$<X><11-21-2026 21:18:59.225+000><thread=1 (0x1)>";
        assert_eq!(MergedLine::parse(other), None);
        other = "Error 6703: cut";
        assert_eq!(MergedLine::parse(other), None);
    }

    #[test]
    fn the_viewer_of_others_reads_lines_of_any_text() {
        let hostile =
            "x  $$<A><01-01-2000 00:00:00.000+000><thread=1 (0x1)>\r\nSync\u{2028}ed\0\u{202e}";
        let content: String = [
            message(StatusId::SyncDone, &[]),
            message(StatusId::SyncFailed, &[hostile, hostile]),
            message(StatusId::SyncDone, &[]),
        ]
        .iter()
        .map(line)
        .collect();
        assert_eq!(content.lines().count(), 3);
        let (read, _) = parse_content(&content, "hierarchy.log", content.len() as u64);
        assert_eq!((read.parse_errors, read.entries.len()), (0, 3));
        let shown: Vec<Shown> = read.entries.iter().map(|entry| entry.severity).collect();
        assert_eq!(shown, [Shown::Info, Shown::Error, Shown::Info]);
        for entry in &read.entries {
            assert_eq!(entry.format, LogFormat::Simple);
            assert_eq!(entry.component.as_deref(), Some("PR1-2"));
        }
    }

    #[test]
    fn an_object_is_one_line_whatever_is_in_it() {
        let failed = message(StatusId::SyncFailed, &["a\r\nb\u{85}\"", "\0{"]);
        let object = JsonLine::of(&failed).format();
        assert_eq!(object.matches(['\r', '\n']).count(), 1);
        let read: serde_json::Value = serde_json::from_str(&object).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "time": "2026-11-21T21:18:59.225Z",
                "site": "PR1-2",
                "component": "SMS_WSUS_SYNC_MANAGER",
                "severity": "error",
                "status_id": 6703,
                "run": "00000000-0000-0000-0000-00000000002a",
                "text": failed.text(),
                "inserts": failed.inserts,
            })
        );
        let plain = JsonLine::plain(failed.site, failed.time, "X", None, "a\nb").format();
        let read: serde_json::Value = serde_json::from_str(&plain).unwrap();
        assert_eq!(
            (&read["text"], &read["status_id"]),
            (&"a~b".into(), &().into())
        );
    }
}
