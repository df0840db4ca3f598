//! The picture of the live view: a model and a size in, characters out.

use super::model::{Mode, Model};
use crate::render::{View, text};
use hierarchy::words::{files_to_come, percent};
use hierarchy::{Behind, Hierarchy, State, present_error, time};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Wrap};
use wire::text::harmless;
use wire::v1::{SiteReport, StatusEntry};

/// Windows with fewer columns have the log below the tree and not beside it.
const SIDE_BY_SIDE: u16 = 130;
/// Columns of a progress bar.
const BAR: u64 = 10;
/// Columns of a site's code with the lines that lead to it.
const SITE: usize = 14;
/// Columns of a state, at least and at most.
const STATE: [usize; 2] = [12, 34];
/// Columns of how far a site is behind.
const BEHIND: usize = 16;
/// Columns of all but the state.
const OTHERS: usize = SITE + BEHIND + 26;

const KEYS: &str =
    "/ search  enter details  l log of site  s synchronize  c cancel  ? help  q quit";
const HELP: &str = "\
up, down, page up, page down, home, end   select a site
/        search by code, kind or state (failed, offline, running …); escape ends it
enter    the selected site with all that is known of it
l        the log shows the selected site, or all
s        synchronize the whole hierarchy now
c        cancel the synchronization at every site; asks back
?        this page
q        quit; Ctrl-C does it, too";

/// Draws the picture.
pub fn draw(frame: &mut Frame<'_>, model: &Model, view: &View) {
    let [head, body, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(headline(model, view), head);
    let (tree, log) = match body.width >= SIDE_BY_SIDE {
        true => {
            let [tree, log] =
                Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)])
                    .areas(body);
            (tree, log)
        }
        false => {
            let [tree, log] =
                Layout::vertical([Constraint::Percentage(55), Constraint::Percentage(45)])
                    .areas(body);
            (tree, log)
        }
    };
    draw_tree(frame, model, view, tree);
    draw_log(frame, model, view, log);
    frame.render_widget(footer(model, view), foot);
    match model.mode {
        Mode::Help => draw_over(
            frame,
            " Keys ",
            HELP.lines().map(Line::from).collect(),
            body,
        ),
        Mode::Details => {
            let sites = model.sites();
            if let Some((_, site)) = sites.get(model.selected(&sites)) {
                let title = format!(" {} ", harmless(&site.site_code));
                draw_over(frame, &title, details(&model.hierarchy, site, view), body);
            }
        }
        Mode::Browse | Mode::Search | Mode::Confirm => {}
    }
}

fn style(view: &View, colour: Color) -> Style {
    match view.colour {
        true => Style::new().fg(colour),
        false => Style::new(),
    }
}

fn headline<'a>(model: &Model, view: &View) -> Line<'a> {
    let counts = model.counts();
    let mut parts = vec![Span::styled("Headwater", Modifier::BOLD)];
    if counts.sites == 0 {
        parts.push("  waiting for the first report".into());
        return Line::from(parts);
    }
    parts.push(format!("  {} of {} sites current", counts.current, counts.sites).into());
    for (count, word, colour) in [
        (counts.running, "running", Color::Cyan),
        (counts.failed, "failed", Color::Red),
        (counts.offline, "offline", Color::Yellow),
    ] {
        if count > 0 {
            let text = format!("  {count} {word}");
            parts.push(Span::styled(text, style(view, colour)));
        }
    }
    if let Some(top) = model.hierarchy.top() {
        let position = text::count(top.verified_position);
        parts.push(format!("  position {position}").into());
    }
    parts.push(format!("  {}", text::clock(view.now, view)).into());
    Line::from(parts)
}

fn footer<'a>(model: &'a Model, view: &View) -> Line<'a> {
    match model.mode {
        Mode::Search => Line::from(format!("/{}_", model.search)),
        Mode::Confirm => {
            let question = "Cancel the synchronization at every site? y / n";
            Line::styled(question, style(view, Color::Yellow))
        }
        Mode::Browse | Mode::Help | Mode::Details if !model.said.is_empty() => {
            Line::from(harmless(&model.said))
        }
        Mode::Browse | Mode::Help | Mode::Details => Line::styled(KEYS, Modifier::DIM),
    }
}

fn draw_tree(frame: &mut Frame<'_>, model: &Model, view: &View, area: Rect) {
    let sites = model.sites();
    let title = match model.search.as_str() {
        "" => " Sites ".to_owned(),
        search => format!(" Sites: {search} ({}) ", sites.len()),
    };
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let [names, list] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(inner);
    let state = usize::from(inner.width).saturating_sub(OTHERS);
    let state = state.clamp(STATE[0], STATE[1]);
    let header = format!(
        "{:SITE$} {:state$} {:10}  {:>10}  {:BEHIND$}",
        "Site", "State", "", "Position", "Behind by"
    );
    frame.render_widget(Line::styled(header, Modifier::BOLD), names);
    let selected = model.selected(&sites);
    let shown = usize::from(list.height);
    let first = selected
        .saturating_sub(shown / 2)
        .min(sites.len().saturating_sub(shown));
    let rows: Vec<Line<'_>> = sites
        .iter()
        .enumerate()
        .skip(first)
        .take(shown)
        .map(|(at, (depth, site))| {
            let row = row(&model.hierarchy, *depth, site, state, view);
            match at == selected {
                true => row.patch_style(Modifier::REVERSED),
                false => row,
            }
        })
        .collect();
    frame.render_widget(Paragraph::new(rows), list);
}

