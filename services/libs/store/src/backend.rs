//! The two databases behind one face: how a statement is run and a row is read.
//!
//! The SQL of this crate is understood by both. Where every database future is awaited is here and
//! nowhere else ([`settle`]), so that a simulation can hold its clock still meanwhile.

use crate::error::{Error, corrupt};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, SqlSafeStr, SqlStr};
use std::borrow::Cow;
use std::future::Future;

/// Rows of one multi-row statement: far below the bind limits of both databases.
pub(crate) const ROWS_PER_STATEMENT: usize = 100;

/// Waits for the database: the one seam through which every database future goes.
#[cfg(not(feature = "simulation"))]
pub(crate) async fn settle<F: Future>(future: F) -> F::Output {
    future.await
}

/// Waits for the database without yielding: simulated time stands still, and nothing else runs
/// meanwhile, so that the order of events depends on the seed alone.
#[cfg(feature = "simulation")]
pub(crate) async fn settle<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

/// Sends a statement off without waiting for what becomes of it; what is sent to the connection
/// later comes after it.
#[cfg(not(feature = "simulation"))]
pub(crate) fn start<F: Future>(future: F) {
    // The first poll hands the statement over, the answer goes to nobody.
    drop(futures::FutureExt::now_or_never(future));
}

/// Waits for the statement: a simulation leaves nothing under way.
#[cfg(feature = "simulation")]
pub(crate) fn start<F: Future>(future: F) {
    drop(futures::executor::block_on(future));
}

/// A value that goes into a statement.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Int(i64),
    Blob(Vec<u8>),
    Text(String),
    NoInt,
    NoBlob,
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Blob(value)
    }
}
impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        // PostgreSQL has no NUL in a text, and what comes from outside may hold one.
        Self::Text(match value.contains('\0') {
            true => value.replace('\0', "\u{fffd}"),
            false => value,
        })
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}
impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::NoInt, Self::Int)
    }
}
impl From<Option<Vec<u8>>> for Value {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::NoBlob, Self::Blob)
    }
}

/// A position as the database keeps it.
pub(crate) fn int(value: u64) -> Value {
    Value::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Bound to a statement in the order of the list.
macro_rules! bind_all {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::Blob(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::NoInt => query.bind(None::<i64>),
                Value::NoBlob => query.bind(None::<Vec<u8>>),
            };
        }
        query
    }};
}

/// A row of either database. Columns are read by their place.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

macro_rules! column {
    ($row:expr, $index:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($index),
            Row::Postgres(row) => row.try_get($index),
        }
        .map_err(|error| corrupt(format_args!("column {}: {error}", $index)))
    };
}

impl Row {
    pub(crate) fn int(&self, index: usize) -> Result<i64, Error> {
        column!(self, index)
    }
    pub(crate) fn optional_int(&self, index: usize) -> Result<Option<i64>, Error> {
        column!(self, index)
    }
    /// A count or position: an integer that is not negative.
    pub(crate) fn count(&self, index: usize) -> Result<u64, Error> {
        let value = self.int(index)?;
        u64::try_from(value).map_err(|_| corrupt(format_args!("column {index}: {value} < 0")))
    }
    pub(crate) fn blob(&self, index: usize) -> Result<Vec<u8>, Error> {
        column!(self, index)
    }
    pub(crate) fn optional_blob(&self, index: usize) -> Result<Option<Vec<u8>>, Error> {
        column!(self, index)
    }
    pub(crate) fn text(&self, index: usize) -> Result<String, Error> {
        column!(self, index)
    }
    /// A digest: 32 bytes.
    pub(crate) fn digest(&self, index: usize) -> Result<[u8; 32], Error> {
        self.blob(index)?
            .try_into()
            .map_err(|_| corrupt(format_args!("column {index}: not a digest")))
    }
}

/// A connection of either database, borrowed for some statements.
pub(crate) enum Connection<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// The text of a statement: a constant, or built here from constants alone.
pub(crate) type Sql = Cow<'static, str>;

fn safe(sql: Sql) -> SqlStr {
    match sql {
        Cow::Borrowed(sql) => sql.into_sql_str(),
        // Built in this crate from constants and placeholders; values are always bound.
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    }
}

impl Connection<'_> {
    /// Runs a statement; the number of rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<u64, Error> {
        let sql = safe(sql.into());
        let changed = match self {
            Self::Sqlite(connection) => {
                settle(bind_all!(sqlx::query(sql), values).execute(&mut **connection))
                    .await?
                    .rows_affected()
            }
            Self::Postgres(connection) => {
                settle(bind_all!(sqlx::query(sql), values).execute(&mut **connection))
                    .await?
                    .rows_affected()
            }
        };
        Ok(changed)
    }

    /// Runs a query; all its rows. Queries that can have many rows carry a limit.
    pub(crate) async fn fetch(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Error> {
        let sql = safe(sql.into());
        let rows = match self {
            Self::Sqlite(connection) => {
                settle(bind_all!(sqlx::query(sql), values).fetch_all(&mut **connection))
                    .await?
                    .into_iter()
                    .map(Row::Sqlite)
                    .collect()
            }
            Self::Postgres(connection) => {
                settle(bind_all!(sqlx::query(sql), values).fetch_all(&mut **connection))
                    .await?
                    .into_iter()
                    .map(Row::Postgres)
                    .collect()
            }
        };
        Ok(rows)
    }

    /// Runs a query that has one row at most.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Option<Row>, Error> {
        Ok(self.fetch(sql, values).await?.into_iter().next())
    }

    /// Runs a query that always has one row.
    pub(crate) async fn fetch_one(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Row, Error> {
        self.fetch_optional(sql, values)
            .await?
            .ok_or_else(|| corrupt("a query that always has a row had none"))
    }

    /// Inserts rows, a hundred a statement. `head` is the statement up to `values`.
    pub(crate) async fn insert<const N: usize>(
        &mut self,
        head: &str,
        rows: Vec<[Value; N]>,
        tail: &str,
    ) -> Result<u64, Error> {
        let mut changed = 0;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let chunk: Vec<[Value; N]> = rows.by_ref().take(ROWS_PER_STATEMENT).collect();
            let values = self.placeholders(chunk.len(), N);
            let sql = format!("{head} values {values}{tail}");
            changed += self
                .execute(sql, chunk.into_iter().flatten().collect())
                .await?;
        }
        Ok(changed)
    }

    /// Places of the values of some rows. In SQLite they have no numbers: it would look every one up
    /// among all the others when it is bound.
    pub(crate) fn placeholders(&self, rows: usize, columns: usize) -> String {
        match self {
            Self::Sqlite(_) => row_list(rows, columns, |_| "?".to_owned()),
            Self::Postgres(_) => row_list(rows, columns, |number| format!("${number}")),
        }
    }

    /// Places of the values of one list, in a statement that has `before` numbered ones already.
    pub(crate) fn places_after(&self, before: usize, count: usize) -> String {
        // Numbers on both: a place without one would follow the last number by position alone.
        let places: Vec<String> = (before + 1..=before + count)
            .map(|number| format!("${number}"))
            .collect();
        format!("({})", places.join(","))
    }
}

/// `($1,$2),($3,$4)` for two rows of two columns.
fn row_list(rows: usize, columns: usize, place: impl Fn(usize) -> String) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 1..=columns {
            if column > 1 {
                text.push(',');
            }
            text.push_str(&place(row * columns + column));
        }
        text.push(')');
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_count_through_the_rows() {
        let list = super::row_list(2, 2, |number| format!("${number}"));
        assert_eq!(list, "($1,$2),($3,$4)");
    }
}
