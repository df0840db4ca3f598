//! What is wrong at the sites, and what has to be told of it. Pure: facts in, changes out.
//!
//! A condition that has to last is noted first, and becomes an alert when it has lasted. What cannot be seen
//! of a site that is cut off neither begins nor ends.

use super::kind::Kind;
use catalog::{PointId, UpdateId};
use hierarchy::{Behind, Hierarchy, time};
use jiff::{SignedDuration, Timestamp};
use settings::Settings;
use std::collections::{BTreeMap, BTreeSet};
use store::alerts::AlertRow;
use trust::statement::SignedStatement;
use uuid::Uuid;
use wire::v1::SiteReport;

/// Sites that are named one by one in a sentence.
const NAMED: usize = 5;
/// A first synchronization that goes forward is noted so often while it would have to stand still for an
/// alert, at most.
const PROGRESS_NOTES: i32 = 10;

/// What is known.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'f> {
    /// What every site says of itself.
    pub hierarchy: &'f Hierarchy,
    /// What there are alerts of, and from when on.
    pub settings: &'f Settings,
    /// Chosen categories that the source does not list, with their titles.
    pub vanished: &'f BTreeMap<UpdateId, String>,
    /// The top-level site.
    pub top: PointId,
    /// Since when this process watches: who is not there yet may still come.
    pub watching_since: Timestamp,
    /// The time.
    pub now: Timestamp,
}

/// What has to be told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing.
    Nothing,
    /// It is an alert now.
    Raised,
    /// It is none any more.
    Ended,
}

/// What there is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be written, and what told of it.
    pub write: Vec<(AlertRow, Told)>,
    /// Conditions that went before they were alerts.
    pub forget: Vec<Uuid>,
    /// When time alone changes something.
    pub next: Option<Timestamp>,
}

impl Plan {
    /// Whether nothing changes.
    pub fn is_nothing(&self) -> bool {
        self.write.is_empty() && self.forget.is_empty()
    }

    fn end(&mut self, row: &AlertRow, now: Timestamp) {
        match row.raised {
            None => self.forget.push(row.id),
            Some(_) => {
                let ended = Some(now);
                let row = row.clone();
                self.write.push((AlertRow { ended, ..row }, Told::Ended));
            }
        }
    }

    fn look_at(&mut self, time: Timestamp) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }
}

/// What of a site is wrong.
type Key = (Kind, PointId, String);

/// How something is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    /// It is wrong.
    Wrong {
        since: Timestamp,
        /// From when on it is an alert.
        due: Timestamp,
        inserts: Vec<String>,
        mark: String,
        /// Whether what was wrong before is over, and this is something else of the kind.
        anew: bool,
    },
    /// It cannot be seen now.
    Unseen,
}

/// Compares what is noted with what the sites report.
pub fn plan(facts: Facts<'_>, open: &[AlertRow], mut new_id: impl FnMut() -> Uuid) -> Plan {
    let mut plan = Plan::default();
    let top = facts.hierarchy.top();
    if top.is_none_or(|top| top.site_code != facts.top.as_str()) {
        // This site has not told of itself yet.
        return plan;
    }
    let mut held: BTreeMap<Key, &AlertRow> = BTreeMap::new();
    for row in open {
        // What a newer version noted is left to that.
        if let Ok(kind) = row.kind.parse() {
            held.insert((kind, row.site, row.subject.clone()), row);
        }
    }
    let looks = looks(facts, &held, &mut plan);
    for (key, look) in &looks {
        let Look::Wrong {
            since,
            due,
            inserts,
            mark,
            anew,
        } = look
        else {
            continue;
        };
        let is_due = *due <= facts.now;
        let (kind, site, subject) = key;
        let mut before = held.get(key).copied();
        if *anew && let Some(over) = before.take() {
            plan.end(over, facts.now);
        }
        let mut row = before.cloned().unwrap_or_else(|| AlertRow {
            id: new_id(),
            kind: kind.name().to_owned(),
            site: *site,
            subject: subject.clone(),
            since: *since,
            raised: None,
            ended: None,
            status_id: kind.raised().number(),
            inserts: inserts.clone(),
            mark: mark.clone(),
            acknowledged: None,
        });
        let mut told = Told::Nothing;
        if row.raised.is_none() {
            row.since = *since;
            row.mark.clone_from(mark);
            match is_due {
                true => {
                    row.raised = Some(facts.now);
                    row.inserts.clone_from(inserts);
                    told = Told::Raised;
                }
                false => plan.look_at(*due),
            }
        } else if kind.follows_its_text() {
            row.inserts.clone_from(inserts);
        }
        if before != Some(&row) {
            plan.write.push((row, told));
        }
    }
    for (key, row) in held {
        if looks.contains_key(&key) {
            continue;
        }
        plan.end(row, facts.now);
    }
    plan
}

