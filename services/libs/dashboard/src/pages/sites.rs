//! Rows about sites, for every page that lists some.

use crate::words::{Look, Moment};
use hierarchy::words::{count, percent};
use hierarchy::{Behind, Hierarchy, Role, State, present_error, time};
use jiff::Timestamp;
use serde::Deserialize;
use std::cmp::Reverse;
use wire::v1::SiteReport;

/// Rows on a page.
pub const PAGE: usize = 100;
/// Longest text that is looked for.
const MAX_TEXT: usize = 100;

/// A site as a row shows it.
#[derive(Debug, Clone)]
pub struct SiteRow {
    pub code: String,
    pub kind: String,
    pub parent: String,
    pub depth: usize,
    pub look: Look,
    /// What it does, in words.
    pub state: String,
    /// How far a run has come, of 100.
    pub progress: Option<u64>,
    /// Position of its verified catalog, and the one that it is to reach.
    pub position: String,
    pub target: String,
    /// How far it is behind; none where it is not.
    pub behind: Option<String>,
    pub upstream: String,
    pub connected: bool,
    pub last_success: Option<Moment>,
    pub last_failure: Option<Moment>,
    pub next_attempt: Option<Moment>,
    pub error: Option<String>,
    pub received: String,
    /// Update files that it is still to get, in words.
    pub files_to_come: Option<String>,
    /// What it is sorted by: positions behind, and seconds.
    lag: (u64, i64),
    success: Option<Timestamp>,
    order: usize,
}

impl SiteRow {
    /// The row of a site, at its place in the order of the tree.
    pub fn new(
        hierarchy: &Hierarchy,
        (order, depth): (usize, usize),
        site: &SiteReport,
        now: Timestamp,
    ) -> Self {
        let state = hierarchy.state(site);
        let behind = hierarchy.behind(site);
        let progress = match &state {
            State::Running {
                processed, total, ..
            } => percent(*processed, *total),
            State::Offline { .. }
            | State::Never
            | State::Completed
            | State::Failed { .. }
            | State::Cancelled
            | State::Other(_) => None,
        };
        let lag = match behind {
            Behind::Current => (0, 0),
            Behind::By { positions, age } => (positions, age.map_or(0, |age| age.as_secs())),
            Behind::Differs => (u64::MAX, i64::MAX),
        };
        let kind = match hierarchy.role(site) {
            Role::Only => site.site_kind.clone(),
            role @ (Role::Source | Role::Replica) => {
                format!("{}, {}", site.site_kind, role.name())
            }
        };
        let target = site.target_position.max(site.verified_position);
        Self {
            code: site.site_code.clone(),
            kind,
            parent: site.parent.clone(),
            depth,
            look: Look::of(hierarchy, site),
            state: state.text(now),
            progress,
            position: count(site.verified_position),
            target: count(target),
            behind: behind.text(),
            upstream: site.upstream.clone(),
            connected: site.connected,
            last_success: Moment::of(site.last_success.as_ref(), now),
            last_failure: Moment::of(site.last_failure.as_ref(), now),
            next_attempt: Moment::of(site.next_attempt.as_ref(), now),
            error: present_error(site),
            received: hierarchy::words::size(site.received_bytes),
            files_to_come: hierarchy::words::files_to_come(site, now),
            lag,
            success: time(site.last_success.as_ref()),
            order,
        }
    }

    /// The indentation of its code, a class of the style.
    pub fn indent(&self) -> String {
        format!("d{}", self.depth.min(4))
    }
}

/// How a list of sites is wanted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    /// Part of a code, kind, state, error or upstream.
    pub q: String,
    /// A look: `bad`, `late`, …
    pub state: String,
    /// `site`, `state`, `lag`, `success`, `position`; with `-` in front the other way round.
    pub sort: String,
    pub page: usize,
}

/// A page of a list.
pub struct Listed {
    pub rows: Vec<SiteRow>,
    /// How many match.
    pub found: usize,
    pub all: usize,
    pub page: usize,
    pub pages: usize,
    pub wanted: Wanted,
}

