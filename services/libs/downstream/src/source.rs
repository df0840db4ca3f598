//! The verified catalog of the site, as the server of MS-WSUSSS asks for it.

use crate::allow::Admission;
use crate::index::{Delta, Entry, Index, NamedFile, Since};
use crate::limits::Wishes;
use arc_swap::ArcSwapOption;
use catalog::header::{FileLocation, RevisionHeader};
use catalog::{RevisionId, codec};
use jiff::Timestamp;
use link::Site;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use store::query::RevisionRow;
use uuid::Uuid;
use wsus::anchor::Anchor;
use wsus::message::{ConfigData, Deployments, FileUrl, Language, RevisionFilter, RevisionList};
use wsus::selection::Selection;
use wsus::server::{
    DeploymentAnchors, DownstreamServer, ServerIdentity, ServerReport, ServerSettings, Session,
    SourceError, StoredUpdate,
};

/// A list over more revisions is made on a thread where that may take time.
const LIST_ASIDE: usize = 20_000;
/// Documents together longer than this, in their stored form, are unpacked on a thread where that may take time.
const UNPACK_ASIDE: usize = 128 << 10;

/// Told which files downstream servers wish to have; whether it takes them now.
pub type Wanted = Arc<dyn Fn(&[[u8; 20]]) -> bool + Send + Sync>;

/// The catalog of a site, as it is served.
pub struct Source {
    pub(crate) site: Site,
    /// Identifier of the site as an upstream server.
    server_id: Uuid,
    pub(crate) admission: Admission,
    /// Where the site has the files of updates: who fetches those that are wished for.
    wanted: Option<Wanted>,
    wishes: Wishes,
    index: ArcSwapOption<Index>,
}

impl Source {
    /// The catalog of a site, before the first index: everybody is told to come back.
    pub fn new(site: Site, server_id: Uuid, admission: Admission, wanted: Option<Wanted>) -> Self {
        Self {
            site,
            server_id,
            admission,
            wanted,
            wishes: Wishes::default(),
            index: ArcSwapOption::empty(),
        }
    }

    /// Serves this from now on.
    pub fn serve(&self, index: Index) {
        self.index.store(Some(Arc::new(index)));
    }

    /// What is served.
    ///
    /// # Errors
    /// [`SourceError::Busy`] before the first catalog.
    pub fn index(&self) -> Result<Arc<Index>, SourceError> {
        self.index.load_full().ok_or(SourceError::Busy)
    }

    /// What somebody has who holds an anchor.
    async fn since(
        &self,
        index: &Index,
        anchor: Option<Anchor>,
        now: Timestamp,
    ) -> Result<Since, SourceError> {
        let Some(anchor) = anchor else {
            return Ok(Since::Beginning);
        };
        // The newest anchor may be ahead of a clock that was set back.
        if anchor.time > now && anchor.time > index.note.time {
            return Ok(Since::Everything);
        }
        let mut read = self.site.store.read().await.map_err(failed)?;
        let note = read
            .downstream_position(anchor.time)
            .await
            .map_err(failed)?;
        let note = note.filter(|note| note.position == anchor.counter);
        Ok(match note {
            Some(note) if note.is_continued_by(index.note.epoch, index.note.floor) => {
                Since::Position(note.position)
            }
            // Of another server, of another history, or from before the places of the log meant anything.
            Some(_) | None => Since::Beginning,
        })
    }

    async fn read(&self, ids: &[RevisionId]) -> Result<Vec<Option<RevisionRow>>, SourceError> {
        let mut read = self.site.store.read().await.map_err(failed)?;
        let mut found = read.shown_documents(ids).await.map_err(failed)?;
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }
}

/// A failure of the database. What it was stays here.
pub(crate) fn failed(error: store::Error) -> SourceError {
    SourceError::Failed(error.to_string())
}

fn anchor(index: &Index) -> Anchor {
    Anchor::new(index.note.position, index.note.time)
}

/// The anchor of an answer. Who holds one of a time that has not come keeps it: it was handed out by another server,
/// and stands for the beginning when that time is there.
fn reached(index: &Index, since: Since, held: Option<Anchor>) -> Anchor {
    match (since, held) {
        (Since::Everything, Some(held)) => held,
        _ => anchor(index),
    }
}

/// A revision as it is sent: its document, and where its files are.
fn unpack(index: &Index, row: RevisionRow) -> Result<Option<StoredUpdate>, SourceError> {
    let Some(entry) = index.entry(row.id) else {
        return Ok(None);
    };
    let id = row.id;
    let unreadable = |error: &dyn std::fmt::Display| {
        SourceError::Failed(format!("the stored revision {id} cannot be read: {error}"))
    };
    let header = RevisionHeader::from_bytes(&row.header).map_err(|error| unreadable(&error))?;
    let document = codec::decompress(&row.document).map_err(|error| unreadable(&error))?;
    Ok(Some(StoredUpdate {
        document: Arc::from(document),
        file_digests: entry.files.iter().map(|file| file.sha1).collect(),
        file_urls: file_urls(entry, header.file_locations),
    }))
}

