//! `cleanup`: starting the clean-up of the top-level site, and what the last one did.

use crate::connection::{ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, table, text};
use hierarchy::time;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use wire::text::harmless;
use wire::v1::{CleanupReport, GetCleanupReportRequest, RunCleanupRequest};

/// A clean-up of a large catalog takes longer than other questions.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The clean-up.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
It follows each synchronization by itself, as the settings below \"cleanup\" say. What it does to the
catalog reaches every site with its next synchronization; no site has to be cleaned up before another.

Examples:
  headwater cleanup --dry-run
  headwater settings set cleanup.decline-superseded=true cleanup.days=60
  headwater cleanup report"
)]
pub struct Command {
    #[command(subcommand)]
    action: Option<Action>,
    /// Change nothing, and say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show what the last clean-up did
    Report {
        #[command(flatten)]
        connection: ConnectionArgs,
    },
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    if let Some(Action::Report { connection }) = command.action {
        let console = Console::of_process(connection.json);
        let client = connection.connect().await?;
        let answer = client
            .cleanup()
            .get_cleanup_report(question(GetCleanupReportRequest {}))
            .await;
        let answer = answer
            .map_err(|status| explain(status, &client.server, "asking for the last clean-up"))?;
        match answer.into_inner().report {
            Some(report) => show(&console, &report)?,
            None if console.json => console.json_line(&Value::Null)?,
            None => console.line("There was no clean-up yet.")?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    let mut request = question(RunCleanupRequest {
        dry_run: command.dry_run,
    });
    request.set_timeout(PATIENCE);
    let answer = client.cleanup().run_cleanup(request).await;
    let answer = answer.map_err(|status| explain(status, &client.server, "cleaning up"))?;
    let report = answer.into_inner().report.unwrap_or_default();
    show(&console, &report)?;
    Ok(match report.failure.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn show(console: &Console, report: &CleanupReport) -> anyhow::Result<()> {
    if console.json {
        return console.json_line(&json(report));
    }
    for line in lines(report, &View::of_process(console)) {
        console.line(line)?;
    }
    Ok(())
}

fn json(report: &CleanupReport) -> Value {
    let tasks = report.tasks.iter().map(|task| {
        json!({
            "name": task.name, "enabled": task.enabled, "looked_at": task.looked_at,
            "done": task.done, "left": task.left, "milliseconds": task.milliseconds,
        })
    });
    json!({
        "who": report.who,
        "started": time(report.started.as_ref()),
        "finished": time(report.finished.as_ref()),
        "dry_run": report.dry_run,
        "tasks": tasks.collect::<Vec<_>>(),
        "failure": Some(report.failure.as_str()).filter(|failure| !failure.is_empty()),
    })
}

/// The report, for people.
fn lines(report: &CleanupReport, view: &View) -> Vec<String> {
    let when = time(report.started.as_ref());
    let when = when.map_or_else(String::new, |time| text::date_and_time(time, view));
    let what = match report.dry_run {
        true => "Nothing was changed: this is what a clean-up would do",
        false => "Clean-up",
    };
    let mut lines = vec![
        format!("{what} ({when}, by {})", harmless(&report.who)),
        String::new(),
        table::cleanup(report, view),
    ];
    if report.tasks.iter().any(|task| task.left > 0) {
        lines.push(String::new());
        lines.push("What is left over is done by itself, a part at a time.".to_owned());
    }
    if !report.failure.is_empty() {
        lines.push(String::new());
        lines.push(format!("Broken off: {}", harmless(&report.failure)));
        lines.push("What was done stays; start it again to go on.".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use wire::v1::CleanupTask;

    #[test]
    fn a_report_tells_each_task() {
        let view = View {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        };
        let started: jiff::Timestamp = "2026-03-01T17:00:00Z".parse().unwrap();
        let report = CleanupReport {
            who: "anna".into(),
            started: Some(wire::convert::from_timestamp(started)),
            tasks: vec![
                CleanupTask {
                    name: "decline-expired".into(),
                    enabled: true,
                    looked_at: 21_000,
                    done: 1234,
                    left: 7,
                    milliseconds: 80,
                },
                CleanupTask {
                    name: "decline-superseded".into(),
                    ..CleanupTask::default()
                },
            ],
            failure: "history: database failed".into(),
            ..CleanupReport::default()
        };
        let told = lines(&report, &view).join("\n");
        let rows: Vec<&str> = told.lines().map(str::trim_end).collect();
        assert_eq!(rows[0], "Clean-up (2026-03-01 17:00:00, by anna)");
        let words = |row: &str| {
            row.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            words(rows[4]),
            ["decline-expired", "21,000", "1,234", "7", "80", "ms"]
        );
        assert_eq!(words(rows[5]), ["decline-superseded", "switched", "off"]);
        assert!(
            told.contains("Broken off: history: database failed"),
            "{told}"
        );
        assert!(told.contains("left over"), "{told}");
        let dry = CleanupReport {
            dry_run: true,
            ..report
        };
        let told = lines(&dry, &view).join("\n");
        assert!(
            told.contains("Nothing was changed") && told.contains("Would do"),
            "{told}"
        );
    }
}
