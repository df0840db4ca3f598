//! What a synchronization and the update files of the top-level site have to do with each other: the texts of licence
//! terms come with the updates, and files come from the upstream server, where it hosts them, and through the proxy, where
//! that is chosen.

use crate::ingest::{WsusUpstream, proxy_of};
use crate::secrets::Secret;
use content::Content;
use content::plan::Planner;
use content::source::{
    FileServer, HttpSource, HttpSourceError, Order, OrderError, ServerSource, Source,
};
use journal::{Journal, StatusId};
use settings::document::{Proxy, ProxyUse};
use std::sync::Arc;
use std::time::Duration;
use store::Error;
use sync::upstream::{Failure, RunHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a synchronization waits for texts of licence terms.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long for those that did not come before.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it looks whether they came, unless it is told.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is looked whether the password of the proxy is another.
const LOOK_AT_PROXY: Duration = Duration::from_secs(60);

/// What the way of update files depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesWay {
    /// The proxy as it is set, and its sealed password.
    proxy: (Proxy, Option<Vec<u8>>),
    /// The upstream server, where it hosts files.
    server: Option<FileServer>,
}

/// Where update files come from.
pub(crate) struct FileSources {
    server: Arc<ServerSource>,
    http: Arc<HttpSource>,
    /// What takes the place of both.
    instead: Option<Arc<dyn Source>>,
}

impl FileSources {
    /// Those of a site, of which nobody is asked yet before [`WsusUpstream::begin_files_way`].
    ///
    /// # Errors
    /// When the system has no way to ask anybody.
    pub(crate) fn new(
        upstream: &Arc<WsusUpstream>,
        instead: Option<Arc<dyn Source>>,
    ) -> Result<Self, HttpSourceError> {
        let upstream = Arc::downgrade(upstream);
        let order: Order = Arc::new(move |url, files| {
            let upstream = upstream.upgrade();
            Box::pin(async move {
                let Some(upstream) = upstream else {
                    return Err(OrderError::Later("the site ends".to_owned()));
                };
                upstream.order(&url, &files).await
            })
        });
        Ok(Self {
            server: Arc::new(ServerSource::new(order)),
            http: Arc::new(HttpSource::new(None)?),
            instead,
        })
    }

    /// All of them, the first one first.
    pub(crate) fn all(&self) -> Vec<Arc<dyn Source>> {
        match &self.instead {
            Some(instead) => vec![Arc::clone(instead)],
            None => vec![Arc::clone(&self.server) as _, Arc::clone(&self.http) as _],
        }
    }
}

/// The update files of the site, as a synchronization sees them.
pub(crate) struct UpdateFiles {
    pub(crate) planner: Planner,
    pub(crate) content: Content,
}

impl WsusUpstream {
    /// From now on a synchronization waits for licence terms.
    pub fn has_content(&self, planner: Planner, content: Content) {
        let files = UpdateFiles { planner, content };
        if self.files.set(files).is_err() {
            tracing::warn!("the update files of this site were given twice");
        }
    }

    /// Waits a while for the texts of licence terms that the synchronization brought the need for. Those that do not
    /// come end it as message 6708 and not as a failure: they are fetched when they can be.
    pub(crate) async fn await_licence_terms(&self, run: &RunHandle) {
        let Some(files) = self.files.get() else {
            return;
        };
        let missing = self.licence_terms(files, run).await;
        tell_of_licence_terms(run.journal(), run.id(), missing).await;
    }

    /// Says as message 6708 of how many updates texts of licence terms are missing after a package was taken in, with
    /// what it had of them. How many they are.
    pub(crate) async fn lacks_licence_terms(&self, journal: &Journal, run: Uuid) -> u64 {
        let Some(files) = self.files.get() else {
            return 0;
        };
        let missing = async {
            files.planner.settle().await?;
            self.store.read().await?.missing_licence_terms().await
        };
        let missing = missing.await.map(|missing| missing.updates);
        tell_of_licence_terms(journal, run, missing).await
    }

