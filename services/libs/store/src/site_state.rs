//! Small values by name: what a site knows of itself and of its upstream.

use crate::backend::Connection;
use crate::error::{Error, corrupt};
use crate::{Positions, Read, Tx};
use trust::statement::SignedStatement;
use uuid::Uuid;

/// The history that positions belong to.
pub(crate) const EPOCH: &str = "epoch";
/// Position of the last change.
pub(crate) const HEAD: &str = "head";
/// Position that a statement was verified for.
pub(crate) const VERIFIED: &str = "verified";
/// How often changes were thrown away.
pub(crate) const GENERATION: &str = "generation";
/// Number of live items at the verified position.
pub(crate) const ITEMS: &str = "items";
/// The newest verified statement, signed.
pub(crate) const STATEMENT: &str = "statement";
/// The newest statement that was ever accepted, signed. Outlives the epoch, so that a site that starts
/// over cannot be given an older catalog than it has seen.
pub(crate) const NEWEST_STATEMENT: &str = "newest-statement";
/// Removals up to here are no longer in the log.
pub(crate) const FLOOR: &str = "floor";
/// Root of the parent's catalog with which this site's is being compared.
pub(crate) const COMPARED_ROOT: &str = "compared-root";
/// Number of this site's last status message.
pub(crate) const STATUS_NUMBER: &str = "status-number";
/// Code of the site that the outbox is for.
pub(crate) const OUTBOX_PARENT: &str = "outbox-parent";
/// Sequence of the last entry of the queue of notifications.
pub(crate) const DELIVERY_SEQUENCE: &str = "delivery-sequence";
/// Sequence of the last entry of the outbox.
pub(crate) const OUTBOX_SEQUENCE: &str = "outbox-sequence";

async fn value(connection: &mut Connection<'_>, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let row = connection
        .fetch_optional(
            "select value from site_state where name = $1",
            vec![name.into()],
        )
        .await?;
    row.map(|row| row.blob(0)).transpose()
}

async fn put(connection: &mut Connection<'_>, name: &str, value: Vec<u8>) -> Result<(), Error> {
    connection
        .execute(
            "insert into site_state (name, value) values ($1, $2) \
             on conflict (name) do update set value = excluded.value",
            vec![name.into(), value.into()],
        )
        .await?;
    Ok(())
}

fn number_of(name: &str, bytes: Vec<u8>) -> Result<u64, Error> {
    bytes
        .try_into()
        .map(u64::from_be_bytes)
        .ok()
        .filter(|number| *number <= i64::MAX as u64)
        .ok_or_else(|| corrupt(format_args!("site_state {name} is not a number")))
}

pub(crate) async fn number(connection: &mut Connection<'_>, name: &str) -> Result<u64, Error> {
    match value(connection, name).await? {
        None => Ok(0),
        Some(bytes) => number_of(name, bytes),
    }
}

pub(crate) async fn positions(connection: &mut Connection<'_>) -> Result<Positions, Error> {
    let rows = connection
        .fetch(
            "select name, value from site_state where name in ($1, $2, $3, $4)",
            vec![
                EPOCH.into(),
                HEAD.into(),
                VERIFIED.into(),
                GENERATION.into(),
            ],
        )
        .await?;
    let mut positions = Positions {
        epoch: Uuid::nil(),
        head: 0,
        verified: 0,
        generation: 0,
    };
    for row in rows {
        let (name, value) = (row.text(0)?, row.blob(1)?);
        match name.as_str() {
            EPOCH => {
                positions.epoch =
                    Uuid::from_slice(&value).map_err(|_| corrupt("epoch is not a UUID"))?;
            }
            HEAD => positions.head = number_of(HEAD, value)?,
            VERIFIED => positions.verified = number_of(VERIFIED, value)?,
            _ => positions.generation = number_of(GENERATION, value)?,
        }
    }
    if positions.verified > positions.head {
        return Err(corrupt("more is verified than there is"));
    }
    Ok(positions)
}

fn parsed(statement: Vec<u8>) -> Option<SignedStatement> {
    SignedStatement::from_bytes(&statement).ok()
}

impl Tx<'_> {
    /// The value of a name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        value(&mut self.connection(), name).await
    }

    /// Gives a name a value.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_state(&mut self, name: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        put(&mut self.connection(), name, value.into()).await
    }

    /// Forgets a name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn remove_state(&mut self, name: &str) -> Result<(), Error> {
        self.connection()
            .execute("delete from site_state where name = $1", vec![name.into()])
            .await?;
        Ok(())
    }

    /// The newest verified statement; none before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn signed_statement(&mut self) -> Result<Option<SignedStatement>, Error> {
        Ok(self.state(STATEMENT).await?.and_then(parsed))
    }

    pub(crate) async fn number(&mut self, name: &str) -> Result<u64, Error> {
        number(&mut self.connection(), name).await
    }

    pub(crate) async fn put_number(&mut self, name: &str, value: u64) -> Result<(), Error> {
        self.put_state(name, value.to_be_bytes()).await
    }

    /// The next number of a counter that never gives one out twice.
    pub(crate) async fn count_up(&mut self, name: &str) -> Result<u64, Error> {
        let next = self.number(name).await? + 1;
        self.put_number(name, next).await?;
        Ok(next)
    }
}

impl Read<'_> {
    /// The value of a name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        value(&mut self.connection(), name).await
    }

    /// The newest verified statement, signed, in its encoded form; none before the first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn statement(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.state(STATEMENT).await
    }

    /// The same, for reading what it says.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn signed_statement(&mut self) -> Result<Option<SignedStatement>, Error> {
        Ok(self.statement().await?.and_then(parsed))
    }
}
