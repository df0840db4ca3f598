//! Approvals: what was decided about an update, by whom, and what may be decided.
//!
//! The top-level site decides; what it decided is an item of the catalog like the updates themselves. An
//! update about which nothing was decided has no record and is not approved.

mod automatic;
mod decide;
mod pattern;
mod record;

pub use automatic::{Arrival, AutomaticRules, Change, Rule, RuleApproval, automatic};
pub use decide::{Expired, Licence, Refusal, Subject, accept_licence, decide};
pub use pattern::{MAX_PATTERN_BYTES, PatternError, TitlePattern};
pub use record::RecordError;

use crate::millisecond;
use jiff::Timestamp;
use std::fmt;
use uuid::Uuid;

/// What is to happen with an update. A deadline in the past means now; it is kept as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Approval {
    /// Nothing was decided, or the decision was taken back.
    #[default]
    NotApproved,
    /// Clients say whether they need it, and install nothing.
    Detection,
    /// Clients install it.
    Install {
        /// When they must have, if ever.
        deadline: Option<Timestamp>,
    },
    /// Clients remove it.
    Removal {
        /// When they must have, if ever.
        deadline: Option<Timestamp>,
    },
    /// It is hidden from clients and from most lists.
    Declined,
}

impl Approval {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotApproved => "not approved",
            Self::Detection => "detection",
            Self::Install { .. } => "install",
            Self::Removal { .. } => "removal",
            Self::Declined => "declined",
        }
    }

    /// When clients must have done it, if ever.
    pub const fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::Install { deadline } | Self::Removal { deadline } => deadline,
            Self::NotApproved | Self::Detection | Self::Declined => None,
        }
    }

    /// Whether it is approved for anything. Only then does it matter which revision is meant.
    pub const fn is_approved(self) -> bool {
        match self {
            Self::Detection | Self::Install { .. } | Self::Removal { .. } => true,
            Self::NotApproved | Self::Declined => false,
        }
    }

    /// Whether clients change anything because of it.
    pub const fn is_deployed(self) -> bool {
        match self {
            Self::Install { .. } | Self::Removal { .. } => true,
            Self::NotApproved | Self::Detection | Self::Declined => false,
        }
    }

    /// The same with its deadline to the millisecond, as it is stored.
    fn as_stored(self) -> Self {
        match self {
            Self::Install { deadline } => Self::Install {
                deadline: deadline.map(millisecond::cut),
            },
            Self::Removal { deadline } => Self::Removal {
                deadline: deadline.map(millisecond::cut),
            },
            Self::NotApproved | Self::Detection | Self::Declined => self,
        }
    }
}

impl fmt::Display for Approval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.deadline() {
            Some(deadline) => write!(f, " by {deadline}"),
            None => Ok(()),
        }
    }
}

/// Who or what decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A person, by the name that they signed in with.
    Person(String),
    /// A rule for new updates, by its name.
    Rule(String),
    /// A new revision of an approved update is approved like the one before.
    NewRevision,
    /// The publisher withdrew an approved update.
    ExpiredByPublisher,
    /// The cleanup after a synchronization.
    Cleanup,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(name) => f.write_str(name),
            Self::Rule(name) => write!(f, "rule {name}"),
            Self::NewRevision => f.write_str("new revision of an approved update"),
            Self::ExpiredByPublisher => f.write_str("expired by its publisher"),
            Self::Cleanup => f.write_str("cleanup"),
        }
    }
}

/// What was decided about an update. Times are to the millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What is to happen with it.
    pub approval: Approval,
    /// The revision about which that was decided: what is approved is this one and not a newer one.
    /// [`Approval::NotApproved`] and [`Approval::Declined`] hold for every revision.
    pub revision: u32,
    /// Who or what decided last.
    pub cause: Cause,
    /// When that was.
    pub changed_at: Timestamp,
    /// The licence terms of this update that were accepted last. Other terms, in a later revision, have to be
    /// accepted anew.
    pub accepted_licence: Option<AcceptedLicence>,
}

/// Licence terms that somebody accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedLicence {
    /// The terms (`EulaID`).
    pub terms: Uuid,
    /// Who accepted them.
    pub person: String,
    /// When that was, to the millisecond.
    pub at: Timestamp,
}
