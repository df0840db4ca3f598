//! `message list`: what the sites reported, with what to do about it.

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, json, text};
use hierarchy::time;
use owo_colors::OwoColorize;
use serde::Serialize;
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{ListStatusMessagesRequest, StatusEntry};

/// Most messages that can be asked for at once.
const MOST_MESSAGES: i64 = 5_000;

/// Status messages.
#[derive(Debug, clap::Args)]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the newest status messages of the hierarchy, newest first
    List {
        /// Only messages about this site
        #[arg(long, short, value_name = "CODE")]
        site: Option<String>,
        /// How many to show
        #[arg(long, short = 'n', value_name = "N", default_value_t = 30,
              value_parser = clap::value_parser!(u32).range(1..=MOST_MESSAGES))]
        limit: u32,
    },
    /// Print every message that there can be, with cause and cure, as Markdown
    Reference,
}

#[derive(Serialize)]
struct Messages<'a> {
    messages: Vec<json::StatusEntry<'a>>,
}

/// Shows the messages.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let Action::List { site, limit } = command.action else {
        console.verbatim(&journal::reference::markdown())?;
        return Ok(ExitCode::SUCCESS);
    };
    let client = command.connection.connect().await?;
    let site = site.unwrap_or_default().to_ascii_uppercase();
    let entries = newest(&client, site, limit).await?;
    if console.json {
        let messages = entries.iter().filter_map(json::status_entry);
        let messages = messages.collect();
        console.json_line(&Messages { messages })?;
    } else if entries.is_empty() {
        console.line("There are no status messages.")?;
    } else {
        let view = View::of_process(&console);
        for entry in &entries {
            for line in lines(entry, &view) {
                console.line(line)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest status messages of a site, or of all where none is named, newest first.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub(crate) async fn newest(
    client: &Client,
    site_code: String,
    limit: u32,
) -> anyhow::Result<Vec<StatusEntry>> {
    let request = question(ListStatusMessagesRequest {
        site_code,
        limit,
        ..ListStatusMessagesRequest::default()
    });
    let answer = client.journal().list_status_messages(request).await;
    let answer =
        answer.map_err(|status| explain(status, &client.server, "listing status messages"))?;
    Ok(answer.into_inner().messages)
}

/// A message in one line, and what to do about it in a second where there is something to do.
pub(crate) fn lines(entry: &StatusEntry, view: &View) -> Vec<String> {
    let Some(message) = &entry.message else {
        return Vec::new();
    };
    let time = time(message.time.as_ref());
    let time = time.map_or_else(|| "-".to_owned(), |time| text::date_and_time(time, view));
    let (code, id) = (harmless(&message.site_code), message.status_id);
    let severity = harmless(&entry.severity);
    let padded = format!("{severity:11}");
    let severity = match entry.severity.as_str() {
        "error" if view.colour => padded.red().to_string(),
        "warning" if view.colour => padded.yellow().to_string(),
        _ => padded,
    };
    let mut lines = vec![format!(
        "{time:19}  {code:3}  {id:5}  {severity}  {}",
        harmless(&entry.text)
    )];
    if !entry.cure.is_empty() {
        let indent = "";
        lines.push(format!("{indent:46}{}", harmless(&entry.cure)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::at;
    use jiff::tz::TimeZone;
    use wire::v1::StatusMessage;

    #[test]
    fn a_message_is_followed_by_its_cure() {
        let view = View {
            now: jiff::Timestamp::UNIX_EPOCH,
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        };
        let entry = StatusEntry {
            message: Some(StatusMessage {
                site_code: "SE1".into(),
                number: 4,
                time: Some(at(60)),
                status_id: 6703,
                ..StatusMessage::default()
            }),
            severity: "error".into(),
            text: "synchronization failed".into(),
            cure: "Read the message.".into(),
            ..StatusEntry::default()
        };
        let expected = [
            "1970-01-01 00:01:00  SE1   6703  error        synchronization failed",
            "                                              Read the message.",
        ];
        assert_eq!(lines(&entry, &view), expected);
        assert!(lines(&StatusEntry::default(), &view).is_empty());
    }
}
