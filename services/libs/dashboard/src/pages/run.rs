//! One synchronization as a time line across all sites.

use super::runs::{RunRow, look, took};
use crate::Dashboard;
use crate::api::question;
use crate::page::{Frame, Shown, render};
use crate::session::Person;
use askama::Template;
use axum::extract::{Path, State};
use hierarchy::time;
use hierarchy::words::{count, phase as phase_in_words, size};
use jiff::Timestamp;
use tonic::Status;
use uuid::Uuid;
use wire::v1::{GetRunRequest, SiteRun};

/// Width of the time line.
const WIDTH: f64 = 1000.0;

/// A stretch of the time line.
struct Bar {
    left: f64,
    width: f64,
    class: &'static str,
    title: String,
}

/// The part of a site.
struct Part {
    code: String,
    state: String,
    look: (&'static str, &'static str),
    duration: String,
    items: String,
    bytes: String,
    error: String,
    bars: Vec<Bar>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    frame: Frame,
    row: RunRow,
    parts: Vec<Part>,
    /// How long the whole time line is.
    whole: String,
    width: f64,
}

/// `GET /runs/{id}`
///
/// # Errors
/// When the person may not see it, or there is no such run.
pub async fn show(
    State(dashboard): State<Dashboard>,
    person: Person,
    Path(id): Path<String>,
) -> Shown {
    let id: Uuid = id.parse().map_err(|_| {
        let id = wire::text::harmless(&id).into_owned();
        Status::not_found(format!("{id} is not the identifier of a synchronization."))
    })?;
    let request = question(GetRunRequest {
        id: id.as_bytes().to_vec(),
    });
    let answer = person.api.runs().get_run(request).await?.into_inner();
    let now = dashboard.ambient.now();
    let run = answer.run.unwrap_or_default();
    let span = span(&answer.sites, time(run.started.as_ref()), now);
    let parts = answer.sites.into_iter();
    render(&Page {
        frame: Frame::new(
            &dashboard,
            &person,
            "Synchronization",
            "/runs",
            "sites messages",
        ),
        whole: took(Some(span.0), Some(span.1), now).unwrap_or_default(),
        parts: parts.map(|part| Part::new(part, span, now)).collect(),
        row: RunRow::new(run, now),
        width: WIDTH,
    })
}

/// From when to when anything happened; until now where something still does.
fn span(parts: &[SiteRun], started: Option<Timestamp>, now: Timestamp) -> (Timestamp, Timestamp) {
    let begins = parts.iter().flat_map(|part| {
        let times = [part.requested.as_ref(), part.started.as_ref()];
        times.map(time)
    });
    let from = begins.chain([started]).flatten().min().unwrap_or(now);
    let ends = parts.iter().map(|part| match part.started {
        Some(_) => time(part.finished.as_ref()).unwrap_or(now),
        None => from,
    });
    (from, ends.max().unwrap_or(now).max(from))
}

impl Part {
    fn new(part: SiteRun, (from, to): (Timestamp, Timestamp), now: Timestamp) -> Self {
        let whole = to.duration_since(from).as_secs_f64().max(0.001);
        let at = |time: Timestamp| {
            (time.duration_since(from).as_secs_f64() / whole * WIDTH).clamp(0.0, WIDTH)
        };
        let bar = |begin: Timestamp, end: Timestamp, class, title: String| Bar {
            left: at(begin),
            width: (at(end) - at(begin)).max(2.0),
            class,
            title,
        };
        let started = time(part.started.as_ref());
        let finished = time(part.finished.as_ref());
        let mut bars = Vec::new();
        if let (Some(requested), Some(started)) = (time(part.requested.as_ref()), started)
            && requested < started
        {
            bars.push(bar(
                requested,
                started,
                "waiting",
                "asked, not begun".into(),
            ));
        }
        for phase in &part.phases {
            let Some(begin) = time(phase.started.as_ref()) else {
                continue;
            };
            let end = time(phase.finished.as_ref());
            let title = format!(
                "{}: {}",
                phase_in_words(&phase.phase).unwrap_or(&phase.phase),
                took(Some(begin), end, now).unwrap_or_default()
            );
            bars.push(bar(begin, end.unwrap_or(to), class(&phase.phase), title));
        }
        if part.phases.is_empty()
            && let Some(started) = started
        {
            bars.push(bar(
                started,
                finished.unwrap_or(to),
                "other",
                part.state.clone(),
            ));
        }
        Self {
            code: part.site_code,
            look: look(&part.state),
            state: part.state,
            duration: took(started, finished, now).unwrap_or_default(),
            items: count(part.items),
            bytes: size(part.bytes),
            error: part.error,
            bars,
        }
    }
}

/// The class of a phase in the style.
fn class(phase: &str) -> &'static str {
    match phase {
        "Connecting" => "connecting",
        "SyncingCategories" => "categories",
        "SyncingUpdates" => "updates",
        "SyncingContent" => "content",
        "Verifying" => "verifying",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::at;
    use wire::v1::PhaseSpan;

    #[test]
    fn bars_stand_where_the_phases_were() {
        let phase = |phase: &str, from, to| PhaseSpan {
            phase: phase.to_owned(),
            started: Some(at(from)),
            finished: Some(at(to)),
        };
        let site = |code: &str, requested, from, to| SiteRun {
            site_code: code.to_owned(),
            requested: Some(at(requested)),
            started: Some(at(from)),
            finished: Some(at(to)),
            state: "Completed".into(),
            phases: vec![
                phase("Connecting", from, from + 10),
                phase("SyncingUpdates", from + 10, to),
            ],
            ..SiteRun::default()
        };
        let sites = [site("CAS", 100, 100, 150), site("PR1", 120, 130, 200)];
        let now = Timestamp::from_second(1_000).unwrap();
        let span = span(&sites, None, now);
        assert_eq!((span.0.as_second(), span.1.as_second()), (100, 200));
        let part = Part::new(sites[1].clone(), span, now);
        let bars: Vec<_> = part
            .bars
            .iter()
            .map(|bar| (bar.class, bar.left, bar.width))
            .collect();
        let expected = [
            ("waiting", 200.0, 100.0),
            ("connecting", 300.0, 100.0),
            ("updates", 400.0, 600.0),
        ];
        assert_eq!(bars, expected);
        assert_eq!(part.bars[2].title, "synchronizing updates: 1 min");
        assert_eq!(part.duration, "1 min");
    }
}
