//! A run as it is shown: what was written down of it, and what the sites do in it now. Pure.

use catalog::PointId;
use jiff::Timestamp;
use journal::run_part::{CANCELLED, COMPLETED, FAILED, Live, Part, REQUESTED, RUNNING, Span, Told};
use std::collections::BTreeMap;
use store::runs::RunRow;
use store::site_runs::SiteRunRow;
use sync::{EngineState, State, Trigger};
use uuid::Uuid;
use wire::convert::{from_timestamp, optional_timestamp};
use wire::v1::{PhaseSpan, Run, RunReport, SiteReport, SiteRun};

/// A run that has not been written down yet.
pub(super) fn requested(id: Uuid, started: Timestamp) -> RunRow {
    RunRow {
        id,
        started,
        finished: None,
        state: REQUESTED.to_owned(),
        full: false,
        manual: false,
        added: 0,
        revised: 0,
        expired: 0,
        removed: 0,
        failed: 0,
        position: 0,
        error: String::new(),
        target: None,
        source: String::new(),
    }
}

fn time(value: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    optional_timestamp("time", value).ok().flatten()
}

fn live(run: &RunReport) -> Live {
    let phases = run.phases.iter();
    Live {
        state: run.state.clone(),
        told: Told {
            requested: time(run.requested.as_ref()),
            started: time(run.started.as_ref()),
            phases: phases
                .filter_map(|start| Some((start.phase.clone(), time(start.started.as_ref())?)))
                .collect(),
            items: run.items,
            bytes: run.bytes,
        },
        finished: time(run.finished.as_ref()),
        error: run.error.clone(),
    }
}

/// What the sites say that do a run now, or did it last.
pub(super) fn live_of(reports: &[SiteReport], id: Uuid) -> BTreeMap<PointId, Live> {
    let named = reports.iter().filter_map(|report| {
        let run = report.run.as_ref().filter(|run| run.id == id.as_bytes())?;
        Some((report.site_code.parse().ok()?, live(run)))
    });
    named.collect()
}

/// The part of every site, from what was written down and what the sites say.
pub(super) fn parts_of(
    id: Uuid,
    rows: Vec<SiteRunRow>,
    live: &BTreeMap<PointId, Live>,
) -> BTreeMap<PointId, Part> {
    let mut parts: BTreeMap<PointId, Part> = rows
        .into_iter()
        .map(|row| (row.site, Part::new(&row, live.get(&row.site))))
        .collect();
    for (site, live) in live {
        parts
            .entry(*site)
            .or_insert_with(|| Part::new(&SiteRunRow::new(id, *site), Some(live)));
    }
    parts
}

/// A run with the parts of all sites.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    /// What was written down, with what this site does in it now.
    pub row: RunRow,
    /// By site.
    pub parts: BTreeMap<PointId, Part>,
}

impl Shown {
    pub fn new(mut row: RunRow, parts: BTreeMap<PointId, Part>, engine: &EngineState) -> Self {
        let own = engine.run.as_ref().filter(|run| run.id == row.id);
        if let Some(own) = own {
            state_of(&mut row, own);
        } else if row.target.is_some() {
            state_among(&mut row, &parts);
        }
        Self { row, parts }
    }

    pub fn run(&self) -> Run {
        let row = &self.row;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let completed = self.parts.values().filter(|part| part.state == COMPLETED);
        let (target, subtree) = row.target.unzip();
        Run {
            id: row.id.as_bytes().to_vec(),
            started: Some(from_timestamp(row.started)),
            finished: row.finished.map(from_timestamp),
            state: row.state.clone(),
            full: row.full,
            manual: row.manual,
            added: row.added,
            revised: row.revised,
            expired: row.expired,
            removed: row.removed,
            failed: row.failed,
            position: row.position,
            error: row.error.clone(),
            sites: count(self.parts.len()),
            completed: count(completed.count()),
            site_code: target.map_or_else(String::new, |target| target.to_string()),
            subtree: subtree.unwrap_or_default(),
            source: row.source.clone(),
        }
    }

