//! Tables for people: no frame, a line under the heading, colours only where they are welcome.

use super::View;
use super::text::{self, ago, clock, count, short_digest};
use crate::doctor::policy::{Policy, Verdict};
use comfy_table::LineStyle;
use comfy_table::presets::NOTHING;
use comfy_table::{
    Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Row, Table, Width,
};
use hierarchy::words::files_to_come;
use hierarchy::{Behind, Hierarchy, Role, State, present_error, time};
use wire::text::harmless;
use wire::v1::{
    AccessTokenEntry, CleanupReport, ContentEntry, DownstreamServer, SiteReport, UpdateSummary,
};

/// Shown where there is nothing to say.
const NOTHING_TO_SAY: &str = "-";
/// Blanks between columns.
const PADDING: u16 = 2;
/// Blanks a level of the tree.
const INDENT: usize = 2;
/// Terminals with fewer columns get relative times only.
const WIDE: u16 = 130;
/// Terminals with fewer columns do not get the kinds of sites, which the tree shows as well.
const MEDIUM: u16 = 110;
/// Longest word that is kept together when a column has to be folded, in characters.
const UNBROKEN: usize = 14;
/// Names of products that a list shows before it only counts them.
const SHOWN_PRODUCTS: usize = 2;

/// One row a site: what it is, what it does, how far it is.
pub fn status(hierarchy: &Hierarchy, view: &View) -> String {
    let has = |columns| view.width.is_none_or(|width| width >= columns);
    let mut names = vec!["Site", "Kind", "Upstream", "State", "Position", "Behind by"];
    names.extend(["Last success", "Last error"]);
    if !has(MEDIUM) {
        names.remove(1);
    }
    // A column that says nothing of any site is no help.
    let sites = hierarchy.in_tree_order();
    let files_come = sites
        .iter()
        .any(|(_, site)| files_to_come(site, view.now).is_some());
    if files_come {
        names.insert(names.len() - 1, "Files to come");
    }
    let mut table = table(view, &names);
    for (depth, site) in sites {
        let state = hierarchy.state(site);
        let behind = hierarchy.behind(site);
        let error = present_error(site);
        let mut cells = vec![
            site_cell(depth, site),
            Cell::new(kind_text(hierarchy, site)),
            Cell::new(or_nothing(&site.upstream)),
            coloured(Cell::new(state.text(view.now)), state_colour(&state), view),
            number(&position_text(site)),
            coloured(
                Cell::new(behind.text().unwrap_or_else(|| NOTHING_TO_SAY.into())),
                behind_colour(behind),
                view,
            ),
            Cell::new(last_success_text(site, has(WIDE), view)),
            Cell::new(error.as_deref().unwrap_or(NOTHING_TO_SAY)),
        ];
        if !has(MEDIUM) {
            cells.remove(1);
        }
        if files_come {
            let files = files_to_come(site, view.now);
            let files = files.unwrap_or_else(|| NOTHING_TO_SAY.into());
            cells.insert(cells.len() - 1, Cell::new(files));
        }
        table.add_row(cells);
    }
    finished(table)
}

/// One row a site: its place in the tree, program and content.
pub fn sites(hierarchy: &Hierarchy, view: &View) -> String {
    let names = [
        "Site",
        "Kind",
        "Parent",
        "Link",
        "Version",
        "Items",
        "Root digest",
    ];
    let mut table = table(view, &names);
    for (depth, site) in hierarchy.in_tree_order() {
        let link = match hierarchy.state(site) {
            offline @ State::Offline { .. } => offline.text(view.now),
            State::Never
            | State::Running { .. }
            | State::Completed
            | State::Failed { .. }
            | State::Cancelled
            | State::Other(_) => "Up".to_owned(),
        };
        let up = link == "Up";
        let link = Cell::new(if hierarchy.is_top(site) {
            NOTHING_TO_SAY
        } else {
            &link
        });
        table.add_row(vec![
            site_cell(depth, site),
            Cell::new(kind_text(hierarchy, site)),
            Cell::new(or_nothing(&site.parent)),
            coloured(link, (!up).then_some(Color::Yellow), view),
            Cell::new(or_nothing(&site.version)),
            number(&count(site.items)),
            Cell::new(or_nothing(&short_digest(&site.root))),
        ]);
    }
    finished(table)
}

/// One row an update.
pub fn updates(updates: &[UpdateSummary], view: &View) -> String {
    let names = [
        "Title",
        "KB",
        "Classification",
        "Products",
        "Created",
        "State",
        "Approval",
        "Update",
    ];
    let mut table = table(view, &names);
    for update in updates {
        let decision = update.decision.as_ref();
        let approval = decision.map_or_else(String::new, |held| text::approval(held, view));
        let created = time(update.creation_date.as_ref());
        let created = created.map(|time| time.to_zoned(view.zone.clone()).date().to_string());
        let id = format!("{}.{}", harmless(&update.update_id), update.revision);
        table.add_row(vec![
            Cell::new(or_nothing(&update.title)),
            Cell::new(or_nothing(&update.kb_article_ids.join(" "))),
            Cell::new(or_nothing(&update.classification)),
            Cell::new(products_text(&update.products)),
            Cell::new(created.as_deref().unwrap_or(NOTHING_TO_SAY)),
            Cell::new(or_nothing(hierarchy::words::update_state(update))),
            Cell::new(or_nothing(&approval)),
            Cell::new(id),
        ]);
    }
    finished(table)
}

