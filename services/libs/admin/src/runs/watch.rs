//! A run as it happens: told at each change, until it is over at every site that is connected.

use super::shown::{Awaited, Shown, site_run};
use crate::reading::Reading;
use catalog::PointId;
use futures::Stream;
use journal::run_part::Part;
use std::collections::BTreeMap;
use std::time::Duration;
use sync::EngineState;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;
use uuid::Uuid;
use wire::v1::{Run, SiteRun, WatchRunResponse};

/// Changes are gathered this long before they are told.
const GATHER: Duration = Duration::from_millis(200);
/// How long nothing may happen before sites are waited for no more that may not take part: a request or a message
/// is on its way for less.
const QUIET: Duration = Duration::from_secs(10);
/// How often the run is looked at while nothing happens.
const LOOK: Duration = Duration::from_secs(1);

/// What somebody who watches was told.
struct Watcher {
    reading: Reading,
    id: Uuid,
    reports: watch::Receiver<u64>,
    messages: watch::Receiver<u64>,
    engine: watch::Receiver<EngineState>,
    told: Option<(Run, BTreeMap<PointId, Part>)>,
    /// When something happened last.
    happened: Instant,
    over: bool,
}

/// First the run as it is, then each change.
pub(super) fn changes(
    reading: Reading,
    id: Uuid,
) -> impl Stream<Item = Result<WatchRunResponse, Status>> + Send {
    let site = &reading.site;
    let watcher = Watcher {
        reports: site.reports.watch(),
        messages: site.journal.watch_outbox(),
        engine: site.engine.watch(),
        reading,
        id,
        told: None,
        happened: Instant::now(),
        over: false,
    };
    futures::stream::unfold(watcher, |mut watcher| async move {
        let next = watcher.next().await.transpose()?;
        Some((next, watcher))
    })
}

impl Watcher {
    /// The next change; none when it is over.
    async fn next(&mut self) -> Result<Option<WatchRunResponse>, Status> {
        while !self.over {
            if self.told.is_some() && !self.wait().await {
                return Ok(None);
            }
            // Seen before it is read: what comes meanwhile is looked at again.
            self.reports.mark_unchanged();
            self.messages.mark_unchanged();
            self.engine.mark_unchanged();
            let looked = self.reading.run(self.id).await;
            let shown = match looked {
                // It was forgotten meanwhile.
                Ok(None) => return Ok(None),
                Ok(Some(shown)) => shown,
                Err(status) => {
                    self.over = true;
                    return Err(status);
                }
            };
            let change = self.change(&shown);
            if change.is_some() {
                self.happened = Instant::now();
            }
            let site = &self.reading.site;
            let newest = site.engine.state().run.map(|run| run.id) == Some(self.id);
            let awaited = shown.awaited(site.code, &site.reports.all(), newest);
            self.over = match awaited {
                Awaited::Yes => false,
                Awaited::Perhaps => self.happened.elapsed() >= QUIET,
                Awaited::No => true,
            };
            if change.is_some() {
                return Ok(change);
            }
        }
        Ok(None)
    }

    /// Waits until something may have happened; false where nothing will any more.
    async fn wait(&mut self) -> bool {
        let alive = tokio::select! {
            changed = self.reports.changed() => changed.is_ok(),
            changed = self.messages.changed() => changed.is_ok(),
            changed = self.engine.changed() => changed.is_ok(),
            () = tokio::time::sleep(LOOK) => return true,
        };
        tokio::time::sleep(GATHER).await;
        alive
    }

    /// What is another than was told.
    fn change(&mut self, shown: &Shown) -> Option<WatchRunResponse> {
        let run = shown.run();
        let (before, parts) = match self.told.take() {
            Some((before, parts)) => (Some(before), parts),
            None => (None, BTreeMap::new()),
        };
        let changed = shown
            .parts
            .iter()
            .filter(|(site, part)| parts.get(site) != Some(part));
        let sites: Vec<SiteRun> = changed.map(|(_, part)| site_run(part)).collect();
        let same = before.as_ref() == Some(&run) && sites.is_empty();
        self.told = Some((run.clone(), shown.parts.clone()));
        (!same).then_some(WatchRunResponse {
            run: Some(run),
            sites,
        })
    }
}
