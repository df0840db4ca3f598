//! The WSUS servers that synchronize from the site.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Shown, back, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Path, State};
use jiff::Timestamp;
use wire::v1::{DownstreamServer, ListDownstreamServersRequest, RemoveDownstreamServerRequest};

/// A server as a row shows it.
struct ServerRow {
    id: String,
    name: String,
    parent: String,
    kind: &'static str,
    version: String,
    address: String,
    seen: Option<Moment>,
    synchronized: Option<Moment>,
    reported: Option<Moment>,
    updates: Option<i32>,
    approved: Option<i32>,
    computers: Option<i32>,
}

impl ServerRow {
    fn new(server: DownstreamServer, now: Timestamp) -> Self {
        let summary = server.summary.unwrap_or_default();
        let counted = |count| server.summary.map(|_| count);
        Self {
            kind: match (server.replica, server.last_report.is_some()) {
                (true, _) => "replica",
                (false, true) => "autonomous",
                (false, false) => "",
            },
            seen: Moment::of(server.last_seen.as_ref(), now),
            synchronized: Moment::of(server.last_sync.as_ref(), now),
            reported: Moment::of(server.last_report.as_ref(), now),
            updates: counted(summary.updates),
            approved: counted(summary.approved_updates),
            computers: counted(summary.computers),
            parent: match server.parent_id.is_empty() {
                true => "this site".to_owned(),
                false => server.parent_id,
            },
            id: server.id,
            name: server.name,
            version: server.version,
            address: server.address,
        }
    }
}

#[derive(Template)]
#[template(path = "downstream.html")]
struct Page {
    frame: Frame,
    rows: Vec<ServerRow>,
    addresses: Vec<String>,
}

/// `GET /downstream`
///
/// # Errors
/// When the person may not see it.
pub async fn list(State(dashboard): State<Dashboard>, person: Person) -> Shown {
    let request = question(ListDownstreamServersRequest {});
    let answer = person
        .api
        .downstream()
        .list_downstream_servers(request)
        .await?;
    let answer = answer.into_inner();
    let now = dashboard.ambient.now();
    let servers = answer.servers.into_iter();
    render(&Page {
        frame: Frame::new(
            &dashboard,
            &person,
            "Downstream servers",
            "/downstream",
            "messages",
        ),
        rows: servers.map(|server| ServerRow::new(server, now)).collect(),
        addresses: answer.addresses,
    })
}

/// `POST /downstream/{id}/remove`
///
/// # Errors
/// When the person is not known any more.
pub async fn remove(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(id): Path<String>,
) -> Shown {
    let request = question(RemoveDownstreamServerRequest { id });
    let answer = person
        .api
        .downstream()
        .remove_downstream_server(request)
        .await;
    let said = answer.map(|answer| match answer.into_inner().removed {
        true => "The server is off the list until it is heard of again.".to_owned(),
        false => "The server was not on the list any more.".to_owned(),
    });
    back(&dashboard, &person, "/downstream", said)
}
