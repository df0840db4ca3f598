//! The history of synchronizations.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Shown, query, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Query, State};
use hierarchy::time;
use hierarchy::words::{self, count};
use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;
use wire::v1::{ListRunsRequest, Run};

/// Runs on a page.
const PAGE: u32 = 50;

/// Which page is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    page: String,
}

/// A run as a row shows it.
pub struct RunRow {
    pub id: String,
    pub started: Option<Moment>,
    pub duration: String,
    pub state: String,
    /// Class of its colour, and its sign.
    pub look: (&'static str, &'static str),
    pub kind: String,
    pub added: String,
    pub revised: String,
    pub expired: String,
    pub removed: String,
    pub failed: String,
    pub position: String,
    pub sites: String,
    pub error: String,
}

/// How the state of a run looks.
pub fn look(state: &str) -> (&'static str, &'static str) {
    match state {
        "Completed" | "Joined" => ("good", "✓"),
        "Failed" => ("bad", "✕"),
        "Cancelled" => ("late", "▲"),
        "" => ("new", "○"),
        _ => ("busy", "↻"),
    }
}

/// How long something took, or has taken until now.
pub fn took(
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
    now: Timestamp,
) -> Option<String> {
    let length = finished.unwrap_or(now).duration_since(started?);
    Some(words::took(length))
}

impl RunRow {
    /// The row of a run.
    pub fn new(run: Run, now: Timestamp) -> Self {
        let id = Uuid::from_slice(&run.id).unwrap_or_default();
        let started = time(run.started.as_ref());
        let mut kind = match (run.full, run.manual) {
            (true, true) => "full, by hand",
            (true, false) => "full",
            (false, true) => "delta, by hand",
            (false, false) => "delta",
        }
        .to_owned();
        if !run.site_code.is_empty() {
            let below = if run.subtree { " and below" } else { "" };
            kind.push_str(&format!(", {} only{below}", run.site_code));
        }
        Self {
            id: id.to_string(),
            started: started.map(|started| Moment::new(started, now)),
            duration: took(started, time(run.finished.as_ref()), now).unwrap_or_default(),
            look: look(&run.state),
            state: run.state,
            kind,
            added: count(run.added),
            revised: count(run.revised),
            expired: count(run.expired),
            removed: count(run.removed),
            failed: count(run.failed),
            position: count(run.position),
            sites: format!("{} of {}", run.completed, run.sites),
            error: run.error,
        }
    }
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Page {
    frame: Frame,
    rows: Vec<RunRow>,
    next: Option<String>,
}

/// `GET /runs`
///
/// # Errors
/// When the person may not see it.
pub async fn list(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let live = if wanted.page.is_empty() { "sites" } else { "" };
    let request = question(ListRunsRequest {
        page_size: PAGE,
        page_token: wanted.page,
        ..ListRunsRequest::default()
    });
    let answer = person.api.runs().list_runs(request).await?.into_inner();
    let now = dashboard.ambient.now();
    let rows = answer.runs.into_iter();
    let token = answer.next_page_token;
    render(&Page {
        frame: Frame::new(&dashboard, &person, "Synchronizations", "/runs", live),
        rows: rows.map(|run| RunRow::new(run, now)).collect(),
        next: (!token.is_empty()).then(|| format!("/runs{}", query(&[("page", &token)]))),
    })
}
