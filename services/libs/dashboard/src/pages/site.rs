//! One software update point: what it is and does, its messages, its settings in effect, and its buttons.

mod facts;

use super::hierarchy::sites;
use super::runs::{look, took};
use super::sites::SiteRow;
use crate::Dashboard;
use crate::api::{Api, question};
use crate::page::{Frame, Shown, back, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Form, Path, State};
use hierarchy::Role as Part;
use hierarchy::time;
use hierarchy::words::{count, size};
use jiff::Timestamp;
use serde::Deserialize;
use tonic::Status;
use uuid::Uuid;
use wire::v1::{
    EffectiveSetting, GetSettingsRequest, ListRunsRequest, ListStatusMessagesRequest,
    RemoveSiteRequest, Run, SiteRun, StatusEntry, SwitchSourceRequest, VerifySiteRequest,
};

/// Messages that the page shows.
const MESSAGES: u32 = 50;
/// Runs among which the site's parts are looked for, and parts that the page shows.
const RUNS: u32 = 100;
const PARTS: usize = 10;

/// The part of the site in a run, as a row shows it.
struct PartRow {
    /// The run.
    id: String,
    started: Option<Moment>,
    /// Class of the colour of its state, and its sign.
    look: (&'static str, &'static str),
    state: String,
    duration: String,
    items: String,
    bytes: String,
    error: String,
}

impl PartRow {
    fn new(run: &Run, part: SiteRun, now: Timestamp) -> Self {
        let started = time(part.started.as_ref());
        let finished = time(part.finished.as_ref());
        Self {
            id: Uuid::from_slice(&run.id).unwrap_or_default().to_string(),
            started: started
                .or_else(|| time(run.started.as_ref()))
                .map(|started| Moment::new(started, now)),
            look: look(&part.state),
            state: part.state,
            duration: took(started, finished, now).unwrap_or_default(),
            items: count(part.items),
            bytes: size(part.bytes),
            error: part.error,
        }
    }
}

/// A status message as a row shows it.
pub struct MessageRow {
    pub at: Option<Moment>,
    pub site: String,
    pub severity: String,
    pub number: u32,
    /// Its number at its site.
    pub sequence: u64,
    pub text: String,
    pub cause: String,
    pub cure: String,
}

impl MessageRow {
    /// The row of a message.
    pub fn new(entry: StatusEntry, now: Timestamp) -> Self {
        let message = entry.message.unwrap_or_default();
        Self {
            at: Moment::of(message.time.as_ref(), now),
            site: message.site_code,
            severity: entry.severity,
            number: message.status_id,
            sequence: message.number,
            text: entry.text,
            cause: entry.cause,
            cure: entry.cure,
        }
    }
}

#[derive(Template)]
#[template(path = "site.html")]
struct Page {
    frame: Frame,
    row: SiteRow,
    /// Names and values of what there is to know, in groups.
    facts: Vec<facts::Group>,
    /// Its parts in the last runs.
    parts: Vec<PartRow>,
    /// The error that stands, with what to do.
    trouble: Option<MessageRow>,
    messages: Vec<MessageRow>,
    effective: Vec<EffectiveSetting>,
    /// Whether it is a replica of the source of its site.
    replica: bool,
    top: bool,
    below: Vec<SiteRow>,
}

/// `GET /sites/{code}`
///
/// # Errors
/// When the person may not see it, or there is no such site.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(code): Path<String>,
) -> Shown {
    let hierarchy = sites(&person.api).await?;
    let now = dashboard.ambient.now();
    let code = code.to_ascii_uppercase();
    let site = hierarchy.site(&code).ok_or_else(|| {
        let code = wire::text::harmless(&code);
        Status::not_found(format!(
            "There is no site {code} at or below {}.",
            dashboard.site_code
        ))
    })?;
    let messages = messages(&person.api, &code, now).await?;
    let row = SiteRow::new(&hierarchy, (0, 0), site, now);
    let trouble = messages.iter().position(|message| {
        row.error.is_some() && message.severity == "error" && !message.cure.is_empty()
    });
    let mut messages = messages;
    let trouble = trouble.map(|at| messages.remove(at));
    let below = hierarchy.in_tree_order().into_iter();
    let below = below.filter(|(_, below)| below.parent == code);
    let below = below.map(|(_, below)| SiteRow::new(&hierarchy, (0, 0), below, now));
    let facts = facts::groups(site, &row, now);
    let parts = parts(&person.api, &code, now).await;
    render(&Page {
        frame: Frame::new(
            &dashboard,
            &person,
            format!("Site {code}"),
            "/",
            "sites messages",
        ),
        facts,
        parts,
        trouble,
        messages,
        effective: effective(&person.api, &code).await,
        replica: hierarchy.role(site) == Part::Replica,
        top: hierarchy.is_top(site),
        below: below.collect(),
        row,
    })
}

