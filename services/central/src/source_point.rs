//! Which software update point a site synchronizes by: switched by hand, or, where the settings say so, when the
//! source fails again and again or is gone while another point is there.

pub mod plan;

use crate::admission::{CentralAdmission, Switch, source};
use crate::in_force::InForce;
use catalog::{PointId, SiteCode};
use journal::StatusId;
use link::Site;
use link::address::Address;
use link::children::Children;
use plan::{Facts, Plan, Point, plan};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use store::authority::SiteRow;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// Sources are looked at this often.
pub const LOOK: Duration = Duration::from_secs(10);
/// A point that dialled the top-level site within this time is there: the longest wait between two dials, in which
/// others are dialled in turn, several times over.
const HEARD_WITHIN: Duration = Duration::from_secs(300);
/// After a start a source that never attached is given this time before a look counts as missed.
const STARTING: Duration = Duration::from_secs(120);
/// A source that was switched without anybody asking for it is left alone so long.
const LEFT_ALONE: Duration = Duration::from_secs(10 * 60);

/// Switches the sources of sites.
#[derive(Clone)]
pub struct SourcePoints {
    /// The top-level site.
    pub site: Site,
    /// Who is told.
    pub children: Arc<Children>,
    /// The register.
    pub admission: Arc<CentralAdmission>,
    /// Whether sources are switched by themselves.
    pub settings: InForce,
}

/// What is remembered from one look to the next.
struct Seen {
    began: Instant,
    missed: BTreeMap<PointId, u32>,
    switched: BTreeMap<SiteCode, Instant>,
    /// Sites of which it was told that nobody can take the source's place.
    told: BTreeSet<SiteCode>,
}

impl SourcePoints {
    /// The source of a site and all its points, the source first.
    ///
    /// # Errors
    /// When there is no such site below this one.
    pub fn points(&self, site: SiteCode) -> Result<Vec<PointId>, Status> {
        if site == self.site.code.site() {
            return Ok(vec![self.site.code]);
        }
        let rows = self.admission.rows();
        let source = source::source(&rows, site).ok_or_else(|| {
            Status::not_found(format!("there is no site {site} in this hierarchy"))
        })?;
        let others = source::points(&rows, site).map(|row| row.code);
        let others = others.filter(|code| *code != source.code);
        Ok(std::iter::once(source.code).chain(others).collect())
    }

    /// Makes `to` the source of its site, at once for everybody who is attached. Repeating it changes nothing. The
    /// source before, if it was another.
    ///
    /// # Errors
    /// When `to` cannot be that.
    pub async fn switch(&self, to: PointId, by: &str) -> Result<Option<PointId>, Status> {
        if to.is_beside(self.site.code) {
            return Err(Status::failed_precondition(format!(
                "the source of the top-level site {} cannot be switched: it alone writes the catalog. To move \
                 it to another machine, restore its backup there",
                self.site.code
            )));
        }
        self.may_take_children_in(to)?;
        let switched = self.admission.switch(to, by).await?;
        if let Some(switched) = &switched {
            self.tell(switched);
        }
        Ok(switched.map(|switched| switched.from))
    }

    /// Whether others know where a point is reached; else what to do.
    ///
    /// # Errors
    /// When they do not.
    pub fn may_take_children_in(&self, to: PointId) -> Result<(), Status> {
        let known = self.site.reports.get(to).is_some();
        if known && Address::reported(&self.site.reports, to).is_none() {
            return Err(Status::failed_precondition(format!(
                "{to} has told no address under which others reach it: start it with --listen, and with \
                 --advertise where that is not the machine's name"
            )));
        }
        Ok(())
    }

    /// Whether a point is there at the moment, so that others can go on from it.
    ///
    /// # Errors
    /// When it is not; a point that is none of this hierarchy's is for [`Self::switch`] to refuse.
    pub fn is_there(&self, to: PointId) -> Result<(), Status> {
        let rows = self.admission.rows();
        let is_source = source::source(&rows, to.site()).is_some_and(|source| source.code == to);
        let row = rows.get(&to).filter(|row| row.removed.is_none());
        if is_source || row.is_none_or(|row| self.point_or_heard(row).alive) {
            return Ok(());
        }
        Err(Status::failed_precondition(format!(
            "{to} is not connected, and was not heard of in the last {} minutes: all that synchronize from {} \
             would wait for it. Start it first; --force switches all the same",
            HEARD_WITHIN.as_secs() / 60,
            to.site()
        )))
    }

