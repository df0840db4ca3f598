//! `update import`: single updates from the synchronization source, whatever is chosen.

use crate::connection::{Client, explain};
use crate::console::Console;
use serde_json::{Value, json};
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{ImportUpdatesRequest, ImportUpdatesResponse};

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// GUID of an update, as the catalog site shows it, or GUID.REVISION; without a revision the highest that the
    /// source gives out
    #[arg(value_name = "GUID[.REVISION]", required = true)]
    ids: Vec<String>,
}

/// Fetches them.
///
/// # Errors
/// When the site refuses, has no source, or does not answer.
pub(super) async fn execute(
    import: Import,
    client: &Client,
    console: &Console,
) -> anyhow::Result<ExitCode> {
    let request = ImportUpdatesRequest {
        updates: import.ids,
    };
    // A source may be slow, and a run under way ends first: the site has no end of its own for this.
    let answer = client.packages().import_updates(request).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "importing the updates"))?
        .into_inner();
    match console.json {
        true => console.json_line(&as_json(&answer))?,
        false => {
            for line in lines(&answer) {
                console.line(line)?;
            }
        }
    }
    let all = answer.updates.iter().all(|update| !update.found.is_empty());
    Ok(match all {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn as_json(answer: &ImportUpdatesResponse) -> Value {
    let updates = answer.updates.iter().map(|update| {
        json!({
            "asked": update.asked,
            "found": Some(update.found.as_str()).filter(|found| !found.is_empty()),
            "held": update.held,
            "why": Some(update.why.as_str()).filter(|why| !why.is_empty()),
        })
    });
    let run = uuid::Uuid::from_slice(&answer.run).ok();
    json!({
        "run": run.map(|run| run.to_string()),
        "updates": updates.collect::<Vec<_>>(),
        "received": answer.received,
        "position": answer.position,
    })
}

fn lines(answer: &ImportUpdatesResponse) -> Vec<String> {
    let one = |update: &wire::v1::ImportedUpdate| {
        let asked = harmless(&update.asked);
        match (update.found.as_str(), update.held) {
            ("", _) => format!("{asked}: not imported: {}", harmless(&update.why)),
            (found, true) => format!("{asked}: {} was here already", harmless(found)),
            (found, false) => format!("{asked}: {} imported", harmless(found)),
        }
    };
    let mut lines: Vec<String> = answer.updates.iter().map(one).collect();
    lines.push(format!(
        "{} revisions came, with what they bundle and require; in force at position {}.",
        answer.received, answer.position
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::v1::ImportedUpdate;

    #[test]
    fn each_update_is_told_with_what_became_of_it() {
        let update = |found: &str, held, why: &str| ImportedUpdate {
            asked: "a".into(),
            found: found.into(),
            held,
            why: why.into(),
        };
        let answer = ImportUpdatesResponse {
            updates: vec![
                update("a.2", false, ""),
                update("a.1", true, ""),
                update("", false, "not there"),
            ],
            received: 7,
            position: 9,
            ..ImportUpdatesResponse::default()
        };
        assert_eq!(
            lines(&answer),
            [
                "a: a.2 imported",
                "a: a.1 was here already",
                "a: not imported: not there",
                "7 revisions came, with what they bundle and require; in force at position 9.",
            ]
        );
        assert_eq!(as_json(&answer)["updates"][2]["found"], Value::Null);
    }
}
