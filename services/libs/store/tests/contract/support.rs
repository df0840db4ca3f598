//! A database of its own for every test, and what tests do again and again.

use catalog::item::ItemKey;
use catalog::{RevisionId, UpdateId};
use futures::FutureExt as _;
use jiff::{SignedDuration, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::str::FromStr as _;
use std::sync::{LazyLock, Mutex};
use store::{DATABASE_FILE, Location, NewItem, Positions, PostgresUrl, Store};
use trust::{Authority, HierarchyId, SignedStatement, Statement};
use uuid::Uuid;

/// Names the server that the PostgreSQL half runs against.
const SERVER: &str = "HEADWATER_TEST_POSTGRES";

/// Where a test gets its databases.
pub struct Place {
    directory: tempfile::TempDir,
    server: Option<PgConnectOptions>,
    databases: Mutex<Vec<Database>>,
}

/// One database, empty before the first store opens it.
#[derive(Clone)]
pub struct Database {
    pub location: Location,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Sqlite(SqliteConnectOptions),
    Postgres(PgConnectOptions),
}

/// Runs a test against SQLite.
pub fn on_sqlite(test: impl AsyncFnOnce(&Place)) {
    run(Place::new(None), test);
}

/// Runs a test against PostgreSQL, or says that it cannot. In CI a missing server is a failure.
pub fn on_postgres(test: impl AsyncFnOnce(&Place)) {
    match server() {
        Some(server) => run(Place::new(Some(server)), test),
        None => eprintln!("skipped: {SERVER} names no PostgreSQL server; scripts/test starts one"),
    }
}

/// The PostgreSQL server, if there is one to test with.
#[expect(
    clippy::disallowed_methods,
    reason = "where the test server is comes from the environment"
)]
pub fn server() -> Option<PgConnectOptions> {
    let url = std::env::var(SERVER).unwrap_or_default();
    if url.is_empty() {
        let ci = std::env::var("CI").is_ok_and(|ci| !ci.is_empty());
        assert!(!ci, "{SERVER} is not set, and in CI nothing is skipped");
        return None;
    }
    let options = PgConnectOptions::from_str(&url).expect("a PostgreSQL URL");
    Some(options.disable_statement_logging())
}

fn run(place: Place, test: impl AsyncFnOnce(&Place)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let outcome = runtime.block_on(async {
        let outcome = AssertUnwindSafe(test(&place)).catch_unwind().await;
        place.clear().await;
        outcome
    });
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn random_name() -> String {
    let number = std::hash::RandomState::new().build_hasher().finish();
    format!("headwater_test_{number:016x}")
}

impl Place {
    fn new(server: Option<PgConnectOptions>) -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
            server,
            databases: Mutex::default(),
        }
    }

    /// A place on SQLite.
    pub fn sqlite() -> Self {
        Self::new(None)
    }

    /// Whether its databases are PostgreSQL's.
    pub fn is_postgres(&self) -> bool {
        self.server.is_some()
    }

    /// A database with nothing in it.
    pub async fn database(&self) -> Database {
        let name = random_name();
        let database = match &self.server {
            None => {
                let directory = self.directory.path().join(name);
                let file = directory.join(DATABASE_FILE);
                Database {
                    location: Location::Directory(directory),
                    kind: Kind::Sqlite(SqliteConnectOptions::new().filename(file)),
                }
            }
            Some(server) => {
                let mut connection = server.connect().await.expect("the server");
                execute(&mut connection, &format!("create database {name}")).await;
                let options = server.clone().database(&name);
                let url = options.to_url_lossy().to_string();
                Database {
                    location: Location::Postgres(PostgresUrl::new(url).expect("our own URL")),
                    kind: Kind::Postgres(options),
                }
            }
        };
        let mut databases = self.databases.lock().expect("no panic holds this lock");
        databases.push(database.clone());
        database
    }

    /// A store on a database of its own.
    pub async fn store(&self) -> Store {
        self.database().await.open().await
    }

    async fn clear(&self) {
        let databases = std::mem::take(&mut *self.databases.lock().expect("tests are over"));
        let Some(server) = &self.server else { return };
        let mut connection = server.connect().await.expect("the server");
        for database in databases {
            if let Kind::Postgres(options) = &database.kind {
                let name = options.get_database().expect("our own options");
                let sql = format!("drop database {name} with (force)");
                execute(&mut connection, &sql).await;
            }
        }
    }
}

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

impl Database {
    pub async fn open(&self) -> Store {
        Store::open(&self.location).await.expect("the store opens")
    }

    /// Runs SQL below the store. Write bytes as `x'00ff'`: they become what the database takes.
    pub async fn sql(&self, sql: &str) {
        match &self.kind {
            Kind::Sqlite(options) => {
                let mut connection: SqliteConnection = options.connect().await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                    .execute(&mut connection)
                    .await
                    .unwrap_or_else(|error| panic!("{sql}: {error}"));
                connection.close().await.unwrap();
            }
            Kind::Postgres(options) => {
                let mut connection = options.connect().await.unwrap();
                execute(&mut connection, &for_postgres(sql)).await;
                connection.close().await.unwrap();
            }
        }
    }

