//! Noticing that this top-level site was restored from a backup: a site below holds a newer catalog, and
//! this hierarchy's key signed it. The positions given out since the backup would then be given out again
//! for other changes, so a new epoch begins; every site compares, and takes over what differs.

use crate::ingest::WsusUpstream;
use catalog::PointId;
use journal::StatusId;
use link::Site;
use std::sync::Arc;
use std::time::Duration;
use store::Positions;
use sync::{Request, Trigger};
use tokio_util::sync::CancellationToken;
use trust::statement::{SignedStatement, Statement};
use uuid::Uuid;

/// Reports are looked at no more often than this.
const PACE: Duration = Duration::from_secs(1);

/// What shows that this site was restored.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The site that holds the newer catalog.
    pub site: PointId,
    /// What was signed.
    pub statement: Statement,
    /// The epoch that is to begin.
    epoch: Uuid,
    /// Whether the journal says so.
    told: bool,
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
                upstream.begin_anew_after(evidence);
                // Asked for again where a run was cancelled before it came to it.
                let state = site.engine.state();
                if !state.running() && state.next_attempt.is_none() {
                    site.engine.request(Request {
                        full: true,
                        // Nothing is decided here, and nothing reaches the sites below, until it is done.
                        urgent: true,
                        ..Request::new(Trigger::Poll)
                    });
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the statements of sites could not be compared"),
        }
        let next = async {
            tokio::time::sleep(PACE).await;
            changes.changed().await
        };
        tokio::select! {
            changed = next => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// The newest statement that can only be explained by a restore.
async fn look(site: &Site) -> Result<Option<Evidence>, store::Error> {
    let reports = site.reports.all();
    let (own, positions) = {
        let mut read = site.store.read().await?;
        (read.signed_statement().await?, read.positions())
    };
    let own = own.as_ref().map(SignedStatement::claimed);
    let evidence = reports.into_iter().filter_map(|report| {
        let signed = SignedStatement::from_bytes(&report.statement).ok()?;
        if !is_ahead(signed.claimed(), own, &positions) {
            return None;
        }
        let statement = signed.verify(&site.statement_key, site.hierarchy).ok()?;
        Some(Evidence {
            site: report.site_code.parse().ok()?,
            statement: statement.clone(),
            epoch: site.ambient.new_id(),
            told: false,
        })
    });
    Ok(evidence.max_by_key(|evidence| evidence.statement.issued))
}

impl WsusUpstream {
    /// Has the next run begin a new epoch, if none is to begin already.
    pub(crate) fn begin_anew_after(&self, evidence: Evidence) {
        self.restored().get_or_insert(evidence);
    }

    /// Begins a new epoch where that is due, and signs what is verified in it.
    pub(crate) async fn begin_anew(&self, run: &sync::RunHandle) -> Result<(), store::Error> {
        let Some(evidence) = self.restored().clone() else {
            return Ok(());
        };
        let before = self.store.positions();
        if before.epoch == evidence.statement.epoch {
            let epoch = evidence.epoch;
            let noticed = vec![
                evidence.site.to_string(),
                evidence.statement.position.to_string(),
                before.verified.to_string(),
            ];
            let changed = vec![before.epoch.to_string(), epoch.to_string()];
            let messages = vec![
                (StatusId::RestoreNoticed, noticed),
                (StatusId::EpochChanged, changed),
            ];
            // Said before it is done: what a loss of power undoes is said again, and done.
            if !evidence.told {
                run.journal().record_all(Some(run.id()), messages).await;
                if let Some(evidence) = &mut *self.restored() {
                    evidence.told = true;
                }
            }
            let mut tx = self.store.begin().await?;
            tx.continue_in_epoch(epoch, self.ambient.now()).await?;
            self.publisher
                .begin_epoch(&mut tx, evidence.statement.issued)
                .await?;
            tx.commit().await?;
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
