//! The log: lines of a site as they are written, coloured as CMTrace does, and the status messages of all sites.

use super::hierarchy::sites;
use super::site::MessageRow;
use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Problem, Shown, query, render};
use crate::session::Person;
use askama::Template;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use http::header;
use serde::Deserialize;
use std::convert::Infallible;
use std::time::Duration;
use tonic::{Request, Status};
use wire::v1::{ListStatusMessagesRequest, ReadLogRequest};

/// Lines that the page shows, and that a download has at most.
const LINES: u32 = 300;
const MAX_LINES: u32 = 10_000;
/// Status messages of all sites on a page.
const MESSAGES: u32 = 200;
/// A line is sent this often while nothing is written, so that a connection that is gone is noticed.
const ALIVE: Duration = Duration::from_secs(15);
/// How long the lines of a site may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// A site; empty: the status messages of all.
    site: String,
    severity: String,
    q: String,
    /// Where the page of status messages begins; empty: with the newest.
    page: String,
}

/// A line of the log, taken apart.
pub struct Line {
    pub text: String,
    pub component: String,
    pub at: String,
    /// `error`, `warning`, or nothing: as CMTrace colours it.
    pub class: &'static str,
}

impl Line {
    /// A line of `wsyncmgr.log`: `text  $$<COMPONENT><time><thread>`.
    pub fn new(line: &str) -> Self {
        let (text, rest) = line.rsplit_once("$$<").unwrap_or((line, ""));
        let mut parts = rest.split("><");
        let component = parts.next().unwrap_or_default().trim_end_matches('>');
        let at = parts.next().unwrap_or_default().trim_end_matches('>');
        let text = text.trim_end();
        Self {
            class: class(text),
            text: text.to_owned(),
            component: component.to_owned(),
            at: at.to_owned(),
        }
    }
}

/// How CMTrace colours a line in this form: by the severity that an echoed status message states, else by words.
fn class(text: &str) -> &'static str {
    if text.contains("SEV=E") {
        return "error";
    }
    if text.contains("SEV=W") {
        return "warning";
    }
    if text.contains("SEV=I") {
        return "";
    }
    let lower = text.to_lowercase();
    if ["error", "fail", "critical", "fatal"]
        .iter()
        .any(|word| lower.contains(word))
    {
        "error"
    } else if lower.contains("warn") {
        "warning"
    } else {
        ""
    }
}

#[derive(Template)]
#[template(path = "log.html")]
struct Page {
    frame: Frame,
    wanted: Wanted,
    /// Codes of all sites.
    codes: Vec<String>,
    lines: Vec<Line>,
    messages: Vec<MessageRow>,
    /// Older messages.
    next: Option<String>,
    /// Where the lines are followed, and downloaded.
    follow: String,
    download: String,
    /// Why there are no lines.
    missing: Option<String>,
}

/// `GET /log`
///
/// # Errors
/// When the person may not see it.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(mut wanted): Query<Wanted>,
) -> Shown {
    let hierarchy = sites(&person.api).await?;
    let codes = hierarchy.in_tree_order().into_iter();
    let codes = codes.map(|(_, site)| site.site_code.clone()).collect();
    wanted.site = wanted.site.trim().to_ascii_uppercase();
    let text = wanted.q.trim().to_lowercase();
    let (mut lines, mut messages, mut missing, mut next) = (Vec::new(), Vec::new(), None, None);
    let live = if wanted.site.is_empty() {
        let (found, token) = all_messages(&dashboard, &person, &wanted).await?;
        messages = found;
        let pairs = [
            ("severity", wanted.severity.as_str()),
            ("q", &wanted.q),
            ("page", &token),
        ];
        next = (!token.is_empty()).then(|| format!("/log{}", query(&pairs)));
        // Older pages stay as they are.
        if wanted.page.is_empty() {
            "messages"
        } else {
            ""
        }
    } else {
        match last_lines(&person, &wanted.site, LINES).await {
            Ok(read) => lines = read,
            Err(refusal) => missing = Some(refusal.message().to_owned()),
        }
        ""
    };
    let mut lines: Vec<Line> = lines.iter().map(|line| Line::new(line)).collect();
    lines.retain(|line| {
        let severe = match wanted.severity.as_str() {
            "error" => line.class == "error",
            "warning" => !line.class.is_empty(),
            _ => true,
        };
        severe && (text.is_empty() || line.text.to_lowercase().contains(&text))
    });
    let site = wanted.site.clone();
    let address = |more: &str| {
        let pairs = [("site", site.as_str()), ("as", more)];
        format!("/log/lines{}", query(&pairs))
    };
    render(&Page {
        frame: Frame::new(&dashboard, &person, "Log", "/log", live),
        codes,
        lines,
        messages,
        next,
        follow: address("events"),
        download: address("file"),
        missing,
        wanted,
    })
}

