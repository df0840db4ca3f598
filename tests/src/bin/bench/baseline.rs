//! Baselines: how long other ways of moving the same data take on this machine, now. None of them
//! verifies anything, and only the database's own backup and the bulk insert are made durable.

use crate::process::{Process, run};
use anyhow::Context as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::log::ChangeRow;
use tokio::time::Instant;

/// Rows of a statement and of a transaction of the bulk insert: what was found to be the fastest.
const ROWS_PER_STATEMENT: usize = 100;
const ROWS_PER_TRANSACTION: usize = 1000;
/// How long the rsync daemon may take to listen.
const DAEMON: Duration = Duration::from_secs(5);

/// How long something took, in seconds, or why it was not done.
pub type Outcome = Result<f64, String>;

/// An outcome of what may not be there on this machine.
fn outcome(result: anyhow::Result<f64>) -> Outcome {
    result.map_err(|error| {
        let skipped = format!("{error:#}");
        eprintln!("skipped a baseline: {skipped}");
        skipped
    })
}

/// `sqlite3 .backup` of a database that is in use, and the result synced to the disk.
pub async fn backup(database: &Path, to: &Path) -> Outcome {
    let copied = async {
        std::fs::remove_file(to).ok();
        let began = Instant::now();
        let command = format!(".backup '{}'", to.display());
        let dir = to.parent().context("the copy has no folder")?;
        run(
            dir,
            "sqlite3",
            &[database.as_os_str(), OsStr::new(&command)],
        )
        .await?;
        std::fs::File::open(to)?.sync_all()?;
        Ok(began.elapsed().as_secs_f64())
    };
    outcome(copied.await)
}

/// Inserting the same rows into a plain table of a new database, durably.
pub async fn bulk_insert(rows: &[ChangeRow], file: &Path) -> Outcome {
    outcome(try_bulk_insert(rows, file).await)
}

async fn try_bulk_insert(rows: &[ChangeRow], file: &Path) -> anyhow::Result<f64> {
    for end in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{end}", file.display())).ok();
    }
    let mut connection = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await?;
    sqlx::query(
        "create table plain (position integer primary key, key blob, header blob, document blob)",
    )
    .execute(&mut connection)
    .await?;
    let began = Instant::now();
    for rows in rows.chunks(ROWS_PER_TRANSACTION) {
        let mut transaction = connection.begin().await?;
        for rows in rows.chunks(ROWS_PER_STATEMENT) {
            let values = vec!["(?,?,?,?)"; rows.len()].join(",");
            let sql = AssertSqlSafe(format!("insert into plain values {values}"));
            let mut query = sqlx::query(sql);
            for row in rows {
                query = query
                    .bind(i64::try_from(row.position)?)
                    .bind(&row.key)
                    .bind(&row.header)
                    .bind(&row.document);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }
    let seconds = began.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(seconds)
}

/// A daemon that serves a folder to rsync, and a copy that is fetched from it.
pub struct Rsync {
    daemon: Result<(Process, String), String>,
    dir: PathBuf,
}

impl Rsync {
    /// Starts a daemon for a folder.
    pub async fn start(folder: &Path, dir: &Path) -> Self {
        let daemon = Self::daemon(folder, dir).await.map_err(|error| {
            eprintln!("skipped rsync: {error:#}");
            format!("{error:#}")
        });
        Self {
            daemon,
            dir: dir.to_owned(),
        }
    }

    async fn daemon(folder: &Path, dir: &Path) -> anyhow::Result<(Process, String)> {
        std::fs::create_dir_all(dir)?;
        let owner = std::fs::metadata(folder)?;
        let configuration = dir.join("rsyncd.conf");
        std::fs::write(
            &configuration,
            format!(
                "address = 127.0.0.1\nuse chroot = no\nuid = {}\ngid = {}\n[documents]\npath = {}\n",
                owner.uid(),
                owner.gid(),
                folder.display()
            ),
        )?;
        // The daemon takes no port 0: one that is free now is.
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let mut arguments: Vec<OsString> = vec!["--daemon".into(), "--no-detach".into()];
        arguments.push(format!("--port={port}").into());
        arguments.push(format!("--config={}", configuration.display()).into());
        let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
        let daemon = Process::start("rsyncd", dir, Path::new("rsync"), &arguments, &[])?;
        let deadline = Instant::now() + DAEMON;
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            anyhow::ensure!(
                Instant::now() < deadline,
                "the rsync daemon does not listen"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok((daemon, format!("rsync://127.0.0.1:{port}/documents/")))
    }

    /// Fetches the folder into a copy: all of it, or what the copy lacks.
    pub async fn fetch(&self, copy: &str) -> Outcome {
        let (_, url) = self.daemon.as_ref().map_err(Clone::clone)?;
        let fetched = async {
            let began = Instant::now();
            run(&self.dir, "rsync", &["-a", "--delete", url.as_str(), copy]).await?;
            Ok(began.elapsed().as_secs_f64())
        };
        outcome(fetched.await)
    }
}

/// A git repository of a folder, and bare ones that fetch from it.
pub struct Git {
    folder: PathBuf,
    dir: PathBuf,
}

impl Git {
    /// A repository whose work tree is the folder.
    pub async fn start(folder: &Path, dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let git = Self {
            folder: folder.to_owned(),
            dir: dir.to_owned(),
        };
        let source = git.dir.join("source.git");
        run(
            &git.dir,
            "git",
            &[
                OsStr::new("init"),
                OsStr::new("-q"),
                OsStr::new("--bare"),
                source.as_os_str(),
            ],
        )
        .await?;
        Ok(git)
    }

    /// Commits what the folder holds now; not a part of any time.
    pub async fn commit(&self) -> anyhow::Result<()> {
        let source = format!("--git-dir={}", self.dir.join("source.git").display());
        let tree = format!("--work-tree={}", self.folder.display());
        let settings = [
            "-c",
            "user.name=bench",
            "-c",
            "user.email=bench@invalid",
            "-c",
            "gc.auto=0",
        ];
        let mut add = vec![source.as_str(), tree.as_str()];
        add.extend(settings);
        let mut commit = add.clone();
        add.extend(["add", "-A"]);
        commit.extend(["commit", "-q", "-m", "documents"]);
        run(&self.folder, "git", &add).await?;
        run(&self.folder, "git", &commit).await?;
        Ok(())
    }

    /// Fetches into a bare repository, which is made where it is not there.
    pub async fn fetch(&self, copy: &str) -> Outcome {
        let fetched = async {
            let to = self.dir.join(copy);
            if !to.exists() {
                run(&self.dir, "git", &["init", "-q", "--bare", copy]).await?;
            }
            let url = format!("file://{}", self.dir.join("source.git").display());
            let began = Instant::now();
            let arguments = [
                "-c",
                "gc.auto=0",
                "fetch",
                "-q",
                &url,
                "HEAD:refs/heads/documents",
            ];
            run(&to, "git", &arguments).await?;
            Ok(began.elapsed().as_secs_f64())
        };
        outcome(fetched.await)
    }
}
