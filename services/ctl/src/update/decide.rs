//! `update approve`, `decline`, `unapprove` and `accept-licence`: which updates, how many, and what became of it.

use super::{List, each_page};
use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::render::{View, text};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use wire::convert::from_timestamp;
use wire::text::harmless;
use wire::v1::{
    Approval, DecideUpdatesRequest, DecideUpdatesResponse, DecisionOutcome, Licence, UpdateDecided,
    UpdateSummary,
};

/// Updates of one call.
const AT_ONCE: usize = 500;
/// Updates that one command decides about, at most.
const MOST_UPDATES: u32 = 100_000;
/// From this many updates on a person is asked first.
const MANY: usize = 20;
/// Refused updates that are named, unless `--json` names all of them.
const MOST_NAMED: usize = 20;

/// Which updates.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The updates: GUIDs or KB numbers
    #[arg(
        value_name = "GUID|KB",
        required_unless_present_any = ["text", "classification", "product", "approval"],
        conflicts_with_all = ["text", "classification", "product", "approval"]
    )]
    ids: Vec<String>,
    /// All with this in their titles
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// All of this classification: its title or GUID
    #[arg(long, value_name = "TITLE")]
    classification: Option<String>,
    /// All of this product: its title or GUID
    #[arg(long, value_name = "TITLE")]
    product: Option<String>,
    /// All about which this was decided
    #[arg(long, value_enum, value_name = "APPROVAL")]
    approval: Option<super::ApprovalFilter>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before many updates are changed
    #[arg(long)]
    yes: bool,
}

/// `update approve`.
#[derive(Debug, clap::Args)]
pub struct Approve {
    /// What for
    #[arg(
        long = "for",
        value_enum,
        value_name = "WHAT",
        default_value = "install"
    )]
    what: For,
    /// When it must be done: 2026-12-01, 2026-12-01T18:00 (both here), or with an offset from UTC
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Accept the licence terms of those that have some
    #[arg(long)]
    accept_licence: bool,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum For {
    /// Clients say whether they need it, and install nothing
    Detection,
    /// Clients install it
    Install,
    /// Clients remove it
    Removal,
}

/// What is wanted of the updates.
struct Wanted {
    approval: Approval,
    deadline: Option<Timestamp>,
    accept_licence: bool,
    /// "approved for install", for people.
    done: &'static str,
}

pub(super) async fn approve(
    console: &Console,
    client: &Client,
    asked: Approve,
) -> anyhow::Result<ExitCode> {
    let (approval, done) = match asked.what {
        For::Detection => (Approval::Detection, "approved for detection"),
        For::Install => (Approval::Install, "approved for install"),
        For::Removal => (Approval::Removal, "approved for removal"),
    };
    let deadline = asked.deadline.as_deref();
    if deadline.is_some() && asked.what == For::Detection {
        bail!("detection has no deadline: leave --deadline out");
    }
    let deadline = deadline
        .map(|deadline| time_of(deadline, &View::of_process(console).zone))
        .transpose()?;
    let wanted = Wanted {
        approval,
        deadline,
        accept_licence: asked.accept_licence,
        done,
    };
    decide(console, client, &asked.which, &wanted).await
}

pub(super) async fn decline(
    console: &Console,
    client: &Client,
    which: Which,
) -> anyhow::Result<ExitCode> {
    let wanted = Wanted {
        approval: Approval::Declined,
        deadline: None,
        accept_licence: false,
        done: "declined",
    };
    decide(console, client, &which, &wanted).await
}

pub(super) async fn unapprove(
    console: &Console,
    client: &Client,
    which: Which,
) -> anyhow::Result<ExitCode> {
    let wanted = Wanted {
        approval: Approval::NotApproved,
        deadline: None,
        accept_licence: false,
        done: "not approved any more",
    };
    decide(console, client, &which, &wanted).await
}

pub(super) async fn accept_licence(
    console: &Console,
    client: &Client,
    which: Which,
) -> anyhow::Result<ExitCode> {
    let wanted = Wanted {
        approval: Approval::Unspecified,
        deadline: None,
        accept_licence: true,
        done: "accepted with their licence terms",
    };
    decide(console, client, &which, &wanted).await
}

/// A time as people type it.
fn time_of(text: &str, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let local = text.parse::<jiff::civil::DateTime>().with_context(|| {
        format!(
            "{} is no time: write 2026-12-01, 2026-12-01T18:00 or 2026-12-01T18:00:00Z",
            harmless(text)
        )
    })?;
    let zoned = local.to_zoned(zone.clone());
    Ok(zoned.context("a time that there is not here")?.timestamp())
}

