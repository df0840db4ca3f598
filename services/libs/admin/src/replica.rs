//! The admin API of a site that is a replica: it shows what it has, and refuses every change with the site at
//! which to make it.

mod packages;

use crate::access::Access;
use crate::downstream::Downstream;
use crate::reading::{Answers, Reading};
use std::sync::Arc;
use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};
use trust::Role;
use wire::convert;
use wire::v1::access_service_server::AccessServiceServer;
use wire::v1::alert_service_server::{AlertService, AlertServiceServer};
use wire::v1::approval_service_server::{ApprovalService, ApprovalServiceServer};
use wire::v1::catalog_service_server::{CatalogService, CatalogServiceServer};
use wire::v1::cleanup_service_server::{CleanupService, CleanupServiceServer};
use wire::v1::downstream_service_server::DownstreamServiceServer;
use wire::v1::hierarchy_service_server::{HierarchyService, HierarchyServiceServer};
use wire::v1::journal_service_server::{JournalService, JournalServiceServer};
use wire::v1::notification_service_server::{NotificationService, NotificationServiceServer};
use wire::v1::package_service_server::PackageServiceServer;
use wire::v1::person_service_server::{PersonService, PersonServiceServer};
use wire::v1::run_service_server::RunServiceServer;
use wire::v1::settings_service_server::{SettingsService, SettingsServiceServer};
use wire::v1::sync_service_server::{SyncService, SyncServiceServer};
use wire::v1::{
    AcknowledgeAlertRequest, AcknowledgeAlertResponse, CancelSyncRequest, CancelSyncResponse,
    ChangeSettingsRequest, ChangeSettingsResponse, CreateJoinTokenRequest, CreateJoinTokenResponse,
    DecideUpdatesRequest, DecideUpdatesResponse, GetCleanupReportRequest, GetCleanupReportResponse,
    GetSettingsRequest, GetSettingsResponse, GetSourceRequest, GetSourceResponse, GetUpdateRequest,
    GetUpdateResponse, IssueCertificateRequest, IssueCertificateResponse, ListAlertsRequest,
    ListAlertsResponse, ListCategoriesRequest, ListCategoriesResponse, ListSettingsVersionsRequest,
    ListSettingsVersionsResponse, ListSitesRequest, ListSitesResponse, ListStatusMessagesRequest,
    ListStatusMessagesResponse, ListUpdatesRequest, ListUpdatesResponse, ReadLogRequest,
    ReadLogResponse, RemoveSiteRequest, RemoveSiteResponse, RunCleanupRequest, RunCleanupResponse,
    SetSecretRequest, SetSecretResponse, StartSyncRequest, StartSyncResponse, SwitchSourceRequest,
    SwitchSourceResponse, TestNotificationsRequest, TestNotificationsResponse, VerifySiteRequest,
    VerifySiteResponse, WatchSyncRequest, WatchSyncResponse,
};

/// The admin API of a replica, and where that serves WSUS servers, as URLs.
#[derive(Clone)]
pub struct Replica(pub Reading, pub Arc<[String]>);

impl Replica {
    /// Adds the services to a router.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(AccessServiceServer::new(Access(self.0.clone())))
            .add_service(DownstreamServiceServer::new(Downstream {
                reading: self.0.clone(),
                addresses: Arc::clone(&self.1),
            }))
            .add_service(SyncServiceServer::new(self.clone()))
            .add_service(HierarchyServiceServer::new(self.clone()))
            .add_service(AlertServiceServer::new(self.clone()))
            .add_service(NotificationServiceServer::new(self.clone()))
            .add_service(ApprovalServiceServer::new(self.clone()))
            .add_service(CatalogServiceServer::new(self.clone()))
            .add_service(CleanupServiceServer::new(self.clone()))
            .add_service(PackageServiceServer::new(self.clone()))
            .add_service(SettingsServiceServer::new(self.clone()))
            .add_service(PersonServiceServer::new(self.clone()))
            .add_service(RunServiceServer::new(self.0.clone()))
            .add_service(JournalServiceServer::new(self));
    }

    /// Refuses what is done at the top-level site, to a caller who might do it there.
    async fn refuse<T, A>(&self, request: &Request<T>, needed: Role) -> Result<A, Status> {
        self.0.authorize(request, needed).await?;
        let role = self.0.role();
        Err(Status::failed_precondition(format!(
            "{role}; run this there"
        )))
    }
}

#[tonic::async_trait]
impl SyncService for Replica {
    type WatchSyncStream = Answers<WatchSyncResponse>;

    async fn start_sync(
        &self,
        request: Request<StartSyncRequest>,
    ) -> Result<Response<StartSyncResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }

    async fn cancel_sync(
        &self,
        request: Request<CancelSyncRequest>,
    ) -> Result<Response<CancelSyncResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }

    async fn watch_sync(
        &self,
        request: Request<WatchSyncRequest>,
    ) -> Result<Response<Self::WatchSyncStream>, Status> {
        self.0.watch_sync(request).await
    }
}

#[tonic::async_trait]
impl PersonService for Replica {
    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }
}