/// A page of the status messages of all sites, and where the next one begins.
async fn all_messages(
    dashboard: &Dashboard,
    person: &Person,
    wanted: &Wanted,
) -> Result<(Vec<MessageRow>, String), Status> {
    let request = ListStatusMessagesRequest {
        limit: MESSAGES,
        severity: wanted.severity.clone(),
        text: wanted.q.trim().to_owned(),
        page_token: wanted.page.clone(),
        ..ListStatusMessagesRequest::default()
    };
    let answer = person
        .api
        .journal()
        .list_status_messages(question(request))
        .await?;
    let answer = answer.into_inner();
    let now = dashboard.ambient.now();
    let messages = answer.messages.into_iter();
    let messages = messages.map(|entry| MessageRow::new(entry, now)).collect();
    Ok((messages, answer.next_page_token))
}

/// The last lines of a site's log.
async fn last_lines(person: &Person, site: &str, last: u32) -> Result<Vec<String>, Status> {
    let request = ReadLogRequest {
        site_code: site.to_owned(),
        last,
        follow: false,
        ..ReadLogRequest::default()
    };
    let read = async {
        let answer = person.api.journal().read_log(Request::new(request)).await?;
        let mut stream = answer.into_inner();
        let mut lines = Vec::new();
        while let Some(part) = stream.message().await? {
            lines.extend(part.lines);
        }
        Ok(lines)
    };
    tokio::time::timeout(PATIENCE, read)
        .await
        .unwrap_or_else(|_| {
            Err(Status::deadline_exceeded(format!(
                "{site} did not send its log in time: it is busy, or its link is down."
            )))
        })
}

/// Which lines are wanted, and as what.
#[derive(Debug, Deserialize)]
pub struct LinesWanted {
    site: String,
    /// `file`: all lines to keep; `events`: the last lines, and what is written from now on.
    #[serde(rename = "as", default)]
    form: String,
}

/// `GET /log/lines`
///
/// # Errors
/// When the person may not read them, or the site does not answer.
pub async fn lines(
    State(dashboard): State<Dashboard>,
    person: Person,
    Query(wanted): Query<LinesWanted>,
) -> Result<Response, Problem> {
    if wanted.form == "file" {
        let lines = last_lines(&person, &wanted.site, MAX_LINES).await?;
        let mut text = lines.join("\r\n");
        text.push_str("\r\n");
        let safe: String = wanted
            .site
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        let name = format!("attachment; filename=\"wsyncmgr-{safe}.log\"");
        let headers = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
            (header::CONTENT_DISPOSITION, name),
        ];
        return Ok((headers, text).into_response());
    }
    let place = crate::events::place(&dashboard, &person)?;
    let request = ReadLogRequest {
        site_code: wanted.site,
        last: LINES,
        follow: true,
        ..ReadLogRequest::default()
    };
    // The answer begins at once: the site may be far away, and may have nothing to say for long.
    let mut journal = person.api.journal();
    let asked = async move {
        let answer = journal.read_log(Request::new(request)).await?;
        Ok::<_, Status>(answer.into_inner())
    };
    let parts = stream::once(asked).flat_map(|asked| match asked {
        Ok(parts) => parts.left_stream(),
        Err(refusal) => stream::once(std::future::ready(Err(refusal))).right_stream(),
    });
    let events = parts
        .map(move |part| {
            let _held = &place;
            Ok::<_, Infallible>(match part {
                Ok(part) => Event::default().event("lines").data(as_json(&part.lines)),
                Err(refusal) => Event::default()
                    .event("refused")
                    .data(refusal.message().replace(['\r', '\n'], " ")),
            })
        })
        .take_until(dashboard.stop.clone().cancelled_owned())
        .take_until(Box::pin(tokio::time::sleep(crate::events::LONGEST)));
    let answer = Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE));
    Ok(answer.into_response())
}

/// Lines as the script of the page takes them.
fn as_json(lines: &[String]) -> String {
    let lines = lines.iter().map(|line| {
        let line = Line::new(line);
        serde_json::json!({
            "text": line.text, "component": line.component, "at": line.at, "class": line.class,
        })
    });
    serde_json::Value::from_iter(lines).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart_as_cmtrace_does() {
        let line = "Sync failed: x $$< y  $$<SMS_WSUS_SYNC_MANAGER><11-21-2026 12:00:00.000+000><thread=1 (0x1)>";
        let line = Line::new(line);
        assert_eq!(line.text, "Sync failed: x $$< y");
        assert_eq!(line.component, "SMS_WSUS_SYNC_MANAGER");
        assert_eq!(line.at, "11-21-2026 12:00:00.000+000");
        assert_eq!(line.class, "error");
        assert_eq!(Line::new("no form").text, "no form");
        assert_eq!(class("STATMSG: ID=6702 SEV=I failed 0"), "");
        assert_eq!(class("STATMSG: ID=9012 SEV=W"), "warning");
    }
}