/// What became of all updates.
#[derive(Default)]
struct Results {
    updates: Vec<UpdateDecided>,
    position: u64,
    in_force: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    dry_run: bool,
    updates: Vec<ShownUpdate<'a>>,
    position: u64,
    in_force: bool,
}

#[derive(Serialize)]
struct ShownUpdate<'a> {
    update_id: &'a str,
    outcome: &'static str,
    old: &'static str,
    new: &'static str,
    licence_accepted: bool,
    why: &'a str,
}

/// The word for an approval, as the filter of a list takes it.
pub(crate) fn word(approval: Approval) -> &'static str {
    match approval {
        Approval::Unspecified => "",
        Approval::NotApproved => "not-approved",
        Approval::Detection => "detection",
        Approval::Install => "install",
        Approval::Removal => "removal",
        Approval::Declined => "declined",
    }
}

fn outcome_word(outcome: DecisionOutcome) -> &'static str {
    match outcome {
        DecisionOutcome::Unspecified => "",
        DecisionOutcome::Changed => "changed",
        DecisionOutcome::Unchanged => "unchanged",
        DecisionOutcome::Refused => "refused",
    }
}

/// The licence terms of an update, for people.
pub(super) fn licence_text(licence: &Licence, view: &View) -> String {
    let at = hierarchy::time(licence.accepted_at.as_ref());
    let state = match (licence.accepted, at) {
        (false, _) => "not accepted".to_owned(),
        (true, None) => "accepted with another update".to_owned(),
        (true, Some(at)) => format!(
            "accepted by {} at {}",
            licence.accepted_by,
            text::date_and_time(at, view)
        ),
    };
    format!("{state} ({})", licence.terms)
}

async fn decide(
    console: &Console,
    client: &Client,
    which: &Which,
    wanted: &Wanted,
) -> anyhow::Result<ExitCode> {
    let titles = chosen(client, which).await?;
    if titles.is_empty() {
        bail!("no update of the catalog is like that");
    }
    let ids: Vec<String> = titles.keys().cloned().collect();
    let is_person = !console.json && io::stdin().is_terminal();
    if is_person && ids.len() >= MANY && !which.dry_run && !which.yes {
        let planned = ask_for(client, &ids, wanted, true).await?;
        let counts = Counts::of(&planned.updates);
        if !confirmed(&counts, wanted)? {
            console.remark("Nothing was changed.");
            return Ok(ExitCode::FAILURE);
        }
    }
    let results = ask_for(client, &ids, wanted, which.dry_run).await?;
    show(console, &results, &titles, wanted, which.dry_run)?;
    let is_refused = results
        .updates
        .iter()
        .any(|update| update.outcome() == DecisionOutcome::Refused);
    Ok(match is_refused {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The updates that are meant, by GUID, with their titles as far as they were asked for.
async fn chosen(client: &Client, which: &Which) -> anyhow::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for id in &which.ids {
        let number = id.strip_prefix("KB").or_else(|| id.strip_prefix("kb"));
        let number = number.unwrap_or(id);
        if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
            // Whether it is a GUID the site says. A revision is not decided about alone.
            found.insert(id.to_lowercase(), String::new());
            continue;
        }
        let list = List::of_text(format!("KB{number}"), MOST_UPDATES);
        let before = found.len();
        each_page(client, &list, |update: UpdateSummary| {
            if update.kb_article_ids.iter().any(|held| held == number) {
                found.insert(update.update_id, update.title);
            }
        })
        .await?;
        if found.len() == before {
            bail!("the catalog has no update with the number KB{number}");
        }
    }
    if which.ids.is_empty() {
        let list = List {
            classification: which.classification.clone(),
            product: which.product.clone(),
            approval: which.approval.or(Some(super::ApprovalFilter::Any)),
            ..List::of_text(which.text.clone().unwrap_or_default(), MOST_UPDATES)
        };
        let more = each_page(client, &list, |update: UpdateSummary| {
            found.insert(update.update_id, update.title);
        })
        .await?;
        if more {
            bail!("more than {MOST_UPDATES} updates are like that: decide in parts");
        }
    }
    Ok(found)
}

async fn ask_for(
    client: &Client,
    ids: &[String],
    wanted: &Wanted,
    dry_run: bool,
) -> anyhow::Result<Results> {
    let mut results = Results {
        in_force: true,
        ..Results::default()
    };
    for chunk in ids.chunks(AT_ONCE) {
        let request = question(DecideUpdatesRequest {
            update_ids: chunk.to_vec(),
            approval: wanted.approval.into(),
            deadline: wanted.deadline.map(from_timestamp),
            accept_licence: wanted.accept_licence,
            dry_run,
        });
        let answer = client.approvals().decide_updates(request).await;
        let DecideUpdatesResponse {
            updates,
            position,
            in_force,
        } = answer
            .map_err(|status| explain(status, &client.server, "deciding about updates"))?
            .into_inner();
        results.updates.extend(updates);
        if position > 0 {
            results.position = position;
            results.in_force &= in_force;
        }
    }
    results.in_force &= results.position > 0;
    Ok(results)
}

/// How many updates came to what.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    changed: usize,
    unchanged: usize,
    refused: usize,
}

