//! Starting, cancelling and following synchronization.

use super::Admin;
use futures::{Stream, StreamExt as _};
use journal::StatusId;
use std::pin::Pin;
use std::time::Duration;
use sync::{Trigger, engine};
use tonic::{Request, Response, Status};
use trust::Role;
use wire::v1::sync_service_server::SyncService;
use wire::v1::{
    CancelSyncRequest, CancelSyncResponse, StartSyncRequest, StartSyncResponse, WatchSyncRequest,
    WatchSyncResponse,
};

/// Changes are gathered this long before they are told.
const GATHER: Duration = Duration::from_millis(100);

#[tonic::async_trait]
impl SyncService for Admin {
    type WatchSyncStream =
        Pin<Box<dyn Stream<Item = Result<WatchSyncResponse, Status>> + Send + 'static>>;

    async fn start_sync(
        &self,
        request: Request<StartSyncRequest>,
    ) -> Result<Response<StartSyncResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let StartSyncRequest { full } = request.into_inner();
        // Before the run begins, so that its lines stand together in the log.
        let extent = if full { "full" } else { "delta" };
        let inserts = vec![caller.name, extent.to_owned()];
        self.site
            .journal
            .record(StatusId::SyncRequested, None, inserts)
            .await;
        let (run, queued) = self.site.engine.request(engine::Request {
            full,
            ..engine::Request::new(Trigger::Manual)
        });
        Ok(Response::new(StartSyncResponse {
            run: run.as_bytes().to_vec(),
            queued,
        }))
    }

    async fn cancel_sync(
        &self,
        request: Request<CancelSyncRequest>,
    ) -> Result<Response<CancelSyncResponse>, Status> {
        let caller = self.authorize(&request, Role::Operator).await?;
        let run = self.site.engine.cancel();
        self.children.cancel(run.unwrap_or_default());
        self.site
            .journal
            .record(StatusId::CancelRequested, None, vec![caller.name])
            .await;
        Ok(Response::new(CancelSyncResponse {
            run: run.map(|run| run.as_bytes().to_vec()).unwrap_or_default(),
        }))
    }

    async fn watch_sync(
        &self,
        request: Request<WatchSyncRequest>,
    ) -> Result<Response<Self::WatchSyncStream>, Status> {
        self.authorize(&request, Role::Viewer).await?;
        let mut changes = self.site.reports.watch();
        changes.mark_changed();
        let reports = self.site.reports.clone();
        let stream = futures::stream::unfold((changes, true), move |(mut changes, first)| {
            let reports = reports.clone();
            async move {
                changes.changed().await.ok()?;
                if !first {
                    tokio::time::sleep(GATHER).await;
                }
                changes.mark_unchanged();
                let sites = reports.all();
                Some((Ok(WatchSyncResponse { sites }), (changes, false)))
            }
        });
        let stop = self.stop.clone().cancelled_owned();
        Ok(Response::new(Box::pin(stream.take_until(stop))))
    }
}
