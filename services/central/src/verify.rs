//! Verifying the catalog of the top-level site. Nobody above it can be asked: what is not as it was signed
//! is taken out, and the run that follows fetches it from the synchronization source again.

use crate::ingest::{ANCHORS, WsusUpstream};
use catalog::RevisionId;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use journal::{StatusId, phrases};
use store::Error;
use store::compare::Survey;
use sync::RunHandle;

/// Noted while revisions that only bundles name may be missing.
const BUNDLES_UNKNOWN: &str = "bundles-unknown";
/// Set while rows that were lost are not fetched again: nothing else is signed meanwhile, or every site would
/// remove them.
pub(crate) const ROWS_LOST: &str = "rows-lost";
/// Revisions that are looked at together.
const PAGE: u32 = 1000;

impl WsusUpstream {
    /// Reads every row, and compares what they come to with the statement.
    pub(crate) async fn verify(&self, run: &RunHandle) -> Result<(), Error> {
        run.line(phrases::reading_every_row());
        let (mut survey, signed, known) = {
            let mut read = self.store.read().await?;
            let signed = read.signed_statement().await?;
            let survey = read.survey(true).await?;
            let mut tree = catalog::merkle::Tree::clone(&*read.tree().await?);
            (survey, signed, (tree.root(), read.items().await?))
        };
        let Some(signed) = signed else {
            return Ok(());
        };
        let found = (survey.tree.root(), survey.rows);
        let stated = (signed.claimed().root, signed.claimed().items);
        let (id, inserts) = if found == stated && survey.damaged.is_empty() {
            let inserts = vec![survey.rows.to_string(), self.site.to_string()];
            (StatusId::CatalogVerified, inserts)
        } else if found == known && survey.damaged.is_empty() {
            // What was found before is being fetched again.
            return Ok(());
        } else {
            let missing = stated.1.saturating_sub(survey.rows);
            let bad = survey.damaged.len() as u64 + missing;
            let becomes = self.drop_damaged(survey).await?;
            let inserts = vec![bad.max(1).to_string(), self.site.to_string(), becomes];
            (StatusId::CatalogDamaged, inserts)
        };
        run.journal().record(id, Some(run.id()), inserts).await;
        Ok(())
    }

    /// Takes the damaged rows out, if there is a source that has them; what became of it.
    async fn drop_damaged(&self, survey: Survey) -> Result<String, Error> {
        if self.is_disconnected() {
            return Ok("there is no synchronization source to fetch them from".to_owned());
        }
        let mut tx = self.store.begin().await?;
        tx.drop_damaged(&survey.damaged).await?;
        // Whatever run comes next asks for all that there is.
        for anchor in ANCHORS {
            tx.remove_state(anchor).await?;
        }
        tx.put_state(BUNDLES_UNKNOWN, *b"1").await?;
        tx.put_state(ROWS_LOST, *b"1").await?;
        tx.commit().await?;
        Ok("they are fetched from the synchronization source again; approvals among them have to be made anew"
            .to_owned())
    }

    /// Wants the revisions that others bundle and that are not held, where some may have been taken out:
    /// no list of the source names them.
    pub(crate) async fn want_what_is_bundled(&self) -> Result<(), Error> {
        let state = self.store.read().await?.state(BUNDLES_UNKNOWN).await?;
        if state.is_none() {
            return Ok(());
        }
        let mut after = 0;
        loop {
            let rows = {
                let mut read = self.store.read().await?;
                read.applied_revisions_after(after, PAGE).await?
            };
            let Some(last) = rows.last() else {
                let mut tx = self.store.begin().await?;
                tx.remove_state(BUNDLES_UNKNOWN).await?;
                return tx.commit().await;
            };
            after = last.position;
            let mut bundled: Vec<RevisionId> = rows
                .iter()
                .filter_map(|row| RevisionHeader::from_bytes(&row.header).ok())
                .flat_map(|header| header.bundled)
                .collect();
            let keys: Vec<ItemKey> = bundled.iter().copied().map(ItemKey::Revision).collect();
            let mut tx = self.store.begin().await?;
            let held = tx.held(&keys).await?;
            bundled.retain(|id| !held.contains(&ItemKey::Revision(*id)));
            tx.want(&bundled).await?;
            tx.commit().await?;
        }
    }
}
