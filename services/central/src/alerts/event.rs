//! What receivers are told: one JSON document a notification, whose form has a version.

use super::Alert;
use catalog::PointId;
use jiff::Timestamp;
use serde_json::{Value, json};
use trust::HierarchyId;
use uuid::Uuid;

/// The form of the document. What is added does not change it; what is taken away or means something else does.
pub const VERSION: u32 = 1;

/// What happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It began.
    Raised,
    /// It is over.
    Ended,
    /// A person knows of it.
    Acknowledged,
    /// Nothing: somebody tries whether notifications arrive.
    Test,
}

impl What {
    /// Its name in the document.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Ended => "ended",
            Self::Acknowledged => "acknowledged",
            Self::Test => "test",
        }
    }
}

/// Something that receivers are told.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// Its identifier: the same however often it is sent.
    pub id: Uuid,
    /// What happened.
    pub what: What,
    /// When.
    pub time: Timestamp,
    /// The hierarchy.
    pub hierarchy: HierarchyId,
    /// Its top-level site.
    pub top: PointId,
    /// The alert; none in a test.
    pub alert: Option<&'a Alert>,
}

impl Event<'_> {
    /// The document. `docs/notifications.md` describes it.
    pub fn to_json(&self) -> String {
        let alert = self.alert.map(|alert| {
            let row = &alert.row;
            json!({
                "id": row.id,
                "kind": row.kind,
                "site": row.site.as_str(),
                "severity": alert.severity.name(),
                "status_id": row.status_id,
                "text": alert.text,
                "cause": alert.cause,
                "cure": alert.cure,
                "since": row.since,
                "raised": row.raised,
                "ended": row.ended,
                "acknowledged_by": row.acknowledged.as_ref().map(|(by, _)| by),
                "acknowledged_at": row.acknowledged.as_ref().map(|(_, at)| at),
            })
        });
        json!({
            "version": VERSION,
            "id": self.id,
            "event": self.what.name(),
            "time": self.time,
            "hierarchy": self.hierarchy.0,
            "top_level_site": self.top.as_str(),
            "alert": alert,
        })
        .to_string()
    }
}

/// A notification as mail has it: subject, and text.
pub(super) fn as_mail(body: &str) -> (String, String) {
    /// Longest sentence in a subject, in characters.
    const MOST_SUBJECT: usize = 120;
    let document: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let top = text(&document["top_level_site"]);
    let alert = &document["alert"];
    if alert.is_null() {
        let told = format!(
            "This is a test: notifications of the hierarchy below {top} arrive here.\n\nNothing is wrong.\n"
        );
        return (format!("[Headwater {top}] test"), told);
    }
    let sentence = text(&alert["text"]);
    let short: String = sentence.chars().take(MOST_SUBJECT).collect();
    let event = text(&document["event"]);
    let mut told = format!("{sentence}\n\n");
    let mut line = |name: &str, value: &Value| {
        if let Some(value) = value.as_str().filter(|value| !value.is_empty()) {
            told.push_str(&format!("{name}: {value}\n"));
        }
    };
    line("Event", &document["event"]);
    line("Site", &alert["site"]);
    line("Severity", &alert["severity"]);
    line("Since", &alert["since"]);
    line("Ended", &alert["ended"]);
    line("Acknowledged by", &alert["acknowledged_by"]);
    line("Cause", &alert["cause"]);
    if event == What::Raised.name() {
        line("What to do", &alert["cure"]);
    }
    line("Alert", &alert["id"]);
    line("Notification", &document["id"]);
    (format!("[Headwater {top}] {event}: {short}"), told)
}
