//! Starting, cancelling and following synchronization.

use super::target::Meant;
use super::{Admin, internal};
use ::admin::reading::Answers;
use catalog::PointId;
use journal::StatusId;
use link::site::SiteOrder;
use store::runs::{ASKED, RunRow};
use sync::{Trigger, engine};
use tonic::{Request, Response, Status};
use trust::Role;
use uuid::Uuid;
use wire::convert;
use wire::v1::sync_service_server::SyncService;
use wire::v1::{
    CancelSyncRequest, CancelSyncResponse, StartSyncRequest, StartSyncResponse, WatchSyncRequest,
    WatchSyncResponse,
};

impl Admin {
    /// Notes that other sites were asked to synchronize, so that what they do is shown as one run.
    async fn note_asked(&self, order: SiteOrder, asked: &[PointId]) -> Result<(), Status> {
        let now = self.site.ambient.now();
        let row = RunRow {
            id: order.run,
            started: now,
            // How it goes is told by the parts; nothing of it is under way here.
            finished: Some(now),
            state: ASKED.to_owned(),
            full: order.full,
            manual: true,
            added: 0,
            revised: 0,
            expired: 0,
            removed: 0,
            failed: 0,
            position: 0,
            error: String::new(),
            target: Some((order.site, order.subtree)),
            source: String::new(),
        };
        let noted = async {
            let mut tx = self.site.store.begin().await?;
            tx.put_run(&row).await?;
            for site in asked {
                tx.add_to_site_run(order.run, *site, |part| part.requested = Some(now))
                    .await?;
            }
            tx.prune_runs().await?;
            tx.commit().await
        };
        noted.await.map_err(internal)
    }

    /// Has one software update point synchronize, or it and all below it.
    async fn start_site(&self, order: SiteOrder) -> Result<StartSyncResponse, Status> {
        let here = self.site.code;
        let meant = Meant::one(self.site.reports.all(), order.site, order.subtree)?;
        let report = self.site.reports.get(order.site);
        let busy = report
            .and_then(|report| report.run)
            .is_some_and(|run| run.finished.is_none());
        if order.site != here {
            let asked: Vec<PointId> = meant
                .asked
                .iter()
                .filter_map(|code| code.parse().ok())
                .collect();
            self.note_asked(order, &asked).await?;
        }
        if let Err(refused) = self.site.sync_site(&self.children, order) {
            let forgotten = async {
                let mut tx = self.site.store.begin().await?;
                tx.forget_run(order.run).await?;
                tx.commit().await
            };
            forgotten.await.map_err(internal)?;
            return Err(refused);
        }
        Ok(StartSyncResponse {
            run: order.run.as_bytes().to_vec(),
            queued: busy,
            asked: meant.asked,
            not_connected: meant.not_connected,
        })
    }

    async fn tell(&self, id: StatusId, inserts: Vec<String>) {
        self.site.journal.record(id, None, inserts).await;
    }

    /// The run that a site does now, as it reported last.
    fn run_of(&self, site: PointId) -> Vec<u8> {
        let run = self.site.reports.get(site).and_then(|report| report.run);
        let under_way = run.filter(|run| run.finished.is_none());
        under_way.map(|run| run.id).unwrap_or_default()
    }
}

/// What a request says of the one site that it is for.
fn target(site_code: &str, subtree: bool) -> Result<Option<PointId>, Status> {
    let target = convert::optional_site_code("site_code", site_code)?;
    if target.is_none() && subtree {
        return Err(Status::invalid_argument(
            "name the site whose subtree is meant; without one, the whole hierarchy is",
        ));
    }
    Ok(target)
}

#[tonic::async_trait]
impl SyncService for Admin {
    type WatchSyncStream = Answers<WatchSyncResponse>;

    async fn start_sync(
        &self,
        request: Request<StartSyncRequest>,
    ) -> Result<Response<StartSyncResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let StartSyncRequest {
            full,
            site_code,
            subtree,
        } = request.into_inner();
        let target = target(&site_code, subtree)?;
        let extent = if full { "full" } else { "delta" };
        let extent = match target {
            Some(_) => format!("{extent}, {}", Meant::words(target, subtree)),
            None => extent.to_owned(),
        };
        if let Some(site) = target {
            let run: Uuid = self.site.ambient.new_id();
            let order = SiteOrder {
                site,
                run,
                subtree,
                full,
            };
            let this = self.clone();
            let start = async move {
                let started = this.start_site(order).await?;
                this.tell(StatusId::SyncRequested, vec![caller.name, extent])
                    .await;
                Ok(started)
            };
            let started = self.admission.to_the_end(start).await?;
            return Ok(Response::new(started));
        }
        // Before the run begins, so that its lines stand together in the log.
        self.tell(StatusId::SyncRequested, vec![caller.name, extent])
            .await;
        let (run, queued) = self.site.engine.request(engine::Request {
            full,
            ..engine::Request::new(Trigger::Manual)
        });
        let meant = Meant::all(self.site.reports.all());
        Ok(Response::new(StartSyncResponse {
            run: run.as_bytes().to_vec(),
            queued,
            asked: meant.asked,
            not_connected: meant.not_connected,
        }))
    }

    async fn cancel_sync(
        &self,
        request: Request<CancelSyncRequest>,
    ) -> Result<Response<CancelSyncResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let CancelSyncRequest { site_code, subtree } = request.into_inner();
        let target = target(&site_code, subtree)?;
        let run = match target {
            Some(site) => {
                Meant::one(self.site.reports.all(), site, subtree)?;
                let run = self.run_of(site);
                self.site.cancel_site(&self.children, site, subtree)?;
                run
            }
            None => {
                let run = self.site.engine.cancel();
                self.children.cancel(run.unwrap_or_default());
                run.map(|run| run.as_bytes().to_vec()).unwrap_or_default()
            }
        };
        let at = format!("at {}", Meant::words(target, subtree));
        self.tell(StatusId::CancelRequested, vec![caller.name, at])
            .await;
        Ok(Response::new(CancelSyncResponse { run }))
    }

    async fn watch_sync(
        &self,
        request: Request<WatchSyncRequest>,
    ) -> Result<Response<Self::WatchSyncStream>, Status> {
        self.reading.watch_sync(request).await
    }
}
