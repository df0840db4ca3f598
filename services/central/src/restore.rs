//! Noticing that this top-level site was restored from a backup: a site below holds a newer catalog, and
//! this hierarchy's key signed it. The positions given out since the backup would then be given out again
//! for other changes, so a new epoch begins; every site compares, and takes over what differs.

use crate::ingest::WsusUpstream;
use catalog::SiteCode;
use journal::StatusId;
use link::Site;
use std::sync::Arc;
use store::Positions;
use sync::{Request, Trigger};
use tokio_util::sync::CancellationToken;
use trust::statement::{SignedStatement, Statement};

/// What shows that this site was restored.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The site that holds the newer catalog.
    pub site: SiteCode,
    /// What was signed.
    pub statement: Statement,
}

/// Whether a statement that this site's key signed can only be explained by a restore.
fn is_ahead(stated: &Statement, own: Option<&Statement>, positions: &Positions) -> bool {
    if stated.epoch != positions.epoch {
        // Of an epoch that was left, or that ended when this database was made: it is compared anyway.
        return false;
    }
    let forked = own.is_some_and(|own| {
        (own.epoch, own.position) == (stated.epoch, stated.position) && own.root != stated.root
    });
    stated.position > positions.verified || forked
}

/// Looks at the statement of every report that comes in, until `stop` is told.
pub async fn watch(site: Site, upstream: Arc<WsusUpstream>, stop: CancellationToken) {
    let mut changes = site.reports.watch();
    loop {
        match look(&site).await {
            Ok(Some(evidence)) => {
                if upstream.begin_anew_after(evidence) {
                    site.engine.request(Request {
                        full: true,
                        ..Request::new(Trigger::Poll)
                    });
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the statements of sites could not be compared"),
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

async fn look(site: &Site) -> Result<Option<Evidence>, store::Error> {
    let reports = site.reports.all();
    let (own, positions) = {
        let mut read = site.store.read().await?;
        (read.statement().await?, read.positions())
    };
    let own = own.and_then(|bytes| SignedStatement::from_bytes(&bytes).ok());
    let own = own.as_ref().map(SignedStatement::claimed);
    let evidence = reports.into_iter().find_map(|report| {
        let signed = SignedStatement::from_bytes(&report.statement).ok()?;
        if !is_ahead(signed.claimed(), own, &positions) {
            return None;
        }
        let statement = signed.verify(&site.statement_key, site.hierarchy).ok()?;
        Some(Evidence {
            site: report.site_code.parse().ok()?,
            statement: statement.clone(),
        })
    });
    Ok(evidence)
}

impl WsusUpstream {
    /// Has the next run begin a new epoch. False where one is to begin already.
    pub(crate) fn begin_anew_after(&self, evidence: Evidence) -> bool {
        let mut held = self.restored();
        let new = held.is_none();
        held.get_or_insert(evidence);
        new
    }

    /// Begins a new epoch where that is due, and signs what is verified in it.
    pub(crate) async fn begin_anew(&self, run: &sync::RunHandle) -> Result<(), store::Error> {
        let Some(evidence) = self.restored().clone() else {
            return Ok(());
        };
        let mut tx = self.store.begin().await?;
        let before = tx.positions();
        if before.epoch == evidence.statement.epoch {
            let epoch = self.ambient.new_id();
            tx.continue_in_epoch(epoch).await?;
            self.publisher
                .publish_after(&mut tx, evidence.statement.issued)
                .await?;
            tx.commit().await?;
            let journal = run.journal();
            let inserts = [
                evidence.site.to_string(),
                evidence.statement.position.to_string(),
                before.verified.to_string(),
            ];
            journal
                .record(StatusId::RestoreNoticed, Some(run.id()), inserts.to_vec())
                .await;
            let inserts = vec![before.epoch.to_string(), epoch.to_string()];
            journal
                .record(StatusId::EpochChanged, Some(run.id()), inserts)
                .await;
        }
        *self.restored() = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use trust::HierarchyId;
    use uuid::Uuid;

    #[test]
    fn only_a_later_position_or_another_catalog_of_the_same_epoch_shows_a_restore() {
        let (epoch, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stated = |epoch, position, root| Statement {
            hierarchy: HierarchyId(Uuid::nil()),
            epoch,
            position,
            items: 1,
            root: [root; 32],
            issued: Timestamp::UNIX_EPOCH,
            stale_after: Timestamp::UNIX_EPOCH,
        };
        let own = stated(epoch, 10, 1);
        let positions = Positions {
            epoch,
            head: 12,
            verified: 10,
            generation: 0,
        };
        let ahead = |statement: Statement| is_ahead(&statement, Some(&own), &positions);
        assert!(ahead(stated(epoch, 11, 1)));
        assert!(ahead(stated(epoch, 10, 2)));
        assert!(!ahead(stated(epoch, 10, 1)));
        assert!(!ahead(stated(epoch, 9, 3)));
        assert!(!ahead(stated(other, 11, 3)));
    }
}
