//! Where the database is, and how it is opened and brought to this version's schema.

use crate::backend::settle;
use crate::{Backend, Error, migrations};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::sync::Mutex;

/// Name of the SQLite database in a site's data directory.
pub const DATABASE_FILE: &str = "headwater.db";
/// How long a statement waits for a lock that another process holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// SQLite connections for queries, besides the one that writes.
const READERS: usize = 3;
/// PostgreSQL connections at most.
const POOL_SIZE: u32 = 8;
/// How long a unit of work waits for a PostgreSQL connection: so long is somebody left without an answer
/// while the server is away.
const POOL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a PostgreSQL server may take to answer when a site starts: after a power cut both start at once.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Wait after the first try that was not answered; doubles with each further one.
const START_AGAIN_FIRST: Duration = Duration::from_millis(500);
/// Longest wait between tries.
const START_AGAIN_MOST: Duration = Duration::from_secs(5);
/// What a server answers that is starting, or ending, or has no connection to spare.
const NOT_NOW: [&str; 3] = ["57P03", "57P01", "53300"];
/// Bytes of a page: in smaller ones, rows of the size that most have leave much room empty.
const PAGE_BYTES: u32 = 8192;
/// Pages that a WAL may grow to before it is written back, so that it stays small.
const WAL_PAGES: &str = "1000";
/// Memory for pages of the connection that writes, in KiB and negative: what a batch of the log touches
/// has room in it, so that nothing is written twice.
const WRITER_CACHE: &str = "-8192";

/// Where a site keeps its database.
#[derive(Clone, Debug)]
pub enum Location {
    /// SQLite in a data directory, which is made when it is not there.
    Directory(PathBuf),
    /// PostgreSQL, as a URL that may hold a password.
    Postgres(PostgresUrl),
}

/// The URL of a PostgreSQL database. Shown without user, password and settings.
#[derive(Clone)]
pub struct PostgresUrl {
    options: Box<PgConnectOptions>,
    place: String,
}

impl PostgresUrl {
    /// The URL, for `postgres://` and `postgresql://`.
    ///
    /// # Errors
    /// When the text is no such URL.
    pub fn new(url: impl AsRef<str>) -> Result<Self, Error> {
        let url = url.as_ref();
        // Nothing of a text that cannot be read is shown: any part of it may be a password.
        let refused = || Error::Address {
            place: format!("a text of {} characters", url.chars().count()),
        };
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return Err(refused());
        }
        let options = PgConnectOptions::from_str(url).map_err(|_| refused())?;
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => options.get_host().to_owned(),
        };
        let database = options.get_database().unwrap_or_default();
        Ok(Self {
            place: format!("postgres://{host}:{}/{database}", options.get_port()),
            options: Box::new(options.disable_statement_logging()),
        })
    }
}

impl std::fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.place)
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

pub(crate) async fn open_sqlite(directory: &Path) -> Result<Backend, Error> {
    let place = directory.join(DATABASE_FILE).display().to_string();
    let failed = |source| Error::Open {
        place: place.clone(),
        source,
    };
    std::fs::create_dir_all(directory).map_err(|error| failed(sqlx::Error::Io(error)))?;
    let options = SqliteConnectOptions::new()
        .filename(directory.join(DATABASE_FILE))
        .create_if_missing(true)
        .page_size(PAGE_BYTES)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", WAL_PAGES)
        .disable_statement_logging();
    let writing = options
        .clone()
        .pragma("cache_size", WRITER_CACHE)
        .pragma("temp_store", "memory");
    let mut connection = settle(writing.connect()).await.map_err(failed)?;
    settle(migrations::sqlite().run(&mut connection))
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
        directory: directory.to_owned(),
        writer: Mutex::new(connection),
        readers,
        next_reader: AtomicUsize::new(0),
    })
}

/// Whether a server may answer otherwise before long.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "sqlx adds errors in minor versions"
)]
fn may_answer_soon(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| NOT_NOW.contains(&code.as_ref())),
        _ => false,
    }
}