    pub fn sites(&self) -> Vec<SiteRun> {
        self.parts.values().map(site_run).collect()
    }
}

/// What this site does in its own run now is more than was written down.
fn state_of(row: &mut RunRow, own: &sync::SyncRun) {
    own.state.name().clone_into(&mut row.state);
    row.finished = own.state.finished();
    row.full = own.full;
    row.manual = own.trigger == Trigger::Manual;
    row.added = own.counts.added;
    row.revised = own.counts.revised;
    row.expired = own.counts.expired;
    row.removed = own.counts.removed;
    row.failed = own.counts.quarantined;
    if let State::Failed { error, .. } = &own.state {
        row.error.clone_from(error);
    }
}

/// How a request to other sites goes, by what they say.
fn state_among(row: &mut RunRow, parts: &BTreeMap<PointId, Part>) {
    let any = |state: &str| parts.values().any(|part| part.state == state);
    let ended = parts.values().map(|part| part.finished);
    let ended: Option<Vec<Timestamp>> = ended.collect();
    row.finished = ended.and_then(|ends| ends.into_iter().max());
    let state = if row.finished.is_none() {
        match parts.values().all(|part| part.state == REQUESTED) {
            true => REQUESTED,
            false => RUNNING,
        }
    } else if any(FAILED) {
        FAILED
    } else if any(CANCELLED) {
        CANCELLED
    } else {
        COMPLETED
    };
    state.clone_into(&mut row.state);
    let failed = parts.values().find(|part| part.state == FAILED);
    row.error = failed.map_or_else(String::new, |part| format!("{}: {}", part.site, part.error));
}

pub(super) fn site_run(part: &Part) -> SiteRun {
    let span = |span: &Span| PhaseSpan {
        phase: span.phase.clone(),
        started: Some(from_timestamp(span.started)),
        finished: span.finished.map(from_timestamp),
    };
    SiteRun {
        site_code: part.site.to_string(),
        requested: part.requested.map(from_timestamp),
        started: part.started.map(from_timestamp),
        finished: part.finished.map(from_timestamp),
        state: part.state.clone(),
        phases: part.phases.iter().map(span).collect(),
        items: part.items,
        bytes: part.bytes,
        error: part.error.clone(),
    }
}

/// Whether a site's end is waited for before a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Awaited {
    /// It has ended, takes no part, or is not connected.
    No,
    /// It may be about to begin, or its messages may be on their way: for a while.
    Perhaps,
    /// It is at it, or does it next.
    Yes,
}

impl Shown {
    /// Whether anybody is waited for. `newest` says that no run of this site came after this one.
    pub fn awaited(&self, here: PointId, reports: &[SiteReport], newest: bool) -> Awaited {
        let own = self.row.target.is_none();
        if own && self.row.finished.is_none() {
            return Awaited::Yes;
        }
        // Where it did not complete, nobody was asked to follow.
        let announced = own && newest && self.row.state == COMPLETED;
        let sites = reports.iter().filter_map(|report| {
            let site: PointId = report.site_code.parse().ok()?;
            let concerned = report.connected && !(own && site == here);
            concerned.then(|| self.awaits(site, report, announced))
        });
        sites.max().unwrap_or(Awaited::No)
    }

    fn awaits(&self, site: PointId, report: &SiteReport, announced: bool) -> Awaited {
        let part = self.parts.get(&site);
        if part.is_some_and(Part::has_ended) || (part.is_none() && !announced) {
            return Awaited::No;
        }
        let busy = report
            .run
            .as_ref()
            .filter(|run| run.finished.is_none() && !run.state.is_empty());
        match busy {
            Some(run) if run.id == self.row.id.as_bytes() => Awaited::Yes,
            // The newest run is what it does next; an older one may be lost.
            Some(_) if announced || part.is_some_and(|part| part.state == REQUESTED) => {
                Awaited::Yes
            }
            Some(_) | None => Awaited::Perhaps,
        }
    }
}

#[cfg(test)]
mod tests;
