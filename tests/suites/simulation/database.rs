//! What the databases say, read past the product with SQL of its own.

use catalog::header::RevisionHeader;
use catalog::item::{Digest, ItemKey};
use catalog::merkle::{BucketHasher, Tree};
use catalog::{PointId, UpdateId};
use jiff::Timestamp;
use journal::StatusId;
use settings::roll_out::RollOut;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trust::statement::SignedStatement;
use uuid::Uuid;

/// What a site knows of itself, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// The epoch.
    pub epoch: Uuid,
    /// Position of the last change.
    pub head: u64,
    /// Position of the last change that was verified.
    pub verified: u64,
    /// How often changes were thrown away.
    pub generation: u64,
    /// The statement that covers the verified position.
    pub statement: Option<SignedStatement>,
    /// Messages that wait for the parent.
    pub outbox: i64,
    /// Runs that have not ended.
    pub unfinished: i64,
    /// When the newest run began, in milliseconds since 1970; 0 before the first.
    pub last_start: i64,
    /// Runs that completed.
    pub completed: i64,
    /// Runs that failed, those among them that the process did not survive.
    pub failed: i64,
}

/// An item that is in a database, shown or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Position of the change.
    pub position: u64,
    /// Its key.
    pub key: Vec<u8>,
    /// The digest that is stored; none of a removal.
    pub digest: Option<Digest>,
    /// Where it is replaced.
    pub superseded_by: Option<u64>,
    /// Bytes of header and document.
    pub bytes: u64,
    /// The digest of what is stored.
    pub real_digest: Option<Digest>,
    /// The update of a revision, and the date that this says.
    pub created: Option<(UpdateId, Timestamp)>,
}

/// What a revision says of the creation of its update. What is damaged says nothing.
fn created(key: &[u8], header: &[u8]) -> Option<(UpdateId, Timestamp)> {
    let id = ItemKey::from_bytes(key).ok()?.revision()?;
    let header = RevisionHeader::from_bytes(header).ok()?;
    Some((id.update_id, header.creation_date))
}

/// Connections to the databases of a run, each made when it is first needed.
#[derive(Default)]
pub struct Databases(BTreeMap<PathBuf, SqliteConnection>);

impl Databases {
    /// The database of a directory; none where there is no file of it yet, or no schema.
    async fn open(&mut self, directory: &Path) -> Option<&mut SqliteConnection> {
        if !self.0.contains_key(directory) {
            let file = directory.join(store::DATABASE_FILE);
            if !file.exists() {
                return None;
            }
            let options = SqliteConnectOptions::new().filename(file);
            let connection = SqliteConnection::connect_with(&options).await.ok()?;
            self.0.insert(directory.to_owned(), connection);
        }
        self.0.get_mut(directory)
    }

