//! The sites as they reported themselves, put in the order of the tree, and what each report means: its state,
//! and how far it is behind. Pure: what the verbs print, the dashboard shows and an alert says is read here.

use catalog::{PointId, SiteCode};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use wire::convert;
use wire::text::harmless;
use wire::v1::{RunReport, SiteReport};

#[cfg(any(test, feature = "samples"))]
pub mod samples;
pub mod words;

/// The newest report of every site, by site code.
#[derive(Debug, Clone, Default)]
pub struct Hierarchy {
    sites: BTreeMap<String, SiteReport>,
    /// Code of the top-level site.
    top: Option<String>,
    /// How many software update points each site has.
    points: BTreeMap<SiteCode, usize>,
}

/// What a site does, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not answer, or a site between it and the top does not.
    Offline {
        /// When it reported last.
        last_seen: Option<Timestamp>,
        /// The nearest site above it that does not answer, when that is why.
        behind: Option<String>,
    },
    /// It joined and has not synchronized yet.
    Never,
    /// It is in a run.
    Running {
        /// What it does, in words, as in "synchronizing updates".
        phase: &'static str,
        /// Items done.
        processed: u64,
        /// Items to do; 0 while that is unknown.
        total: u64,
    },
    /// Its last run reached its end.
    Completed,
    /// Its last run failed.
    Failed {
        /// When it tries again.
        next_attempt: Option<Timestamp>,
    },
    /// Its last run was cancelled.
    Cancelled,
    /// A state of a newer version than this program.
    Other(String),
}

/// What a software update point is to its site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The only one.
    Only,
    /// The synchronization source of the others, and of the sites below.
    Source,
    /// A replica of the source.
    Replica,
}

impl Role {
    /// The role in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Only => "only",
            Self::Source => "source",
            Self::Replica => "replica",
        }
    }
}

/// How far a site is from the top-level site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// It holds what the top-level site holds.
    Current,
    /// It holds an older catalog.
    By {
        /// Positions to go.
        positions: u64,
        /// How much older its catalog is; unknown while either never succeeded.
        age: Option<SignedDuration>,
    },
    /// It holds a catalog of another epoch, or one with other content at the same position.
    Differs,
}

impl Hierarchy {
    /// The sites of a complete list.
    pub fn new(reports: Vec<SiteReport>) -> Self {
        let reports = reports.into_iter();
        let sites: BTreeMap<_, _> = reports
            .map(|report| (report.site_code.clone(), report))
            .collect();
        let mut every = sites.values();
        let top = every
            .clone()
            .find(|site| site.parent.is_empty())
            .or_else(|| every.find(|site| !sites.contains_key(&site.parent)));
        let top = top.map(|top| top.site_code.clone());
        let mut points = BTreeMap::new();
        for site in sites.values().filter_map(|site| place(&site.site_code)) {
            *points.entry(site).or_default() += 1;
        }
        Self { sites, top, points }
    }

    /// Number of sites.
    pub fn len(&self) -> usize {
        self.sites.len()
    }

    /// Whether no site is known.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    /// The report of a site.
    pub fn site(&self, code: &str) -> Option<&SiteReport> {
        self.sites.get(code)
    }

    /// The top-level site: the one without a parent. Where a site below it was asked, which knows itself and
    /// what is below, that site.
    pub fn top(&self) -> Option<&SiteReport> {
        self.sites.get(self.top.as_deref()?)
    }

    /// Whether a report is that of the top-level site.
    pub fn is_top(&self, site: &SiteReport) -> bool {
        self.top()
            .is_some_and(|top| top.site_code == site.site_code)
    }

    /// What a software update point is to its site.
    pub fn role(&self, site: &SiteReport) -> Role {
        let own = place(&site.site_code);
        let points = own.and_then(|own| self.points.get(&own));
        if own.is_some() && place(&site.parent) == own {
            Role::Replica
        } else if points.is_some_and(|points| *points > 1) {
            Role::Source
        } else {
            Role::Only
        }
    }

