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

/// A catalog as far as it was read.
struct Read {
    /// The catalog that it was when it was read last.
    positions: Positions,
    /// The position below which the log did not say then when something changed.
    floor: u64,
    /// Place in the log up to which it was read.
    after: u64,
    draft: Draft,
}

impl Read {
    /// Whether the log tells, above the place where this stands, everything that became of it since: what was
    /// replaced comes again above the position that was verified then.
    fn goes_on(&self, now: Positions, floor: u64) -> bool {
        let known = self.positions;
        // What a comparison took over lies anywhere up to the floor, which rose with it.
        (known.epoch, known.generation) == (now.epoch, now.generation)
            && known.verified <= now.verified
            && (floor <= self.floor || self.after > floor)
    }
}

/// What tells one verified catalog from another.
type Catalog = (uuid::Uuid, u64, u64);

fn of(positions: Positions) -> Catalog {
    (positions.epoch, positions.verified, positions.generation)
}

/// Follows the verified position until `stop` is told.
pub async fn keep(site: Site, source: Arc<Source>, stop: CancellationToken) {
    let mut positions = site.store.watch_positions();
    let mut held: Option<Read> = None;
    let mut served: Option<Catalog> = None;
    loop {
        positions.mark_unchanged();
        let failed = match follow(&site, &source, &mut held, &mut served).await {
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
async fn follow(
    site: &Site,
    source: &Source,
    held: &mut Option<Read>,
    served: &mut Option<Catalog>,
) -> Result<(), store::Error> {
    let now = site.store.positions();
    if now.verified == 0 || *served == Some(of(now)) {
        return Ok(());
    }
    catch_up(&site.store, held).await?;
    let Some(read) = held else { return Ok(()) };
    let mut tx = site.store.begin().await?;
    let Positions {
        epoch, verified, ..
    } = read.positions;
    let note = tx
        .note_downstream_position((epoch, verified), read.floor, site.ambient.now())
        .await?;
    tx.commit().await?;
    let draft = read.draft.clone();
    let now_served = of(read.positions);
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
    *served = Some(now_served);
    Ok(())
}

/// Reads what changed since `held`, or everything where that cannot be told. Another catalog may be verified
/// between two pages, and then it is that one which is read on. What was read until a failure stays in `held`.
async fn catch_up(store: &Store, held: &mut Option<Read>) -> Result<(), store::Error> {
    while read_on(store, held, PAGE).await? {}
    Ok(())
}

/// Reads one page more; whether there may be another.
async fn read_on(store: &Store, held: &mut Option<Read>, page: u32) -> Result<bool, store::Error> {
    let mut read = store.read().await?;
    let (positions, floor) = (read.positions(), read.floor().await?);
    let known = held.take().filter(|known| known.goes_on(positions, floor));
    let current = held.insert(Read {
        positions,
        floor,
        after: known.as_ref().map_or(0, |known| known.after),
        draft: known.map(|known| known.draft).unwrap_or_default(),
    });
    let changes = read.shown_changes_after(current.after, page).await?;
    drop(read);
    let Some(last) = changes.last() else {
        current.after = positions.verified;
        current.draft.tidy();
        return Ok(false);
    };
    let reached = last.position;
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
    current.after = reached;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: Positions = Positions {
        epoch: uuid::Uuid::from_u128(1),
        head: 200,
        verified: 100,
        generation: 1,
    };

    #[track_caller]
    fn check(after: u64, now: Positions, floor: u64, goes_on: bool) {
        let read = Read {
            positions: KNOWN,
            floor: 40,
            after,
            draft: Draft::default(),
        };
        assert_eq!(read.goes_on(now, floor), goes_on, "{after} {now:?} {floor}");
    }

    #[test]
    fn reading_goes_on_where_the_log_tells_what_became_of_what_was_read() {
        let later = Positions {
            verified: 150,
            ..KNOWN
        };
        // Also in the middle of a catalog, and below a floor that did not rise.
        for after in [10, 60, 100] {
            check(after, KNOWN, 40, true);
            check(after, later, 40, true);
        }
        check(60, later, 50, true);
        check(60, later, 60, false);
        check(60, later, 70, false);
        check(100, later, 100, false);
        for other in [
            Positions {
                epoch: uuid::Uuid::from_u128(2),
                ..later
            },
            Positions {
                generation: 2,
                ..later
            },
            Positions {
                verified: 90,
                ..KNOWN
            },
        ] {
            check(60, other, 40, false);
        }
    }
}
