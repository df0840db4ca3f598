//! Licence terms that somebody accepted: with one update for all that have the same.

use crate::ingest::WsusUpstream;
use catalog::approval::Record;
use std::collections::HashSet;
use std::sync::PoisonError;
use store::{Error, Tx};
use uuid::Uuid;

/// Records that are read at a time.
const PAGE: u32 = 1000;

/// The terms that were accepted, as far as the log was read. Nobody takes an acceptance back.
#[derive(Debug, Clone, Default)]
pub(crate) struct AcceptedTerms {
    /// The history that `through` belongs to: the epoch, and how often changes were thrown away in it.
    history: (Uuid, u64),
    through: u64,
    terms: HashSet<Uuid>,
}

impl WsusUpstream {
    /// Whether terms were accepted, with whatever update. Reads what is new in the log since it was asked last.
    pub(super) async fn are_accepted(&self, tx: &mut Tx<'_>, terms: Uuid) -> Result<bool, Error> {
        let verified = tx.positions().verified;
        let history = (tx.positions().epoch, tx.positions().generation);
        // Holds one value that is replaced whole.
        let held = || self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = held().clone();
        if known.history != history {
            known = AcceptedTerms {
                history,
                ..AcceptedTerms::default()
            };
        }
        let mut after = known.through;
        let mut unsigned = HashSet::new();
        loop {
            let rows = tx.approvals_after(after, PAGE).await?;
            let Some((last, ..)) = rows.last() else { break };
            after = *last;
            for (position, _, bytes) in rows {
                // One that cannot be read accepts nothing; who decides about its update is told.
                let record = Record::from_bytes(&bytes).ok();
                let Some(accepted) = record.and_then(|record| record.accepted_licence) else {
                    continue;
                };
                // What is not signed may belong to this unit of work alone, which may come to nothing.
                match position <= verified {
                    true => known.terms.insert(accepted.terms),
                    false => unsigned.insert(accepted.terms),
                };
            }
        }
        known.through = verified;
        let are_accepted = known.terms.contains(&terms) || unsigned.contains(&terms);
        *held() = known;
        Ok(are_accepted)
    }
}
