//! Packages at a replica: what it has came from its parent, and travels from there.

use super::Replica;
use crate::reading::Answers;
use tonic::{Request, Response, Status, Streaming};
use trust::Role;
use wire::v1::package_service_server::PackageService;
use wire::v1::{
    ExportPackageRequest, ExportPackageResponse, ImportPackageRequest, ImportPackageResponse,
    ImportUpdatesRequest, ImportUpdatesResponse, OfferPackageRequest, OfferPackageResponse,
    UploadPackageRequest, UploadPackageResponse,
};

#[tonic::async_trait]
impl PackageService for Replica {
    type ImportPackageStream = Answers<ImportPackageResponse>;
    type ExportPackageStream = Answers<ExportPackageResponse>;

    async fn offer_package(
        &self,
        request: Request<OfferPackageRequest>,
    ) -> Result<Response<OfferPackageResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn upload_package(
        &self,
        request: Request<Streaming<UploadPackageRequest>>,
    ) -> Result<Response<UploadPackageResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn import_package(
        &self,
        request: Request<ImportPackageRequest>,
    ) -> Result<Response<Self::ImportPackageStream>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn export_package(
        &self,
        request: Request<ExportPackageRequest>,
    ) -> Result<Response<Self::ExportPackageStream>, Status> {
        self.refuse(&request, Role::Operator).await
    }

    async fn import_updates(
        &self,
        request: Request<ImportUpdatesRequest>,
    ) -> Result<Response<ImportUpdatesResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }
}
