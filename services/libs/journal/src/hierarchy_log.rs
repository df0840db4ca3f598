//! The merged log of a top-level site: `hierarchy.log`, with the status messages of every site as they arrive, each
//! once, with the time at which it happened.
//!
//! Invariant: a message that arrives at a top-level site and its place in the outbox are one unit of work; what stands
//! at every other site for the parent stands there for this log. Lines are written in the order of the outbox, and
//! then taken out of it. What a process that was killed had written and not yet taken out stands at the end of the log
//! when the next one starts, and is found there: so nothing is lost, and nothing is written twice unless the log was
//! deleted or moved away in between, which can repeat one batch.

use crate::journal::Journal;
use crate::log_file::{LogFile, LogFileError};
use crate::merged::{self, JsonLine};
use crate::message_of;
use crate::status_message::StatusMessage;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Name of the merged log, without its extension.
pub const HIERARCHY_LOG: &str = "hierarchy";
/// Messages that are written and taken out of the outbox together.
const BATCH: u32 = 500;
/// Messages are gathered this long before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How often writing is tried again while the disk or the database refuses, about.
const AGAIN: Duration = Duration::from_secs(15);
/// Messages that wait at most for a log that cannot be written; the oldest go first.
const MOST_WAITING: u64 = 50_000;

/// Why the merged log is behind.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    File(#[from] LogFileError),
}

/// One of the two forms of the log.
struct Form {
    file: LogFile,
    line: fn(&StatusMessage) -> String,
    /// Everything up to this sequence of the outbox is in it.
    through: u64,
    /// Whether its end was compared with the outbox since the process started.
    compared: bool,
}

/// Keeps the merged log. Made by [`Journal::hierarchy_log`].
pub struct HierarchyLog {
    journal: Journal,
    store: Store,
    forms: Vec<Form>,
}

impl HierarchyLog {
    pub(crate) fn open(journal: Journal, store: Store) -> Result<Self, LogFileError> {
        let settings = journal.settings();
        let (folder, most) = (&settings.directory, settings.max_log_bytes);
        let mut forms = vec![Form {
            file: LogFile::open(folder, HIERARCHY_LOG, most)?,
            line: merged::line,
            through: 0,
            compared: false,
        }];
        if settings.json_lines {
            forms.push(Form {
                file: LogFile::open_json(folder, HIERARCHY_LOG, most)?,
                line: |message| JsonLine::of(message).format(),
                through: 0,
                compared: false,
            });
        }
        Ok(Self {
            journal,
            store,
            forms,
        })
    }

    /// Writes what arrives, until `stop` is told.
    pub async fn keep(mut self, stop: CancellationToken) {
        let mut arrived = self.journal.watch_outbox();
        arrived.mark_changed();
        let mut wait = GATHER;
        loop {
            tokio::select! {
                // The other end is in the journal that is held here.
                _ = arrived.changed() => {}
                () = stop.cancelled() => {
                    self.write().await;
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => continue,
            }
            wait = match self.write().await {
                true => GATHER,
                false => {
                    arrived.mark_changed();
                    self.journal.ambient().jitter(AGAIN)
                }
            };
        }
    }

    /// Writes what waits. Whether all of it was.
    async fn write(&mut self) -> bool {
        loop {
            match self.batch().await {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "the merged log is behind");
                    if let Err(error) = self.give_up_the_oldest().await {
                        tracing::debug!(%error, "what waits for the merged log was not bounded");
                    }
                    return false;
                }
            }
        }
    }

    /// Writes a batch and takes it out of the outbox. How many messages it had.
    async fn batch(&mut self) -> Result<usize, Error> {
        let waiting = self.store.read().await?.outbox(BATCH).await?;
        let Some((last, _)) = waiting.last() else {
            return Ok(0);
        };
        let (last, count) = (*last, waiting.len());
        let messages: Vec<(u64, StatusMessage)> = waiting
            .into_iter()
            .map(|(sequence, row)| (sequence, message_of(row)))
            .collect();
        let mut written = Ok(());
        for (index, form) in self.forms.iter_mut().enumerate() {
            let followed = (index == 0).then_some(&self.journal);
            let done = form.write(&messages, followed);
            written = written.and(done);
        }
        let through = self.forms.iter().map(|form| form.through).min();
        let through = through.unwrap_or(last).min(last);
        self.take_out(through).await?;
        written?;
        Ok(count)
    }

    async fn take_out(&self, through: u64) -> Result<(), store::Error> {
        // What a loss of power brings back is found at the end of the log.
        let mut tx = self.store.begin_repeatable().await?;
        tx.acknowledge_status(through).await?;
        tx.commit().await
    }

    /// Bounds what waits for a log that cannot be written.
    async fn give_up_the_oldest(&self) -> Result<(), store::Error> {
        let (waiting, first) = {
            let mut read = self.store.read().await?;
            (read.outbox_length().await?, read.outbox(1).await?)
        };
        let (Some(excess), Some((first, _))) = (waiting.checked_sub(MOST_WAITING), first.first())
        else {
            return Ok(());
        };
        if excess > 0 {
            self.take_out(first + excess - 1).await?;
            tracing::warn!(excess, "messages are left out of the merged log");
        }
        Ok(())
    }
}

impl Form {
    /// Writes what is not in the file yet; who follows the log is told by `followed`.
    fn write(
        &mut self,
        messages: &[(u64, StatusMessage)],
        followed: Option<&Journal>,
    ) -> Result<(), LogFileError> {
        let new = messages
            .iter()
            .filter(|(sequence, _)| *sequence > self.through);
        let mut lines: Vec<(u64, String)> = new
            .map(|(sequence, message)| (*sequence, (self.line)(message)))
            .collect();
        if !self.compared {
            let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
            let there = self.file.ends_with_first_of(&texts)?;
            for (sequence, _) in lines.drain(..there) {
                self.through = sequence;
            }
            self.compared = true;
        }
        for (sequence, line) in lines {
            self.file.append(&line)?;
            self.through = sequence;
            if let Some(journal) = followed {
                journal.tell_merged(&line);
            }
        }
        Ok(())
    }
}
