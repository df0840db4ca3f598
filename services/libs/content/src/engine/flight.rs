//! Fetching one file: from where it stands, from one source after the other, part by part.

use crate::CHUNK;
use crate::digest::Mismatch;
use crate::files::{Claim, Finished, Partial, Verdict};
use crate::limits::{Pace, Patience};
use crate::plane::Content;
use crate::source::{Memory, Source, SourceError};
use crate::transfers::Transfer;
use bytes::{Bytes, BytesMut};
use catalog::content::MAX_FILE_BYTES;
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use store::content::{ContentFailure, ContentRow, ContentState};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bytes that are written at once.
const WRITE: usize = 256 << 10;
/// Times that one source may break off a file in one attempt, if each time something came.
const BREAKS: u32 = 20;
/// Pause between two such questions.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Wait after a first attempt that failed; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// Of so many attempts in a row at which a source was asked to fetch a file itself, the last one asks the others for it.
const ORDERED_ALONE: u32 = 8;
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// What became of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It came, and lies in the store.
    Stored {
        /// From where.
        source: String,
        /// Its length.
        size: u64,
    },
    /// It lay in the store already.
    Held,
    /// It did not come.
    Failed {
        /// Why.
        why: String,
        /// How often that was so.
        attempts: u32,
    },
    /// The source has it not yet; why.
    NotYet(String),
    /// A source fetches it by itself; which.
    Ordered(String),
    /// What came is not what the catalog says.
    Quarantined {
        /// From where.
        source: String,
        /// In what it differs.
        mismatch: Mismatch,
    },
    /// The source cannot be asked at all, or the database cannot take what became of the file: no other one would fare
    /// better now.
    Away(String),
    /// The disk of the store has no room for more of it; what that says.
    NoRoom(String),
    /// Somebody else brings it: it is looked at again soon.
    Later,
    /// The site stops, or the time for it is over.
    Stopped,
}

/// Why fetching from one source ended before the file's end.
enum Ended {
    Source(SourceError),
    Disk(io::Error),
    /// There is no room for more of it.
    Room(String),
    /// The site stops, or the time for it is over.
    Time,
}

impl From<SourceError> for Ended {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// One attempt to fetch one file.
pub(super) struct Flight {
    pub content: Content,
    pub pace: Arc<Pace>,
    pub stop: CancellationToken,
    pub patience: Patience,
    /// How often before this in a row the source had it not yet.
    pub not_yet: u32,
}

impl Flight {
    /// Fetches a file, and notes in the table what became of it.
    pub async fn fetch(self, row: ContentRow) -> Outcome {
        let transfer = self.content.inner.transfers.begin(row.file.id(), row.had);
        // Held until the table says what became of it, so that nobody removes in between what it will say is here.
        let claim = self.content.files().claim(row.file.id());
        let (outcome, had) = match &claim {
            Some(claim) => self.attempt(&row, claim, &transfer).await,
            None => (Outcome::Later, row.had),
        };
        if let Err(error) = self.note(&row, &outcome, had).await {
            tracing::error!(%error, file = %row.file.id(), "what became of a content file cannot be noted");
            // The table says still what it said before, also that it is this file's turn.
            return Outcome::Away(format!(
                "what became of {} cannot be noted: {error}",
                row.file.id()
            ));
        }
        // Who waits for its bytes looks at the table when the transfer is dropped.
        outcome
    }

