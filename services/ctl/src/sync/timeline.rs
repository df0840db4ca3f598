//! `sync show`: one synchronization as a time line, a bar a site.

use super::history::{colour, kind, newest, run_json, short, took};
use crate::connection::{Client, explain, question};
use crate::console::Console;
use crate::follow;
use crate::render::View;
use crate::render::text::{self, count, size, uuid};
use anyhow::bail;
use hierarchy::{Hierarchy, time, words};
use jiff::Timestamp;
use owo_colors::OwoColorize as _;
use serde_json::{Value, json};
use std::process::ExitCode;
use wire::text::harmless;
use wire::v1::{GetRunRequest, GetRunResponse, Run, SiteRun};

/// Runs among which one is looked for by the beginning of its identifier: all that a site keeps.
const ALL_RUNS: u32 = 10_000;
/// Digits that a beginning has to have.
const FEWEST_DIGITS: usize = 4;
/// Columns of a bar, at least and at most, and where the width of the terminal is not known.
const BAR: (usize, usize, usize) = (24, 72, 48);
/// Columns of what stands before a bar.
const BEFORE_BAR: usize = 62;

/// Each phase with its mark in a bar, and what it is called below.
const MARKS: [(&str, char, &str); 5] = [
    ("Connecting", '░', "connecting"),
    ("SyncingCategories", '▒', "categories"),
    ("SyncingUpdates", '▓', "updates"),
    ("SyncingContent", '▚', "content"),
    ("Verifying", '█', "verifying"),
];
/// Between the request and the beginning.
const WAITS: char = '·';
/// Under way, in no phase that is known.
const UNKNOWN: char = '─';

/// Showing one synchronization.
#[derive(Debug, clap::Args)]
pub(super) struct Command {
    /// The run, or the beginning of its identifier as "headwater sync history" shows it; without it, the newest
    #[arg(value_name = "RUN")]
    run: Option<String>,
}

