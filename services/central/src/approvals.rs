//! Approvals at the top-level site: what a decision goes by, what is decided by itself when updates arrive, and
//! what a person decides. The rules are `catalog::approval`'s; here they get their facts, and their results a
//! place in the log.

mod automatic;
mod decide;
mod terms;

pub(crate) use automatic::{ByItself, DecidedThrough};
pub use decide::{Decided, Verdict, Wanted};
pub(crate) use terms::AcceptedTerms;

use crate::decisions::ItemChange;
use crate::ingest::WsusUpstream;
use catalog::approval::{Expired, Licence, Record, Subject};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::{UpdateId, codec, document};
use std::collections::HashMap;
use store::query::RevisionRow;
use store::{Error, Tx};

fn corrupt(what: impl std::fmt::Display) -> Error {
    Error::Corrupt {
        what: what.to_string(),
    }
}

fn header_of(row: &RevisionRow) -> Result<RevisionHeader, Error> {
    RevisionHeader::from_bytes(&row.header)
        .map_err(|error| corrupt(format_args!("{}: {error}", row.id)))
}

/// What was decided about some updates, in force or not.
#[derive(Debug, Default)]
struct Records {
    read: HashMap<UpdateId, Record>,
    /// Those of which it cannot be read, and why: nothing is decided about them before that is mended.
    unreadable: HashMap<UpdateId, String>,
}

impl Records {
    async fn of(tx: &mut Tx<'_>, updates: &[UpdateId]) -> Result<Self, Error> {
        let keys: Vec<ItemKey> = updates.iter().copied().map(ItemKey::Approval).collect();
        let contents = tx.contents(&keys).await?;
        let mut records = Self::default();
        for update in updates {
            let Some(bytes) = contents.get(&ItemKey::Approval(*update)) else {
                continue;
            };
            match Record::from_bytes(bytes) {
                Ok(record) => drop(records.read.insert(*update, record)),
                Err(error) => {
                    tracing::error!(%update, %error, "what was decided about an update cannot be read");
                    records.unreadable.insert(*update, error.to_string());
                }
            }
        }
        Ok(records)
    }
}

fn to_put(update: UpdateId, record: &Record) -> ItemChange {
    ItemChange::Put {
        key: ItemKey::Approval(update),
        content: record.to_bytes(),
    }
}

impl WsusUpstream {
    /// What a decision about a revision goes by: its document, what was decided before, and what else is known
    /// of the update. This is the one place where it is put together.
    async fn subject(
        &self,
        tx: &mut Tx<'_>,
        row: &RevisionRow,
        record: Option<Record>,
    ) -> Result<Subject, Error> {
        let unreadable = |error: &dyn std::fmt::Display| {
            corrupt(format_args!("document of {}: {error}", row.id))
        };
        let stored = tx.document_at(row.position).await?.unwrap_or_default();
        let text = codec::decompress(&stored).map_err(|error| unreadable(&error))?;
        let update = document::parse(&text).map_err(|error| unreadable(&error))?;
        let mut subject = Subject::new(&update, record);
        let flag = ItemKey::Expiry(row.id.update_id);
        if subject.expired.is_none() && !tx.contents(&[flag]).await?.is_empty() {
            subject.expired = Some(Expired::BySupersedence);
        }
        if let Licence::NotAccepted(terms) = subject.licence
            && self.are_accepted(tx, terms).await?
        {
            subject.licence = Licence::Accepted(terms);
        }
        Ok(subject)
    }
}
