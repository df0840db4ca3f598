//! How much room the database takes up, and what committing costs.

use crate::location::DATABASE_FILE;
use crate::{Backend, Error, Store};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The database in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Measures {
    /// Bytes of the database.
    pub size: u64,
    /// Bytes of its write-ahead log, where that is a file of its own here: with SQLite.
    pub wal: Option<u64>,
    /// Units of work that were committed since the process started.
    pub commits: u64,
    /// What their commits took together, the wait for the disk included.
    pub commit_time: Duration,
}

/// What commits cost so far.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    number: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Commits {
    /// Counts one.
    pub(crate) fn count(&self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.number.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// Bytes of a file; 0 where there is none.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |file| file.len())
}

impl Store {
    /// The database in numbers, as they are now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn measures(&self) -> Result<Measures, Error> {
        let commits = &self.inner.commits;
        let held = Measures {
            commits: commits.number.load(Ordering::Relaxed),
            commit_time: Duration::from_nanos(commits.nanoseconds.load(Ordering::Relaxed)),
            ..Measures::default()
        };
        // With SQLite, what stands in the write-ahead log alone is counted too: the database grows by it.
        let (sql, wal) = match &self.inner.backend {
            Backend::Sqlite { directory, .. } => {
                let wal = directory.join(format!("{DATABASE_FILE}-wal"));
                let pages =
                    "select page_count * page_size from pragma_page_count, pragma_page_size";
                (pages, Some(length(&wal)))
            }
            Backend::Postgres { .. } => ("select pg_database_size(current_database())", None),
        };
        let mut read = self.read().await?;
        let size = read.connection().fetch_one(sql, vec![]).await?.count(0)?;
        Ok(Measures { size, wal, ..held })
    }
}