    /// Every site once, parents before their children, with its depth below the top-level site.
    /// Sites whose parent is not known stand at the end.
    pub fn in_tree_order(&self) -> Vec<(usize, &SiteReport)> {
        let mut children: BTreeMap<&str, Vec<&SiteReport>> = BTreeMap::new();
        for site in self.sites.values().filter(|site| !self.is_top(site)) {
            children.entry(&site.parent).or_default().push(site);
        }
        let mut order = Vec::with_capacity(self.sites.len());
        let mut seen = BTreeSet::new();
        let roots = self.top().into_iter().chain(self.sites.values());
        for root in roots {
            let parent_is_known = self.sites.contains_key(&root.parent);
            if !self.is_top(root) && parent_is_known && root.parent != root.site_code {
                continue;
            }
            let mut stack = vec![(0, root)];
            while let Some((depth, site)) = stack.pop() {
                if !seen.insert(&site.site_code) {
                    continue;
                }
                order.push((depth, site));
                let below = children.get(site.site_code.as_str()).into_iter().flatten();
                stack.extend(below.rev().map(|child| (depth + 1, *child)));
            }
        }
        // Sites in a ring have no root; they are shown all the same.
        let ring = self
            .sites
            .values()
            .filter(|site| !seen.contains(&site.site_code));
        order.extend(ring.map(|site| (0, site)));
        order
    }

    /// The sites between a site and the top-level site, nearest first.
    pub fn ancestors(&self, site: &SiteReport) -> Vec<&SiteReport> {
        let mut above = Vec::new();
        let mut code = site.parent.as_str();
        while let Some(parent) = self.sites.get(code) {
            if above.len() >= self.sites.len() || self.is_top(parent) {
                break;
            }
            above.push(parent);
            code = &parent.parent;
        }
        above
    }

    /// The nearest site that is cut off among a site and those above it.
    pub fn cut_off_at(&self, site: &SiteReport) -> Option<&str> {
        if self.is_top(site) {
            return None;
        }
        let own = self.sites.get(&site.site_code);
        own.into_iter()
            .chain(self.ancestors(site))
            .find(|site| !site.connected)
            .map(|site| site.site_code.as_str())
    }

    /// What a site does.
    pub fn state(&self, site: &SiteReport) -> State {
        if let Some(cut_off) = self.cut_off_at(site) {
            return State::Offline {
                last_seen: time(site.reported.as_ref()),
                behind: (cut_off != site.site_code).then(|| harmless(cut_off).into_owned()),
            };
        }
        match &site.run {
            Some(run) => run_state(run, time(site.next_attempt.as_ref())),
            None if site.last_success.is_some() => State::Completed,
            None => State::Never,
        }
    }

    /// How far a site is behind the top-level site.
    pub fn behind(&self, site: &SiteReport) -> Behind {
        let Some(top) = self.top().filter(|top| top.site_code != site.site_code) else {
            return Behind::Current;
        };
        let positions = top.verified_position.saturating_sub(site.verified_position);
        if site.verified_position > 0 && site.epoch != top.epoch {
            return Behind::Differs;
        }
        if positions == 0 {
            let further = site.verified_position > top.verified_position;
            // A site names no root for the moment in which it goes over to a new statement.
            let unknown = site.root.is_empty() || top.root.is_empty();
            let same = further || unknown || site.root == top.root;
            return if same {
                Behind::Current
            } else {
                Behind::Differs
            };
        }
        let own = time(site.last_success.as_ref());
        let newest = time(top.last_success.as_ref());
        let age = newest.zip(own).map(|(top, own)| top.duration_since(own));
        Behind::By {
            positions,
            age: age.filter(SignedDuration::is_positive),
        }
    }
}

/// The site of a software update point; none where the code is none.
fn place(code: &str) -> Option<SiteCode> {
    code.parse().ok().map(PointId::site)
}

