//! `settings schedule preview`: when synchronizations will start, and whether any will.

use super::{document, get, show};
use crate::connection::{Client, explain, question};
use crate::console::Console;
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use settings::Settings;
use settings::change::Assignment;
use settings::document::SynchronizeAction;
use settings::schedule::{Schedule, When};
use wire::text::harmless;
use wire::v1::{GetSettingsResponse, ListSitesRequest};

/// Whether the top-level site has anything to synchronize from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Given,
    /// Then the schedule starts nothing.
    None,
    /// A replica does not know.
    Unknown,
}

impl Source {
    /// The source of these settings, at the site that gave the answer.
    fn of(answer: &GetSettingsResponse, settings: &Settings) -> Self {
        let by_process = answer.fixed.iter().any(|name| name == "source.action");
        match settings.source.action {
            SynchronizeAction::MicrosoftUpdate | SynchronizeAction::UpstreamServer => Self::Given,
            SynchronizeAction::DoNotSynchronize if by_process => Self::Given,
            SynchronizeAction::DoNotSynchronize if show::is_replica(answer) => Self::Unknown,
            SynchronizeAction::DoNotSynchronize => Self::None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// Prints the next times of the schedule in force, or of what these changes would make of it.
pub(super) async fn preview(
    console: &Console,
    client: &Client,
    assignments: &[String],
    count: u32,
) -> anyhow::Result<()> {
    let assignments: Vec<Assignment> = assignments
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let answer = get(client, 0).await?;
    let settings = document(&answer)?.with(&assignments)?;
    settings.check()?;
    let mut hierarchy = client.hierarchy();
    let sites = hierarchy.list_sites(question(ListSitesRequest {})).await;
    let sites =
        sites.map_err(|status| explain(status, &client.server, "asking for the hierarchy"))?;
    let hierarchy = uuid::Uuid::from_slice(&sites.into_inner().hierarchy)
        .context("the site does not say of which hierarchy it is")?;
    let seed = settings::schedule::seed_of(hierarchy);
    let times = settings.schedule.preview(crate::now(), seed);
    let times: Vec<_> = times.take(count as usize).collect();
    let source = Source::of(&answer, &settings);
    if console.json {
        return console.json_line(&as_json(&settings.schedule, &times, source));
    }
    for line in in_words(&settings.schedule, &times, source) {
        console.line(line)?;
    }
    if source == Source::Unknown {
        console.remark(
            "Whether there is a synchronization source, without which nothing starts, only the top-level site tells.",
        );
    }
    Ok(())
}

/// Without a source there are no next times; there are those that it would have with one.
fn as_json(schedule: &Schedule, times: &[Timestamp], source: Source) -> Value {
    let zone = TimeZone::get(&schedule.time_zone).unwrap_or(TimeZone::UTC);
    let times: Vec<Value> = times
        .iter()
        .map(|time| json!({ "time": time, "local": time.to_zoned(zone.clone()).to_string() }))
        .collect();
    let mut told = json!({
        "schedule": schedule, "described": schedule.describe(), "source": source.name(),
    });
    match source {
        Source::Given | Source::Unknown => told["next"] = Value::from(times),
        Source::None => {
            told["next"] = json!([]);
            told["next_with_source"] = Value::from(times);
        }
    }
    told
}

fn in_words(schedule: &Schedule, times: &[Timestamp], source: Source) -> Vec<String> {
    let zone = TimeZone::get(&schedule.time_zone).unwrap_or(TimeZone::UTC);
    let described = schedule.describe();
    let described = harmless(&described);
    if schedule.when == When::Off {
        return vec!["Nothing starts by itself: the schedule is off.".to_owned()];
    }
    let mut lines = match source {
        // What starts nothing anyway needs no explanation.
        Source::None if !times.is_empty() => vec![
            "Nothing starts: there is no synchronization source (source.action is do-not-synchronize)."
                .to_owned(),
            format!("With one, it synchronizes {described}:"),
        ],
        Source::None | Source::Given | Source::Unknown => {
            vec![format!("Synchronizes {described}.")]
        }
    };
    lines.extend(times.iter().map(|time| {
        let local = time.to_zoned(zone.clone());
        format!(
            "  {}   {}",
            local.strftime("%a %Y-%m-%d %H:%M:%S %Z"),
            time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(document: String, fixed: &[&str]) -> GetSettingsResponse {
        GetSettingsResponse {
            document,
            fixed: fixed.iter().map(|name| (*name).to_owned()).collect(),
            ..GetSettingsResponse::default()
        }
    }

    #[test]
    fn a_source_is_one_of_the_settings_or_of_the_process_and_a_replica_does_not_know() {
        let disconnected = Settings::default();
        let mut connected = Settings::default();
        connected.source.action = SynchronizeAction::MicrosoftUpdate;
        let whole = answer(disconnected.to_json(), &[]);
        assert_eq!(Source::of(&whole, &disconnected), Source::None);
        assert_eq!(Source::of(&whole, &connected), Source::Given);
        let by_process = answer(disconnected.to_json(), &["source.action", "source.url"]);
        assert_eq!(Source::of(&by_process, &disconnected), Source::Given);
        let replica = answer(disconnected.to_travelling_json().to_string(), &[]);
        assert_eq!(Source::of(&replica, &disconnected), Source::Unknown);
        // What is tried out there may say it.
        assert_eq!(Source::of(&replica, &connected), Source::Given);
    }

    #[test]
    fn without_a_source_no_time_is_promised() {
        let nightly = Schedule {
            when: When::Cron("0 3 * * *".to_owned()),
            ..Schedule::default()
        };
        let times: Vec<Timestamp> = nightly.preview(Timestamp::UNIX_EPOCH, 1).take(2).collect();
        let lines = in_words(&nightly, &times, Source::None);
        assert!(lines[0].starts_with("Nothing starts: "), "{lines:?}");
        assert!(lines[1].starts_with("With one, it "), "{lines:?}");
        assert!(lines[2].contains("1970-01-01T03:00:00Z"), "{lines:?}");
        let told = as_json(&nightly, &times, Source::None);
        assert_eq!(
            (&told["source"], &told["next"]),
            (&json!("none"), &json!([]))
        );
        assert_eq!(told["next_with_source"].as_array().map(Vec::len), Some(2));

        let lines = in_words(&nightly, &times, Source::Given);
        assert!(lines[0].starts_with("Synchronizes "), "{lines:?}");
        let told = as_json(&nightly, &times, Source::Given);
        assert_eq!(told["next"].as_array().map(Vec::len), Some(2));
        assert!(told.get("next_with_source").is_none());

        let off = Schedule::default();
        assert_eq!(in_words(&off, &[], Source::None).len(), 1);
    }
}
