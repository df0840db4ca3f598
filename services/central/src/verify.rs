//! Verifying the catalog of the top-level site. Nobody above it can be asked: what is not as it was signed
//! is taken out, and the run that follows fetches it from the synchronization source again.

use crate::ingest::WsusUpstream;
use journal::{StatusId, phrases};
use store::Error;
use sync::RunHandle;
use trust::statement::SignedStatement;

impl WsusUpstream {
    /// Reads every row, and compares what they come to with the statement.
    pub(crate) async fn verify(&self, run: &RunHandle) -> Result<(), Error> {
        run.line(phrases::reading_every_row());
        let (mut survey, signed, items) = {
            let mut read = self.store.read().await?;
            let signed = read.statement().await?;
            (read.survey(true).await?, signed, read.items().await?)
        };
        let Some(signed) =
            signed.and_then(|bytes: Vec<u8>| SignedStatement::from_bytes(&bytes).ok())
        else {
            return Ok(());
        };
        let (id, inserts) = if survey.tree.root() == signed.claimed().root {
            let inserts = vec![survey.rows.to_string(), self.site.to_string()];
            (StatusId::CatalogVerified, inserts)
        } else {
            let rows = survey.rows;
            let mut tx = self.store.begin().await?;
            let dropped = tx.drop_damaged(survey).await?;
            tx.commit().await?;
            let missing = items.saturating_sub(rows.saturating_sub(dropped));
            let inserts = vec![dropped.max(missing).to_string(), self.site.to_string()];
            (StatusId::CatalogDamaged, inserts)
        };
        run.journal().record(id, Some(run.id()), inserts).await;
        Ok(())
    }
}