#[tonic::async_trait]
impl HierarchyService for Replica {
    async fn list_sites(
        &self,
        request: Request<ListSitesRequest>,
    ) -> Result<Response<ListSitesResponse>, Status> {
        self.0.list_sites(request).await
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Result<Response<CreateJoinTokenResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn verify_site(
        &self,
        request: Request<VerifySiteRequest>,
    ) -> Result<Response<VerifySiteResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }

    async fn remove_site(
        &self,
        request: Request<RemoveSiteRequest>,
    ) -> Result<Response<RemoveSiteResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn get_source(
        &self,
        request: Request<GetSourceRequest>,
    ) -> Result<Response<GetSourceResponse>, Status> {
        self.refuse(&request, Role::Viewer).await
    }

    async fn switch_source(
        &self,
        request: Request<SwitchSourceRequest>,
    ) -> Result<Response<SwitchSourceResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }
}

#[tonic::async_trait]
impl CleanupService for Replica {
    async fn run_cleanup(
        &self,
        request: Request<RunCleanupRequest>,
    ) -> Result<Response<RunCleanupResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }

    async fn get_cleanup_report(
        &self,
        request: Request<GetCleanupReportRequest>,
    ) -> Result<Response<GetCleanupReportResponse>, Status> {
        self.refuse(&request, Role::Viewer).await
    }
}

#[tonic::async_trait]
impl AlertService for Replica {
    async fn list_alerts(
        &self,
        request: Request<ListAlertsRequest>,
    ) -> Result<Response<ListAlertsResponse>, Status> {
        self.refuse(&request, Role::Viewer).await
    }

    async fn acknowledge_alert(
        &self,
        request: Request<AcknowledgeAlertRequest>,
    ) -> Result<Response<AcknowledgeAlertResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }
}

#[tonic::async_trait]
impl NotificationService for Replica {
    async fn test_notifications(
        &self,
        request: Request<TestNotificationsRequest>,
    ) -> Result<Response<TestNotificationsResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }
}

#[tonic::async_trait]
impl ApprovalService for Replica {
    async fn decide_updates(
        &self,
        request: Request<DecideUpdatesRequest>,
    ) -> Result<Response<DecideUpdatesResponse>, Status> {
        self.refuse(&request, Role::Operator).await
    }
}

#[tonic::async_trait]
impl CatalogService for Replica {
    async fn list_updates(
        &self,
        request: Request<ListUpdatesRequest>,
    ) -> Result<Response<ListUpdatesResponse>, Status> {
        self.0.list_updates(request).await
    }

    async fn get_update(
        &self,
        request: Request<GetUpdateRequest>,
    ) -> Result<Response<GetUpdateResponse>, Status> {
        self.0.get_update(request).await
    }
}

#[tonic::async_trait]
impl SettingsService for Replica {
    async fn get_settings(
        &self,
        request: Request<GetSettingsRequest>,
    ) -> Result<Response<GetSettingsResponse>, Status> {
        self.0.authorize(&request, Role::Viewer).await?;
        let request = request.into_inner();
        let site = convert::optional_site_code("site_code", &request.site_code)?;
        let held = self.0.settings.borrow().clone();
        let version = held.as_ref().map_or(0, |held| held.version);
        if request.version != 0 && request.version != version {
            return Err(Status::failed_precondition(format!(
                "{}, and their earlier versions are kept; version {version} is in force here",
                self.0.role()
            )));
        }
        let effective = match site {
            Some(site) => self.0.effective(site)?,
            None => Vec::new(),
        };
        let document = match &held {
            Some(held) => held.settings.to_travelling_json(),
            None => settings::Settings::default().to_travelling_json(),
        };
        Ok(Response::new(GetSettingsResponse {
            version,
            time: held.as_ref().map(|held| convert::from_timestamp(held.time)),
            who: held
                .as_ref()
                .map(|held| held.who.clone())
                .unwrap_or_default(),
            document: document.to_string(),
            secrets: Vec::new(),
            fixed: Vec::new(),
            role: self.0.role(),
            effective,
        }))
    }

    async fn change_settings(
        &self,
        request: Request<ChangeSettingsRequest>,
    ) -> Result<Response<ChangeSettingsResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }

    async fn list_settings_versions(
        &self,
        request: Request<ListSettingsVersionsRequest>,
    ) -> Result<Response<ListSettingsVersionsResponse>, Status> {
        self.refuse(&request, Role::Viewer).await
    }

    async fn list_categories(
        &self,
        request: Request<ListCategoriesRequest>,
    ) -> Result<Response<ListCategoriesResponse>, Status> {
        self.refuse(&request, Role::Viewer).await
    }

    async fn set_secret(
        &self,
        request: Request<SetSecretRequest>,
    ) -> Result<Response<SetSecretResponse>, Status> {
        self.refuse(&request, Role::Administrator).await
    }
}

#[tonic::async_trait]
impl JournalService for Replica {
    type ReadLogStream = Answers<ReadLogResponse>;

    async fn read_log(
        &self,
        request: Request<ReadLogRequest>,
    ) -> Result<Response<Self::ReadLogStream>, Status> {
        self.0.read_log(request).await
    }

    async fn list_status_messages(
        &self,
        request: Request<ListStatusMessagesRequest>,
    ) -> Result<Response<ListStatusMessagesResponse>, Status> {
        self.0.list_status_messages(request).await
    }
}
