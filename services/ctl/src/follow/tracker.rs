//! When a synchronization is over, and how it went.

use hierarchy::{Hierarchy, present_error, time};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wire::v1::{RunReport, SiteReport};

/// How long a site whose link broke may take to come back before it counts as offline: a restart or a
/// moment without network is no failure. One that was offline all the time gets no such grace.
pub const RECONNECT_GRACE: Duration = Duration::from_secs(15);
/// How long a failure has to last before it counts: a run that was under way when the request arrived
/// may fail and be followed at once by the one that serves the request.
pub const FAILURE_SETTLES: Duration = Duration::from_secs(2);

/// What the top-level site reached, and every other site is to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goal {
    /// Epoch of the catalog.
    pub epoch: Vec<u8>,
    /// Position of the catalog.
    pub position: u64,
    /// Root digest at that position.
    pub root: Vec<u8>,
}

/// Where a site stands with regard to the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SiteOutcome {
    /// Not there yet.
    Pending,
    /// Holds what the top-level site holds.
    Converged,
    /// Its run failed; why.
    Failed(String),
    /// Its run was cancelled.
    Cancelled,
    /// Its link is down.
    Offline,
    /// A site above it is offline, failed or was cancelled.
    WaitsFor(String),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every site holds what the top-level site holds.
    Converged {
        /// What that is.
        goal: Goal,
    },
    /// The top-level site failed; no other site was asked.
    TopFailed {
        /// Why.
        error: String,
    },
    /// Somebody cancelled the run.
    Cancelled,
    /// The top-level site is done, but these sites did not follow.
    Incomplete {
        /// What the top-level site reached.
        goal: Goal,
        /// The sites that did not.
        missing: BTreeMap<String, SiteOutcome>,
    },
    /// Every site that was asked, and not the whole hierarchy, did it.
    Followed,
    /// Of the sites that were asked, these did not do it.
    NotFollowed {
        /// The sites that did not.
        missing: BTreeMap<String, SiteOutcome>,
    },
    /// The time that was given is over.
    TimedOut {
        /// The sites that are not there yet.
        missing: BTreeMap<String, SiteOutcome>,
    },
}

impl Verdict {
    /// The verdict when the time is over.
    pub fn timed_out(sites: BTreeMap<String, SiteOutcome>) -> Self {
        Self::TimedOut {
            missing: missing(sites),
        }
    }
}

pub(super) fn missing(sites: BTreeMap<String, SiteOutcome>) -> BTreeMap<String, SiteOutcome> {
    let missing = sites.into_iter();
    missing
        .filter(|(_, outcome)| *outcome != SiteOutcome::Converged)
        .collect()
}

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where every site stands.
    pub sites: BTreeMap<String, SiteOutcome>,
    /// Whether the request still waits for an earlier run to end.
    pub queued: bool,
    /// The end, when it is reached.
    pub verdict: Option<Verdict>,
}

/// What identifies an attempt of a site: the same attempt never has two of these once it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempt {
    id: Vec<u8>,
    started: Option<Timestamp>,
    finished: Option<Timestamp>,
}

impl Attempt {
    fn of(run: &RunReport) -> Self {
        Self {
            id: run.id.clone(),
            started: time(run.started.as_ref()),
            finished: time(run.finished.as_ref()),
        }
    }
}

/// Follows one request.
#[derive(Debug)]
pub struct Tracker {
    run: Vec<u8>,
    /// Runs of the top-level site that came before the one that serves the request.
    earlier: BTreeSet<Vec<u8>>,
    /// Whether the next run of the top-level site that we see may be an earlier one too.
    queued: bool,
    /// What each site did last before the request.
    before: BTreeMap<String, Attempt>,
    /// Sites that were connected at some time since the request.
    seen: BTreeSet<String>,
    /// Since when a site is offline or failed.
    troubled: BTreeMap<String, (SiteOutcome, Duration)>,
    goal: Option<Goal>,
    /// The sites that there were when the top-level site was done: later ones catch up by themselves
    /// and are not waited for.
    participants: BTreeSet<String>,
}