    /// The files that a site needs and does not have, each with what went wrong last.
    pub async fn missing_files(&mut self, directory: &Path) -> Vec<String> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let sql = "select name || ': ' || last_error from content_file where state in (1, 3)";
        let rows = sqlx::query_scalar(sql).fetch_all(database).await;
        rows.unwrap()
    }

    /// The files that a site says it has, by their SHA-1.
    pub async fn held_files(&mut self, directory: &Path) -> Vec<String> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let sql = "select hex(sha1) from content_file where present_since is not null";
        sqlx::query_scalar(sql).fetch_all(database).await.unwrap()
    }

    /// The files that a site needs and has, by their SHA-1.
    pub async fn files_in_use(&mut self, directory: &Path) -> Vec<String> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let sql = "select hex(sha1) from content_file where state = 2";
        sqlx::query_scalar(sql).fetch_all(database).await.unwrap()
    }

    /// Epoch and position up to which a site has the catalog of another hierarchy; none where it has no database.
    pub async fn package_source(&mut self, directory: &Path) -> Option<(Uuid, u64)> {
        let database = self.open(directory).await?;
        let sql = "select epoch, position from package_source";
        let row = sqlx::query(sql).fetch_optional(database).await.ok()??;
        let position: i64 = row.get(1);
        Some((
            Uuid::from_slice(row.get(0)).unwrap(),
            position.try_into().unwrap(),
        ))
    }

    /// Closes the database of a directory.
    pub async fn close(&mut self, directory: &Path) {
        if let Some(connection) = self.0.remove(directory) {
            connection.close().await.ok();
        }
    }

    /// What a site knows of itself; nothing where it has no database yet.
    pub async fn snapshot(&mut self, directory: &Path) -> Option<Snapshot> {
        let database = self.open(directory).await?;
        let rows = sqlx::query("select name, value from site_state")
            .fetch_all(&mut *database)
            .await
            .ok()?;
        let values: BTreeMap<String, Vec<u8>> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let count = async |sql: &'static str, database: &mut SqliteConnection| -> i64 {
            sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
        };
        let snapshot = Snapshot {
            epoch: values
                .get("epoch")
                .and_then(|epoch| Uuid::from_slice(epoch).ok())
                .unwrap_or_default(),
            head: number(&values, "head"),
            verified: number(&values, "verified"),
            generation: number(&values, "generation"),
            statement: values
                .get("statement")
                .map(|bytes| SignedStatement::from_bytes(bytes).unwrap()),
            outbox: count("select count(*) from outbox", database).await,
            unfinished: count(
                "select count(*) from sync_run where finished is null",
                database,
            )
            .await,
            last_start: count("select coalesce(max(started), 0) from sync_run", database).await,
            failed: count(
                "select count(*) from sync_run where state = 'Failed'",
                database,
            )
            .await,
            completed: count(
                "select count(*) from sync_run where state = 'Completed'",
                database,
            )
            .await,
        };
        Some(snapshot)
    }

    /// Everything that is applied, with the header where it is a revision.
    pub async fn headers(&mut self, directory: &Path) -> BTreeMap<ItemKey, Option<RevisionHeader>> {
        let Some(database) = self.open(directory).await else {
            return BTreeMap::new();
        };
        let rows = sqlx::query(
            "select key, header from item where digest is not null and superseded_by is null",
        )
        .fetch_all(&mut *database)
        .await
        .unwrap();
        rows.iter()
            .map(|row| {
                let key = ItemKey::from_bytes(row.get(0)).unwrap();
                let header = key.revision();
                let header = header.map(|_| RevisionHeader::from_bytes(row.get(1)).unwrap());
                (key, header)
            })
            .collect()
    }

    /// Items from a position on, in order.
    pub async fn items(&mut self, directory: &Path, after: u64) -> Vec<Item> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let rows = sqlx::query(
            "select position, key, digest, superseded_by, header, document from item \
         where position > ? order by position",
        )
        .bind(i64::try_from(after).unwrap())
        .fetch_all(&mut *database)
        .await
        .unwrap();
        let digest = |bytes: Vec<u8>| Digest::try_from(bytes).unwrap();
        rows.iter()
            .map(|row| {
                let key: Vec<u8> = row.get(1);
                let stored: Option<Digest> = row.get::<Option<Vec<u8>>, _>(2).map(digest);
                let header: Option<Vec<u8>> = row.get(4);
                let document: Option<Vec<u8>> = row.get(5);
                let (header, document) = (header.unwrap_or_default(), document.unwrap_or_default());
                Item {
                    position: row.get::<i64, _>(0).try_into().unwrap(),
                    digest: stored,
                    superseded_by: row
                        .get::<Option<i64>, _>(3)
                        .map(|by| by.try_into().unwrap()),
                    bytes: (header.len() + document.len()) as u64,
                    created: created(&key, &header),
                    real_digest: stored
                        .map(|_| catalog::item::item_digest(&key, &header, &document)),
                    key,
                }
            })
            .collect()
    }

    /// What an item holds that a site has, shown or not.
    pub async fn content(&mut self, directory: &Path, key: &[u8]) -> Option<Vec<u8>> {
        let database = self.open(directory).await?;
        sqlx::query_scalar("select header from item where key = ? and superseded_by is null")
            .bind(key)
            .fetch_optional(database)
            .await
            .unwrap()
            .flatten()
    }

    /// The numbers of the status messages of each site that a database holds.
    pub async fn status_numbers(&mut self, directory: &Path) -> BTreeMap<PointId, BTreeSet<i64>> {
        let mut numbers: BTreeMap<PointId, BTreeSet<i64>> = BTreeMap::new();
        let Some(database) = self.open(directory).await else {
            return numbers;
        };
        let rows = sqlx::query("select site, number from status_message")
            .fetch_all(&mut *database)
            .await
            .unwrap();
        for row in rows {
            let site: String = row.get(0);
            let numbers = numbers.entry(site.parse().unwrap()).or_default();
            numbers.insert(row.get(1));
        }
        numbers
    }

    /// Kinds and sites of the alerts that were raised and have not ended.
    pub async fn open_alerts(&mut self, directory: &Path) -> Vec<(String, PointId)> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let open = "select kind, site from alert where raised is not null and ended is null";
        let rows = sqlx::query(open).fetch_all(database).await.unwrap();
        let alert = rows.iter().map(|row| {
            let site: String = row.get(1);
            (row.get(0), site.parse().unwrap())
        });
        alert.collect()
    }

    /// Number of the newest version of the settings that were made here.
    pub async fn settings_version(&mut self, directory: &Path) -> u64 {
        let Some(database) = self.open(directory).await else {
            return 0;
        };
        let newest: i64 =
            sqlx::query_scalar("select coalesce(max(version), 0) from settings_version")
                .fetch_one(database)
                .await
                .unwrap();
        newest.try_into().unwrap()
    }

    /// The versions of the settings that were made here, and those of which the journal says who made them.
    pub async fn settings_changes(&mut self, directory: &Path) -> (Vec<i64>, Vec<i64>) {
        let Some(database) = self.open(directory).await else {
            return (Vec::new(), Vec::new());
        };
        let made = sqlx::query_scalar("select version from settings_version order by version");
        let made = made.fetch_all(&mut *database).await.unwrap();
        let told = "select cast(inserts ->> 0 as integer) as version from status_message \
                    where status_id = ? order by version";
        let told = sqlx::query_scalar(told).bind(StatusId::SettingsChanged.number());
        (made, told.fetch_all(database).await.unwrap())
    }

    /// Version of the settings in the verified catalog; the error says why they cannot be read.
    pub async fn rolled_out(&mut self, directory: &Path) -> Result<u64, String> {
        let Some(Snapshot { verified, .. }) = self.snapshot(directory).await else {
            return Ok(0);
        };
        let Some(database) = self.open(directory).await else {
            return Ok(0);
        };
        let content: Option<Vec<u8>> = sqlx::query_scalar(
            "select header from item where key = ? and position <= ? and digest is not null \
             and (superseded_by is null or superseded_by > ?)",
        )
        .bind(ItemKey::Settings.to_bytes())
        .bind(i64::try_from(verified).unwrap())
        .bind(i64::try_from(verified).unwrap())
        .fetch_optional(database)
        .await
        .unwrap();
        let read = content.map(|content| RollOut::from_content(&content));
        let read = read.transpose().map_err(|error| error.to_string())?;
        Ok(read.map_or(0, |read| read.version))
    }

    /// Why a site did not take a catalog that its parent sent, or what it repaired in its own, each time.
    pub async fn refusals(&mut self, directory: &Path) -> Vec<String> {
        let Some(database) = self.open(directory).await else {
            return Vec::new();
        };
        let told = "select cast(status_id as text) || ' ' || inserts from status_message \
                    where status_id in (?, ?)";
        sqlx::query_scalar(told)
            .bind(StatusId::StatementRefused.number())
            .bind(StatusId::CatalogRepaired.number())
            .fetch_all(database)
            .await
            .unwrap()
    }

    /// What SQLite thinks of a database.
    pub async fn integrity(&mut self, directory: &Path) -> String {
        let Some(database) = self.open(directory).await else {
            return "ok".to_owned();
        };
        sqlx::query_scalar("pragma integrity_check")
            .fetch_one(database)
            .await
            .unwrap()
    }

    /// Alters a database below the software. How many rows there were.
    pub async fn damage(&mut self, directory: &Path, sql: &'static str) -> u64 {
        let database = self.open(directory).await.unwrap();
        let done = sqlx::query(sql).execute(&mut *database).await.unwrap();
        done.rows_affected()
    }

    /// Writes a copy of a database.
    pub async fn back_up(&mut self, directory: &Path, copy: &Path) {
        let Some(database) = self.open(directory).await else {
            return;
        };
        std::fs::remove_file(copy).ok();
        let sql = format!("vacuum into '{}'", copy.display());
        sqlx::query(AssertSqlSafe(sql))
            .execute(&mut *database)
            .await
            .unwrap();
    }
}

fn number(values: &BTreeMap<String, Vec<u8>>, name: &str) -> u64 {
    let bytes = values.get(name).and_then(|value| value[..].try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

/// The root over what a site shows: the items up to its verified position.
pub fn root(items: &[Item], verified: u64) -> (Digest, u64) {
    let shown = items.iter().filter(|item| {
        item.position <= verified && item.superseded_by.is_none_or(|by| by > verified)
    });
    let mut buckets: BTreeMap<u16, BTreeMap<&[u8], Digest>> = BTreeMap::new();
    let mut count = 0;
    for item in shown {
        if let Some(digest) = item.digest {
            let bucket = ItemKey::from_bytes(&item.key).unwrap().bucket();
            buckets.entry(bucket).or_default().insert(&item.key, digest);
            count += 1;
        }
    }
    let mut tree = Tree::new();
    for (bucket, items) in buckets {
        let mut hasher = BucketHasher::new();
        for (key, digest) in items {
            hasher.item(key, &digest);
        }
        tree.set_bucket(bucket, hasher.finish().0);
    }
    (tree.root(), count)
}
