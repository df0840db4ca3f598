//! What was decided about updates, as it is shown with them. Reads the verified catalog alone, so every site can
//! show it.

use crate::reading::internal;
use catalog::UpdateId;
use catalog::approval::{Approval, Record};
use catalog::item::ItemKey;
use std::collections::HashMap;
use store::Read;
use tonic::Status;
use uuid::Uuid;
use wire::convert::from_timestamp;
use wire::v1;

/// Records that are read at a time when all of them are.
const PAGE: u32 = 1000;

/// Which updates a list is about, by what was decided about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// All but those that were declined.
    NotDeclined,
    /// All.
    Any,
    /// Those that are approved for something.
    Approved,
    /// Those with this word.
    Exactly(&'static str),
}

impl Filter {
    /// The filter of its word.
    pub(crate) fn new(word: &str) -> Result<Self, Status> {
        Ok(match word {
            "" => Self::NotDeclined,
            "any" => Self::Any,
            "approved" => Self::Approved,
            "not-approved" => Self::Exactly(Approval::NotApproved.name()),
            "detection" => Self::Exactly(Approval::Detection.name()),
            "install" => Self::Exactly(Approval::Install { deadline: None }.name()),
            "removal" => Self::Exactly(Approval::Removal { deadline: None }.name()),
            "declined" => Self::Exactly(Approval::Declined.name()),
            _ => {
                return Err(Status::invalid_argument(
                    "there is no such approval: any, not-approved, approved, detection, install, removal or \
                     declined",
                ));
            }
        })
    }

    /// Whether an update is meant of which this was decided. What cannot be read is no decision of any kind.
    pub(crate) fn fits(self, decided: Option<&Decided>) -> bool {
        let approval = match decided {
            Some(Decided::Read(record)) => record.approval,
            Some(Decided::Unreadable) => return matches!(self, Self::NotDeclined | Self::Any),
            None => Approval::default(),
        };
        match self {
            Self::NotDeclined => approval != Approval::Declined,
            Self::Any => true,
            Self::Approved => approval.is_approved(),
            Self::Exactly(word) => approval.name() == word,
        }
    }
}

/// What was decided about an update.
#[derive(Debug)]
pub(crate) enum Decided {
    Read(Record),
    /// Something that cannot be read; verifying the site may find out why.
    Unreadable,
}

impl Decided {
    fn of(update: UpdateId, bytes: &[u8]) -> Self {
        match Record::from_bytes(bytes) {
            Ok(record) => Self::Read(record),
            Err(error) => {
                tracing::error!(%error, %update, "what was decided cannot be read");
                Self::Unreadable
            }
        }
    }

    /// The record, where it can be read.
    pub(crate) fn record(&self) -> Option<&Record> {
        match self {
            Self::Read(record) => Some(record),
            Self::Unreadable => None,
        }
    }
}

/// What was decided about these updates.
pub(crate) async fn decided(
    read: &mut Read<'_>,
    updates: impl Iterator<Item = UpdateId>,
) -> Result<HashMap<UpdateId, Decided>, Status> {
    let keys: Vec<ItemKey> = updates.map(ItemKey::Approval).collect();
    let contents = read.contents(&keys).await.map_err(internal)?;
    let decided = contents.into_iter().filter_map(|(key, bytes)| match key {
        ItemKey::Approval(id) => Some((id, Decided::of(id, &bytes))),
        ItemKey::Revision(_) | ItemKey::Settings | ItemKey::Expiry(_) => None,
    });
    Ok(decided.collect())
}

/// The approval as it travels.
pub fn approval(approval: Approval) -> v1::Approval {
    match approval {
        Approval::NotApproved => v1::Approval::NotApproved,
        Approval::Detection => v1::Approval::Detection,
        Approval::Install { .. } => v1::Approval::Install,
        Approval::Removal { .. } => v1::Approval::Removal,
        Approval::Declined => v1::Approval::Declined,
    }
}

/// A decision as it travels.
pub(crate) fn decision(record: &Record) -> v1::Decision {
    v1::Decision {
        approval: approval(record.approval).into(),
        deadline: record.approval.deadline().map(from_timestamp),
        revision: record.revision,
        decided_by: record.cause.to_string(),
        changed_at: Some(from_timestamp(record.changed_at)),
    }
}

/// The licence terms of an update, where it has some, and whether they were accepted, with it or with another.
pub(crate) async fn licence(
    read: &mut Read<'_>,
    terms: Option<Uuid>,
    record: Option<&Record>,
) -> Result<Option<v1::Licence>, Status> {
    let Some(terms) = terms else { return Ok(None) };
    let accepted = record
        .and_then(|record| record.accepted_licence.as_ref())
        .filter(|accepted| accepted.terms == terms);
    let is_accepted = accepted.is_some() || accepted_elsewhere(read, terms).await?;
    Ok(Some(v1::Licence {
        terms: terms.to_string(),
        accepted: is_accepted,
        accepted_by: accepted.map_or_else(String::new, |accepted| accepted.person.clone()),
        accepted_at: accepted.map(|accepted| from_timestamp(accepted.at)),
    }))
}

async fn accepted_elsewhere(read: &mut Read<'_>, terms: Uuid) -> Result<bool, Status> {
    let mut after = 0;
    loop {
        let rows = read.approvals_after(after, PAGE).await.map_err(internal)?;
        let Some((last, ..)) = rows.last() else {
            return Ok(false);
        };
        after = *last;
        for (_, id, bytes) in rows {
            let decided = Decided::of(id, &bytes);
            let accepted = decided
                .record()
                .and_then(|record| record.accepted_licence.as_ref());
            if accepted.is_some_and(|accepted| accepted.terms == terms) {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::approval::Cause;
    use jiff::Timestamp;

    #[test]
    fn a_list_shows_what_its_word_says() {
        let record = |approval| {
            Decided::Read(Record {
                approval,
                revision: 1,
                cause: Cause::Cleanup,
                changed_at: Timestamp::UNIX_EPOCH,
                accepted_licence: None,
            })
        };
        let install = Approval::Install {
            deadline: Some(Timestamp::UNIX_EPOCH),
        };
        let all = [
            None,
            Some(record(Approval::NotApproved)),
            Some(record(Approval::Detection)),
            Some(record(install)),
            Some(record(Approval::Declined)),
            Some(Decided::of(UpdateId::from_u128(1), b"no record")),
        ];
        for (word, expected) in [
            ("", [true, true, true, true, false, true]),
            ("any", [true; 6]),
            ("approved", [false, false, true, true, false, false]),
            ("not-approved", [true, true, false, false, false, false]),
            ("detection", [false, false, true, false, false, false]),
            ("install", [false, false, false, true, false, false]),
            ("removal", [false; 6]),
            ("declined", [false, false, false, false, true, false]),
        ] {
            let filter = Filter::new(word).unwrap();
            let shown = all.each_ref().map(|decided| filter.fits(decided.as_ref()));
            assert_eq!(shown, expected, "{word}");
        }
        let refused = Filter::new("aproved").unwrap_err();
        assert!(refused.message().contains("not-approved"), "{refused}");
    }
}