fn row<'a>(
    hierarchy: &Hierarchy,
    depth: usize,
    site: &SiteReport,
    columns: usize,
    view: &View,
) -> Line<'a> {
    let state = hierarchy.state(site);
    let behind = hierarchy.behind(site);
    let indent = "  ".repeat(depth.min(4));
    let code = fitted(&format!("{indent}{}", harmless(&site.site_code)), SITE);
    let bar = match &state {
        State::Running {
            processed, total, ..
        } => bar(*processed, *total),
        State::Offline { .. }
        | State::Never
        | State::Completed
        | State::Failed { .. }
        | State::Cancelled
        | State::Other(_) => " ".repeat(10),
    };
    let lag = match behind {
        Behind::Current => Style::new(),
        Behind::By { .. } | Behind::Differs => style(view, Color::Yellow),
    };
    Line::from(vec![
        format!("{code} ").into(),
        Span::styled(
            fitted(&state.text(view.now), columns),
            state_style(&state, view),
        ),
        format!(" {bar}  {:>10}  ", text::count(site.verified_position)).into(),
        Span::styled(
            fitted(&behind.text().unwrap_or_else(|| "-".to_owned()), BEHIND),
            lag,
        ),
    ])
}

fn state_style(state: &State, view: &View) -> Style {
    match state {
        State::Completed => style(view, Color::Green),
        State::Running { .. } => style(view, Color::Cyan),
        State::Failed { .. } => style(view, Color::Red),
        State::Offline { .. } | State::Never | State::Cancelled | State::Other(_) => {
            style(view, Color::Yellow)
        }
    }
}

/// How far a run is; dots while its end is not known.
fn bar(processed: u64, total: u64) -> String {
    let Some(percent) = percent(processed, total) else {
        return "··········".to_owned();
    };
    let full = percent * BAR / 100;
    (0..BAR)
        .map(|at| if at < full { '█' } else { '░' })
        .collect()
}

/// A text in exactly so many columns, as far as a character is one.
fn fitted(text: &str, columns: usize) -> String {
    let count = text.chars().count();
    if count <= columns {
        return format!("{text:columns$}");
    }
    let mut short: String = text.chars().take(columns.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn draw_log(frame: &mut Frame<'_>, model: &Model, view: &View, area: Rect) {
    let title = match model.wanted() {
        "" => " Log of all sites ".to_owned(),
        site => format!(" Log of {} ", harmless(site)),
    };
    let block = Block::bordered().title(title);
    let inner = block.inner(area);
    frame.render_widget(block, area);
    // The newest stands last, as in a log.
    let newest = model.messages.iter().take(usize::from(inner.height));
    let mut lines: Vec<Line<'_>> = newest.map(|entry| log_line(entry, view)).collect();
    lines.reverse();
    frame.render_widget(Paragraph::new(lines), inner);
}

fn log_line<'a>(entry: &StatusEntry, view: &View) -> Line<'a> {
    let message = entry.message.clone().unwrap_or_default();
    let when = time(message.time.as_ref());
    let when = when.map_or_else(|| "-".to_owned(), |when| text::clock(when, view));
    let colour = match entry.severity.as_str() {
        "error" => style(view, Color::Red),
        "warning" => style(view, Color::Yellow),
        _ => Style::new(),
    };
    let said = format!(
        "{when} {:5} {} {}",
        harmless(&message.site_code),
        message.status_id,
        harmless(&entry.text)
    );
    Line::styled(said, colour)
}

fn details<'a>(hierarchy: &Hierarchy, site: &SiteReport, view: &View) -> Vec<Line<'a>> {
    let moment = |value| time(value).map(|time| text::date_and_time(time, view));
    let run = site.run.clone().unwrap_or_default();
    let done = format!(
        "{} of {}",
        text::count(run.processed),
        text::count(run.total)
    );
    let facts = [
        ("Kind", Some(site.site_kind.clone())),
        ("Parent", Some(site.parent.clone())),
        ("Upstream", Some(site.upstream.clone())),
        ("Address", Some(site.address.clone())),
        ("Version", Some(site.version.clone())),
        ("State", Some(hierarchy.state(site).text(view.now))),
        ("Behind by", hierarchy.behind(site).text()),
        ("Position", Some(text::count(site.verified_position))),
        ("Items", Some(text::count(site.items))),
        ("Root digest", Some(text::short_digest(&site.root))),
        ("Run", text::uuid(&run.id)),
        ("Run began", moment(run.started.as_ref())),
        ("Run ended", moment(run.finished.as_ref())),
        ("Processed", (run.total > 0).then_some(done)),
        ("Last success", moment(site.last_success.as_ref())),
        ("Last failure", moment(site.last_failure.as_ref())),
        ("Files to come", files_to_come(site, view.now)),
        ("Last error", present_error(site)),
        ("Next attempt", moment(site.next_attempt.as_ref())),
        ("Last report", moment(site.reported.as_ref())),
    ];
    let known = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    known
        .map(|(name, value)| Line::from(format!("{name:13} {}", harmless(&value))))
        .collect()
}

/// Draws lines in a frame over the middle of the picture.
fn draw_over(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'_>>, area: Rect) {
    let width = area.width.saturating_sub(4).min(90);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let height = height.min(area.height);
    let over = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, over);
    let block = Block::bordered().title(title.to_owned());
    let text = Paragraph::new(lines).wrap(Wrap { trim: false });
    frame.render_widget(text.block(block), over);
}

#[cfg(test)]
mod tests;
