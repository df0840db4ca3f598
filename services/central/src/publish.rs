//! Signing what the top-level site has: the statement that every other site verifies its catalog by.

use daemon::Ambient;
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use store::{Store, Tx};
use tokio_util::sync::CancellationToken;
use trust::{Authority, Statement};

/// A statement is made anew after this part of its validity.
const RENEWED_AFTER: u32 = 4;
/// Longest sleep, so that a clock that jumped and a catalog that came meanwhile are noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60 * 60);
/// Wait when a statement is due and cannot be made now: a run is adding to the log, or the database
/// failed.
const RETRY: Duration = Duration::from_secs(30);

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
        self.sign(tx, self.ambient.now()).await
    }

    /// The same, for the first statement of an epoch that takes the place of one in which `newest` was
    /// signed, or anew since then: epochs are told apart by the times of their statements.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_epoch(
        &self,
        tx: &mut Tx<'_>,
        newest: Timestamp,
    ) -> Result<Statement, store::Error> {
        let last = newest.checked_add(self.validity).unwrap_or(newest);
        self.sign(tx, self.ambient.now().max(last)).await
    }

    async fn sign(&self, tx: &mut Tx<'_>, now: Timestamp) -> Result<Statement, store::Error> {
        let summary = tx.summarize_to_sign().await?;
        // Within an epoch statements do not grow older, whatever happens to the clock.
        let held = tx.signed_statement().await?;
        let now = held
            .filter(|held| held.claimed().epoch == tx.positions().epoch)
            .map_or(now, |held| held.claimed().issued.max(now));
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
        tx.note_arrival(signed.claimed().position, self.ambient.now())
            .await?;
        Ok(signed.claimed().clone())
    }

    /// Signs the catalog anew long before its statement grows stale, though nothing changed, until
    /// `stop` is told.
    pub async fn keep_fresh(self, store: Store, stop: CancellationToken) {
        let mut wait = Duration::ZERO;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
            wait = self.refresh(&store).await.unwrap_or_else(|error| {
                tracing::error!(%error, "the statement could not be renewed");
                RETRY
            });
        }
    }

    /// Signs the verified catalog anew if its statement is old enough. How long until it is worth while
    /// to look again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(&self, store: &Store) -> Result<Duration, store::Error> {
        let Some(held) = store.read().await?.signed_statement().await? else {
            // The first run brings the first statement.
            return Ok(self.rest(Duration::MAX));
        };
        let due = self.due_in(held.claimed().issued);
        if !due.is_zero() {
            return Ok(self.rest(due));
        }
        let mut tx = store.begin().await?;
        let positions = tx.positions();
        if positions.verified == 0 || positions.head != positions.verified {
            // A run has added to the log, and may not be done: its end brings a statement.
            return Ok(RETRY);
        }
        let renewed = self.publish(&mut tx).await?;
        if renewed.position != positions.verified {
            // Rows were lost; a run is fetching them again, and its end brings a statement.
            return Ok(RETRY);
        }
        tx.commit().await?;
        Ok(self.rest(self.due_in(renewed.issued)))
    }

    fn rest(&self, due: Duration) -> Duration {
        due.min(LONGEST_SLEEP)
            .min(self.validity / RENEWED_AFTER)
            .max(Duration::from_millis(1))
    }

    /// How long a statement of this time is still new enough. One that is from the future, because the
    /// clock was set back, is as good as one of now.
    fn due_in(&self, issued: Timestamp) -> Duration {
        let age = self.ambient.now().duration_since(issued);
        let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
        (self.validity / RENEWED_AFTER).saturating_sub(age)
    }
}

#[cfg(test)]
mod tests;
