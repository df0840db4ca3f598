//! `site source`: by which of its software update points a site synchronizes.

use crate::connection::{Client, explain, question};
use crate::console::Console;
use serde::Serialize;
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{GetSourceRequest, SwitchSourceRequest};

#[derive(Serialize)]
struct Source<'a> {
    site_code: &'a str,
    source: &'a str,
    replicas: &'a [String],
    /// Whether this command changed it.
    switched: bool,
}

/// Switches the source where a point is named, and shows what it is.
///
/// # Errors
/// When the site that is asked refuses or does not answer.
pub(super) async fn execute(
    console: &Console,
    client: &Client,
    code: &str,
    point: Option<String>,
    force: bool,
) -> anyhow::Result<ExitCode> {
    let mut before = String::new();
    if let Some(source) = point {
        let doing = format!("switching the source of {code} to {source}");
        let request = question(SwitchSourceRequest {
            site_code: code.to_owned(),
            source,
            force,
        });
        let answer = client.hierarchy().switch_source(request).await;
        let answer = answer.map_err(|status| explain(status, &client.server, &doing))?;
        before = answer.into_inner().before;
    }
    let request = question(GetSourceRequest {
        site_code: code.to_owned(),
    });
    let answer = client.hierarchy().get_source(request).await;
    let doing = format!("asking for the source of {code}");
    let points = answer
        .map_err(|status| explain(status, &client.server, &doing))?
        .into_inner()
        .points;
    let (source, replicas) = match points.split_first() {
        Some((source, replicas)) => (source.as_str(), replicas),
        None => ("", &[][..]),
    };
    if console.json {
        console.json_line(&Source {
            site_code: code,
            source,
            replicas,
            switched: !before.is_empty(),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let source = harmless(source);
    let replicas = match replicas {
        [] => "it is the only software update point".to_owned(),
        replicas => format!("replicas: {}", harmless(&replicas.join(", "))),
    };
    console.line(format!("Synchronization source: {source}; {replicas}."))?;
    if !before.is_empty() {
        console.remark(format!(
            "{} was the source before. What was below it synchronizes with {source} from where it is.",
            harmless(&before)
        ));
    }
    Ok(ExitCode::SUCCESS)
}
