//! The settings in force at a child site: those of its verified catalog, and no others.

use journal::StatusId;
use link::Site;
use settings::roll_out::RollOut;
use std::sync::Arc;
use std::time::Duration;
use sync::Policy;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Wait after the database failed.
const RETRY: Duration = Duration::from_secs(15);

/// The settings in force at a child site; none before its first catalog with settings in it.
#[derive(Clone, Default)]
pub struct InForce {
    settings: watch::Sender<Option<Arc<RollOut>>>,
    version: watch::Sender<u64>,
}

impl InForce {
    /// Tells the settings in force, now and whenever they change.
    pub fn watch(&self) -> watch::Receiver<Option<Arc<RollOut>>> {
        self.settings.subscribe()
    }

    /// Tells the number of their version.
    pub fn watch_version(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Takes over the settings of the verified catalog. What cannot be read changes nothing: the last good ones
    /// stay in force, and the error is told.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(&self, site: &Site) -> Result<Option<String>, store::Error> {
        let content = site.store.read().await?.rolled_out_settings().await?;
        let read = content.map(|content| RollOut::from_content(&content));
        let settings = match read.transpose() {
            Ok(settings) => settings,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let version = settings.as_ref().map_or(0, |settings| settings.version);
        let news = self.settings.send_if_modified(|held| {
            let news = held.as_deref() != settings.as_ref();
            if news {
                *held = settings.map(Arc::new);
            }
            news
        });
        if news {
            site.engine.follow(self.policy());
        }
        self.version.send_if_modified(|held| {
            let news = *held != version;
            *held = version;
            news
        });
        if news && version > 0 {
            let line = format!("Version {version} of the settings is in force at this site");
            site.journal.line(None, line);
        }
        Ok(None)
    }

    /// When the site tries again by itself. The windows of the schedule are the top-level site's: here nothing
    /// comes that it does not have already.
    fn policy(&self) -> Policy {
        let settings = self.settings.borrow();
        let failures = settings.as_ref().map(|held| &held.settings.failures);
        failures.map_or_else(Policy::default, |failures| Policy {
            retry_first: failures.retry_first(),
            retry_most: failures.retry_most(),
            opens: None,
        })
    }

    /// Goes over to the settings of each catalog that is verified, until `stop` is told.
    pub async fn keep(self, site: Site, stop: CancellationToken) {
        let mut positions = site.store.watch_positions();
        let mut told = None;
        loop {
            positions.mark_unchanged();
            let failed = match self.refresh(&site).await {
                Ok(unreadable) => {
                    if let Some(why) = unreadable.clone().filter(|_| told != unreadable) {
                        let inserts = vec![site.code.to_string(), why];
                        let id = StatusId::SettingsNotTaken;
                        site.journal.record(id, None, inserts).await;
                    }
                    told = unreadable;
                    false
                }
                Err(error) => {
                    tracing::error!(%error, "the settings of the catalog could not be read; it is tried again");
                    true
                }
            };
            tokio::select! {
                changed = positions.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(RETRY), if failed => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
