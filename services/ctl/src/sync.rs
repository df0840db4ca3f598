//! `sync start`, `sync cancel`, `sync history` and `sync show`.

mod history;
mod timeline;

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::follow::{self, Progress, Started, Verdict};
use crate::progress::{Display, summary, verdict_text};
use crate::render::View;
use crate::render::text::uuid;
use anyhow::Context;
use hierarchy::Hierarchy;
use jiff::SignedDuration;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use wire::text::harmless;
use wire::v1::{CancelSyncRequest, StartSyncRequest};

/// Starting and cancelling synchronization.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Ask the whole hierarchy, or one site, to synchronize now
    ///
    /// While a run is under way, any number of requests become one further run. A site that waits before it tries
    /// again does not wait any longer.
    Start(Start),
    /// Cancel the run under way, at every site or at one
    Cancel(Cancel),
    /// List the synchronizations, newest first, with what came of them
    History(history::Command),
    /// Show one synchronization: when each site began, which phase took how long, and how it ended
    Show(timeline::Command),
}

/// Which sites are meant.
#[derive(Debug, clap::Args)]
struct Target {
    /// Only this software update point; without it, every site
    #[arg(long, value_name = "CODE")]
    site: Option<String>,
    /// With --site: every site below it, too
    #[arg(long, requires = "site")]
    subtree: bool,
}

#[derive(Debug, clap::Args)]
struct Cancel {
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
struct Start {
    #[command(flatten)]
    target: Target,
    /// Compare everything with the source instead of asking for what changed
    #[arg(long)]
    full: bool,
    /// Show progress until every site that is meant caught up; exit with 1 when one did not. Ctrl-C ends the
    /// waiting, not the synchronization
    #[arg(long)]
    wait: bool,
    /// With --wait: give up waiting after this time, for example 90s, 30m or 2h
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = length_of_time)]
    timeout: Option<Duration>,
}

/// Reads a length of time such as `90s`, `30m`, `24h` or `7d`.
///
/// # Errors
/// When it is none, or not longer than nothing.
pub(crate) fn length_of_time(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a length of time: write it like 90s, 30m, 24h or 7d");
    let span: jiff::Span = text.parse().map_err(|_| refuse())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let length: SignedDuration = span.to_duration(days).map_err(|_| refuse())?;
    let length = Duration::try_from(length).map_err(|_| refuse())?;
    Some(length)
        .filter(|length| !length.is_zero())
        .ok_or_else(refuse)
}

#[derive(Serialize)]
struct StartedLine<'a> {
    event: &'static str,
    run: Option<String>,
    queued: bool,
    asked: &'a [String],
    not_connected: &'a [String],
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::Start(start) => start_sync(&console, &client, &start).await,
        Action::Cancel(cancel) => cancel_sync(&console, &client, cancel.target).await,
        Action::History(command) => history::execute(&console, &client, &command).await,
        Action::Show(command) => timeline::execute(&console, &client, &command).await,
    }
}

async fn start_sync(console: &Console, client: &Client, start: &Start) -> anyhow::Result<ExitCode> {
    let site_code = start.target.site.clone().unwrap_or_default();
    let request = StartSyncRequest {
        full: start.full,
        site_code: site_code.clone(),
        subtree: start.target.subtree,
    };
    let started = follow::request(client, request).await?;
    let run = uuid(&started.run);
    if console.json {
        console.json_line(&StartedLine {
            event: "started",
            run,
            queued: started.queued,
            asked: &started.asked,
            not_connected: &started.not_connected,
        })?;
    } else {
        console.line(started_text(&site_code, &started))?;
        if !site_code.is_empty() && !started.not_connected.is_empty() {
            console.line(not_connected_text(&started.not_connected))?;
        }
        if !start.wait {
            console.remark("Follow it with: headwater status --watch");
        }
    }
    if !start.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let mut display = Display::new(console);
    let view = || View::of_process(console);
    let mut show = |hierarchy: &Hierarchy, progress: &Progress| {
        display.show(console, hierarchy, progress, &view())
    };
    let followed = match site_code.is_empty() {
        true => follow::follow(client, &started, start.timeout, &mut show).await,
        false => follow::follow_part(client, &started, start.timeout, &mut show).await,
    };
    display.finish();
    let (hierarchy, verdict) = followed?;
    if console.json {
        console.json_line(&summary(&started.run, &verdict))?;
    } else {
        for line in verdict_text(&verdict, hierarchy.len()) {
            console.line(line)?;
        }
    }
    Ok(exit_code(&verdict))
}

/// What was asked for, in words.
fn started_text(site_code: &str, started: &Started) -> String {
    match (site_code, started.queued, started.asked.len()) {
        ("", true, _) => "A run is under way; the one that was asked for follows it.".to_owned(),
        ("", false, _) => "The synchronization has started.".to_owned(),
        (site, true, _) => {
            format!("{site} is in a run; the one that was asked for follows it.")
        }
        (site, false, ..2) => format!("{site} synchronizes with its parent now."),
        (site, false, many) => format!(
            "{site} synchronizes with its parent now, and then the {} connected sites below it.",
            many - 1
        ),
    }
}

fn not_connected_text(codes: &[String]) -> String {
    match codes {
        [one] => format!(
            "{} is not connected; it catches up by itself when it is back.",
            harmless(one)
        ),
        several => format!(
            "{} are not connected; they catch up by themselves when they are back.",
            harmless(&several.join(", "))
        ),
    }
}

/// What a verdict means for a script.
pub(crate) fn exit_code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Converged { .. } | Verdict::Followed => ExitCode::SUCCESS,
        Verdict::TopFailed { .. }
        | Verdict::NotFollowed { .. }
        | Verdict::Cancelled
        | Verdict::Incomplete { .. }
        | Verdict::TimedOut { .. } => ExitCode::FAILURE,
    }
}

#[derive(Serialize)]
struct CancelledLine {
    cancelled: bool,
    run: Option<String>,
}

async fn cancel_sync(
    console: &Console,
    client: &Client,
    target: Target,
) -> anyhow::Result<ExitCode> {
    let site = target.site.unwrap_or_default();
    let request = CancelSyncRequest {
        site_code: site.clone(),
        subtree: target.subtree,
    };
    let answer = client.sync().cancel_sync(question(request)).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "cancelling the synchronization"))?;
    let run = answer.into_inner().run;
    let run = (!run.is_empty())
        .then(|| {
            uuid(&run).context("the site named the cancelled run in a way that is unknown here")
        })
        .transpose()?;
    if console.json {
        console.json_line(&CancelledLine {
            cancelled: run.is_some(),
            run,
        })?;
    } else if run.is_some() && !site.is_empty() {
        console.line(format!("The synchronization of {site} is being cancelled."))?;
    } else if run.is_some() {
        console.line("The synchronization is being cancelled at every site.")?;
    } else if !site.is_empty() {
        console.line(format!(
            "{site} reports no synchronization under way; what waits to be tried again there is cancelled."
        ))?;
    } else {
        console.line("No synchronization is under way.")?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_written_as_people_write_them() {
        let read = |text| length_of_time(text).map(|length| length.as_secs());
        assert_eq!(read("90s"), Ok(90));
        assert_eq!(read("24h"), Ok(86_400));
        assert_eq!(read("7d"), Ok(604_800));
        assert_eq!(read("1h30m"), Ok(5_400));
        for text in ["", "0s", "-5m", "soon", "12"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
