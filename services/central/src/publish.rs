//! Signing what the top-level site has: the statement that every other site verifies its catalog by.

use daemon::Ambient;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, Tx};
use tokio_util::sync::CancellationToken;
use trust::{Authority, Statement};

/// Makes statements for a top-level site.
#[derive(Clone)]
pub struct Publisher {
    /// The hierarchy's authority.
    pub authority: Arc<Authority>,
    /// The time.
    pub ambient: Ambient,
    /// How long a statement is good before a child warns that it may be cut off.
    pub validity: Duration,
}

impl Publisher {
    /// Signs everything that is in the log, and goes over to it. The statement that was signed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn publish(&self, tx: &mut Tx<'_>) -> Result<Statement, store::Error> {
        let summary = tx.summarize().await?;
        let now = self.ambient.now();
        let signed = self.authority.sign(Statement {
            hierarchy: self.authority.hierarchy(),
            epoch: tx.positions().epoch,
            position: summary.position,
            items: summary.items,
            root: summary.root,
            issued: now,
            stale_after: now.checked_add(self.validity).unwrap_or(now),
        });
        tx.publish(summary, &signed.to_bytes()).await?;
        Ok(signed.claimed().clone())
    }

    /// Signs the catalog anew long before its statement grows stale, though nothing changed, until
    /// `stop` is told.
    pub async fn keep_fresh(self, store: Store, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.validity / 4) => {}
                () = stop.cancelled() => return,
            }
            let positions = store.positions();
            // While a run adds to the log, its end brings a statement.
            if positions.verified == 0 || positions.head != positions.verified {
                continue;
            }
            let renewed = async {
                let mut tx = store.begin().await?;
                self.publish(&mut tx).await?;
                tx.commit().await
            };
            if let Err(error) = renewed.await {
                tracing::error!(%error, "the statement could not be renewed");
            }
        }
    }
}
