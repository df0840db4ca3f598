//! Progress while one waits: a bar a site on a terminal, a line at each step elsewhere, JSON for scripts.

mod ending;

pub use ending::{Summary, summary, verdict_text};

use crate::console::Console;
use crate::follow::{Progress, SiteOutcome};
use crate::render::View;
use crate::render::text::count;
use hierarchy::words::percent;
use hierarchy::{Hierarchy, State};
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal};
use wire::text::harmless;
use wire::v1::SiteReport;

/// Width of a bar, in characters.
const BAR: usize = 24;
/// Redraws of a turning mark, so that one sees that the program lives.
const TURN: std::time::Duration = std::time::Duration::from_millis(120);
/// A line is written when a site went on by this many hundredths of the way.
const LINE_STEP: u64 = 25;

/// What the bar of a site shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarState {
    /// The site, indented by its depth.
    pub name: String,
    /// Items done, and to do; nothing while that is not known.
    pub way: Option<(u64, u64)>,
    /// What the site does or how it ended.
    pub text: String,
    /// Whether nothing more is expected of the site.
    pub over: bool,
}

/// What the bar of each site shows, by site code, in tree order.
pub fn bars(hierarchy: &Hierarchy, progress: &Progress, view: &View) -> Vec<(String, BarState)> {
    let order = hierarchy.in_tree_order().into_iter();
    order
        .map(|(depth, site)| {
            let outcome = progress.sites.get(&site.site_code);
            let name = format!("{}{}", "  ".repeat(depth), harmless(&site.site_code));
            let bar = bar(hierarchy, site, outcome, progress.queued, view);
            (site.site_code.clone(), BarState { name, ..bar })
        })
        .collect()
}

fn bar(
    hierarchy: &Hierarchy,
    site: &SiteReport,
    outcome: Option<&SiteOutcome>,
    queued: bool,
    view: &View,
) -> BarState {
    let ended = |text: String, way| BarState {
        name: String::new(),
        way,
        text,
        over: true,
    };
    match outcome {
        Some(SiteOutcome::Converged) => {
            let items = site.items.max(1);
            ended(
                format!("done, position {}", count(site.verified_position)),
                Some((items, items)),
            )
        }
        Some(SiteOutcome::Failed(error)) => ended(format!("failed: {error}"), None),
        Some(SiteOutcome::Cancelled) => ended("cancelled".into(), None),
        Some(SiteOutcome::WaitsFor(parent)) => {
            ended(format!("waits for {}", harmless(parent)), None)
        }
        Some(SiteOutcome::Offline) => ended("offline".into(), None),
        Some(SiteOutcome::Pending) | None => pending(hierarchy, site, queued, view),
    }
}

fn pending(hierarchy: &Hierarchy, site: &SiteReport, queued: bool, view: &View) -> BarState {
    let state = hierarchy.state(site);
    let open = |text: String, way| BarState {
        name: String::new(),
        way,
        text,
        over: false,
    };
    match &state {
        State::Running {
            phase,
            processed,
            total,
        } => {
            let way = (*total > 0).then_some((*processed, *total));
            let text = if queued && hierarchy.is_top(site) {
                format!("{phase} (an earlier run; ours is next)")
            } else {
                (*phase).to_owned()
            };
            open(text, way)
        }
        State::Never | State::Completed => {
            let top = hierarchy.top().map_or("", |top| &top.site_code);
            if hierarchy.is_top(site) {
                open("starting".into(), None)
            } else {
                open(
                    format!(
                        "waits for {}",
                        harmless(if site.parent.is_empty() {
                            top
                        } else {
                            &site.parent
                        })
                    ),
                    None,
                )
            }
        }
        State::Offline { .. } | State::Failed { .. } | State::Cancelled | State::Other(_) => {
            open(state.text(view.now).to_lowercase(), None)
        }
    }
}

/// Shows progress in the form that fits.
pub enum Display {
    /// Bars on a terminal.
    Bars {
        /// All of them.
        all: MultiProgress,
        /// Each site's.
        by_site: BTreeMap<String, ProgressBar>,
    },
    /// A line at each step.
    Lines {
        /// What was written last about each site: its text and the step it had reached.
        last: BTreeMap<String, (String, u64)>,
    },
    /// JSON lines on standard output.
    Json {
        /// What was written last about each site.
        last: BTreeMap<String, String>,
    },
}

