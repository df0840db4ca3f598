//! Which files a package carries: those that are needed and here, and for which updates they are needed.

use crate::Read;
use crate::backend::ROWS_PER_STATEMENT;
use crate::content::{COLUMNS, ContentRow, row_of};
use crate::error::Error;
use crate::needs::{ContentNeed, need_of, sha1_of};
use std::collections::HashMap;

impl Read<'_> {
    /// Files that are needed and lie in the store, behind one of them, in the order of their SHA-1.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn present_content_after(
        &mut self,
        last: Option<&[u8; 20]>,
        limit: u32,
    ) -> Result<Vec<ContentRow>, Error> {
        let after: Vec<u8> = last.map(|sha1| sha1.to_vec()).unwrap_or_default();
        let rows = self
            .connection()
            .fetch(
                format!(
                    "select {COLUMNS} from content_file where state = 2 and sha1 > $1 order by sha1 limit $2"
                ),
                vec![after.into(), i64::from(limit).into()],
            )
            .await?;
        rows.iter().map(row_of).collect()
    }

    /// Why files are needed: no entry where nothing needs one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn needs_of(
        &mut self,
        files: &[[u8; 20]],
    ) -> Result<HashMap<[u8; 20], Vec<ContentNeed>>, Error> {
        let mut needs: HashMap<[u8; 20], Vec<ContentNeed>> = HashMap::with_capacity(files.len());
        for files in files.chunks(ROWS_PER_STATEMENT) {
            let places = self.connection().places_after(0, files.len());
            let rows = self
                .connection()
                .fetch(
                    format!("select holder, reason, since, sha1 from content_need where sha1 in {places}"),
                    files.iter().map(|sha1| sha1.to_vec().into()).collect(),
                )
                .await?;
            for row in &rows {
                let sha1 = sha1_of(row.blob(3)?)?;
                needs.entry(sha1).or_default().push(need_of(row)?);
            }
        }
        Ok(needs)
    }
}
