//! `log --all`: the status messages of every site as lines of one log, chosen by the site that is asked, and followed
//! as they arrive there.

use super::{Command, Line, shown};
use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::moment;
use hierarchy::time;
use jiff::Timestamp;
use journal::Severity;
use journal::merged::MergedLine;
use std::collections::HashSet;
use tokio_stream::StreamExt;
use wire::v1::{ListStatusMessagesRequest, ReadLogRequest, StatusEntry};

/// Most messages of one answer.
const PAGE: usize = 1_000;

/// Which messages are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    /// In capitals; empty means all.
    site: String,
    least: Severity,
    since: Option<Timestamp>,
    text: String,
}

impl Wanted {
    fn of(command: &Command, now: Timestamp) -> anyhow::Result<Self> {
        let since = command
            .since
            .as_deref()
            .map(|since| moment::since(since, now));
        Ok(Self {
            site: command
                .site
                .clone()
                .unwrap_or_default()
                .to_ascii_uppercase(),
            least: match command.severity {
                None | Some(Least::Information) => Severity::Information,
                Some(Least::Warning) => Severity::Warning,
                Some(Least::Error) => Severity::Error,
            },
            since: since.transpose()?,
            text: command.text.clone().unwrap_or_default(),
        })
    }

    /// Whether a line that arrived is one of them, as the site that is asked would choose it.
    fn takes(&self, line: &MergedLine<'_>) -> bool {
        let text = self.text.to_lowercase();
        (self.site.is_empty() || line.site == self.site)
            && line.severity >= self.least
            && self.since.is_none_or(|since| line.time >= since)
            && (line.text.to_lowercase().contains(&text) || line.id.to_string().contains(&text))
    }

    fn request(&self, limit: usize, page_token: String) -> ListStatusMessagesRequest {
        ListStatusMessagesRequest {
            site_code: self.site.clone(),
            limit: u32::try_from(limit.min(PAGE)).unwrap_or(u32::MAX),
            severity: self.least.name().to_owned(),
            text: self.text.clone(),
            after: self.since.map(wire::convert::from_timestamp),
            page_token,
            ..ListStatusMessagesRequest::default()
        }
    }
}

/// The least severe messages that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Least {
    /// All.
    Information,
    /// What someone should look at, and worse.
    Warning,
    /// What did not happen that should have.
    Error,
}

/// A message as a line of the merged log.
fn line(entry: &StatusEntry) -> Option<String> {
    let message = entry.message.as_ref()?;
    let severity = match entry.severity.as_str() {
        "information" => Severity::Information,
        "error" => Severity::Error,
        // Also what a newer version may say.
        _ => Severity::Warning,
    };
    let line = MergedLine {
        site: &message.site_code,
        time: time(message.time.as_ref())?,
        id: message.status_id,
        severity,
        run: wire::convert::optional_uuid("run", &message.run).ok()?,
        text: &entry.text,
    };
    Some(line.format().trim_end().to_owned())
}

/// Shows them, the oldest first; with `follow` those that arrive from then on.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: &Command, client: &Client, console: &Console) -> anyhow::Result<()> {
    let wanted = Wanted::of(command, crate::now())?;
    let failed = |status| explain(status, &client.server, "reading the log of all sites");
    // Followed before the past is read, so that nothing falls between the two.
    let mut arriving = None;
    if command.follow {
        let request = ReadLogRequest {
            follow: true,
            merged: true,
            ..ReadLogRequest::default()
        };
        let stream = client.journal().read_log(request).await.map_err(failed)?;
        arriving = Some(stream.into_inner());
    }
    let past = past(client, &wanted, command.last as usize).await?;
    for line in &past {
        show(line, console)?;
    }
    let Some(mut arriving) = arriving else {
        return Ok(());
    };
    let told: HashSet<String> = past.into_iter().collect();
    while let Some(lines) = arriving.next().await {
        for line in lines.map_err(failed)?.lines {
            let takes = MergedLine::parse(&line).is_none_or(|read| wanted.takes(&read));
            if takes && !told.contains(&line) {
                show(&line, console)?;
            }
        }
    }
    Ok(())
}

/// The newest messages, the oldest of them first.
async fn past(client: &Client, wanted: &Wanted, most: usize) -> anyhow::Result<Vec<String>> {
    let (mut lines, mut page_token) = (Vec::new(), String::new());
    while lines.len() < most {
        let request = question(wanted.request(most - lines.len(), page_token));
        let answer = client.journal().list_status_messages(request).await;
        let answer = answer
            .map_err(|status| explain(status, &client.server, "listing status messages"))?
            .into_inner();
        lines.extend(answer.messages.iter().filter_map(line));
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    lines.reverse();
    Ok(lines)
}

fn show(line: &str, console: &Console) -> anyhow::Result<()> {
    if !console.json {
        return console.line(shown(line, console));
    }
    let site_code = MergedLine::parse(line).map_or("", |read| read.site);
    console.json_line(&Line { site_code, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "Error 6703: synchronization failed: No Route (source: Client)  \
                        $$<SE1><11-21-2026 21:18:59.225+000><thread=1 (0x1)>";

    fn wanted() -> Wanted {
        Wanted {
            site: String::new(),
            least: Severity::Information,
            since: None,
            text: String::new(),
        }
    }

    #[test]
    fn a_line_that_arrives_is_chosen_as_the_site_would() {
        let read = MergedLine::parse(LINE).unwrap();
        let time = read.time;
        let later = time
            .checked_add(jiff::SignedDuration::from_millis(1))
            .unwrap();
        let any = wanted();
        assert!(any.takes(&read));
        for (change, taken) in [
            (
                Wanted {
                    site: "SE1".to_owned(),
                    ..any.clone()
                },
                true,
            ),
            (
                Wanted {
                    site: "SE".to_owned(),
                    ..any.clone()
                },
                false,
            ),
            (
                Wanted {
                    least: Severity::Error,
                    ..any.clone()
                },
                true,
            ),
            (
                Wanted {
                    since: Some(time),
                    ..any.clone()
                },
                true,
            ),
            (
                Wanted {
                    since: Some(later),
                    ..any.clone()
                },
                false,
            ),
            (
                Wanted {
                    text: "no ROUTE".to_owned(),
                    ..any.clone()
                },
                true,
            ),
            (
                Wanted {
                    text: "6703".to_owned(),
                    ..any.clone()
                },
                true,
            ),
            (
                Wanted {
                    text: "SE1".to_owned(),
                    ..any.clone()
                },
                false,
            ),
        ] {
            assert_eq!(change.takes(&read), taken, "{change:?}");
        }
        let fine = MergedLine {
            severity: Severity::Information,
            ..read
        };
        assert!(
            !Wanted {
                least: Severity::Warning,
                ..any
            }
            .takes(&fine)
        );
    }

    #[test]
    fn a_message_of_the_list_is_the_line_of_the_log() {
        let read = MergedLine::parse(LINE).unwrap();
        let entry = StatusEntry {
            message: Some(wire::v1::StatusMessage {
                site_code: "SE1".to_owned(),
                status_id: 6703,
                time: Some(wire::convert::from_timestamp(read.time)),
                ..wire::v1::StatusMessage::default()
            }),
            severity: "error".to_owned(),
            text: read.text.to_owned(),
            cure: String::new(),
            ..StatusEntry::default()
        };
        assert_eq!(line(&entry).as_deref(), Some(LINE));
    }
}
