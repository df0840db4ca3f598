//! `sync start` and `sync cancel`.

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::follow::{self, Verdict};
use crate::progress::{Display, summary, verdict_text};
use crate::render::View;
use crate::render::text::uuid;
use anyhow::Context;
use jiff::SignedDuration;
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use wire::v1::CancelSyncRequest;

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
    /// Ask the whole hierarchy to synchronize now
    ///
    /// While a run is under way, any number of requests become one further run.
    Start(Start),
    /// Cancel the run under way, at every site
    Cancel,
}

#[derive(Debug, clap::Args)]
struct Start {
    /// Compare everything with the source instead of asking for what changed
    #[arg(long)]
    full: bool,
    /// Show progress until every site caught up; exit with 1 when one did not. Ctrl-C ends the
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
struct StartedLine {
    event: &'static str,
    run: Option<String>,
    queued: bool,
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
        Action::Cancel => cancel_sync(&console, &client).await,
    }
}

async fn start_sync(console: &Console, client: &Client, start: &Start) -> anyhow::Result<ExitCode> {
    let started = follow::start(client, start.full).await?;
    let run = uuid(&started.run);
    if console.json {
        console.json_line(&StartedLine {
            event: "started",
            run,
            queued: started.queued,
        })?;
    } else {
        let text = if started.queued {
            "A run is under way; the one that was asked for follows it."
        } else {
            "The synchronization has started."
        };
        console.line(text)?;
        if !start.wait {
            console.remark("Follow it with: headwater status --watch");
        }
    }
    if !start.wait {
        return Ok(ExitCode::SUCCESS);
    }
    let mut display = Display::new(console);
    let view = || View::of_process(console);
    let followed = follow::follow(client, &started, start.timeout, |hierarchy, progress| {
        display.show(console, hierarchy, progress, &view())
    })
    .await;
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

/// What a verdict means for a script.
pub(crate) fn exit_code(verdict: &Verdict) -> ExitCode {
    match verdict {
        Verdict::Converged { .. } => ExitCode::SUCCESS,
        Verdict::TopFailed { .. }
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

async fn cancel_sync(console: &Console, client: &Client) -> anyhow::Result<ExitCode> {
    let answer = client
        .sync()
        .cancel_sync(question(CancelSyncRequest::default()))
        .await;
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
    } else if run.is_some() {
        console.line("The synchronization is being cancelled at every site.")?;
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
