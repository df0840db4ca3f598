//! One update: what it is, its files, its relationships, and what was decided.

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

/// Files and relations of each kind that the page shows; it says how many more there are.
const SHOWN: usize = 50;

/// Titles that are looked up at most.
const TITLES: usize = 24;

/// What an update is related to, in one way.
struct Relation {
    name: &'static str,
    updates: Vec<Related>,
    more: usize,
}

struct Related {
    /// Said before the title, as in "one of".
    before: String,
    id: String,
    /// Its title, or its identifier where that is all that is known.
    title: String,
}

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
    let superseded_by: Vec<String> = Some(&summary.expired_by)
        .filter(|by| !by.is_empty())
        .cloned()
        .into_iter()
        .collect();
    let kinds = [
        ("Superseded by", &superseded_by),
        ("Supersedes", &update.supersedes),
        ("Bundles", &update.bundled),
        ("Requires", &update.prerequisites),
    ];
    let mut relations = Vec::new();
    let mut looked_up = 0;
    for (name, ids) in kinds {
        let mut updates = Vec::new();
        for text in ids.iter().take(SHOWN) {
            let (before, id) = text.rsplit_once(' ').unwrap_or(("", text));
            looked_up += 1;
            let title = match looked_up {
                ..=TITLES => title(&person, id).await,
                _ => None,
            };
            updates.push(Related {
                before: before.to_owned(),
                title: title.unwrap_or_else(|| id.to_owned()),
                id: id.to_owned(),
            });
        }
        if !updates.is_empty() {
            relations.push(Relation {
                name,
                updates,
                more: ids.len().saturating_sub(SHOWN),
            });
        }
    }
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

/// The title of an update, if the catalog has it.
async fn title(person: &Person, id: &str) -> Option<String> {
    let request = question(GetUpdateRequest {
        update_id: id.to_owned(),
        ..GetUpdateRequest::default()
    });
    let answer = person.api.catalog().get_update(request).await.ok()?;
    Some(answer.into_inner().summary?.title)
}
