//! `site verify`: has a site compare every row of its catalog, and shows what came of it.

use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::follow::Watch;
use crate::message;
use crate::render::{View, json};
use anyhow::{Context as _, bail};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;
use wire::v1::{SiteReport, StatusEntry, VerifySiteRequest};

/// Messages of the site among which those of the run are looked for.
const MESSAGES: u32 = 200;
/// How long the messages of a run that ended may still be on their way.
const ON_THEIR_WAY: Duration = Duration::from_secs(15);
/// How often they are looked for.
const LOOK: Duration = Duration::from_millis(200);
/// Numbers of the messages that end a run: sync done, sync failed, run cancelled.
const ENDS: [u32; 3] = [6702, 6703, 9011];
/// What a comparison came to: epoch changed, catalog repaired, catalog verified, catalog damaged.
const FINDINGS: [u32; 4] = [9013, 9015, 9030, 9031];

#[derive(Serialize)]
struct Verified<'a> {
    site: &'a str,
    state: &'a str,
    messages: Vec<json::StatusEntry<'a>>,
}

/// Asks for it, waits, and shows what the site said.
///
/// # Errors
/// When the site that is asked refuses or does not answer, or the other one does not come to an end.
pub(super) async fn execute(
    console: &Console,
    client: &Client,
    code: &str,
    timeout: Duration,
) -> anyhow::Result<ExitCode> {
    let request = question(VerifySiteRequest {
        site_code: code.to_owned(),
    });
    let run = client
        .hierarchy()
        .verify_site(request)
        .await
        .map_err(|status| explain(status, &client.server, &format!("verifying {code}")))?
        .into_inner()
        .run;
    if !console.json {
        console.remark(format!("{code} compares its catalog."));
    }
    let ended = tokio::time::timeout(timeout, end_of(client, code, &run));
    let report = ended
        .await
        .with_context(|| format!("{code} was not done in time; it goes on"))??;
    let entries = told(client, code, &run).await?;
    let state = report.run.map(|run| run.state).unwrap_or_default();
    if console.json {
        let messages = entries.iter().filter_map(json::status_entry).collect();
        console.json_line(&Verified {
            site: code,
            state: &state,
            messages,
        })?;
    } else {
        let view = View::of_process(console);
        for line in entries
            .iter()
            .rev()
            .flat_map(|entry| message::lines(entry, &view))
        {
            console.line(line)?;
        }
    }
    Ok(match state.as_str() {
        "Completed" => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The report of the site that shows the run ended.
async fn end_of(client: &Client, code: &str, run: &[u8]) -> anyhow::Result<SiteReport> {
    let mut watch = Watch::open(client).await?;
    let mut begun = false;
    loop {
        let hierarchy = watch.next().await?;
        let Some(report) = hierarchy.site(code) else {
            bail!("{code} is not a site of this hierarchy any more");
        };
        match &report.run {
            Some(held) if held.id == run => {
                begun = true;
                if held.finished.is_some() {
                    return Ok(report.clone());
                }
            }
            // The run came and went, and another one is shown already.
            Some(_) | None if begun => return Ok(report.clone()),
            Some(_) | None => {}
        }
    }
}

/// What the site said in the run: what it found, and how the run ended where it did not succeed.
async fn told(client: &Client, code: &str, run: &[u8]) -> anyhow::Result<Vec<StatusEntry>> {
    let begun = Instant::now();
    loop {
        let mut entries = message::newest(client, code.to_owned(), MESSAGES).await?;
        entries.retain(|entry| entry.message.as_ref().is_some_and(|held| held.run == run));
        let number = |entry: &StatusEntry| entry.message.as_ref().map_or(0, |held| held.status_id);
        let ended = entries.iter().any(|entry| ENDS.contains(&number(entry)));
        if ended || begun.elapsed() >= ON_THEIR_WAY {
            entries.retain(|entry| {
                let number = number(entry);
                FINDINGS.contains(&number) || (ENDS.contains(&number) && number != ENDS[0])
            });
            return Ok(entries);
        }
        tokio::time::sleep(LOOK).await;
    }
}
