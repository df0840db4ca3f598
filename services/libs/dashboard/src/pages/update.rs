//! One update: what it is, its files, its relationships, and what was decided.

mod graph;
mod relations;

use self::graph::Graph;
use self::relations::Relation;
use super::updates::{UpdateRow, word};
use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Shown, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Path, State};
use hierarchy::words::size;
use wire::v1::{GetUpdateRequest, GetUpdateResponse, UpdateFile};

/// Files that the page shows; it says how many more there are.
const SHOWN: usize = 50;

struct FileRow {
    name: String,
    size: String,
    needed: bool,
    because: String,
    /// What is with it at this site.
    state: String,
}

struct Decided {
    approval: &'static str,
    revision: u32,
    by: String,
    at: Option<Moment>,
    deadline: Option<Moment>,
}

#[derive(Template)]
#[template(path = "update.html")]
struct Page {
    frame: Frame,
    row: UpdateRow,
    update: GetUpdateResponse,
    decided: Option<Decided>,
    relations: Vec<Relation>,
    /// The same as a picture, where there are any.
    graph: Option<Graph>,
    /// Since when the supersedence rules expire it, and by which update.
    expired_since: Option<Moment>,
    expired_by: String,
    files: Vec<FileRow>,
    more_files: usize,
    bytes: String,
    bytes_needed: String,
}

/// `GET /updates/{id}`
///
/// # Errors
/// When the person may not see it, or there is no such update.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(id): Path<String>,
) -> Shown {
    let request = question(GetUpdateRequest {
        update_id: id,
        with_relations: true,
        ..GetUpdateRequest::default()
    });
    let answer = person.api.catalog().get_update(request).await?;
    let mut update = answer.into_inner();
    let now = dashboard.ambient.now();
    let summary = update.summary.take().unwrap_or_default();
    let decided = summary.decision.as_ref().map(|decision| Decided {
        approval: word(decision.approval()),
        revision: decision.revision,
        by: decision.decided_by.clone(),
        at: Moment::of(decision.changed_at.as_ref(), now),
        deadline: Moment::of(decision.deadline.as_ref(), now),
    });
    let (relations, graph) = relations::of(&mut update, &summary.title);
    let expired_since = Moment::of(summary.expired_since.as_ref(), now);
    let expired_by = summary.expired_by.clone();
    let files = update.files.iter().take(SHOWN).map(|file| FileRow {
        name: file.name.clone(),
        size: size(file.size),
        needed: file.needed,
        because: file.because.clone(),
        state: file_state(file),
    });
    let files: Vec<FileRow> = files.collect();
    render(&Page {
        frame: Frame::new(&dashboard, &person, summary.title.clone(), "/updates", ""),
        more_files: update.files.len().saturating_sub(SHOWN),
        bytes: size(update.bytes),
        bytes_needed: size(update.bytes_needed),
        row: UpdateRow::new(summary, now),
        decided,
        relations,
        graph,
        expired_since,
        expired_by,
        files,
        update,
    })
}

/// What is with a file at this site, in words.
fn file_state(file: &UpdateFile) -> String {
    match file.state.as_str() {
        "present" => "here".to_owned(),
        "wanted" if file.had > 0 => format!("to come, {} here", size(file.had)),
        "wanted" => "to come".to_owned(),
        "quarantined" => "put aside, to come again".to_owned(),
        "unneeded" => "here, not needed".to_owned(),
        _ => "-".to_owned(),
    }
}
