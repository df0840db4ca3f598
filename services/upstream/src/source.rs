//! The catalog in memory, and what it answers to downstream servers.

mod content;
mod language;
mod state;

#[cfg(test)]
mod tests;

pub(crate) use state::{Body, Revision, State};

use catalog::RevisionId;
use jiff::Timestamp;
use state::Unreadable;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use wsus::anchor::Anchor;
use wsus::message::{ConfigData, RevisionFilter, RevisionList};
use wsus::selection::Selection;
use wsus::server::{ServerIdentity, ServerSettings, Source, SourceError, StoredUpdate};

/// Most revisions in one `GetUpdateDecryptionData`, as Microsoft Update has it.
const MAX_DECRYPTION_REQUEST: u32 = 500;

/// A list of more revisions is made on a thread where that may take time.
const LIST_ASIDE: usize = 20_000;

/// A catalog that is served from memory. Cloning gives another handle on the same catalog.
#[derive(Debug, Clone)]
pub struct ServedCatalog {
    state: Arc<RwLock<State>>,
    identity: ServerIdentity,
}

/// What a change of the catalog published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// How many revisions of new updates.
    pub added: usize,
    /// How many new revisions of updates that stay published.
    pub revised: usize,
    /// How many new revisions that withdraw an update.
    pub expired: usize,
    /// The time of the change: anchors before it deliver it.
    pub at: Timestamp,
}

impl ServedCatalog {
    pub(crate) fn new(state: State) -> Self {
        Self {
            identity: ServerIdentity {
                server_id: state.fingerprint(),
            },
            state: Arc::new(RwLock::new(state)),
        }
    }

    /// How many revisions it can deliver, older ones of the same update among them.
    pub fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Changes about `percent` of a generated catalog, at `now` or, where a list was handed out for that very
    /// time, a millisecond after it, so that every anchor handed out before delivers the change. `None`
    /// where the catalog was not generated: a package or a folder never changes.
    pub fn publish_changes(&self, percent: f64, now: Timestamp) -> Option<Published> {
        self.write().evolve(percent, now)
    }

    /// Withdraws the oldest updates that nothing bundles, up to `most` of them: they are listed no more. How
    /// many that were.
    pub fn withdraw(&self, most: usize) -> usize {
        self.write().withdraw(most)
    }

    /// Hands out the files of a folder that is laid out as the content store of WSUS, and tells downstream servers
    /// that they are at `base`, the address of this server. How many there are.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn offer_content(&self, folder: &Path, base: &str) -> io::Result<usize> {
        let files = content::files_in(folder)?;
        let count = files.len();
        self.write().add_addresses(
            files
                .into_iter()
                .map(|(sha1, path)| (sha1, format!("{base}/Content/{path}"))),
        );
        Ok(count)
    }

    /// What hands out the files of such a folder.
    pub(crate) fn content_router(folder: &Path) -> axum::Router {
        content::router(folder.to_owned())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        // Readers leave nothing half changed, and a writer that panicked has added whole revisions only.
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for ServedCatalog {
    fn identity(&self) -> ServerIdentity {
        self.identity.clone()
    }

    async fn config(
        &self,
        anchor: Option<&str>,
        now: Timestamp,
    ) -> Result<ConfigData, SourceError> {
        // Languages never change here, so whoever has an anchor has them all.
        let languages = match anchor {
            Some(_) => Vec::new(),
            None => language::all(),
        };
        Ok(ConfigData {
            catalog_only_sync: true,
            lazy_sync: true,
            server_hosts_psf_files: true,
            max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
            max_updates_per_decryption_request: MAX_DECRYPTION_REQUEST,
            new_config_anchor: Anchor::new(0, now).to_string(),
            protocol_version: Some(wsus::client::PROTOCOL_VERSION.to_owned()),
            languages,
            ..ConfigData::default()
        })
    }

    async fn revisions(
        &self,
        filter: &RevisionFilter,
        now: Timestamp,
    ) -> Result<RevisionList, SourceError> {
        let selection =
            Selection::new(filter).map_err(|_| SourceError::InvalidParameter("filter"))?;
        if self.len() <= LIST_ASIDE {
            return Ok(self.read().list(&selection, now));
        }
        let this = self.clone();
        // Looks at every revision, which may take a moment in a catalog of a million.
        let list = tokio::task::spawn_blocking(move || this.read().list(&selection, now));
        list.await
            .map_err(|error| SourceError::Failed(error.to_string()))
    }

    async fn updates(&self, ids: &[RevisionId]) -> Result<Vec<Option<StoredUpdate>>, SourceError> {
        let state = self.read();
        let stored = ids.iter().map(|&id| state.stored(id));
        stored
            .collect::<Result<_, Unreadable>>()
            .map_err(|error| SourceError::Failed(error.to_string()))
    }
}
