//! One software update point: what it is and does, its messages, its settings in effect, and its buttons.

use super::hierarchy::sites;
use super::sites::SiteRow;
use crate::Dashboard;
use crate::api::{Api, question};
use crate::page::{Frame, Shown, back, render};
use crate::session::Person;
use crate::words::Moment;
use askama::Template;
use axum::extract::{Form, Path, State};
use hierarchy::Role as Part;
use hierarchy::words::count;
use jiff::Timestamp;
use serde::Deserialize;
use tonic::Status;
use wire::v1::{
    EffectiveSetting, GetSettingsRequest, ListStatusMessagesRequest, RemoveSiteRequest,
    StatusEntry, SwitchSourceRequest, VerifySiteRequest,
};

/// Messages that the page shows.
const MESSAGES: u32 = 50;

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
    /// Names and values of what there is to know.
    facts: Vec<(&'static str, String)>,
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
    let facts = facts(site, &row, now);
    render(&Page {
        frame: Frame::new(
            &dashboard,
            &person,
            format!("Site {code}"),
            "/",
            "sites messages",
        ),
        facts,
        trouble,
        messages,
        effective: effective(&person.api, &code).await,
        replica: hierarchy.role(site) == Part::Replica,
        top: hierarchy.is_top(site),
        below: below.collect(),
        row,
    })
}

fn facts(
    site: &wire::v1::SiteReport,
    row: &SiteRow,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let moment = |time| Moment::of(time, now).map_or_else(|| "never".to_owned(), |at| at.ago);
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().take(8).map(|byte| format!("{byte:02x}"));
        digits.collect::<String>()
    };
    let link = if site.parent.is_empty() {
        "none: it is the top-level site".to_owned()
    } else if site.connected {
        format!("up, to {}", site.parent)
    } else {
        format!("down, to {}", site.parent)
    };
    let mut facts = vec![
        ("Kind", row.kind.clone()),
        ("Synchronization source", site.upstream.clone()),
        ("Link", link),
        ("Verified position", row.position.clone()),
        ("Position to reach", row.target.clone()),
        ("Items", count(site.items)),
        ("Root digest", hex(&site.root)),
        ("Last success", moment(site.last_success.as_ref())),
        ("Last failure", moment(site.last_failure.as_ref())),
        ("Last report", moment(site.reported.as_ref())),
        ("Failed runs in a row", count(site.failed_in_a_row.into())),
        (
            "Received since its start",
            format!("{} changes, {}", count(site.received_changes), row.received),
        ),
        (
            "Update files",
            crate::content::sentence(site, now).unwrap_or_default(),
        ),
        ("Version", site.version.clone()),
        ("Address", site.address.clone()),
        ("Settings version", count(site.settings_version)),
    ];
    facts.retain(|(_, value)| !value.is_empty());
    facts
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
