//! The buttons that start and cancel a synchronization.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Shown, back, own_path};
use crate::session::Person;
use axum::extract::{Form, State};
use serde::Deserialize;
use wire::v1::{CancelSyncRequest, StartSyncRequest};

/// What the form says.
#[derive(Deserialize)]
pub struct Asked {
    /// `full`, or anything else for a delta.
    #[serde(default)]
    extent: String,
    /// The site that is meant; empty: the whole hierarchy.
    #[serde(default)]
    site: String,
    /// `yes`: and every site below it.
    #[serde(default)]
    subtree: String,
    /// The page to come back to.
    #[serde(default)]
    back: String,
}

/// `POST /sync`
///
/// # Errors
/// When the person is not known any more.
pub async fn start(
    State(dashboard): State<Dashboard>,
    person: Person,
    Form(asked): Form<Asked>,
) -> Shown {
    let full = asked.extent == "full";
    let request = question(StartSyncRequest {
        full,
        site_code: asked.site.clone(),
        subtree: asked.subtree == "yes",
    });
    let answer = person.api.sync().start_sync(request).await;
    let said = answer.map(|answer| {
        let answer = answer.into_inner();
        let mut said = if answer.queued {
            "A synchronization is under way: another follows it.".to_owned()
        } else if !asked.site.is_empty() {
            format!("Asked to synchronize: {}.", answer.asked.join(", "))
        } else if full {
            "A full synchronization was started.".to_owned()
        } else {
            "A synchronization was started.".to_owned()
        };
        if !answer.not_connected.is_empty() {
            let away = answer.not_connected.join(", ");
            said.push_str(&format!(
                " Not connected, and catching up when they are back: {away}."
            ));
        }
        said
    });
    back(&dashboard, &person, own_path(&asked.back), said)
}

/// `POST /sync/cancel`
///
/// # Errors
/// When the person is not known any more.
pub async fn cancel(
    State(dashboard): State<Dashboard>,
    person: Person,
    Form(asked): Form<Asked>,
) -> Shown {
    let request = question(CancelSyncRequest {
        site_code: asked.site.clone(),
        subtree: asked.subtree == "yes",
    });
    let answer = person.api.sync().cancel_sync(request).await;
    let said = answer.map(|answer| {
        let site = &asked.site;
        match (answer.into_inner().run.is_empty(), site.is_empty()) {
            (true, true) => "No synchronization was under way at the top-level site; the other sites were told to stop, too.".to_owned(),
            (false, true) => "The synchronization is being cancelled at every site.".to_owned(),
            (true, false) => format!("No synchronization was under way at {site}."),
            (false, false) => format!("The synchronization of {site} is being cancelled."),
        }
    });
    back(&dashboard, &person, own_path(&asked.back), said)
}
