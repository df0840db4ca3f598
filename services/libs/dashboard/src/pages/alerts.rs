//! What is wrong now, since when, and who knows of it.

use crate::Dashboard;
use crate::api::{Api, question};
use crate::page::{Frame, Shown, back, own_path, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Form, Path, Query, State};
use jiff::Timestamp;
use serde::Deserialize;
use tonic::Status;
use uuid::Uuid;
use wire::v1::{AcknowledgeAlertRequest, Alert, ListAlertsRequest};

/// Alerts that the page shows.
const SHOWN: u32 = 200;

/// Which are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// `yes`: those that ended, too.
    ended: String,
}

/// An alert as a row shows it.
pub struct AlertRow {
    pub id: String,
    pub site: String,
    pub severity: String,
    pub number: u32,
    pub text: String,
    pub cause: String,
    pub cure: String,
    pub since: Option<Moment>,
    pub ended: Option<Moment>,
    pub acknowledged: Option<(String, Option<Moment>)>,
}

impl AlertRow {
    fn new(alert: Alert, now: Timestamp) -> Self {
        let id = Uuid::from_slice(&alert.id).unwrap_or_default();
        let known = Moment::of(alert.acknowledged_at.as_ref(), now);
        let by = alert.acknowledged_by;
        Self {
            id: id.to_string(),
            site: alert.site_code,
            severity: alert.severity,
            number: alert.status_id,
            text: alert.text,
            cause: alert.cause,
            cure: alert.cure,
            since: Moment::of(alert.since.as_ref(), now),
            ended: Moment::of(alert.ended.as_ref(), now),
            acknowledged: (!by.is_empty()).then_some((by, known)),
        }
    }
}

/// The alerts, newest first.
///
/// # Errors
/// When the person may not see them, or this site raises none.
pub async fn alerts(
    api: &Api,
    ended: bool,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<AlertRow>, Status> {
    let request = question(ListAlertsRequest { ended, limit });
    let answer = api.alerts().list_alerts(request).await?;
    let alerts = answer.into_inner().alerts.into_iter();
    Ok(alerts.map(|alert| AlertRow::new(alert, now)).collect())
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct Page {
    frame: Frame,
    rows: Vec<AlertRow>,
    ended: bool,
    /// Why there are none to show.
    missing: Option<String>,
}

impl Page {
    const SHOWN: usize = SHOWN as usize;
}

/// `GET /alerts`
///
/// # Errors
/// When the person may not see it.
pub async fn list(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let ended = wanted.ended == "yes";
    let now = dashboard.ambient.now();
    let (rows, missing) = match alerts(&person.api, ended, SHOWN, now).await {
        Ok(rows) => (rows, None),
        Err(refusal) if refusal.code() == tonic::Code::FailedPrecondition => {
            (Vec::new(), Some(refusal.message().to_owned()))
        }
        Err(refusal) => return Err(refusal.into()),
    };
    render(&Page {
        frame: Frame::new(&dashboard, &person, "Alerts", "/alerts", "alerts"),
        rows,
        ended,
        missing,
    })
}

/// What the form says.
#[derive(Deserialize)]
pub struct Acknowledged {
    #[serde(default)]
    back: String,
}

/// `POST /alerts/{id}/acknowledge`
///
/// # Errors
/// When the person is not known any more.
pub async fn acknowledge(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(id): Path<String>,
    Form(acknowledged): Form<Acknowledged>,
) -> Shown {
    let id = id.parse::<Uuid>().unwrap_or_default();
    let request = question(AcknowledgeAlertRequest {
        id: id.as_bytes().to_vec(),
    });
    let answer = person.api.alerts().acknowledge_alert(request).await;
    let said = answer.map(|_| "It is noted that you know of the alert.".to_owned());
    back(&dashboard, &person, own_path(&acknowledged.back), said)
}