/// Connects to a server, which may be starting like this process.
async fn connect(url: &PostgresUrl) -> Result<PgPool, Error> {
    let began = tokio::time::Instant::now();
    let mut wait = START_AGAIN_FIRST;
    loop {
        let connecting = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .acquire_timeout(POOL_TIMEOUT)
            .connect_with((*url.options).clone());
        let (place, source) = match settle(connecting).await {
            Ok(pool) => return Ok(pool),
            Err(source) => (url.to_string(), source),
        };
        if !may_answer_soon(&source) {
            return Err(Error::Open { place, source });
        }
        if began.elapsed() + wait > START_PATIENCE {
            let seconds = START_PATIENCE.as_secs();
            return Err(Error::Unreachable {
                place,
                seconds,
                source,
            });
        }
        tracing::warn!(
            place,
            error = %source,
            "the database does not answer yet; it is asked again for up to {START_PATIENCE:?}"
        );
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(START_AGAIN_MOST);
    }
}

pub(crate) async fn open_postgres(url: &PostgresUrl) -> Result<Backend, Error> {
    let place = url.to_string();
    let pool = connect(url).await?;
    settle(migrations::postgres().run(&pool))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_asked_for_a_minute_and_named() {
        // Nobody answers at a port that is held and not listened at by anybody who speaks.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let url = PostgresUrl::new(format!("postgres://user:secret@{address}/headwater")).unwrap();
        let began = tokio::time::Instant::now();
        let refused = connect(&url).await.unwrap_err();
        let took = began.elapsed();
        assert!(took <= START_PATIENCE + POOL_TIMEOUT, "{took:?}");
        assert!(took > START_PATIENCE - 2 * START_AGAIN_MOST, "{took:?}");
        let place = url.to_string();
        assert_eq!(
            refused.to_string(),
            format!(
                "the database {place} did not answer within 60 seconds: check that its server runs \
                 and can be reached from this machine"
            )
        );
    }

    #[test]
    fn what_will_not_change_by_waiting_is_not_waited_for() {
        assert!(may_answer_soon(&sqlx::Error::PoolTimedOut));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(may_answer_soon(&sqlx::Error::Io(refused)));
        assert!(!may_answer_soon(&sqlx::Error::RowNotFound));
        let tls = sqlx::Error::Tls("the certificate is another".into());
        assert!(!may_answer_soon(&tls));
    }

    #[test]
    fn a_url_is_shown_without_anything_secret() {
        for url in [
            "postgres://user:secret@db.example:5433/headwater",
            "postgresql://user:se%40cret@db.example:5433/headwater?sslmode=require",
            "postgres://user:p@secret@db.example:5433/headwater",
            "postgres://db.example:5433/headwater?user=u&password=secret",
            "postgres://user@db.example:5433/headwater?password=secret&options=-c%20a=b@c",
        ] {
            let url = PostgresUrl::new(url).unwrap();
            assert_eq!(url.to_string(), "postgres://db.example:5433/headwater");
            let location = format!("{:?}", Location::Postgres(url));
            assert!(!location.contains("secret"), "{location}");
        }
        let socket =
            PostgresUrl::new("postgres:///headwater?host=/run/pg&password=secret").unwrap();
        assert_eq!(socket.to_string(), "postgres:///run/pg:5432/headwater");
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_shown() {
        for text in [
            "",
            "secret",
            "mysql://user:secret@host/db",
            "postgresfoo://user:secret@host/db",
            "postgres://user:sec?ret@host/db",
            "postgres://user:secret@host:port/db",
            "postgres://host/db?sslmode=secret",
        ] {
            let refused = PostgresUrl::new(text).unwrap_err();
            assert!(matches!(refused, Error::Address { .. }));
            let told = format!("{refused} {refused:?}");
            assert!(!told.contains("sec"), "{told}");
        }
    }
}