async fn messages(api: &Api, code: &str, now: Timestamp) -> Result<Vec<MessageRow>, Status> {
    let request = ListStatusMessagesRequest {
        site_code: code.to_owned(),
        limit: MESSAGES,
        ..ListStatusMessagesRequest::default()
    };
    let answer = api
        .journal()
        .list_status_messages(question(request))
        .await?;
    let messages = answer.into_inner().messages.into_iter();
    Ok(messages.map(|entry| MessageRow::new(entry, now)).collect())
}

/// The parts of the site in the newest runs; none where they cannot be had.
async fn parts(api: &Api, code: &str, now: Timestamp) -> Vec<PartRow> {
    let request = ListRunsRequest {
        page_size: RUNS,
        site_code: code.to_owned(),
        ..ListRunsRequest::default()
    };
    let answer = api.runs().list_runs(question(request)).await;
    let answer = answer.map_or_else(|_| Default::default(), tonic::Response::into_inner);
    let pairs = answer.runs.iter().zip(answer.parts).take(PARTS);
    let rows = pairs.map(|(run, part)| PartRow::new(run, part, now));
    rows.collect()
}

/// The settings in effect; none where they are not known here.
async fn effective(api: &Api, code: &str) -> Vec<EffectiveSetting> {
    let request = GetSettingsRequest {
        site_code: code.to_owned(),
        ..GetSettingsRequest::default()
    };
    let answer = api.settings().get_settings(question(request)).await;
    answer
        .map(|answer| answer.into_inner().effective)
        .unwrap_or_default()
}

/// `POST /sites/{code}/verify`
///
/// # Errors
/// When the person is not known any more.
pub async fn verify(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(code): Path<String>,
) -> Shown {
    let request = VerifySiteRequest {
        site_code: code.clone(),
    };
    let answer = person.api.hierarchy().verify_site(question(request)).await;
    let said = answer.map(|_| {
        format!("{code} compares every row of its catalog with what is signed. What it finds stands in its messages.")
    });
    back(&dashboard, &person, &format!("/sites/{code}"), said)
}

/// What the form of a removal says.
#[derive(Deserialize)]
pub struct Removal {
    /// The code once more, typed by the person.
    #[serde(default)]
    code: String,
    #[serde(default)]
    new_source: String,
}

/// `POST /sites/{code}/remove`
///
/// # Errors
/// When the person is not known any more.
pub async fn remove(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(code): Path<String>,
    Form(removal): Form<Removal>,
) -> Shown {
    let page = format!("/sites/{code}");
    if !removal.code.trim().eq_ignore_ascii_case(&code) {
        let why = format!("Nothing was removed: type {code} to say that it is meant.");
        return back(
            &dashboard,
            &person,
            &page,
            Err(Status::invalid_argument(why)),
        );
    }
    let request = RemoveSiteRequest {
        site_code: code.clone(),
        new_source: removal.new_source.trim().to_ascii_uppercase(),
        force: false,
    };
    let answer = person.api.hierarchy().remove_site(question(request)).await;
    match answer {
        Ok(answer) => {
            let removed = answer.into_inner().site_codes.join(", ");
            back(&dashboard, &person, "/", Ok(format!("Removed: {removed}.")))
        }
        Err(refusal) => back(&dashboard, &person, &page, Err(refusal)),
    }
}

/// `POST /sites/{code}/source`: makes this point the source of its site.
///
/// # Errors
/// When the person is not known any more.
pub async fn switch_source(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(code): Path<String>,
) -> Shown {
    let site_code = code.split('-').next().unwrap_or_default().to_owned();
    let request = SwitchSourceRequest {
        site_code: site_code.clone(),
        source: code.clone(),
        force: false,
    };
    let answer = person
        .api
        .hierarchy()
        .switch_source(question(request))
        .await;
    let said = answer.map(|answer| match answer.into_inner().before {
        before if before.is_empty() => format!("{code} is the source of {site_code} already."),
        before => format!("{code} is the source of {site_code} and no longer {before}."),
    });
    back(&dashboard, &person, &format!("/sites/{code}"), said)
}
