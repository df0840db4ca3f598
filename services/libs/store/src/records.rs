//! Items that are no revisions: what is recorded about updates, by the key of each.

use crate::Read;
use crate::backend::{Connection, Row};
use crate::error::{Error, corrupt};
use catalog::item::ItemKey;

/// Where the keys of one kind begin, and where they end (not included).
pub type KeysOfKind = ([u8; 1], [u8; 1]);

/// A record and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// What it is about.
    pub key: ItemKey,
    /// Position of its last change.
    pub position: u64,
    /// The record, encoded.
    pub record: Vec<u8>,
}

pub(crate) fn record_of(row: &Row) -> Result<RecordRow, Error> {
    Ok(RecordRow {
        position: row.count(0)?,
        key: ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?,
        record: row.optional_blob(2)?.unwrap_or_default(),
    })
}

/// The condition of the index of records, in the words of its definition: the database uses it then.
pub(crate) fn is_record(connection: &Connection<'_>) -> &'static str {
    match connection {
        Connection::Sqlite(_) => "key >= x'02'",
        Connection::Postgres(_) => "key >= '\\x02'::bytea",
    }
}

impl Read<'_> {
    /// Records of a kind, verified or not, by key, behind `after`: for the top-level site, which plans by
    /// them. Never for showing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_records(
        &mut self,
        (first, end): KeysOfKind,
        after: Option<ItemKey>,
        most: u32,
    ) -> Result<Vec<RecordRow>, Error> {
        let is_record = is_record(&self.connection());
        let after = after.map_or_else(|| first.to_vec(), ItemKey::to_bytes);
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select position, key, header from item where {is_record} and key > $1 \
                     and key < $2 and superseded_by is null and digest is not null \
                     order by key limit $3"
                ),
                vec![after.into(), end.to_vec().into(), i64::from(most).into()],
            )
            .await?;
        rows.iter().map(record_of).collect()
    }
}
