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
    let request = question(StartSyncRequest { full });
    let answer = person.api.sync().start_sync(request).await;
    let said = answer.map(|answer| {
        if answer.into_inner().queued {
            "A synchronization is under way: another follows it.".to_owned()
        } else if full {
            "A full synchronization was started.".to_owned()
        } else {
            "A synchronization was started.".to_owned()
        }
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
    let request = question(CancelSyncRequest {});
    let answer = person.api.sync().cancel_sync(request).await;
    let said = answer.map(|answer| {
        if answer.into_inner().run.is_empty() {
            "No synchronization was under way at the top-level site; the other sites were told to stop, too.".to_owned()
        } else {
            "The synchronization is being cancelled at every site.".to_owned()
        }
    });
    back(&dashboard, &person, own_path(&asked.back), said)
}
