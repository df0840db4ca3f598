//! What survives a restart: the catalog's log and its positions, Merkle buckets, statements, status
//! messages and their outbox, runs, and, at the authority, sites and tokens. SQL lives here and
//! nowhere else.
//!
//! A change goes through a [`Tx`], a unit of work: `begin`, some calls, `commit`; dropped without
//! `commit`, nothing happened. Between `begin` and `commit` nothing is awaited but the unit itself.
//! There is one writer at a time. [`Store::read`] gives a connection for queries beside it.
//!
//! SQLite and PostgreSQL share the SQL; the tests in `tests/contract.rs` run against both.

mod backend;
mod carried;
#[cfg(test)]
mod effort;
mod epoch;
mod error;
mod location;
mod measures;
mod migrations;

pub mod access;
pub mod alerts;
pub mod authority;
pub mod compare;
pub mod content;
pub mod creation;
pub mod decisions;
pub mod deliveries;
pub mod downstream;
pub mod ingest;
pub mod log;
pub mod needs;
pub mod packages;
pub mod query;
pub mod records;
pub mod retention;
pub mod runs;
pub mod settings;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod site_runs;
pub mod site_state;
pub mod status;
pub mod verify;

pub use error::{Error, Mismatch};
pub use location::{DATABASE_FILE, Location, PostgresUrl};
pub use log::{Appended, Applied, ChangeRow, NewItem};
pub use measures::Measures;

use backend::{Connection, settle, start};
use catalog::merkle::Tree;
use measures::Commits;
use sqlx::postgres::{PgPool, Postgres};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection as _, Transaction};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;
use uuid::Uuid;

/// How a unit of work begins: alone, and synced to the disk when it is committed.
const SQLITE_WRITE: &str = "pragma synchronous = full; begin immediate";
/// The same, synced with the next one that is.
const SQLITE_WRITE_REPEATABLE: &str = "pragma synchronous = normal; begin immediate";
/// How a unit of work begins: each statement sees what was committed before it, so that what is read
/// after the writer's lock was had is the newest.
const POSTGRES_WRITE: &str = "begin isolation level read committed";
/// One writer over all processes: positions are given out in order. Held until the unit ends.
const POSTGRES_WRITER_LOCK: &str = "select pg_advisory_xact_lock(4857)";
/// A unit of work that is synced with the next one that is.
const POSTGRES_REPEATABLE: &str = "set local synchronous_commit = off";
/// How a view of one moment begins.
const POSTGRES_READ: &str = "begin isolation level repeatable read read only";

/// How far a site's catalog goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// The history that the positions belong to; nil before the first change.
    pub epoch: Uuid,
    /// Position of the last change that is stored.
    pub head: u64,
    /// Position up to which a statement was verified. Nothing above it is shown.
    pub verified: u64,
    /// Grows whenever changes are thrown away: positions above the verified one may then be given
    /// out again for other changes.
    pub generation: u64,
}

/// A site's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    /// Where the database is, as the simulation names it.
    #[cfg(feature = "simulation")]
    location: Location,
    positions: watch::Sender<Positions>,
    /// The Merkle tree of a verified catalog; loaded when it is first needed.
    tree: std::sync::Mutex<Option<KnownTree>>,
    commits: Commits,
}

/// A tree, and which catalog it is of: another process may have gone over to the next meanwhile.
struct KnownTree {
    epoch: Uuid,
    verified: u64,
    generation: u64,
    tree: Arc<Tree>,
}

enum Backend {
    Sqlite {
        directory: PathBuf,
        writer: Mutex<SqliteConnection>,
        readers: Vec<Mutex<SqliteConnection>>,
        next_reader: AtomicUsize,
    },
    Postgres {
        pool: PgPool,
        writer: Mutex<()>,
    },
}

/// An SQLite connection in a transaction. Dropped in it, the transaction is rolled back, so that no
/// lock and no snapshot outlives its use.
struct SqliteTurn<'s> {
    connection: MutexGuard<'s, SqliteConnection>,
    open: bool,
}

impl<'s> SqliteTurn<'s> {
    async fn begin(
        connection: MutexGuard<'s, SqliteConnection>,
        statement: &'static str,
    ) -> Result<Self, Error> {
        // Open before it is: who drops this future half-way may have begun.
        let mut turn = Self {
            connection,
            open: true,
        };
        settle(sqlx::raw_sql(statement).execute(&mut *turn.connection)).await?;
        Ok(turn)
    }

