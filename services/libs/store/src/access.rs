//! Access tokens and client certificates, with which people and scripts use a site's admin API. Only digests of their
//! secrets and of their keys are kept.

use crate::backend::Row;
use crate::error::{Error, corrupt};
use crate::{Read, Tx};
use jiff::Timestamp;

/// Access tokens that a site keeps.
pub const MAX_ACCESS_TOKENS: usize = 1000;

/// What is known of an access token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessTokenRow {
    /// Whose it is.
    pub name: String,
    /// Name of its role.
    pub role: String,
    /// When it was made.
    pub created: Timestamp,
    /// From when on it is refused; none: it is good until it is revoked.
    pub expires: Option<Timestamp>,
    /// Who made it; empty where the site did.
    pub created_by: String,
    /// It is the client certificate of a person, found under what its key is known by.
    pub certificate: bool,
}

impl AccessTokenRow {
    /// A token that the site made, good until it is revoked.
    pub fn new(name: &str, role: &str, created: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            role: role.to_owned(),
            created,
            expires: None,
            created_by: String::new(),
            certificate: false,
        }
    }
}

fn token_of(row: &Row) -> Result<AccessTokenRow, Error> {
    let time = |value| Timestamp::from_millisecond(value).map_err(corrupt);
    Ok(AccessTokenRow {
        name: row.text(0)?,
        role: row.text(1)?,
        created: time(row.int(2)?)?,
        expires: row.optional_int(3)?.map(time).transpose()?,
        created_by: row.text(4)?,
        certificate: row.int(5)? != 0,
    })
}

impl Tx<'_> {
    /// Writes an access token down under the digest of its secret. One that is there stays as it is.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_access_token(
        &mut self,
        secret_hash: &[u8],
        token: &AccessTokenRow,
    ) -> Result<(), Error> {
        let values = [
            secret_hash.into(),
            token.name.as_str().into(),
            token.role.as_str().into(),
            token.created.as_millisecond().into(),
            token.expires.map(Timestamp::as_millisecond).into(),
            token.created_by.as_str().into(),
            i64::from(token.certificate).into(),
        ];
        self.connection()
            .insert(
                "insert into access_token (secret_hash, name, role, created, expires, created_by, \
                 certificate)",
                vec![values],
                " on conflict (secret_hash) do nothing",
            )
            .await?;
        Ok(())
    }

    /// The names of all access tokens.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn access_token_names(&mut self) -> Result<Vec<String>, Error> {
        let rows = self
            .connection()
            .fetch("select name from access_token", vec![])
            .await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Forgets the access tokens of a name. How many there were.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_access_token(&mut self, name: &str) -> Result<u64, Error> {
        self.connection()
            .execute(
                "delete from access_token where name = $1",
                vec![name.into()],
            )
            .await
    }
}

impl Read<'_> {
    /// An access token by the digest of its secret. Whether it has expired is for the caller to look at.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn access_token(
        &mut self,
        secret_hash: &[u8],
    ) -> Result<Option<AccessTokenRow>, Error> {
        let row = self
            .connection()
            .fetch_optional(
                "select name, role, created, expires, created_by, certificate from access_token \
                 where secret_hash = $1",
                vec![secret_hash.into()],
            )
            .await?;
        row.as_ref().map(token_of).transpose()
    }

    /// Every access token, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn access_tokens(&mut self) -> Result<Vec<AccessTokenRow>, Error> {
        let rows = self
            .connection()
            .fetch(
                "select name, role, created, expires, created_by, certificate from access_token \
                 order by name, created",
                vec![],
            )
            .await?;
        rows.iter().map(token_of).collect()
    }
}
