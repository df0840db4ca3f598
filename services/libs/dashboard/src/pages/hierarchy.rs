//! The first page: the hierarchy at a glance.

use super::alerts::{AlertRow, alerts};
use super::sites::{Listed, SiteRow, Wanted};
use crate::Dashboard;
use crate::api::{Api, question};
use crate::convergence::Standing;
use crate::page::{Frame, Shown, render};
use crate::picture::{Picture, census};
use crate::plot::Plot;
use crate::session::Person;
use crate::words::{Look, Moment};
use askama::Template;
use axum::extract::{Query, State};
use hierarchy::Hierarchy;
use jiff::Timestamp;
use tonic::{Code, Status};
use wire::v1::ListSitesRequest;

/// Alerts that the page shows.
const ALERTS: u32 = 5;

#[derive(Template)]
#[template(path = "hierarchy.html")]
struct Page {
    frame: Frame,
    standing: Standing,
    /// Current sites of a hundred.
    share: usize,
    census: String,
    picture: Picture,
    plot: Option<(Plot, Moment)>,
    /// The newest alerts; none at a site that raises none.
    rows: Vec<AlertRow>,
    listed: Listed,
    looks: [Look; Look::ALL.len()],
}

/// The sites as they are now.
///
/// # Errors
/// When the person may not see them.
pub async fn sites(api: &Api) -> Result<Hierarchy, Status> {
    let answer = api
        .hierarchy()
        .list_sites(question(ListSitesRequest {}))
        .await?;
    Ok(Hierarchy::new(answer.into_inner().sites))
}

/// `GET /`
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
    let standing = Standing::of(&hierarchy);
    let plot = Plot::of(&dashboard.convergence.samples(), now);
    let rows = match alerts(&person.api, false, ALERTS, now).await {
        Ok(rows) => rows,
        // A site that raises none.
        Err(refusal) if refusal.code() == Code::FailedPrecondition => Vec::new(),
        Err(refusal) => return Err(refusal.into()),
    };
    render(&Page {
        share: standing.current * 100 / standing.sites.max(1),
        census: census(&hierarchy),
        picture: Picture::of(&hierarchy, |site| title(&hierarchy, site, now)),
        plot: plot.map(|plot| {
            let from = Moment::new(plot.from, now);
            (plot, from)
        }),
        listed: Listed::of(&hierarchy, wanted, now),
        rows,
        frame: Frame::new(&dashboard, &person, "Hierarchy", "/", "sites alerts"),
        standing,
        looks: Look::ALL,
    })
}

/// What there is to say of a site, in a line.
fn title(hierarchy: &Hierarchy, site: &wire::v1::SiteReport, now: Timestamp) -> String {
    let row = SiteRow::new(hierarchy, (0, 0), site, now);
    let mut title = format!("{}, {}: {}", row.code, row.kind, row.state);
    if let Some(behind) = &row.behind {
        title.push_str(&format!(", {behind} behind"));
    }
    if let Some(error) = &row.error {
        title.push_str(&format!(". {error}"));
    }
    title
}
