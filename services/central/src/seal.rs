//! Signing news: the one way in which the log of a top-level site comes under a statement, whether a
//! synchronization brought the news or a person.

use crate::approvals::ByItself;
use crate::ingest::WsusUpstream;
use store::{Error, Tx};
use trust::Statement;

/// What came under a statement.
pub(crate) struct Sealed {
    /// The statement.
    pub(crate) statement: Statement,
    /// What was decided by itself just before: to be told once the unit of work is committed.
    pub(crate) by_itself: ByItself,
}

impl WsusUpstream {
    /// Signs everything that is in the log, in the unit of work that goes over to it. What is decided by itself
    /// about what arrived since the last statement is put into the log here, before that.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn seal(&self, tx: &mut Tx<'_>) -> Result<Sealed, Error> {
        let by_itself = self.decide_arrivals(tx).await?;
        let statement = self.publisher.publish(tx).await?;
        Ok(Sealed {
            statement,
            by_itself,
        })
    }
}