/// Where the files of a revision are at Microsoft Update, its licence texts among them. There are servers that refuse
/// an answer which leaves out a file that the document names: one without a known address has its digest alone.
fn file_urls(entry: &Entry, locations: Vec<FileLocation>) -> Vec<FileUrl> {
    let mut named: HashSet<[u8; 20]> = locations.iter().map(|file| file.sha1).collect();
    let known = locations.into_iter().map(|file| FileUrl {
        digest: file.sha1.to_vec(),
        mu_url: Some(file.mu_url),
        uss_url: None,
    });
    let mut urls: Vec<FileUrl> = known.collect();
    let files = entry.files.iter().chain(&entry.licences);
    let rest = files.filter(|file| named.insert(file.sha1));
    urls.extend(rest.map(|file| FileUrl {
        digest: file.sha1.to_vec(),
        ..FileUrl::default()
    }));
    urls
}

/// What a site says of itself: whether it has the files of updates, or downstream servers fetch them from Microsoft
/// Update. What they wish for is fetched whatever the settings say about downloads, express installation files like
/// any other, and Microsoft Update has both kinds, so those are always offered.
fn config(anchor: Anchor, has_content: bool, languages: Vec<Language>) -> ConfigData {
    ConfigData {
        catalog_only_sync: !has_content,
        lazy_sync: true,
        server_hosts_psf_files: true,
        max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
        max_updates_per_decryption_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
        new_config_anchor: anchor.to_string(),
        protocol_version: Some(wsus::client::PROTOCOL_VERSION.to_owned()),
        languages,
        ..ConfigData::default()
    }
}