/// Everything that is wrong, or cannot be seen.
fn looks(
    facts: Facts<'_>,
    held: &BTreeMap<Key, &AlertRow>,
    plan: &mut Plan,
) -> BTreeMap<Key, Look> {
    let mut looks = BTreeMap::new();
    let cut_off = cut_off(facts);
    for (_, report) in facts.hierarchy.in_tree_order() {
        let Ok(site) = report.site_code.parse::<PointId>() else {
            continue;
        };
        let at = Site {
            facts,
            report,
            site,
        };
        let mut add = |kind: Kind, look: Option<Look>| {
            if let Some(look) = look {
                looks.insert((kind, site, String::new()), look);
            }
        };
        let is_cut_off = cut_off.unseen.contains(&site);
        let held = |kind| held.get(&(kind, site, String::new())).copied();
        let unseen = |kind| (is_cut_off && held(kind).is_some()).then_some(Look::Unseen);
        let alerts = &facts.settings.alerts;
        if facts.settings.failures.alert {
            add(Kind::SyncFailed, at.failed(held(Kind::SyncFailed)));
        }
        if alerts.site_silent.enabled
            && let Some(behind) = cut_off.roots.get(&site)
        {
            let look = at.silent(held(Kind::SiteSilent), behind);
            add(Kind::SiteSilent, Some(look));
        }
        if alerts.certificate_expires.enabled {
            add(Kind::CertificateExpires, at.certificate(plan));
        }
        if alerts.site_behind.enabled {
            let look = match is_cut_off {
                true => unseen(Kind::SiteBehind),
                false => at.behind(held(Kind::SiteBehind)),
            };
            add(Kind::SiteBehind, look);
        }
        if alerts.statement_stale.enabled {
            let look = match is_cut_off {
                true => unseen(Kind::StatementStale),
                false => at.stale(plan),
            };
            add(Kind::StatementStale, look);
        }
        if let Some(floor) = alerts.disk_low.floor() {
            let look = match is_cut_off {
                true => unseen(Kind::DiskLow),
                false => at.disk(held(Kind::DiskLow), floor),
            };
            add(Kind::DiskLow, look);
        }
    }
    if facts.settings.alerts.category_vanished.enabled {
        for (id, title) in facts.vanished {
            let look = Look::Wrong {
                since: facts.now,
                due: facts.now,
                inserts: vec![title.clone(), id.to_string()],
                mark: String::new(),
                anew: false,
            };
            looks.insert((Kind::CategoryVanished, facts.top, id.to_string()), look);
        }
    }
    looks
}

/// Which sites cannot be seen.
struct CutOff {
    /// All of them.
    unseen: BTreeSet<PointId>,
    /// The highest of each branch, and what is behind it.
    roots: BTreeMap<PointId, Vec<PointId>>,
}

fn cut_off(facts: Facts<'_>) -> CutOff {
    let mut found = CutOff {
        unseen: BTreeSet::new(),
        roots: BTreeMap::new(),
    };
    let hierarchy = facts.hierarchy;
    for (_, report) in hierarchy.in_tree_order() {
        if hierarchy.is_top(report) {
            continue;
        }
        let mut chain = [report].into_iter().chain(hierarchy.ancestors(report));
        let root = chain.rfind(|site| !site.connected);
        let (Some(root), Ok(site)) = (root, report.site_code.parse()) else {
            continue;
        };
        found.unseen.insert(site);
        let Ok(root) = root.site_code.parse() else {
            continue;
        };
        let behind = found.roots.entry(root).or_default();
        if root != site {
            behind.push(site);
        }
    }
    found
}

/// A site that is looked at.
struct Site<'f> {
    facts: Facts<'f>,
    report: &'f SiteReport,
    site: PointId,
}

