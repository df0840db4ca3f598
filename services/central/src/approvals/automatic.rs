//! What is decided by itself about updates that arrived since the last statement. Which those are the log tells,
//! so a run that was broken off leaves none out; planning again over what was decided changes nothing.

use super::{Records, header_of, to_put};
use crate::decisions::put;
use crate::ingest::WsusUpstream;
use catalog::approval::{Arrival, AutomaticRules, Change, Licence, Record, Subject, automatic};
use catalog::category::Category;
use catalog::document::{CategoryType, PublicationState, UpdateType};
use catalog::header::RevisionHeader;
use catalog::{RevisionId, UpdateId};
use jiff::Timestamp;
use journal::{Journal, StatusId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::PoisonError;
use store::{Error, Tx};
use uuid::Uuid;

/// Revisions that are looked at together, and decided about in one unit of work.
const PAGE: u32 = match cfg!(feature = "simulation") {
    true => 40,
    false => 500,
};
/// Categories stand no deeper: there are companies, families and products.
const DEEPEST: u32 = 16;

/// How far arrivals were decided about, so that none is looked at twice in vain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DecidedThrough {
    /// The history that `position` belongs to: the epoch, and how often changes were thrown away in it.
    history: (Uuid, u64),
    position: u64,
}

/// What was decided by itself: how often, by what was done and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ByItself(BTreeMap<(&'static str, String), u64>);

impl ByItself {
    fn add(&mut self, changes: &[Change]) {
        for Change { record, .. } in changes {
            let what = (record.approval.name(), record.cause.to_string());
            *self.0.entry(what).or_default() += 1;
        }
    }

    /// Adds what else was decided.
    pub(crate) fn join(&mut self, more: Self) {
        for (what, count) in more.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Says it in the journal, if there is anything to say.
    pub(crate) async fn tell(&self, journal: &Journal, run: Option<Uuid>) {
        let count: u64 = self.0.values().sum();
        if count > 0 {
            let inserts = vec![count.to_string(), self.to_string()];
            journal
                .record(StatusId::DecidedByItself, run, inserts)
                .await;
        }
    }
}

impl fmt::Display for ByItself {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, ((what, why), count)) in self.0.iter().enumerate() {
            let parting = if number == 0 { "" } else { "; " };
            write!(f, "{parting}{count} {what} ({why})")?;
        }
        Ok(())
    }
}

/// One look at the arrivals.
struct Look {
    rules: AutomaticRules,
    now: Timestamp,
    /// Categories that arrivals stand in, and those above them; none where the source never gave one out.
    categories: HashMap<UpdateId, Option<Category>>,
    decided: ByItself,
}

impl WsusUpstream {
    /// Decides about what arrived and is committed, page by page, each a unit of work. What the end of a run does
    /// before it signs, so that little is left for the unit of work that does.
    ///
    /// # Errors
    /// When the database fails. What was decided by then stays.
    pub(crate) async fn settle(&self) -> Result<ByItself, Error> {
        let mut look = self.look();
        loop {
            // What a loss of power undoes is decided again, before the statement.
            let mut tx = self.store.begin_repeatable().await?;
            let after = self.decided_through(&tx);
            let Some(position) = self.decide_page(&mut tx, after, &mut look).await? else {
                return Ok(look.decided);
            };
            let history = (tx.positions().epoch, tx.positions().generation);
            tx.commit().await?;
            let through = DecidedThrough { history, position };
            *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = through;
        }
    }

    /// Decides about all that arrived and was not decided about, within the unit of work that signs it.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn decide_arrivals(&self, tx: &mut Tx<'_>) -> Result<ByItself, Error> {
        let mut look = self.look();
        let mut after = self.decided_through(tx);
        while let Some(through) = self.decide_page(tx, after, &mut look).await? {
            after = through;
        }
        Ok(look.decided)
    }

    fn look(&self) -> Look {
        Look {
            rules: self.settings.borrow().approvals.automatic(),
            now: self.ambient.now(),
            categories: HashMap::new(),
            decided: ByItself::default(),
        }
    }

    /// Has all that waits for its statement looked at again: what was decided meanwhile may concern it.
    pub(super) fn look_again_at_arrivals(&self) {
        *self.decided.lock().unwrap_or_else(PoisonError::into_inner) = DecidedThrough::default();
    }

    /// The position after which nobody looked at what arrived.
    fn decided_through(&self, tx: &Tx<'_>) -> u64 {
        let positions = tx.positions();
        let held = *self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        match held.history == (positions.epoch, positions.generation) {
            true => held.position.max(positions.verified),
            false => positions.verified,
        }
    }

    /// Decides about one page of revisions after a position; how far it went, and nothing at the log's end.
    async fn decide_page(
        &self,
        tx: &mut Tx<'_>,
        after: u64,
        look: &mut Look,
    ) -> Result<Option<u64>, Error> {
        let rows = tx.applied_revisions_after(after, PAGE).await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let through = last.position;
        let mut news = Vec::with_capacity(rows.len());
        for row in rows {
            match header_of(&row) {
                Ok(header) if is_decided_about(&header) => news.push((row, header)),
                Ok(_) => {}
                // Nothing is decided about what cannot be read; verifying the site finds it.
                Err(error) => tracing::error!(%error, "an update is not approved by itself"),
            }
        }
        let ids: Vec<UpdateId> = news.iter().map(|(row, _)| row.id.update_id).collect();
        let mut records = Records::of(tx, &ids).await?;
        news.retain(|(row, _)| !records.unreadable.contains_key(&row.id.update_id));
        news.retain(|(row, _)| match records.read.get(&row.id.update_id) {
            Some(record) => record.approval.is_approved() && record.revision < row.id.revision,
            None => !look.rules.rules.is_empty(),
        });
        let ids: Vec<UpdateId> = news.iter().map(|(row, _)| row.id.update_id).collect();
        let held = tx.held_updates(&ids).await?;
        let mut arrivals = Vec::new();
        for (row, header) in news {
            let Some(update) = held.get(&row.id.update_id) else {
                continue;
            };
            if update.newest.id != row.id {
                continue;
            }
            look.learn(tx, &header.categories).await?;
            let record = records.read.remove(&row.id.update_id);
            let is_new = update.shown.is_none();
            let mut arrival = look.arrival(row.id, &header, is_new, record);
            // Few are decided about: only their documents are read.
            if look.plan(std::slice::from_ref(&arrival)).is_empty() {
                continue;
            }
            let record = arrival.subject.record.take();
            match self.subject(tx, &row, record).await {
                Ok(subject) => arrivals.push(Arrival { subject, ..arrival }),
                Err(Error::Corrupt { what }) => {
                    // Nothing is decided about what cannot be read; verifying the site finds it.
                    tracing::error!(what, "an update is not approved by itself");
                }
                Err(error) => return Err(error),
            }
        }
        let changes = look.plan(&arrivals);
        look.decided.add(&changes);
        let changes = changes
            .iter()
            .map(|change| to_put(change.id, &change.record));
        put(tx, changes.collect(), look.now).await?;
        Ok(Some(through))
    }
}