    async fn attempt(
        &self,
        row: &ContentRow,
        claim: &Claim,
        transfer: &Transfer,
    ) -> (Outcome, u64) {
        let failed = |error: &io::Error| Outcome::Failed {
            why: format!("the content store failed: {error}"),
            attempts: row.attempts + 1,
        };
        let files = self.content.files();
        let file = &row.file;
        if file.size > MAX_FILE_BYTES {
            let outcome = Outcome::Failed {
                why: too_large(file.size),
                attempts: row.attempts + 1,
            };
            return (outcome, 0);
        }
        match files.look_through(file).await {
            Ok(Verdict::Good) => return (Outcome::Held, file.size),
            Ok(Verdict::Missing) => {}
            Ok(Verdict::Bad(_)) => {
                if let Err(error) = files.put_aside(claim, file).await {
                    return (failed(&error), row.had);
                }
            }
            Err(error) => return (failed(&error), row.had),
        }
        let mut partial = match files.partial(claim.clone(), file).await {
            Ok(partial) => partial,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return (Outcome::Later, row.had);
            }
            Err(error) => return (failed(&error), row.had),
        };
        transfer.has(partial.had());
        let sources = &self.content.inner.parts.sources;
        let mut outcome = Outcome::Failed {
            why: "there is no source that has it: the catalog has no address for it".to_owned(),
            attempts: row.attempts + 1,
        };
        // Who sent rubbish does not send it again and again: each attempt begins with another one.
        let usable: Vec<_> = sources
            .iter()
            .filter(|source| source.may_have(file))
            .collect();
        let first = match (usable.len(), row.state) {
            (1.., ContentState::Quarantined) => row.attempts as usize % usable.len(),
            (_, ContentState::Unneeded | ContentState::Wanted | ContentState::Present)
            | (0, ContentState::Quarantined) => 0,
        };
        let turns = usable.iter().cycle().skip(first).take(usable.len());
        for source in turns {
            let name = source.name(file);
            let ended = self.from(source.as_ref(), &mut partial, transfer).await;
            let had = partial.had();
            match ended {
                Ok(()) => {}
                Err(Ended::Time) => return (Outcome::Stopped, had),
                Err(Ended::Disk(error)) => return (failed(&error), had),
                Err(Ended::Room(why)) => return (Outcome::NoRoom(why), had),
                Err(Ended::Source(SourceError::Ordered(why))) => {
                    if !matches!(outcome, Outcome::Quarantined { .. }) {
                        outcome = Outcome::Ordered(format!("{name}: {why}"));
                    }
                    // It comes from there. Only where that takes long the next one is asked.
                    if !self.not_yet.wrapping_add(1).is_multiple_of(ORDERED_ALONE) {
                        break;
                    }
                    continue;
                }
                Err(Ended::Source(error)) => {
                    if !matches!(outcome, Outcome::Quarantined { .. } | Outcome::Ordered(_)) {
                        outcome = failure(error, &name, row.attempts);
                    }
                    continue;
                }
            }
            let size = file.size;
            match partial.finish().await {
                Ok(Finished::Stored) => return (Outcome::Stored { source: name, size }, size),
                Ok(Finished::Quarantined(mismatch)) => {
                    transfer.has(0);
                    outcome = Outcome::Quarantined {
                        source: name,
                        mismatch,
                    };
                }
                Err(error) => return (failed(&error), had),
            }
            // The next source begins at the beginning.
            partial = match files.partial(claim.clone(), file).await {
                Ok(partial) => partial,
                Err(error) => return (failed(&error), 0),
            };
        }
        let had = partial.had();
        (outcome, had)
    }

    /// Fetches from one source to the file's end.
    async fn from(
        &self,
        source: &dyn Source,
        partial: &mut Partial,
        transfer: &Transfer,
    ) -> Result<(), Ended> {
        let mut memory = Memory::default();
        let mut breaks = 0;
        let begin = Instant::now();
        while partial.had() < partial.file().size {
            let before = partial.had();
            let ended = self.part(source, partial, transfer, &mut memory).await;
            match ended {
                Ok(()) => {}
                Err(Ended::Source(SourceError::Changed(_))) if breaks < BREAKS => {
                    breaks += 1;
                    partial.begin_anew().await.map_err(Ended::Disk)?;
                    transfer.has(0);
                }
                Err(Ended::Source(SourceError::Broken(_)))
                    if partial.had() > before && breaks < BREAKS =>
                {
                    breaks += 1;
                }
                Err(Ended::Source(SourceError::NotYet(_)))
                    if begin.elapsed() < self.patience.not_yet =>
                {
                    let pause = self.content.inner.parts.ambient.jitter(ASK_AGAIN);
                    tokio::time::sleep(pause).await;
                }
                Err(ended) => return Err(ended),
            }
        }
        Ok(())
    }

    /// Fetches from where the file stands to the end of a part.
    async fn part(
        &self,
        source: &dyn Source,
        partial: &mut Partial,
        transfer: &Transfer,
        memory: &mut Memory,
    ) -> Result<(), Ended> {
        let open = {
            let now = self.content.inner.parts.ambient.now();
            self.content.inner.limits.borrow().open(now)
        };
        if self.stop.is_cancelled() || !open {
            return Err(Ended::Time);
        }
        let (from, size) = (partial.had(), partial.file().size);
        let end = ((from / CHUNK + 1) * CHUNK).min(size);
        let end = end.min(from + self.pace.part());
        if let Some(why) = self.content.no_room_for(end - from) {
            return Err(Ended::Room(why));
        }
        // Paid for before it is asked for, and then read as fast as it comes: what lies unread on the link would keep
        // everything else that goes over it waiting.
        self.pace.take(end - from).await;
        let file = partial.file().clone();
        let answer = source.fetch(&file, from..end, memory);
        let silent = || SourceError::Broken("it fell silent".to_owned());
        let answer = tokio::time::timeout(self.patience.silence, answer).await;
        let mut pieces = answer.map_err(|_| silent())??;
        let mut buffer = BytesMut::new();
        let mut waited = Duration::ZERO;
        let mut part_end = end;
        let ended = loop {
            let begin = Instant::now();
            let piece = match tokio::time::timeout(self.patience.silence, pieces.next()).await {
                Ok(Some(Ok(piece))) => piece,
                Ok(Some(Err(error))) => break Err(Ended::Source(error)),
                Ok(None) => break Ok(()),
                Err(_) => break Err(Ended::Source(silent())),
            };
            if piece.is_empty() {
                // Who knows no ranges sends again what is there already; it is let go by.
                waited = Duration::ZERO;
                continue;
            }
            let came = partial.had() + (buffer.len() + piece.len()) as u64;
            if came > size {
                let why = "it sent more than the catalog says the file has".to_owned();
                break Err(Ended::Source(SourceError::Refused(why)));
            }
            // Who knows no ranges goes on; each part has its time.
            if came > part_end {
                part_end = ((came / CHUNK + 1) * CHUNK).min(size);
                waited = Duration::ZERO;
                if let Some(why) = self.content.no_room_for(part_end - came) {
                    break Err(Ended::Room(why));
                }
            }
            waited += begin.elapsed();
            if waited > self.patience.slowest_part {
                // Not worth going on with: others have their turn.
                let why = "it is too slow".to_owned();
                break Err(Ended::Source(SourceError::Refused(why)));
            }
            // Who knows no ranges sends more than was paid for.
            let unpaid = came.saturating_sub(end).min(piece.len() as u64);
            self.pace.take(unpaid).await;
            transfer.received(piece.len() as u64);
            buffer.extend_from_slice(&piece);
            if buffer.len() >= WRITE {
                self.write(partial, transfer, &mut buffer).await?;
            }
            if self.stop.is_cancelled() {
                break Err(Ended::Time);
            }
        };
        self.write(partial, transfer, &mut buffer).await?;
        ended?;
        match partial.had() > from {
            true => Ok(()),
            false => Err(SourceError::Broken("it sent nothing".to_owned()).into()),
        }
    }

