//! Taking revisions out of the log, without losing what only they say.

use catalog::expiry::creation_dates;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use jiff::Timestamp;
use store::{Error, Tx};

/// Removes items at the next positions, each that is held, and keeps when the updates were created whose revisions
/// go: the supersedence rules count from then. How many were removed.
///
/// # Errors
/// When the database fails.
pub(crate) async fn remove(
    tx: &mut Tx<'_>,
    keys: &[ItemKey],
    now: Timestamp,
) -> Result<u64, Error> {
    let is_revision = |key: &&ItemKey| key.revision().is_some();
    let revisions: Vec<ItemKey> = keys.iter().filter(is_revision).copied().collect();
    let said = tx.contents(&revisions).await?;
    let said = said.iter().filter_map(|(key, header)| {
        // A header that was damaged says nothing, and is no reason to keep the rest of it.
        let header = RevisionHeader::from_bytes(header).ok()?;
        let is_update = !header.is_configuration();
        is_update.then_some((key.revision()?.update_id, header.creation_date))
    });
    tx.note_creation_dates(&creation_dates(said)).await?;
    tx.remove(keys, now).await
}
