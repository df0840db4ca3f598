//! Updates that are declined because they are expired or superseded.

use super::is_past;
use crate::UpdateId;
use crate::approval::Approval;
use crate::supersedence::Supersedence;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What declining wants to know about an update. Categories and detectoids are none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclineFacts {
    /// The update.
    pub id: UpdateId,
    /// Whether an administrator approves or declines it by itself. What is a part of others is left alone,
    /// whatever becomes of them.
    pub explicitly_deployable: bool,
    /// Whether it is an update of the update agent itself.
    pub is_mandatory: bool,
    /// What was decided about it.
    pub approval: Approval,
    /// When that was, if anything was decided.
    pub decided_at: Option<Timestamp>,
    /// Until when it may have been approved for install or removal, if it ever was: only the last decision is
    /// known, so each counts that may have taken back such an approval.
    pub deployed_until: Option<Timestamp>,
    /// Since when it is held.
    pub held_since: Timestamp,
    /// Since when it is expired, by its publisher or by the supersedence rules, if it is.
    pub expired_since: Option<Timestamp>,
    /// What it supersedes directly, as its newest revision says.
    pub superseded: Vec<UpdateId>,
}

/// What is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclineRules {
    /// Whether expired updates are that are not approved.
    pub expired: bool,
    /// Whether superseded updates are that are not approved, where what supersedes them is.
    pub superseded: bool,
    /// Days that an update has to be expired; days that a superseded one has to be held, and nothing decided
    /// about it.
    pub days: u16,
    /// Days that a superseded update has to be without an approval for install or removal.
    pub undeployed_days: u16,
}

/// Why an update is declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is expired.
    Expired {
        /// Since when.
        since: Timestamp,
    },
    /// It is superseded by an approved update.
    Superseded {
        /// That one; of several the one whose identifier sorts first.
        by: UpdateId,
    },
}

/// An update that is to be declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decline {
    /// The update.
    pub id: UpdateId,
    /// Why.
    pub reason: Reason,
}

/// Updates that are to be declined, by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeclinePlan {
    /// The updates.
    pub declines: Vec<Decline>,
    /// Where to go on, if there are more: the `after` of the next plan.
    pub next: Option<UpdateId>,
    /// How many more there are.
    pub left: usize,
}

/// Plans at most `most` declines of updates behind `after`. `updates` is the whole catalog, each update once.
/// Applying the plans one after the other comes to the same as applying one plan of all, and planning again over
/// the result gives nothing.
///
/// An update that is approved for install or removal is never declined. Approval for detection is no obstacle,
/// because nothing is deployed by it. A superseded update is declined when it is not mandatory, was held, and
/// nothing was decided about it, for `days`, was not deployed for `undeployed_days`, and an update that supersedes
/// it, directly or through others, is approved for install and not expired. Updates that supersede each other do not
/// count for each other.
pub fn decline(
    updates: &[DeclineFacts],
    rules: DeclineRules,
    after: Option<UpdateId>,
    most: usize,
    now: Timestamp,
) -> DeclinePlan {
    let facts: BTreeMap<UpdateId, &DeclineFacts> =
        updates.iter().map(|update| (update.id, update)).collect();
    let approved_successors = if rules.superseded {
        let lists = updates
            .iter()
            .map(|update| (update.id, update.superseded.iter().copied()));
        Supersedence::new(lists).least_superseding(|newer| {
            let newer = facts.get(&newer)?;
            let counts =
                matches!(newer.approval, Approval::Install { .. }) && newer.expired_since.is_none();
            counts.then_some(newer.id)
        })
    } else {
        BTreeMap::new()
    };
    let reason = |update: &DeclineFacts| {
        let is_open = matches!(update.approval, Approval::NotApproved | Approval::Detection);
        if !is_open || !update.explicitly_deployable {
            return None;
        }
        let expired_since = update
            .expired_since
            .filter(|since| rules.expired && is_past(*since, rules.days, now));
        if let Some(since) = expired_since {
            return Some(Reason::Expired { since });
        }
        if update.is_mandatory {
            return None;
        }
        let by = *approved_successors.get(&update.id)?;
        let has_passed =
            |since: Option<Timestamp>, days| since.is_none_or(|since| is_past(since, days, now));
        let is_quiet = is_past(update.held_since, rules.days, now)
            && has_passed(update.decided_at, rules.days)
            && has_passed(update.deployed_until, rules.undeployed_days);
        is_quiet.then_some(Reason::Superseded { by })
    };
    let mut found = facts
        .values()
        .filter(|update| after.is_none_or(|after| update.id > after))
        .filter_map(|update| {
            reason(update).map(|reason| Decline {
                id: update.id,
                reason,
            })
        });
    let declines: Vec<Decline> = found.by_ref().take(most).collect();
    let left = found.count();
    let next = match left {
        0 => None,
        _ => declines.last().map(|decline| decline.id).or(after),
    };
    DeclinePlan {
        declines,
        next,
        left,
    }
}