impl Tracker {
    /// Follows the request that is served by `run`. `queued` says that another run was under way.
    pub fn new(run: &[u8], queued: bool, before: &Hierarchy) -> Self {
        let attempts = before.in_tree_order().into_iter().filter_map(|(_, site)| {
            let attempt = Attempt::of(site.run.as_ref()?);
            Some((site.site_code.clone(), attempt))
        });
        let top_run = before.top().and_then(|top| top.run.as_ref());
        Self {
            run: run.to_owned(),
            earlier: top_run.map(|run| run.id.clone()).into_iter().collect(),
            queued,
            before: attempts.collect(),
            seen: BTreeSet::new(),
            troubled: BTreeMap::new(),
            goal: None,
            participants: BTreeSet::new(),
        }
    }

    /// Takes note of the sites as they are `at` this time since the request.
    pub fn observe(&mut self, hierarchy: &Hierarchy, at: Duration) -> Progress {
        let connected = hierarchy.in_tree_order().into_iter();
        let connected = connected.filter(|(_, site)| hierarchy.cut_off_at(site).is_none());
        self.seen
            .extend(connected.map(|(_, site)| site.site_code.clone()));
        let Some(top) = hierarchy.top() else {
            return self.waiting(hierarchy);
        };
        if self.goal.is_none() {
            match self.top_level(top) {
                TopLevel::Earlier | TopLevel::Running => return self.waiting(hierarchy),
                TopLevel::Ended(verdict) => {
                    return Progress {
                        verdict: Some(verdict),
                        ..self.waiting(hierarchy)
                    };
                }
                TopLevel::Reached(goal) => {
                    self.goal = Some(goal);
                    let sites = hierarchy.in_tree_order().into_iter();
                    self.participants = sites.map(|(_, site)| site.site_code.clone()).collect();
                }
            }
        }
        let Some(goal) = self.goal.clone() else {
            return self.waiting(hierarchy);
        };
        let sites = self.judge(hierarchy, top, &goal, at);
        Progress {
            verdict: verdict(&goal, &sites),
            sites,
            queued: false,
        }
    }

    fn waiting(&self, hierarchy: &Hierarchy) -> Progress {
        let top_run = hierarchy.top().and_then(|top| top.run.as_ref());
        let sites = hierarchy.in_tree_order().into_iter();
        Progress {
            sites: sites
                .map(|(_, site)| (site.site_code.clone(), SiteOutcome::Pending))
                .collect(),
            queued: top_run.is_some_and(|run| run.id != self.run && self.earlier.contains(&run.id)),
            verdict: None,
        }
    }

    fn top_level(&mut self, top: &SiteReport) -> TopLevel {
        let Some(run) = &top.run else {
            return TopLevel::Earlier;
        };
        if run.id != self.run {
            // A queued request is served by the run after the one that is under way when we first look.
            if std::mem::take(&mut self.queued) {
                self.earlier.insert(run.id.clone());
            }
            if self.earlier.contains(&run.id) {
                return TopLevel::Earlier;
            }
            // Ours came and went unseen: a later run covers what ours was to do, so it answers for it.
        }
        match run.state.as_str() {
            // For the moment in which it goes over to a new statement it names no root.
            "Completed" if top.root.is_empty() && top.verified_position > 0 => TopLevel::Running,
            "Completed" => TopLevel::Reached(Goal {
                epoch: top.epoch.clone(),
                position: top.verified_position,
                root: top.root.clone(),
            }),
            "Failed" => TopLevel::Ended(Verdict::TopFailed {
                error: run_error(top, run),
            }),
            "Cancelled" => TopLevel::Ended(Verdict::Cancelled),
            _ => TopLevel::Running,
        }
    }

    fn judge(
        &mut self,
        hierarchy: &Hierarchy,
        top: &SiteReport,
        goal: &Goal,
        at: Duration,
    ) -> BTreeMap<String, SiteOutcome> {
        let mut outcomes = BTreeMap::new();
        // Parents come before children, so what holds a child up is known when it is its turn.
        for (_, site) in hierarchy.in_tree_order() {
            let code = &site.site_code;
            if !self.participants.contains(code) {
                continue;
            }
            let outcome = if hierarchy.is_top(site) || holds(site, goal, top) {
                self.troubled.remove(code);
                SiteOutcome::Converged
            } else {
                let trouble = self.trouble(hierarchy, site, goal);
                self.settle(code, trouble, at)
            };
            let outcome = match (outcome, outcomes.get(&site.parent)) {
                (SiteOutcome::Pending, Some(parent)) if is_trouble(parent) => {
                    SiteOutcome::WaitsFor(site.parent.clone())
                }
                (outcome, _) => outcome,
            };
            outcomes.insert(code.clone(), outcome);
        }
        outcomes
    }