/// Shows it.
///
/// # Errors
/// When the site that is asked refuses, does not answer, or knows of no such run.
pub(super) async fn execute(
    console: &Console,
    client: &Client,
    command: &Command,
) -> anyhow::Result<ExitCode> {
    let id = match command.run.as_deref() {
        Some(named) => find(client, named).await?,
        None => match newest(client, 1).await?.pop() {
            Some(run) => run.id,
            None => bail!("there was no synchronization yet"),
        },
    };
    let answer = client.runs().get_run(question(GetRunRequest { id })).await;
    let answer = answer
        .map_err(|status| explain(status, &client.server, "looking at the synchronization"))?
        .into_inner();
    if console.json {
        console.json_line(&json(&answer))?;
        return Ok(ExitCode::SUCCESS);
    }
    let hierarchy = follow::sites(client).await?;
    for line in lines(&answer, &hierarchy, &View::of_process(console)) {
        console.line(line)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The run that a person names.
async fn find(client: &Client, named: &str) -> anyhow::Result<Vec<u8>> {
    if let Ok(id) = named.parse::<uuid::Uuid>() {
        return Ok(id.as_bytes().to_vec());
    }
    let wanted = named.replace('-', "").to_lowercase();
    if wanted.len() < FEWEST_DIGITS || !wanted.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        bail!(
            "{named:?} names no run: give its identifier, or at least {FEWEST_DIGITS} digits of its beginning, as \
             \"headwater sync history\" shows it"
        );
    }
    let runs = newest(client, ALL_RUNS).await?;
    one(runs.into_iter().map(|run| run.id), &wanted)
}

/// The one identifier with this beginning.
fn one(ids: impl Iterator<Item = Vec<u8>>, wanted: &str) -> anyhow::Result<Vec<u8>> {
    let digits = |id: &[u8]| uuid(id).unwrap_or_default().replace('-', "");
    let mut found: Vec<Vec<u8>> = ids.filter(|id| digits(id).starts_with(wanted)).collect();
    match (found.pop(), found.len()) {
        (Some(id), 0) => Ok(id),
        (Some(_), more) => bail!("{} runs begin with {wanted}: give more digits", more + 1),
        (None, _) => bail!(
            "no run begins with {wanted}: \"headwater sync history --last 100\" shows which there are"
        ),
    }
}

fn json(answer: &GetRunResponse) -> Value {
    let sites = answer.sites.iter().map(|site| {
        let phases = site.phases.iter().map(|span| {
            json!({
                "phase": span.phase,
                "started": time(span.started.as_ref()),
                "finished": time(span.finished.as_ref()),
            })
        });
        json!({
            "site_code": site.site_code,
            "requested": time(site.requested.as_ref()),
            "started": time(site.started.as_ref()),
            "finished": time(site.finished.as_ref()),
            "state": site.state,
            "phases": phases.collect::<Vec<_>>(),
            "items": site.items,
            "bytes": site.bytes,
            "error": site.error,
        })
    });
    json!({
        "run": answer.run.as_ref().map(run_json),
        "sites": sites.collect::<Vec<_>>(),
    })
}

/// From when to when bars go.
#[derive(Debug, Clone, Copy)]
struct Scale {
    from: Timestamp,
    /// Milliseconds.
    length: i128,
    columns: usize,
}

impl Scale {
    /// Long enough for all of it; what is under way goes on until now.
    fn new(run: &Run, sites: &[SiteRun], columns: usize, now: Timestamp) -> Option<Self> {
        let moments = sites.iter().flat_map(|site| {
            let open = site.finished.is_none() && site.started.is_some();
            let ends = [time(site.finished.as_ref()), open.then_some(now)];
            let begins = [time(site.requested.as_ref()), time(site.started.as_ref())];
            begins.into_iter().chain(ends).flatten()
        });
        let own = [time(run.started.as_ref()), time(run.finished.as_ref())];
        let moments: Vec<Timestamp> = moments.chain(own.into_iter().flatten()).collect();
        let (from, to) = (moments.iter().min()?, moments.iter().max()?);
        Some(Self {
            from: *from,
            length: to.duration_since(*from).as_millis().max(1),
            columns,
        })
    }

    /// The column of a moment; the end of the bar for the last one.
    fn column(&self, at: Timestamp) -> usize {
        let since = at
            .duration_since(self.from)
            .as_millis()
            .clamp(0, self.length);
        let columns = i128::try_from(self.columns).unwrap_or(0);
        usize::try_from(since * columns / self.length).unwrap_or(0)
    }
}

fn mark(phase: &str) -> char {
    let known = MARKS.iter().find(|(name, _, _)| *name == phase);
    known.map_or(UNKNOWN, |(_, mark, _)| *mark)
}

/// The bar of a site. What is shorter than a column has one all the same, unless something else needs it.
fn bar(site: &SiteRun, scale: &Scale, now: Timestamp) -> String {
    let mut cells = vec![' '; scale.columns];
    let mut fill = |from: Timestamp, to: Timestamp, mark: char| {
        let last = scale.columns.saturating_sub(1);
        let (from, to) = (scale.column(from).min(last), scale.column(to));
        for cell in &mut cells[from..to.max(from + 1).min(scale.columns)] {
            *cell = mark;
        }
    };
    let requested = time(site.requested.as_ref());
    let started = time(site.started.as_ref());
    let end = time(site.finished.as_ref()).unwrap_or(now);
    if let Some(requested) = requested {
        let waited = started.unwrap_or(end);
        if waited > requested {
            fill(requested, waited, WAITS);
        }
    }
    if let (Some(started), true) = (started, site.phases.is_empty()) {
        fill(started, end, UNKNOWN);
    }
    for (index, span) in site.phases.iter().enumerate() {
        if let Some(from) = time(span.started.as_ref()) {
            // The moment before the first phase is drawn as part of it; an earlier attempt is not drawn.
            let near = |started: &Timestamp| scale.column(from) <= scale.column(*started) + 1;
            let from = started.filter(|_| index == 0).filter(near).unwrap_or(from);
            let to = time(span.finished.as_ref()).unwrap_or(now);
            fill(from, to, mark(&span.phase));
        }
    }
    cells.into_iter().collect::<String>().trim_end().to_owned()
}

/// The sites in the order of the tree, each with its depth; those that are no members any more at the end.
fn in_tree_order<'s>(sites: &'s [SiteRun], hierarchy: &Hierarchy) -> Vec<(usize, &'s SiteRun)> {
    let order = hierarchy.in_tree_order();
    let known = order.iter().filter_map(|(depth, report)| {
        let site = sites
            .iter()
            .find(|site| site.site_code == report.site_code)?;
        Some((*depth, site))
    });
    let gone = sites
        .iter()
        .filter(|site| hierarchy.site(&site.site_code).is_none());
    known.chain(gone.map(|site| (0, site))).collect()
}