    async fn commit(&mut self) -> Result<(), Error> {
        settle(sqlx::raw_sql("commit").execute(&mut *self.connection)).await?;
        self.open = false;
        Ok(())
    }
}

impl Drop for SqliteTurn<'_> {
    fn drop(&mut self) {
        if self.open {
            // Where nothing was begun, SQLite says so and nobody listens.
            start(sqlx::raw_sql("rollback").execute(&mut *self.connection));
        }
    }
}

impl Store {
    /// Opens the database, makes it where it is not there, and brings its schema to this version.
    ///
    /// # Errors
    /// When the place cannot be used, or holds what this version cannot read.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let backend = match location {
            Location::Directory(directory) => location::open_sqlite(directory).await?,
            Location::Postgres(url) => location::open_postgres(url).await?,
        };
        let nowhere = Positions {
            epoch: Uuid::nil(),
            head: 0,
            verified: 0,
            generation: 0,
        };
        let store = Self {
            inner: Arc::new(Inner {
                backend,
                #[cfg(feature = "simulation")]
                location: location.clone(),
                positions: watch::Sender::new(nowhere),
                tree: std::sync::Mutex::new(None),
                commits: Commits::default(),
            }),
        };
        let positions = store.read().await?.positions();
        store.inner.positions.send_replace(positions);
        Ok(store)
    }

    /// How far the catalog goes now.
    pub fn positions(&self) -> Positions {
        *self.inner.positions.borrow()
    }

    /// Tells of every change of [`Store::positions`], after it was committed.
    pub fn watch_positions(&self) -> watch::Receiver<Positions> {
        self.inner.positions.subscribe()
    }

    /// Begins a unit of work. Waits for the one before to end.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self) -> Result<Tx<'_>, Error> {
        self.begin_with(SQLITE_WRITE, None).await
    }

    /// Begins a unit of work that a loss of power may undo, as a whole and with all that came after it,
    /// until one that [`Store::begin`] began is committed. For what is simply done again then: a batch
    /// of the log, whose position is undone with it. Saves the wait for the disk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin_repeatable(&self) -> Result<Tx<'_>, Error> {
        self.begin_with(SQLITE_WRITE_REPEATABLE, Some(POSTGRES_REPEATABLE))
            .await
    }

    async fn begin_with(
        &self,
        sqlite: &'static str,
        postgres: Option<&'static str>,
    ) -> Result<Tx<'_>, Error> {
        let mut connection = match &self.inner.backend {
            Backend::Sqlite { writer, .. } => {
                let turn = SqliteTurn::begin(writer.lock().await, sqlite).await?;
                TxConnection::Sqlite(turn)
            }
            Backend::Postgres { pool, writer } => {
                let turn = writer.lock().await;
                let mut transaction = settle(pool.begin_with(POSTGRES_WRITE)).await?;
                settle(sqlx::query(POSTGRES_WRITER_LOCK).execute(&mut *transaction)).await?;
                if let Some(setting) = postgres {
                    settle(sqlx::query(setting).execute(&mut *transaction)).await?;
                }
                TxConnection::Postgres(transaction, turn)
            }
        };
        // Read anew: another process may have written, or a commit may have taken place of which
        // nobody waited for the answer.
        let positions = site_state::positions(&mut connection.connection()).await?;
        self.remember(positions);
        Ok(Tx {
            store: self,
            connection,
            positions,
            tree: None,
        })
    }

    /// A connection for queries, which all see the database as it is now.
    ///
    /// Ends when dropped; do not keep it while waiting for anything but its queries.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(&self) -> Result<Read<'_>, Error> {
        let mut connection = match &self.inner.backend {
            Backend::Sqlite {
                readers,
                next_reader,
                ..
            } => {
                let free = readers.iter().find_map(|reader| reader.try_lock().ok());
                let reader = match free {
                    Some(reader) => reader,
                    None => {
                        let turn = next_reader.fetch_add(1, Ordering::Relaxed);
                        readers[turn % readers.len()].lock().await
                    }
                };
                ReadConnection::Sqlite(SqliteTurn::begin(reader, "begin").await?)
            }
            Backend::Postgres { pool, .. } => {
                ReadConnection::Postgres(settle(pool.begin_with(POSTGRES_READ)).await?)
            }
        };
        // The first query takes the snapshot, so the positions fit all that is read after.
        let positions = site_state::positions(&mut connection.connection()).await?;
        Ok(Read {
            store: self,
            connection,
            positions,
        })
    }

    /// Takes over what was found or left in the database. The caller is the writer.
    fn remember(&self, positions: Positions) {
        self.inner.positions.send_if_modified(|known| {
            let changed = *known != positions;
            *known = positions;
            changed
        });
    }
}

