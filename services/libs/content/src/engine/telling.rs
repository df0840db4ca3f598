//! What is told of fetching: status messages, lines of the log, and the state that reports show.

use super::flight::Outcome;
use crate::plane::Content;
use catalog::content::ContentId;
use jiff::SignedDuration;
use journal::{StatusId, phrases};
use link::content::ContentState;
use std::time::Duration;
use tokio::time::Instant;

/// After how many attempts it is a status message that a file does not come.
const TOLD_AFTER: u32 = 3;
/// Such messages from one beginning to the end; the rest are lines of the process's own log.
const MOST_TOLD: u32 = 20;
/// How often progress is a line of the log.
const LINE: Duration = Duration::from_secs(30);
/// How much the newest rate counts, as the share of what is shown.
const NEWEST: f64 = 0.3;

/// Tells what happens.
pub(super) struct Telling {
    content: Content,
    /// Set while content is synchronized.
    round: Option<Round>,
    measured: (Instant, u64),
    rate: f64,
}

/// From the first file that has its turn until nothing is to come.
struct Round {
    began: Instant,
    files: u64,
    bytes: u64,
    told: u32,
    line: Instant,
}

impl Telling {
    pub fn new(content: Content) -> Self {
        Self {
            content,
            round: None,
            measured: (Instant::now(), 0),
            rate: 0.0,
        }
    }

    async fn record(&self, id: StatusId, inserts: Vec<String>) {
        self.content
            .inner
            .parts
            .journal
            .record(id, None, inserts)
            .await;
    }

    /// Notes that a file is begun.
    pub async fn began(&mut self) {
        if self.round.is_some() {
            return;
        }
        let now = Instant::now();
        self.round = Some(Round {
            began: now,
            files: 0,
            bytes: 0,
            told: 0,
            line: now,
        });
        let totals = async { self.content.store().read().await?.content_totals().await };
        match totals.await {
            Ok(totals) => {
                let (files, bytes) = (totals.files_to_go(), totals.bytes_to_go());
                let inserts = vec![files.to_string(), bytes.to_string()];
                self.record(StatusId::ContentSyncStarted, inserts).await;
            }
            Err(error) => tracing::error!(%error, "how much content is to come cannot be read"),
        }
    }

    /// Notes what became of a file.
    pub async fn ended(&mut self, id: ContentId, outcome: &Outcome) {
        let name = id.to_string();
        match outcome {
            Outcome::Stored { source, size } => {
                tracing::info!(file = name, source, size, "a content file came");
                if let Some(round) = &mut self.round {
                    round.files += 1;
                    round.bytes += size;
                }
            }
            Outcome::Held => {
                tracing::info!(file = name, "a content file was in the store already");
                if let Some(round) = &mut self.round {
                    round.files += 1;
                }
            }
            Outcome::Failed { why, attempts } => {
                tracing::info!(file = name, attempts, why, "a content file did not come");
                if *attempts == TOLD_AFTER && self.may_tell() {
                    let inserts = vec![name, attempts.to_string(), why.clone()];
                    self.record(StatusId::ContentFileFailed, inserts).await;
                }
            }
            Outcome::Quarantined { source, mismatch } => {
                tracing::warn!(file = name, source, %mismatch, "a content file was refused");
                if self.may_tell() {
                    let inserts = vec![name, source.clone(), mismatch.to_string()];
                    self.record(StatusId::ContentFileRefused, inserts).await;
                }
            }
            Outcome::NotYet(why) => {
                tracing::debug!(file = name, why, "the source has it not yet");
            }
            Outcome::Ordered(why) => tracing::debug!(file = name, why, "the source fetches it"),
            Outcome::Away(why) => tracing::debug!(file = name, why, "the source is away"),
            Outcome::NoRoom(why) => tracing::warn!(file = name, why, "a content file has to wait"),
            Outcome::Later | Outcome::Stopped => {
                tracing::debug!(file = name, "a content file is fetched later");
            }
        }
    }

    fn may_tell(&mut self) -> bool {
        let Some(round) = &mut self.round else {
            return true;
        };
        round.told += 1;
        round.told <= MOST_TOLD
    }

    /// Tells the state, and that all is there where it is.
    pub async fn tell(&mut self, waits: String) -> Result<(), store::Error> {
        let inner = &self.content.inner;
        let totals = self.content.store().read().await?.content_totals().await?;
        let (under_way, more) = inner.transfers.uncounted();
        let received = inner.transfers.received();
        let (at, before) = self.measured;
        let elapsed = at.elapsed().as_secs_f64();
        if elapsed >= 1.0 {
            #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
            let newest = (received - before) as f64 / elapsed;
            self.rate = match self.rate > 0.0 {
                true => NEWEST * newest + (1.0 - NEWEST) * self.rate,
                false => newest,
            };
            self.measured = (Instant::now(), received);
        }
        if under_way == 0 {
            self.rate = 0.0;
        }
        let bytes_to_go = totals.bytes_to_go().saturating_sub(more);
        let to_go = totals.files_to_go();
        #[expect(clippy::cast_precision_loss, reason = "an estimate need not be exact")]
        let left = (self.rate >= 1.0 && to_go > 0)
            .then(|| SignedDuration::try_from_secs_f64(bytes_to_go as f64 / self.rate).ok())
            .flatten();
        let now = inner.parts.ambient.now();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is a small number of bytes"
        )]
        let state = ContentState {
            files: totals.present.files,
            bytes: totals.present.bytes,
            files_to_go: to_go,
            bytes_to_go,
            under_way,
            bytes_per_second: self.rate as u64,
            done_at: left.and_then(|left| now.checked_add(left).ok()),
            failing: totals.failing,
            quarantined: totals.quarantined.files,
            waits: if to_go > 0 { waits } else { String::new() },
            received,
        };
        inner.state.send_if_modified(|held| {
            let changed = *held != state;
            held.clone_from(&state);
            changed
        });
        self.line(&state, left);
        if to_go == 0
            && under_way == 0
            && let Some(round) = self.round.take()
        {
            let took = phrases::duration(round.began.elapsed());
            let inserts = vec![round.files.to_string(), round.bytes.to_string(), took];
            self.record(StatusId::ContentSyncDone, inserts).await;
        }
        Ok(())
    }

    fn line(&mut self, state: &ContentState, left: Option<SignedDuration>) {
        let Some(round) = &mut self.round else { return };
        if state.under_way == 0 || round.line.elapsed() < LINE {
            return;
        }
        round.line = Instant::now();
        let left = left.and_then(|left| Duration::try_from(left).ok());
        let line = phrases::content_progress(
            state.files_to_go,
            state.bytes_to_go,
            state.bytes_per_second,
            left,
        );
        self.content.inner.parts.journal.line(None, line);
    }
}
