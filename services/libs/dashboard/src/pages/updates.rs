//! Searching the catalog, and deciding about many updates at once.

use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Shown, back, own_path, query, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Form, Query, State};
use jiff::Timestamp;
use serde::Deserialize;
use tonic::Status;
use wire::v1::{
    Approval, DecideUpdatesRequest, DecisionOutcome, ListCategoriesRequest, ListUpdatesRequest,
    UpdateSummary,
};

/// Updates on a page.
const PAGE: u32 = 50;

/// What is searched for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    q: String,
    classification: String,
    product: String,
    state: String,
    approval: String,
    cve: String,
    /// Dates of creation, the last one included.
    from: String,
    to: String,
    page: String,
}

/// An update as a row shows it.
pub struct UpdateRow {
    pub id: String,
    pub revision: u32,
    pub title: String,
    pub kb: String,
    pub classification: String,
    pub products: String,
    pub severity: String,
    pub state: String,
    pub approval: &'static str,
    pub created: Option<Moment>,
}

impl UpdateRow {
    /// The row of an update.
    pub fn new(update: UpdateSummary, now: Timestamp) -> Self {
        let state = hierarchy::words::update_state(&update).to_owned();
        let approval = update
            .decision
            .as_ref()
            .map_or(Approval::NotApproved, |decision| decision.approval());
        Self {
            id: update.update_id,
            revision: update.revision,
            title: update.title,
            kb: update.kb_article_ids.join(", "),
            classification: update.classification,
            products: update.products.join(", "),
            severity: update.msrc_severity,
            state,
            approval: word(approval),
            created: Moment::of(update.creation_date.as_ref(), now),
        }
    }
}

/// What is to happen with an update, in words.
pub fn word(approval: Approval) -> &'static str {
    match approval {
        Approval::Unspecified | Approval::NotApproved => "not approved",
        Approval::Detection => "detection",
        Approval::Install => "install",
        Approval::Removal => "removal",
        Approval::Declined => "declined",
    }
}

#[derive(Template)]
#[template(path = "updates.html")]
struct Page {
    frame: Frame,
    wanted: Wanted,
    rows: Vec<UpdateRow>,
    next: Option<String>,
    /// Whether the search went as far as one goes at a time, and found less than a page.
    unfinished: bool,
    /// Address of this page, to come back to.
    here: String,
    classifications: Vec<String>,
    products: Vec<String>,
}

impl Page {
    /// Values and names of the filter of states.
    fn states() -> [(&'static str, &'static str); 5] {
        [
            ("", "any state"),
            ("published", "published"),
            ("expired", "expired"),
            ("expired-by-publisher", "expired by publisher"),
            ("expired-by-supersedence", "expired, superseded"),
        ]
    }

    /// Values and names of the filter of approvals.
    fn approvals() -> [(&'static str, &'static str); 7] {
        [
            ("", "all but declined"),
            ("any", "any approval"),
            ("not-approved", "not approved"),
            ("detection", "detection"),
            ("install", "install"),
            ("removal", "removal"),
            ("declined", "declined"),
        ]
    }
}

/// `GET /updates`
///
/// # Errors
/// When the person may not see it.
pub async fn list(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<Wanted>,
) -> Shown {
    let (from, to) = match (day(&wanted.from), day(&wanted.to)) {
        (Some(from), Some(to)) => (from, to),
        _ => {
            let why = "A date of the search is none: write 2026-11-21.";
            return Err(Status::invalid_argument(why).into());
        }
    };
    let request = ListUpdatesRequest {
        cve: wanted.cve.trim().to_owned(),
        created_since: from.map(|(begin, _)| begin),
        created_before: to.map(|(_, end)| end),
        text: wanted.q.trim().to_owned(),
        classification: wanted.classification.clone(),
        product: wanted.product.clone(),
        state: wanted.state.clone(),
        approval: wanted.approval.clone(),
        page_size: PAGE,
        page_token: wanted.page.clone(),
        ..ListUpdatesRequest::default()
    };
    let answer = person.api.catalog().list_updates(question(request)).await?;
    let answer = answer.into_inner();
    let now = dashboard.ambient.now();
    let address = |page: &str| {
        let pairs = [
            ("q", wanted.q.as_str()),
            ("classification", &wanted.classification),
            ("product", &wanted.product),
            ("state", &wanted.state),
            ("approval", &wanted.approval),
            ("cve", &wanted.cve),
            ("from", &wanted.from),
            ("to", &wanted.to),
            ("page", page),
        ];
        format!("/updates{}", query(&pairs))
    };
    let (classifications, products) = categories(&person).await;
    let full = answer.updates.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
    let rows = answer.updates.into_iter();
    render(&Page {
        unfinished: !answer.next_page_token.is_empty() && !full,
        frame: Frame::new(&dashboard, &person, "Updates", "/updates", ""),
        rows: rows.map(|update| UpdateRow::new(update, now)).collect(),
        next: (!answer.next_page_token.is_empty()).then(|| address(&answer.next_page_token)),
        here: address(&wanted.page),
        classifications,
        products,
        wanted,
    })
}

