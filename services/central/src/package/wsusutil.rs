//! Packages of wsusutil: what is checked of one, and how the catalog becomes one.

use super::check::Checked;
use super::format::Change;
use super::staged::Staging;
use super::{Error, Progress};
use crate::ingest::Prepared;
use catalog::category::CategoryTree;
use catalog::document::{CategoryType, Update};
use catalog::header::RevisionHeader;
use catalog::item::ItemKey;
use catalog::order::topological;
use catalog::relations::Relations;
use catalog::well_known::CLASSIFICATIONS;
use catalog::{Problem, RevisionId, UpdateId, codec, document};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use store::Store;
use store::query::RevisionRow;
use wsus::package::{Package, PackageFile, PackageInfo, PackageUpdate, Scratch, Writer};

/// How often an export begins anew because the catalog changed.
const MOST_TRIES: u32 = 3;
/// Changes that are read at a time, and their bytes.
const PAGE: usize = 500;
const PAGE_BYTES: u64 = 8 << 20;
/// Revisions that are read over one connection.
const AT_ONCE: usize = 200;

/// Reads a package of wsusutil as a whole.
pub(super) fn check(path: &Path, folder: &Path, progress: &Progress<'_>) -> Result<Checked, Error> {
    let package = Package::open(path)?;
    let mut urls = HashMap::new();
    for file in package.files() {
        if let Some(name) = &file.name {
            check_name(name)?;
        }
        if let Some(url) = &file.url {
            check_url(url)?;
            urls.insert(file.digest, url.clone());
        }
    }
    let mut staging = Staging::new(folder)?;
    let total = package.updates().len() as u64;
    let mut done = 0;
    let mut failed = None;
    package.read(|update, text| {
        let staged = Prepared::new(update.id, &text, &urls)
            .map_err(|why| Error::Revision {
                id: update.id,
                why: Problem::new(why),
            })
            .and_then(|prepared| {
                Ok(staging.push(&Change {
                    key: ItemKey::Revision(update.id),
                    header: prepared.header.to_bytes(),
                    document: prepared.stored,
                    removed: false,
                })?)
            });
        done += 1;
        if done % 50 == 0 || done == total {
            progress("reading the package", done, total);
        }
        match staged {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    Ok(Checked {
        files: None,
        staged: staging.finish()?,
        source: None,
        manifest: None,
        origin: format!("server {}", package.info().server_id),
        revisions: done,
        settings: None,
        remarks: Vec::new(),
    })
}

/// Whether a name of a file stays within a folder.
fn check_name(name: &str) -> Result<(), Error> {
    let leaves = name.starts_with(['/', '\\'])
        || name.contains(':')
        || name.split(['/', '\\']).any(|part| part == "..");
    match leaves {
        false => Ok(()),
        true => Err(Error::Trick(Problem::new(format!(
            "a file with the name {name:?}, which leads out of its folder"
        )))),
    }
}

/// Whether an address is one of the web.
pub(super) fn check_url(url: &str) -> Result<(), Error> {
    let scheme = url
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => Ok(()),
        _ => Err(Error::Trick(Problem::new(format!(
            "a file with the address {url:?}, which is none of the web"
        )))),
    }
}

/// Writes the verified catalog; the file, and how many revisions are in it.
pub(super) async fn write(
    store: &Store,
    folder: &Path,
    info: impl Fn() -> PackageInfo,
    tree: &CategoryTree,
    progress: &Progress<'_>,
) -> Result<(File, u64), Error> {
    for _ in 0..MOST_TRIES {
        let before = store.positions();
        if before.verified == 0 {
            return Err(Error::Nothing);
        }
        let order = in_order(store, before.verified, progress).await?;
        let scratch = Scratch {
            files: tempfile::tempfile_in(folder)?,
            updates: tempfile::tempfile_in(folder)?,
            documents: tempfile::tempfile_in(folder)?,
        };
        let mut writer = Writer::new(info(), scratch);
        let total = order.len() as u64;
        for chunk in order.chunks(AT_ONCE) {
            let mut read = store.read().await?;
            for id in chunk {
                if let Some(row) = read.revision(*id).await? {
                    add(&mut writer, &row, tree)?;
                }
            }
            progress("writing documents", writer.revisions(), total);
        }
        let after = store.positions();
        // What is shown is what was shown in the beginning: one catalog, and not parts of two.
        if (after.epoch, after.verified) == (before.epoch, before.verified) {
            let revisions = writer.revisions();
            let file = tempfile::tempfile_in(folder)?;
            progress("packing", 0, 0);
            let file = tokio::task::spawn_blocking(move || writer.finish(file));
            let file = file.await.map_err(|_| Error::Cancelled)??;
            return Ok((file, revisions));
        }
    }
    Err(Error::Restless)
}

/// All revisions that are shown, each behind what it needs.
async fn in_order(
    store: &Store,
    verified: u64,
    progress: &Progress<'_>,
) -> Result<Vec<RevisionId>, Error> {
    let mut relations = Vec::new();
    let mut after = 0;
    loop {
        let slice = {
            let mut read = store.read().await?;
            read.changes_after(after, verified, PAGE, PAGE_BYTES)
                .await?
        };
        if slice.changes.is_empty() {
            break;
        }
        after = slice.through;
        for change in slice.changes.into_iter().filter(|change| !change.removed) {
            let key = ItemKey::from_bytes(&change.key).ok();
            if let Some(id) = key.and_then(ItemKey::revision) {
                relations.push(Relations::from(&parsed(id, &change.document)?.1));
            }
        }
        progress("ordering the catalog", after, verified);
    }
    let order = topological(&relations).into_iter();
    Ok(order.map(|place| relations[place].id).collect())
}

fn parsed(id: RevisionId, stored: &[u8]) -> Result<(String, Update), Error> {
    let bad = |why: &dyn std::fmt::Display| Error::Revision {
        id,
        why: Problem::new(why),
    };
    let text = codec::decompress(stored).map_err(|error| bad(&error))?;
    let update = document::parse(&text).map_err(|error| bad(&error))?;
    Ok((text, update))
}

fn add(writer: &mut Writer<File>, row: &RevisionRow, tree: &CategoryTree) -> Result<(), Error> {
    let (text, update) = parsed(row.id, &row.document)?;
    let header = RevisionHeader::from_bytes(&row.header).map_err(|error| Error::Revision {
        id: row.id,
        why: Problem::new(error),
    })?;
    let urls: HashMap<[u8; 20], &str> = header
        .file_locations
        .iter()
        .map(|location| (location.sha1, location.mu_url.as_str()))
        .collect();
    let named = update
        .files
        .iter()
        .map(|file| (file.sha1, &file.name))
        .chain(update.eula_files.iter().map(|file| (file.sha1, &file.name)));
    let mut met = HashSet::new();
    let files: Vec<PackageFile> = named
        .filter(|(digest, _)| met.insert(*digest))
        .map(|(digest, name)| PackageFile {
            digest,
            url: urls.get(&digest).map(|url| (*url).to_owned()),
            name: Some(name.clone()),
        })
        .collect();
    let mut entry = PackageUpdate {
        id: row.id,
        file_digests: files.iter().map(|file| file.digest).collect(),
        categories: Vec::new(),
        classifications: Vec::new(),
    };
    if !header.is_configuration() {
        let all: BTreeSet<UpdateId> = header.categories.iter().copied().collect();
        for id in all {
            match is_classification(id, tree) {
                true => entry.classifications.push(id),
                false => entry.categories.push(id),
            }
        }
    }
    Ok(writer.add(&entry, &files, &text)?)
}

fn is_classification(id: UpdateId, tree: &CategoryTree) -> bool {
    match tree.get(id) {
        Some(category) => category.kind == CategoryType::UpdateClassification,
        None => CLASSIFICATIONS.iter().any(|known| known.id == id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_that_lead_elsewhere_are_refused() {
        for name in ["a.cab", "sub/a.cab", "a..b.cab", "KB1-x64 (1).msu"] {
            check_name(name).unwrap();
        }
        for name in [
            "../a",
            "a/../../b",
            "..\\a",
            "/etc/passwd",
            "\\\\host\\share",
            "C:\\a",
            "..",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for url in ["http://x.example/a", "HTTPS://x.example/a"] {
            check_url(url).unwrap();
        }
        for url in [
            "file:///etc/passwd",
            "/etc/passwd",
            "ftp://x/a",
            "javascript:1",
            "",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