/// One row a policy; with verdicts, what a client has.
pub fn policies(policies: &[Policy], verdicts: Option<&[Verdict]>, view: &View) -> String {
    let mut names = vec!["Value", "Type", "Has to be", "Group policy", "State"];
    if verdicts.is_some() {
        names.push("This client");
    }
    let mut table = table(view, &names);
    for (index, policy) in policies.iter().enumerate() {
        let missing = if policy.may_be_missing {
            " or missing"
        } else {
            ""
        };
        let mut row = vec![
            Cell::new(policy.short_name()),
            Cell::new(policy.value.type_name()),
            Cell::new(format!("{}{missing}", policy.value)),
            Cell::new(policy.policy),
            Cell::new(&policy.state),
        ];
        if let Some(verdict) = verdicts.and_then(|verdicts| verdicts.get(index)) {
            let text = match verdict {
                Verdict::Good => "good".to_owned(),
                Verdict::Missing => "missing".to_owned(),
                Verdict::Other(data) => format!("is {}", harmless(&data.to_string())),
            };
            let colour = if verdict.is_good() {
                Color::Green
            } else {
                Color::Red
            };
            row.push(coloured(Cell::new(text), Some(colour), view));
        }
        table.add_row(row);
    }
    // Names and addresses are there to be copied.
    folded(table, 80)
}

/// One row an access token.
pub fn access_tokens(tokens: &[AccessTokenEntry], view: &View) -> String {
    let mut table = table(view, &["Name", "Kind", "Role", "Created", "By", "Expires"]);
    for token in tokens {
        let created = time(token.created.as_ref()).map(|created| clock(created, view));
        let expires = match time(token.expires.as_ref()) {
            Some(end) if end <= view.now => "expired".to_owned(),
            Some(end) => text::date_and_time(end, view),
            None => "when it is revoked".to_owned(),
        };
        table.add_row(vec![
            Cell::new(or_nothing(&token.name)),
            Cell::new(match token.certificate {
                true => "certificate",
                false => "token",
            }),
            Cell::new(or_nothing(&token.role)),
            Cell::new(created.as_deref().unwrap_or(NOTHING_TO_SAY)),
            Cell::new(or_nothing(&token.created_by)),
            Cell::new(expires),
        ]);
    }
    finished(table)
}

/// One row a WSUS server that synchronizes from a site.
pub fn downstream_servers(servers: &[DownstreamServer], view: &View) -> String {
    let head = [
        "Name",
        "Identifier",
        "Below",
        "Kind",
        "Version",
        "From",
        "Seen",
        "Synchronized",
        "Reported",
        "Updates",
        "Computers",
    ];
    let mut table = table(view, &head);
    for server in servers {
        let at = |time_of: Option<&prost_types::Timestamp>| {
            let shown = time(time_of).map(|at| clock(at, view));
            Cell::new(shown.as_deref().unwrap_or(NOTHING_TO_SAY))
        };
        let summary = server.summary.as_ref();
        let counted = |count: Option<i32>| match count {
            Some(count) => number(&count.to_string()),
            None => Cell::new(NOTHING_TO_SAY),
        };
        table.add_row(vec![
            Cell::new(or_nothing(&server.name)),
            Cell::new(or_nothing(&server.id)),
            Cell::new(match server.parent_id.as_str() {
                "" => "this site",
                parent => parent,
            }),
            Cell::new(match (server.replica, server.last_report.is_some()) {
                (true, _) => "replica",
                (false, true) => "autonomous",
                (false, false) => NOTHING_TO_SAY,
            }),
            Cell::new(or_nothing(&server.version)),
            Cell::new(or_nothing(&server.address)),
            at(server.last_seen.as_ref()),
            at(server.last_sync.as_ref()),
            at(server.last_report.as_ref()),
            counted(summary.map(|summary| summary.updates)),
            counted(summary.map(|summary| summary.computers)),
        ]);
    }
    finished(table)
}

/// What a clean-up did, or would do.
pub fn cleanup(report: &CleanupReport, view: &View) -> String {
    let done = if report.dry_run { "Would do" } else { "Done" };
    let mut table = table(view, &["Task", "Looked at", done, "Left over", "Time"]);
    for task in &report.tasks {
        let mut row = vec![Cell::new(or_nothing(&task.name))];
        if task.enabled {
            row.push(number(&count(task.looked_at)));
            row.push(number(&count(task.done)));
            row.push(number(&count(task.left)));
            row.push(number(&format!("{} ms", count(task.milliseconds))));
        } else {
            row.push(Cell::new("switched off"));
        }
        table.add_row(row);
    }
    finished(table)
}