/// Whether anybody decides about it: an update that goes with no other one.
fn is_decided_about(header: &RevisionHeader) -> bool {
    match header.update_type {
        UpdateType::Software | UpdateType::Driver => header.explicitly_deployable,
        UpdateType::Category(_) | UpdateType::Detectoid => false,
    }
}

impl Look {
    fn plan(&self, arrivals: &[Arrival]) -> Vec<Change> {
        automatic(arrivals, &self.rules, self.now)
    }

    /// The arrival, as far as its header tells. Where that leaves a question open, it is answered so that more is
    /// decided: nothing that the whole document allows is left out.
    fn arrival(
        &self,
        id: RevisionId,
        header: &RevisionHeader,
        is_new: bool,
        record: Option<Record>,
    ) -> Arrival {
        let mut classification = None;
        let mut products = BTreeSet::new();
        for category in &header.categories {
            let is_classification = self
                .categories
                .get(category)
                .and_then(Option::as_ref)
                .is_some_and(|known| known.kind == CategoryType::UpdateClassification);
            if is_classification {
                classification = Some(*category);
            } else {
                self.add_with_parents(*category, DEEPEST, &mut products);
            }
        }
        Arrival {
            subject: Subject {
                id,
                update_type: header.update_type,
                explicitly_deployable: header.explicitly_deployable,
                is_uninstallable: true,
                expired: match header.publication_state {
                    PublicationState::Published => None,
                    PublicationState::Expired => Some(catalog::approval::Expired::ByPublisher),
                },
                licence: Licence::None,
                record,
            },
            is_new,
            classification,
            products,
            title: header.title.clone(),
        }
    }

    fn add_with_parents(&self, id: UpdateId, depth: u32, found: &mut BTreeSet<UpdateId>) {
        if depth == 0 || !found.insert(id) {
            return;
        }
        if let Some(Some(category)) = self.categories.get(&id) {
            for parent in &category.parents {
                self.add_with_parents(*parent, depth - 1, found);
            }
        }
    }

    /// Reads the categories that are not known yet, and those above them.
    async fn learn(&mut self, tx: &mut Tx<'_>, ids: &[UpdateId]) -> Result<(), Error> {
        let mut wanted: Vec<UpdateId> = ids.to_vec();
        for _ in 0..DEEPEST {
            wanted.retain(|id| !self.categories.contains_key(id));
            if wanted.is_empty() {
                return Ok(());
            }
            let mut held = tx.held_updates(&wanted).await?;
            let mut above = Vec::new();
            for id in wanted {
                let category = match held.remove(&id) {
                    Some(update) => {
                        Category::from_header(update.newest.id, header_of(&update.newest)?)
                    }
                    None => None,
                };
                above.extend(category.iter().flat_map(|category| &category.parents));
                self.categories.insert(id, category);
            }
            wanted = above;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use catalog::approval::{Approval, Cause};

    #[test]
    fn what_was_decided_is_told_by_what_and_why() {
        let change = |approval, cause| Change {
            id: UpdateId::from_u128(1),
            record: Record {
                approval,
                revision: 1,
                cause,
                changed_at: Timestamp::UNIX_EPOCH,
                accepted_licence: None,
            },
        };
        let mut told = ByItself::default();
        let rule = || Cause::Rule("x".to_owned());
        told.add(&[
            change(Approval::Detection, rule()),
            change(Approval::Declined, Cause::ExpiredByPublisher),
            change(Approval::Detection, rule()),
        ]);
        told.join(told.clone());
        assert_eq!(
            told.to_string(),
            "2 declined (expired by its publisher); 4 detection (rule x)"
        );
    }
}