/// The identifier of the catalog in which anchors are given out: those of another history mean nothing here.
/// After a restart it is the same as before, so that whoever comes before the first index is told to come back,
/// not to start again.
fn catalog_of(server: Uuid, served: Option<Uuid>, stored: Uuid) -> Uuid {
    let epoch = served.unwrap_or(stored);
    let mut hash = blake3::Hasher::new_derive_key("headwater 2026-11-22 upstream server");
    hash.update(server.as_bytes());
    hash.update(epoch.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize().as_bytes()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

impl wsus::server::Source for Source {
    fn identity(&self) -> ServerIdentity {
        let served = self.index.load().as_ref().map(|index| index.note.epoch);
        let stored = self.site.store.positions().epoch;
        ServerIdentity {
            server_id: catalog_of(self.server_id, served, stored),
        }
    }

    async fn config(
        &self,
        config_anchor: Option<&str>,
        _: Timestamp,
    ) -> Result<ConfigData, SourceError> {
        let index = self.index()?;
        // Languages never change here, so whoever has an anchor has them all.
        let languages = match config_anchor {
            Some(_) => Vec::new(),
            None => wsus::language::all(),
        };
        Ok(config(anchor(&index), self.wanted.is_some(), languages))
    }

    async fn revisions(
        &self,
        session: &Session,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        let invalid = SourceError::InvalidParameter("filter");
        let Ok(selection) = Selection::new(filter) else {
            return Err(invalid);
        };
        let held = filter.anchor.as_deref().map(str::parse).transpose();
        let held = held.map_err(|_| invalid)?;
        let index = self.index()?;
        let since = self.since(&index, held, now).await?;
        let protocol = session.protocol;
        let anchor = reached(&index, since, held).to_string();
        let revisions = if index.len() <= LIST_ASIDE {
            index.list(&selection, since, protocol)
        } else {
            let list = move || index.list(&selection, since, protocol);
            tokio::task::spawn_blocking(list)
                .await
                .map_err(|error| SourceError::Failed(error.to_string()))?
        };
        Ok(RevisionList { anchor, revisions })
    }

    fn document_bytes(&self, ids: &[RevisionId]) -> Vec<usize> {
        let index = self.index.load();
        let length = |id: &RevisionId| {
            let entry = index.as_ref().and_then(|index| index.entry(*id));
            entry.map_or(0, |entry| entry.document_bytes)
        };
        ids.iter().map(length).collect()
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        let index = self.index()?;
        let rows = self.read(ids).await?;
        let stored: usize = rows.iter().flatten().map(|row| row.document.len()).sum();
        let unpack_all = move || {
            let unpacked = rows
                .into_iter()
                .map(|row| row.map_or(Ok(None), |row| unpack(&index, row)));
            unpacked.collect::<Result<Vec<_>, _>>()
        };
        if stored <= UNPACK_ASIDE {
            return unpack_all();
        }
        tokio::task::spawn_blocking(unpack_all)
            .await
            .map_err(|error| SourceError::Failed(error.to_string()))?
    }

    async fn deployments(
        &self,
        session: &Session,
        anchors: &DeploymentAnchors,
        now: Timestamp,
    ) -> Result<Deployments, SourceError> {
        let index = self.index()?;
        let since = self.since(&index, anchors.deployments, now).await?;
        let knows = match self.since(&index, anchors.revisions, now).await? {
            // It was listed nothing.
            Since::Everything => Since::Position(0),
            knows @ (Since::Beginning | Since::Position(_)) => knows,
        };
        let mut answer = index.deployments(Delta { since, knows }, session.protocol);
        // What the replica was not told now, because it does not know what it is about, it is told next time.
        let reached = match (knows, anchors.revisions) {
            (Since::Position(position), Some(held)) if position < index.note.position => held,
            _ => reached(&index, since, anchors.deployments),
        };
        answer.anchor = reached.to_string();
        Ok(answer)
    }

    async fn download_files(
        &self,
        client: Option<IpAddr>,
        digests: &[Vec<u8>],
    ) -> Result<(), SourceError> {
        let index = self.index()?;
        let mut known: Vec<NamedFile> = Vec::with_capacity(digests.len());
        let mut missing: Vec<Vec<u8>> = Vec::new();
        for digest in digests {
            let sha1: Option<[u8; 20]> = digest.as_slice().try_into().ok();
            match sha1.and_then(|sha1| index.file(&sha1)) {
                Some(file) => known.push(file),
                None => missing.push(digest.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(SourceError::FileDigestsMissing(missing));
        }
        if let Some(wanted) = &self.wanted {
            let files: Vec<[u8; 20]> = known.iter().map(|file| file.sha1).collect();
            if !self.wishes.take(client, &known) || !wanted(&files) {
                return Err(SourceError::Busy);
            }
        }
        Ok(())
    }

    async fn admit(&self, server: &DownstreamServer, now: Timestamp) -> Result<(), SourceError> {
        self.admit_server(server, now).await
    }

    async fn rolled_up(
        &self,
        reporter: Option<IpAddr>,
        servers: &[ServerReport],
        now: Timestamp,
    ) -> Result<(), SourceError> {
        self.keep_reports(reporter, servers, now).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_the_first_index_the_catalog_is_the_one_that_is_stored() {
        let [server, epoch, other] = [1, 2, 3].map(Uuid::from_u128);
        let served = catalog_of(server, Some(epoch), epoch);
        assert_eq!(catalog_of(server, None, epoch), served);
        // Another epoch is another catalog when it is served, and not before.
        assert_eq!(catalog_of(server, Some(epoch), other), served);
        assert_ne!(catalog_of(server, None, other), served);
        assert_ne!(catalog_of(other, None, epoch), served);
    }

    #[test]
    fn express_files_are_offered_by_a_site_with_files_and_by_one_without() {
        let anchor = Anchor::new(7, Timestamp::UNIX_EPOCH);
        let [with, without] = [true, false].map(|content| config(anchor, content, vec![]));
        assert!(!with.catalog_only_sync && with.lazy_sync && with.server_hosts_psf_files);
        assert!(without.catalog_only_sync && without.server_hosts_psf_files);
    }

    #[test]
    fn every_file_of_a_revision_is_named_once_with_its_address_or_without() {
        let location = |number: u8| FileLocation {
            sha1: [number; 20],
            mu_url: format!("http://download.example/{number}"),
        };
        let file = |number: u8| NamedFile {
            sha1: [number; 20],
            bytes: 10,
        };
        let entry = Entry {
            id: RevisionId::new(catalog::UpdateId::from_u128(1), 1),
            position: 1,
            is_config: false,
            category: None,
            categories: Box::new([]),
            prerequisites: Box::new([]),
            bundled: Box::new([]),
            files: [1, 2, 3, 2].map(file).into(),
            licences: [8, 9].map(file).into(),
            document_bytes: 0,
            protocol: None,
        };
        let urls = file_urls(&entry, [1, 3, 9].map(location).into());
        let urls = urls
            .iter()
            .map(|url| (url.digest[0], url.mu_url.as_deref()));
        assert_eq!(
            urls.collect::<Vec<_>>(),
            [
                (1, Some("http://download.example/1")),
                (3, Some("http://download.example/3")),
                (9, Some("http://download.example/9")),
                (2, None),
                (8, None),
            ]
        );
    }
}