    /// Tells everybody concerned.
    pub fn tell(&self, switched: &Switch) {
        let here = self.site.code;
        let moved = self.admission.moved(&switched.rows);
        self.children.tell_moved(here, &moved);
    }

    /// Switches sources by themselves where the settings say so, until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut seen = Seen {
            began: Instant::now(),
            missed: BTreeMap::new(),
            switched: BTreeMap::new(),
            told: BTreeSet::new(),
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            let after = self.settings.watch().borrow().failures.switch_source_after;
            if after == 0 {
                seen.missed.clear();
                seen.told.clear();
                continue;
            }
            for facts in self.facts(u32::from(after), &mut seen) {
                self.act(&facts, &mut seen).await;
            }
        }
    }

    async fn act(&self, facts: &Facts, seen: &mut Seen) {
        let site = facts.source.code.site();
        let left_alone = |at: &Instant| at.elapsed() < LEFT_ALONE;
        if seen.switched.get(&site).is_some_and(left_alone) {
            return;
        }
        let problem = match plan(facts) {
            Plan::Leave => {
                seen.told.remove(&site);
                return;
            }
            Plan::Switch { to, why } => {
                match self.switch(to, &format!("by itself, because {why}")).await {
                    Ok(_) => {
                        seen.switched.insert(site, Instant::now());
                        seen.missed.remove(&facts.source.code);
                        seen.told.remove(&site);
                        return;
                    }
                    Err(status) => format!("{why}; {}", status.message()),
                }
            }
            Plan::Nobody { why } => format!("{why}, and no other point of the site is there"),
        };
        if seen.told.insert(site) {
            let inserts = vec![site.to_string(), problem];
            self.site
                .journal
                .record(StatusId::SourceNotSwitched, None, inserts)
                .await;
        }
    }

    /// What is known of the sites that have several points.
    fn facts(&self, after: u32, seen: &mut Seen) -> Vec<Facts> {
        let rows = self.admission.rows();
        let replicas = rows
            .values()
            .filter(|row| row.removed.is_none() && row.code.is_beside(row.parent));
        let sites: BTreeSet<SiteCode> = replicas.map(|row| row.code.site()).collect();
        let mut missed = BTreeMap::new();
        let mut found = Vec::with_capacity(sites.len());
        for site in sites {
            let Some(source) = source::source(&rows, site) else {
                continue;
            };
            let mut point = self.point(source);
            let attached = self.admission.was_admitted(point.code);
            if !point.alive && (attached || seen.began.elapsed() >= STARTING) {
                let before = seen.missed.get(&point.code).copied().unwrap_or(0);
                point.missed_looks = before.saturating_add(1);
                missed.insert(point.code, point.missed_looks);
            }
            let replicas = source::points(&rows, site).filter(|row| row.code != source.code);
            found.push(Facts {
                after,
                replicas: replicas.map(|row| self.point_or_heard(row)).collect(),
                source: point,
            });
        }
        seen.missed = missed;
        found
    }

    /// What the report of a point says; it is alive if it is connected.
    fn point(&self, row: &SiteRow) -> Point {
        let report = self.site.reports.get(row.code).unwrap_or_default();
        Point {
            code: row.code,
            reachable: link::address::usable(&report.address),
            alive: report.connected,
            failed_in_a_row: report.failed_in_a_row,
            missed_looks: 0,
            verified: report.verified_position,
        }
    }

    /// A replica; it is also alive if it dialled this site, because its source did not answer.
    fn point_or_heard(&self, row: &SiteRow) -> Point {
        let heard = self.admission.was_heard(row.code, HEARD_WITHIN);
        let point = self.point(row);
        Point {
            alive: point.alive || heard,
            ..point
        }
    }
}
