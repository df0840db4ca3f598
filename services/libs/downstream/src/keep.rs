//! Keeps what is served at the verified position: reads what changed, makes another index, and lets it take the
//! place of the one before as a whole.

use crate::index::{Draft, Index};
use crate::source::Source;
use link::Site;
use std::sync::Arc;
use std::time::Duration;
use store::{Positions, Store};
use tokio_util::sync::CancellationToken;

use crate::index::Change;

/// Changes that are read at a time, with their documents.
const PAGE: u32 = 100;
/// Wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// A catalog as it was read last.
struct Read {
    positions: Positions,
    draft: Draft,
}

/// Follows the verified position until `stop` is told.
pub async fn keep(site: Site, source: Arc<Source>, stop: CancellationToken) {
    let mut positions = site.store.watch_positions();
    let mut held: Option<Read> = None;
    loop {
        positions.mark_unchanged();
        let failed = match follow(&site, &source, &mut held).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!(%error, "the catalog could not be read for downstream servers");
                true
            }
        };
        tokio::select! {
            changed = positions.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE), if failed => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Catches up with the verified position, where it moved.
async fn follow(site: &Site, source: &Source, held: &mut Option<Read>) -> Result<(), store::Error> {
    let now = site.store.positions();
    let is_served = |read: &Read| of(read.positions) == of(now);
    if now.verified == 0 || held.as_ref().is_some_and(is_served) {
        return Ok(());
    }
    let (read, floor) = catch_up(&site.store, held.take()).await?;
    let mut tx = site.store.begin().await?;
    let Positions {
        epoch, verified, ..
    } = read.positions;
    let note = tx
        .note_downstream_position((epoch, verified), floor, site.ambient.now())
        .await?;
    tx.commit().await?;
    let draft = read.draft.clone();
    let index = tokio::task::spawn_blocking(move || Index::new(&draft, note)).await;
    let index = match index {
        Ok(index) => index,
        Err(error) => {
            tracing::error!(%error, "the catalog could not be put in order for downstream servers");
            return Ok(());
        }
    };
    let (revisions, withheld) = (index.len(), index.withheld());
    tracing::info!(
        position = verified,
        revisions,
        withheld,
        "downstream servers get the catalog of this position"
    );
    source.serve(index);
    *held = Some(read);
    Ok(())
}

/// What tells one verified catalog from another.
fn of(positions: Positions) -> (uuid::Uuid, u64, u64) {
    (positions.epoch, positions.verified, positions.generation)
}

/// Reads what changed since `held`, or everything where that cannot be told; and the floor.
async fn catch_up(store: &Store, mut held: Option<Read>) -> Result<(Read, u64), store::Error> {
    // Another catalog may be verified between two pages, and then it is that one which is read on.
    let mut after = 0;
    let mut reading: Option<Read> = None;
    loop {
        let mut read = store.read().await?;
        let (positions, floor) = (read.positions(), read.floor().await?);
        let mut current = match reading.take() {
            Some(current) if of(current.positions) == of(positions) => current,
            interrupted => {
                let known = interrupted
                    .is_none()
                    .then(|| held.take())
                    .flatten()
                    .filter(|known| continues(known.positions, positions, floor));
                after = known.as_ref().map_or(0, |known| known.positions.verified);
                let draft = known.map(|known| known.draft).unwrap_or_default();
                Read { positions, draft }
            }
        };
        let changes = read.shown_changes_after(after, PAGE).await?;
        drop(read);
        let Some(last) = changes.last() else {
            current.draft.tidy();
            return Ok((current, floor));
        };
        after = last.position;
        let read = tokio::task::spawn_blocking(move || {
            let changes = changes.into_iter().map(Change::read);
            changes.collect::<Vec<Change>>()
        });
        match read.await {
            Ok(changes) => changes
                .into_iter()
                .for_each(|change| current.draft.put(change)),
            Err(error) => tracing::error!(%error, "a part of the catalog could not be read"),
        }
        reading = Some(current);
    }
}

/// Whether the log tells everything that happened between two catalogs.
fn continues(known: Positions, now: Positions, floor: u64) -> bool {
    (known.epoch, known.generation) == (now.epoch, now.generation)
        && known.verified <= now.verified
        && known.verified >= floor
}
