//! Looking into the database of a site that does not run.

use crate::patience::LONG;
use catalog::item::Digest;
use catalog::{RevisionId, codec};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use std::collections::BTreeMap;
use std::path::Path;
use store::log::ChangeRow;
use store::runs::RunRow;
use store::{DATABASE_FILE, Location, Positions, Store};

/// Changes that are read at a time.
const PAGE: usize = 1000;

/// The SQLite database of a site.
pub struct Database {
    store: Store,
}

impl Database {
    /// Opens the database of a data directory. The site must not run.
    ///
    /// # Panics
    /// When it cannot be opened, or SQLite finds it damaged.
    pub async fn open(data_dir: &Path) -> Self {
        Self::check(data_dir).await;
        let location = Location::Directory(data_dir.to_owned());
        let store = Store::open(&location).await.expect("a site's database");
        Self { store }
    }

    /// Runs SQL in the database of a site, whether that runs or not: what a bad disk or a curious person
    /// may do.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn damage(data_dir: &Path, sql: &str) {
        let options = SqliteConnectOptions::new()
            .filename(data_dir.join(DATABASE_FILE))
            .busy_timeout(LONG);
        let mut connection = options.connect().await.expect("a site's database");
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut connection)
            .await
            .expect("a statement that fits the schema");
        connection.close().await.expect("a connection to close");
    }

    /// Lets SQLite check the whole database of a site, whether that runs or not.
    ///
    /// # Panics
    /// When it finds it damaged.
    pub async fn check(data_dir: &Path) {
        let options = SqliteConnectOptions::new().filename(data_dir.join(DATABASE_FILE));
        let mut connection = options.connect().await.expect("a site's database");
        let rows = sqlx::query("pragma integrity_check")
            .fetch_all(&mut connection)
            .await
            .expect("a check of the database");
        let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, ["ok"], "{}", data_dir.display());
        connection.close().await.expect("a connection to close");
    }

    /// The store itself.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How far the catalog goes.
    pub fn positions(&self) -> Positions {
        self.store.positions()
    }

    /// The root digest, computed from every item.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn root(&self) -> Digest {
        self.store.recompute_root().await.expect("a root digest")
    }

    /// Every change of the log, verified or not, by its position.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn log(&self) -> BTreeMap<u64, ChangeRow> {
        let mut read = self.store.read().await.expect("a connection");
        let head = read.positions().head;
        let (mut log, mut after) = (BTreeMap::new(), 0);
        while after < head {
            let slice = read.changes_after(after, head, PAGE, u64::MAX).await;
            let slice = slice.expect("changes");
            if slice.changes.is_empty() {
                break;
            }
            after = slice.through;
            log.extend(
                slice
                    .changes
                    .into_iter()
                    .map(|change| (change.position, change)),
            );
        }
        log
    }

    /// The document of a revision of the verified catalog, as its publisher wrote it.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn document(&self, id: RevisionId) -> Option<String> {
        let mut read = self.store.read().await.expect("a connection");
        let row = read.revision(id).await.expect("a revision")?;
        Some(codec::decompress(&row.document).expect("a stored document"))
    }

    /// The runs of the site, the newest first.
    ///
    /// # Panics
    /// When the database fails.
    pub async fn runs(&self) -> Vec<RunRow> {
        let mut read = self.store.read().await.expect("a connection");
        read.runs(1000).await.expect("the history of runs")
    }

    /// Closes the database, so that the site can be started again.
    pub async fn close(self) {
        self.store.close().await;
    }
}
