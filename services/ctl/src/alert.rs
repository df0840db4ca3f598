//! `alert`: what is wrong at the sites, noting that somebody knows, and whether notifications arrive.

use crate::connection::{Client, ConnectionArgs, explain, question};
use crate::console::Console;
use crate::render::{View, text};
use anyhow::{anyhow, bail};
use hierarchy::time;
use owo_colors::OwoColorize;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use wire::text::harmless;
use wire::v1::{
    AcknowledgeAlertRequest, Alert, ListAlertsRequest, NotificationTested, TestNotificationsRequest,
};

/// Most alerts that can be asked for at once.
const MOST_ALERTS: i64 = 5_000;
/// Alerts among which one is looked for that is to be acknowledged.
const LOOKED_THROUGH: u32 = 5_000;
/// Digits of an identifier that are shown: its end, for its beginning is the time.
const SHORT: usize = 8;
/// Fewest digits that name an alert.
const FEWEST: usize = 4;
/// Receivers take their time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Alerts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  headwater alert list
  headwater alert list --ended --limit 20
  headwater alert acknowledge 1f0c2a9b
  headwater settings set alerts.site-silent.after-minutes=15
  headwater settings set notifications.webhooks+=https://hooks.example.org/headwater
  headwater settings password webhook
  headwater alert test")]
pub struct Command {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List what is wrong now, newest first
    List {
        /// Also what was wrong and ended
        #[arg(long)]
        ended: bool,
        /// How many to show
        #[arg(long, short = 'n', value_name = "N", default_value_t = 1000,
              value_parser = clap::value_parser!(u32).range(1..=MOST_ALERTS))]
        limit: u32,
    },
    /// Note that you know of an alert; the first person who did stays
    Acknowledge {
        /// Its identifier, or the beginning or end of it, as "alert list" shows it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Send a test notification to every receiver of the settings below "notifications"
    Test,
}

/// Does what was asked.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    let console = Console::of_process(command.connection.json);
    let client = command.connection.connect().await?;
    match command.action {
        Action::List { ended, limit } => {
            let alerts = listed(&client, ended, limit).await?;
            show(&console, &alerts, ended)?;
        }
        Action::Acknowledge { id } => {
            let alerts = listed(&client, true, LOOKED_THROUGH).await?;
            let id = chosen(&alerts, &id)?.id.clone();
            let request = question(AcknowledgeAlertRequest { id });
            let answer = client.alerts().acknowledge_alert(request).await;
            let answer = answer
                .map_err(|status| explain(status, &client.server, "acknowledging the alert"))?;
            let alert = answer.into_inner().alert.unwrap_or_default();
            acknowledged(&console, &alert)?;
        }
        Action::Test => {
            let mut request = question(TestNotificationsRequest {});
            request.set_timeout(PATIENCE);
            let answer = client.notifications().test_notifications(request).await;
            let answer =
                answer.map_err(|status| explain(status, &client.server, "sending the test"))?;
            return tested(&console, &answer.into_inner().receivers);
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn listed(client: &Client, ended: bool, limit: u32) -> anyhow::Result<Vec<Alert>> {
    let request = question(ListAlertsRequest { ended, limit });
    let answer = client.alerts().list_alerts(request).await;
    let answer = answer.map_err(|status| explain(status, &client.server, "listing the alerts"))?;
    Ok(answer.into_inner().alerts)
}

/// The one alert whose identifier begins or ends like this.
fn chosen<'a>(alerts: &'a [Alert], typed: &str) -> anyhow::Result<&'a Alert> {
    let digits: String = typed.chars().filter(|c| *c != '-').collect();
    let digits = digits.to_ascii_lowercase();
    if digits.len() < FEWEST || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        bail!(
            "{typed:?} names no alert: type the digits that headwater alert list shows, {FEWEST} at least"
        );
    }
    let is_it = |alert: &&Alert| {
        let id = text::hex(&alert.id);
        id.starts_with(&digits) || id.ends_with(&digits)
    };
    let mut found = alerts.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(anyhow!(
            "there is no alert {typed}: headwater alert list --ended shows those that there are"
        )),
        (Some(_), Some(_)) => Err(anyhow!(
            "several alerts have identifiers like {typed}: type more of it (headwater alert list --json)"
        )),
    }
}

fn show(console: &Console, alerts: &[Alert], ended: bool) -> anyhow::Result<()> {
    if console.json {
        let alerts: Vec<Value> = alerts.iter().map(json).collect();
        return console.json_line(&json!({ "alerts": alerts }));
    }
    if alerts.is_empty() {
        return console.line(match ended {
            true => "Nothing is wrong, and nothing was.",
            false => "Nothing is wrong.",
        });
    }
    let view = View::of_process(console);
    for (number, alert) in alerts.iter().enumerate() {
        if number > 0 {
            console.line("")?;
        }
        for line in lines(alert, &view) {
            console.line(line)?;
        }
    }
    Ok(())
}

fn json(alert: &Alert) -> Value {
    let or_null = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    json!({
        "id": text::uuid(&alert.id),
        "kind": alert.kind,
        "site": alert.site_code,
        "severity": alert.severity,
        "status_id": alert.status_id,
        "text": alert.text,
        "cause": or_null(&alert.cause),
        "cure": or_null(&alert.cure),
        "since": time(alert.since.as_ref()),
        "ended": time(alert.ended.as_ref()),
        "acknowledged_by": or_null(&alert.acknowledged_by),
        "acknowledged_at": time(alert.acknowledged_at.as_ref()),
    })
}

fn short(alert: &Alert) -> String {
    let id = text::hex(&alert.id);
    id[id.len().saturating_sub(SHORT)..].to_owned()
}

