//! Decisions that are made by themselves when updates arrive: rules for new updates, new revisions of approved
//! updates, and approved updates that their publisher withdrew.

use super::decide::permit;
use super::{Approval, Cause, Expired, Licence, Record, Subject, TitlePattern};
use crate::UpdateId;
use crate::millisecond;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// An update of which a revision arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The update with the newest revision that is held of it, and what was decided about it.
    pub subject: Subject,
    /// Whether no revision of it was held before. Rules look at new updates only; to apply them to updates
    /// that are held, say that those are new.
    pub is_new: bool,
    /// Its classification, where it has one.
    pub classification: Option<UpdateId>,
    /// Its products, and the families and companies above them.
    pub products: BTreeSet<UpdateId>,
    /// Its title.
    pub title: String,
}

/// What is decided by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutomaticRules {
    /// Whether a new revision of an approved update is approved too.
    pub approve_new_revisions: bool,
    /// Whether an approved update is declined when a new revision says that its publisher withdrew it.
    pub decline_expired: bool,
    /// The rules for new updates that are switched on. Their order does not matter.
    pub rules: Vec<Rule>,
}

/// A rule for new updates. It matches those that match everything it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which the records of its decisions carry.
    pub name: String,
    /// What it does.
    pub approval: RuleApproval,
    /// Classifications; none: all.
    pub classifications: BTreeSet<UpdateId>,
    /// Companies, families and products; none: all.
    pub products: BTreeSet<UpdateId>,
    /// What the title must be like; none: anything.
    pub title: Option<TitlePattern>,
}

/// What a rule does with the updates that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleApproval {
    /// They are approved for detection.
    Detection,
    /// They are approved for installation.
    Install {
        /// Days of 24 hours from the approval until the deadline; none: no deadline.
        deadline_days: Option<u16>,
    },
}

impl RuleApproval {
    fn at(self, now: Timestamp) -> Approval {
        match self {
            Self::Detection => Approval::Detection,
            Self::Install { deadline_days } => Approval::Install {
                deadline: deadline_days.map(|days| {
                    let later = SignedDuration::from_hours(24 * i64::from(days));
                    millisecond::cut(now.checked_add(later).unwrap_or(Timestamp::MAX))
                }),
            },
        }
    }
}

impl Rule {
    fn matches(&self, arrival: &Arrival) -> bool {
        let classification = self.classifications.is_empty()
            || arrival
                .classification
                .is_some_and(|id| self.classifications.contains(&id));
        let product = self.products.is_empty() || !self.products.is_disjoint(&arrival.products);
        let title = |pattern: &TitlePattern| pattern.matches(&arrival.title);
        classification && product && self.title.as_ref().is_none_or(title)
    }

    /// Which rule wins: install before detection, the earlier deadline, the name that sorts first.
    fn rank(&self) -> (bool, bool, Option<u16>, &str) {
        match self.approval {
            RuleApproval::Install { deadline_days } => {
                (false, deadline_days.is_none(), deadline_days, &self.name)
            }
            RuleApproval::Detection => (true, true, None, &self.name),
        }
    }
}

/// A decision that is to be stored. The record's cause says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The update.
    pub id: UpdateId,
    /// What is to be stored about it.
    pub record: Record,
}

/// What is decided by itself about updates that arrived, by update. Of an update that is given several times the
/// newest revision counts. Planning again over the result changes nothing.
///
/// * Where something was decided before, only approvals are touched: one of an older revision goes over to the
///   newest with its deadline, or ends in a decline where the publisher withdrew the update. An install whose new
///   revision has licence terms that were not accepted stays with the older revision, and so does whatever
///   may not be decided about the newest ([`super::decide`]).
/// * A new update about which nothing was decided gets what the rules say. They pass over updates that are
///   expired or have licence terms that were not accepted, and what nobody may approve.
pub fn automatic(arrivals: &[Arrival], rules: &AutomaticRules, now: Timestamp) -> Vec<Change> {
    let mut updates: BTreeMap<UpdateId, (&Arrival, bool)> = BTreeMap::new();
    for arrival in arrivals {
        let id = arrival.subject.id;
        let (newest, is_new) = updates.entry(id.update_id).or_insert((arrival, false));
        *is_new |= arrival.is_new;
        if id.revision > newest.subject.id.revision {
            *newest = arrival;
        }
    }
    let decided = |(id, (arrival, is_new)): (UpdateId, (&Arrival, bool))| {
        let record = match &arrival.subject.record {
            Some(record) => go_over(&arrival.subject, record, rules, now),
            None if is_new => by_rule(arrival, rules, now),
            None => None,
        };
        record.map(|record| Change { id, record })
    };
    updates.into_iter().filter_map(decided).collect()
}

/// What a new revision does to an approval of an older one.
fn go_over(
    subject: &Subject,
    record: &Record,
    rules: &AutomaticRules,
    now: Timestamp,
) -> Option<Record> {
    if !record.approval.is_approved() || record.revision >= subject.id.revision {
        return None;
    }
    let (approval, cause) = if subject.expired == Some(Expired::ByPublisher) {
        let decline = rules.decline_expired;
        decline.then_some((Approval::Declined, Cause::ExpiredByPublisher))?
    } else {
        let approve = rules.approve_new_revisions;
        approve.then_some((record.approval, Cause::NewRevision))?
    };
    permit(subject, approval).ok()?;
    Some(subject.record_with(approval, cause, now))
}

/// What the rules do with a new update.
fn by_rule(arrival: &Arrival, rules: &AutomaticRules, now: Timestamp) -> Option<Record> {
    let subject = &arrival.subject;
    if subject.expired.is_some() || matches!(subject.licence, Licence::NotAccepted(_)) {
        return None;
    }
    let rule = rules
        .rules
        .iter()
        .filter(|rule| rule.matches(arrival))
        .min_by_key(|rule| rule.rank())?;
    let approval = rule.approval.at(now);
    permit(subject, approval).ok()?;
    Some(subject.record_with(approval, Cause::Rule(rule.name.clone()), now))
}

#[cfg(test)]
mod tests;
