//! The verified catalog: searching it, and looking at one update.

use super::Admin;
use tonic::{Request, Response, Status};
use wire::v1::catalog_service_server::CatalogService;
use wire::v1::{GetUpdateRequest, GetUpdateResponse, ListUpdatesRequest, ListUpdatesResponse};

#[tonic::async_trait]
impl CatalogService for Admin {
    async fn list_updates(
        &self,
        request: Request<ListUpdatesRequest>,
    ) -> Result<Response<ListUpdatesResponse>, Status> {
        self.reading.list_updates(request).await
    }

    async fn get_update(
        &self,
        request: Request<GetUpdateRequest>,
    ) -> Result<Response<GetUpdateResponse>, Status> {
        self.reading.get_update(request).await
    }
}