/// Begin and end of a day as a form has it, in UTC; none where the field is empty.
#[expect(
    clippy::option_option,
    reason = "what is no date is something else than none"
)]
fn day(text: &str) -> Option<Option<(prost_types::Timestamp, prost_types::Timestamp)>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let begin = |date: jiff::civil::Date| {
        let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(wire::convert::from_timestamp(zoned.timestamp()))
    };
    Some(Some((begin(date)?, begin(date.tomorrow().ok()?)?)))
}

/// Titles of the classifications and products that there are, for the filters. A site that does not know them is
/// searched by what is typed.
async fn categories(person: &Person) -> (Vec<String>, Vec<String>) {
    let request = question(ListCategoriesRequest {});
    let Ok(answer) = person.api.settings().list_categories(request).await else {
        return Default::default();
    };
    let categories = answer.into_inner().categories;
    let titles = |kind: &str| {
        let mut titles: Vec<String> = categories
            .iter()
            .filter(|category| category.kind == kind)
            .map(|category| category.title.clone())
            .collect();
        titles.sort();
        titles.dedup();
        titles
    };
    (titles("UpdateClassification"), titles("Product"))
}

/// `POST /updates/decide`: approves or declines what was marked.
///
/// # Errors
/// When the person is not known any more.
pub async fn decide(
    State(dashboard): State<Dashboard>,
    person: Person,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Shown {
    let value = |name: &str| {
        let pair = pairs.iter().find(|(held, _)| held == name);
        pair.map_or("", |(_, value)| value.as_str())
    };
    let approval = match value("approval") {
        "not-approved" => Approval::NotApproved,
        "detection" => Approval::Detection,
        "install" => Approval::Install,
        "removal" => Approval::Removal,
        "declined" => Approval::Declined,
        _ => Approval::Unspecified,
    };
    let to = own_path(value("back")).to_owned();
    let deadline = match value("deadline").trim() {
        "" => None,
        text => match deadline(text) {
            Some(deadline) => Some(deadline),
            None => {
                let why = format!(
                    "The deadline {text} is no date and time: write 2026-12-24T18:00 (UTC)."
                );
                return back(&dashboard, &person, &to, Err(Status::invalid_argument(why)));
            }
        },
    };
    let ids = pairs.iter().filter(|(name, _)| name == "id");
    let request = DecideUpdatesRequest {
        update_ids: ids.map(|(_, id)| id.clone()).collect(),
        approval: approval.into(),
        deadline,
        accept_licence: value("accept_licence") == "yes",
        dry_run: false,
    };
    if request.update_ids.is_empty() {
        let why = Status::invalid_argument("Mark the updates first that are to be decided about.");
        return back(&dashboard, &person, &to, Err(why));
    }
    let answer = person
        .api
        .approval()
        .decide_updates(question(request))
        .await;
    let said = answer.and_then(|answer| {
        let answer = answer.into_inner();
        let of = |outcome: DecisionOutcome| {
            let updates = answer.updates.iter();
            updates.filter(move |update| update.outcome() == outcome)
        };
        if let Some(refused) = of(DecisionOutcome::Refused).next() {
            return Err(Status::failed_precondition(format!(
                "{} of {} were refused. The first, {}: {}",
                of(DecisionOutcome::Refused).count(),
                answer.updates.len(),
                refused.update_id,
                refused.why
            )));
        }
        let changed = of(DecisionOutcome::Changed).count();
        let when = if answer.in_force {
            "in force now, and at every site with its next synchronization, which has begun"
        } else {
            "in force with the end of the synchronization that is under way"
        };
        Ok(match changed {
            0 => "That is what was decided already.".to_owned(),
            1 => format!("One decision was made; it is {when}."),
            _ => format!("{changed} decisions were made; they are {when}."),
        })
    });
    back(&dashboard, &person, &to, said)
}

/// A deadline as a form has it, in UTC.
fn deadline(text: &str) -> Option<prost_types::Timestamp> {
    let civil: jiff::civil::DateTime = text.parse().ok()?;
    let time = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(wire::convert::from_timestamp(time))
}