/// The update files of a site.
pub fn content(files: &[ContentEntry], view: &View) -> String {
    let mut table = table(view, &["File", "SHA-1", "Size", "State", "Why"]);
    for file in files {
        let state = match file.had {
            had if file.state == "wanted" && had > 0 => {
                format!("wanted ({} here)", text::size(had))
            }
            _ => file.state.clone(),
        };
        let why = match file.last_error.is_empty() {
            true => file.because.clone(),
            false => format!("{}; {}", file.because, file.last_error),
        };
        table.add_row(vec![
            Cell::new(harmless(&file.name)),
            Cell::new(short_digest(&file.sha1)),
            number(&text::size(file.size)),
            Cell::new(harmless(&state)),
            Cell::new(or_nothing(&why)),
        ]);
    }
    finished(table)
}

fn position_text(site: &SiteReport) -> String {
    if site.position > site.verified_position {
        let (verified, applied) = (count(site.verified_position), count(site.position));
        format!("{verified} (applied {applied})")
    } else {
        count(site.verified_position)
    }
}

fn last_success_text(site: &SiteReport, with_clock: bool, view: &View) -> String {
    match time(site.last_success.as_ref()) {
        Some(time) if !with_clock => ago(time, view),
        Some(time) => format!("{} ({})", clock(time, view), ago(time, view)),
        None => "never".into(),
    }
}

fn products_text(products: &[String]) -> String {
    let shown: Vec<_> = products
        .iter()
        .take(SHOWN_PRODUCTS)
        .map(String::as_str)
        .collect();
    let more = products.len().saturating_sub(SHOWN_PRODUCTS);
    match (shown.is_empty(), more) {
        (true, _) => NOTHING_TO_SAY.into(),
        (false, 0) => harmless(&shown.join(", ")).into_owned(),
        (false, more) => format!("{} and {more} more", harmless(&shown.join(", "))),
    }
}

/// The kind of a site; where it has several software update points, also what this one is.
fn kind_text(hierarchy: &Hierarchy, site: &SiteReport) -> String {
    let kind = harmless(&site.site_kind);
    match hierarchy.role(site) {
        Role::Only => kind.into_owned(),
        role @ (Role::Source | Role::Replica) => format!("{kind}, {}", role.name()),
    }
}

fn state_colour(state: &State) -> Option<Color> {
    match state {
        State::Failed { .. } => Some(Color::Red),
        State::Offline { .. } | State::Cancelled | State::Other(_) => Some(Color::Yellow),
        State::Running { .. } => Some(Color::Cyan),
        State::Completed => Some(Color::Green),
        State::Never => None,
    }
}

fn behind_colour(behind: Behind) -> Option<Color> {
    match behind {
        Behind::Current => None,
        Behind::By { .. } => Some(Color::Yellow),
        Behind::Differs => Some(Color::Red),
    }
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() {
        NOTHING_TO_SAY.into()
    } else {
        harmless(text).into_owned()
    }
}

fn site_cell(depth: usize, site: &SiteReport) -> Cell {
    Cell::new(format!(
        "{}{}",
        " ".repeat(depth * INDENT),
        harmless(&site.site_code)
    ))
}

pub(crate) fn number(text: &str) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

pub(crate) fn coloured(cell: Cell, colour: Option<Color>, view: &View) -> Cell {
    match colour {
        Some(colour) if view.colour => cell.fg(colour),
        _ => cell,
    }
}

pub(crate) fn table(view: &View, names: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING.header_separator(LineStyle::none().fill('-')));
    if view.colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    match view.width {
        Some(width) => table
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    table.set_header(Row::from(names.to_vec()));
    table
}

/// The text of a table. A column that has to be folded is folded between words.
pub(crate) fn finished(table: Table) -> String {
    folded(table, UNBROKEN)
}

/// The text of a table in which words of this length, in characters, are kept together.
fn folded(mut table: Table, unbroken: usize) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, PADDING));
    }
    if table.width().is_some() {
        for index in 0..table.column_count() {
            let cells = table.column_cells_with_header_iter(index).flatten();
            // The first column holds the tree, which a fold would break.
            let words = cells.flat_map(|cell| {
                let text = cell.content();
                let parts: Vec<_> = if index == 0 {
                    vec![text.as_str()]
                } else {
                    text.split(' ').collect()
                };
                parts
                    .into_iter()
                    .map(|word| word.chars().count().min(unbroken))
                    .collect::<Vec<_>>()
            });
            let longest = words.max().and_then(|longest| u16::try_from(longest).ok());
            let least = Width::Fixed(longest.unwrap_or(0) + PADDING);
            if let Some(column) = table.column_mut(index) {
                column.set_constraint(ColumnConstraint::LowerBoundary(least));
            }
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