/// A unit of work: all of it happens, or nothing.
pub struct Tx<'s> {
    store: &'s Store,
    connection: TxConnection<'s>,
    positions: Positions,
    /// The tree that this unit goes over to, if it does.
    tree: Option<Arc<Tree>>,
}

enum TxConnection<'s> {
    Sqlite(SqliteTurn<'s>),
    Postgres(Transaction<'static, Postgres>, MutexGuard<'s, ()>),
}

impl TxConnection<'_> {
    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(turn) => Connection::Sqlite(&mut turn.connection),
            Self::Postgres(transaction, _) => Connection::Postgres(transaction),
        }
    }
}

impl Tx<'_> {
    fn connection(&mut self) -> Connection<'_> {
        self.connection.connection()
    }

    /// How far the catalog goes within this unit of work.
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// Makes everything of this unit happen, at once and durably.
    ///
    /// # Errors
    /// When the database fails. Whether the unit happened is then not known: repeat only what may be repeated.
    pub async fn commit(self) -> Result<(), Error> {
        let Self {
            store,
            connection,
            positions,
            tree,
        } = self;
        // What is remembered changes before the next writer has its turn.
        let remember = || {
            if let Some(tree) = tree {
                *store.known_tree() = Some(KnownTree {
                    epoch: positions.epoch,
                    verified: positions.verified,
                    generation: positions.generation,
                    tree,
                });
            }
            store.remember(positions);
        };
        let began = Instant::now();
        match connection {
            TxConnection::Sqlite(mut turn) => {
                #[cfg(feature = "simulation")]
                let fate = simulation::next_commit(&store.inner.location);
                #[cfg(feature = "simulation")]
                fate.before()?;
                turn.commit().await?;
                #[cfg(feature = "simulation")]
                fate.after()?;
                remember();
            }
            TxConnection::Postgres(transaction, _turn) => {
                settle(transaction.commit()).await?;
                remember();
            }
        }
        store.inner.commits.count(began.elapsed());
        Ok(())
    }
}

/// A connection for queries. All of them see one moment: what was committed when it was made.
pub struct Read<'s> {
    store: &'s Store,
    connection: ReadConnection<'s>,
    positions: Positions,
}

enum ReadConnection<'s> {
    Sqlite(SqliteTurn<'s>),
    Postgres(Transaction<'static, Postgres>),
}

impl ReadConnection<'_> {
    fn connection(&mut self) -> Connection<'_> {
        match self {
            Self::Sqlite(turn) => Connection::Sqlite(&mut turn.connection),
            Self::Postgres(transaction) => Connection::Postgres(transaction),
        }
    }
}

impl Read<'_> {
    fn connection(&mut self) -> Connection<'_> {
        self.connection.connection()
    }

    /// How far the catalog went at the moment that is seen.
    pub fn positions(&self) -> Positions {
        self.positions
    }
}

impl Store {
    fn known_tree(&self) -> std::sync::MutexGuard<'_, Option<KnownTree>> {
        // A panic while the lock was held cannot leave half a tree: it is only ever replaced.
        self.inner
            .tree
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Brings everything into the database's own file, where it takes up no more room than it must:
    /// for the end of a process. Nothing is lost without it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<(), Error> {
        if let Backend::Sqlite { writer, .. } = &self.inner.backend {
            let mut writer = writer.lock().await;
            settle(sqlx::raw_sql("pragma wal_checkpoint(truncate)").execute(&mut *writer)).await?;
        }
        Ok(())
    }

    /// Closes the database. Only for tests that open it again in the same process.
    pub async fn close(self) {
        if let Some(inner) = Arc::into_inner(self.inner) {
            match inner.backend {
                Backend::Sqlite {
                    writer, readers, ..
                } => {
                    for reader in readers {
                        settle(reader.into_inner().close()).await.ok();
                    }
                    settle(writer.into_inner().close()).await.ok();
                }
                Backend::Postgres { pool, .. } => settle(pool.close()).await,
            }
        }
    }
}
