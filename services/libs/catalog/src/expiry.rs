//! Which superseded updates expire: the supersedence rules.
//!
//! An update expires when something that replaces it has been out for long enough. Expired updates are
//! flagged and stay; nothing new is deployed of them. When the rules or the catalog change, a flag goes
//! again.

mod record;

pub use record::RecordError;

use crate::UpdateId;
use crate::millisecond;
use crate::supersedence::Supersedence;
use crate::well_known::{DEFINITION_UPDATES, SERVICE_PACKS, UPGRADES};
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use std::collections::BTreeMap;

/// How long superseded updates stay, in months from the creation of what supersedes them; 0 is not at
/// all. A month later is the same day and time of the next month in UTC, or the month's last day where it
/// has no such day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Feature updates: classification Upgrades.
    pub feature_update_months: u8,
    /// All other updates. Definition updates never expire.
    pub other_update_months: u8,
}

/// What the rules want to know about an update. Categories and detectoids are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The update.
    pub id: UpdateId,
    /// Its classification, where it has one.
    pub classification: Option<UpdateId>,
    /// When it was created: the earliest date that a revision of it is known to say. A revision says when it was
    /// published itself, and a new one makes no new update.
    pub creation_date: Timestamp,
    /// Whether its publisher withdrew it.
    pub is_expired_by_publisher: bool,
    /// Whether it was declined.
    pub is_declined: bool,
    /// What it supersedes directly, as its newest revision says.
    pub superseded: Vec<UpdateId>,
}

/// Why an update is expired. It does not depend on when the rules are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Expiry {
    /// Since when: the creation of what supersedes it, and the months of the rule. To the millisecond.
    pub since: Timestamp,
    /// The update that supersedes it, directly or through others.
    pub by: UpdateId,
}

/// What is to be done to the flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Updates that are to be flagged as expired, or are flagged for another reason than this.
    pub expire: BTreeMap<UpdateId, Expiry>,
    /// Updates whose flag is to go, because the rules do not expire them any more, or they are gone.
    pub restore: Vec<UpdateId>,
    /// When the next flag is due, if nothing else happens: planning before that time gives nothing.
    pub next: Option<Timestamp>,
}

impl Plan {
    /// Whether every flag is as the rules want it.
    pub fn is_empty(&self) -> bool {
        self.expire.is_empty() && self.restore.is_empty()
    }
}

/// When updates were created, of what their revisions say, those that are held no more among them.
pub fn creation_dates(
    said: impl IntoIterator<Item = (UpdateId, Timestamp)>,
) -> BTreeMap<UpdateId, Timestamp> {
    let mut dates = BTreeMap::new();
    for (id, said) in said {
        let date = dates.entry(id).or_insert(said);
        *date = said.min(*date);
    }
    dates
}

/// Compares the flags with what the rules want at `now`. `updates` is the whole catalog, each update
/// once; `flagged` is what is flagged. Planning again over the result gives an empty plan.
///
/// Of an update that several others supersede, directly or through others, the one counts whose time
/// came first. These do not count, though what supersedes them in turn does:
/// * updates that the catalog does not hold, and updates that were declined or withdrawn;
/// * updates that it supersedes itself. So a cycle alone expires nothing, and what supersedes one of a
///   cycle from outside supersedes all of it.
///
/// What a service pack supersedes is not counted at all, so what is superseded only by a service pack,
/// or only through one, never expires. Definition updates never expire. What its publisher withdrew is
/// expired anyway, and its flag is left as it is.
pub fn plan(
    updates: &[Facts],
    flagged: &BTreeMap<UpdateId, Expiry>,
    rules: Rules,
    now: Timestamp,
) -> Plan {
    let facts: BTreeMap<UpdateId, &Facts> =
        updates.iter().map(|update| (update.id, update)).collect();
    let relations = Supersedence::new(
        facts
            .values()
            .filter(|update| update.classification != Some(SERVICE_PACKS.id))
            .map(|update| (update.id, update.superseded.iter().copied())),
    );
    let earliest = |months: u8| {
        relations.least_superseding(|newer| {
            let newer = facts.get(&newer)?;
            if newer.is_expired_by_publisher || newer.is_declined {
                return None;
            }
            let since = months_later(newer.creation_date, months)?;
            Some(Expiry {
                since,
                by: newer.id,
            })
        })
    };
    let of_feature_updates = earliest(rules.feature_update_months);
    let of_other_updates = earliest(rules.other_update_months);

    let mut plan = Plan::default();
    for (&id, update) in &facts {
        if update.is_expired_by_publisher {
            continue;
        }
        let expiry = match update.classification {
            Some(class) if class == DEFINITION_UPDATES.id => None,
            Some(class) if class == UPGRADES.id => of_feature_updates.get(&id),
            _ => of_other_updates.get(&id),
        };
        if let Some(expiry) = expiry.filter(|expiry| expiry.since > now) {
            let next = plan.next.unwrap_or(expiry.since);
            plan.next = Some(next.min(expiry.since));
        }
        match expiry.filter(|expiry| expiry.since <= now) {
            Some(expiry) if flagged.get(&id) == Some(expiry) => {}
            Some(expiry) => {
                plan.expire.insert(id, *expiry);
            }
            None if flagged.contains_key(&id) => plan.restore.push(id),
            None => {}
        }
    }
    let gone = flagged.keys().filter(|id| !facts.contains_key(id));
    plan.restore.extend(gone);
    plan.restore.sort_unstable();
    plan
}

/// The same day and time some months later in UTC. None beyond the end of time.
fn months_later(time: Timestamp, months: u8) -> Option<Timestamp> {
    let later = Offset::UTC
        .to_datetime(time)
        .checked_add(i32::from(months).months())
        .ok()?;
    Offset::UTC.to_timestamp(later).ok().map(millisecond::cut)
}

#[cfg(test)]
mod tests;