/// An alert: what it is about and since when, the sentence, who knows, and what to do.
fn lines(alert: &Alert, view: &View) -> Vec<String> {
    let indent = " ".repeat(SHORT + 2);
    let when = |at: Option<&prost_types::Timestamp>| {
        time(at).map_or_else(|| "-".to_owned(), |at| text::date_and_time(at, view))
    };
    let padded = format!("{:8}", harmless(&alert.severity));
    let severity = match alert.severity.as_str() {
        _ if alert.ended.is_some() || !view.colour => padded,
        "error" => padded.red().to_string(),
        "warning" => padded.yellow().to_string(),
        _ => padded,
    };
    let since = time(alert.since.as_ref());
    let length = match time(alert.ended.as_ref()) {
        Some(ended) => {
            let lasted = since.map(|since| text::duration(ended.duration_since(since)));
            let ended = text::date_and_time(ended, view);
            format!("ended {ended}, after {}", lasted.unwrap_or_default())
        }
        None => since.map_or_else(String::new, |since| text::ago(since, view)),
    };
    let mut lines = vec![
        format!(
            "{}  {severity} {:5}  {:20}  since {} ({length})",
            short(alert),
            harmless(&alert.site_code),
            harmless(&alert.kind),
            when(alert.since.as_ref()),
        ),
        format!("{indent}{}", harmless(&alert.text)),
    ];
    if !alert.acknowledged_by.is_empty() {
        let by = harmless(&alert.acknowledged_by);
        let at = when(alert.acknowledged_at.as_ref());
        lines.push(format!("{indent}Acknowledged by {by}, {at}."));
    }
    if alert.ended.is_none() && !alert.cure.is_empty() {
        lines.push(format!("{indent}{}", harmless(&alert.cure)));
    }
    lines
}

fn acknowledged(console: &Console, alert: &Alert) -> anyhow::Result<()> {
    if console.json {
        return console.json_line(&json(alert));
    }
    console.line(format!(
        "{} ({} {}) is acknowledged by {}.",
        short(alert),
        harmless(&alert.kind),
        harmless(&alert.site_code),
        harmless(&alert.acknowledged_by),
    ))
}

/// What each receiver answered. "No" where one did not take it.
fn tested(console: &Console, receivers: &[NotificationTested]) -> anyhow::Result<ExitCode> {
    let all = receivers.iter().all(|receiver| receiver.taken);
    if console.json {
        let receivers = receivers.iter().map(|tested| {
            json!({
                "receiver": tested.receiver, "taken": tested.taken,
                "answer": tested.answer, "milliseconds": tested.milliseconds,
            })
        });
        console.json_line(&json!({ "receivers": receivers.collect::<Vec<_>>() }))?;
    } else if receivers.is_empty() {
        console.line(
            "There is no receiver: set notifications.webhooks or notifications.mail (headwater settings set).",
        )?;
    }
    for tested in receivers.iter().filter(|_| !console.json) {
        let taken = if tested.taken { "taken" } else { "NOT taken" };
        console.line(format!(
            "{}: {taken} after {} ms: {}",
            harmless(&tested.receiver),
            tested.milliseconds,
            harmless(&tested.answer)
        ))?;
    }
    Ok(match all && !receivers.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::at;
    use jiff::tz::TimeZone;

    fn alert(id: u128) -> Alert {
        Alert {
            id: id.to_be_bytes().to_vec(),
            kind: "site-silent".into(),
            site_code: "PR1".into(),
            severity: "error".into(),
            status_id: 9060,
            text: "site PR1 has not been connected".into(),
            cure: "Look at that machine.".into(),
            since: Some(at(60)),
            ..Alert::default()
        }
    }

    fn view() -> View {
        View {
            now: jiff::Timestamp::from_second(360).unwrap(),
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        }
    }

    #[test]
    fn an_alert_says_what_to_do_while_it_lasts() {
        let mut alert = alert(0x1234_5678_9abc);
        let expected = [
            "56789abc  error    PR1    site-silent           since 1970-01-01 00:01:00 (5 min ago)",
            "          site PR1 has not been connected",
            "          Look at that machine.",
        ];
        assert_eq!(lines(&alert, &view()), expected);
        alert.ended = Some(at(180));
        alert.acknowledged_by = "anna\x1b[31m".into();
        alert.acknowledged_at = Some(at(120));
        let expected = [
            "56789abc  error    PR1    site-silent           since 1970-01-01 00:01:00 (ended 1970-01-01 00:03:00, after 2 min)",
            "          site PR1 has not been connected",
            "          Acknowledged by anna [31m, 1970-01-01 00:02:00.",
        ];
        assert_eq!(lines(&alert, &view()), expected);
        assert!(lines(&Alert::default(), &view()).len() >= 2);
    }

    #[test]
    fn an_alert_is_named_by_either_end_of_its_identifier() {
        let alerts = [
            alert(0xabcd << 112 | 0x1111_2222),
            alert(0xabce << 112 | 0x1111_3333),
        ];
        let of = |typed: &str| chosen(&alerts, typed).map(|alert| alert.id[15]);
        assert_eq!(of("11112222").unwrap(), 0x22);
        assert_eq!(of("ABCE").unwrap(), 0x33);
        assert_eq!(of("abcd0000-0000-0000-0000-000011112222").unwrap(), 0x22);
        let error = |typed: &str| of(typed).unwrap_err().to_string();
        assert!(error("222").contains("4 at least"));
        assert!(error("xyz-").contains("names no alert"));
        assert!(error("9999").contains("there is no alert"));
        let twins = [alert(0x1111_2222), alert((1 << 100) | 0x1111_2222)];
        let several = chosen(&twins, "11112222").unwrap_err().to_string();
        assert!(several.contains("type more"), "{several}");
    }
}