    async fn write(
        &self,
        partial: &mut Partial,
        transfer: &Transfer,
        buffer: &mut BytesMut,
    ) -> Result<(), Ended> {
        if buffer.is_empty() {
            return Ok(());
        }
        let bytes: Bytes = buffer.split().freeze();
        partial.append(bytes).await.map_err(Ended::Disk)?;
        transfer.has(partial.had());
        Ok(())
    }

    async fn note(
        &self,
        row: &ContentRow,
        outcome: &Outcome,
        had: u64,
    ) -> Result<(), store::Error> {
        let parts = &self.content.inner.parts;
        let sha1 = &row.file.sha1;
        // What a loss of power undoes is found out and done again.
        let mut tx = parts.store.begin_repeatable().await?;
        // When it may be written, and not when that was waited for: packages ask what came since the one before.
        let now = parts.ambient.now();
        let failure = match outcome {
            Outcome::Stored { .. } | Outcome::Held => {
                tx.content_came(sha1, now).await?;
                return tx.commit().await;
            }
            Outcome::Failed { why, .. } => ContentFailure {
                why,
                had,
                next_attempt: self.after(now, (FIRST_WAIT, LONGEST_WAIT), row.attempts),
                quarantined: false,
                counts: true,
            },
            Outcome::NotYet(why) | Outcome::Ordered(why) => {
                let Patience {
                    first_not_yet_wait,
                    longest_not_yet_wait,
                    ..
                } = self.patience;
                let waits = (first_not_yet_wait, longest_not_yet_wait);
                ContentFailure {
                    why,
                    had,
                    next_attempt: self.after(now, waits, self.not_yet),
                    quarantined: false,
                    counts: false,
                }
            }
            Outcome::Quarantined { source, mismatch } => ContentFailure {
                why: &format!("what came from {source} was refused: {mismatch}"),
                had,
                next_attempt: self.after(now, (FIRST_WAIT, LONGEST_WAIT), row.attempts),
                quarantined: true,
                counts: true,
            },
            Outcome::Away(_) | Outcome::NoRoom(_) | Outcome::Later | Outcome::Stopped => {
                ContentFailure {
                    why: &row.last_error,
                    had,
                    next_attempt: match matches!(outcome, Outcome::Later | Outcome::NoRoom(_)) {
                        true => self.after(now, (ASK_AGAIN, ASK_AGAIN), 0),
                        false => now,
                    },
                    quarantined: false,
                    counts: false,
                }
            }
        };
        tx.content_failed(sha1, &failure).await?;
        tx.commit().await
    }

    /// When to try again after so many attempts, with the first wait and the longest one.
    fn after(
        &self,
        now: Timestamp,
        (first, longest): (Duration, Duration),
        attempts: u32,
    ) -> Timestamp {
        let doubled = first.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX));
        let ambient = &self.content.inner.parts.ambient;
        let wait = ambient.jitter(doubled.min(longest));
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_hours(1));
        now.checked_add(wait).unwrap_or(now)
    }
}

/// What becomes of a file that a source did not give.
fn failure(error: SourceError, name: &str, attempts: u32) -> Outcome {
    match error {
        SourceError::Away(why) => Outcome::Away(format!("{name}: {why}")),
        SourceError::NotYet(why) => Outcome::NotYet(format!("{name}: {why}")),
        SourceError::Ordered(why) => Outcome::Ordered(format!("{name}: {why}")),
        error @ (SourceError::Refused(_) | SourceError::Broken(_) | SourceError::Changed(_)) => {
            Outcome::Failed {
                why: format!("{name}: {error}"),
                attempts: attempts + 1,
            }
        }
    }
}

/// Why a file is not fetched that claims to be larger than any is.
fn too_large(bytes: u64) -> String {
    format!(
        "the catalog says that it has {bytes} bytes, and files of more than {MAX_FILE_BYTES} bytes are not fetched"
    )
}
