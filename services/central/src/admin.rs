//! What people and scripts ask of the site: decoded, authorized, handed to the part that decides, and
//! encoded again.

mod alert_service;
mod approval_service;
mod catalog_service;
mod cleanup_service;
mod hierarchy_service;
mod journal_service;
mod package_service;
mod person_service;
mod settings_service;
mod sync_service;
mod target;

use ::admin::{Access, Caller, Downstream, Reading};

use crate::admission::CentralAdmission;
use crate::alerts::Alerts;
use crate::alerts::notify::Notifier;
use crate::cleanup::Cleaner;
use crate::decisions::Decisions;
use crate::in_force::InForce;
use crate::ingest::WsusUpstream;
use crate::package::Packages;
use crate::source_point::SourcePoints;
use link::Site;
use link::children::Children;
use std::sync::Arc;
use tonic::service::RoutesBuilder;
use tonic::{Request, Status};
use trust::seal::Sealer;
use trust::{Authority, Role};
use wire::v1::access_service_server::AccessServiceServer;
use wire::v1::alert_service_server::AlertServiceServer;
use wire::v1::approval_service_server::ApprovalServiceServer;
use wire::v1::catalog_service_server::CatalogServiceServer;
use wire::v1::cleanup_service_server::CleanupServiceServer;
use wire::v1::downstream_service_server::DownstreamServiceServer;
use wire::v1::hierarchy_service_server::HierarchyServiceServer;
use wire::v1::journal_service_server::JournalServiceServer;
use wire::v1::notification_service_server::NotificationServiceServer;
use wire::v1::package_service_server::PackageServiceServer;
use wire::v1::person_service_server::PersonServiceServer;
use wire::v1::run_service_server::RunServiceServer;
use wire::v1::settings_service_server::SettingsServiceServer;
use wire::v1::sync_service_server::SyncServiceServer;

/// The admin API of a central site.
#[derive(Clone)]
pub struct Admin {
    pub(crate) site: Site,
    pub(crate) children: Arc<Children>,
    pub(crate) admission: Arc<CentralAdmission>,
    pub(crate) sources: SourcePoints,
    pub(crate) reading: Reading,
    pub(crate) settings: InForce,
    pub(crate) upstream: Arc<WsusUpstream>,
    pub(crate) decisions: Decisions,
    pub(crate) cleaner: Cleaner,
    pub(crate) sealer: Arc<Sealer>,
    pub(crate) authority: Arc<Authority>,
    pub(crate) alerts: Alerts,
    pub(crate) notifier: Notifier,
    pub(crate) packages: Packages,
    /// Where the site serves WSUS servers, as URLs.
    pub(crate) wsus: Arc<[String]>,
}

impl Admin {
    /// Adds the services to a router.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        routes
            .add_service(AccessServiceServer::new(Access(self.reading.clone())))
            .add_service(DownstreamServiceServer::new(Downstream {
                reading: self.reading.clone(),
                addresses: Arc::clone(&self.wsus),
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
            .add_service(RunServiceServer::new(self.reading.clone()))
            .add_service(JournalServiceServer::new(self));
    }

    /// Who calls, if the access token allows what is asked.
    pub(crate) async fn authorize<T>(
        &self,
        request: &Request<T>,
        needed: Role,
    ) -> Result<Caller, Status> {
        self.reading.authorize(request, needed).await
    }
}

pub(crate) use ::admin::internal;
