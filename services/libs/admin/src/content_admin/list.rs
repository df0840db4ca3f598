//! The list of update files, a page at a time.

use crate::reading::internal;
use store::content::{ContentRow, ContentState};
use store::{Read, Store};
use tonic::Status;
use wire::convert::from_timestamp;
use wire::v1::{ContentEntry, ListContentRequest, ListContentResponse};

/// Files on a page, unless told otherwise, and at most.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 500;
/// Rows that are read at a time while looking for those that fit.
const READ_AHEAD: u32 = 500;
/// Rows that are looked at for one page: a state that few files have must not read the whole table.
const MOST_READ: usize = 50_000;
/// Updates that are told for one file.
const MOST_UPDATES: u32 = 10;

fn state_of(text: &str) -> Result<Option<ContentState>, Status> {
    let states = [
        ContentState::Wanted,
        ContentState::Present,
        ContentState::Quarantined,
        ContentState::Unneeded,
    ];
    if text.is_empty() {
        return Ok(None);
    }
    let found = states.into_iter().find(|state| state.name() == text);
    found.map(Some).ok_or_else(|| {
        Status::invalid_argument("the state is none: use wanted, present, quarantined or unneeded")
    })
}

fn after(token: &str) -> Result<Option<[u8; 20]>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let id: Result<content::ContentId, _> = token.parse();
    let id = id.map_err(|_| Status::invalid_argument("the page token is not one of ours"))?;
    Ok(Some(id.0))
}

/// A file as it is told.
pub(crate) async fn entry(
    read: &mut Read<'_>,
    row: &ContentRow,
) -> Result<ContentEntry, store::Error> {
    let needs = read.content_needs(&row.file.sha1, MOST_UPDATES).await?;
    let is_held = row.present_since.is_some();
    let waits = matches!(row.state, ContentState::Wanted | ContentState::Quarantined);
    Ok(ContentEntry {
        sha1: row.file.sha1.to_vec(),
        name: row.file.name.clone(),
        size: row.file.size,
        state: row.state.name().to_owned(),
        because: needs
            .first()
            .map(|need| need.reason.to_string())
            .unwrap_or_default(),
        updates: needs
            .iter()
            .filter_map(|need| need.update)
            .map(|update| update.to_string())
            .collect(),
        had: if is_held { row.file.size } else { row.had },
        attempts: row.attempts,
        next_attempt: waits.then(|| from_timestamp(row.next_attempt)),
        last_error: row.last_error.clone(),
        present_since: row.present_since.map(from_timestamp),
    })
}

/// A page of the list.
pub(super) async fn list(
    store: &Store,
    request: &ListContentRequest,
) -> Result<ListContentResponse, Status> {
    let state = state_of(&request.state)?;
    let mut last = after(&request.page_token)?;
    let page = match request.page_size {
        0 => DEFAULT_PAGE,
        size => size.min(MAX_PAGE),
    };
    let page = usize::try_from(page).unwrap_or(usize::MAX);
    let fits = |row: &ContentRow| {
        // What is not here and not needed is no file of this site any more.
        let is_there = row.state != ContentState::Unneeded || row.present_since.is_some();
        is_there
            && state.is_none_or(|state| state == row.state)
            && (!request.failing || row.attempts > 0)
    };
    let mut files = Vec::new();
    let mut looked_at = 0;
    loop {
        let mut read = store.read().await.map_err(internal)?;
        let rows = read.content_after(last.as_ref(), READ_AHEAD).await;
        let rows = rows.map_err(internal)?;
        if rows.is_empty() {
            return Ok(ListContentResponse {
                files,
                next_page_token: String::new(),
            });
        }
        for row in rows {
            last = Some(row.file.sha1);
            looked_at += 1;
            if fits(&row) {
                files.push(entry(&mut read, &row).await.map_err(internal)?);
            }
            if files.len() >= page || looked_at >= MOST_READ {
                return Ok(ListContentResponse {
                    files,
                    next_page_token: row.file.id().to_string(),
                });
            }
        }
    }
}