impl Listed {
    /// The rows that are wanted, in the order that is wanted.
    pub fn of(hierarchy: &Hierarchy, mut wanted: Wanted, now: Timestamp) -> Self {
        let end = wanted.q.char_indices().nth(MAX_TEXT).map(|(at, _)| at);
        wanted.q.truncate(end.unwrap_or(wanted.q.len()));
        let text = wanted.q.trim().to_lowercase();
        let order = hierarchy.in_tree_order();
        let all = order.len();
        let rows = order.into_iter().enumerate();
        let mut rows: Vec<SiteRow> = rows
            .map(|(index, (depth, site))| SiteRow::new(hierarchy, (index, depth), site, now))
            .filter(|row| wanted.state.is_empty() || row.look.class() == wanted.state)
            .filter(|row| {
                let error = row.error.as_deref().unwrap_or_default();
                let texts = [&row.code, &row.kind, &row.state, &row.upstream, error];
                text.is_empty() || texts.iter().any(|held| held.to_lowercase().contains(&text))
            })
            .collect();
        let (key, reversed) = match wanted.sort.strip_prefix('-') {
            Some(key) => (key, true),
            None => (wanted.sort.as_str(), false),
        };
        match key {
            "site" => rows.sort_by(|a, b| a.code.cmp(&b.code)),
            "state" => rows.sort_by_key(|row| (row.look, row.order)),
            "lag" => rows.sort_by_key(|row| (Reverse(row.lag), row.order)),
            "success" => rows.sort_by_key(|row| (row.success, row.order)),
            _ => {}
        }
        if reversed {
            rows.reverse();
        }
        let found = rows.len();
        let pages = found.div_ceil(PAGE).max(1);
        let page = wanted.page.clamp(1, pages);
        let rows = rows.into_iter().skip((page - 1) * PAGE).take(PAGE);
        Self {
            rows: rows.collect(),
            found,
            all,
            page,
            pages,
            wanted,
        }
    }

    /// The query with which a heading sorts by its column, or turns the order round.
    pub fn sorted_by(&self, key: &str) -> String {
        let turned = self.wanted.sort == key;
        self.query(&format!("{}{key}", if turned { "-" } else { "" }), 1)
    }

    /// The query of another page.
    pub fn at_page(&self, page: usize) -> String {
        self.query(&self.wanted.sort, page)
    }

    fn query(&self, sort: &str, page: usize) -> String {
        let page = page.to_string();
        let pairs = [
            ("q", self.wanted.q.as_str()),
            ("state", &self.wanted.state),
            ("sort", sort),
            ("page", &page),
        ];
        crate::page::query(&pairs)
    }

    /// What the order of a column is called by the attribute `aria-sort`.
    pub fn aria(&self, key: &str) -> &'static str {
        match self.wanted.sort.as_str() {
            // The one that is behind the furthest comes first.
            "lag" if key == "lag" => "descending",
            "-lag" if key == "lag" => "ascending",
            sort if sort == key => "ascending",
            sort if sort.strip_prefix('-') == Some(key) => "descending",
            _ => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hierarchy::samples::{at, report, three_tiers};

    fn codes(wanted: Wanted) -> Vec<String> {
        let mut hierarchy = three_tiers();
        let mut late = report("PR2", "primary", "CAS");
        (late.verified_position, late.last_success) = (4, Some(at(40)));
        hierarchy.absorb(vec![late]);
        let now = Timestamp::from_second(200).unwrap();
        let listed = Listed::of(&hierarchy, wanted, now);
        listed.rows.into_iter().map(|row| row.code).collect()
    }

    #[test]
    fn a_list_is_filtered_and_sorted_as_it_is_wanted() {
        let wanted = |q: &str, state: &str, sort: &str| Wanted {
            q: q.into(),
            state: state.into(),
            sort: sort.into(),
            page: 0,
        };
        assert_eq!(
            codes(wanted("", "", "")),
            ["CAS", "PR1", "SE1", "PR2", "SE2"]
        );
        assert_eq!(
            codes(wanted("", "", "-site")),
            ["SE2", "SE1", "PR2", "PR1", "CAS"]
        );
        assert_eq!(codes(wanted("", "", "lag"))[0], "PR2");
        assert_eq!(codes(wanted("", "late", "")), ["PR2"]);
        assert_eq!(codes(wanted("se", "", "site")), ["SE1", "SE2"]);
        assert_eq!(codes(wanted("nothing", "", "")), [""; 0]);
    }
}