    /// Updates of which texts are missing still.
    async fn licence_terms(&self, files: &UpdateFiles, run: &RunHandle) -> Result<u64, Error> {
        files.planner.settle().await?;
        let missing = async || self.store.read().await?.missing_licence_terms().await;
        let mut held = missing().await?;
        if held.files == 0 {
            return Ok(0);
        }
        run.line(format!("Fetching {} texts of licence terms", held.files));
        // What did not come before is tried again with each synchronization.
        let mut tx = self.store.begin().await?;
        tx.retry_licence_terms(self.ambient.now()).await?;
        tx.commit().await?;
        files.content.nudge();
        let mut state = files.content.watch_state();
        let first = held.untried > 0;
        let end = Instant::now() + if first { PATIENCE } else { AGAIN };
        while held.files > 0 && Instant::now() < end {
            // Outside the window, or while nothing can be asked, nothing comes.
            let waits = !state.borrow_and_update().waits.is_empty();
            if waits || (first && held.untried == 0) {
                break;
            }
            tokio::select! {
                changed = state.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK) => {}
            }
            held = missing().await?;
        }
        Ok(held.updates)
    }

    /// The proxy for update files, as the settings choose it.
    async fn files_proxy(&self) -> Result<Option<wsus::client::Proxy>, Failure> {
        let settings = Arc::clone(&self.settings.borrow());
        match settings.proxy.use_for {
            ProxyUse::Synchronization => Ok(None),
            ProxyUse::SynchronizationAndContent => {
                let password = self.secret(Secret::ProxyPassword, &settings).await?;
                Ok(proxy_of(&settings.proxy, password))
            }
        }
    }

    /// What the way of update files depends on now.
    async fn files_way_now(&self) -> Result<FilesWay, Error> {
        let settings = Arc::clone(&self.settings.borrow());
        let name = Secret::ProxyPassword.name();
        let sealed = self.store.read().await?.secret(name).await?;
        Ok(FilesWay {
            proxy: (settings.proxy.clone(), sealed),
            server: self.file_host(&settings).await?,
        })
    }

    /// Has files come the way that settings and source choose for them, unless that was done already. Where their proxy
    /// cannot be used they wait: what has to go through a proxy does not go past it.
    async fn choose_files_way(
        &self,
        sources: &FileSources,
        held: Option<FilesWay>,
    ) -> Option<FilesWay> {
        let hold = |server: Option<&FileServer>, why: String| {
            sources.http.hold(why.clone());
            sources.server.hold(server, why);
        };
        let way = match self.files_way_now().await {
            Ok(way) => way,
            Err(error) => {
                tracing::error!(%error, "the way of update files is not known");
                if held.is_none() {
                    let why =
                        "which proxy update files go through is not known: the database failed";
                    hold(None, why.to_owned());
                }
                return held;
            }
        };
        if held.as_ref() == Some(&way) {
            return held;
        }
        let server = way.server.as_ref();
        let set = match self.files_proxy().await {
            Ok(proxy) => {
                let set = sources.http.set_proxy(proxy.as_ref());
                set.map(|()| proxy).map_err(|error| error.to_string())
            }
            Err(failure) => Err(failure.message),
        };
        match set {
            Ok(proxy) => {
                // The addresses of updates can be asked all the same.
                if let Err(error) = sources.server.set(server, proxy.as_ref()) {
                    tracing::error!(%error, "update files cannot be fetched from the upstream server");
                }
                let name = server.map_or("none", |server| server.url.as_str());
                tracing::info!(server = name, "the upstream server that hosts update files");
                // What could not be asked for the other way need not wait.
                if let Some(files) = self.files.get() {
                    files.content.try_now();
                }
                Some(way)
            }
            Err(why) => {
                tracing::error!(why, "update files wait for their proxy");
                hold(
                    server,
                    format!("the proxy for update files cannot be used: {why}"),
                );
                None
            }
        }
    }

    /// Has files come the way that settings and source choose for them, before the first one is asked for.
    pub(crate) async fn begin_files_way(&self, sources: &FileSources) -> Option<FilesWay> {
        self.choose_files_way(sources, None).await
    }

    /// Keeps files coming the way that settings and source choose for them, until `stop` is told.
    pub(crate) async fn keep_files_way(
        self: Arc<Self>,
        sources: FileSources,
        mut held: Option<FilesWay>,
        stop: CancellationToken,
    ) {
        let mut settings = self.settings.clone();
        loop {
            settings.mark_unchanged();
            held = self.choose_files_way(&sources, held).await;
            tokio::select! {
                changed = settings.changed() => if changed.is_err() { return },
                () = self.files_way.notified() => {}
                () = tokio::time::sleep(LOOK_AT_PROXY) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Says of how many updates texts are missing, where that is so. How many they are.
async fn tell_of_licence_terms(journal: &Journal, run: Uuid, missing: Result<u64, Error>) -> u64 {
    match missing {
        Ok(0) => 0,
        Ok(updates) => {
            let inserts = vec![updates.to_string()];
            let id = StatusId::LicenseTermsPending;
            journal.record(id, Some(run), inserts).await;
            updates
        }
        Err(error) => {
            tracing::error!(%error, "which licence terms are missing could not be found out");
            0
        }
    }
}
