//! Removing files that nothing needs any more, once that is so for long enough.
//!
//! Who brings a file holds its claim, and so does who removes it: a file on its way is passed over. First the row
//! goes, then the file: what is killed in between leaves a file that costs room and that nobody believes to be there.

use crate::{Content, Removal};
use daemon::Ambient;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use store::content::{ContentState, ContentSum};
use store::{Error, Store};
use tokio_util::sync::CancellationToken;

/// Files that one clean-up removes at most.
const MOST: u32 = match cfg!(feature = "simulation") {
    true => 50,
    false => 20_000,
};
/// Files that are looked for at a time.
const AT_ONCE: u32 = 200;
/// Wait between two clean-ups.
const EVERY: Duration = match cfg!(feature = "simulation") {
    true => Duration::from_secs(60),
    false => Duration::from_secs(60 * 60),
};
/// Wait after one that did not come to its end.
const RETRY: Duration = Duration::from_secs(60);
/// Days that what a downstream server asked for is kept, unless it asks again.
const ASKED_DAYS: u16 = 30;

/// What a site chose about files that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether they are removed.
    pub enabled: bool,
    /// Days that they stay.
    pub days: u16,
}

/// What became of files that nothing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Removed, or what would be.
    pub removed: ContentSum,
    /// Left: not for long enough, or for the next clean-up.
    pub kept: ContentSum,
    /// Of these, passed over because something is at work on them.
    pub busy: u64,
}

/// A clean-up that was broken off.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The database.
    #[error(transparent)]
    Store(#[from] Error),
    /// The store of content files.
    #[error(
        "the file {name} could not be removed from the content store: check its disk and its rights"
    )]
    Files {
        /// Which.
        name: String,
        /// Why.
        source: crate::Error,
    },
}

/// Some days of 24 hours before a time.
pub fn days_before(time: Timestamp, days: u16) -> Timestamp {
    let span = SignedDuration::from_hours(24 * i64::from(days));
    time.checked_sub(span).unwrap_or(Timestamp::MIN)
}

/// Removes files that nothing has needed for some days, or counts them. Broken off at any point, it goes on when it
/// is called again.
///
/// # Errors
/// When the database or the store of files fails. What was done stays.
pub async fn clean(
    store: &Store,
    content: &Content,
    ambient: &Ambient,
    days: u16,
    dry_run: bool,
) -> Result<Outcome, CleanError> {
    let now = ambient.now();
    let before = days_before(now, days);
    if dry_run {
        let (old, all) = store.read().await?.count_unneeded_content(before).await?;
        return Ok(Outcome {
            removed: old,
            kept: rest(all, old),
            busy: 0,
        });
    }
    let mut tx = store.begin().await?;
    let asked = tx
        .forget_asked(days_before(now, ASKED_DAYS), MOST, now)
        .await?;
    let noted = tx.note_unneeded_content(now).await?;
    match asked + noted {
        0 => drop(tx),
        _ => tx.commit().await?,
    }
    let mut outcome = Outcome::default();
    let mut skipped = 0;
    while outcome.removed.files < u64::from(MOST) {
        let found = {
            let mut read = store.read().await?;
            read.content_unneeded_since(before, AT_ONCE + skipped)
                .await?
        };
        let new = found.into_iter().skip(skipped as usize);
        let mut any = false;
        for unneeded in new {
            any = true;
            match remove(store, content, &unneeded.sha1).await? {
                Removal::Removed => {
                    outcome.removed.files += 1;
                    outcome.removed.bytes += unneeded.bytes;
                }
                Removal::Busy => {
                    skipped += 1;
                    outcome.busy += 1;
                }
                // It is not listed any more.
                Removal::NotUnneeded => {}
            }
        }
        if !any {
            break;
        }
    }
    let (_, all) = store.read().await?.count_unneeded_content(before).await?;
    outcome.kept = all;
    Ok(outcome)
}

fn rest(all: ContentSum, part: ContentSum) -> ContentSum {
    ContentSum {
        files: all.files.saturating_sub(part.files),
        bytes: all.bytes.saturating_sub(part.bytes),
        had: 0,
    }
}

async fn remove(store: &Store, content: &Content, sha1: &[u8; 20]) -> Result<Removal, CleanError> {
    let row = store.read().await?.content(sha1).await?;
    let Some(row) = row.filter(|row| row.state == ContentState::Unneeded) else {
        return Ok(Removal::NotUnneeded);
    };
    let removed = content.remove(&row.file).await;
    removed.map_err(|source| CleanError::Files {
        name: row.file.name,
        source,
    })
}

/// Cleans up every hour, until `stop` is told. The rule is that of the settings in force.
pub async fn keep(
    store: Store,
    content: Content,
    ambient: Ambient,
    rule: impl Fn() -> Rule + Send + Sync,
    stop: CancellationToken,
) {
    let mut wait = EVERY;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        let rule = rule();
        if !rule.enabled {
            wait = EVERY;
            continue;
        }
        wait = match clean(&store, &content, &ambient, rule.days, false).await {
            Ok(outcome) => {
                if outcome.removed.files > 0 {
                    let (files, bytes) = (outcome.removed.files, outcome.removed.bytes);
                    tracing::info!(files, bytes, "update files that nothing needs were removed");
                }
                EVERY
            }
            Err(error) => {
                tracing::error!(%error, "the clean-up of update files did not come to its end; it is tried again");
                RETRY
            }
        };
    }
}
