//! Software Update Point Synchronization Status, with the columns that Configuration Manager has
//! (`SMS_SUPSyncStatus`), and those that it lacks.

use super::hierarchy::sites;
use super::sites::{Listed, Wanted};
use crate::Dashboard;
use crate::page::{Frame, Shown, render};
use crate::session::Person;
use crate::words::Look;
use askama::Template;
use axum::extract::{Query, State};

#[derive(Template)]
#[template(path = "status.html")]
struct Page {
    frame: Frame,
    listed: Listed,
    looks: [Look; Look::ALL.len()],
}

impl Page {
    /// The status message that `LastSyncState` has for a state.
    fn message(look: &Look) -> &'static str {
        match look {
            Look::Good | Look::Late => "6702",
            Look::Bad => "6703",
            Look::Busy => "6704",
            Look::Away | Look::New => "",
        }
    }
}

/// `GET /status`
///
/// # Errors
/// When the person may not see it.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let hierarchy = sites(&person.api).await?;
    let now = dashboard.ambient.now();
    render(&Page {
        listed: Listed::of(&hierarchy, wanted, now),
        frame: Frame::new(
            &dashboard,
            &person,
            "Software Update Point Synchronization Status",
            "/status",
            "sites",
        ),
        looks: Look::ALL,
    })
}