    /// What keeps a site from getting there, as far as its present report tells.
    fn trouble(
        &self,
        hierarchy: &Hierarchy,
        site: &SiteReport,
        goal: &Goal,
    ) -> Option<SiteOutcome> {
        match hierarchy.cut_off_at(site) {
            Some(code) if code == site.site_code => return Some(SiteOutcome::Offline),
            Some(code) => return Some(SiteOutcome::WaitsFor(code.to_owned())),
            None => {}
        }
        let run = site.run.as_ref()?;
        if self.before.get(&site.site_code) == Some(&Attempt::of(run)) {
            return None;
        }
        match run.state.as_str() {
            "Failed" => Some(SiteOutcome::Failed(run_error(site, run))),
            "Cancelled" => Some(SiteOutcome::Cancelled),
            "Completed"
                if site.epoch == goal.epoch
                    && site.verified_position == goal.position
                    && !site.root.is_empty() =>
            {
                let why =
                    "its catalog differs from that of the top-level site at the same position";
                Some(SiteOutcome::Failed(why.into()))
            }
            _ => None,
        }
    }

    /// Trouble counts once it lasted.
    fn settle(&mut self, code: &str, trouble: Option<SiteOutcome>, at: Duration) -> SiteOutcome {
        let Some(trouble) = trouble else {
            self.troubled.remove(code);
            return SiteOutcome::Pending;
        };
        let grace = match &trouble {
            SiteOutcome::Offline | SiteOutcome::WaitsFor(_) if self.seen.contains(code) => {
                RECONNECT_GRACE
            }
            SiteOutcome::Failed(_) | SiteOutcome::Cancelled => FAILURE_SETTLES,
            SiteOutcome::Offline
            | SiteOutcome::WaitsFor(_)
            | SiteOutcome::Pending
            | SiteOutcome::Converged => Duration::ZERO,
        };
        let entry = (trouble.clone(), at);
        let known = self.troubled.entry(code.to_owned()).or_insert(entry);
        if std::mem::discriminant(&known.0) != std::mem::discriminant(&trouble) {
            *known = (trouble.clone(), at);
        }
        if at.saturating_sub(known.1) >= grace {
            trouble
        } else {
            SiteOutcome::Pending
        }
    }
}

enum TopLevel {
    Earlier,
    Running,
    Reached(Goal),
    Ended(Verdict),
}

/// Whether a site holds the goal, or what the top-level site holds by now.
fn holds(site: &SiteReport, goal: &Goal, top: &SiteReport) -> bool {
    let at_top = site.epoch == top.epoch
        && site.verified_position == top.verified_position
        && site.root == top.root;
    let past_goal = site.epoch == goal.epoch && site.verified_position > goal.position;
    let at_goal = site.epoch == goal.epoch
        && site.verified_position == goal.position
        && site.root == goal.root;
    at_top || at_goal || past_goal
}

fn is_trouble(outcome: &SiteOutcome) -> bool {
    !matches!(outcome, SiteOutcome::Pending | SiteOutcome::Converged)
}

fn run_error(site: &SiteReport, run: &RunReport) -> String {
    let error = wire::text::harmless(&run.error).into_owned();
    let error = Some(error).filter(|error| !error.is_empty());
    error
        .or_else(|| present_error(site))
        .unwrap_or_else(|| "the site gave no reason; its log has it".into())
}

fn verdict(goal: &Goal, sites: &BTreeMap<String, SiteOutcome>) -> Option<Verdict> {
    let any = |wanted: fn(&SiteOutcome) -> bool| sites.values().any(wanted);
    if any(|outcome| *outcome == SiteOutcome::Pending) {
        return None;
    }
    if !any(is_trouble) {
        return Some(Verdict::Converged { goal: goal.clone() });
    }
    if any(|outcome| *outcome == SiteOutcome::Cancelled) {
        return Some(Verdict::Cancelled);
    }
    Some(Verdict::Incomplete {
        goal: goal.clone(),
        missing: missing(sites.clone()),
    })
}

#[cfg(test)]
mod tests;
