//! What a site holds, read from its database: the rows, and the documents as files, which is what the
//! baselines carry.

use anyhow::Context as _;
use catalog::codec;
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use std::path::Path;
use store::log::ChangeRow;
use store::{Location, Store};

/// Changes that are read at a time.
const AT_ONCE: usize = 1000;
const BYTES_AT_ONCE: u64 = 4 << 20;

/// The changes after a position, as a site holds them now.
pub async fn changes(data_dir: &Path, after: u64) -> anyhow::Result<Vec<ChangeRow>> {
    let store = Store::open(&Location::Directory(data_dir.to_owned())).await?;
    let mut found = Vec::new();
    let mut at = after;
    loop {
        let mut read = store.read().await?;
        let limit = read.positions().verified;
        let slice = read
            .changes_after(at, limit, AT_ONCE, BYTES_AT_ONCE)
            .await?;
        if slice.changes.is_empty() {
            break;
        }
        at = slice.through;
        found.extend(slice.changes);
    }
    store.close().await;
    Ok(found)
}

/// Whether a change is one of a revision: only revisions have documents.
fn is_of_revision(change: &ChangeRow) -> anyhow::Result<bool> {
    Ok(ItemKey::from_bytes(&change.key)?.revision().is_some())
}

/// Bytes of the documents as they were published.
pub fn document_bytes(changes: &[ChangeRow]) -> anyhow::Result<u64> {
    let mut live = Vec::with_capacity(changes.len());
    for change in changes.iter().filter(|change| !change.removed) {
        if is_of_revision(change)? {
            live.push(change);
        }
    }
    let live = live.into_iter();
    live.map(|change| Ok(RevisionHeader::from_bytes(&change.header)?.document_bytes))
        .sum()
}

/// Writes the documents as files, 256 folders of them.
pub fn write_documents(changes: &[ChangeRow], folder: &Path) -> anyhow::Result<()> {
    for change in changes {
        if !is_of_revision(change)? {
            continue;
        }
        let name: String = change
            .key
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // Keys are of a kind, then of the update: the third byte is an evenly spread one.
        let shelf = folder.join(name.get(4..6).context("a key is too short")?);
        std::fs::create_dir_all(&shelf)?;
        let file = shelf.join(format!("{name}.xml"));
        if change.removed {
            std::fs::remove_file(file).ok();
        } else {
            std::fs::write(file, codec::decompress(&change.document)?)?;
        }
    }
    Ok(())
}

/// Size of a database that is at rest: its file and what belongs to it, in bytes.
pub fn database_bytes(data_dir: &Path) -> u64 {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|end| {
            let file = data_dir.join(format!("{}{end}", store::DATABASE_FILE));
            std::fs::metadata(file).ok().map(|data| data.len())
        })
        .sum()
}
