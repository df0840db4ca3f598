//! The verified catalog as it is shown: nothing above the verified position is ever read here.

use crate::Read;
use crate::backend::{Connection, Row, int};
use crate::error::{Error, corrupt};
use catalog::item::{ItemKey, bucket_of_update, keys_beside_revisions, revision_key_range};
use catalog::{RevisionId, UpdateId};

/// A revision of the verified catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// Which revision.
    pub id: RevisionId,
    /// Position of its last change.
    pub position: u64,
    /// Its header, encoded.
    pub header: Vec<u8>,
    /// Its document in the stored form; empty where it was not asked for.
    pub document: Vec<u8>,
}

/// Rows of the verified catalog: applied there, and not replaced there.
pub(crate) const VISIBLE: &str = "position <= $1 and (superseded_by is null or superseded_by > $1) \
                       and digest is not null";

impl RevisionRow {
    /// The revision of a row whose columns are position, key, header and document.
    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        revision_of(row)
    }
}

/// Revisions that are applied, verified or not, after a position, in the order of the log.
pub(crate) async fn applied_after(
    connection: &mut Connection<'_>,
    document: &'static str,
    after: u64,
    most: u32,
) -> Result<Vec<RevisionRow>, Error> {
    let (others, end) = keys_beside_revisions();
    let rows = connection
        .fetch(
            format!(
                "select position, key, header, {document} from item where superseded_by is null \
                 and digest is not null and position > $1 and (key < $3 or key >= $4) \
                 order by position limit $2"
            ),
            vec![
                int(after),
                i64::from(most).into(),
                others.to_vec().into(),
                end.to_vec().into(),
            ],
        )
        .await?;
    rows.iter().map(revision_of).collect()
}

fn revision_of(row: &Row) -> Result<RevisionRow, Error> {
    let key = ItemKey::from_bytes(&row.blob(1)?).map_err(corrupt)?;
    let id = key
        .revision()
        .ok_or_else(|| corrupt(format!("{key} among the revisions")))?;
    Ok(RevisionRow {
        id,
        position: row.count(0)?,
        header: row.optional_blob(2)?.unwrap_or_default(),
        document: row.optional_blob(3)?.unwrap_or_default(),
    })
}

impl Read<'_> {
    /// The position that is shown.
    fn shown(&self) -> u64 {
        self.positions.verified
    }

    /// Revisions after a position, in the order of the log, without their documents.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revisions_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        self.shown_after("null", after, most).await
    }

    /// The same with their documents.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn documents_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        self.shown_after("document", after, most).await
    }

    async fn shown_after(
        &mut self,
        document: &'static str,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        let shown = self.shown();
        let (others, end) = keys_beside_revisions();
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select position, key, header, {document} from item \
                     where {VISIBLE} and position > $2 and (key < $4 or key >= $5) \
                     order by position limit $3"
                ),
                vec![
                    int(shown),
                    int(after),
                    i64::from(most).into(),
                    others.to_vec().into(),
                    end.to_vec().into(),
                ],
            )
            .await?;
        rows.iter().map(revision_of).collect()
    }

    /// Headers of the revisions that are applied, verified or not, after a position: for the top-level
    /// site, which is about to sign them. Never for showing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_revisions_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        applied_after(&mut self.connection(), "null", after, most).await
    }

    /// The same with their documents.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_documents_after(
        &mut self,
        after: u64,
        most: u32,
    ) -> Result<Vec<RevisionRow>, Error> {
        applied_after(&mut self.connection(), "document", after, most).await
    }

    /// All revisions of an update, the newest first, with their documents when asked for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revisions_of(
        &mut self,
        update_id: UpdateId,
        with_documents: bool,
    ) -> Result<Vec<RevisionRow>, Error> {
        let shown = self.shown();
        let (first, last) = revision_key_range(update_id);
        let document = if with_documents { "document" } else { "null" };
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select position, key, header, {document} from item \
                     where {VISIBLE} and bucket = $2 and key >= $3 and key <= $4 order by key desc"
                ),
                vec![
                    int(shown),
                    i64::from(bucket_of_update(update_id)).into(),
                    first.into(),
                    last.into(),
                ],
            )
            .await?;
        rows.iter().map(revision_of).collect()
    }

    /// One revision with its document.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revision(&mut self, id: RevisionId) -> Result<Option<RevisionRow>, Error> {
        let shown = self.shown();
        let key = ItemKey::Revision(id);
        let row = self
            .connection()
            .fetch_optional(
                format!(
                    "select position, key, header, document from item \
                     where {VISIBLE} and bucket = $2 and key = $3"
                ),
                vec![
                    int(shown),
                    i64::from(key.bucket()).into(),
                    key.to_bytes().into(),
                ],
            )
            .await?;
        row.as_ref().map(revision_of).transpose()
    }

    /// The settings that came with the verified catalog: the content of their item.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rolled_out_settings(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let shown = self.shown();
        let key = ItemKey::Settings;
        let row = self
            .connection()
            .fetch_optional(
                format!("select header from item where {VISIBLE} and bucket = $2 and key = $3"),
                vec![
                    int(shown),
                    i64::from(key.bucket()).into(),
                    key.to_bytes().into(),
                ],
            )
            .await?;
        row.map(|row| row.blob(0)).transpose()
    }

    /// The same as it is applied, verified or not: for the top-level site, which signs it. Never for showing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn applied_settings(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let key = ItemKey::Settings;
        let row = self
            .connection()
            .fetch_optional(
                "select header from item where superseded_by is null and digest is not null \
                 and bucket = $1 and key = $2",
                vec![i64::from(key.bucket()).into(), key.to_bytes().into()],
            )
            .await?;
        row.map(|row| row.blob(0)).transpose()
    }
}