fn run_state(run: &RunReport, next_attempt: Option<Timestamp>) -> State {
    let running = |phase| State::Running {
        phase,
        processed: run.processed,
        total: run.total,
    };
    match run.state.as_str() {
        "" => State::Never,
        "Completed" => State::Completed,
        "Failed" => State::Failed { next_attempt },
        "Cancelled" => State::Cancelled,
        other => match words::phase(other) {
            Some(phase) => running(phase),
            None => State::Other(harmless(other).into_owned()),
        },
    }
}

/// A time of a report; one that is absent or no time at all is nothing.
pub fn time(value: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    convert::optional_timestamp("time", value).ok().flatten()
}

/// The last error of a site while it still matters: an error before the last success is history.
pub fn present_error(site: &SiteReport) -> Option<String> {
    let failed = time(site.last_failure.as_ref());
    let succeeded = time(site.last_success.as_ref());
    let settled =
        matches!((failed, succeeded), (Some(failed), Some(succeeded)) if succeeded >= failed);
    (!site.last_error.is_empty() && !settled).then(|| harmless(&site.last_error).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{at, report, three_tiers};

    fn order(hierarchy: &Hierarchy) -> Vec<(usize, &str)> {
        let order = hierarchy.in_tree_order().into_iter();
        order
            .map(|(depth, site)| (depth, site.site_code.as_str()))
            .collect()
    }

    #[test]
    fn children_stand_under_their_parents() {
        let expected = [(0, "CAS"), (1, "PR1"), (2, "SE1"), (1, "PR2"), (2, "SE2")];
        assert_eq!(order(&three_tiers()), expected);
    }

    #[test]
    fn orphans_and_rings_are_shown_once() {
        let hierarchy = Hierarchy::new(vec![
            report("CAS", "central", ""),
            report("SE9", "secondary", "PR9"),
            report("AAA", "primary", "BBB"),
            report("BBB", "primary", "AAA"),
        ]);
        assert_eq!(
            order(&hierarchy),
            [(0, "CAS"), (0, "SE9"), (0, "AAA"), (0, "BBB")]
        );
        let ring = hierarchy.site("AAA").unwrap();
        assert!(hierarchy.ancestors(ring).len() <= 4);
    }

    #[test]
    fn a_site_below_one_that_is_offline_is_offline_too() {
        let mut hierarchy = three_tiers();
        let mut primary = report("PR1", "primary", "CAS");
        primary.connected = false;
        hierarchy.absorb(vec![primary]);
        let state = |code: &str| hierarchy.state(hierarchy.site(code).unwrap());
        let last_seen = Some(Timestamp::from_second(100).unwrap());
        let behind = Some("PR1".to_owned());
        assert_eq!(state("SE1"), State::Offline { last_seen, behind });
        assert_eq!(
            state("PR1"),
            State::Offline {
                last_seen,
                behind: None
            }
        );
        assert_eq!(state("SE2"), State::Completed);
    }

    #[test]
    fn behind_counts_positions_and_age_and_sees_another_catalog() {
        let mut hierarchy = three_tiers();
        let mut old = report("PR1", "primary", "CAS");
        old.verified_position = 4;
        old.last_success = Some(at(40));
        let mut other = report("PR2", "primary", "CAS");
        other.root = vec![9; 32];
        hierarchy.absorb(vec![old, other]);
        let behind = |code: &str| hierarchy.behind(hierarchy.site(code).unwrap());
        let age = Some(SignedDuration::from_secs(60));
        assert_eq!(behind("PR1"), Behind::By { positions: 6, age });
        assert_eq!(behind("PR2"), Behind::Differs);
        assert_eq!(behind("CAS"), Behind::Current);
        assert_eq!(behind("SE1"), Behind::Current);
    }

    #[test]
    fn an_error_before_the_last_success_is_history() {
        let mut site = report("PR1", "primary", "CAS");
        site.last_error = "no route\x1b[31m".into();
        site.last_failure = Some(at(99));
        assert_eq!(present_error(&site), None);
        site.last_failure = Some(at(101));
        assert_eq!(present_error(&site).unwrap(), "no route [31m");
    }
}
