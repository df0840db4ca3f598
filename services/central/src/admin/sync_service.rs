//! Starting, cancelling and following synchronization.

use super::Admin;
use ::admin::reading::Answers;
use journal::StatusId;
use sync::{Trigger, engine};
use tonic::{Request, Response, Status};
use trust::Role;
use wire::v1::sync_service_server::SyncService;
use wire::v1::{
    CancelSyncRequest, CancelSyncResponse, StartSyncRequest, StartSyncResponse, WatchSyncRequest,
    WatchSyncResponse,
};

#[tonic::async_trait]
impl SyncService for Admin {
    type WatchSyncStream = Answers<WatchSyncResponse>;

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
        self.reading.watch_sync(request).await
    }
}
