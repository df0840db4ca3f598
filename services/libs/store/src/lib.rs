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
mod error;

pub mod authority;
pub mod ingest;
pub mod log;
pub mod query;
pub mod runs;
pub mod site_state;
pub mod status;
pub mod verify;

pub use error::{Error, Mismatch};
pub use log::{Appended, ChangeRow, NewItem};

use backend::{Connection, settle};
use catalog::merkle::Tree;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, Postgres};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Transaction};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

/// Name of the SQLite database in a site's data directory.
pub const DATABASE_FILE: &str = "headwater.db";
/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite connections for queries, besides the one that writes.
const READERS: usize = 3;
/// PostgreSQL connections at most.
const POOL_SIZE: u32 = 8;
/// Pages that a WAL may grow to before it is written back, so that it stays small.
const WAL_PAGES: &str = "2000";

/// Where a site keeps its database.
#[derive(Clone, Debug)]
pub enum Location {
    /// SQLite in a data directory, which is made when it is not there.
    Directory(PathBuf),
    /// PostgreSQL, as a URL that may hold a password.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. Shown without its password.
#[derive(Clone)]
pub struct PostgresUrl(String);

impl PostgresUrl {
    /// The URL, for `postgres://` and `postgresql://`.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        let url = Self(url.into());
        match PgConnectOptions::from_str(&url.0) {
            Ok(_) if url.0.starts_with("postgres") => Ok(url),
            _ => Err(Error::Address {
                place: url.to_string(),
            }),
        }
    }
}

impl std::fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.split_once('@') {
            Some((_, place)) => write!(f, "postgres://…@{place}"),
            None => f.write_str(self.0.split('?').next().unwrap_or("postgres://…")),
        }
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// How far a site's catalog goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// The history that the positions belong to; nil before the first change.
    pub epoch: Uuid,
    /// Position of the last change that is stored.
    pub head: u64,
    /// Position up to which a statement was verified. Nothing above it is shown.
    pub verified: u64,
    /// Grows, in this process, whenever changes are thrown away: positions above the verified one may
    /// then be given out again for other changes.
    pub generation: u64,
}

/// A site's database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    backend: Backend,
    positions: watch::Sender<Positions>,
    /// The Merkle tree of the verified catalog; loaded when it is first needed.
    tree: std::sync::Mutex<Option<Arc<Tree>>>,
}

enum Backend {
    Sqlite {
        writer: Mutex<SqliteWriter>,
        readers: Vec<Mutex<SqliteConnection>>,
        next_reader: AtomicUsize,
    },
    Postgres {
        pool: PgPool,
        writer: Mutex<()>,
    },
}

struct SqliteWriter {
    connection: SqliteConnection,
    /// A unit of work was begun and not finished: roll it back before the next.
    open: bool,
}

impl Store {
    /// Opens the database, makes it where it is not there, and brings its schema to this version.
    ///
    /// # Errors
    /// When the place cannot be used, or holds what this version cannot read.
    pub async fn open(location: &Location) -> Result<Self, Error> {
        let backend = match location {
            Location::Directory(directory) => open_sqlite(directory).await?,
            Location::Postgres(url) => open_postgres(url).await?,
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
                positions: watch::Sender::new(nowhere),
                tree: std::sync::Mutex::new(None),
            }),
        };
        let positions = site_state::positions(&mut store.read().await?.connection()).await?;
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
        let connection = match &self.inner.backend {
            Backend::Sqlite { writer, .. } => {
                let mut writer = writer.lock().await;
                if writer.open {
                    settle(sqlx::query("rollback").execute(&mut writer.connection))
                        .await
                        .ok();
                    writer.open = false;
                }
                writer.open = true;
                settle(sqlx::query("begin immediate").execute(&mut writer.connection)).await?;
                TxConnection::Sqlite(writer)
            }
            Backend::Postgres { pool, writer } => {
                let turn = writer.lock().await;
                let mut transaction = settle(pool.begin()).await?;
                // One writer over all processes: positions are given out in order.
                settle(
                    sqlx::query("select pg_advisory_xact_lock(4857)").execute(&mut *transaction),
                )
                .await?;
                TxConnection::Postgres(transaction, turn)
            }
        };
        let mut tx = Tx {
            store: self,
            connection,
            positions: self.positions(),
            tree: None,
        };
        if matches!(tx.connection, TxConnection::Postgres(..)) {
            // Another process may have written since.
            let generation = tx.positions.generation;
            tx.positions = site_state::positions(&mut tx.connection()).await?;
            tx.positions.generation = generation;
        }
        Ok(tx)
    }

    /// A connection for queries.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(&self) -> Result<Read<'_>, Error> {
        let connection = match &self.inner.backend {
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
                ReadConnection::Sqlite(reader)
            }
            Backend::Postgres { pool, .. } => {
                ReadConnection::Postgres(settle(pool.acquire()).await?)
            }
        };
        Ok(Read {
            connection,
            positions: self.positions(),
        })
    }
}

