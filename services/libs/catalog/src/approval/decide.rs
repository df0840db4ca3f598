//! Whether a decision may be made, and the record that it gives.

use super::{AcceptedLicence, Approval, Cause, Record};
use crate::document::{PublicationState, Update, UpdateType};
use crate::millisecond;
use crate::{RevisionId, UpdateId};
use jiff::Timestamp;
use uuid::Uuid;

/// Who expired an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// Its publisher withdrew it.
    ByPublisher,
    /// The supersedence rules ([`crate::expiry`]).
    BySupersedence,
}

/// The licence terms of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Licence {
    /// It has none.
    None,
    /// It has terms that nobody accepted.
    NotAccepted(Uuid),
    /// It has terms that were accepted.
    Accepted(Uuid),
}

impl Licence {
    /// The licence with the terms that a document names ([`Update::eula_id`]), and whether those were
    /// accepted.
    pub fn new(eula_id: Option<Uuid>, is_accepted: impl FnOnce(Uuid) -> bool) -> Self {
        match eula_id {
            None => Self::None,
            Some(id) if is_accepted(id) => Self::Accepted(id),
            Some(id) => Self::NotAccepted(id),
        }
    }
}

/// What a decision is about: the newest revision of an update, and what was decided before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The update and its newest revision.
    pub id: RevisionId,
    /// What kind of update it is.
    pub update_type: UpdateType,
    /// Whether an administrator approves it by itself; if not, it goes with what bundles it.
    pub explicitly_deployable: bool,
    /// Whether it can be removed again ([`Update::is_uninstallable`]).
    pub is_uninstallable: bool,
    /// Whether it is expired, and who says so.
    pub expired: Option<Expired>,
    /// Its licence terms.
    pub licence: Licence,
    /// What was decided before.
    pub record: Option<Record>,
}

impl Subject {
    /// What a decision about `update` goes by. Whether the supersedence rules expired it, and whether the same
    /// licence terms were accepted with another update, is for the caller to add.
    pub fn new(update: &Update, record: Option<Record>) -> Self {
        let accepted = record
            .as_ref()
            .and_then(|record| record.accepted_licence.as_ref())
            .map(|licence| licence.terms);
        Self {
            id: update.id,
            update_type: update.update_type,
            explicitly_deployable: update.explicitly_deployable,
            is_uninstallable: update.is_uninstallable(),
            expired: match update.publication_state {
                PublicationState::Published => None,
                PublicationState::Expired => Some(Expired::ByPublisher),
            },
            licence: Licence::new(update.eula_id, |id| accepted == Some(id)),
            record,
        }
    }

    /// Whether this is so already.
    fn has(&self, wanted: Approval) -> bool {
        match &self.record {
            None => wanted == Approval::NotApproved,
            Some(record) => {
                let is_about_it = record.revision >= self.id.revision || !wanted.is_approved();
                record.approval == wanted && is_about_it
            }
        }
    }

    /// The record with another approval.
    pub(super) fn record_with(&self, approval: Approval, cause: Cause, now: Timestamp) -> Record {
        Record {
            approval,
            revision: self.id.revision,
            cause,
            changed_at: millisecond::cut(now),
            accepted_licence: self
                .record
                .as_ref()
                .and_then(|record| record.accepted_licence.clone()),
        }
    }
}

/// Why a decision is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not an update.
    #[error("{id} is a {}, and only updates are approved or declined", kind.name().to_ascii_lowercase())]
    NotAnUpdate {
        /// The category or detectoid.
        id: UpdateId,
        /// What it is.
        kind: UpdateType,
    },
    /// A part of other updates.
    #[error(
        "{0} is a part of other updates and goes with them: approve or decline the update that bundles it"
    )]
    PartOfOthers(UpdateId),
    /// Withdrawn.
    #[error(
        "{0} was expired by its publisher and cannot be approved for install: approve what replaces it"
    )]
    ExpiredByPublisher(UpdateId),
    /// Replaced for long enough.
    #[error(
        "{0} was expired by the supersedence rules and cannot be approved for install: \
         approve what supersedes it, or lengthen the rules"
    )]
    ExpiredBySupersedence(UpdateId),
    /// Licence terms that nobody accepted.
    #[error(
        "{0} has licence terms that were not accepted: \
         read them, accept the licence terms of this update, and approve it for install then"
    )]
    LicenceNotAccepted(UpdateId),
    /// No licence terms.
    #[error("{0} has no licence terms to accept")]
    NoLicence(UpdateId),
    /// It stays once it is installed.
    #[error("{0} cannot be removed: its publisher provides no way to uninstall it")]
    NotUninstallable(UpdateId),
}

/// Decides about an update. `Ok(None)` where it is so already; asking again changes nothing and is never
/// refused, nor is taking a decision back. A declined update can be approved again. Repeating an approval that
/// was given to an older revision approves the newest.
///
/// # Errors
/// When this may not be decided; nothing changes then.
pub fn decide(
    subject: &Subject,
    wanted: Approval,
    cause: Cause,
    now: Timestamp,
) -> Result<Option<Record>, Refusal> {
    let wanted = wanted.as_stored();
    if subject.has(wanted) {
        return Ok(None);
    }
    permit(subject, wanted)?;
    Ok(Some(subject.record_with(wanted, cause, now)))
}

/// Accepts the licence terms of an update and leaves its approval as it is. `Ok(None)` where they were
/// accepted before, with this update or with another.
///
/// # Errors
/// When it has no licence terms.
pub fn accept_licence(
    subject: &Subject,
    person: &str,
    now: Timestamp,
) -> Result<Option<Record>, Refusal> {
    let terms = match subject.licence {
        Licence::None => return Err(Refusal::NoLicence(subject.id.update_id)),
        Licence::Accepted(_) => return Ok(None),
        Licence::NotAccepted(terms) => terms,
    };
    let before = subject.record.clone().unwrap_or_else(|| {
        let cause = Cause::Person(person.to_owned());
        subject.record_with(Approval::NotApproved, cause, now)
    });
    let accepted = AcceptedLicence {
        terms,
        person: person.to_owned(),
        at: millisecond::cut(now),
    };
    Ok(Some(Record {
        accepted_licence: Some(accepted),
        ..before
    }))
}

/// Whether an update may be approved so.
pub(super) fn permit(subject: &Subject, wanted: Approval) -> Result<(), Refusal> {
    let id = subject.id.update_id;
    if wanted == Approval::NotApproved {
        return Ok(());
    }
    match subject.update_type {
        UpdateType::Software | UpdateType::Driver => {}
        kind @ (UpdateType::Category(_) | UpdateType::Detectoid) => {
            return Err(Refusal::NotAnUpdate { id, kind });
        }
    }
    if !subject.explicitly_deployable {
        return Err(Refusal::PartOfOthers(id));
    }
    match wanted {
        Approval::Install { .. } => match (subject.expired, subject.licence) {
            (Some(Expired::ByPublisher), _) => Err(Refusal::ExpiredByPublisher(id)),
            (Some(Expired::BySupersedence), _) => Err(Refusal::ExpiredBySupersedence(id)),
            (None, Licence::NotAccepted(_)) => Err(Refusal::LicenceNotAccepted(id)),
            (None, Licence::None | Licence::Accepted(_)) => Ok(()),
        },
        Approval::Removal { .. } if !subject.is_uninstallable => Err(Refusal::NotUninstallable(id)),
        Approval::Removal { .. }
        | Approval::NotApproved
        | Approval::Detection
        | Approval::Declined => Ok(()),
    }
}

#[cfg(test)]
mod tests;