fn head(run: &Run, view: &View) -> Vec<String> {
    let started = time(run.started.as_ref());
    let started = started.map_or_else(String::new, |time| text::date_and_time(time, view));
    let mut lines = vec![format!(
        "Run {} of {started}: {}, {}{}",
        short(&run.id),
        harmless(&run.state).to_lowercase(),
        kind(run),
        match run.finished {
            Some(_) => format!(
                ", took {}",
                took(run.started.as_ref(), run.finished.as_ref())
            ),
            None => String::new(),
        }
    )];
    if run.site_code.is_empty() {
        lines.push(format!(
            "New {}, revised {}, expired {}, removed {}, failed {}; position {}",
            count(run.added),
            count(run.revised),
            count(run.expired),
            count(run.removed),
            count(run.failed),
            count(run.position)
        ));
    }
    if !run.error.is_empty() {
        lines.push(format!("Error: {}", harmless(&run.error)));
    }
    lines.push(format!(
        "{} of {} sites that took part completed",
        run.completed, run.sites
    ));
    lines
}

/// The run, for people.
fn lines(answer: &GetRunResponse, hierarchy: &Hierarchy, view: &View) -> Vec<String> {
    let run = answer.run.clone().unwrap_or_default();
    let mut lines = head(&run, view);
    let (fewest, most, usual) = BAR;
    let columns = view.width.map_or(usual, |width| {
        usize::from(width)
            .saturating_sub(BEFORE_BAR)
            .clamp(fewest, most)
    });
    let Some(scale) = Scale::new(&run, &answer.sites, columns, view.now) else {
        return lines;
    };
    let to =
        scale.from + jiff::SignedDuration::from_millis(i64::try_from(scale.length).unwrap_or(0));
    let ends = (text::clock(scale.from, view), text::clock(to, view));
    let gap = columns.saturating_sub(ends.0.len() + ends.1.len()).max(1);
    lines.push(String::new());
    lines.push(format!(
        "{:10}  {:17}  {:>7}  {:>9}  {:>9}  {}{}{}",
        "Site",
        "State",
        "Took",
        "Items",
        "Size",
        ends.0,
        " ".repeat(gap),
        ends.1
    ));
    for (depth, site) in in_tree_order(&answer.sites, hierarchy) {
        let name = format!("{}{}", "  ".repeat(depth), harmless(&site.site_code));
        let state = format!("{:17}", harmless(&site.state));
        let state = match colour(&site.state) {
            Some(comfy_table::Color::Green) if view.colour => state.green().to_string(),
            Some(comfy_table::Color::Red) if view.colour => state.red().to_string(),
            Some(_) if view.colour => state.yellow().to_string(),
            Some(_) | None => state,
        };
        let took = match time(site.started.as_ref()) {
            Some(started) => {
                let end = time(site.finished.as_ref()).unwrap_or(view.now);
                words::took(end.duration_since(started))
            }
            None => "-".to_owned(),
        };
        let line = format!(
            "{name:10}  {state}  {took:>7}  {:>9}  {:>9}  {}",
            count(site.items),
            size(site.bytes),
            bar(site, &scale, view.now)
        );
        lines.push(line.trim_end().to_owned());
        if !site.error.is_empty() {
            lines.push(format!("{:12}{}", "", harmless(&site.error)));
        }
    }
    let marks = MARKS
        .iter()
        .filter(|(name, _, _)| *name != "SyncingContent");
    let marks = marks.map(|(_, mark, meaning)| format!("{mark} {meaning}"));
    let marks: Vec<String> = std::iter::once(format!("{WAITS} waits"))
        .chain(marks)
        .collect();
    lines.push(String::new());
    lines.push(marks.join("   "));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{at, three_tiers};
    use jiff::tz::TimeZone;
    use wire::v1::PhaseSpan;

    fn site(code: &str, state: &str, asked: i64, spans: &[(&str, i64)], end: i64) -> SiteRun {
        let ends = spans.iter().skip(1).map(|(_, began)| *began).chain([end]);
        let phases = spans
            .iter()
            .zip(ends)
            .map(|((phase, began), end)| PhaseSpan {
                phase: (*phase).to_owned(),
                started: Some(at(*began)),
                finished: Some(at(end)),
            });
        SiteRun {
            site_code: code.to_owned(),
            state: state.to_owned(),
            requested: Some(at(asked)),
            started: spans.first().map(|(_, began)| at(*began)),
            finished: Some(at(end)),
            phases: phases.collect(),
            items: 1_200,
            bytes: 5_242_880,
            ..SiteRun::default()
        }
    }

    fn view() -> View {
        View {
            now: Timestamp::from_second(200).unwrap(),
            zone: TimeZone::UTC,
            colour: false,
            width: Some(86),
        }
    }

    #[test]
    fn a_run_is_drawn_as_a_bar_for_each_site() {
        let top = [
            ("Connecting", 100),
            ("SyncingUpdates", 102),
            ("Verifying", 108),
        ];
        let below = [
            ("Connecting", 112),
            ("SyncingUpdates", 113),
            ("Verifying", 119),
        ];
        let mut failed = site("SE1", "Failed", 112, &[("Connecting", 114)], 118);
        failed.error = "disk full".to_owned();
        let gone = site("XX9", "Running", 110, &[], 0);
        let gone = SiteRun {
            finished: None,
            ..gone
        };
        let answer = GetRunResponse {
            run: Some(Run {
                id: vec![0x3f; 16],
                started: Some(at(100)),
                finished: Some(at(124)),
                state: "Completed".to_owned(),
                added: 1_200,
                position: 5_310,
                sites: 4,
                completed: 2,
                ..Run::default()
            }),
            sites: vec![
                site("CAS", "Completed", 100, &top, 124),
                site("PR1", "Completed", 110, &below, 124),
                failed,
                gone,
            ],
        };
        let expected = [
            "Run 3f3f3f3f-3f3f of 1970-01-01 00:01:40: completed, delta, took 24 s",
            "New 1,200, revised 0, expired 0, removed 0, failed 0; position 5,310",
            "2 of 4 sites that took part completed",
            "",
            "Site        State                 Took      Items       Size  00:01:40        00:02:04",
            "CAS         Completed             24 s      1,200     5.0 MB  ░░▓▓▓▓▓▓████████████████",
            "  PR1       Completed             12 s      1,200     5.0 MB            ··░▓▓▓▓▓▓█████",
            "    SE1     Failed               4.0 s      1,200     5.0 MB              ··░░░░",
            "            disk full",
            "XX9         Running                  -      1,200     5.0 MB            ··············",
            "",
            "· waits   ░ connecting   ▒ categories   ▓ updates   █ verifying",
        ];
        let shown = lines(&answer, &three_tiers(), &view());
        assert_eq!(shown, expected, "{}", shown.join("\n"));
    }

    #[test]
    fn what_is_too_short_to_be_seen_is_seen_all_the_same() {
        let short = [
            ("Connecting", 100),
            ("SyncingUpdates", 100),
            ("Verifying", 100),
        ];
        let long = site("CAS", "Completed", 100, &[("Connecting", 100)], 200);
        let short = site("PR1", "Completed", 100, &short, 100);
        let sites = [long, short];
        let scale = Scale::new(&Run::default(), &sites, 10, view().now).unwrap();
        assert_eq!(bar(&sites[0], &scale, view().now), "░░░░░░░░░░");
        assert_eq!(bar(&sites[1], &scale, view().now), "█");
        // A clock that is wrong draws nothing outside of the bar.
        let odd = site("PR1", "Completed", 50, &[("Verifying", 20)], 10);
        let _ = bar(&odd, &scale, view().now);
    }

    #[test]
    fn a_run_is_found_by_the_beginning_of_its_identifier() {
        let ids = || [vec![0x3f; 16], [vec![0x3f; 3], vec![0x40; 13]].concat()].into_iter();
        assert_eq!(one(ids(), "3f3f3f40").unwrap()[3], 0x40);
        let several = one(ids(), "3f3f").unwrap_err().to_string();
        assert_eq!(several, "2 runs begin with 3f3f: give more digits");
        assert!(one(ids(), "ffff").is_err());
    }
}