async fn open_sqlite(directory: &Path) -> Result<Backend, Error> {
    let place = directory.join(DATABASE_FILE).display().to_string();
    let failed = |source| Error::Open {
        place: place.clone(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(sqlx::Error::Io(error)))?;
    let options = SqliteConnectOptions::new()
        .filename(directory.join(DATABASE_FILE))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .disable_statement_logging();
    let mut connection = settle(options.connect()).await.map_err(failed)?;
    settle(sqlx::migrate!("migrations/sqlite").run(&mut connection))
        .await
        .map_err(|source| Error::Migrate {
            place: place.clone(),
            source,
        })?;
    let mut readers = Vec::with_capacity(READERS);
    for _ in 0..READERS {
        let reader = settle(options.clone().read_only(true).connect())
            .await
            .map_err(failed)?;
        readers.push(Mutex::new(reader));
    }
    Ok(Backend::Sqlite {
        writer: Mutex::new(SqliteWriter {
            connection,
            open: false,
        }),
        readers,
        next_reader: AtomicUsize::new(0),
    })
}

async fn open_postgres(url: &PostgresUrl) -> Result<Backend, Error> {
    let place = url.to_string();
    let failed = |source| Error::Open {
        place: place.clone(),
        source,
    };
    let options = PgConnectOptions::from_str(&url.0)
        .map_err(failed)?
        .disable_statement_logging();
    let pool = settle(
        PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .connect_with(options),
    )
    .await
    .map_err(failed)?;
    settle(sqlx::migrate!("migrations/postgres").run(&pool))
        .await
        .map_err(|source| Error::Migrate {
            place: place.clone(),
            source,
        })?;
    Ok(Backend::Postgres {
        pool,
        writer: Mutex::new(()),
    })
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
    Sqlite(MutexGuard<'s, SqliteWriter>),
    Postgres(Transaction<'static, Postgres>, MutexGuard<'s, ()>),
}

impl Tx<'_> {
    fn connection(&mut self) -> Connection<'_> {
        match &mut self.connection {
            TxConnection::Sqlite(writer) => Connection::Sqlite(&mut writer.connection),
            TxConnection::Postgres(transaction, _) => Connection::Postgres(transaction),
        }
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
        match self.connection {
            TxConnection::Sqlite(mut writer) => {
                settle(sqlx::query("commit").execute(&mut writer.connection)).await?;
                writer.open = false;
            }
            TxConnection::Postgres(transaction, _turn) => settle(transaction.commit()).await?,
        }
        if let Some(tree) = self.tree {
            *self.store.cached_tree() = Some(tree);
        }
        let positions = self.positions;
        self.store.inner.positions.send_if_modified(|known| {
            let changed = *known != positions;
            *known = positions;
            changed
        });
        Ok(())
    }
}

/// A connection for queries. Sees what is committed.
pub struct Read<'s> {
    connection: ReadConnection<'s>,
    positions: Positions,
}

enum ReadConnection<'s> {
    Sqlite(MutexGuard<'s, SqliteConnection>),
    Postgres(PoolConnection<Postgres>),
}

impl Read<'_> {
    fn connection(&mut self) -> Connection<'_> {
        match &mut self.connection {
            ReadConnection::Sqlite(connection) => Connection::Sqlite(connection),
            ReadConnection::Postgres(connection) => Connection::Postgres(connection),
        }
    }
}

impl Store {
    fn cached_tree(&self) -> std::sync::MutexGuard<'_, Option<Arc<Tree>>> {
        // A panic while the lock was held cannot leave half a tree: it is only ever replaced.
        self.inner
            .tree
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
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
                    settle(writer.into_inner().connection.close()).await.ok();
                }
                Backend::Postgres { pool, .. } => settle(pool.close()).await,
            }
        }
    }
}
