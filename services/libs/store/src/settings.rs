//! The versions of the hierarchy's settings, and the secrets that they refer to. What is in a document is
//! for others to know: here it is a text.

use crate::backend::{Row, int};
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use jiff::Timestamp;

/// Versions that are kept; the oldest go first.
pub const VERSIONS_KEPT: u64 = 1_000;

/// One version of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsRow {
    /// Its number: 1, 2, 3 and so on.
    pub version: u64,
    /// When it was made.
    pub time: Timestamp,
    /// Who made it.
    pub who: String,
    /// The document, in JSON.
    pub document: String,
}

const VERSION: &str = "select version, time, who, document from settings_version";
const NEWEST_FIRST: &str = "order by version desc limit $1";

fn version_of(row: &Row) -> Result<SettingsRow, Error> {
    Ok(SettingsRow {
        version: row.count(0)?,
        time: Timestamp::from_millisecond(row.int(1)?).map_err(corrupt)?,
        who: row.text(2)?,
        document: row.text(3)?,
    })
}

impl Tx<'_> {
    /// The settings in force; none before the first version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settings(&mut self) -> Result<Option<SettingsRow>, Error> {
        let sql = format!("{VERSION} {NEWEST_FIRST}");
        let row = self.connection().fetch_optional(sql, vec![int(1)]).await?;
        row.as_ref().map(version_of).transpose()
    }

    /// Adds a version, and forgets the oldest beyond [`VERSIONS_KEPT`].
    ///
    /// # Errors
    /// When the database fails, or has that version already.
    pub async fn add_settings(&mut self, row: &SettingsRow) -> Result<(), Error> {
        let values = [
            int(row.version),
            row.time.as_millisecond().into(),
            row.who.as_str().into(),
            row.document.as_str().into(),
        ];
        self.connection()
            .insert(
                "insert into settings_version (version, time, who, document)",
                vec![values],
                "",
            )
            .await?;
        let forgotten = row.version.saturating_sub(VERSIONS_KEPT);
        self.connection()
            .execute(
                "delete from settings_version where version <= $1",
                vec![int(forgotten)],
            )
            .await?;
        Ok(())
    }

    /// Keeps a sealed secret under a name; without one, forgets it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_secret(&mut self, name: &str, sealed: Option<&[u8]>) -> Result<(), Error> {
        let Some(sealed) = sealed else {
            self.connection()
                .execute("delete from secret where name = $1", vec![name.into()])
                .await?;
            return Ok(());
        };
        self.connection()
            .insert(
                "insert into secret (name, sealed)",
                vec![[name.into(), sealed.into()]],
                " on conflict (name) do update set sealed = excluded.sealed",
            )
            .await?;
        Ok(())
    }
}

impl Read<'_> {
    /// A version of the settings, or the one in force; none where there is no such version.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settings(&mut self, version: Option<u64>) -> Result<Option<SettingsRow>, Error> {
        let (sql, value) = match version {
            Some(version) => (format!("{VERSION} where version = $1"), int(version)),
            None => (format!("{VERSION} {NEWEST_FIRST}"), int(1)),
        };
        let row = self.connection().fetch_optional(sql, vec![value]).await?;
        row.as_ref().map(version_of).transpose()
    }

    /// The newest versions, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settings_versions(&mut self, limit: u32) -> Result<Vec<SettingsRow>, Error> {
        let sql = format!("{VERSION} {NEWEST_FIRST}");
        let rows = self
            .connection()
            .fetch(sql, vec![int(limit.into())])
            .await?;
        rows.iter().map(version_of).collect()
    }

    /// A sealed secret by its name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn secret(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                "select sealed from secret where name = $1",
                vec![name.into()],
            )
            .await?;
        row.map(|row| row.blob(0)).transpose()
    }
}
