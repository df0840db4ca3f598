//! Server-sent events: which things changed, so that a page fetches itself anew.

use crate::Dashboard;
use crate::api::question;
use crate::page::Problem;
use crate::session::Person;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use daemon::places::{Full, Place};
use futures::stream::{self, Stream, StreamExt as _};
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::watch;
use tonic::Status;
use wire::v1::GetCallerRequest;

/// Changes are gathered this long before they are told.
const GATHER: Duration = Duration::from_millis(250);
/// How often the person's access token is looked at again.
const LOOK: Duration = Duration::from_secs(30);
/// A connection lives this long; then the page connects again.
pub const LONGEST: Duration = Duration::from_secs(10 * 60);
/// A line is sent this often while nothing happens, so that a connection that is gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);
/// `GET /events`: an event named after each thing that changed.
///
/// # Errors
/// When the person's access token is refused, or too many pages listen.
pub async fn stream(
    State(dashboard): State<Dashboard>,
    person: Person,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    person
        .api
        .access()
        .get_caller(question(GetCallerRequest {}))
        .await?;
    let place = place(&dashboard, &person)?;
    let pulse = dashboard.pulse.clone();
    let sites = changes("sites", pulse.sites);
    let messages = changes("messages", pulse.messages);
    let alerts = match pulse.alerts {
        Some(changed) => changes("alerts", changed).left_stream(),
        None => stream::pending().right_stream(),
    };
    let events = stream::select(stream::select(sites, messages), alerts)
        .map(move |name| {
            let _held = &place;
            Ok(Event::default().event(name).data("changed"))
        })
        .take_until(dashboard.stop.clone().cancelled_owned())
        .take_until(Box::pin(refused(person)))
        .take_until(Box::pin(tokio::time::sleep(LONGEST)));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// A place for a page of a person that listens.
///
/// # Errors
/// When too many pages listen, of this person or of all.
pub fn place(dashboard: &Dashboard, person: &Person) -> Result<Place, Status> {
    let place = dashboard.listeners.take(&person.name);
    place.map_err(|full| {
        Status::resource_exhausted(match full {
            Full::All(most) => format!("{most} pages listen already, and no more can: close some."),
            Full::OfOne(most) => format!(
                "{most} pages listen with the access token {:?} already, and no more can: close some.",
                person.name
            ),
        })
    })
}

/// Waits until the person's access token is good no more. What is followed by RPC is told of it there, and at once.
async fn refused(person: Person) {
    loop {
        tokio::time::sleep(LOOK).await;
        let mut access = person.api.access();
        let caller = access.get_caller(question(GetCallerRequest {}));
        if caller.await.is_err() {
            return;
        }
    }
}

/// The name, whenever the number changes, not more often than each [`GATHER`].
fn changes(
    name: &'static str,
    changed: watch::Receiver<u64>,
) -> impl Stream<Item = &'static str> + Unpin {
    Box::pin(stream::unfold(changed, move |mut changed| async move {
        changed.changed().await.ok()?;
        tokio::time::sleep(GATHER).await;
        changed.mark_unchanged();
        Some((name, changed))
    }))
}
