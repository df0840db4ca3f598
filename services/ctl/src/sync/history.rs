//! `sync history`: the synchronizations, newest first.

use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::render::View;
use crate::render::table::{coloured, finished, number, table};
use crate::render::text::{self, count, uuid};
use comfy_table::{Cell, Color};
use hierarchy::{time, words};
use serde_json::{Value, json};
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{ListRunsRequest, Run};

/// Characters of a run's identifier that people are shown: it begins with the time, to the millisecond.
const SHOWN_ID: usize = 13;
/// Runs that are asked for at a time.
const PAGE: u32 = 500;

/// Listing the synchronizations.
#[derive(Debug, clap::Args)]
pub(super) struct Command {
    /// How many of the newest
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    last: u32,
}

/// The newest runs, until there are enough of them or no more.
pub(super) async fn newest(client: &Client, most: u32) -> anyhow::Result<Vec<Run>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut runs: Vec<Run> = Vec::new();
    let mut page_token = String::new();
    while runs.len() < most {
        let left = u32::try_from(most - runs.len()).unwrap_or(PAGE);
        let request = question(ListRunsRequest {
            page_size: left.min(PAGE),
            page_token,
            ..ListRunsRequest::default()
        });
        let answer = client.runs().list_runs(request).await;
        let answer = answer
            .map_err(|status| explain(status, &client.server, "listing the synchronizations"))?
            .into_inner();
        runs.extend(answer.runs);
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    Ok(runs)
}

/// Lists them.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub(super) async fn execute(
    console: &Console,
    client: &Client,
    command: &Command,
) -> anyhow::Result<ExitCode> {
    let runs = newest(client, command.last).await?;
    if console.json {
        let runs: Vec<Value> = runs.iter().map(run_json).collect();
        console.json_line(&json!({ "runs": runs }))?;
    } else if runs.is_empty() {
        console.line("There was no synchronization yet.")?;
    } else {
        console.line(list(&runs, &View::of_process(console)))?;
        console.remark("Look at one with: headwater sync show RUN");
    }
    Ok(ExitCode::SUCCESS)
}

/// A run for scripts.
pub(super) fn run_json(run: &Run) -> Value {
    json!({
        "id": uuid(&run.id),
        "started": time(run.started.as_ref()),
        "finished": time(run.finished.as_ref()),
        "state": run.state,
        "full": run.full,
        "manual": run.manual,
        "added": run.added,
        "revised": run.revised,
        "expired": run.expired,
        "removed": run.removed,
        "failed": run.failed,
        "position": run.position,
        "error": run.error,
        "sites": run.sites,
        "completed": run.completed,
        "site_code": Some(run.site_code.as_str()).filter(|site| !site.is_empty()),
        "subtree": run.subtree,
        "source": Some(run.source.as_str()).filter(|source| !source.is_empty()),
    })
}

/// The beginning of a run's identifier.
pub(super) fn short(id: &[u8]) -> String {
    let id = uuid(id).unwrap_or_default();
    id.chars().take(SHOWN_ID).collect()
}

/// What was asked for, and why.
pub(super) fn kind(run: &Run) -> String {
    let extent = match (run.source.as_str(), run.full) {
        ("", true) => "full".into(),
        ("", false) => "delta".into(),
        (source, _) => harmless(source),
    };
    let site = harmless(&run.site_code);
    match (run.site_code.is_empty(), run.subtree, run.manual) {
        (true, _, true) => format!("{extent}, asked for"),
        (true, _, false) => extent.into_owned(),
        (false, true, _) => format!("{extent}, {site} and below"),
        (false, false, _) => format!("{extent}, {site} alone"),
    }
}

/// How long it took.
pub(super) fn took(
    started: Option<&prost_types::Timestamp>,
    finished: Option<&prost_types::Timestamp>,
) -> String {
    match time(started).zip(time(finished)) {
        Some((started, finished)) => words::took(finished.duration_since(started)),
        None => "-".to_owned(),
    }
}

/// The colour of a state.
pub(super) fn colour(state: &str) -> Option<Color> {
    match state {
        "Completed" | "Joined" => Some(Color::Green),
        "Failed" => Some(Color::Red),
        "Cancelled" => Some(Color::Yellow),
        _ => None,
    }
}

fn list(runs: &[Run], view: &View) -> String {
    let names = [
        "Run", "Started", "Took", "What", "State", "New", "Revised", "Expired", "Removed",
        "Failed", "Sites", "Position",
    ];
    let mut table = table(view, &names);
    for run in runs {
        // What other sites did changes nothing here.
        let own = run.site_code.is_empty();
        let figure = |figure: u64| match own {
            true => number(&count(figure)),
            false => number("-"),
        };
        let started = time(run.started.as_ref());
        table.add_row(vec![
            Cell::new(short(&run.id)),
            Cell::new(started.map_or_else(String::new, |time| text::date_and_time(time, view))),
            number(&took(run.started.as_ref(), run.finished.as_ref())),
            Cell::new(kind(run)),
            coloured(Cell::new(harmless(&run.state)), colour(&run.state), view),
            figure(run.added),
            figure(run.revised),
            figure(run.expired),
            figure(run.removed),
            figure(run.failed),
            number(&format!("{}/{}", run.completed, run.sites)),
            figure(run.position),
        ]);
    }
    finished(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::at;
    use jiff::tz::TimeZone;

    #[test]
    fn runs_are_listed_with_what_came_of_them() {
        let view = View {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        };
        let run = Run {
            id: vec![0x3f; 16],
            started: Some(at(60)),
            finished: Some(at(64)),
            state: "Completed".to_owned(),
            manual: true,
            added: 4_000,
            revised: 12,
            position: 5_310,
            sites: 6,
            completed: 5,
            ..Run::default()
        };
        let asked = Run {
            id: vec![0x40; 16],
            state: "Failed".to_owned(),
            finished: Some(at(200)),
            site_code: "PR1".to_owned(),
            subtree: true,
            full: true,
            sites: 3,
            ..run.clone()
        };
        let shown = list(&[asked, run], &view);
        let lines: Vec<String> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines[0],
            "Run Started Took What State New Revised Expired Removed Failed Sites Position"
        );
        assert_eq!(
            lines[2..],
            [
                "40404040-4040 1970-01-01 00:01:00 2 min full, PR1 and below Failed - - - - - 5/3 -",
                "3f3f3f3f-3f3f 1970-01-01 00:01:00 4.0 s delta, asked for Completed 4,000 12 0 0 0 5/6 5,310",
            ]
        );
    }
}