impl Counts {
    fn of(updates: &[UpdateDecided]) -> Self {
        let count = |wanted| {
            let updates = updates.iter().filter(|held| held.outcome() == wanted);
            updates.count()
        };
        Self {
            changed: count(DecisionOutcome::Changed),
            unchanged: count(DecisionOutcome::Unchanged),
            refused: count(DecisionOutcome::Refused),
        }
    }

    /// One sentence about all of them.
    fn sentence(&self, done: &str, dry_run: bool) -> String {
        let is = |count| match (dry_run, count) {
            (true, _) => "would be",
            (false, 1) => "was",
            (false, _) => "were",
        };
        let updates = match self.changed {
            1 => "1 update".to_owned(),
            changed => format!("{changed} updates"),
        };
        let mut sentence = format!("{updates} {} {done}", is(self.changed));
        if self.unchanged > 0 {
            sentence.push_str(&format!(", {} already so", self.unchanged));
        }
        if self.refused > 0 {
            let is = is(self.refused);
            sentence.push_str(&format!(", {} {is} refused", self.refused));
        }
        sentence
    }
}

/// Asks a person at a terminal.
fn confirmed(counts: &Counts, wanted: &Wanted) -> anyhow::Result<bool> {
    let question = format!("{}. Go on? [y/N] ", counts.sentence(wanted.done, true));
    let mut err = io::stderr().lock();
    err.write_all(question.as_bytes())
        .and_then(|()| err.flush())
        .context("the terminal cannot be written")?;
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("the terminal cannot be read")?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn show(
    console: &Console,
    results: &Results,
    titles: &BTreeMap<String, String>,
    wanted: &Wanted,
    dry_run: bool,
) -> anyhow::Result<()> {
    if console.json {
        let updates = results.updates.iter().map(|update| ShownUpdate {
            update_id: &update.update_id,
            outcome: outcome_word(update.outcome()),
            old: word(update.old()),
            new: word(update.new()),
            licence_accepted: update.licence_accepted,
            why: &update.why,
        });
        return console.json_line(&Shown {
            dry_run,
            updates: updates.collect(),
            position: results.position,
            in_force: results.in_force,
        });
    }
    let refused = results
        .updates
        .iter()
        .filter(|update| update.outcome() == DecisionOutcome::Refused);
    for update in refused.clone().take(MOST_NAMED) {
        let title = titles.get(&update.update_id).map_or("", String::as_str);
        let parting = if title.is_empty() { "" } else { ": " };
        console.line(format!(
            "Refused: {}{parting}{}",
            harmless(title),
            harmless(&update.why)
        ))?;
    }
    let unnamed = refused.count().saturating_sub(MOST_NAMED);
    if unnamed > 0 {
        console.line(format!("Refused: {unnamed} more; --json names all of them"))?;
    }
    let counts = Counts::of(&results.updates);
    console.line(format!("{}.", counts.sentence(wanted.done, dry_run)))?;
    if results.position > 0 {
        console.remark(match results.in_force {
            true => "In force, and on its way to every site.",
            false => "In force with the end of the synchronization that is under way.",
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_local_unless_it_says_otherwise() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-12-01", "2026-11-30T23:00:00Z"),
            ("2026-12-01T18:00", "2026-12-01T17:00:00Z"),
            ("2026-07-01 18:00", "2026-07-01T16:00:00Z"),
            ("2026-12-01T18:00:00Z", "2026-12-01T18:00:00Z"),
            ("2026-12-01T18:00:00-05:00", "2026-12-01T23:00:00Z"),
        ] {
            let time = time_of(text, &zone).unwrap();
            assert_eq!(time.to_string(), expected, "{text}");
        }
        let error = time_of("tomorrow", &zone).unwrap_err().to_string();
        assert!(error.starts_with("tomorrow is no time: write"), "{error}");
    }

    #[test]
    fn the_outcome_is_one_sentence() {
        let counts = Counts {
            changed: 12,
            unchanged: 3,
            refused: 1,
        };
        assert_eq!(
            counts.sentence("approved for install", false),
            "12 updates were approved for install, 3 already so, 1 was refused"
        );
        let one = Counts {
            changed: 1,
            unchanged: 0,
            refused: 0,
        };
        assert_eq!(one.sentence("declined", true), "1 update would be declined");
    }
}
