//! A site's journal: one place through which everything that happens is told, to the database, to the
//! parent by way of the outbox, and to `wsyncmgr.log`.

use crate::hierarchy_log::{HIERARCHY_LOG, HierarchyLog};
use crate::log_file::{self, LogFile, LogFileError};
use crate::log_line::{LogLine, SYNC_MANAGER};
use crate::merged::{JsonLine, thread_of};
use crate::run_part;
use crate::status_id::StatusId;
use crate::status_message::{Origin, StatusMessage};
use catalog::PointId;
use daemon::Ambient;
use jiff::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::status::StatusRow;
use store::{Store, Tx};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Name of the log, without its extension.
pub const LOG_NAME: &str = "wsyncmgr";
/// Lines that someone who follows the log may lag behind before lines are left out.
const FOLLOW_BUFFER: usize = 4096;
/// Messages that are kept in memory while the database takes none; what is more than that stands in the
/// log alone.
const MOST_UNSTORED: usize = 1000;
/// How often the database is tried while messages wait, about.
const STORE_AGAIN: Duration = Duration::from_secs(15);

/// What a journal needs to know of its site.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// The site.
    pub site: PointId,
    /// Whether messages travel on to a parent.
    pub has_parent: bool,
    /// Name of the machine, for the log.
    pub server: String,
    /// Folder of the log.
    pub directory: PathBuf,
    /// Size at which the log is turned over, in bytes.
    pub max_log_bytes: u64,
    /// Whether the same is written as JSON lines, too.
    pub json_lines: bool,
    /// Whether the messages of all sites become one merged log here, as at a top-level site.
    pub merges: bool,
}

/// A site's journal. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    ambient: Ambient,
    settings: JournalSettings,
    log: Mutex<LogFile>,
    json: Option<Mutex<LogFile>>,
    lines: broadcast::Sender<Arc<str>>,
    merged: broadcast::Sender<Arc<str>>,
    outbox: watch::Sender<u64>,
    /// Messages that the database did not take, as when its disk was full. They go before the next ones.
    unstored: tokio::sync::Mutex<Vec<StatusMessage>>,
}

/// Messages that a unit of work records, until the log has them.
#[must_use = "the log has to be told once the unit of work was committed"]
pub struct Recorded(Vec<StatusMessage>);