impl Display {
    /// The form for this console: progress for people goes to standard error.
    pub fn new(console: &Console) -> Self {
        let last = BTreeMap::new();
        if console.json {
            Self::Json { last }
        } else if io::stderr().is_terminal() {
            Self::Bars {
                all: MultiProgress::new(),
                by_site: BTreeMap::new(),
            }
        } else {
            Self::Lines {
                last: BTreeMap::new(),
            }
        }
    }

    /// Shows how far everything is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn show(
        &mut self,
        console: &Console,
        hierarchy: &Hierarchy,
        progress: &Progress,
        view: &View,
    ) -> anyhow::Result<()> {
        let states = bars(hierarchy, progress, view);
        match self {
            Self::Bars { all, by_site } => {
                for (index, (code, state)) in states.iter().enumerate() {
                    let bar = by_site
                        .entry(code.clone())
                        .or_insert_with(|| new_bar(all, index, state));
                    draw(bar, state);
                }
            }
            Self::Lines { last } => {
                for line in lines(last, &states) {
                    console.remark(line);
                }
            }
            Self::Json { last } => {
                for (code, state) in &states {
                    let Some(site) = hierarchy.site(code) else {
                        continue;
                    };
                    let line = SiteLine::new(site, progress.sites.get(code), state);
                    let text = serde_json::to_string(&line)?;
                    if last.get(code) != Some(&text) {
                        console.line(&text)?;
                        last.insert(code.clone(), text);
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves the bars as they are, so that text can follow.
    pub fn finish(&mut self) {
        if let Self::Bars { by_site, .. } = self {
            for bar in by_site.values().filter(|bar| !bar.is_finished()) {
                bar.abandon();
            }
        }
    }
}

/// A bar in its first state: an unstyled one would show for a moment.
fn new_bar(all: &MultiProgress, index: usize, state: &BarState) -> ProgressBar {
    let bar = ProgressBar::new(1).with_style(style(state));
    bar.set_prefix(state.name.clone());
    let bar = all.insert(index, bar);
    if !state.over {
        bar.enable_steady_tick(TURN);
    }
    bar
}

fn style(state: &BarState) -> ProgressStyle {
    let template = match (&state.way, state.over) {
        (Some(_), false) => format!(
            "{{prefix:8}} {{spinner}} {{bar:{BAR}}} {{human_pos:>9}}/{{human_len:9}} {{rate}}  {{wide_msg}}"
        ),
        (Some(_), true) => format!("{{prefix:8}}   {{bar:{BAR}}} {{wide_msg}}"),
        (None, false) => format!("{{prefix:8}} {{spinner}} {:BAR$} {{wide_msg}}", ""),
        (None, true) => format!("{{prefix:8}}   {:BAR$} {{wide_msg}}", ""),
    };
    // The templates are ours and tested; the default would show the same in another form.
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // What cannot be drawn is left out.
            let _ = write!(out, "{:>8.0}/s", state.per_sec());
        })
}

fn draw(bar: &ProgressBar, state: &BarState) {
    bar.set_style(style(state));
    bar.set_prefix(state.name.clone());
    bar.set_message(state.text.clone());
    if let Some((done, all)) = state.way {
        if done < bar.position() {
            bar.reset_eta();
        }
        bar.set_length(all);
        bar.set_position(done.min(all));
    }
    if state.over {
        bar.disable_steady_tick();
    }
}

/// The lines that are new since `last`.
fn lines(last: &mut BTreeMap<String, (String, u64)>, states: &[(String, BarState)]) -> Vec<String> {
    let mut lines = Vec::new();
    for (code, state) in states {
        let hundredths = state.way.and_then(|(done, all)| percent(done, all));
        let step = hundredths.unwrap_or(0) / LINE_STEP;
        let known = last.get(code);
        let same_text = known.is_some_and(|(text, _)| *text == state.text);
        if same_text && known.is_some_and(|(_, known)| *known >= step) {
            continue;
        }
        let name = state.name.trim_start();
        lines.push(match (state.way, state.over) {
            (Some((done, all)), false) => {
                format!("{name}: {}, {} of {}", state.text, count(done), count(all))
            }
            _ => format!("{name}: {}", state.text),
        });
        last.insert(code.clone(), (state.text.clone(), step));
    }
    lines
}

#[derive(Serialize)]
struct SiteLine<'a> {
    event: &'static str,
    site_code: &'a str,
    outcome: &'static str,
    detail: &'a str,
    state: &'a str,
    processed: u64,
    total: u64,
    position: u64,
    verified_position: u64,
    connected: bool,
}

impl<'a> SiteLine<'a> {
    fn new(site: &'a SiteReport, outcome: Option<&SiteOutcome>, state: &'a BarState) -> Self {
        let run = site.run.as_ref();
        Self {
            event: "site",
            site_code: &site.site_code,
            outcome: outcome_name(outcome.unwrap_or(&SiteOutcome::Pending)),
            detail: &state.text,
            state: run.map_or("", |run| &run.state),
            processed: run.map_or(0, |run| run.processed),
            total: run.map_or(0, |run| run.total),
            position: site.position,
            verified_position: site.verified_position,
            connected: site.connected,
        }
    }
}

fn outcome_name(outcome: &SiteOutcome) -> &'static str {
    match outcome {
        SiteOutcome::Pending => "pending",
        SiteOutcome::Converged => "converged",
        SiteOutcome::Failed(_) => "failed",
        SiteOutcome::Cancelled => "cancelled",
        SiteOutcome::Offline => "offline",
        SiteOutcome::WaitsFor(_) => "waits",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{run, three_tiers};
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    fn view() -> View {
        View {
            now: Timestamp::from_second(220).unwrap(),
            zone: TimeZone::UTC,
            colour: false,
            width: None,
        }
    }

    fn scene() -> (Hierarchy, Progress) {
        let mut hierarchy = three_tiers();
        let mut running = hierarchy.site("PR1").unwrap().clone();
        running.run = Some(run(2, "SyncingUpdates"));
        let report = running.run.as_mut().unwrap();
        (report.processed, report.total) = (1_200, 4_000);
        hierarchy.absorb(vec![running]);
        let outcomes = [
            ("CAS", SiteOutcome::Converged),
            ("PR1", SiteOutcome::Pending),
            ("SE1", SiteOutcome::Pending),
            ("PR2", SiteOutcome::Failed("disk full".into())),
            ("SE2", SiteOutcome::WaitsFor("PR2".into())),
        ];
        let sites = outcomes.map(|(code, outcome)| (code.to_owned(), outcome));
        let progress = Progress {
            sites: sites.into(),
            queued: false,
            verdict: None,
        };
        (hierarchy, progress)
    }

    #[test]
    fn a_bar_says_what_its_site_does() {
        let (hierarchy, progress) = scene();
        let shown: Vec<_> = bars(&hierarchy, &progress, &view())
            .into_iter()
            .map(|(_, bar)| format!("{:6} {:?} {} {}", bar.name, bar.way, bar.text, bar.over))
            .collect();
        let expected = [
            "CAS    Some((9, 9)) done, position 10 true",
            "  PR1  Some((1200, 4000)) synchronizing updates false",
            "    SE1 None waits for PR1 false",
            "  PR2  None failed: disk full true",
            "    SE2 None waits for PR2 true",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn lines_are_written_at_each_step_and_not_twice() {
        let (mut hierarchy, progress) = scene();
        let mut last = BTreeMap::new();
        let mut write =
            |hierarchy: &Hierarchy| lines(&mut last, &bars(hierarchy, &progress, &view()));
        let first = write(&hierarchy);
        let expected = [
            "CAS: done, position 10",
            "PR1: synchronizing updates, 1,200 of 4,000",
            "SE1: waits for PR1",
            "PR2: failed: disk full",
            "SE2: waits for PR2",
        ];
        assert_eq!(first, expected);
        let mut at = |processed| {
            let mut site = hierarchy.site("PR1").unwrap().clone();
            site.run.as_mut().unwrap().processed = processed;
            hierarchy.absorb(vec![site]);
            write(&hierarchy)
        };
        assert_eq!(at(1_900), Vec::<String>::new());
        assert_eq!(at(2_000), ["PR1: synchronizing updates, 2,000 of 4,000"]);
    }

    #[test]
    fn every_template_of_a_bar_is_accepted() {
        let (hierarchy, progress) = scene();
        for (_, state) in bars(&hierarchy, &progress, &view()) {
            let bar = ProgressBar::hidden();
            draw(&bar, &state);
            assert_eq!(bar.message(), state.text);
        }
    }
}
