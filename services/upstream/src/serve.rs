//! The running stand-in.

use crate::generator::GeneratorSettings;
use crate::load;
use crate::source::{Published, ServedCatalog};
use daemon::Ambient;
use rand::Rng as _;
use std::future::IntoFuture;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;
use wsus::server::{ServerSettings, router};

/// Folder of content files in a folder of documents.
const CONTENT: &str = "Content";

/// What to serve, and how it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamSettings {
    /// Where the catalog comes from.
    pub source: SourceSettings,
    /// How often a change is published by itself; `None` means never.
    pub evolve: Option<Duration>,
    /// How much of the catalog a change concerns, in percent of its updates.
    pub evolve_percent: f64,
}

/// Where the catalog comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSettings {
    /// It is generated.
    Generate(GeneratorSettings),
    /// It is the content of a package of `wsusutil export`.
    Package(PathBuf),
    /// It is made of the documents in a folder.
    Directory(PathBuf),
}

/// Why the stand-in cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalog could not be filled.
    #[error(transparent)]
    Load(#[from] load::Error),
    /// Filling the catalog broke.
    #[error("the catalog could not be filled")]
    Broken(#[from] tokio::task::JoinError),
    /// The address could not be bound.
    #[error("cannot listen on {address}; is another server running there?")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Listening or waiting for signals failed.
    #[error("the server cannot go on")]
    Serve(#[from] io::Error),
    /// A package or a folder does not change.
    #[error("only a generated catalog can publish changes")]
    Fixed,
}

/// A stand-in with its catalog. Cloning gives another handle on the same.
#[derive(Debug, Clone)]
pub struct Upstream {
    catalog: ServedCatalog,
    settings: Arc<UpstreamSettings>,
    ambient: Ambient,
}

impl Upstream {
    /// Fills the catalog. Serving is up to [`Upstream::serve`].
    ///
    /// # Errors
    /// The package or folder cannot be read.
    pub async fn open(settings: UpstreamSettings, ambient: Ambient) -> Result<Self, Error> {
        let source = settings.source.clone();
        let fill = move || match source {
            SourceSettings::Generate(settings) => Ok(load::generated(settings)),
            SourceSettings::Package(path) => load::package(&path),
            SourceSettings::Directory(path) => load::directory(&path),
        };
        let catalog = tokio::task::spawn_blocking(fill).await??;
        Ok(Self {
            catalog,
            settings: Arc::new(settings),
            ambient,
        })
    }

    /// The catalog.
    pub fn catalog(&self) -> &ServedCatalog {
        &self.catalog
    }

    /// Publishes a change of about `percent` of the catalog's updates now: new updates, new revisions and
    /// withdrawals, which the next synchronization with an earlier anchor delivers. What changes follows from
    /// the seed and from how many changes came before.
    ///
    /// # Errors
    /// The catalog was not generated.
    pub fn publish_changes(&self, percent: f64) -> Result<Published, Error> {
        let now = self.ambient.now();
        let published = self.catalog.publish_changes(percent, now);
        let published = published.ok_or(Error::Fixed)?;
        tracing::info!(
            added = published.added,
            revised = published.revised,
            expired = published.expired,
            "published a change of the catalog"
        );
        Ok(published)
    }

    /// The services over the catalog, with a new key for cookies: whoever held one opens a new session.
    pub fn router(&self) -> axum::Router {
        router(Arc::new(self.catalog.clone()), self.server_settings())
    }

    /// Serves until `shutdown` is cancelled, and publishes changes: at the interval of the settings, and
    /// whenever the process receives `SIGUSR1`.
    ///
    /// # Errors
    /// Waiting for signals, or the listener, fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        let mut wishes = signal(SignalKind::user_defined1())?;
        let mut router = self.router();
        if let Some(folder) = self.content_folder() {
            let base = format!("http://{}", listener.local_addr()?);
            let files = self.catalog.offer_content(&folder, &base)?;
            tracing::info!(files, folder = %folder.display(), "content files are handed out");
            router = router.merge(ServedCatalog::content_router(&folder));
        }
        let server = axum::serve(listener, router)
            .with_graceful_shutdown(shutdown.clone().cancelled_owned())
            .into_future();
        tokio::pin!(server);
        let mut ticks = self.settings.evolve.map(|every| {
            let mut ticks = interval_at(Instant::now() + every, every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        loop {
            tokio::select! {
                ended = &mut server => return Ok(ended?),
                Some(()) = wishes.recv() => {}
                true = tick(&mut ticks) => {}
            }
            if let Err(error) = self.publish_changes(self.settings.evolve_percent) {
                tracing::warn!(%error, "no change was published");
            }
        }
    }

    /// Where the content files of a folder of documents lie, where it has some.
    fn content_folder(&self) -> Option<PathBuf> {
        match &self.settings.source {
            SourceSettings::Directory(folder) => {
                Some(folder.join(CONTENT)).filter(|folder| folder.is_dir())
            }
            SourceSettings::Generate(_) | SourceSettings::Package(_) => None,
        }
    }

    fn server_settings(&self) -> ServerSettings {
        let mut cookie_key = [0; 32];
        self.ambient.new_rng().fill_bytes(&mut cookie_key);
        let (clock, ids) = (self.ambient.clock(), self.ambient.clone());
        ServerSettings {
            cookie_key,
            cookie_lifetime: ServerSettings::COOKIE_LIFETIME,
            max_updates_per_request: ServerSettings::MAX_UPDATES_PER_REQUEST,
            clock: Arc::new(move || clock.now()),
            new_id: Arc::new(move || ids.new_id()),
        }
    }
}

/// Waits for the next tick; for ever where there are none.
async fn tick(ticks: &mut Option<tokio::time::Interval>) -> bool {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
            true
        }
        None => std::future::pending().await,
    }
}

/// Fills the catalog, says on standard output in one line what is served and where, and serves on
/// `listener` until `shutdown` is cancelled.
///
/// # Errors
/// The catalog cannot be filled, or the listener fails.
pub async fn run(
    settings: UpstreamSettings,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let upstream = Upstream::open(settings, Ambient::system()).await?;
    let (revisions, address) = (upstream.catalog().len(), listener.local_addr()?);
    println!("serving {revisions} revisions on http://{address}");
    upstream.serve(listener, shutdown).await
}

#[cfg(test)]
mod tests;