impl Journal {
    /// Opens the journal of a site, and its log.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn open(
        store: Store,
        settings: JournalSettings,
        ambient: Ambient,
    ) -> Result<Self, LogFileError> {
        let (folder, most) = (&settings.directory, settings.max_log_bytes);
        let log = LogFile::open(folder, LOG_NAME, most)?;
        let json = match settings.json_lines {
            true => Some(LogFile::open_json(folder, LOG_NAME, most)?),
            false => None,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                ambient,
                settings,
                log: Mutex::new(log),
                json: json.map(Mutex::new),
                lines: broadcast::Sender::new(FOLLOW_BUFFER),
                merged: broadcast::Sender::new(FOLLOW_BUFFER),
                outbox: watch::Sender::new(0),
                unstored: tokio::sync::Mutex::default(),
            }),
        })
    }

    /// The site whose journal this is.
    pub fn site(&self) -> PointId {
        self.inner.settings.site
    }

    /// Name of the site's machine, as the log shows it.
    pub fn server(&self) -> &str {
        &self.inner.settings.server
    }

    /// Whether messages travel on to a parent.
    pub fn has_parent(&self) -> bool {
        self.inner.settings.has_parent
    }

    pub(crate) fn settings(&self) -> &JournalSettings {
        &self.inner.settings
    }

    pub(crate) fn ambient(&self) -> &Ambient {
        &self.inner.ambient
    }

    /// What writes the merged log of a top-level site ([`JournalSettings::merges`]).
    ///
    /// # Errors
    /// When the log cannot be written.
    pub fn hierarchy_log(&self) -> Result<HierarchyLog, LogFileError> {
        HierarchyLog::open(self.clone(), self.inner.store.clone())
    }

    /// Writes a line to the log.
    pub fn line(&self, run: Option<Uuid>, text: impl AsRef<str>) {
        let (time, text) = (self.inner.ambient.now(), text.as_ref());
        self.write_line(run, text, time);
        self.write_json(|site| JsonLine::plain(site, time, SYNC_MANAGER, run, text).format());
    }

    /// The line as JSON, where that is wanted.
    fn write_json(&self, line: impl FnOnce(PointId) -> String) {
        if let Some(json) = &self.inner.json {
            append(json, &line(self.site()));
        }
    }

    fn write_line(&self, run: Option<Uuid>, text: &str, time: jiff::Timestamp) {
        let line = LogLine {
            component: SYNC_MANAGER,
            text,
            time,
            thread: thread_of(run),
        }
        .format();
        append(&self.inner.log, &line);
        // Nobody following is no failure.
        drop(self.inner.lines.send(line.trim_end().into()));
    }

    /// Records a status message: in the database, in the outbox of a site that has a parent, and as a
    /// line of the log.
    pub async fn record(&self, id: StatusId, run: Option<Uuid>, inserts: Vec<String>) {
        self.record_all(run, vec![(id, inserts)]).await;
    }

    /// Records messages that belong together, in their order and in one unit of work. Where the database
    /// does not take them, they wait in memory until it does.
    pub async fn record_all(&self, run: Option<Uuid>, messages: Vec<(StatusId, Vec<String>)>) {
        let now = self.inner.ambient.now();
        self.record_all_at(now, run, messages).await;
    }

    /// The same, of something that happened at a time that is told elsewhere, too.
    pub async fn record_all_at(
        &self,
        at: Timestamp,
        run: Option<Uuid>,
        messages: Vec<(StatusId, Vec<String>)>,
    ) {
        let messages = self.messages(at, run, messages);
        if let Err(error) = self.store(&messages).await {
            let ids: Vec<u32> = messages.iter().map(|message| message.id).collect();
            tracing::error!(%error, status = ?ids, "status messages could not be stored");
        }
        for message in &messages {
            self.log(message);
        }
    }

    /// Records messages within a unit of work of the caller's, together with what they are about. They are in
    /// the log when that was committed and [`Journal::tell`] was called.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_within(
        &self,
        tx: &mut Tx<'_>,
        messages: Vec<(StatusId, Vec<String>)>,
    ) -> Result<Recorded, store::Error> {
        let messages = self.messages(self.inner.ambient.now(), None, messages);
        for message in &messages {
            tx.record_status(row_of(message), self.queues()).await?;
        }
        Ok(Recorded(messages))
    }

    /// Writes what was recorded within a unit of work to the log, after that was committed.
    pub fn tell(&self, recorded: Recorded) {
        if !recorded.0.is_empty() {
            self.outbox_grew();
        }
        for message in &recorded.0 {
            self.log(message);
        }
    }

    fn messages(
        &self,
        time: Timestamp,
        run: Option<Uuid>,
        messages: Vec<(StatusId, Vec<String>)>,
    ) -> Vec<StatusMessage> {
        let message = |(id, inserts): (StatusId, Vec<String>)| StatusMessage {
            site: self.site(),
            number: 0,
            time,
            id: id.number(),
            severity: id.severity(),
            run,
            component: SYNC_MANAGER.to_owned(),
            inserts,
        };
        let messages = messages.into_iter();
        messages.map(|parts| message(parts).bounded()).collect()
    }

    fn log(&self, message: &StatusMessage) {
        let echo = message.echo(Origin {
            system: &self.inner.settings.server,
            process: std::process::id(),
            thread: thread_of(message.run),
            result: None,
        });
        let now = self.inner.ambient.now();
        if !message.cure().is_empty() {
            // A person who reads the log has the sentence before the numbers.
            self.write_line(message.run, &message.text(), now);
        }
        self.write_line(message.run, &echo, now);
        self.write_json(|_| JsonLine::of(message).format());
    }

    /// Stores messages behind those that could not be stored before.
    async fn store(&self, messages: &[StatusMessage]) -> Result<(), store::Error> {
        let mut waiting = self.inner.unstored.lock().await;
        let stored = self.store_behind(&mut waiting, messages).await;
        match stored {
            Ok(()) => {
                waiting.clear();
                self.outbox_grew();
            }
            Err(_) => {
                let room = MOST_UNSTORED.saturating_sub(waiting.len());
                waiting.extend(messages.iter().take(room).cloned());
            }
        }
        stored
    }

    async fn store_behind(
        &self,
        waiting: &mut Vec<StatusMessage>,
        messages: &[StatusMessage],
    ) -> Result<(), store::Error> {
        if !waiting.is_empty() {
            // A commit that failed may have taken place.
            let most = u32::try_from(2 * MOST_UNSTORED).unwrap_or(u32::MAX);
            let mut read = self.inner.store.read().await?;
            let held = read.status_messages(Some(self.site()), most).await?;
            waiting.retain(|message| {
                let row = row_of(message);
                let same = |held: &StatusRow| {
                    (held.status_id, held.run, &held.inserts)
                        == (row.status_id, row.run, &row.inserts)
                        && held.time.as_millisecond() == row.time.as_millisecond()
                };
                !held.iter().any(same)
            });
        }
        let mut tx = self.inner.store.begin().await?;
        let mut rows = Vec::with_capacity(waiting.len() + messages.len());
        for message in waiting.iter().chain(messages) {
            let mut row = row_of(message);
            row.number = tx.record_status(row.clone(), self.queues()).await?;
            rows.push(row);
        }
        run_part::gather(&mut tx, rows.iter()).await?;
        tx.commit().await
    }

    /// Stores what waits in memory as soon as the database takes it again, until `stop` is told.
    pub async fn keep(self, stop: CancellationToken) {
        let mut stopping = false;
        while !stopping {
            let wait = self.inner.ambient.jitter(STORE_AGAIN);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => stopping = true,
            }
            if self.inner.unstored.lock().await.is_empty() {
                continue;
            }
            if let Err(error) = self.store(&[]).await {
                tracing::debug!(%error, "status messages still wait");
            }
        }
    }

    /// Stores messages of sites below this one and passes them on. How many were new.
    ///
    /// # Errors
    /// When the database fails; nothing is stored then.
    pub async fn relay(&self, messages: &[StatusRow]) -> Result<usize, store::Error> {
        let mut tx = self.inner.store.begin().await?;
        let mut new = Vec::with_capacity(messages.len());
        for message in messages {
            let is_new = match self.inner.settings.merges {
                true => tx.receive_status(message).await?,
                false => tx.relay_status(message, self.has_parent()).await?,
            };
            if is_new {
                new.push(message);
            }
        }
        run_part::gather(&mut tx, new.iter().copied()).await?;
        tx.commit().await?;
        self.outbox_grew();
        Ok(new.len())
    }

    /// Whether messages wait for something: the parent, or the merged log.
    fn queues(&self) -> bool {
        self.has_parent() || self.inner.settings.merges
    }

    fn outbox_grew(&self) {
        self.inner.outbox.send_modify(|count| *count += 1);
    }

    /// Changes whenever something may have come into the outbox.
    pub fn watch_outbox(&self) -> watch::Receiver<u64> {
        self.inner.outbox.subscribe()
    }

    /// The last lines of the log, without line ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn tail(&self, lines: usize) -> Result<Vec<String>, LogFileError> {
        log_file::tail(&self.inner.settings.directory, LOG_NAME, lines)
    }

    /// The last lines of the merged log, without line ends; none where no messages are merged.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn tail_merged(&self, lines: usize) -> Result<Vec<String>, LogFileError> {
        log_file::tail(&self.inner.settings.directory, HIERARCHY_LOG, lines)
    }

    /// Lines of the merged log as they are written, without line ends.
    pub fn follow_merged(&self) -> broadcast::Receiver<Arc<str>> {
        self.inner.merged.subscribe()
    }

    pub(crate) fn tell_merged(&self, line: &str) {
        // Nobody following is no failure.
        drop(self.inner.merged.send(line.trim_end().into()));
    }

    /// Lines of the log as they are written, without line ends.
    pub fn follow(&self) -> broadcast::Receiver<Arc<str>> {
        self.inner.lines.subscribe()
    }
}

fn append(log: &Mutex<LogFile>, line: &str) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = log.append(line) {
        tracing::error!(error = %error, "the log cannot be written");
    }
}

/// A message as a row that has no number yet.
fn row_of(message: &StatusMessage) -> StatusRow {
    StatusRow {
        site: message.site,
        number: 0,
        time: message.time,
        status_id: message.id,
        run: message.run,
        inserts: message.inserts.clone(),
    }
}

/// A status message from its row, for showing.
pub fn message_of(row: StatusRow) -> StatusMessage {
    StatusMessage {
        site: row.site,
        number: row.number,
        time: row.time,
        severity: StatusId::from_number(row.status_id)
            .map_or(crate::Severity::Warning, StatusId::severity),
        id: row.status_id,
        run: row.run,
        component: SYNC_MANAGER.to_owned(),
        inserts: row.inserts,
    }
}