impl Site<'_> {
    fn name(&self) -> String {
        self.site.to_string()
    }

    /// Something that is wrong from the first moment on.
    fn wrong(&self, since: Timestamp, inserts: Vec<String>) -> Look {
        Look::Wrong {
            since: since.min(self.facts.now),
            due: self.facts.now,
            inserts,
            mark: String::new(),
            anew: false,
        }
    }

    fn failed(&self, held: Option<&AlertRow>) -> Option<Look> {
        let failure = time(self.report.last_failure.as_ref())?;
        let success = time(self.report.last_success.as_ref());
        if success.is_some_and(|success| success >= failure) {
            return None;
        }
        let since = held.map_or(failure, |row| row.since);
        Some(self.wrong(since, vec![self.name(), self.report.last_error.clone()]))
    }

    fn silent(&self, held: Option<&AlertRow>, behind: &[PointId]) -> Look {
        let Facts {
            now,
            watching_since,
            settings,
            ..
        } = self.facts;
        let since = held.map_or(now, |row| row.since);
        let after = settings.alerts.site_silent.after();
        Look::Wrong {
            since,
            due: later(since.max(watching_since), after),
            inserts: vec![self.name(), format!("{since:.0}"), named(behind)],
            mark: String::new(),
            anew: false,
        }
    }

    fn behind(&self, held: Option<&AlertRow>) -> Option<Look> {
        let Facts { now, hierarchy, .. } = self.facts;
        let after = self.facts.settings.alerts.site_behind.after();
        let how = match hierarchy.behind(self.report) {
            Behind::Current => return None,
            Behind::By { positions, .. } => format!("{positions} positions are missing"),
            Behind::Differs => "it holds another catalog".to_owned(),
        };
        let (since, mark) = match held {
            None => (now, self.mark()),
            // It came as far as it was to come, or goes forward: the time counts from here.
            Some(row) if self.has_passed(&row.mark) && self.is_worth_a_note(row, after) => {
                (now, self.mark())
            }
            Some(row) => (row.since, row.mark.clone()),
        };
        // What was missing came, and the alert is over; more is missing by now.
        let anew = since == now && held.is_some_and(|row| row.raised.is_some());
        Some(Look::Wrong {
            since,
            due: later(since, after),
            inserts: vec![self.name(), format!("{since:.0}"), how],
            mark,
            anew,
        })
    }

    /// Where a site has to come to, or stands in its first synchronization.
    fn mark(&self) -> String {
        if self.report.last_success.is_none() {
            let processed = self.report.run.as_ref().map_or(0, |run| run.processed);
            return format!("first {} {processed}", self.report.position);
        }
        let top = self.facts.hierarchy.top();
        top.map_or(0, |top| top.verified_position).to_string()
    }

    fn has_passed(&self, mark: &str) -> bool {
        match mark.parse::<u64>() {
            // A catalog that differs has come nowhere.
            Ok(target) => {
                let behind = self.facts.hierarchy.behind(self.report);
                self.report.verified_position >= target && matches!(behind, Behind::By { .. })
            }
            Err(_) => self.mark() != mark,
        }
    }

    fn is_worth_a_note(&self, row: &AlertRow, after: SignedDuration) -> bool {
        let noted = self.facts.now.duration_since(row.since);
        row.mark.parse::<u64>().is_ok() || noted >= after / PROGRESS_NOTES
    }

    fn certificate(&self, plan: &mut Plan) -> Option<Look> {
        let from = time(self.report.certificate_valid_from.as_ref())?;
        let end = time(self.report.certificate_expires.as_ref())?;
        let quarter = end.duration_since(from) / 4;
        let before = self.facts.settings.alerts.certificate_expires.before();
        let near = end.checked_sub(before.min(quarter)).unwrap_or(end);
        if self.facts.now < near {
            plan.look_at(near);
            return None;
        }
        Some(self.wrong(near, vec![self.name(), format!("{end:.0}")]))
    }

    fn stale(&self, plan: &mut Plan) -> Option<Look> {
        let statement = SignedStatement::from_bytes(&self.report.statement).ok()?;
        let statement = statement.claimed();
        if !statement.is_stale(self.facts.now) {
            plan.look_at(statement.stale_after);
            return None;
        }
        let inserts = vec![self.name(), format!("{:.0}", statement.issued)];
        Some(self.wrong(statement.stale_after, inserts))
    }

    fn disk(&self, held: Option<&AlertRow>, floor: u64) -> Option<Look> {
        if self.report.disk_total == 0 {
            return None;
        }
        let was_low = held.is_some();
        let free = self.report.disk_free;
        if !link::condition::is_low(was_low, free, floor) {
            return None;
        }
        let since = held.map_or(self.facts.now, |row| row.since);
        let total = self.report.disk_total;
        Some(self.wrong(since, vec![self.name(), size(free), size(total)]))
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Sites by name, where they are few.
fn named(sites: &[PointId]) -> String {
    if sites.is_empty() {
        return "none".to_owned();
    }
    let shown: Vec<&str> = sites.iter().take(NAMED).map(PointId::as_str).collect();
    let more = if sites.len() > NAMED { ", ..." } else { "" };
    format!("{} ({}{more})", sites.len(), shown.join(", "))
}

/// Bytes in the largest unit that has a digit before the point.
fn size(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1 << 20;
    const GIBIBYTE: u64 = 1 << 30;
    match bytes >= GIBIBYTE {
        true => format!(
            "{}.{} GiB",
            bytes / GIBIBYTE,
            bytes % GIBIBYTE * 10 / GIBIBYTE
        ),
        false => format!("{} MiB", bytes / MEBIBYTE),
    }
}

#[cfg(test)]
mod tests;