    /// The rows of a query below the store; every column is a text.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let sql = sql.to_owned();
        match &self.kind {
            Kind::Sqlite(options) => {
                let mut connection: SqliteConnection = options.connect().await.unwrap();
                let rows = sqlx::query(AssertSqlSafe(sql))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                let texts = |row: &sqlx::sqlite::SqliteRow| {
                    (0..row.len()).map(|index| row.get(index)).collect()
                };
                rows.iter().map(texts).collect()
            }
            Kind::Postgres(options) => {
                let mut connection = options.connect().await.unwrap();
                let rows = sqlx::query(AssertSqlSafe(sql))
                    .fetch_all(&mut connection)
                    .await
                    .unwrap();
                let texts = |row: &sqlx::postgres::PgRow| {
                    (0..row.len()).map(|index| row.get(index)).collect()
                };
                rows.iter().map(texts).collect()
            }
        }
    }

    /// How many rows of `item` fit a condition.
    pub async fn count_items(&self, condition: &str) -> u64 {
        let sql = format!("select cast(count(*) as text) from item where {condition}");
        self.rows(&sql).await[0][0].parse().unwrap()
    }
}

/// `x'00ff'` as PostgreSQL writes bytes.
fn for_postgres(sql: &str) -> String {
    let mut parts = sql.split("x'");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (bytes, rest) = part.split_once('\'').expect("a closed literal");
        text.push_str(&format!("'\\x{bytes}'::bytea{rest}"));
    }
    text
}

pub const EPOCH: Uuid = Uuid::from_u128(0xE9);

/// Some time, later with every minute.
pub fn time(minute: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap() + SignedDuration::from_mins(minute)
}

pub fn revision(update: u128, revision: u32) -> RevisionId {
    RevisionId::new(UpdateId::from_u128(update), revision)
}

pub fn key(update: u128) -> ItemKey {
    ItemKey::Revision(revision(update, 1))
}

/// Revision 1 of an update, with a content that `text` makes.
pub fn item(update: u128, text: &str) -> NewItem {
    NewItem {
        key: key(update),
        header: format!("header {text}").into_bytes(),
        document: format!("document {text}").into_bytes(),
    }
}

pub fn items(updates: std::ops::Range<u128>, text: &str) -> Vec<NewItem> {
    updates.map(|update| item(update, text)).collect()
}

/// What a catalog shows: by revision, position, header and document.
pub type View = BTreeMap<RevisionId, (u64, Vec<u8>, Vec<u8>)>;

/// What a store shows, read in the two ways there are, which have to agree.
pub async fn view(store: &Store) -> View {
    let mut read = store.read().await.unwrap();
    let listed = read.revisions_after(0, u32::MAX).await.unwrap();
    let mut view = View::new();
    for row in listed {
        let whole = read.revision(row.id).await.unwrap().expect("it is listed");
        assert_eq!((row.position, &row.header), (whole.position, &whole.header));
        view.insert(row.id, (whole.position, whole.header, whole.document));
    }
    assert_eq!(read.items().await.unwrap(), view.len() as u64);
    view
}

pub async fn append(store: &Store, items: Vec<NewItem>) -> store::Appended {
    let mut tx = store.begin().await.unwrap();
    let appended = tx.append(items, time(0)).await.unwrap();
    tx.commit().await.unwrap();
    appended
}

pub async fn remove(store: &Store, keys: &[ItemKey]) -> u64 {
    let mut tx = store.begin().await.unwrap();
    let removed = tx.remove(keys, time(0)).await.unwrap();
    tx.commit().await.unwrap();
    removed
}

pub async fn start_epoch(store: &Store, epoch: Uuid) {
    let mut tx = store.begin().await.unwrap();
    tx.start_epoch(epoch).await.unwrap();
    tx.commit().await.unwrap();
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let hierarchy = HierarchyId(Uuid::from_u128(0xA11));
    Authority::create(hierarchy, time(0), &mut StdRng::seed_from_u64(1)).expect("an authority")
});

/// Signs a statement that says what the arguments say.
pub fn state(
    epoch: Uuid,
    position: u64,
    items: u64,
    root: [u8; 32],
    minute: i64,
) -> SignedStatement {
    AUTHORITY.sign(Statement {
        hierarchy: AUTHORITY.hierarchy(),
        epoch,
        position,
        items,
        root,
        issued: time(minute),
        stale_after: time(minute + 60),
    })
}

/// Goes over to all that was appended, as the top-level site does, and gives out the statement.
pub async fn publish(store: &Store, minute: i64) -> SignedStatement {
    let mut tx = store.begin().await.unwrap();
    let summary = tx.summarize().await.unwrap();
    let signed = state(
        tx.positions().epoch,
        summary.position,
        summary.items,
        summary.root,
        minute,
    );
    tx.publish(summary, &signed.to_bytes()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(store.recompute_root().await.unwrap(), signed.claimed().root);
    signed
}

/// Checks a copy against a statement and goes over to it.
pub async fn accept(store: &Store, signed: &SignedStatement) -> Result<(), store::Error> {
    let mut tx = store.begin().await?;
    tx.accept(signed.claimed(), &signed.to_bytes()).await?;
    tx.commit().await
}

/// Pulls what `from` has after the head of `to` and up to `limit`, so many changes at a time.
pub async fn pull(from: &Store, to: &Store, limit: u64, at_once: usize) {
    loop {
        let after = to.positions().head;
        let slice = {
            let mut read = from.read().await.unwrap();
            read.changes_after(after, limit, at_once, 1 << 20)
                .await
                .unwrap()
        };
        if slice.through == after {
            return;
        }
        let mut tx = to.begin().await.unwrap();
        tx.apply(slice, time(1)).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub fn places(head: u64, verified: u64, positions: Positions) {
    assert_eq!((positions.head, positions.verified), (head, verified));
}
